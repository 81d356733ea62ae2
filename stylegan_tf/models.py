"""Opens models: a run directory, a checkpoint, a `.keras` file or a foreign checkpoint.

A model at an address, such as gs://bucket/run or hf://user/name, is fetched first (see
`remote` and `hub`). A tuned model is the differences from its original's weights, which
is opened with it.

`find_model` tells what a path is without reading it, `load` makes its generator.
"""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import files, sampling
from stylegan_tf.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    Growth,
    TrainConfig,
    custom,
    schedule,
    weights,
)
from stylegan_tf.errors import UserError, one_line
from stylegan_tf.formats import keras_files, safetensors_files, tuned_files
from stylegan_tf.model_files import (  # noqa: F401, names of this module, too
    FOREIGN,
    GENERATOR_KEY,
    KERAS_FILE,
    SAVED_MODEL,
    ModelFile,
    find_model,
)
from stylegan_tf.networks import ops
from stylegan_tf.networks.block import weight_name, weights_fingerprint
from stylegan_tf.networks.custom import custom_class
from stylegan_tf.networks.discriminator import Discriminator, discriminator_of
from stylegan_tf.networks.generator import Generator, generator_of
from stylegan_tf.official import networks as official

# ---------------------------------------------------------------------------
# Networks


def load(path: Path | str) -> Generator:
    """Opens a model: of a run, a `.keras` file, or a checkpoint of another project.

    Args:
        path: a run directory (its newest checkpoint's moving average), a folder with
            `generator.keras`, a `.keras` file, a checkpoint's prefix such as
            `runs/00000-demo-demo/checkpoints/ckpt-12000`, a tuned model's `.npz`, or
            one of NVIDIA's pickles or rosinality's `.pt` files (its Gs, or else its
            G).

    Returns:
        The generator, float32.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    file = find_model(path)
    if file.kind == "keras":
        generator = _load_keras(file.path)
    elif file.kind == "safetensors":
        generator = load_safetensors(file.path)
    elif file.kind == "pickle":
        generator = official.load_generator(file.path)
    elif file.original:
        generator = _load_tuned(file.path, file.original)
    else:
        generator = generator_of(_stored_config(file).generator, growth_of(file.path))
        restore_networks(file.path, average=generator)
    _check_finite(file, generator)
    return generator


def generate(
    model: Generator | Path | str,
    seeds: Iterable[int] = (0,),
    psi: float | Sequence[float] = 1.0,
    cutoff: int | None = None,
    noise: str = "const",
    classes: Sequence[int] | None = None,
    resolution: int | None = None,
) -> np.ndarray:
    """Returns the images of seeds.

    Args:
        model: a generator, or the path of a model, see `load`.
        seeds: one per image.
        psi: truncation, 1 = none, 0 = the average image; a number or one per layer.
        cutoff: number of layers to truncate, from the coarsest; None = all.
        noise: "const", "none", or "random" (from the seed).
        classes: class numbers that the seeds take in turn; None = all of them.
        resolution: of the images; None = the highest that the model has learned.

    Returns:
        uint8 [N, H, W, C].

    Raises:
        UserError: there is no such model, or it has no such classes.
    """
    generator = load(model) if isinstance(model, str | Path) else model
    drawn = sampling.draw(generator, seeds, psi, cutoff, noise, classes, resolution)
    images = [image for _, image in drawn]
    if images:
        return np.stack(images)
    size = generator.config.shape(resolution or generator.growth.resolution)
    return np.zeros((0, *size, generator.config.channels), np.uint8)


def load_networks(
    path: Path | str,
) -> tuple[Generator | None, Discriminator | None, Generator | None]:
    """Opens a model's generator in training, discriminator and moving average.

    Args:
        path: a model, see `load`. A run has all three networks; an official file has
            what it has; any other model is a moving average alone.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    file = find_model(path)
    if file.kind in ("keras", "safetensors", "tuned"):
        return None, None, load(file.path)
    if file.kind == "pickle":
        networks = official.load_pickled_networks(file.path)
        _check_finite(file, *networks)
        return networks
    config, growth = _stored_config(file), growth_of(file.path)
    generator, average = (generator_of(config.generator, growth) for _ in range(2))
    discriminator = discriminator_of(config.discriminator)
    restore_networks(
        file.path, generator=generator, discriminator=discriminator, average=average
    )
    _check_finite(file, generator, discriminator, average)
    return generator, discriminator, average


