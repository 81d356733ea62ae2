"""Tunes a generator to given images (pivotal tuning; Roich et al. 2021).

    tuning = tune(model, ws, targets)
    tuning.generator            # draws the targets at ws

The pivots `ws`, found in W by `project`, stay; the synthesis network's weights move.
With x = G(w_pivot) and a target t, with w_r around a pivot, and with the original G*:

    loss = d(x, t) + l2 |x - t|^2 + locality (d(G(w_r), G*(w_r)) + l2 |...|^2)
    w_r  = w_pivot + radius (w_z - w_pivot) / |w_z - w_pivot|,    w_z = f(z)

The last part (locality regularization, section 3.3) keeps other images as they were. In
the paper w_r is near its pivot; here by default as far away as other seeds are, for a
small network that is held near a pivot alone changes everywhere else.

d is one of `likeness`, |.|^2 a mean over pixels in [-1, 1], z random. Adam takes the
steps until every image is as close as `stop_at`, or they are used up.
"""

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.formats.tuned_files import round_differences
from stylegan_tf.networks.block import weight_name, weights_fingerprint
from stylegan_tf.networks.generator import Generator, copy_weights, plain_copy
from stylegan_tf.progress import ProgressBar
from stylegan_tf.projector import resuming
from stylegan_tf.projector.adam import Adam
from stylegan_tf.projector.likeness import (
    Loss,
    MultiScale,
    downscale_images,
    image_distances,
    psnr,
)
from stylegan_tf.projector.search import search_batch, w_statistics
from stylegan_tf.projector.settings import check_not_negative
from stylegan_tf.projector.targets import check_targets

STEPS = 500


@dataclass(frozen=True)
class TuningSettings:
    """Settings of the tuning.

    Attributes:
        lr: Adam's learning rate.
        ramp_up: steps in which the learning rate rises: Adam's first steps move every
            weight by the learning rate, however small its gradient.
        l2: weight of the squared difference of pixels in [-1, 1].
        locality: weight of the locality regularization; 0 = none.
        radius: distance of w_r from its pivot, in standard deviations of w. That of two
            random w is 1.4: what is held there is held everywhere.
        neighbors: w_r per step; at least one for each pivot, and no more than images
            are searched for at once.
        stop_at: distance to a target that is near enough.
    """

    lr: float = 3e-3
    ramp_up: float = 50.0
    l2: float = 1.0
    locality: float = 1.0
    radius: float = 1.4
    neighbors: int = 8
    stop_at: float = 0.03

    def __post_init__(self):
        check_not_negative(vars(self))


@dataclass(frozen=True)
class Tuning:
    """A tuned generator.

    Attributes:
        generator: draws the targets at the pivots.
        differences: weights that changed: name -> float16 or float32 array, to be added
            to the original's; see `formats.tuned_files`.
        fingerprint: of the original's weights.
        images: uint8 [N, H, W, C], of the pivots.
        distances: float64 [N], of the images to the targets.
        psnr: float64 [N], dB.
        steps: taken.
    """

    generator: Generator
    differences: dict[str, np.ndarray]
    fingerprint: str
    images: np.ndarray
    distances: np.ndarray
    psnr: np.ndarray
    steps: int


