r"""Finds the styles and noise with which a model draws given pictures.

    python launch/project.py --model=runs/00000-demo-demo --images=photos/me.jpg
    python launch/project.py --model=RUN --images=photos/ --space=wplus --out=out/mine
    python launch/project.py --model=RUN --images=a.png,b.png --steps=300 --novideo
    python launch/project.py --model=RUN --target_seeds=0-31
    python launch/project.py --model=ffhq.pkl --images=me.jpg --loss=lpips:FILE
    python launch/project.py --model=RUN --images=me.jpg --tune --out=out/me
    python launch/project.py --model=RUN --images=me.jpg --encoder=encoder.keras

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

--start=encoder begins at the answer of an encoder, which encode.py trains, instead of
the mean style: fewer --steps will do, and --steps=0 takes the answer itself. Without
--encoder it is encoder.keras in the run's folder, or beside the model's file.

--tune goes on from W: it changes the generator itself until it draws the pictures
(pivotal tuning), and keeps what it draws elsewhere. --out then also holds tuned.npz,
the differences from the model, which every script takes as a model while the original
is where it was; or, with --whole, tuned.keras. A tuning that was stopped goes on with
the same command.

    python launch/generate.py --model=out/me/tuned.npz --latents=out/me/projected.npz \
      --edit=pca0:2
"""

import dataclasses
import math
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FRAMES = 120  # of a film
STATE = "tuning-state.npz"  # in --out, while a tuning is under way
OF_TUNING = ["tune_steps", "tune_lr", "tune_until", "locality", "whole"]
# What the result depends on, besides the model and the pictures.
REQUEST = ["steps", "seed", "classes", "loss", "data", "lr", "noise_weight", "batch"]
REQUEST += OF_TUNING[:-1]
ABOUT = ["model", "space", "steps", "seed", "encoder"]  # in projection.json

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
define.integer(
    "steps",
    1000,
    "Steps of Adam; 0 takes the encoder's answer.",
    lower_bound=0,
    upper_bound=cli.MOST,
)
define.enum(
    "start",
    None,
    ["mean", "encoder"],
    "Where the search starts: at the mean style, or at the answer of --encoder. By "
    "default at the latter if there is one.",
)
define.path(
    "encoder",
    None,
    "The encoder's file, of encode.py. With --start=encoder by default encoder.keras "
    "in the run's folder, or beside the model's file.",
)
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
    "Classes of a conditional model by number or name, 0-3,cats, cycled over the "
    "pictures: the search starts at the mean of the class. By default at the mean of "
    "all classes.",
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
define.bool("tune", False, "Tune the generator to the pictures, from W on.")
define.integer("tune_steps", 500, "Most steps of the tuning, for each picture.", 1)
define.float("tune_lr", 3e-3, "Adam's learning rate in the tuning.", 0, 100)
define.float("tune_until", 0.03, "Distance at which the tuning ends.", 0, 1e6)
define.float(
    "locality",
    1.0,
    "Weight of the other pictures near by, which the tuning shall not change.",
    lower_bound=0,
    upper_bound=1e6,
)
define.bool("whole", False, "Write the tuned model whole, as tuned.keras.")
define.path("out", "out/projection", "Folder for all files.")


def main(argv: Sequence[str]) -> int:
    """Projects as the flags say; returns the exit code."""
    cli.announce_loading()
    _check_flags()
    cli.load_tensorflow(exact=True, models=[FLAGS.model])
    from stylegan_tf import models, projector
    from stylegan_tf.projector import report

    settings = dataclasses.replace(
        projector.default_settings(from_answer=bool(FLAGS.encoder)),
        lr=FLAGS.lr,
        noise_weight=FLAGS.noise_weight,
    )
    model = models.load(FLAGS.model)
    loss = _loss(model.config.channels)
    encoder = _encoder(model)
    from_seeds = bool(FLAGS.target_seeds)
    names, targets, classes = _from_seeds(model) if from_seeds else _from_files(model)
    cli.make_folder(FLAGS.out)
    about = {name: FLAGS[name].value for name in ABOUT}
    weight = settings.penalty_weight(math.prod(targets.shape[1:3]))
    about |= vars(settings) | {"noise_weight": weight}
    request = _request(model, names, targets) if FLAGS.tune else ""
    projection = _unfinished(model, targets, classes, loss, request)
    if projection is None:
        (Path(FLAGS.out) / STATE).unlink(missing_ok=True)
        start = _start(encoder, targets)
        projection = _project(model, names, targets, classes, loss, settings, start)
        report.save_projection(projection, FLAGS.out, about)
    tuned = None
    if FLAGS.tune:
        tuned = _tune(model, projection, loss, request)
        about["tuned"] = f"{FLAGS.out}/tuned.{'keras' if FLAGS.whole else 'npz'}"
        report.save_projection(projection, FLAGS.out, about, tuned)
        (Path(FLAGS.out) / STATE).unlink(missing_ok=True)
    print(report.projection_table(projection, tuned))
    print(f"{FLAGS.out}/comparison.png")
    return 0