def _check_finite(file: ModelFile, *networks: keras.Model | None) -> None:
    stored = [v for network in networks if network for v in network.weights]
    names = ops.names_not_finite(stored)
    if not names:
        return
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    remedy = "take another copy or an earlier one"
    if file.run:
        remedy = "take an earlier checkpoint"
        if all(name.endswith("w_avg") for name in names):
            remedy = "go on with its training, which measures w_avg anew"
    raise UserError(
        f"{file.path} has numbers that are not finite in {len(names)} of "
        f"{len(stored)} arrays: {shown}; {remedy}."
    )


def restore_networks(path: Path, **networks: keras.Model) -> None:
    """Fills networks from a run's checkpoint.

    Args:
        path: the checkpoint's prefix.
        networks: by their names in `training.passes.Networks`.

    Raises:
        UserError: the checkpoint is damaged, or of other networks.
    """
    try:
        with files.plain_alias(path.parent) as folder:
            reader = tf.train.Checkpoint(**networks)
            status = reader.restore(str(folder / path.name)).expect_partial()
        status.assert_existing_objects_matched()
    except (tf.errors.OpError, OSError, AssertionError, ValueError, LookupError) as e:
        if isinstance(e, UserError):
            raise
        raise UserError(f"{path} cannot be read: {str(e).splitlines()[0]}") from e


def _load_keras(path: Path) -> Generator:
    settings = _keras_settings(path)
    with _told(path):
        config = configs.from_dict(GeneratorConfig, settings["config"])
        weights.check_size(config)
        if config.network:  # the user's own class, whose weights only it knows
            own = custom_class(config)
            classes = {own.__name__: own}
        else:
            classes = {}
            keras_files.check_keras_weights(path, weights.count_weights(config))
    try:
        model = keras.models.load_model(path, classes, compile=False)
    except Exception as error:  # whatever Keras meets in what is left of the file
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    if not isinstance(model, Generator):
        raise _no_generator(path, type(model).__name__)
    return model


def load_safetensors(path: Path | str) -> Generator:
    """Opens a generator that `export.save_generator` wrote.

    Raises:
        UserError: the file is damaged, or its weights are not those of its settings.
    """
    settings = _safetensors_settings(path)
    arrays = safetensors_files.read_safetensors(path)
    with _told(path):
        config = configs.from_dict(GeneratorConfig, settings["config"])
        generator = generator_of(config, _stored_growth(settings))
    stored = {weight_name(v): v for v in generator.weights}
    wrong = [k for k in {*stored, *arrays} if not _fits(arrays.get(k), stored.get(k))]
    if wrong:
        raise UserError(
            f"{path} cannot be read: {min(wrong)} is not as its settings say."
        )
    for name, weight in stored.items():
        weight.assign(arrays[name])
    return generator


def _load_tuned(path: Path, original: ModelFile) -> Generator:
    tuned, generator = tuned_files.read_tuned(path), load(original.path)
    if weights_fingerprint(generator) != tuned.fingerprint:
        raise UserError(
            f"{path} was tuned from a model with other weights than {original.path} "
            f"has now; put the original back, or tune again."
        )
    stored = {weight_name(v): v for v in generator.weights}
    for name, difference in tuned.differences.items():
        if not _fits(difference, stored.get(name)):
            raise UserError(
                f"{path} is damaged: {name[:80]} is no weight of its model."
            )
        stored[name].assign(stored[name].numpy() + difference)
    return generator


def _fits(array: np.ndarray | None, weight: keras.Variable | None) -> bool:
    if array is None or weight is None:
        return False
    return array.shape == tuple(weight.shape) and array.dtype.kind == "f"


# ---------------------------------------------------------------------------
# Settings, read without the weights


