"""Finds the styles and noise with which a model draws given pictures.

    python launch/project.py --model=runs/00000-demo-demo --images=photos/me.jpg
    python launch/project.py --model=RUN --images=photos/ --space=wplus --out=out/mine
    python launch/project.py --model=RUN --images=a.png,b.png --steps=300 --novideo
    python launch/project.py --model=RUN --target_seeds=0-31
    python launch/project.py --model=ffhq.pkl --images=me.jpg --loss=lpips:FILE

Pictures are cut to the model's shape around their middle and resized. A model draws
what it has learned: faces must stand where those of its training pictures do.

W is one style for all layers: what comes out is a picture of the model's own, as near
as that goes. W+ is one style a layer: nearer, and less at ease when it is edited. The
settings are those of StyleGAN2's projector; without a feature network, pictures are
compared by their pixels and gradients at several sizes, and models smaller than
1024x1024 have a smaller --noise_weight.

--out then holds projected.npz (styles, noise maps and names), comparison.png (target,
projection, difference times four), every target and projection, projection.json with
distances and PSNR, and progress.mp4; of several batches, progress-0.mp4 and so on.

--target_seeds takes pictures of the model itself, to see how well a search does.
"""

import math
from collections.abc import Sequence

from stylegan_tf_launch import cli

FRAMES = 120  # of a film

FLAGS, define = cli.flag_set()
define.string("model", None, cli.MODEL)
define.list(
    "images",
    None,
    "Picture files, folders or zips of pictures, or demo:N; several with commas.",
)
define.integer("first", None, "Only so many of the pictures.", lower_bound=1)
define.string(
    "target_seeds",
    None,
    "Take the model's own pictures of these seeds, 0-31,100, not truncated.",
)
define.enum("space", "w", ["w", "wplus"], "Search for one style, or for one a layer.")
define.integer("steps", 1000, "Of Adam.", lower_bound=1)
define.integer(
    "seed", 0, "Of the noise in the search.", lower_bound=0, upper_bound=2**32 - 1
)
define.string(
    "classes",
    None,
    "Class numbers of a conditional model, 0-3,7; given in turn to the pictures, whose "
    "search starts at the mean of their class. By default at the mean of all.",
)
define.string(
    "loss",
    "multiscale",
    "How pictures are compared: multiscale (pixels and gradients), builtin, random, or "
    "lpips:FILE with the published weights.",
)
define.string(
    "data",
    None,
    "The data set whose network --loss=builtin is; by default that of the built-in "
    "faces.",
)
define.float("lr", 0.1, "Adam's highest rate.")
define.float(
    "noise_weight",
    None,
    "Weight of the penalty that keeps the picture out of the noise maps. By default "
    "the official 1e5 at 1024x1024, and less in proportion to the pixels of a smaller "
    "model.",
)
define.integer(
    "batch",
    None,
    "Pictures at a time; by default as many as suit their size.",
    lower_bound=1,
)
define.bool("video", True, "Write progress.mp4.")
define.string("out", "out/projection", "Folder for it all.")


def main(argv: Sequence[str]) -> int:
    """Projects as the flags say; returns the exit code."""
    from stylegan_tf.errors import UserError

    cli.check_model(FLAGS.model)
    if bool(FLAGS.images) == bool(FLAGS.target_seeds):
        raise UserError(
            "name pictures with --images=FILE,FOLDER, or seeds of the model with "
            "--target_seeds=0-31; one of the two."
        )
    if FLAGS.target_seeds:
        cli.refuse_flags(FLAGS, ["first"], "is of --images; give fewer --target_seeds.")
    if FLAGS.loss == "multiscale":
        cli.refuse_flags(
            FLAGS, ["data"], "names the network of --loss=builtin; use that."
        )
    cli.load_tensorflow(exact=True)
    from stylegan_tf import models, projector
    from stylegan_tf.projector import report

    settings = projector.Settings(lr=FLAGS.lr, noise_weight=FLAGS.noise_weight)
    model = models.load(FLAGS.model)
    loss = _loss(model.config.channels)
    names, targets, classes = _own(model) if FLAGS.target_seeds else _read(model)
    cli.make_folder(FLAGS.out)
    found = projector.project(
        model,
        targets,
        FLAGS.space,
        FLAGS.steps,
        FLAGS.seed,
        classes,
        loss,
        names,
        FLAGS.batch,
        settings,
        progress=True,
        every=math.ceil(FLAGS.steps / FRAMES) if FLAGS.video else 0,
        watch=_film(targets) if FLAGS.video else None,
    )
    about = {name: FLAGS[name].value for name in ("model", "space", "steps", "seed")}
    weight = settings.penalty_weight(math.prod(targets.shape[1:3]))
    about |= vars(settings) | {"noise_weight": weight}
    report.save(found, FLAGS.out, about)
    print(report.table(found))
    print(f"{FLAGS.out}/comparison.png")
    return 0


def _loss(channels: int):
    from stylegan_tf.errors import UserError

    if FLAGS.loss == "multiscale":
        from stylegan_tf.projector import MultiScale

        return MultiScale()
    from stylegan_tf.metrics.features import open_network

    spec = FLAGS.loss
    spec = f"vgg16-{spec}" if spec.startswith("lpips:") else spec
    network = open_network(spec, data=FLAGS.data, channels=channels)
    if not callable(getattr(network, "distance", None)):
        raise UserError(
            f"--loss={FLAGS.loss} has no distance between pictures; choose multiscale, "
            f"builtin, random or lpips:FILE."
        )
    return network


def _film(targets):
    """What writes a film of every batch."""
    from stylegan_tf.figures import video
    from stylegan_tf.projector import report

    video.check_video("progress.mp4", report.FPS)

    def watch(rows: slice, snapshots) -> None:
        whole = rows == slice(0, len(targets))
        name = "progress" if whole else f"progress-{rows.start}"
        frames = report.frames(targets[rows], snapshots)
        video.write_video(f"{FLAGS.out}/{name}.mp4", frames, report.FPS)

    return watch


# ---------------------------------------------------------------------------
# Targets: names fit for files, uint8 pictures, and classes in turn or None


def _own(model):
    import numpy as np

    from stylegan_tf import sampling
    from stylegan_tf.latents import parse_numbers

    seeds = list(dict.fromkeys(parse_numbers(FLAGS.target_seeds, "target_seeds")))
    turns = sampling.chosen_classes(model, _classes())
    drawn = sampling.draw(model, seeds, classes=turns, progress=True)
    pictures = np.stack([picture for _, picture in drawn])
    return [f"seed{seed:04d}" for seed in seeds], pictures, turns or None


def _read(model):
    from stylegan_tf import sampling
    from stylegan_tf.projector import targets

    c = model.config
    classes = sampling.chosen_classes(model, _classes()) if FLAGS.classes else None
    shape = c.shape(model.growth.resolution)
    found = targets.read(FLAGS.images, shape, c.channels, FLAGS.first)
    for note in found.notes:
        print(note)
    return found.names, found.pictures, classes


def _classes() -> list[int] | None:
    from stylegan_tf.latents import parse_numbers

    return parse_numbers(FLAGS.classes, "classes") if FLAGS.classes else None


if __name__ == "__main__":
    cli.run(main, FLAGS)