def _check_flags() -> None:
    """Refuses flags that do not go together."""
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
    if FLAGS.start == "encoder" and not FLAGS.encoder:
        FLAGS.encoder = cli.find_encoder(FLAGS.model)
        if FLAGS.encoder is None:
            raise UserError(
                f"name the encoder's file with --encoder=FILE; there is no "
                f"{cli.ENCODER} with {FLAGS.model}."
            )
    if FLAGS.start == "mean":
        cli.refuse_flags(FLAGS, ["encoder"], "is of --start=encoder; use that.")
    if not FLAGS.steps and not FLAGS.encoder:
        raise UserError("--steps=0 takes the answer of an encoder; add --encoder=FILE.")
    if not FLAGS.tune:
        cli.refuse_flags(FLAGS, OF_TUNING, "is of --tune; add that.")
    elif FLAGS.space != "w":
        raise UserError("--tune starts from one style per picture; leave --space out.")


def _encoder(model):
    from stylegan_tf.projector import encoder

    return encoder.load_encoder(FLAGS.encoder, model) if FLAGS.encoder else None


def _start(encoder, targets):
    from stylegan_tf.projector.encoder import encode_images

    return encode_images(encoder, targets, FLAGS.space) if encoder else None


def _project(model, names, targets, classes, loss, settings, start):
    from stylegan_tf import projector

    films = FLAGS.video and FLAGS.steps
    return projector.project(
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
        every=math.ceil(FLAGS.steps / FRAMES) if films else 0,
        watch=_film_writer(targets) if films else None,
        start=start,
    )


# ---------------------------------------------------------------------------
# Tuning


def _request(model, names, targets) -> str:
    from stylegan_tf.projector import resuming

    flags = {name: FLAGS[name].value for name in REQUEST}
    if FLAGS.encoder:
        flags["encoder"] = FLAGS.encoder
    return resuming.request_digest(model, targets, names=names, **flags)


def _unfinished(model, targets, classes, loss, request: str):
    """Returns the projection that a stopped tuning of this command began with."""
    from stylegan_tf.latents import load_latents
    from stylegan_tf.projector import resuming, search

    out = Path(FLAGS.out)
    if not request or not resuming.is_state_of(out / STATE, request):
        return None
    print(f"Going on with the tuning in {out}.")
    c = model.config
    pivots = load_latents(out / "projected.npz", c.num_styles, c.w_dim)
    return search.measure_projection(model, pivots, targets, classes, loss)


def _tune(model, projection, loss, request: str):
    """Tunes, and writes the tuned model."""
    from stylegan_tf import models
    from stylegan_tf.files import atomic_write
    from stylegan_tf.formats.tuned_files import write_tuned
    from stylegan_tf.networks.block import weights_fingerprint
    from stylegan_tf.projector import tuning

    settings = tuning.TuningSettings(
        lr=FLAGS.tune_lr, locality=FLAGS.locality, stop_at=FLAGS.tune_until
    )
    pivots, out = projection.latents, Path(FLAGS.out)
    tuned = tuning.tune(
        model,
        pivots.ws,
        projection.targets,
        pivots.noise,
        FLAGS.tune_steps,
        FLAGS.seed,
        loss,
        settings,
        FLAGS.batch,
        progress=True,
        state=out / STATE,
        request=request,
    )
    if FLAGS.whole:
        with atomic_write(out / "tuned.keras") as draft:
            tuned.generator.save(draft)
        print(out / "tuned.keras")
        return tuned
    file = models.find_model(FLAGS.model)
    differences, fingerprint = tuned.differences, tuned.fingerprint
    if file.original:  # a tuned model, tuned again
        original = models.load(file.original.path)
        fingerprint = weights_fingerprint(original)
        differences = tuning.weight_differences(tuned.generator, original)
    about = {"pictures": list(pivots.names), "steps": tuned.steps, "loss": loss.name}
    about |= vars(settings)
    place = out / "tuned.npz"
    print(write_tuned(place, file.base.path, fingerprint, differences, about))
    return tuned


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
    classes = sampling.chosen_classes(model, _classes(model))
    drawn = sampling.draw(model, seeds, classes=classes, progress=True)
    images = np.stack([image for _, image in drawn])
    return [f"seed{seed:04d}" for seed in seeds], images, classes or None


def _from_files(model):
    from stylegan_tf import sampling
    from stylegan_tf.projector import targets

    c = model.config
    classes = sampling.chosen_classes(model, _classes(model)) if FLAGS.classes else None
    shape = c.shape(model.growth.resolution)
    read = targets.read_targets(FLAGS.images, shape, c.channels, FLAGS.first)
    for note in read.notes:
        print(note)
    return read.names, read.images, classes


def _classes(model) -> list[int] | None:
    from stylegan_tf.latents import parse_classes

    names = model.config.class_names
    return parse_classes(FLAGS.classes, names) if FLAGS.classes else None


if __name__ == "__main__":
    cli.run(main, FLAGS)
