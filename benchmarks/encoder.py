"""Encoders: how near their answers come, how they edit, how many steps they save.

    python benchmarks/encoder.py --models=runs/00000-demo-demo --out=bench/encoder
    python benchmarks/encoder.py --models=RUN32,RUN64 --figure=docs/images/encoder.png

For models of the built-in faces. Each model gets an encoder with 3,000 faces of its
training set mixed in; --kinds=samples,data adds one of its own samples alone. A file of
theirs in --out is used again. The pictures are faces that neither has seen, from number
6,000 on, and the model's own seeds.

Prints, in Markdown: PSNR and distance of the answer, of a short search from it, and of
the searches from the mean; the share of edits that keep every other factor, and how far
the edited one moves, by the factor network; and the steps from the answer and from the
mean to the same distance. Writes it all to OUT/encoder.json.
"""

import json
import time
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.list("models", [], "Runs or models, with commas.")
define.integer("faces", 16, "Faces that are encoded.", lower_bound=2)
define.list("kinds", ["data"], "Encoders: samples, data; the last is searched from.")
define.integer("steps", 1500, "Steps of an encoder's training.", lower_bound=1)
define.list("budgets", ["10", "30", "100", "300"], "Steps of the searches.")
define.list("spaces", ["wplus"], "Of these searches: w, wplus.")
define.string("out", "bench/encoder", "Folder of encoders and numbers.")
define.string("figure", "", "Draw the first model's answers and edits.")
FIRST, REAL = 6000, "demo:3000"  # held-out faces begin behind the training set
SHORT, LONG = 100, 300  # steps of searches
HELD_OUT = "held out"


def main(argv: Sequence[str]) -> int:
    """Trains, measures, prints."""
    from stylegan_tf.errors import UserError

    if not FLAGS.models:
        raise UserError("name models of the built-in faces with --models=RUN,RUN2.")
    cli.load_tensorflow(exact=True)
    from workers.edits import draw_rows

    out, found = Path(FLAGS.out), {}
    out.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(FLAGS.models):
        found[path], images = measure(path, out, f"encoder{number}")
        text = json.dumps(found, indent=2)
        (out / "encoder.json").write_text(text, encoding="utf-8")
        if FLAGS.figure and not number:
            draw_rows(images, FLAGS.figure)
    print("\n\n".join(tables(found)))
    return 0


def measure(path: str, out: Path, name: str) -> tuple[dict, dict]:
    """Returns a model's numbers, and the pictures of a figure."""
    import numpy as np

    from stylegan_tf import models, sampling
    from stylegan_tf.data import demo

    model = models.load(path)
    size = model.growth.resolution
    count = range(FLAGS.faces)
    held_out = np.stack([demo.draw_face(FIRST + i, size) for i in count])
    own = np.stack([image for _, image in sampling.draw(model, count)])
    found = {"size": size, "answers": {}, "edits": {}, "steps": {}}
    encoders = {}
    for kind in FLAGS.kinds:
        data = REAL if kind == "data" else None
        file = out / f"{name}-{kind}.keras"
        encoders[kind], seconds = trained(model, data, file)
        found[f"training seconds, {kind}"] = seconds
    found["images per second"] = speed(encoders[FLAGS.kinds[-1]], held_out)
    projections = answers(model, encoders, {"own": own, HELD_OUT: held_out})
    for row, p in projections.items():
        row_numbers = {"psnr": p.psnr[np.isfinite(p.psnr)], "distance": p.distances}
        found["answers"][row] = {k: float(v.mean()) for k, v in row_numbers.items()}
    held = {
        name.removesuffix(f", {HELD_OUT}"): p
        for name, p in projections.items()
        if name.endswith(HELD_OUT)
    }
    found["edits"], more = edited(model, held_out, held)
    found["steps"] = step_counts(model, encoders[FLAGS.kinds[-1]], held_out)
    return found, {"target": held_out} | {k: p.images for k, p in held.items()} | more


def trained(model, data: str | None, file: Path):
    """Returns an encoder, trained or of a file, and the seconds that it took."""
    from stylegan_tf.projector import encoder, targets

    if file.is_file():
        return encoder.load_encoder(file, model), None
    c, images = model.config, None
    if data:
        size = c.shape(model.growth.resolution)
        images = targets.read_targets([data], size, c.channels).images
    start = time.monotonic()
    made = encoder.train_encoder(model, images, steps=FLAGS.steps, progress=True)
    made.save(file)
    return made, time.monotonic() - start


def speed(encoder, images) -> float:
    """Images per second, of 64 at once."""
    import numpy as np

    from stylegan_tf.projector import encode_images

    many = np.resize(images, (64, *images.shape[1:]))
    encode_images(encoder, many)
    start, rounds = time.monotonic(), 20
    for _ in range(rounds):
        encode_images(encoder, many)
    return rounds * len(many) / (time.monotonic() - start)


