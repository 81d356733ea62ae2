"""The training loop: phase, step, tick, checkpoint.

Images seen (`nimg`) are the only clock. `Trainer` owns what is trained. Logs, image
sheets and measurements are reports: objects handed to the trainer, which calls

    report.start(trainer)
    report.step(trainer)
    report.record(trainer, stats)       stats: {"loss/g": 0.71, ...}; before saving,
                                        also of a tick that a signal cuts short
    report.tick(trainer, stats)         the same, after it, of whole ticks
    report.warn(trainer, text)          something that needs a person's eye
    report.end(trainer, reason)         reason: "finished", "interrupted" or "diverged"

A loop of one's own takes a step at a time:

    trainer = Trainer(config, data, "my-run")
    trainer.restore()
    while trainer.state.nimg < trainer.total:
        metrics = dict(zip(trainer.METRICS, trainer.step().numpy()))
    trainer.save()
"""

import signal
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import devices, signals
from stylegan_tf.augment.controller import Controller
from stylegan_tf.config import AugmentConfig, TrainConfig
from stylegan_tf.config.schedule import Phase, phase_at
from stylegan_tf.data import pipeline
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.data.stream import ImageStream
from stylegan_tf.errors import DiskError
from stylegan_tf.networks import ops
from stylegan_tf.training import divergence
from stylegan_tf.training.build import make_networks
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.packing import StageWeights
from stylegan_tf.training.passes import Clock, Networks, Passes
from stylegan_tf.training.reals import RecordReader, StreamReader
from stylegan_tf.training.reporting import Reporting
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.step import METRICS
from stylegan_tf.training.ticks import TickStats
from stylegan_tf.training.variants import Variants, make_variants, trace

SAVE_VOTE = 1 << 16  # more than there are replicas; their sum is exact in float32


