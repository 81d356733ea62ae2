"""A training run from its request to the finished model.

`train_request` reads from top to bottom: plan, run directory, trainer, training,
export. `train.train`, which people call, makes the request.
"""

import contextlib
import dataclasses
import shlex
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stylegan_tf import (
    cluster,
    devices,
    export,
    figures,
    files,
    models,
    remote,
    sampling,
    signals,
)
from stylegan_tf import config as configs
from stylegan_tf.command_line import command_words
from stylegan_tf.config import TrainConfig, custom, schedule
from stylegan_tf.config.classes import numbered_names
from stylegan_tf.data.manifest import SKIPPED, Manifest
from stylegan_tf.data.sources.memory import is_stream
from stylegan_tf.errors import DiskError, UserError, WorkerLostError
from stylegan_tf.figures.facts import picture_texts
from stylegan_tf.runs import duration, owner, rundir, transfer
from stylegan_tf.runs.guard import Guard
from stylegan_tf.runs.measuring import Measure
from stylegan_tf.runs.plan import Plan, plan_run
from stylegan_tf.runs.previews import Sheets
from stylegan_tf.runs.reports import Log, Progress, Report
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.runs.tensorboard import TensorBoard
from stylegan_tf.runs.uploads import Uploads
from stylegan_tf.sampling.lineup import fit_rows, sheet_cells
from stylegan_tf.training.trainer import Trainer

SHEET_PSI = 0.7  # of the last sheet; those drawn while training are not truncated


class Outcome(NamedTuple):
    """The end of a training run.

    Attributes:
        path: the run directory.
        reason: "finished", "interrupted" or "diverged".
        stopped_by: name of the signal or callback that asked to stop, or None.
    """

    path: Path
    reason: str
    stopped_by: str | None = None

    @property
    def exit_code(self) -> int:
        """0 if finished, 1 if diverged, 128 + signal number if told to stop."""
        if self.stopped_by:
            return signals.exit_code(self.stopped_by)
        return 1 if self.reason == "diverged" else 0


def train_request(request: RunRequest, reports: Sequence[Report] = ()) -> Outcome:
    """Trains, or continues, and leaves the model in the run directory.

    Args:
        request: what to train.
        reports: called after those of every run.

    Raises:
        UserError: the request cannot be met; nothing has been trained.
        WorkerLostError: another worker is gone.
    """
    devices.keep_compiled(remote.cache_folder(request.cache) / "xla")
    strategy = devices.make_strategy(request.strategy)
    uploads = Uploads(request)
    with uploads.until_the_end(), cluster.watch_workers(strategy):
        return _train(uploads, strategy, reports)


def _train(
    uploads: Uploads, strategy: tf.distribute.Strategy, more: Sequence[Report]
) -> Outcome:
    plan = plan_run(uploads.request, strategy)
    if plan.note and devices.is_chief(strategy):
        print(plan.note)
    new = not _goes_on(uploads.request, plan)
    if new:
        _check_new_parts(plan.config)
        duration.announce(plan.config, uploads.request, strategy)
    with contextlib.ExitStack() as held:
        run = open_run(uploads.request, plan, strategy, uploads, held)
        if run.finished:
            rundir.print_finished(run)
            return Outcome(run.path, "finished")
        cache = uploads.request.cache
        if new and devices.is_chief(strategy) and not uploads.url:
            held.enter_context(_removed_if_refused(run))
        return _train_run(run, plan, strategy, [*more, uploads], cache)


@contextlib.contextmanager
def _removed_if_refused(run: rundir.Run) -> Iterator[None]:
    """Removes a new run that is refused before its first tick, as an own loss may be.

    One that has saved or recorded anything stays, and one that the disk has stopped:
    the same command goes on with it.
    """
    try:
        yield
    except (DiskError, WorkerLostError):
        raise
    except UserError:
        if not run.nimg and not rundir.read_stats(run.path):
            shutil.rmtree(run.path, ignore_errors=True)
        raise


def _goes_on(request: RunRequest, plan: Plan) -> bool:
    """True if there is a run to continue, which needs no warning of its length."""
    if request.resume == "never":
        return False
    out = Path(request.out)
    return request.names_a_run or bool(rundir.find_run(out, plan.config, plan.data))


