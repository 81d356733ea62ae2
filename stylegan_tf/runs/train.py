"""Training from Python; `launch/train.py` calls the same function.

    run = stylegan_tf.train("photos/", preset="demo", resolution=64, kimg=200)
    run.generator                       the model: a keras.Model
    run.sheet                           its newest sheet of pictures, of Pillow
    run.metrics                         {"fid5k[builtin-v1]": 21.3, ...}
    run.resume(kimg=400)                goes on

Losses, networks, presets and augmentations of your own are given as objects. The run's
`config.json` keeps their names, so that whoever continues it is asked for them.
"""

import functools
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from stylegan_tf import models
from stylegan_tf.config import TrainConfig
from stylegan_tf.config.presets import Preset
from stylegan_tf.data.sources.memory import is_stream
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import results
from stylegan_tf.networks.generator import Generator
from stylegan_tf.runs import rundir, session
from stylegan_tf.runs.arguments import make_request, named
from stylegan_tf.runs.callbacks import callback_reports
from stylegan_tf.runs.request import TrainFlags

Place = str | os.PathLike[str]
Data = (
    Place
    | np.ndarray
    | tuple[np.ndarray, np.ndarray]
    | Sequence[Place]
    | Sequence[np.ndarray]
    | tf.data.Dataset
)
Labels = Place | np.ndarray | Sequence[int] | Sequence[str]
GeneratorLoss = Callable[[tf.Tensor], tf.Tensor]
DiscriminatorLoss = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Augmentation = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
Network = type[keras.layers.Layer]


class TrainingRun:
    """A run directory, and what its training has led to.

    Args:
        path: the run directory, of any run.

    Attributes:
        path: the run directory.
        config: all settings.
        reason: "finished", "interrupted" or "diverged"; "unfinished" for a run that is
            opened in the middle.
        stopped_by: name of the signal or callback that ended the training, or None.
    """

    def __init__(self, path: str | os.PathLike[str]):
        run = rundir.read_run(path)
        self.path: Path = run.path
        self.config: TrainConfig = run.config
        self.reason: str = "finished" if run.finished else "unfinished"
        self.stopped_by: str | None = None
        self._callbacks: Sequence[object] = ()
        self._flags: TrainFlags = {}
        self._stream: dict[str, Any] = {}

    @property
    def kimg(self) -> float:
        """Thousands of images seen at the last checkpoint."""
        return rundir.Run(self.path, self.config).nimg / 1000

    @functools.cached_property
    def generator(self) -> Generator:
        """The moving average of the generator, at the last checkpoint."""
        return models.load(self.path)

    @property
    def sheet(self) -> Image.Image:
        """The newest sheet of generated images.

        Raises:
            UserError: none was drawn yet.
        """
        newest = rundir.newest_sheet(rundir.Run(self.path, self.config))
        if newest is None:
            raise UserError(f"{self.path} has no sheet of pictures yet.")
        with Image.open(newest) as image:
            image.load()
            return image

    @property
    def metrics(self) -> dict[str, float]:
        """The newest value of each metric, by names such as `fid5k[builtin-v1]`."""
        return {
            results.metric_label(row): float(row["value"])
            for row in results.read_results(self.path)
            if isinstance(row["value"], int | float)
        }

    @property
    def stats(self) -> list[dict[str, float]]:
        """The means of each tick, oldest first: `nimg`, `loss/g`, `scores/real`, ..."""
        return rundir.read_stats(self.path)

    @property
    def exit_code(self) -> int:
        """0 if finished, 1 if diverged, 128 + signal number if told to stop."""
        return session.Outcome(self.path, self.reason, self.stopped_by).exit_code

    def resume(
        self,
        kimg: float | None = None,
        *,
        callbacks: Sequence[object] | None = None,
        **flags: Unpack[TrainFlags],
    ) -> "TrainingRun":
        """Continues the run.

        Args:
            kimg: thousands of images to train for, counted from the beginning of the
                run; None = as many as before.
            callbacks: see `train`; None = those of before.
            **flags: see `TrainFlags`; only how much is reported may change.

        Returns:
            This run, as it is now.

        Raises:
            UserError: see `train`.
        """
        callbacks = self._callbacks if callbacks is None else callbacks
        total = self.config.schedule.total_kimg if kimg is None else kimg
        both: TrainFlags = {**self._flags, **flags}
        more = {"callbacks": callbacks, **self._stream, **both}
        after = train(kimg=total, resume=self.path, **more)
        self.__dict__ = after.__dict__
        return self

    def __repr__(self) -> str:
        return f"<TrainingRun {self.path}: {self.reason}, {self.kimg:g} kimg>"


def train(
    data: Data | None = None,
    preset: str | Preset | TrainConfig | None = None,
    resolution: int | str | tuple[int, int] | None = None,
    kimg: float | None = None,
    *,
    labels: Labels | None = None,
    settings: Mapping[str, object] | None = None,
    callbacks: Sequence[object] = (),
    g_loss: str | GeneratorLoss | None = None,
    d_loss: str | DiscriminatorLoss | None = None,
    generator: Network | None = None,
    discriminator: Network | None = None,
    augment: str | Augmentation | None = None,
    stream: bool = False,
    out: str | os.PathLike[str] = "runs",
    resume: str | os.PathLike[str] = "auto",
    **flags: Unpack[TrainFlags],
) -> TrainingRun:
    """Trains a model, or goes on with a run; the same call again continues.

    Args:
        data: what --data takes; an array [N, H, W, C], or a pair of it and labels; a
            list of paths or arrays; a `tf.data.Dataset`. None = "demo".
        preset: name of a recipe, one of your own, or settings; None = "demo".
        resolution: N, (height, width) or "HEIGHTxWIDTH"; None = what the data have.
        kimg: thousands of images to train for; None = the preset's.
        labels: what --labels takes, or class numbers, names or vectors, one per image.
        settings: any other setting by its dotted name, `{"loss.r1_gamma": 4.0}`.
        callbacks: objects with methods of a report, such as `tick(trainer, stats)`; or
            Keras callbacks, for which a tick is an epoch.
        g_loss: G's loss: a name, or a function of scores of fakes [N, 1] -> [N, 1].
        d_loss: D's loss, of scores of reals and of fakes.
        generator: class of a synthesis network or `Generator`, see `networks.custom`.
        discriminator: class of a discriminator.
        augment: a name, or a function of images and uniforms [N, M] -> images.
        stream: True trains straight from a `tf.data.Dataset`, see `data.stream`.
        out: folder of the runs.
        resume: "auto", "never" or a run directory.
        **flags: the flags of launch/train.py, see `TrainFlags`.

    Returns:
        The run. Ctrl-C ends training after the step under way, and all is saved.

    Raises:
        UserError: the request cannot be met.
    """
    own = {"g_loss": g_loss, "d_loss": d_loss, "augment": augment}
    own |= {"generator": generator, "discriminator": discriminator}
    given = named(data=data, kimg=kimg, labels=labels) | flags
    where = {"stream": stream, "out": out, "resume": resume}
    about = settings or {}, named(**own), preset, resolution
    request = make_request(given, *about, **where)
    outcome = session.train_request(request, callback_reports(callbacks))
    run = TrainingRun(outcome.path)
    run.reason, run.stopped_by = outcome.reason, outcome.stopped_by
    run._callbacks = callbacks
    run._stream = {"data": data} if is_stream(run.config.data) else {}
    run._flags = {k: v for k, v in flags.items() if k in ("strategy", "cache")}
    return run
