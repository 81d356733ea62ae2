"""Whatever names a model, opened: a run, a checkpoint, a `.keras` file, a pickle.

`find` says what a path is without reading it, `load` makes the generator of it.
"""

import json
import zipfile
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf.config import schedule
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator, discriminator_of
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official

KERAS_FILE, SAVED_MODEL = "generator.keras", "saved_model"


@dataclass(frozen=True)
class Found:
    """Where a model is.

    Attributes:
        kind: "keras" (a file of ours), "checkpoint" or "pickle" (an official file).
        path: the file, or the checkpoint's prefix.
        run: the run directory of a checkpoint.
    """

    kind: str
    path: Path
    run: Path | None = None


def find(path: Path | str) -> Found:
    """What `path` names, as `load` takes it, without reading it.

    A run directory is its newest checkpoint, which the finished model is made from.

    Raises:
        UserError: there is no model at `path`.
    """
    path = Path(path).expanduser()
    if path.suffix == ".keras" and path.is_file():
        return Found("keras", path)
    if path.suffix == ".pkl" and path.is_file():
        return Found("pickle", path)
    if (path / KERAS_FILE).is_file():
        return Found("keras", path / KERAS_FILE)
    if (path / "config.json").is_file():
        newest = tf.train.latest_checkpoint(str(path / "checkpoints"))
        if newest is None:
            raise UserError(f"{path} has neither a model nor a checkpoint yet.")
        return Found("checkpoint", Path(newest), path)
    if path.with_name(path.name + ".index").is_file():
        run = path.parent.parent
        if not (run / "config.json").is_file():
            raise UserError(f"{path} is not in a run: {run} has no config.json.")
        return Found("checkpoint", path, run)
    raise UserError(
        f"no model at {path}: give a run directory, a .keras file, a checkpoint such "
        f"as RUN/checkpoints/ckpt-1000, or an official .pkl."
    )


def load(path: Path | str) -> Generator:
    """Opens a model: of a run, a `.keras` file, or an official `.pkl`.

    Args:
        path: a run directory (its newest checkpoint's moving average), a folder with
            `generator.keras`, a `.keras` file, a checkpoint's prefix such as
            `runs/00000-demo-demo/checkpoints/ckpt-12000`, or one of NVIDIA's pickles
            (its Gs, or else its G).

    Returns:
        The generator, float32.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    found = find(path)
    if found.kind == "keras":
        return _load_keras(found.path)
    if found.kind == "pickle":
        return official.load_generator(found.path)
    generator = Generator(_run_config(found).generator, *growth(path))
    restore(found.path, average=generator)
    return generator


def restore(path: Path, **parts: keras.Model) -> None:
    """Fills networks from a run's checkpoint.

    Args:
        path: the checkpoint's prefix.
        parts: networks by their names in `training.passes.Networks`.

    Raises:
        UserError: the checkpoint is damaged, or of other networks.
    """
    try:
        status = tf.train.Checkpoint(**parts).restore(str(path)).expect_partial()
        status.assert_existing_objects_matched()
    except (tf.errors.OpError, AssertionError, ValueError, IndexError) as error:
        raise UserError(
            f"{path} cannot be read: {str(error).splitlines()[0]}"
        ) from error


def trained_resolution(path: Path | str) -> int | None:
    """The level that a model has learned so far; None where it says the final one."""
    return growth(path)[0]


def growth(path: Path | str) -> tuple[int | None, float]:
    """How far a model has grown, as `Generator.grow` takes it.

    Raises:
        UserError: as `load`.
    """
    found = find(path)
    if found.kind == "keras":
        settings = _keras_settings(found.path)
        return settings.get("level"), settings.get("alpha", 1.0)
    if found.kind == "pickle":
        return official.growth(found.path)
    config = _run_config(found)
    nimg = found.path.name.split("-")[-1]
    if not nimg.isdecimal():
        raise UserError(f"{found.path} does not end in the images seen, as ckpt-1000.")
    return schedule.learned_at(config, int(nimg))


def _run_config(found: Found) -> configs.TrainConfig:
    try:
        return configs.load(found.run / "config.json")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{found.run}/config.json cannot be read: {error}") from error


def config_of(path: Path | str) -> configs.GeneratorConfig:
    """The settings of a model's generator, without making it.

    Raises:
        UserError: as `load`.
    """
    found = find(path)
    if found.kind == "pickle":
        return official.pickled_configs(found.path)[0]
    if found.kind == "checkpoint":
        return _run_config(found).generator
    values = _keras_settings(found.path)["config"]
    return configs.from_dict(configs.GeneratorConfig, values)


def _keras_settings(path: Path) -> dict:
    """What the generator in a `.keras` file was made with."""
    try:
        with zipfile.ZipFile(path) as archive:
            content = json.loads(archive.read("config.json"))
        kind, settings = content["class_name"], content["config"]
    except (OSError, ValueError, LookupError, zipfile.BadZipFile) as error:
        raise UserError(f"{path} cannot be read: {error}") from error
    if kind != Generator.__name__:
        raise _no_generator(path, kind)
    return settings


def _no_generator(path: Path, kind: str) -> UserError:
    return UserError(f"{path} holds a {kind}, not a Generator.")


def _load_keras(path: Path) -> Generator:
    try:
        model = keras.models.load_model(path, compile=False)
    except (ValueError, OSError, TypeError, KeyError) as error:
        raise UserError(
            f"{path} cannot be read: {str(error).splitlines()[0]}"
        ) from error
    if not isinstance(model, Generator):
        raise _no_generator(path, type(model).__name__)
    return model


# ---------------------------------------------------------------------------
# Weights


def load_networks(
    path: Path | str,
) -> tuple[Generator | None, Discriminator | None, Generator | None]:
    """A model's generator in training, discriminator and moving average.

    Args:
        path: what `load` takes. A run has all three; an official file has what
            it has; any other model is a moving average alone.

    Raises:
        UserError: there is no model at `path`, or it cannot be read.
    """
    found = find(path)
    if found.kind == "checkpoint":
        return _from_checkpoint(found)
    if found.kind == "pickle":
        return official.load_pickled_networks(found.path)
    return None, None, load(path)


def _from_checkpoint(found) -> tuple[Generator, Discriminator, Generator]:
    config = _run_config(found)
    grown = growth(found.path)
    generator, average = (Generator(config.generator, *grown) for _ in range(2))
    discriminator = discriminator_of(config.discriminator)
    restore(
        found.path, generator=generator, discriminator=discriminator, average=average
    )
    return generator, discriminator, average
