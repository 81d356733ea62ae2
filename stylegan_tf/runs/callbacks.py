"""Callbacks of the user's own as reports: objects like reports, and those of Keras.

An object needs some of the methods `start`, `step`, `tick` and `end` of a report (see
`training.trainer`), not all of them. A Keras callback sees a tick as an epoch: its logs
are the tick's stats, with the metrics that were measured, and its model is the moving
average of the generator.
"""

from collections.abc import Callable, Sequence

import keras

from stylegan_tf.errors import UserError
from stylegan_tf.runs.reports import Report
from stylegan_tf.training.trainer import Trainer

# A callback with none of these is not called at each step.
BATCHES = ("on_batch_begin", "on_batch_end")
BATCHES += ("on_train_batch_begin", "on_train_batch_end")
METHODS = ("start", "step", "record", "tick", "warn", "end")


def callback_reports(callbacks: Sequence[object]) -> list[Report]:
    """Returns a report for each callback.

    Raises:
        UserError: an object has no method of a report, or is a class.
    """
    if not isinstance(callbacks, list | tuple):
        callbacks = [callbacks]
    return [_report_of(callback) for callback in callbacks]


def _report_of(callback: object) -> Report:
    name = getattr(callback, "__name__", type(callback).__name__)
    if isinstance(callback, type):
        raise UserError(f"the callback {name} is a class; give an object: {name}().")
    if isinstance(callback, Report):
        return callback
    if isinstance(callback, keras.callbacks.Callback):
        return KerasCallback(callback)
    if not any(callable(getattr(callback, method, None)) for method in METHODS):
        raise UserError(
            f"the callback {name} has none of the methods {', '.join(METHODS)}, and is "
            f"no keras.callbacks.Callback."
        )
    return ObjectReport(callback)


class ObjectReport(Report):
    """Calls the methods that an object has.

    What it raises ends the training, after a checkpoint.

    Args:
        target: the object.
    """

    def __init__(self, target: object):
        self.target = target

    def _call(self, method: str, trainer: Trainer, *args: object) -> None:
        function = getattr(self.target, method, None)
        if function is not None:
            saved_if_it_fails(trainer, function, trainer, *args)

    def start(self, trainer: Trainer) -> None:
        """See `Report.start`."""
        self._call("start", trainer)

    def step(self, trainer: Trainer) -> None:
        """See `Report.step`."""
        self._call("step", trainer)

    def record(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """See `Report.record`."""
        self._call("record", trainer, stats)

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """See `Report.tick`."""
        self._call("tick", trainer, stats)

    def warn(self, trainer: Trainer, text: str) -> None:
        """See `Report.warn`."""
        self._call("warn", trainer, text)

    def end(self, trainer: Trainer, reason: str) -> None:
        """See `Report.end`."""
        self._call("end", trainer, reason)


class KerasCallback(Report):
    """Calls a Keras callback: a step is a batch, a tick an epoch.

    `model.stop_training = True`, as EarlyStopping sets it, ends the training.

    Args:
        callback: the callback.
    """

    def __init__(self, callback: keras.callbacks.Callback):
        self.callback, self.epoch, self.batch = callback, 0, 0
        own = {n: getattr(getattr(callback, n), "__func__", None) for n in BATCHES}
        self._sees_batches = any(
            own[n] is not getattr(keras.callbacks.Callback, n) for n in BATCHES
        )

    def start(self, trainer: Trainer) -> None:
        """Gives the callback its model, and begins the first epoch."""
        average = trainer.networks.average
        average.stop_training = False
        self.epoch = self.batch = 0
        self.callback.set_params({"verbose": 0, "epochs": None, "steps": None})
        self.callback.set_model(average)
        self._call(trainer, self.callback.on_train_begin, {})
        self._call(trainer, self.callback.on_epoch_begin, self.epoch, {})

    def step(self, trainer: Trainer) -> None:
        """Ends a batch; it has no logs, which would make the device wait.

        A callback that does not look at batches costs nothing: asking a trainer for its
        networks copies their weights.
        """
        if not self._sees_batches:
            return
        self._call(trainer, self.callback.on_train_batch_begin, self.batch, {})
        self._call(trainer, self.callback.on_train_batch_end, self.batch, {})
        self.batch += 1

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Ends an epoch, and begins the next."""
        self._call(trainer, self.callback.on_epoch_end, self.epoch, dict(stats))
        self.epoch, self.batch = self.epoch + 1, 0
        if trainer.state.nimg < trainer.total and not trainer.stopping:
            self._call(trainer, self.callback.on_epoch_begin, self.epoch, {})

    def end(self, trainer: Trainer, reason: str) -> None:
        """Ends the training."""
        self._call(trainer, self.callback.on_train_end, {})

    def _call(self, trainer: Trainer, function: Callable, *args: object) -> None:
        average = trainer.networks.average  # brought up to date
        saved_if_it_fails(trainer, function, *args)
        if average.stop_training:
            trainer.stop(type(self.callback).__name__)


def saved_if_it_fails(trainer: Trainer, function: Callable, *args: object) -> None:
    """Calls a function of the user's; what it raises costs no training.

    Raises:
        Exception: raised by the function, after a checkpoint was written.
    """
    try:
        function(*args)
    except Exception:
        if trainer.state.nimg:
            trainer.save()
        raise
