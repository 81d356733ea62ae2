"""Draws pictures with a trained model.

    python launch/generate.py --model=runs/00000-demo-demo
    python launch/generate.py --model=generator.keras --seeds=0-31,100 --psi=0.5
    python launch/generate.py --model=karras2019stylegan-ffhq-1024x1024.pkl --cutoff=8
    python launch/generate.py --model=runs/00003-photos-demo --grid=sheet.png
    python launch/generate.py --model=runs/00004-cats-demo --classes=2 --seeds=0-9
    python launch/generate.py --model=runs/00004-cats-demo --grid=classes.png

A seed is a picture: the same seed gives the same file on every run, however many are
drawn. Pictures are written as seed0000.png and so on, or as one sheet with --grid.

With a conditional model the seeds take the classes in turn, and a file's name says
which one it got: seed0000-class2.png. --each_class draws every seed in every class. A
sheet has one row a class and one column a seed, unless --columns is given or there is
only one class.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

from absl import flags
from stylegan_tf_launch import cli

MOST_ROWS = 100  # of a sheet, unless its classes were named

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model",
    None,
    "A run's folder, a .keras file, a checkpoint such as RUN/checkpoints/ckpt-1000, or "
    "an official .pkl.",
    flag_values=FLAGS,
)
flags.DEFINE_string("seeds", "0-31", "Numbers and ranges: 0-31,100.", flag_values=FLAGS)
flags.DEFINE_float(
    "psi",
    0.7,
    "Truncation: 1 is everything the model knows, smaller is more typical and cleaner, "
    "0 the average picture, below 0 its opposite.",
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "psi_center",
    None,
    ["class", "global"],
    "What truncation pulls towards: the average of the picture's own class, or of all "
    "pictures. By default class for a conditional model, else global.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "cutoff",
    None,
    "Truncate only so many layers, from the coarsest; the paper's figures use 8. By "
    "default all.",
    lower_bound=0,
    flag_values=FLAGS,
)
flags.DEFINE_enum(
    "noise",
    "const",
    ["const", "random", "none"],
    "Fine detail: the stored maps, maps drawn from the seed, or none.",
    flag_values=FLAGS,
)
flags.DEFINE_string(
    "classes",
    None,
    "Class numbers of a conditional model, 0-3,7; given in turn to the seeds. By "
    "default every class in turn.",
    flag_values=FLAGS,
)
flags.DEFINE_bool(
    "each_class",
    False,
    "Draw every seed in every one of the classes.",
    flag_values=FLAGS,
)
flags.DEFINE_string("out", "out", "Folder for the pictures.", flag_values=FLAGS)
flags.DEFINE_string(
    "grid",
    None,
    "Write one sheet to this file instead; of several classes, one row each.",
    flag_values=FLAGS,
)
flags.DEFINE_integer(
    "columns", None, "Pictures in a row of the sheet.", lower_bound=1, flag_values=FLAGS
)


def main(argv: Sequence[str]) -> int:
    """Draws as the flags say; returns the exit code."""
    from stylegan_tf.errors import UserError
    from stylegan_tf.latents import parse_numbers

    if not FLAGS.model:
        raise UserError("name a model with --model=..., such as a folder in runs/.")
    if not math.isfinite(FLAGS.psi):
        raise UserError(f"--psi={FLAGS.psi} is no number to truncate by; try 0.7.")
    if FLAGS.grid and not FLAGS.grid.lower().endswith(".png"):
        raise UserError(f"--grid={FLAGS.grid} is written as PNG; name it x.png.")
    seeds = parse_numbers(FLAGS.seeds)
    classes = parse_numbers(FLAGS.classes, "classes") if FLAGS.classes else None

    cli.load_tensorflow()
    from stylegan_tf import export, sampling

    model = export.load(FLAGS.model)
    plan = _plan(model, seeds, classes)
    pictures = sampling.draw(
        model,
        plan.seeds,
        psi=FLAGS.psi,
        cutoff=FLAGS.cutoff,
        noise=FLAGS.noise,
        classes=plan.classes,
        progress=True,
        psi_center=FLAGS.psi_center,
    )
    return _write(plan, pictures)


class Plan(NamedTuple):
    """What is drawn, picture by picture, and how it is laid out."""

    seeds: list[int]
    classes: list[int] | None  # one a seed; None without classes
    several: bool  # classes, so that a file's name has to say which
    columns: int | None  # of a sheet; None = as many as a screen has room for


def _plan(model, seeds: list[int], classes: list[int] | None) -> Plan:
    from stylegan_tf import sampling
    from stylegan_tf.errors import UserError

    if FLAGS.each_class and not model.config.classes:
        raise UserError("the model has no classes; leave --each_class out.")
    turns = sampling.classes_of(model, classes)
    asked = list(dict.fromkeys(turns))
    several = len(asked) > 1
    rows = several and FLAGS.grid and not FLAGS.columns
    if rows and classes is None and len(asked) > MOST_ROWS:
        raise UserError(
            f"{len(asked)} classes are too many rows for a sheet; choose some with "
            f"--classes=0-9, or give --columns to draw them in turn."
        )
    if not (rows or (several and FLAGS.each_class)):
        own = [turns[i % len(turns)] for i in range(len(seeds))] if turns else None
        return Plan(seeds, own, several, FLAGS.columns)
    each = [k for k in asked for _ in seeds]
    return Plan(seeds * len(asked), each, several, FLAGS.columns or len(seeds))


def _write(plan: Plan, pictures) -> int:
    from pathlib import Path

    import numpy as np

    from stylegan_tf import figures

    if FLAGS.grid:
        images = np.stack([picture for _, picture in pictures])
        columns = plan.columns or figures.layout(*images.shape[1:3])[0]
        sheet = figures.grid(images, min(columns, len(images)))
        print(figures.save(FLAGS.grid, sheet))
        return 0
    for i, (seed, picture) in enumerate(pictures):
        tail = f"-class{plan.classes[i]}" if plan.several else ""
        figures.save(Path(FLAGS.out) / f"seed{seed:04d}{tail}.png", picture)
    count = len(plan.seeds)
    print(f"{count} picture{'s' * (count != 1)} in {FLAGS.out}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
