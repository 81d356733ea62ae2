"""Tuning against W and W+: likeness, what else changes, and edits.

    python benchmarks/tuning.py --models=runs/00000-demo-demo
    python benchmarks/tuning.py --models=RUN32,RUN64 --figure=docs/images/tuning.png

For models of the built-in faces. The pictures are faces that no model has seen, from
number 50,000 on. Each is projected into W and W+, and a model is tuned to it alone,
from W on; --together_steps tunes another one to all of them.

Prints, in Markdown: PSNR and distance of W, W+ and the tuned models; how far other
seeds have moved; and edits along the labels' directions, judged by the factor network.
Writes it all to OUT/tuning.json. What took longest, projections and tuned models, is
kept in OUT and used again.
"""

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.list("models", [], "Runs or models, with commas.")
define.integer("faces", 16, "Faces that are projected.", lower_bound=1)
define.integer("steps", 500, "Steps of the searches in W and W+.", lower_bound=1)
define.integer("tune_steps", 300, "Steps of the tuning to one face.", lower_bound=1)
define.integer(
    "together_steps", 0, "Steps of a tuning to all faces; 0 = there is none.", 0
)
define.integer("others", 100, "Other seeds, which shall stay.", lower_bound=1)
define.string("out", "bench/tuning", "Folder of projections, models and numbers.")
define.string("figure", "", "Draw the first model's faces and edits.")
FIRST, OTHERS = 50_000, 1000  # the first held-out face; the first of the other seeds


def main(argv: Sequence[str]) -> int:
    """Projects, tunes, measures, prints."""
    from stylegan_tf.errors import UserError

    if not FLAGS.models:
        raise UserError("name models of the built-in faces with --models=RUN,RUN2.")
    cli.load_tensorflow(exact=True)
    from workers import edits

    out, found = Path(FLAGS.out), {}
    for number, path in enumerate(FLAGS.models):
        folder = out / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        found[path], images = measure(path, folder)
        text = json.dumps(found, indent=2)
        (out / "tuning.json").write_text(text, encoding="utf-8")
        print("\n\n".join(tables(path, found[path])), flush=True)
        if FLAGS.figure and not number:
            edits.draw_rows(images, FLAGS.figure)
    return 0


def measure(path: str, folder: Path) -> tuple[dict, dict]:
    """Returns a model's numbers, and the images of a figure."""
    import numpy as np
    from workers import edits

    from stylegan_tf import models, sampling
    from stylegan_tf.data import demo
    from stylegan_tf.metrics.features import builtin_own
    from stylegan_tf.projector.likeness import psnr

    model = models.load(path)
    size = model.growth.resolution
    faces = np.stack([demo.draw_face(FIRST + i, size) for i in range(FLAGS.faces)])
    found: dict = {"size": size, "rows": {}, "edits": {}, "seconds": {}}
    w, wplus = (projected(model, faces, s, folder, found) for s in ("w", "wplus"))
    render = sampling.Renderer(model)
    drawn = {
        "W": (w, lambda ws: render(ws, w.noise)),
        "W+": (wplus, lambda ws: render(ws, wplus.noise)),
    }
    others = sampling.styles(model, range(OTHERS, OTHERS + FLAGS.others))
    before, moved = render(others), {}
    for name, steps in tunings():
        made = tuned(model, faces, w, steps, name, folder, found)
        drawn[name] = w, each(made, w.noise)
        after = np.stack([draw(others) for draw in made])
        moved[name] = float(np.mean([psnr(x, before).mean() for x in after]))
        found["rows"][name] = {"others": moved[name]} | distance(
            "others", after, before
        )
    judge = edits.Judge(model, builtin_own.load_builtin())
    found["edits"]["own seeds"], _ = judge.row(render, others[: len(faces)])
    images = {"faces": faces}
    for name, (latents, draw) in drawn.items():
        images[name] = draw(latents.ws)
        row = {"psnr": float(psnr(images[name], faces).mean())}
        found["rows"].setdefault(name, {}).update(
            row | distance("distance", images[name][None], faces)
        )
        found["edits"][name], images[f"{name}, edited"] = judge.row(
            draw, latents.ws, faces
        )
    return found, images


