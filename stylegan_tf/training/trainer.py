"""The training loop: phase, step, tick, checkpoint.

Images seen (`nimg`) are the only clock. `Trainer` owns what is trained. Logs, image
sheets and measurements are reports: objects handed to the trainer, which calls

    report.start(trainer)
    report.step(trainer)
    report.tick(trainer, stats)         stats: {"loss/g": 0.71, ...}
    report.end(trainer, reason)         reason: "finished" or "interrupted"
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import devices
from stylegan_tf.augment.controller import Controller
from stylegan_tf.config import AugmentConfig, TrainConfig
from stylegan_tf.config.schedule import Phase, phase_at
from stylegan_tf.data import pipeline
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training.objectives import Objectives, Regularization
from stylegan_tf.training.optimizer import Adam
from stylegan_tf.training.passes import Clock, Networks, Passes
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.step import METRICS, Step


class Trainer:
    """Trains one run: networks, schedule, data and state.

    Args:
        config: the run.
        data: folder of records.
        run_dir: folder of the checkpoints; reports write there too.
        strategy: from `devices.make_strategy`; None = one device.
        reports: objects with the methods in the module's docstring; called on the
            chief worker only.

    Attributes:
        phase: resolution, alpha, batch and learning rate of the latest step.
        networks: `Networks`, everything that a step changes.
        state: `TrainingState`, which is saved and restored.
        augment: `Controller` of the probability of ADA's augmentations.
        replicas: number of devices, over all workers.
        chief: True if this worker writes files.
        stopping: name of the signal that asked to stop, or None.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Path | str,
        run_dir: Path | str,
        strategy: tf.distribute.Strategy | None = None,
        reports: Sequence[object] = (),
    ):
        self.config, self.data, self.run_dir = config, data, Path(run_dir)
        self.strategy = strategy or devices.make_strategy("one")
        self.replicas = self.strategy.num_replicas_in_sync
        self.chief = devices.is_chief(self.strategy)
        self.reports = reports if self.chief else ()
        self.stopping: str | None = None
        self.augment = _controller(config.augment)
        with self.strategy.scope():
            self.networks = make_networks(config)
            saved = self.augment if config.augment.kind == "ada" else None
            self.state = TrainingState(self.networks, self.run_dir, self.chief, saved)
        self.phase = self._current_phase()
        self._labels = (
            pipeline.dataset_labels(data) if config.generator.classes else None
        )
        self._steps: dict[tuple, Callable] = {}
        self._batches: Iterator | None = None
        self._batches_of: tuple[int, int] | None = None  # resolution and batch size
        self._tick: TickStats | None = None

    @property
    def total(self) -> int:
        """Images that the whole run sees."""
        return int(self.config.schedule.total_kimg * 1000)

    def restore(self) -> bool:
        """Continues from the newest checkpoint in the run directory.

        Returns:
            False if there is none.
        """
        found = self.state.restore()
        self.phase = self._current_phase()
        return found

    # -----------------------------------------------------------------------

    def train(self) -> str:
        """Trains to the end or until told to stop, and saves the state either way.

        Returns:
            "finished", or "interrupted" (see `stopping`).
        """
        with self._stop_on_signals():
            self._call_reports("start")
            self._tick = TickStats(self.state.nimg)
            while self.state.nimg < self.total and not self._must_stop():
                self.step()
                self._call_reports("step")
                done = self.state.nimg >= self.total
                if done or self._tick.is_over(self.state.nimg, self.phase):
                    self._end_tick(done)
            reason = "interrupted" if self.state.nimg < self.total else "finished"
            if self._tick.images(self.state.nimg) or reason == "interrupted":
                self.state.save()
            self._call_reports("end", reason)
        return reason

    def step(self) -> tf.Tensor:
        """Makes one iteration of D and G, and counts its images.

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
        batch = self._next_batch(phase)
        clock = Clock(
            nimg=tf.constant(self.state.nimg, tf.int64),
            alpha=tf.constant(phase.alpha, tf.float32),
            lr=tf.constant(phase.lr, tf.float32),
            p=tf.constant(self.augment.p, tf.float32),
        )
        step = self._compiled_step(phase, regularization)
        metrics = step(batch["image"], batch["label"], clock)
        self.state.nimg += phase.batch
        if self.config.augment.kind == "ada":
            mean_sign = float(metrics[METRICS.index("signs/real")])
            self.augment.update(mean_sign, phase.batch)
        if self._tick:
            self._tick.add(metrics, regularization)
        return metrics

    def _current_phase(self) -> Phase:
        c = self.config
        final = c.generator.resolution
        return phase_at(c.schedule, final, self.state.nimg, self.replicas)

    def _next_batch(self, phase: Phase) -> dict[str, tf.Tensor]:
        if self._batches_of != (phase.resolution, phase.batch):
            self._batches_of = (phase.resolution, phase.batch)
            self._batches = iter(self._dataset(phase))
        return next(self._batches)

    def _dataset(self, phase: Phase):
        def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
            return pipeline.dataset(
                self.data,
                phase.resolution,
                phase.batch,
                start=self.state.nimg,
                seed=self.config.seed,
                mirror=self.config.mirror,
                pieces=self.replicas,
                shard=(context.input_pipeline_id, context.num_input_pipelines),
            )

        return self.strategy.distribute_datasets_from_function(of_worker)

    def _compiled_step(
        self, phase: Phase, regularization: Regularization
    ) -> Callable[[tf.Tensor, tf.Tensor, Clock], tf.Tensor]:
        """Returns the iteration of a resolution, which is traced once.

        Lazy regularization is a function of its own, chosen in Python: a branch in the
        graph must not enclose sums over replicas.
        """
        key = (phase.resolution, phase.batch, regularization)
        if key not in self._steps:
            passes = Passes(self.networks, self.config, phase.resolution)
            objectives = Objectives(passes, regularization)
            step = Step(passes, objectives, phase.batch, self._labels)
            if self.config.jit == "on":
                step = tf.function(step, autograph=False, jit_compile=True)

            @tf.function(autograph=False)
            def iterate(images, labels, clock):
                metrics = self.strategy.run(step, args=(images, labels, clock))
                return self.strategy.reduce("MEAN", metrics, axis=None)

            self._steps[key] = iterate
        return self._steps[key]

    # -----------------------------------------------------------------------

    def _end_tick(self, done: bool) -> None:
        state, tick = self.state, self._tick
        seconds = time.perf_counter() - tick.began
        state.seconds += seconds
        stats = tick.means()
        state.skipped += round((stats["skipped/g"] + stats["skipped/d"]) * tick.steps)
        images = tick.images(state.nimg)
        stats |= {
            "progress/kimg": state.nimg / 1000,
            "progress/resolution": self.phase.resolution,
            "progress/alpha": self.phase.alpha,
            "progress/lod": self.phase.lod,
            "progress/batch": self.phase.batch,
            "progress/lr": self.phase.lr,
            "progress/skipped_steps": state.skipped,
            "timing/images_per_second": images / seconds,
            "timing/seconds_per_kimg": 1000 * seconds / images,
            "timing/total_seconds": state.seconds,
        }
        if self.config.augment.kind == "ada":
            stats["augment/p"] = self.augment.p
        stats |= devices.peak_memory_gb()
        began = time.perf_counter()
        number = tick.number + 1
        if done or number % self.config.snapshot_ticks == 0:
            state.save()
        self._call_reports("tick", stats)
        self._tick = TickStats(state.nimg, number)
        state.seconds += time.perf_counter() - began

    def _call_reports(self, method: str, *args) -> None:
        for report in self.reports:
            getattr(report, method)(self, *args)

    # -----------------------------------------------------------------------
    # SIGTERM and Ctrl-C end the loop after the step under way. Several workers must end
    # it at the same step, so they sum whether any of them got a signal.

    @contextmanager
    def _stop_on_signals(self) -> Iterator[None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number, _):
            if self.stopping:
                raise KeyboardInterrupt  # the second signal does not wait
            self.stopping = signal.Signals(number).name

        old = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for s, handler in old.items():
                signal.signal(s, handler)

    def _must_stop(self) -> bool:
        if devices.num_workers(self.strategy) == 1:
            return self.stopping is not None
        # A signal may come during the sum: only what all workers have summed counts.
        signaled = float(self.stopping is not None)
        stop = devices.sum_over_replicas(self.strategy, signaled) > 0
        if stop:
            self.stopping = self.stopping or "a signal to another worker"
        return stop


def make_networks(config: TrainConfig) -> Networks:
    """Builds G, D, G's average and both optimizers in the current strategy's scope."""
    policy = devices.dtype_policy(config.precision)
    tf.keras.utils.set_random_seed(config.seed)
    generator = Generator(config.generator, dtype=policy)
    discriminator = discriminator_of(config.discriminator, dtype=policy)
    average = Generator(config.generator, dtype=policy, name="average")
    average.set_weights(generator.get_weights())
    g_ratio, d_ratio = config.loss.lazy_rates
    mean = tf.Variable(0.0, trainable=False) if config.loss.pl_weight else None
    return Networks(
        generator,
        discriminator,
        average,
        _adam(config, generator.trainable_variables, g_ratio, "g_adam"),
        _adam(config, discriminator.trainable_variables, d_ratio, "d_adam"),
        mean,
    )


def _adam(config: TrainConfig, variables: list, ratio: float, name: str) -> Adam:
    """Returns Adam with betas^ratio, which corrects for the lazy steps."""
    betas = config.adam_beta1**ratio, config.adam_beta2**ratio
    return Adam(variables, *betas, config.adam_epsilon, name=name)


def _controller(c: AugmentConfig) -> Controller:
    kind = "ada" if c.adapt else "fixed"
    return Controller(c.p, kind, c.target, c.kimg, c.interval)


class TickStats:
    """Sums of the metrics between two log lines.

    Args:
        nimg: images seen when the tick begins.
        number: ticks before it in this session.
    """

    def __init__(self, nimg: int, number: int = 0):
        self.start, self.number, self.steps = nimg, number, 0
        self.began = time.perf_counter()
        self._sums: dict[Regularization, tuple[int, tf.Tensor]] = {}

    def add(self, metrics: tf.Tensor, regularization: Regularization) -> None:
        """Adds the metrics of one step."""
        self.steps += 1
        n, total = self._sums.get(regularization, (0, 0.0))
        self._sums[regularization] = (n + 1, total + metrics)

    def is_over(self, nimg: int, phase: Phase) -> bool:
        """True if the tick has seen its images."""
        return nimg >= self.start + phase.tick_kimg * 1000

    def images(self, nimg: int) -> int:
        """Returns the images of this tick so far."""
        return nimg - self.start

    def means(self) -> dict[str, float]:
        """Returns means over the tick; of penalties, over the steps that had them."""
        sums = [(r, n, np.asarray(s)) for r, (n, s) in self._sums.items()]
        out = {}
        for i, name in enumerate(METRICS):
            values = [(n, s[i]) for r, n, s in sums if r.has(name)]
            steps = sum(n for n, _ in values)
            out[name] = float(sum(v for _, v in values)) / steps if steps else 0.0
        return out
