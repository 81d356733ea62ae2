r"""Finds directions in w that change pictures in a way one can name.

    python launch/directions.py --model=runs/00000-demo-demo
    python launch/directions.py --model=RUN --method=sefa --layers=coarse --count=8
    python launch/directions.py --model=RUN --method=labels --labels=smiles.csv
    python launch/directions.py --model=RUN --method=labels --labels=demo
    python launch/directions.py --model=RUN --method=stylespace --labels=demo

    pca      the main axes of w (GANSpace)
    sefa     what the affines of the styles, or those of some layers, answer to most
    labels   across a linear boundary between pictures with and without something, or up
             the slope of a number

--method=stylespace lists style channels instead, single numbers that a layer reads of a
style, by what they move: where in the picture, or, with --labels=demo, which factor.

--labels is a table of pictures that you have looked at, drawn with generate.py:

    seed,smile,age,hair
    0,1,0.3,long
    1,0,0.8,short

An empty cell is no label; 0 and 1, or two words, make a boundary, more numbers a slope,
more words a boundary for each (hair.long). Give it some dozens of pictures of a kind.
With a conditional model, a column named class says which class each was drawn in.
--labels=demo asks the network that knows the factors of the built-in faces.

The folder --out gets directions.npz, a strip of pictures for each direction, and
strips.png with all of them. Use them:

    python launch/generate.py --model=RUN --directions=directions/directions.npz \\
      --edit=smile:2@0-3

For channels it gets channels.csv and strips.png; generate.py --edit=s3.17:4 moves
channel 17 of style 3 by four of its standard deviations.
"""

from collections.abc import Sequence

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.enum("method", "pca", ["pca", "sefa", "labels", "stylespace"], "How.")
define.path("labels", None, "A CSV file, or demo, for --method=labels.")
define.integer("count", 8, "Directions of pca and sefa, or channels.", 1, 8192)
define.string(
    "layers",
    None,
    "Layers that edits shall reach, 0-3, 8-, or coarse, middle, fine; sefa looks at "
    "their affines only. By default all.",
)
define.integer("samples", 3000, "Pictures that --labels=demo looks at.", 50, 1_000_000)
define.integer("seed", 1, "The picture in the strips.", 0, cli.SEED)
define.float("psi", 0.7, "Truncation of the pictures that are drawn.", -100, 100)
define.path("out", "directions", "Folder.")
CHANNEL_IMAGES = 16  # in which channels are moved


def main(argv: Sequence[str]) -> int:
    """Finds and writes; returns the exit code."""
    cli.announce_loading()
    from stylegan_tf import latents
    from stylegan_tf.errors import UserError
    from stylegan_tf.latents import directions

    cli.check_model(FLAGS.model)
    channels = FLAGS.method == "stylespace"
    if channels and FLAGS.labels not in (None, "demo"):
        raise UserError("--method=stylespace takes --labels=demo, or none.")
    if not channels and bool(FLAGS.labels) != (FLAGS.method == "labels"):
        raise UserError("--method=labels and --labels=FILE.csv or demo go together.")
    latents.parse_sweep(str(FLAGS.psi))
    if FLAGS.labels != "demo" or channels:
        why = "is of --method=labels --labels=demo."
        cli.refuse_flags(FLAGS, ["samples"], why)
    if FLAGS.labels and not channels:
        cli.refuse_flags(FLAGS, ["count"], "is of pca and sefa; labels say how many.")
    table = None
    if FLAGS.labels and FLAGS.labels != "demo":
        table = directions.read_labels(FLAGS.labels)

    cli.load_tensorflow(exact=True, models=[FLAGS.model])
    from stylegan_tf import models

    model = models.load(FLAGS.model)
    if channels:
        return _list_channels(model)
    return _write(model, _find(model, table))


def _list_channels(model) -> int:
    """Writes what every style channel moves, and strips of the most telling ones."""
    from pathlib import Path

    from stylegan_tf import figures, files, sampling
    from stylegan_tf.figures.paper import FigureOptions
    from stylegan_tf.figures.paper.channels import channels_figure
    from stylegan_tf.sampling import stylespace

    judge, out = None, Path(FLAGS.out)
    if FLAGS.labels:
        from stylegan_tf.metrics.features import builtin_own

        network = builtin_own.load_builtin()

        def judge(images):
            return network.factors(figures.rgb(images))

    ws = sampling.styles(model, range(CHANNEL_IMAGES), FLAGS.psi)
    styles = _layers(model)
    table = stylespace.measure_channels(model, ws, judge, styles, progress=True)
    files.write_text(out / "channels.csv", table.csv_text())
    chosen = table.best(FLAGS.count)
    options = FigureOptions(seeds=[FLAGS.seed], psi=FLAGS.psi, cell=_cell(model))
    figure = channels_figure(model, table, chosen, options)
    print(out / "channels.csv")
    print(figures.save_image(out / "strips.png", figure.image))
    for k in chosen:
        print(f"{table.names[k]:<10} {table.strength[k]:>8.4f}  {table.describe(k)}")
    return 0