def tunings() -> list[tuple[str, int]]:
    """Returns the names of the ways to tune, and their steps."""
    both = [("tuned", FLAGS.tune_steps), ("tuned together", FLAGS.together_steps)]
    return [(name, steps) for name, steps in both if steps]


def projected(model, faces, space: str, folder: Path, found: dict):
    """Returns the latents of the faces, searched for or of a file."""
    from stylegan_tf.latents import load_latents
    from stylegan_tf.projector import project

    file, c = folder / f"{space}.npz", model.config
    if not file.is_file():
        start = time.monotonic()
        project(model, faces, space, FLAGS.steps, progress=True).latents.save(file)
        found["seconds"][space] = time.monotonic() - start
    return load_latents(file, c.num_styles, c.w_dim)


def tuned(model, faces, latents, steps: int, name: str, folder: Path, found: dict):
    """Returns functions that draw styles with tuned models.

    One for each face, or one alone if the model was tuned to all of them.
    """
    import numpy as np

    from stylegan_tf import sampling
    from stylegan_tf.networks.block import weight_name
    from stylegan_tf.networks.generator import plain_copy
    from stylegan_tf.projector import Tuner

    count = 1 if name == "tuned" else len(faces)
    copy, tuner, draws = plain_copy(model), None, []
    originals = {weight_name(v): v.numpy() for v in model.weights}
    render = sampling.Renderer(copy, fixed_weights=False)

    def drawer(differences) -> Callable:
        def draw(ws, noise=None):
            for v in copy.weights:
                change = differences.get(weight_name(v), np.float32(0))
                v.assign(originals[weight_name(v)] + np.float32(change))
            return render(ws, noise)

        return draw

    for i in range(0, len(faces), count):
        file, rows = folder / f"{name}-{i}.npz", slice(i, i + count)
        if not file.is_file():
            start = time.monotonic()
            pivots = (
                latents.ws[rows],
                faces[rows],
                [m[rows] for m in latents.noise or []],
            )
            tuner = tuner or Tuner(model, *pivots)
            tuner.begin(*pivots)
            while not tuner.finished(steps):
                tuner.step()
            differences = tuner.result().differences
            np.savez(file, **differences)
            seconds = found["seconds"].setdefault(name, [])
            seconds.append(time.monotonic() - start)
            print(f"{name}, face {i}: {seconds[-1]:.0f} s", flush=True)
        with np.load(file) as stored:
            draws.append(drawer(dict(stored)))
    return draws


def each(draws: Sequence[Callable], noise) -> Callable:
    """Returns a function that draws each picture by its own model."""
    import numpy as np

    def draw(ws):
        if len(draws) == 1:
            return draws[0](ws, noise)
        rows = [slice(i, i + 1) for i in range(len(ws))]
        return np.concatenate(
            [draws[i](ws[r], [m[r] for m in noise or []]) for i, r in enumerate(rows)]
        )

    return draw


def distance(name: str, many, images) -> dict[str, float]:
    """Returns the mean distance of several sets of images to images."""
    import numpy as np

    from stylegan_tf.projector.likeness import MultiScale

    key = name if name == "distance" else f"{name}, distance"
    loss, images = MultiScale(), np.float32(images)
    found = [loss.distance(np.float32(x), images).numpy().mean() for x in many]
    return {key: float(np.mean(found))}


def tables(path: str, numbers: dict) -> list[str]:
    """Returns the tables in Markdown."""
    from workers import edits

    rows, size = numbers["rows"], numbers["size"]
    likeness = [
        (
            name,
            *(f"{row[k]:.{d}f}" for k, d in (("psnr", 1), ("distance", 3))),
            *(f"{row[k]:.1f}" if k in row else "" for k in ("others",)),
        )
        for name, row in ((n, rows[n]) for n in ("W", "W+", *dict(tunings())))
    ]
    head = ("", "PSNR [dB]", "distance", "other seeds, PSNR [dB] to before")
    names = ("right", "right after", "kept", "moved")
    judged = [
        (name, *(f"{row[k]:.2f}" if k in row else "" for k in names))
        for name, row in numbers["edits"].items()
    ]
    title = f"{Path(path).name}, {size} x {size}"
    return [title, edits.table(head, likeness), edits.table(("edited", *names), judged)]


if __name__ == "__main__":
    cli.run(main, FLAGS)
