"""Opens a model to evaluate, and the data set to compare it with."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from stylegan_tf import checkpoints, files, models
from stylegan_tf import config as configs
from stylegan_tf.data import manifest, records
from stylegan_tf.data.sources.memory import is_stream
from stylegan_tf.errors import UserError
from stylegan_tf.metrics.pictures import LabelSampler
from stylegan_tf.networks.generator import Generator, plain_copy

BEST = "best.json"  # beside the best model of a run: its row of `metrics.jsonl`


@dataclass(frozen=True)
class Subject:
    """A model to evaluate.

    Attributes:
        model: float32, in the strategy's scope.
        data: folder of real images of its size.
        mirror: True if it was trained on mirrored images too.
        nimg: training images it has seen; None if unknown.
        run: its run directory; None for a model of no run.
        settings: fingerprint of the run's settings.
    """

    model: Generator
    data: Path
    mirror: bool
    nimg: int | None
    run: Path | None
    settings: str | None = None


def open_subject(
    path: Path | str,
    strategy: tf.distribute.Strategy,
    data: str | None = None,
    cache: Path | str | None = None,
) -> Subject:
    """Opens a model and the data set to compare it with.

    Args:
        path: see `models.load`.
        strategy: its replicas generate the images.
        data: data set as `train.py --data` takes it; None = the training data of the
            model's run.
        cache: folder of converted data sets.

    Raises:
        UserError: no model there, or no data to compare it with.
    """
    found = models.find_model(path).base
    run = found.run or _run_around(found.path)
    config = models.run_config(run) if run else None
    model = replicate_generator(models.load(path), strategy)
    folder = _data(model, run, config, data, cache)
    check_fits(model, folder)  # before a feature network is trained on the data
    mirror = bool(config and config.mirror)
    settings = configs.settings_fingerprint(config) if config else None
    return Subject(model, folder, mirror, _nimg(found, run), run, settings)


def check_fits(model: Generator, data: Path) -> None:
    """Refuses a data set whose images or labels are not of the model's kind."""
    c, about = model.config, manifest.Manifest.load(data)
    level = about.level(c.resolution)
    model_shape = *c.shape(c.resolution), c.channels
    data_shape = level.height, level.width, about.channels
    if data_shape != model_shape:
        ours, theirs = ("x".join(map(str, s)) for s in (model_shape, data_shape))
        raise UserError(
            f"the model draws {ours}, but {about.name} holds {theirs}; name the "
            f"data that it was trained on with --data=..."
        )
    LabelSampler(model, data)


def replicate_generator(
    generator: Generator, strategy: tf.distribute.Strategy
) -> Generator:
    """Returns a float32 copy of a generator in the strategy's scope."""
    with strategy.scope():
        return plain_copy(generator)


def _run_around(path: Path) -> Path | None:
    """Returns the run directory whose `model/` or `model/best/` holds a file."""
    near = [p for p in path.absolute().parents[1:3] if (p / "config.json").is_file()]
    return near[0] if near else None


def _nimg(found: models.ModelFile, run: Path | None) -> int | None:
    number = found.path.name.split("-")[-1]
    if found.kind == "checkpoint" and number.isdecimal():
        return int(number)
    with contextlib.suppress(OSError, ValueError, LookupError, TypeError):
        return int(files.read_json(found.path.parent / BEST)["nimg"])
    return checkpoints.saved_progress(run) if run else None


def _data(model: Generator, run, config, spec: str | None, cache) -> Path:
    if spec is None and run is None:
        raise UserError("name the real pictures with --data=..., as for train.py.")
    if spec is None and is_stream(config.data):
        raise UserError(
            f"{run} was trained on a tf.data.Dataset, of which only a sample is kept; "
            f"name the real pictures with --data=..."
        )
    if spec is None:
        _, folder = checkpoints.known_data(run)
        if folder and manifest.is_dataset(folder):
            return folder
    c = model.config
    labels = config.labels if config else ("auto" if c.classes else "none")
    size = "x".join(map(str, c.shape(c.resolution)))
    return records.prepare(
        spec or config.data, cache, labels=labels, resolution=size, crop="center"
    )