def _layers(model) -> tuple[int, ...]:
    """Returns the layers of --layers; () = all."""
    from stylegan_tf import latents, sampling

    if not FLAGS.layers:
        return ()
    return tuple(latents.parse_layers(FLAGS.layers, sampling.drawn_styles(model)))


def _cell(model) -> int:
    """Returns the size of an image in a strip."""
    from stylegan_tf import figures

    return min(256, max(figures.CELL, *model.config.shape(model.config.resolution)))


def _find(model, table):
    """Returns the directions that the flags ask for."""
    import dataclasses

    from stylegan_tf import sampling
    from stylegan_tf.latents import directions
    from stylegan_tf.sampling import steering

    layers = _layers(model)
    if FLAGS.method != "labels":
        return steering.find_directions(model, FLAGS.method, FLAGS.count, layers)
    if table is None:
        w, labels = _demo_factors(model)
    else:
        seeds, labels = table
        classes = _classes(labels) if model.config.classes else None
        w = sampling.StyleBatch.from_seeds(model, seeds, classes).ws[:, 0]
    return dataclasses.replace(directions.label_directions(w, labels), layers=layers)


def _classes(labels) -> list[int]:
    """Takes the column of classes out of a table of labels."""
    from stylegan_tf.errors import UserError

    cells = labels.pop("class", ())
    if not len(cells) or not all(cell.isdecimal() for cell in cells):
        raise UserError(
            f"{FLAGS.labels} needs a column class with the number in each picture's "
            f"file name, seed0000-class2.png: the model draws a seed in every class."
        )
    return [int(cell) for cell in cells]


def _demo_factors(model):
    """Returns w of random images, and the labels that the factor network gives them."""
    import numpy as np

    from stylegan_tf import figures, sampling
    from stylegan_tf.metrics.features import builtin_own

    network, seen, seeds = builtin_own.load_builtin(), [], range(FLAGS.samples)
    drawn = sampling.draw(model, seeds, FLAGS.psi, progress=True)
    images = []
    for seed, picture in drawn:
        images.append(figures.rgb(picture))
        if len(images) == 64 or seed == seeds[-1]:
            seen.append(network.factors(np.stack(images)))
            images = []
    labels = {k: np.concatenate([part[k] for part in seen]) for k in seen[0]}
    return sampling.styles(model, seeds)[:, 0], labels


def _write(model, found) -> int:
    """Writes directions, their strips, and a sheet of these; prints a table."""
    from pathlib import Path

    from stylegan_tf import figures
    from stylegan_tf.figures import paper
    from stylegan_tf.figures.facts import picture_texts

    out = Path(FLAGS.out)
    print(found.save(out / "directions.npz"))
    options = paper.FigureOptions(
        seeds=[FLAGS.seed],
        psi=FLAGS.psi,
        columns=7,
        directions=found,
        rows=len(found.names),
        cell=_cell(model),
    )
    flags = {"figure": "directions", "model": FLAGS.model, "seeds": FLAGS.seed}
    flags |= {"psi": FLAGS.psi, "cols": 7, "rows": options.rows, "cell": options.cell}
    flags["directions"] = str(out / "directions.npz")
    texts = picture_texts("figure", flags)
    painter = paper.Painter(model, options)
    for name, strip in paper.direction_strips(painter, found).items():
        figures.save_image(out / f"{_safe(name)}.png", strip, texts | {"Edits": name})
    figure = paper.draw_figure("directions", model, options, painter)
    print(figures.save_image(out / "strips.png", figure.image, texts))
    what = {"labels": "held-out score"}.get(FLAGS.method, "share")
    print(f"{'direction':<20} {what:>14} {'deviation':>10}")
    for name, quality, scale in zip(
        found.names, found.quality, found.scales, strict=True
    ):
        print(f"{name:<20} {quality:>14.3f} {scale:>10.3f}")
    return 0


def _safe(name: str) -> str:
    """Replaces characters of a name that mean something to a file system."""
    return "".join(c if c.isalnum() or c in "-_." else "-" for c in name)


if __name__ == "__main__":
    cli.run(main, FLAGS)