def _train_run(
    run: rundir.Run,
    plan: Plan,
    strategy: tf.distribute.Strategy,
    more: Sequence[Report],
    cache: str | None,
) -> Outcome:
    rundir.check_started(run)
    check_parts(run, plan.stream is not None)
    rundir.check_data(run, plan.data)
    if run.config.deterministic:
        devices.make_deterministic()
    reports = [*make_reports(run.config, cache), *more]
    trainer = Trainer(
        run.config, plan.data.folder, run.path, strategy, reports, plan.stream
    )
    if not trainer.restore() and run.config.init:
        report = transfer.copy_matching_weights(run.config.init, trainer.networks)
        if trainer.chief:
            files.write_text(run.path / "init.txt", f"{run.config.init}\n{report}\n")
            print(report)
    if trainer.chief:
        rundir.record_settings(run, plan.data)
        print_data(plan.data, run.config)
        print_tensorboard(run.path)
    try:
        reason = trainer.train()
    except Exception:
        if trainer.chief and trainer.state.nimg:
            saved = f"saved: {run.nimg / 1000:g} kimg"
            print(f"{saved}; {schedule.drawn_size_text(run.config, run.nimg)}")
        raise
    if trainer.chief and reason == "finished" and not trainer.stopping:
        export_model(trainer)
    devices.barrier(strategy)
    return Outcome(run.path, reason, trainer.stopping)


def _check_new_parts(config: TrainConfig) -> None:
    """Asks for the parts of the user's own that a new run would be made of.

    Raises:
        UserError: this process lacks one, which the model of `init` may have.
    """
    missing = custom.missing_parts(configs.flat(config))
    if missing:
        parts = ", ".join(f"{kind}={name}" for kind, name in missing.items())
        start = f"init={config.init!r}, " if config.init else ""
        raise UserError(
            f"{config.init or 'the run'} is made of parts of your own; train from "
            f"Python with them: stylegan_tf.train({start}{parts})."
        )


def check_parts(run: rundir.Run, streams: bool = False) -> None:
    """Asks for the parts of the user's own that a run was trained with.

    Args:
        run: the run.
        streams: True if its dataset was given.

    Raises:
        UserError: this process lacks one; says how to give it.
    """
    missing = custom.missing_parts(configs.flat(run.config))
    if is_stream(run.config.data) and not streams:
        missing = {"data": "dataset"} | missing
    if missing:
        parts = ", ".join(f"{kind}={name}" for kind, name in missing.items())
        raise UserError(
            f"{run.path} is trained with parts of your own; continue it from Python "
            f"with them: stylegan_tf.train(resume={str(run.path)!r}, {parts})."
        )


def print_tensorboard(run: Path) -> None:
    """Prints the command that shows the runs in a browser."""
    print(f"TensorBoard: tensorboard --logdir {shlex.quote(str(run.parent))}")


def print_data(data: Manifest, config: TrainConfig) -> None:
    """Prints what a run trains on, and the numbers of its classes."""
    listing, of_stream = data.folder / SKIPPED, is_stream(config.data)
    left = f"; {data.skipped} left out, see {listing}" if data.skipped else ""
    head = "data: a stream, of which a sample is kept: " if of_stream else "data: "
    print(f"{head}{data}{left}")
    if data.class_names and config.generator.classes:
        print(f"classes: {numbered_names(data.class_names)}")


# ---------------------------------------------------------------------------
# The run directory


def open_run(
    request: RunRequest,
    plan: Plan,
    strategy: tf.distribute.Strategy,
    uploads: Uploads | None = None,
    held: contextlib.ExitStack | None = None,
) -> rundir.Run:
    """Finds the run to continue, or creates one; the first of several workers decides.

    Args:
        request: names the run, or the folder of the runs.
        plan: settings and data.
        strategy: of the workers.
        uploads: fetches runs from an address.
        held: where the lock goes that keeps other processes out of the run; None = no
            lock.

    Returns:
        The run, with the settings that it goes on with.

    Raises:
        UserError: the named run cannot go on with these settings, another process
            trains it, or a worker does not see it.
    """
    uploads = uploads or Uploads(request)
    if devices.is_chief(strategy):
        run = _begin_run(request, plan, uploads, held)
        devices.barrier(strategy)
    else:
        devices.barrier(strategy)
        run = _chosen_run(request, plan, uploads)
    config = rundir.continued_config(run.config, plan.config)
    return dataclasses.replace(run, config=config)


def _begin_run(
    request: RunRequest,
    plan: Plan,
    uploads: Uploads,
    held: contextlib.ExitStack | None,
) -> rundir.Run:
    """Chooses a run; of several processes that do so, one after the other."""
    out, alone = Path(request.out), contextlib.nullcontext()
    if not request.names_a_run:
        out.mkdir(parents=True, exist_ok=True)
        alone = files.lock_folder(out, "chooses a run", owner.LOCK)
    with alone:
        if not request.names_a_run:
            rundir.remove_unfinished(out)
        run = _choose_run(request, plan)
        if held is not None:
            held.enter_context(owner.own_run(run.path))
        return uploads.begin(run)