class Tuner:
    """Tunes a copy of a generator, a step at a time.

        tuner = Tuner(model, ws, targets)
        while not tuner.finished(steps=500):
            tuner.step()
        tuning = tuner.result()

    Args:
        model: the generator, which is left as it is.
        ws: pivots, float [N, num_styles, w_dim].
        targets: uint8 [N, H, W, C] of the model's image size.
        noise: the pivots' noise maps, float [N or 1, H, W, 1] per layer; None = the
            model's.
        loss: the distance; None = `MultiScale`.
        settings: see `TuningSettings`.
        seed: of the random z.
        batch: images per step; None = by their size. Images take turns.

    Attributes:
        model: the generator that is being tuned.

    Raises:
        UserError: pivots or targets that do not fit the model.
    """

    def __init__(
        self,
        model: Generator,
        ws: np.ndarray,
        targets: np.ndarray,
        noise: Sequence[np.ndarray] | None = None,
        loss: Loss | None = None,
        settings: TuningSettings | None = None,
        seed: int = 0,
        batch: int | None = None,
    ):
        targets = np.asarray(targets)
        count, c = len(targets), model.config
        _check_pivots(model, np.asarray(ws), targets)
        self.original, self.model, self.seed = model, plain_copy(model), seed
        self.settings, self.loss = settings or TuningSettings(), loss or MultiScale()
        most = search_batch(targets.shape)
        self.batch = min(batch or most, count)
        self._neighbor_count = max(self.batch, min(self.settings.neighbors, most))
        self._ws = _variable(count, c.num_styles, c.w_dim)
        self._targets = _variable(*targets.shape)
        shapes = c.noise_shapes(model.growth.resolution) if noise else []
        self._noise = [_variable(count, *shape, 1) for shape in shapes]
        self._near = tf.constant(sampling.sample_w(model))  # of random z
        self._radius = self.settings.radius * w_statistics(model)[1]
        resolution, alpha = self.model.growth
        weights = self.model.synthesis.stage_variables(resolution, alpha < 1)
        self._adam = Adam(weights)
        self._step = tf.function(self._take_step, autograph=False)
        self._measure = tf.function(self._measure_rows, autograph=False)
        # In variables, so that a step changes all of the state or nothing.
        self._count = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._seen = _variable(count)
        self.begin(ws, targets, noise)

    def begin(
        self,
        ws: np.ndarray,
        targets: np.ndarray,
        noise: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Begins anew, from the original, with as many images as before.

        What is compiled stays. The arguments are the constructor's; there are noise
        maps if there were some before.
        """
        ws, targets = np.asarray(ws, np.float32), np.asarray(targets)
        _check_pivots(self.model, ws, targets)
        copy_weights(self.model, self.original)
        self._adam.reset()
        self._count.assign(0)
        self._ws.assign(ws)
        self._targets.assign(np.float32(targets))
        for own, m in zip(self._noise, noise or [], strict=False):
            own.assign(np.broadcast_to(np.float32(m), own.shape))
        for turn in range(self.steps_per_round):
            self._measure(tf.constant(turn, tf.int64))
        self._check_finite()

    @property
    def steps(self) -> int:
        """Steps taken so far."""
        return int(self._count.numpy())

    @property
    def distances(self) -> np.ndarray:
        """Distances to the targets, as each was last seen, float64 [N]."""
        return self._seen.numpy().astype(np.float64)

    def finished(self, steps: int = STEPS) -> bool:
        """Returns True once the images are near enough, or have had `steps` each."""
        near = np.all(self.distances <= self.settings.stop_at)
        return bool(near) or self.steps >= steps * self.steps_per_round

    @property
    def steps_per_round(self) -> int:
        """Steps after which every image has been seen."""
        return -(-self._seen.shape[0] // self.batch)

    def step(self) -> np.ndarray:
        """Takes a step; returns the distances of all images, float64 [N].

        Raises:
            UserError: a distance is not finite.
        """
        self._step()
        self._check_finite()
        return self.distances

    def images(self) -> np.ndarray:
        """Returns the images of the pivots, uint8 [N, H, W, C]."""
        return self._rendered(self._renderer)

    @functools.cached_property
    def _renderer(self) -> sampling.Renderer:
        return sampling.Renderer(self.model, fixed_weights=False)

    def result(self) -> Tuning:
        """Returns the tuned generator, with weights as a file of differences has them.

        The tuner may go on afterwards.
        """
        differences = weight_differences(self.model, self.original)
        generator = plain_copy(self.original)
        for v in generator.weights:
            if weight_name(v) in differences:
                change = differences[weight_name(v)].astype(np.float32)
                v.assign(v.numpy() + change)
        images = self._rendered(sampling.Renderer(generator))
        targets = self._targets.numpy().astype(np.uint8)
        return Tuning(
            generator=generator,
            differences=differences,
            fingerprint=weights_fingerprint(self.original),
            images=images,
            distances=image_distances(self.loss, images, targets),
            psnr=psnr(images, targets),
            steps=self.steps,
        )

    def _rendered(self, renderer: sampling.Renderer) -> np.ndarray:
        return renderer(self._ws.numpy(), [m.numpy() for m in self._noise] or None)

    def save_state(self, path: Path | str, request: str = "") -> None:
        """Writes all that `restore_state` needs to go on as if nothing had been.

        Args:
            path: of the file, in one step.
            request: see `resuming.request_digest`.
        """
        resuming.save_variables(path, self.state, request)

    def restore_state(self, path: Path | str) -> None:
        """Goes on from the file of `save_state`.

        Raises:
            UserError: the file is damaged, or of another tuning.
        """
        resuming.restore_variables(path, self.state)

    @property
    def state(self) -> list:
        """All variables that a step changes."""
        one, two = self._adam.moments
        return [self._count, self._seen, *self._adam.parameters, *one, *two]

    # -----------------------------------------------------------------------
    # The step

    def _rows(self, turn: tf.Tensor) -> tf.Tensor:
        """Returns the images whose turn it is, int64 [batch]."""
        first = turn * self.batch
        return (first + tf.range(self.batch, dtype=tf.int64)) % self._seen.shape[0]

    def _pivot_images(self, rows: tf.Tensor) -> tf.Tensor:
        maps = [tf.gather(m, rows) for m in self._noise]
        return _synthesize(self.model, tf.gather(self._ws, rows), maps)

    def _targets_of(self, rows: tf.Tensor) -> tf.Tensor:
        return downscale_images(tf.gather(self._targets, rows))

    def _measure_rows(self, turn: tf.Tensor) -> None:
        """Keeps the distances of the images as they are drawn, within [0, 255]."""
        rows = self._rows(turn)
        images = tf.clip_by_value(self._pivot_images(rows), 0, 255)
        distances = self.loss.distance(images, self._targets_of(rows))
        self._seen.scatter_nd_update(rows[:, None], distances)

    def _take_step(self) -> None:
        """Changes the weights; keeps the distances before the step."""
        s, weights = self.settings, self._adam.parameters
        number = tf.convert_to_tensor(self._count)
        rows = self._rows(number)
        targets, near = self._targets_of(rows), self._neighbors(number)
        before = _synthesize(self.original, near) if s.locality else None
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in weights])
            images = self._pivot_images(rows)
            distances = self.loss.distance(images, targets)
            squares = _squared_difference(images, targets)
            total = tf.reduce_mean(distances + s.l2 * squares)
            if before is not None:
                after = _synthesize(self.model, near)
                kept = self.loss.distance(after, before)
                kept += s.l2 * _squared_difference(after, before)
                total += s.locality * tf.reduce_mean(kept)
        gradients = tape.gradient(
            total, [v.value for v in weights], unconnected_gradients="zero"
        )
        count = tf.cast(number + 1, tf.float32)
        lr = s.lr * tf.minimum(1.0, count / max(s.ramp_up, 1.0))
        self._adam.apply(gradients, lr, count)
        self._seen.scatter_nd_update(rows[:, None], distances)
        self._count.assign_add(1)

    def _neighbors(self, number: tf.Tensor) -> tf.Tensor:
        """Returns w_r around pivots in turn, [neighbors, num_styles, w_dim]."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), number])
        count = self._neighbor_count
        chosen = tf.random.stateless_uniform(
            [count], seed, 0, len(self._near), tf.int32
        )
        rows = (number * count + tf.range(count, dtype=tf.int64)) % self._seen.shape[0]
        pivots = tf.gather(self._ws, rows)
        way = tf.gather(self._near, chosen)[:, None] - pivots
        return pivots + self._radius * tf.math.l2_normalize(way, axis=-1)

    def _check_finite(self) -> None:
        if not np.all(np.isfinite(self.distances)):
            raise UserError(
                f"the distance [{self.loss.name}] is no number at step {self.steps}; "
                f"a smaller learning rate than {self.settings.lr} may help."
            )


def _variable(*shape: int) -> tf.Variable:
    return tf.Variable(tf.zeros(shape), trainable=False)


def _synthesize(
    model: Generator, ws: tf.Tensor, maps: Sequence[tf.Tensor] = ()
) -> tf.Tensor:
    """Generates images as `Loss` takes them, nominally in [0, 255]."""
    resolution = model.growth.resolution
    noise = list(maps) or ("const" if model.config.use_noise else "none")
    images = model.synthesis(ws, noise=noise, resolution=resolution)
    return downscale_images((images + 1) * 127.5)


def _squared_difference(a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(((a - b) / 127.5) ** 2, axis=[1, 2, 3])


def weight_differences(tuned: Generator, original: Generator) -> dict[str, np.ndarray]:
    """Returns what was added to each weight that changed, as a file stores it."""
    before = {weight_name(v): v.numpy() for v in original.weights}
    after = {weight_name(v): v.numpy() for v in tuned.weights}
    return round_differences({name: x - before[name] for name, x in after.items()})


def _check_pivots(model: Generator, ws: np.ndarray, targets: np.ndarray) -> None:
    check_targets(model, targets)
    c = model.config
    if ws.shape != (len(targets), c.num_styles, c.w_dim):
        raise UserError(
            f"the pivots are {' x '.join(map(str, ws.shape))}; give one for each "
            f"picture, {len(targets)} x {c.num_styles} x {c.w_dim}."
        )


# ---------------------------------------------------------------------------


def tune(
    model: Generator,
    ws: np.ndarray,
    targets: np.ndarray,
    noise: Sequence[np.ndarray] | None = None,
    steps: int = STEPS,
    seed: int = 0,
    loss: Loss | None = None,
    settings: TuningSettings | None = None,
    batch: int | None = None,
    progress: bool = False,
    state: Path | str | None = None,
    request: str = "",
    watch: Callable[[Tuner], bool | None] | None = None,
) -> Tuning:
    """Tunes a generator until it draws images.

    Args:
        model: the generator, which is left as it is.
        ws: pivots; they and what follows are as in `Tuner`.
        targets: images.
        noise: the pivots' noise maps.
        steps: most steps for each image.
        seed: of the random z.
        loss: the distance.
        settings: of the optimization.
        batch: images per step.
        progress: show a bar.
        state: file with the tuning under way, which goes on if it is of this request.
            It stays, to be removed once the result is on the disk.
        request: see `resuming.request_digest`.
        watch: called after every step; True stops the tuning.

    Raises:
        UserError: see `Tuner` and `Tuner.step`.
    """
    tuner = Tuner(model, ws, targets, noise, loss, settings, seed, batch)
    with resuming.StateFile(state, tuner.state, request) as file:
        for _ in _steps(tuner, steps, progress):
            file.step_taken()
            if watch is not None and watch(tuner):
                break
        file.save()
    return tuner.result()


def _steps(tuner: Tuner, steps: int, progress: bool) -> Iterator[None]:
    """Takes steps until the tuning has finished, with a bar; yields after each."""
    total = steps * tuner.steps_per_round
    with ProgressBar(
        title="tuning", shown=progress, total=total, initial=tuner.steps, unit="step"
    ) as bar:
        while not tuner.finished(steps):
            distances = tuner.step()
            bar.set_postfix(distance=f"{distances.max():.4f}", refresh=False)
            bar.update()
            yield
