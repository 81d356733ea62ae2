"""Encoders: how near their answers come, how they edit, how many steps they save.

    python benchmarks/encoder.py --models=runs/00000-demo-demo --out=bench/encoder
    python benchmarks/encoder.py --models=RUN32,RUN64 --figure=docs/images/encoder.png

For models of the built-in faces. Each model gets two encoders: of its own samples
alone, and with 3,000 faces of its training set mixed in; a file of theirs in --out is
used again. The pictures are faces that neither has seen, from number 6,000 on, and the
model's own seeds.

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
define.list("kinds", ["samples", "with data"], "Of the encoders; the last leads.")
define.integer("steps", 3000, "Steps of an encoder's training.", lower_bound=1)
define.list("budgets", ["30", "100", "300", "1000"], "Steps of the searches.")
define.string("out", "bench/encoder", "Folder of encoders and numbers.")
define.string("figure", "", "Draw the first model's answers and edits.")
FIRST, REAL = 6000, "demo:3000"  # held-out faces begin behind the training set
SHORT, LONG = 100, 1000  # steps of searches
HELD_OUT = "held out"
EDITED = ("smile", "glasses", "hair", "yaw")
AMOUNT = 2.0  # deviations of an edit


def main(argv: Sequence[str]) -> int:
    """Trains, measures, prints."""
    from stylegan_tf.errors import UserError

    if not FLAGS.models:
        raise UserError("name models of the built-in faces with --models=RUN,RUN2.")
    cli.load_tensorflow(exact=True)
    out, found = Path(FLAGS.out), {}
    out.mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(FLAGS.models):
        found[path], images = measure(path, out, f"encoder{number}")
        text = json.dumps(found, indent=2)
        (out / "encoder.json").write_text(text, encoding="utf-8")
        if FLAGS.figure and not number:
            draw(images, FLAGS.figure)
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
        data = REAL if kind == "with data" else None
        file = out / f"{name}-{kind.replace(' ', '-')}.keras"
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
    found["edits"], edited = edits(model, held_out, held)
    found["steps"] = step_counts(model, encoders[FLAGS.kinds[-1]], held_out)
    return found, {"target": held_out} | {k: p.images for k, p in held.items()} | edited


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
        start = encode_images(encoders[FLAGS.kinds[-1]], images)
        short = f"{SHORT} steps from it, wplus, {kind}"
        found[short] = project(model, images, "wplus", SHORT, start=start)
        short = f"{SHORT} steps from the mean, wplus, {kind}"
        found[short] = project(model, images, "wplus", SHORT)
        for space in ("w", "wplus") if kind == HELD_OUT else ():
            key = f"{LONG} steps from the mean, {space}, {kind}"
            found[key] = project(model, images, space, LONG)
    return found


# ---------------------------------------------------------------------------
# Edits


def edits(model, targets, projections: dict) -> tuple[dict, dict]:
    """Returns what edits do to projections, and pictures of the first edit."""
    from stylegan_tf import sampling
    from stylegan_tf.latents.directions import label_directions
    from stylegan_tf.metrics.features import builtin_own

    network = builtin_own.load_builtin()
    seeds = range(3000)
    images = [image for _, image in sampling.draw(model, seeds)]
    w = sampling.styles(model, seeds)
    directions = label_directions(w[:, 0], network.factors(_stack(images)))
    render, table, pictures = sampling.Renderer(model), {}, {}
    names = [n for n in directions.names if n.split(".")[0] in EDITED]
    subjects = {"the model's own seeds": (w[: len(targets)], None, None)}
    for key, p in projections.items():
        subjects[key] = p.latents.ws, p.latents.noise, targets
    for key, (ws, noise, target) in subjects.items():
        plain = network.factors(render(ws, noise))
        numbers = {"kept": [], "moved": []}
        for name in names:
            after = render(ws + AMOUNT * directions.step(name), noise)
            factor, moved = name.split(".")[0], network.factors(after)
            numbers["moved"].append(shift(name, plain, moved))
            numbers["kept"].append(kept(plain, moved, factor))
            if target is not None and name == names[0]:
                pictures[f"{key}, {name}"] = after
        row = {k: float(_mean(v)) for k, v in numbers.items()}
        if target is not None:
            row["factors"] = float(kept(network.factors(target), plain, ""))
        table[key] = row
    return table, pictures


def shift(name: str, before: dict, after: dict) -> float:
    """Returns how far an edit moves its factor: a probability, or a part of a range."""
    from stylegan_tf.data import demo

    factor, _, value = name.partition(".")
    a, b = before[factor], after[factor]
    if a.ndim == 2:
        column = int(value or 1)
        return float((b[:, column] - a[:, column]).mean())
    return float((b - a).mean() / (1 - demo.FACTORS[factor].low))


def kept(before: dict, after: dict, but: str) -> float:
    """Returns the share of the other factors with a choice that stay what they are."""
    same = [
        (before[name].argmax(axis=1) == after[name].argmax(axis=1)).mean()
        for name in before
        if name != but and before[name].ndim == 2
    ]
    return _mean(same)


def _stack(images):
    import numpy as np

    return np.stack(images)


def _mean(values) -> float:
    return sum(values) / len(values)


# ---------------------------------------------------------------------------
# Steps to the same likeness


def step_counts(model, encoder, images) -> dict:
    """Returns the mean distances after searches of several lengths."""
    from stylegan_tf.projector import encode_images, project

    found = {}
    for space in ("w", "wplus"):
        start = encode_images(encoder, images, space)
        for name, own in (("mean", None), ("encoder", start)):
            curve = found[f"{space} from the {name}"] = {}
            for steps in FLAGS.budgets:
                p = project(model, images, space, int(steps), start=own)
                curve[steps] = float(p.distances.mean())
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
    out = []
    for path, numbers in found.items():
        size, speed = numbers["size"], numbers["images per second"]
        out.append(f"{Path(path).name}, {size} x {size}: {speed:.0f} images a second")
        rows = [
            (k, f"{v['psnr']:.1f}", f"{v['distance']:.3f}")
            for k, v in numbers["answers"].items()
        ]
        out.append(markdown(("answer", "PSNR [dB]", "distance"), rows))
        rows = [
            (k, f"{v.get('factors', 1):.2f}", f"{v['moved']:.2f}", f"{v['kept']:.2f}")
            for k, v in numbers["edits"].items()
        ]
        head = ("edited", "factors as in the picture", "moved", "kept")
        out.append(markdown(head, rows))
        curves = numbers["steps"]
        rows = [(k, *(f"{v[b]:.3f}" for b in FLAGS.budgets)) for k, v in curves.items()]
        out.append(markdown(("distance after steps", *FLAGS.budgets), rows))
        rows = [
            (space, *(f"{share:.2f}" for _, share in steps_saved(curves, space)))
            for space in ("w", "wplus")
        ]
        head = ("steps from the answer, of those from the mean", *FLAGS.budgets)
        out.append(markdown(head, rows))
    return out


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw(images: dict, path: str) -> None:
    """Draws a row of pictures for each method."""
    import numpy as np

    from stylegan_tf import figures

    count = min(8, FLAGS.faces)
    factor = figures.sheets.factor_to(*images["target"].shape[1:3], 64)
    rows = [figures.enlarge(x[:count], factor) for x in images.values()]
    print("rows of the figure:", "; ".join(images))
    figures.save_image(path, figures.image_grid(np.concatenate(rows), count, 4))


if __name__ == "__main__":
    cli.run(main, FLAGS)