def _choose_run(request: RunRequest, plan: Plan) -> rundir.Run:
    if request.names_a_run:
        run = rundir.read_run(request.resume)
        wanted = dataclasses.replace(plan.config, data=run.config.data)
        rundir.check_resumable(run, wanted, request.flags)
        return run
    if request.resume == "auto":
        newest = rundir.find_run(request.out, plan.config, plan.data)
        rundir.check_unreadable(request.out, plan.config, newest)
        if newest:
            return newest
        rundir.print_why_new(request.out, plan.config)
    more = {transfer.FILE: transfer.starting_point_text(plan.origin)}
    return rundir.create_run(
        request.out, plan.config, request.command, more if plan.origin else None
    )


def _chosen_run(request: RunRequest, plan: Plan, uploads: Uploads) -> rundir.Run:
    """Finds the run that the first worker has chosen."""
    if request.names_a_run:
        run = rundir.read_run(request.resume)
        uploads.fetch_run(run.path)
        return rundir.read_run(run.path)
    uploads.fetch_settings()
    run = rundir.find_run(request.out, plan.config, plan.data)
    if run is None:
        raise UserError(
            f"{request.out} must be on storage that all workers see; this one "
            f"found no run in it."
        )
    uploads.fetch_run(run.path)
    return run


# ---------------------------------------------------------------------------
# Reports, and the end


def make_reports(config: TrainConfig, cache: str | None = None) -> list[Report]:
    """The reports of a run, and its measurements if `config.metrics` names any."""
    reports = default_reports()
    if config.metrics:
        log = next(r for r in reports if isinstance(r, Log))
        measure = Measure(config.metrics, log.say, cache)
        for report in reports:
            if isinstance(report, TensorBoard):
                report.measured = measure.labels
        reports.append(measure)
    return reports


def default_reports() -> list[Report]:
    """The reports of every run: log, sheets, TensorBoard, warnings, progress bar."""
    return [Log(), Sheets(), TensorBoard(), Guard(), Progress()]


def export_model(trainer: Trainer) -> None:
    """Exports the average, and draws a last sheet with it as `generate` would.

    Raises:
        DiskError: the disk is full or broken; the run is not finished.
    """
    try:
        _export_model(trainer)
    except (OSError, tf.errors.OpError) as error:
        why = files.disk_trouble(error)
        if why is None:
            raise
        raise DiskError(
            f"{trainer.run_dir}: the finished model could not be written: {why}. The "
            f"training is saved; once there is room, the same command writes the model."
        ) from error


def _sheet_texts(
    run: Path, seeds: Sequence[int], columns: int, enlarge: int, row_per_class: bool
) -> dict[str, str]:
    """Returns what the last sheet tells: how `generate` draws it."""
    flags = {"model": str(run), "seeds": f"{seeds[0]}-{seeds[-1]}", "psi": SHEET_PSI}
    flags |= {"enlarge": enlarge} | ({} if row_per_class else {"columns": columns})
    return picture_texts("sheet", flags)


def _export_model(trainer: Trainer) -> None:
    average, run = trainer.networks.average, trainer.run_dir
    nimg = trainer.state.nimg
    average.growth = schedule.growth_at(trainer.config, nimg)
    origin = export.provenance_from_run(run, nimg)
    folder = export.save_model(average, run / "model", origin=origin)
    model = models.load(folder)
    size = model.config.shape(model.growth.resolution)
    columns, rows, factor = figures.sheet_layout(*size)
    choices = model.config.label_choices
    seeds, classes = sheet_cells(choices, columns, rows)
    drawn = sampling.draw(model, seeds, psi=SHEET_PSI, classes=classes)
    images = figures.enlarge(np.stack([image for _, image in drawn]), factor)
    texts = _sheet_texts(run, seeds, columns, factor, fit_rows(choices, rows))
    sheet = figures.save_image(
        run / rundir.SHEET,
        figures.image_grid(images, columns),
        texts | trainer.state.shown_facts(),
    )
    print(f"model: {folder}")
    again = shlex.join([*command_words("generate"), f"--model={run}"])
    print(f"more pictures: {again}")
    print_tensorboard(run)
    print(f"your new pictures: {sheet}")
