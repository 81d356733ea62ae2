r"""Trains an encoder, which tells a picture's styles at once, for any model.

    python launch/encode.py train --model=runs/00000-demo-demo
    python launch/encode.py train --model=RUN --data=photos/ --out=mine/encoder.keras
    python launch/project.py --model=RUN --images=me.jpg --start=encoder \
      --encoder=encoder.keras --space=wplus --steps=100

It learns from pictures that the model draws itself, whose styles are known, so it needs
no data and no other network. Pictures of --data, such as the model's training set, are
mixed in: the encoder then learns to answer to pictures that the model cannot draw
exactly. In W+ a style is w plus an offset; --offsets keeps those small, so that edits
work on the answer (e4e).

project.py starts its search at the encoder's answer, or takes the answer itself with
--steps=0. An encoder is of one model's weights: train the model on, and it needs
another one. A training that was stopped goes on with the same command.
"""

from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

# What the result depends on, besides the model and the pictures.
REQUEST = ["space", "steps", "batch", "seed", "width", "lr", "mixing", "offsets"]
REQUEST += ["likeness"]

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.paths(
    "data",
    None,
    "Pictures to mix in: files, folders or zips, or demo:N; several with commas.",
)
define.integer("first", 10_000, "At most so many of them.", 1, 1_000_000)
define.enum(
    "space", "wplus", ["w", "wplus"], "Answer with one style, or one per layer."
)
define.integer("steps", 3000, "Steps of Adam.", 1, cli.MOST)
define.integer("batch", None, "Pictures per step; by default by their size.", 1, 4096)
define.integer(
    "seed", 0, "Random seed of the training.", lower_bound=0, upper_bound=cli.SEED
)
define.integer(
    "width", 1, "Feature maps of the encoder, in multiples of the model's.", 1, 64
)
define.float("lr", 0.01, "Adam's highest learning rate.", 0, 100)
define.float("mixing", 0.5, "Share of samples that mix two latents.", 0, 1)
define.float("offsets", 0.02, "Weight of the penalty on offsets in W+.", 0, 1e6)
define.float("likeness", 1.0, "Weight of the distance of pictures.", 0, 1e6)
define.path("out", "encoder.keras", "The encoder's file.")
ARGUMENTS = "train"
SAMPLES = 64  # pictures that the result is measured with


def main(argv: Sequence[str]) -> int:
    """Trains and writes; returns the exit code."""
    cli.announce_loading()
    from stylegan_tf.errors import UserError

    cli.check_model(FLAGS.model)
    out = Path(FLAGS.out)
    if argv[1:] not in ([], ["train"]):
        raise UserError(f"what shall {' '.join(argv[1:])} be? encode.py trains: train.")
    if out.suffix != ".keras" or out.is_dir():
        raise UserError(f"--out={out} must be a file whose name ends in .keras.")
    if not FLAGS.data:
        cli.refuse_flags(FLAGS, ["first"], "is of --data; add that.")
    if FLAGS.space == "w":
        cli.refuse_flags(FLAGS, ["offsets"], "is of --space=wplus.")
    cli.make_folder(out.parent)
    cli.load_tensorflow(models=[FLAGS.model])
    from stylegan_tf import models, sampling
    from stylegan_tf.files import atomic_write

    model = models.load(FLAGS.model)
    images, state = _read_data(model), out.with_name(f"{out.name}-state.npz")
    trained = _train(model, images, state)
    with atomic_write(out) as draft:
        trained.save(draft)
    state.unlink(missing_ok=True)
    drawn = sampling.draw(model, range(SAMPLES))
    _tell("the model's own", [image for _, image in drawn], trained, model)
    if images is not None:
        _tell("--data", images[:SAMPLES], trained, model)
    print(out)
    return 0


def _read_data(model):
    """Returns the real images, uint8 [N, H, W, C], or None."""
    from stylegan_tf.projector import targets

    if not FLAGS.data:
        return None
    c = model.config
    shape = c.shape(model.growth.resolution)
    read = targets.read_targets(FLAGS.data, shape, c.channels, FLAGS.first)
    for note in read.notes:
        print(note)
    return read.images


def _train(model, images, state: Path):
    """Trains, or goes on with what `state` holds of the same command."""
    import numpy as np

    from stylegan_tf.projector import encoder, resuming

    flags = {name: FLAGS[name].value for name in REQUEST}
    digested = np.zeros(0, np.uint8) if images is None else images
    request = resuming.request_digest(model, digested, **flags)
    if resuming.is_state_of(state, request):
        print(f"Going on with the training in {state}.")
    settings = encoder.EncoderSettings(
        lr=FLAGS.lr,
        mixing=FLAGS.mixing,
        offsets=FLAGS.offsets,
        likeness=FLAGS.likeness,
    )
    return encoder.train_encoder(
        model,
        images,
        FLAGS.space,
        FLAGS.steps,
        FLAGS.seed,
        FLAGS.batch,
        settings=settings,
        width=FLAGS.width,
        about=flags | {"model": FLAGS.model, "data": FLAGS.data},
        progress=True,
        state=state,
        request=request,
    )


def _tell(what: str, images, trained, model) -> None:
    """Prints how near the encoder's answers come to pictures."""
    import numpy as np

    from stylegan_tf.projector import encoder

    found = encoder.measure_encoder(trained, model, np.stack(images))
    near, far = found.distances.mean(), found.start_distances.mean()
    print(
        f"{what}: {found.psnr.mean():.1f} dB, distance {near:.3f} [{found.loss}], of "
        f"the mean picture {far:.3f}"
    )


if __name__ == "__main__":
    cli.run(main, FLAGS)
