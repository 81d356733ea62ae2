"""Finds the styles and noise with which a model draws given pictures.

    python launch/project.py --model=runs/00000-demo-demo --images=photos/me.jpg
    python launch/project.py --model=RUN --images=photos/ --space=wplus --out=out/mine
    python launch/project.py --model=RUN --images=a.png,b.png --steps=300 --novideo
    python launch/project.py --model=RUN --target_seeds=0-31
    python launch/project.py --model=ffhq.pkl --images=me.jpg --loss=lpips:FILE

Pictures are cropped to the model's shape at the center and resized. A model draws only
what it has learned: faces must stand where the faces of its training pictures stand.

W is one style for all layers: the result is a picture of the model's own, as near as
possible. W+ is one style per layer: nearer, but it edits less well. The settings are
those of StyleGAN2's projector. By default pictures are compared by their pixels and
gradients at several sizes, and --noise_weight is smaller for models smaller than
1024x1024.

--out then holds projected.npz (styles, noise maps and names), comparison.png (target,
projection, difference times four), every target and projection, projection.json with
distances and PSNR, and progress.mp4 (progress-0.mp4 and so on for several batches).

--target_seeds takes pictures of the model itself, to see how well the search works.
"""

import math
from collections.abc import Sequence

from stylegan_tf_launch import cli

FRAMES = 120  # of a film

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.paths(
    "images",
    None,
    "Picture files, folders or zips of pictures, or demo:N; several with commas.",
)
define.integer("first", None, "Only so many of the pictures.", 1, 1_000_000)
define.string(
    "target_seeds",
    None,
    "Take the model's own pictures of these seeds, 0-31,100, not truncated.",
)
define.enum("space", "w", ["w", "wplus"], "Search for one style, or one per layer.")
define.integer("steps", 1000, "Steps of Adam.", 1, cli.MOST)
define.integer(
    "seed",
    0,
    "Random seed of the noise in the search.",
    lower_bound=0,
    upper_bound=cli.SEED,
)
define.string(
    "classes",
    None,
    "Class numbers of a conditional model, 0-3,7, cycled over the pictures: the search "
    "starts at the mean of the class. By default at the mean of all classes.",
)
define.path(
    "loss",
    "multiscale",
    "Distance of pictures: multiscale (pixels and gradients), builtin, random, or "
    "lpips:FILE with the published weights.",
)
define.path(
    "data",
    None,
    "The data set that --loss=builtin is trained on; by default the built-in faces.",
)
define.float("lr", 0.1, "Adam's highest learning rate.", 0, 100)
define.float(
    "noise_weight",
    None,
    "Weight of the penalty that keeps the picture out of the noise maps. By default "
    "the official 1e5 at 1024x1024, and less in proportion to the pixels of a smaller "
    "model.",
    lower_bound=0,
    upper_bound=1e12,
)
define.integer(
    "batch",
    None,
    "Pictures per batch; by default by their size.",
    lower_bound=1,
    upper_bound=4096,
)
define.bool("video", True, "Write progress.mp4.")
define.path("out", "out/projection", "Folder for all files.")


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

    settings = projector.ProjectionSettings(
        lr=FLAGS.lr, noise_weight=FLAGS.noise_weight
    )
    model = models.load(FLAGS.model)
    loss = _loss(model.config.channels)
    from_seeds = bool(FLAGS.target_seeds)
    names, targets, classes = _from_seeds(model) if from_seeds else _from_files(model)
    cli.make_folder(FLAGS.out)
    projection = projector.project(
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
        watch=_film_writer(targets) if FLAGS.video else None,
    )
    about = {name: FLAGS[name].value for name in ("model", "space", "steps", "seed")}
    weight = settings.penalty_weight(math.prod(targets.shape[1:3]))
    about |= vars(settings) | {"noise_weight": weight}
    report.save_projection(projection, FLAGS.out, about)
    print(report.projection_table(projection))
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


def _film_writer(targets):
    """Returns a function that writes a film of each batch."""
    from stylegan_tf.figures import video
    from stylegan_tf.projector import report

    video.check_video("progress.mp4", report.FPS)

    def watch(rows: slice, snapshots) -> None:
        whole = rows == slice(0, len(targets))
        name = "progress" if whole else f"progress-{rows.start}"
        frames = report.search_frames(targets[rows], snapshots)
        video.write_video(f"{FLAGS.out}/{name}.mp4", frames, report.FPS)

    return watch


# ---------------------------------------------------------------------------
# Targets: names, uint8 images, and the classes that are cycled over them or None


def _from_seeds(model):
    import numpy as np

    from stylegan_tf import sampling
    from stylegan_tf.latents import parse_numbers

    seeds = list(dict.fromkeys(parse_numbers(FLAGS.target_seeds, "target_seeds")))
    classes = sampling.chosen_classes(model, _classes())
    drawn = sampling.draw(model, seeds, classes=classes, progress=True)
    images = np.stack([image for _, image in drawn])
    return [f"seed{seed:04d}" for seed in seeds], images, classes or None


def _from_files(model):
    from stylegan_tf import sampling
    from stylegan_tf.projector import targets

    c = model.config
    classes = sampling.chosen_classes(model, _classes()) if FLAGS.classes else None
    shape = c.shape(model.growth.resolution)
    read = targets.read_targets(FLAGS.images, shape, c.channels, FLAGS.first)
    for note in read.notes:
        print(note)
    return read.names, read.images, classes


def _classes() -> list[int] | None:
    from stylegan_tf.latents import parse_numbers

    return parse_numbers(FLAGS.classes, "classes") if FLAGS.classes else None


if __name__ == "__main__":
    cli.run(main, FLAGS)
