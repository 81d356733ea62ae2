"""A model to measure, and what it is measured against."""

import json
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import models
from stylegan_tf.data import manifest, records
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator

BEST = "best.json"  # beside a model that was the best: its row of `metrics.jsonl`


@dataclass(frozen=True)
class Subject:
    """A model, and what is known about it.

    Attributes:
        model: float32, in the strategy's scope.
        data: folder of real pictures of its size.
        mirror: whether it was trained on mirrored pictures too.
        nimg: images that it has seen; None if that is not known.
        run: the run that it is of; None of a file from elsewhere.
    """

    model: Generator
    data: Path
    mirror: bool
    nimg: int | None
    run: Path | None


def open_subject(
    path: Path | str,
    strategy: tf.distribute.Strategy,
    data: str | None = None,
    cache: Path | str | None = None,
) -> Subject:
    """Opens a model for measuring.

    Args:
        path: as `models.load` takes it.
        strategy: whose replicas will draw.
        data: what to compare with, as `train.py --data` takes it; None = what the
            model's run was trained on.
        cache: folder of converted pictures.

    Raises:
        UserError: no model there, or no data to compare it with.
    """
    found = models.find_model(path)
    run = found.run or _run_around(found.path)
    config = configs.read_config(run / "config.json") if run else None
    model = replicated(models.load(path), strategy)
    folder = _data(model, run, config, data, cache)
    mirror = bool(config and config.mirror)
    return Subject(model, folder, mirror, _nimg(found, run), run)


def replicated(generator: Generator, strategy: tf.distribute.Strategy) -> Generator:
    """A float32 copy in the strategy's scope.

    Args:
        generator: any.
        strategy: the one that will draw.
    """
    with strategy.scope():
        copy = Generator(generator.config, generator.growth, dtype="float32")
        assign(copy, generator)
    return copy


def assign(copy: Generator, generator: Generator) -> None:
    """Takes over the weights of a generator with the same settings."""
    for mine, theirs in zip(copy.weights, generator.weights, strict=True):
        mine.assign(theirs.numpy())


def _run_around(path: Path) -> Path | None:
    """The run whose `model/` or `model/best/` holds a file."""
    near = [p for p in path.absolute().parents[1:3] if (p / "config.json").is_file()]
    return near[0] if near else None


def _nimg(found: models.ModelFile, run: Path | None) -> int | None:
    number = found.path.name.split("-")[-1]
    if found.kind == "checkpoint" and number.isdecimal():
        return int(number)
    for file in (found.path.parent / BEST, run / "progress.json" if run else None):
        if file and file.is_file():
            return json.loads(file.read_text())["nimg"]
    return None


def _data(model: Generator, run, config, spec: str | None, cache) -> Path:
    if spec is None and run is None:
        raise UserError("name the real pictures with --data=..., as for train.py.")
    if spec is None:
        text = (run / "data.txt").read_text() if (run / "data.txt").exists() else ""
        kept = Path(text.split(maxsplit=1)[1].strip()) if " " in text else None
        if kept and (kept / manifest.FILE).exists():
            return kept
    c = model.config
    labels = config.labels if config else ("auto" if c.classes else "none")
    size = "x".join(map(str, c.shape(c.resolution)))
    return records.prepare(
        spec or config.data, cache, labels=labels, resolution=size, crop="center"
    )