class Trainer:
    """Trains one run: networks, schedule, data and state.

    Args:
        config: the run.
        data: folder of records.
        run_dir: folder of the checkpoints; reports write there too.
        strategy: from `devices.make_strategy`; None = one device.
        reports: objects with the methods in the module's docstring; called on the
            chief worker only.
        stream: real images that are not records; `data` is then a sample of them.

    Attributes:
        phase: resolution, alpha, batch and learning rate of the latest step.
        networks: `Networks`, everything that a step changes. Between steps their
            weights are kept packed (`packing.py`); asking for this brings them up to
            date, and the next step takes in what was changed.
        state: `TrainingState`, which is saved and restored.
        augment: `Controller` of the probability of ADA's augmentations.
        replicas: number of devices, over all workers.
        chief: True if this worker writes files.
        stopping: name of the signal, or of the callback, that asked to stop; or None.
    """

    METRICS: tuple[str, ...] = METRICS

    def __init__(
        self,
        config: TrainConfig,
        data: Path | str,
        run_dir: Path | str,
        strategy: tf.distribute.Strategy | None = None,
        reports: Sequence[object] = (),
        stream: ImageStream | None = None,
    ):
        self.config, self.data, self.run_dir = config, data, Path(run_dir)
        self.strategy = strategy or devices.make_strategy("one")
        self.replicas = self.strategy.num_replicas_in_sync
        self.chief = devices.is_chief(self.strategy)
        self.reports = reports if self.chief else ()
        self.stopping: str | None = None
        self.augment = _controller(config.augment)
        self._stage: tuple[int, StageWeights] | None = None  # resolution, its weights
        with self.strategy.scope():
            self._networks = make_networks(config)
            saved = self.augment if config.augment.kind == "ada" else None
            self.state = TrainingState(
                self._networks,
                self.run_dir,
                self.chief,
                saved,
                self._facts(),
                self._settle,
            )
        self.phase = self._current_phase()
        self._labels = (
            pipeline.dataset_labels(data) if config.generator.classes else None
        )
        self._keep_label_examples()
        self._steps: dict[tuple, Variants] = {}
        self._reals = (
            StreamReader(stream, config, self.strategy)
            if stream
            else RecordReader(data, config, self.strategy)
        )
        self._first_means = [(v, np.array(v)) for v in self.networks.running_means]
        self._reporting = Reporting()
        self._latest_labels = tf.zeros([0])  # of the latest batch
        self._tick: TickStats | None = None
        self._saved = self._counted = time.monotonic()
        self._save_failed = False

    def _facts(self) -> dict[str, object]:
        """Returns the facts about the run that every checkpoint records."""
        level = Manifest.load(self.data).level(self.config.generator.resolution)
        return {
            "config": configs.settings_fingerprint(self.config),
            "data": level.fingerprint,
            "settings": configs.to_dict(self.config),
        }

    def _keep_label_examples(self) -> None:
        """Gives the model the label vectors of the first images, to draw with."""
        if count := self.config.generator.label_examples:
            for network in (self.networks.generator, self.networks.average):
                network.label_examples.assign(self._labels[:count])

    @property
    def networks(self) -> Networks:
        """Everything that a step changes, up to date; see the class."""
        self._settle()
        return self._networks

    def _settle(self) -> None:
        """Copies what steps have changed from packed weights to the networks."""
        if self._stage and self._stage[1].loaded:
            self._stage[1].store(self.strategy)

    def _pack(self, resolution: int) -> StageWeights:
        """Returns the packed weights of a resolution, which a step changes."""
        if self._stage is None or self._stage[0] != resolution:
            self._settle()
            with self.strategy.scope():
                self._stage = resolution, StageWeights(self._networks, resolution)
            self._steps = {}  # made for other weights
        if not self._stage[1].loaded:
            self._stage[1].load(self.strategy)
        return self._stage[1]

    @property
    def total(self) -> int:
        """Images that the whole run sees."""
        return int(self.config.schedule.total_kimg * 1000)

    def restore(self) -> bool:
        """Continues from the newest checkpoint in the run directory.

        Returns:
            False if there is none.

        Raises:
            UserError: it holds weights that are not finite.
        """
        found = self.state.restore_together(self.strategy)
        if mended := divergence.begin_anew(self._first_means):
            self._reporting.waiting.append(
                f"the checkpoint's {', '.join(mended)} were not finite and are "
                f"measured anew; give it a few thousand images"
            )
        divergence.check_finite(self.networks, self.run_dir)
        self.phase = self._current_phase()
        return found

    # -----------------------------------------------------------------------

    def train(self) -> str:
        """Trains to the end or until told to stop, and saves the state either way.

        Returns:
            "finished", "interrupted" (see `stopping`), or "diverged": most steps had a
            gradient that was not finite, or scores ran away, at lower rates as well.
        """
        with signals.handled(self._on_signal):
            self._reporting.start(self.reports, self)
            self._saved = self._counted = time.monotonic()
            if self.state.nimg == 0:
                self._save()  # what a first tick that diverges goes back to
            self._tick = TickStats(self.state.nimg, skipped=self.state.skipped)
            reason = self._loop()
            images = self._tick.images(self.state.nimg)
            if images and reason == "interrupted":  # a tick that is cut short
                self._report("record", self._tick_stats())
            unsaved = images or reason == "interrupted" or self._save_failed
            if unsaved and reason != "diverged":
                self.save()  # the last try: if it fails, so does the run
            self._report("end", reason)
        return reason

    def _loop(self) -> str:
        while self.state.nimg < self.total:
            stop, save = self._agreement()
            if stop:
                return "interrupted"
            if save:
                self._save()
            self.step()
            self._report("step")
            done = self.state.nimg >= self.total
            over = done or self._tick.is_over(self.state.nimg, self.phase)
            if over and not self._end_tick(done):
                return "diverged"
        return "finished"

    def step(self) -> tf.Tensor:
        """Makes one iteration of D and G, and counts its images.

        `train` calls it until the end; a loop of your own may do so, and `save` now
        and then.

        Returns:
            float32 [len(METRICS)], in the order of `METRICS`.
        """
        self.phase = phase = self._current_phase()
        if self.state.stage != phase.stage:  # a resolution joins, or has joined
            self.networks.g_optimizer.reset()
            self.networks.d_optimizer.reset()
            self.state.stage = phase.stage
        iteration = self.state.nimg // phase.batch
        regularization = Regularization.at(self.config.loss, iteration)
        batch = self._reals.next_batch(self.state.nimg, phase.resolution, phase.batch)
        blur = self.config.augment.blur_at(self.state.nimg)
        clock = Clock(
            nimg=tf.constant(self.state.nimg, tf.int64),
            alpha=tf.constant(phase.alpha, tf.float32),
            lr=tf.constant(self._rate(), tf.float32),
            p=tf.constant(self.augment.p, tf.float32),
            blur=tf.constant(blur, tf.float32),
        )
        step = self._compiled_step(phase, regularization, batch, clock)
        self._latest_labels = batch["label"]
        metrics = step(batch["image"], batch["label"], clock)
        self.state.nimg += phase.batch
        if self.config.augment.kind == "ada":
            mean_sign = float(metrics[METRICS.index("signs/real")])
            self.augment.update(mean_sign, phase.batch)
        if self._tick:
            self._tick.add(metrics, regularization)
        return metrics

    def _rate(self) -> float:
        return self.phase.lr * divergence.lowered_rate(self.state.rollbacks)

    def _current_phase(self) -> Phase:
        c = self.config
        final = c.generator.resolution
        return phase_at(c.schedule, final, self.state.nimg, self.replicas)

    def _compiled_step(
        self,
        phase: Phase,
        regularization: Regularization,
        batch: dict[str, tf.Tensor],
        clock: Clock,
    ) -> tf.types.experimental.PolymorphicFunction:
        """Returns the iteration of a resolution, which is traced once.

        A step that blurs D's images is another one.
        """
        blurred = self.config.augment.blur_at(phase.nimg) > 0
        key = (phase.resolution, phase.batch, blurred)
        weights = self._pack(phase.resolution)
        if key not in self._steps:
            networks, config = self._networks, self.config
            passes = Passes(networks, config, phase.resolution, blurred, weights)
            variants = make_variants(passes, phase.batch, self._labels, self.strategy)
            if config.jit == "on":
                trace(variants, passes, batch, clock)
            self._steps[key] = variants
        return self._steps[key][regularization]

    # -----------------------------------------------------------------------

    def _end_tick(self, done: bool) -> bool:
        """Saves and reports; returns False if the run cannot go on."""
        state, tick, stats = self.state, self._tick, self._tick_stats()
        number, diverged = tick.number + 1, tick.divergence()
        self._report("record", stats)
        due = done or self._save_failed or number % self.config.snapshot_ticks == 0
        if due and not diverged:
            self._save()
        self._report("tick", stats)
        if diverged and not self._roll_back(stats, tick):
            return False
        self._tick = TickStats(state.nimg, number, state.skipped)
        return True

    def _tick_stats(self) -> dict[str, float]:
        """Returns the means of the tick so far, and how far the run has come."""
        state, tick = self.state, self._tick
        seconds = time.perf_counter() - tick.began
        self._count()
        images = tick.images(state.nimg)
        stats = tick.means() | {
            "progress/kimg": state.nimg / 1000,
            "progress/resolution": self.phase.resolution,
            "progress/alpha": self.phase.alpha,
            "progress/lod": self.phase.lod,
            "progress/batch": self.phase.batch,
            "progress/lr": self._rate(),
            "progress/skipped_steps": state.skipped,
            "progress/skipped_in_tick": tick.skipped(),
            "timing/images_per_second": images / seconds,
            "timing/seconds_per_kimg": 1000 * seconds / images,
            "timing/total_seconds": state.seconds,
        }
        if self.config.augment.kind == "ada":
            stats["augment/p"] = self.augment.p
        return stats | devices.peak_memory_gb()

    def _count(self) -> None:
        """Brings the state's seconds and skipped steps up to this moment."""
        now = time.monotonic()
        self.state.seconds += now - self._counted
        self._counted = now
        if self._tick:
            self.state.skipped = self._tick.skipped_before + self._tick.skipped()

    def save(self) -> None:
        """Writes a checkpoint of this moment.

        Raises:
            DiskError: the disk is full or broken.
        """
        self._count()
        self.state.save()

    def stop(self, by: str) -> None:
        """Ends `train` after the step under way, as a signal does.

        Without effect on a run that has come to its end.

        Args:
            by: who asks for it, for the log.
        """
        if self.state.nimg < self.total:
            self.stopping = self.stopping or by

    def _save(self) -> None:
        """Writes a checkpoint; if the disk takes none, the next tick tries again."""
        self._count()
        self._saved = time.monotonic()
        try:
            self.state.save()
            self._save_failed = False
        except DiskError as error:
            self._save_failed = True
            self.warn(f"{error} Training goes on; tried again later.")

    def _roll_back(self, stats: dict[str, float], tick: TickStats) -> bool:
        """Goes on from the newest checkpoint at a lower rate, or tells why it cannot.

        Returns:
            False after `divergence.MOST_ROLLBACKS` of them.
        """
        state, nets = self.state, self.networks
        kimg, before = state.nimg / 1000, (state.skipped, state.seconds)
        labels = self.strategy.experimental_local_results(self._latest_labels)
        weights = [*nets.generator.weights, *nets.discriminator.weights]
        names = ops.names_not_finite(weights)
        labels = np.concatenate([np.ravel(part) for part in labels])
        rate = divergence.lowered_rate(state.rollbacks)
        cause = divergence.diagnose(
            self.config, stats, tick.not_finite(), labels, names, rate
        )
        seen, rollbacks = tick.divergence(), state.rollbacks + 1
        if rollbacks > divergence.MOST_ROLLBACKS:
            self.warn(
                f"stopped at {kimg:g} kimg: {seen}, also after going back to a "
                f"checkpoint with a lower learning rate. {cause}"
            )
            return False
        self.restore()
        state.rollbacks, (state.skipped, state.seconds) = rollbacks, before
        self._tick = None  # counted already
        self._save()
        self.warn(
            f"at {kimg:g} kimg {seen}: goes back to {state.nimg / 1000:g} kimg, "
            f"with {divergence.lowered_rate(rollbacks):g} times the learning rate from "
            f"now on. {cause}"
        )
        return True

    def warn(self, text: str) -> None:
        """Has the reports say something that needs a person's eye."""
        self._report("warn", text)

    def _report(self, method: str, *args) -> None:
        self._reporting.call(self.reports, method, self, *args)

    # -----------------------------------------------------------------------
    # A signal ends the loop after the step under way, and checkpoints are due by the
    # clock as well. Several workers must do either at the same step, so they sum
    # whether any of them got a signal, and whether the chief's clock says so.

    def _on_signal(self, number: int, frame: object) -> None:
        if self.stopping:
            raise signals.Stopped(number)  # the second signal does not wait
        self.stopping = signal.Signals(number).name

    def _agreement(self) -> tuple[bool, bool]:
        """Returns whether to stop, and whether to save a checkpoint."""
        stop, save = self.stopping is not None, self._save_is_due()
        if devices.num_workers(self.strategy) == 1:
            return stop, save
        # A signal may come during the sum: only what all workers have summed counts.
        votes = devices.sum_over_replicas(self.strategy, stop + SAVE_VOTE * save)
        save, stop = divmod(round(votes), SAVE_VOTE)
        if stop:
            self.stopping = self.stopping or "a signal to another worker"
        return stop > 0, save > 0

    def _save_is_due(self) -> bool:
        """True on the chief if `checkpoint_minutes` have gone by since the last one."""
        minutes = self.config.checkpoint_minutes
        late = time.monotonic() - self._saved >= 60 * minutes > 0
        return self.chief and late and not self._tick.divergence()


def _controller(c: AugmentConfig) -> Controller:
    kind = "ada" if c.adapt else "fixed"
    return Controller(c.p, kind, c.target, c.kimg, c.interval)