def answers(model, encoders: dict, kinds: dict) -> dict:
    """Returns the projections by method and kind of pictures."""
    from stylegan_tf.projector import encode_images, project

    found = {}
    for kind, images in kinds.items():
        for name, encoder in encoders.items():
            for space in ("w", "wplus"):
                start = encode_images(encoder, images, space)
                key = f"encoder ({name}), {space}, {kind}"
                found[key] = project(model, images, space, 0, start=start)
    images = kinds[HELD_OUT]
    start = encode_images(encoders[FLAGS.kinds[-1]], images)
    short = f"{SHORT} steps from it, wplus, {HELD_OUT}"
    found[short] = project(model, images, "wplus", SHORT, start=start)
    for steps in (SHORT, LONG):
        key = f"{steps} steps from the mean, wplus, {HELD_OUT}"
        found[key] = project(model, images, "wplus", steps)
    return found


# ---------------------------------------------------------------------------
# Edits


def edited(model, targets, projections: dict) -> tuple[dict, dict]:
    """Returns what edits do to projections, and images of the first edit."""
    from workers.edits import Judge

    from stylegan_tf import sampling
    from stylegan_tf.metrics.features import builtin_own

    judge, render = Judge(model, builtin_own.load_builtin()), sampling.Renderer(model)
    own = sampling.styles(model, range(len(targets)))
    table, images = {"the model's own seeds": judge.row(render, own)[0]}, {}
    for key, p in projections.items():
        noise = p.latents.noise
        row = judge.row(
            lambda ws, noise=noise: render(ws, noise), p.latents.ws, targets
        )
        table[key], images[f"{key}, edited"] = row
    return table, images


# ---------------------------------------------------------------------------
# Steps to the same likeness


def step_counts(model, encoder, images) -> dict:
    """Returns the mean distances after searches of several lengths."""
    import numpy as np

    from stylegan_tf.projector import default_settings, encode_images, search
    from stylegan_tf.projector.likeness import image_distances

    found, count = {}, len(images)
    mean, deviation = search.w_statistics(model)
    deviations = np.full(count, deviation, np.float32)
    for space in FLAGS.spaces:
        answer = encode_images(encoder, images, space)
        for name, start in (("mean", mean[None, None]), ("encoder", answer)):
            settings = default_settings(from_answer=name == "encoder")
            projector = search.Projector(model, count, space, settings=settings)
            start = np.broadcast_to(start, (count, *start.shape[1:]))
            curve = found[f"{space} from the {name}"] = {}
            for steps in FLAGS.budgets:  # all of them with one compiled step
                projector.steps = int(steps)
                list(projector.run(images, start, deviations))
                far = image_distances(projector.loss, projector.images(), images)
                curve[steps] = float(far.mean())
    return found


def steps_saved(curves: dict, space: str) -> list[tuple[str, float]]:
    """Returns budgets from the mean, and the share of them that the encoder needs."""
    import numpy as np

    mean, own = (curves[f"{space} from the {name}"] for name in ("mean", "encoder"))
    steps = np.log([int(k) for k in own])
    distances = np.minimum.accumulate(list(own.values()))
    rows = []
    for budget, distance in mean.items():
        needed = np.exp(np.interp(-distance, -distances, steps))
        rows.append((budget, float(needed) / int(budget)))
    return rows


# ---------------------------------------------------------------------------
# What is printed, what is drawn


def tables(found: dict) -> list[str]:
    """Returns the tables in Markdown."""
    from workers.edits import table

    out = []
    for path, numbers in found.items():
        size, speed = numbers["size"], numbers["images per second"]
        out.append(f"{Path(path).name}, {size} x {size}: {speed:.0f} images a second")
        rows = [
            (k, f"{v['psnr']:.1f}", f"{v['distance']:.3f}")
            for k, v in numbers["answers"].items()
        ]
        out.append(table(("answer", "PSNR [dB]", "distance"), rows))
        rows = [
            (k, f"{v.get('right', 1):.2f}", f"{v['moved']:.2f}", f"{v['kept']:.2f}")
            for k, v in numbers["edits"].items()
        ]
        head = ("edited", "factors as in the picture", "moved", "kept")
        out.append(table(head, rows))
        curves = numbers["steps"]
        rows = [(k, *(f"{v[b]:.3f}" for b in FLAGS.budgets)) for k, v in curves.items()]
        out.append(table(("distance after steps", *FLAGS.budgets), rows))
        rows = [
            (space, *(f"{share:.2f}" for _, share in steps_saved(curves, space)))
            for space in FLAGS.spaces
        ]
        head = ("steps from the answer, of those from the mean", *FLAGS.budgets)
        out.append(table(head, rows))
    return out


if __name__ == "__main__":
    cli.run(main, FLAGS)