def growth_of(path: Path | str) -> Growth:
    """Reads how far a model has grown, without making it.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    file = find_model(path).base
    if file.kind in ("keras", "safetensors"):
        with _told(file.path):
            return _stored_growth(_own_settings(file))
    if file.kind == "pickle":
        return official.stored_growth(file.path)
    config = run_config(file.run)
    if file.nimg is None:
        raise UserError(f"{file.path} does not end in the images seen, as ckpt-1000.")
    return schedule.growth_at(config, file.nimg)


def network_configs(
    path: Path | str,
) -> tuple[GeneratorConfig, DiscriminatorConfig | None]:
    """Reads the settings of a model's networks.

    Args:
        path: a model, see `load`.

    Returns:
        Those of the generator and of the discriminator; None if there is none.

    Raises:
        UserError: there is no model at `path`, it cannot be read, or it has no
            generator.
    """
    file = find_model(path).base
    if file.kind == "pickle":
        return official.pickled_configs(file.path)
    if file.kind == "checkpoint":
        config = run_config(file.run)
        return config.generator, config.discriminator
    with _told(file.path):
        values = _own_settings(file)["config"]
        return configs.from_dict(GeneratorConfig, values), None


def stored_augment_p(path: Path | str) -> float | None:
    """Reads the probability that a foreign checkpoint's ADA had reached, if any.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    file = find_model(path).base
    snapshot = official.torch_snapshot(file.path) if file.kind == "pickle" else None
    return snapshot.augment_p if snapshot else None


def run_config(run: Path | None) -> TrainConfig:
    """Reads the settings of a run.

    Raises:
        UserError: `config.json` cannot be read.
    """
    assert run is not None
    try:
        return configs.read_config(run / "config.json")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{run}/config.json cannot be read: {error}") from error


def _stored_config(file: ModelFile) -> TrainConfig:
    """Reads a run's settings, whose weights its checkpoint must be able to hold.

    So a small file cannot make this process allocate a large network.
    """
    config = run_config(file.run)
    weights.check_size(config.generator)
    expected = weights.count_weights(config.generator)
    start = f"{file.path.name}.data-"
    parts = [p for p in file.path.parent.iterdir() if p.name.startswith(start)]
    stored = sum(part.stat().st_size for part in parts)
    if stored < 2 * expected:
        raise UserError(
            f"{file.path} cannot be read: it holds {files.size_text(stored)}, and the "
            f"run's config.json asks for {expected:,} weights."
        )
    return config


@contextlib.contextmanager
def _told(path: Path | str) -> Iterator[None]:
    """Puts the file's name before an error in its settings."""
    try:
        yield
    except (UserError, TypeError, ValueError, LookupError, ArithmeticError) as error:
        if str(error).startswith(str(path)):
            raise
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error


def _stored_growth(settings: dict) -> Growth:
    final = settings["config"]["resolution"]
    growth = Growth(settings.get("level") or final, settings.get("alpha", 1.0))
    resolution, alpha = growth
    fits = type(resolution) is int and resolution in configs.levels(final)
    if not fits or type(alpha) not in (int, float) or not 0 <= alpha <= 1:
        raise UserError(f"it has grown to {growth}, which cannot be.")
    return growth


def _own_settings(file: ModelFile) -> dict:
    """The arguments that the generator in a file of ours was made with."""
    if file.kind == "safetensors":
        return _safetensors_settings(file.path)
    return _keras_settings(file.path)


def _safetensors_settings(path: Path | str) -> dict:
    text = safetensors_files.read_metadata(path).get(GENERATOR_KEY)
    with _told(path):
        settings = files.parse_json(text or "null")
        if not isinstance(settings, dict) or not isinstance(
            settings.get("config"), dict
        ):
            raise UserError("it does not say what it is")
        return settings


def _keras_settings(path: Path) -> dict:
    """The arguments that the generator in a `.keras` file was made with."""
    try:
        content = keras_files.read_keras_config(path)
        kind, settings = content["class_name"], content["config"]
    except (OSError, ValueError, LookupError) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    own = settings.get("config") if isinstance(settings, dict) else None
    named = own.get("network") if isinstance(own, dict) else None
    if kind not in (Generator.__name__, str(named).removeprefix(custom.PREFIX)):
        raise _no_generator(path, str(kind)[:80])
    with _told(path):
        configs.from_dict(GeneratorConfig, settings["config"])
        _stored_growth(settings)
    return settings


def _no_generator(path: Path, kind: str) -> UserError:
    return UserError(f"{path} holds a {kind}, not a Generator.")
