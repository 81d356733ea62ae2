"""The training loop: phase, step, tick, checkpoint.

Images seen (`nimg`) are the only clock. `Trainer` owns what is trained; what people
see of it is made by reports, objects handed in that are told when the run starts, has
made a step, ends a tick or ends:

    report.start(trainer)
    report.step(trainer)
    report.tick(trainer, stats)         stats: {"loss/g": 0.71, ...}
    report.end(trainer, reason)         reason: "finished" or "interrupted"
"""

import signal
import threading
import time
from collections.abc import Callable, Sequence
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
from stylegan_tf.training.objectives import Due
from stylegan_tf.training.optimizer import Adam
from stylegan_tf.training.passes import Networks
from stylegan_tf.training.state import State
from stylegan_tf.training.step import METRICS, Step


class Trainer:
    """A run: networks, schedule, data and state.

    Args:
        config: the run.
        data: folder of records.
        run_dir: where checkpoints go; reports write there too.
        strategy: from `devices.make_strategy`; None = one device.
        reports: as the module's docstring says; only called on the chief.

    Attributes:
        phase: what is trained right now.
        networks, state: see there.
        replicas: devices over all workers.
        stopping: name of the signal that asked to stop, or None.
    """

    def __init__(
        self,
        config: TrainConfig,
        data: Path | str,
        run_dir: Path | str,
        strategy: tf.distribute.Strategy | None = None,
        reports: Sequence = (),
    ):
        self.config, self.data, self.run_dir = config, data, Path(run_dir)
        self.strategy = strategy or devices.make_strategy("one")
        self.replicas = self.strategy.num_replicas_in_sync
        self.chief = devices.is_chief(self.strategy)
        self.reports = reports if self.chief else ()
        self.stopping: str | None = None
        self._labels = pipeline.dataset_labels(data) if config.generator.classes else None
        self._functions: dict[tuple, Callable] = {}
        self._iterator, self._reading = None, None
        self._tick: _Tick | None = None
        self.augment = _controller(config.augment)
        with self.strategy.scope():
            self.networks = make_networks(config)
            kept = self.augment if config.augment.kind == "ada" else None
            self.state = State(self.networks, self.run_dir, self.chief, kept)
        self.phase = self._phase()

    def _phase(self) -> Phase:
        c = self.config
        final = c.generator.resolution
        return phase_at(c.schedule, final, self.state.nimg, self.replicas)

    @property
    def total(self) -> int:
        """Images the run shall see."""
        return int(self.config.schedule.total_kimg * 1000)

    def restore(self) -> bool:
        """Continues from the newest checkpoint in the run directory, if any."""
        found = self.state.restore()
        self.phase = self._phase()
        return found

    # -----------------------------------------------------------------------

    def train(self) -> str:
        """Trains to the end or until told to stop; the state is saved either way.

        Returns:
            "finished", or "interrupted" (see `stopping`).
        """
        with self._signals():
            self._tell("start")
            self._tick = _Tick(self.state.nimg)
            while self.state.nimg < self.total and not self._must_stop():
                self.step()
                self._tell("step")
                done = self.state.nimg >= self.total
                if done or self._tick.due(self.state.nimg, self.phase):
                    self._end_tick(done)
            reason = "interrupted" if self.state.nimg < self.total else "finished"
            if self._tick.images(self.state.nimg) or reason == "interrupted":
                self._save()
            self._tell("end", reason)
        return reason

    def step(self) -> np.ndarray | tf.Tensor:
        """One iteration of D and G; returns the step's metrics as in `METRICS`."""
        self.phase = phase = self._phase()
        self._enter(phase)
        due = Due.at(self.config.loss, self.state.nimg // phase.batch)
        batch = next(self._iterator)
        clock = {
            "nimg": tf.constant(self.state.nimg, tf.int64),
            "alpha": tf.constant(phase.alpha, tf.float32),
            "lr": tf.constant(phase.lr, tf.float32),
            "p": tf.constant(self.augment.p, tf.float32),
        }
        function = self._function(phase, due)
        metrics = function(batch["image"], batch["label"], clock)
        self.state.nimg += phase.batch
        if self.config.augment.kind == "ada":
            sign = float(metrics[METRICS.index("signs/real")])
            self.augment.update(sign, phase.batch)
        if self._tick:
            self._tick.add(metrics, due)
        return metrics

    def _enter(self, phase: Phase) -> None:
        """Data of this phase's resolution; optimizers anew when the stage changes."""
        if self._reading != (phase.resolution, phase.batch):
            self._reading = (phase.resolution, phase.batch)
            self._iterator = iter(self._dataset(phase))
        if self.state.stage != phase.stage:
            self.networks.g_optimizer.reset()
            self.networks.d_optimizer.reset()
            self.state.stage = phase.stage

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

    def _function(self, phase: Phase, due: Due) -> Callable:
        """The compiled iteration of a resolution, traced once."""
        key = (phase.resolution, phase.batch, due)
        if key not in self._functions:
            step = Step(
                self.networks,
                self.config,
                phase.resolution,
                phase.batch,
                self._labels,
                due,
            )
            if self.config.jit == "on":
                step = tf.function(step, autograph=False, jit_compile=True)

            @tf.function(autograph=False)
            def iterate(images, labels, clock):
                metrics = self.strategy.run(step, args=(images, labels, clock))
                return self.strategy.reduce("MEAN", metrics, axis=None)

            self._functions[key] = iterate
        return self._functions[key]

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
        stats |= devices.memory_gb()
        began = time.perf_counter()
        number = tick.number + 1
        if done or number % self.config.snapshot_ticks == 0:
            self._save()
        self._tell("tick", stats)
        self._tick = _Tick(state.nimg, number)
        self.state.seconds += time.perf_counter() - began

    def _save(self) -> None:
        self.state.save()

    def _tell(self, what: str, *args) -> None:
        for report in self.reports:
            getattr(report, what)(self, *args)

    # -----------------------------------------------------------------------
    # SIGTERM and Ctrl-C end the loop after the step under way. On several workers
    # they must end it at the same step: a signal to one is told to all.

    @contextmanager
    def _signals(self):
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def stop(number, _):
            if self.stopping:
                raise KeyboardInterrupt  # the second one does not wait
            self.stopping = signal.Signals(number).name

        old = {s: signal.signal(s, stop) for s in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for s, handler in old.items():
                signal.signal(s, handler)

    def _must_stop(self) -> bool:
        if devices.workers(self.strategy) == 1:
            return self.stopping is not None
        # A signal may come while the workers talk: what counts is what all have heard.
        told = devices.total(self.strategy, float(self.stopping is not None)) > 0
        if told:
            self.stopping = self.stopping or "a signal to another worker"
        return told


def make_networks(config: TrainConfig) -> Networks:
    """G, D, the average (a copy of G) and both optimizers, in the current scope."""
    policy = devices.dtype_policy(config.precision)
    tf.keras.utils.set_random_seed(config.seed)
    generator = Generator(config.generator, dtype=policy)
    discriminator = discriminator_of(config.discriminator, dtype=policy)
    average = Generator(config.generator, dtype=policy, name="average")
    average.set_weights(generator.get_weights())
    g_rate, d_rate = config.loss.lazy_rates
    mean = tf.Variable(0.0, trainable=False) if config.loss.pl_weight else None
    return Networks(
        generator,
        discriminator,
        average,
        _adam(config, generator.trainable_variables, g_rate, "g_adam"),
        _adam(config, discriminator.trainable_variables, d_rate, "d_adam"),
        mean,
    )


def _adam(config: TrainConfig, variables: list, rate: float, name: str) -> Adam:
    """Adam, its betas corrected for the steps that regularization adds."""
    betas = config.adam_beta1**rate, config.adam_beta2**rate
    return Adam(variables, *betas, config.adam_epsilon, name=name)


def _controller(c: AugmentConfig) -> Controller:
    kind = "ada" if c.adapt else "fixed"
    return Controller(c.p, kind, c.target, c.kimg, c.interval)


class _Tick:
    """Sums of the metrics between two log lines."""

    def __init__(self, nimg: int, number: int = 0):
        self.start, self.number, self.steps = nimg, number, 0
        self.began = time.perf_counter()
        self._sums: dict[Due, tuple[int, tf.Tensor]] = {}

    def add(self, metrics: tf.Tensor, due: Due) -> None:
        self.steps += 1
        n, total = self._sums.get(due, (0, 0.0))
        self._sums[due] = (n + 1, total + metrics)

    def due(self, nimg: int, phase: Phase) -> bool:
        return nimg >= self.start + phase.tick_kimg * 1000

    def images(self, nimg: int) -> int:
        return nimg - self.start

    def means(self) -> dict[str, float]:
        """Means over the tick; of penalties, over the steps that had them."""
        sums = [(due, n, np.asarray(s)) for due, (n, s) in self._sums.items()]
        out = {}
        for i, name in enumerate(METRICS):
            values = [(n, s[i]) for due, n, s in sums if due.has(name)]
            steps = sum(n for n, _ in values)
            out[name] = float(sum(v for _, v in values)) / steps if steps else 0.0
        return out
