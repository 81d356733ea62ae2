"""From settings to a finished model: data, run directory, trainer, export.

What `launch/train.py` calls. Validate, say everything, then run.
"""

from stylegan_tf import config as configs
from stylegan_tf import devices
from stylegan_tf import export
from stylegan_tf import models
from stylegan_tf import figures
from stylegan_tf import sampling
from stylegan_tf.config import TrainConfig
from stylegan_tf.config import schedule
from stylegan_tf.config.networks import STYLEGAN2
from stylegan_tf.errors import UserError
from stylegan_tf.runs import rundir
from stylegan_tf.runs import transfer
from stylegan_tf.runs.measuring import Measure
from stylegan_tf.runs.previews import Sheets
from stylegan_tf.runs.reports import Log
from stylegan_tf.runs.reports import Progress
from stylegan_tf.runs.reports import Report
from stylegan_tf.runs.rundir import SHEET
from stylegan_tf.runs.rundir import _continued
from stylegan_tf.runs.rundir import _remember
from stylegan_tf.runs.rundir import _say_finished
from stylegan_tf.runs.rundir import _say_why_new
from stylegan_tf.runs.settings import Request
from stylegan_tf.runs.settings import settle
from stylegan_tf.runs.tensorboard import TensorBoard
from stylegan_tf.sampling.lineup import cells
from stylegan_tf.training import compiling
from stylegan_tf.training import modulation
from stylegan_tf.training.trainer import Trainer
import dataclasses
import numpy as np


SHEET_PSI = 0.7  # the other sheets are not truncated


def train(request: Request) -> int:
    """Trains, or continues, and leaves the model in the run directory.

    Returns:
        0 when the run is finished, 128 + signal number when it was told to stop.
    """
    strategy = devices.make_strategy(request.strategy)
    config, data = settle(request, strategy)
    run = _open_run(request, config, strategy)
    if run.config != config:
        config = _continued(run.config, config)
    if run.nimg >= config.schedule.total_kimg * 1000 and (run.path / SHEET).exists():
        _say_finished(run)
        return 0
    if config.deterministic:
        devices.make_deterministic()
    reports = _reports(config, request)
    trainer = Trainer(config, data, run.path, strategy, reports)
    if not trainer.restore() and config.init:
        report = transfer.start_from(config.init, trainer.networks)
        if trainer.chief:
            (run.path / "init.txt").write_text(f"{config.init}\n{report}\n")
            print(report)
    if trainer.chief:
        _remember(run, config, data)
        print(f"TensorBoard: tensorboard --logdir {run.path.parent}")
    reason = trainer.train()
    if reason == "interrupted":
        devices.meet(strategy)
        return 128 + 15 if trainer.stopping == "SIGTERM" else 130
    if trainer.chief:
        _finish(trainer)
    devices.meet(strategy)
    return 0


def _reports(config: TrainConfig, request: Request) -> list:
    """What is shown of the run, and its measurements if any are asked for."""
    reports = default_reports()
    if config.metrics:
        log = next(r for r in reports if isinstance(r, Log))
        reports.append(Measure(config.metrics, log.say, request.cache))
    return reports


def _finish(trainer: Trainer) -> None:
    """Exports the model, and draws a last sheet with it as `generate` would."""
    average, run = trainer.networks.average, trainer.run_dir
    average.grow(*schedule.learned_at(trainer.config, trainer.state.nimg))
    folder = export.save_model(average, run / "model")
    model = models.load(folder)
    size = model.config.shape(sampling.drawn_resolution(model))
    columns, rows, factor = figures.layout(*size)
    seeds, classes = cells(model.config.classes, columns, rows)
    drawn = sampling.draw(model, seeds, psi=SHEET_PSI, classes=classes)
    pictures = figures.enlarge(np.stack([p for _, p in drawn]), factor)
    sheet = figures.save(run / SHEET, figures.grid(pictures, columns))
    print(f"model: {folder}")
    print(f"more pictures: python launch/generate.py --model={run}")
    print(f"TensorBoard: tensorboard --logdir {run.parent}")
    print(f"your new pictures: {sheet}")


# ---------------------------------------------------------------------------
# The run directory


def _open_run(request: Request, config: TrainConfig, strategy) -> rundir.Run:
    """The run to continue, or a new one. Workers agree: the first one decides."""
    if not devices.is_chief(strategy):
        devices.meet(strategy)
        if request.resume not in ("auto", "never"):
            return rundir.read(request.resume)
        found = rundir.find(request.out, config)
        if found is None:
            raise UserError(
                f"{request.out} must be on storage that all workers see; this one "
                f"found no run in it."
            )
        return found
    run = _choose_run(request, config, strategy.num_replicas_in_sync)
    devices.meet(strategy)
    return run


def _choose_run(request: Request, config: TrainConfig, replicas: int) -> rundir.Run:
    if request.resume not in ("auto", "never"):
        run = rundir.read(request.resume)
        wanted = dataclasses.replace(config, data=run.config.data)
        rundir.check_resumable(run, wanted, request.flags)
        return run
    if request.resume == "auto":
        found = rundir.find(request.out, config)
        if found:
            return found
        _say_why_new(request.out, config)
    origin = transfer.origin(config.init) if config.init else None  # or no directory
    run = rundir.create(request.out, _timed(config, replicas), request.command)
    if origin:
        transfer.remember(run.path, origin)
    return run


def _timed(config: TrainConfig, replicas: int) -> TrainConfig:
    """What the run leaves to this machine: the faster forms of what it computes."""
    config = _modulated(config, replicas)
    if config.jit != "auto":
        return config
    batch = schedule.rows(config, replicas)[-1].phase.batch
    jit = "off"
    if replicas == 1 and not config.deterministic:
        print("Timing one step with and without XLA; compiling may take minutes.")
        jit = compiling.faster(config, batch)
    print(f"XLA: {jit}.")
    return configs.update(config, {"jit": jit})


def _modulated(config: TrainConfig, replicas: int) -> TrainConfig:
    """The form of StyleGAN2's convolutions that is faster here, if none is named."""
    g = config.generator
    if g.architecture not in STYLEGAN2 or g.modulation != "auto":
        return config
    form = "maps"  # the only one that doubles without a filter
    if g.resample_filter and not config.deterministic:  # times are not repeatable
        batch = schedule.rows(config, replicas)[-1].phase.batch
        form = modulation.faster(g, batch // replicas // config.accumulate)
        print(f"Modulated convolutions: by {form}, the faster form here.")
    return configs.update(config, {"generator.modulation": form})


def default_reports() -> list[Report]:
    """What `train` shows unless told otherwise."""
    return [Log(), Sheets(), TensorBoard(), Progress()]
