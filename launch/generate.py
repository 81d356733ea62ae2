"""Draws pictures with a trained model.

    python launch/generate.py --model=runs/00000-demo-demo
    python launch/generate.py --model=generator.keras --seeds=0-31,100 --psi=0.5
    python launch/generate.py --model=runs/00003-photos-demo --grid=sheet.png
    python launch/generate.py --model=runs/00004-cats-demo --classes=2 --seeds=0-9

A seed is a picture: the same seed gives the same file on every run, however many are
drawn. Pictures are written as seed0000.png and so on, or as one sheet with --grid.
"""

from collections.abc import Sequence

from absl import flags
from stylegan_tf_launch import cli

FLAGS = flags.FlagValues()
flags.DEFINE_string(
    "model",
    None,
    "A run's folder, a .keras file, or a checkpoint such as RUN/checkpoints/ckpt-1000.",
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
flags.DEFINE_string("out", "out", "Folder for the pictures.", flag_values=FLAGS)
flags.DEFINE_string(
    "grid",
    None,
    "Write one sheet to this file instead.",
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
    seeds = parse_numbers(FLAGS.seeds)
    classes = parse_numbers(FLAGS.classes, "classes") if FLAGS.classes else None

    cli.load_tensorflow()
    from stylegan_tf import export, sampling

    model = export.load(FLAGS.model)
    pictures = sampling.draw(
        model,
        seeds,
        psi=FLAGS.psi,
        cutoff=FLAGS.cutoff,
        noise=FLAGS.noise,
        classes=classes,
        resolution=export.trained_resolution(FLAGS.model),
        progress=True,
    )
    return _write(seeds, pictures)


def _write(seeds: list[int], pictures) -> int:
    from pathlib import Path

    import numpy as np

    from stylegan_tf import figures

    if FLAGS.grid:
        images = np.stack([picture for _, picture in pictures])
        columns = FLAGS.columns or figures.layout(*images.shape[1:3])[0]
        columns = min(columns, len(images))
        sheet = figures.grid(images, columns)
        print(figures.save(FLAGS.grid, sheet))
        return 0
    for seed, picture in pictures:
        figures.save(Path(FLAGS.out) / f"seed{seed:04d}.png", picture)
    print(f"{len(seeds)} pictures in {FLAGS.out}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
