"""Projects images into latent space (Karras et al. 2020, section 5 and appendix D).

Adam minimizes the distance of the generated image to the target, from the mean w on. It
optimizes one style for all layers (W) or one style per layer (W+, which fits any image
more closely but leaves the distribution of w), and the noise maps. Noise on w, which
fades out, widens the search at the start.

A batch of images is searched for at once. The images do not influence each other:
losses are summed, every image has its own noise maps, and all images get the same
random numbers.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stylegan_tf import figures, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.latents import Latents
from stylegan_tf.networks.generator import Generator
from stylegan_tf.progress import ProgressBar
from stylegan_tf.projector import noise
from stylegan_tf.projector.adam import Adam
from stylegan_tf.projector.likeness import (
    Loss,
    MultiScale,
    downscale_images,
    image_distances,
    psnr,
)
from stylegan_tf.projector.settings import ProjectionSettings, default_settings
from stylegan_tf.projector.targets import check_targets

SPACES = ("w", "wplus")
MEAN_SEED, MEAN_COUNT = 123, 10_000
BATCH_PIXELS, BATCH_LARGEST = 1 << 19, 32  # of the default batch
SHOW_EVERY = 10  # steps between two readings of the loss


@dataclass(frozen=True)
class Snapshot:
    """The state of a batch during the search.

    Attributes:
        step: steps done.
        images: uint8 [n, H, W, C], generated without the noise on w.
    """

    step: int
    images: np.ndarray


@dataclass(frozen=True)
class Projection:
    """The latents of projected images.

    Attributes:
        latents: styles, noise maps and names.
        images: uint8 [N, H, W, C], generated from the latents.
        targets: uint8 [N, H, W, C].
        loss: name of the distance.
        distances: float64 [N], of the images to the targets.
        start_distances: float64 [N], of the images of the mean w with the final noise
            maps to the targets.
        psnr: float64 [N], dB.
    """

    latents: Latents
    images: np.ndarray
    targets: np.ndarray
    loss: str
    distances: np.ndarray
    start_distances: np.ndarray
    psnr: np.ndarray


Watch = Callable[[slice, Iterator[Snapshot]], None]


def project(
    model: Generator,
    targets: np.ndarray,
    space: str = "w",
    steps: int = 1000,
    seed: int = 0,
    classes: Sequence[int] | None = None,
    loss: Loss | None = None,
    names: Sequence[str] = (),
    batch: int | None = None,
    settings: ProjectionSettings | None = None,
    progress: bool = False,
    every: int = 0,
    watch: Watch | None = None,
    start: np.ndarray | None = None,
) -> Projection:
    """Finds the styles and noise maps with which a generator reproduces images.

    Args:
        model: the generator.
        targets: uint8 [N, H, W, C] of the model's image size.
        space: "w", one style for all layers, or "wplus", one style per layer.
        steps: of Adam; 0 leaves the styles of `start`, and the model's own noise.
        seed: of the noise; equal seeds give equal results.
        classes: of a conditional model, cycled over the targets: the search starts at
            the mean w of the class. None = at the mean of all classes.
        loss: the distance to minimize; None = `MultiScale`.
        names: of the targets; by default 0000, 0001, ...
        batch: images per batch; None = by their size.
        settings: of the optimization; None = the official ones, without noise on w
            where there is a `start`.
        progress: show a bar.
        every: steps between two snapshots; 0 = none.
        watch: called for each batch with its rows of `targets` and an iterator of
            `Snapshot`, which runs the search as it is read.
        start: styles that the search starts at, float [N, num_styles, w_dim], such as
            those of `encoder.encode_images`; in W their mean. None = the mean w.

    Raises:
        UserError: targets, classes, settings or a start that do not fit the model.
    """
    targets = np.asarray(targets)
    _check_arguments(model, targets, space, steps, batch, names, start)
    _check_settings(model, settings)
    count = len(targets)
    batch = min(batch or search_batch(targets.shape), count)
    starts, stds = _start_points(model, classes, count)
    if start is not None:
        starts = np.asarray(start, np.float32)
        settings = settings or default_settings(from_answer=True)
    names = tuple(names) or tuple(f"{i:04d}" for i in range(count))
    if steps:
        search = Projector(model, batch, space, seed, loss, steps, settings)
        ws, *maps = _search(search, targets, starts, stds, progress, every, watch)
    else:
        ws, maps = _in_space(starts, model.config.num_styles, space), None
    latents = Latents(ws, maps or None, names)
    return measure_projection(model, latents, targets, classes, loss)


def _search(search, targets, starts, stds, progress, every, watch) -> list[np.ndarray]:
    """Searches for all targets, a batch at a time; see `project`."""
    parts, count, batch = [], len(targets), search.batch
    total = -(-count // batch) * search.steps
    bar = ProgressBar(shown=progress, total=total, unit="step")
    with bar:
        for first in range(0, count, batch):
            rows = np.minimum(np.arange(first, first + batch), count - 1)
            used, n = slice(first, min(first + batch, count)), count - first
            snapshots = search.run(targets[rows], starts[rows], stds[rows], every, bar)
            if watch is not None:
                watch(used, (Snapshot(s.step, s.images[:n]) for s in snapshots))
            for _ in snapshots:  # runs the steps that `watch` has not asked for
                pass
            parts.append([x[:n] for x in search.result()])
    return [np.concatenate(part) for part in zip(*parts, strict=True)]


def search_batch(shape: Sequence[int]) -> int:
    """Returns the images of [N, H, W, C] that are searched for at once."""
    pixels = math.prod(shape[1:3])
    return int(np.clip(BATCH_PIXELS // pixels, 1, BATCH_LARGEST))


def _check_arguments(model, targets, space, steps, batch, names, start) -> None:
    if space not in SPACES:
        raise UserError(f"space is {space!r}; choose {' or '.join(SPACES)}.")
    least = {"steps": 1 if start is None else 0, "batch": 1}
    for name, value in (("steps", steps), ("batch", batch)):
        if value is not None and value < least[name]:
            raise UserError(f"{name} is {value}; give at least {least[name]}.")
    check_targets(model, targets)
    if names and len(names) != len(targets):
        raise UserError(f"{len(names)} names were given for {len(targets)} pictures.")
    expected = (len(targets), model.config.num_styles, model.config.w_dim)
    shape = expected if start is None else np.shape(start)
    if shape != expected or start is not None and not np.isfinite(start).all():
        raise UserError(
            f"the start is {' x '.join(map(str, shape))}; give finite styles for each "
            f"picture, {' x '.join(map(str, expected))}."
        )


def _check_settings(model: Generator, settings: ProjectionSettings | None) -> None:
    c = model.config
    weighs_noise = settings is not None and settings.noise_weight is not None
    if weighs_noise and not c.noise_shapes(c.resolution):
        raise UserError(
            f"noise_weight is {settings.noise_weight:g}, but this model "
            f"({c.architecture}) has no noise inputs; leave it out."
        )


def measure_projection(
    model: Generator,
    latents: Latents,
    targets: np.ndarray,
    classes: Sequence[int] | None = None,
    loss: Loss | None = None,
) -> Projection:
    """Returns the images of latents, and their distances to targets.

    Args:
        model: the generator.
        latents: of N images.
        targets: uint8 [N, H, W, C].
        classes: see `project`.
        loss: the distance; None = `MultiScale`.
    """
    loss, render = loss or MultiScale(), sampling.Renderer(model)
    images = render(latents.ws, latents.noise)
    means, _ = _start_points(model, classes, len(targets))
    mean_ws = np.repeat(means, model.config.num_styles, axis=1)
    start_images = render(mean_ws, latents.noise)
    return Projection(
        latents=latents,
        images=images,
        targets=targets,
        loss=loss.name,
        distances=image_distances(loss, images, targets),
        start_distances=image_distances(loss, start_images, targets),
        psnr=psnr(images, targets),
    )


# ---------------------------------------------------------------------------
# The start of the search


def w_statistics(
    model: Generator, label: int | None = None, count: int = MEAN_COUNT
) -> tuple[np.ndarray, float]:
    """Returns the mean of w and its standard deviation.

    Args:
        model: the generator.
        label: class; None = all classes of a conditional model in turn.
        count: number of latents.

    Returns:
        The mean, float32 [w_dim], and sqrt(sum |w - mean|^2 / count).
    """
    c = model.config
    z = np.random.RandomState(MEAN_SEED).randn(count, c.z_dim).astype(np.float32)
    cycled = np.arange(count) % max(sampling.label_count(model), 1)
    class_ids = cycled if label is None else [label] * count
    w = sampling.map_latents(model, z, class_ids).astype(np.float64)
    mean = w.mean(axis=0)
    return mean.astype(np.float32), float(np.sqrt(((w - mean) ** 2).sum() / count))


def _start_points(model, classes, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns mean w [N, 1, w_dim] and its deviation [N] for each image."""
    class_ids = [None] if classes is None else sampling.chosen_classes(model, classes)
    statistics = {k: w_statistics(model, k) for k in dict.fromkeys(class_ids)}
    rows = [statistics[class_ids[i % len(class_ids)]] for i in range(count)]
    means = np.stack([m for m, _ in rows])[:, None]
    return means, np.array([s for _, s in rows], np.float32)


def _in_space(ws: np.ndarray, styles: int, space: str) -> np.ndarray:
    """Returns styles [N, styles, w_dim] of W, their mean, or of W+, themselves."""
    if space == "w":
        ws = np.mean(ws, axis=1, keepdims=True)
    return np.array(np.broadcast_to(ws, (len(ws), styles, ws.shape[2])))


# ---------------------------------------------------------------------------
# The optimization


class Projector:
    """The optimization of a batch of images, compiled once.

    Args:
        model: the generator.
        batch: images per batch.
        space: see `project`.
        seed: see `project`.
        loss: see `project`.
        steps: see `project`.
        settings: see `project`.
    """

    def __init__(
        self,
        model: Generator,
        batch: int,
        space: str = "w",
        seed: int = 0,
        loss: Loss | None = None,
        steps: int = 1000,
        settings: ProjectionSettings | None = None,
    ):
        c = model.config
        self.model, self.batch, self.space = model, batch, space
        self.seed, self.steps = seed, steps
        self.settings, self.loss = (
            settings or ProjectionSettings(),
            loss or MultiScale(),
        )
        self._resolution = model.growth.resolution
        self._repeats = c.num_styles if space == "w" else 1
        self._w = _variable(batch, c.num_styles // self._repeats, c.w_dim)
        shapes = c.noise_shapes(self._resolution)
        self._maps = [_variable(batch, *shape, 1) for shape in shapes]
        self._parameters = [self._w, *self._maps]
        self._adam = Adam(self._parameters)
        self._deviation = _variable(batch, 1, 1)
        size = (*c.shape(self._resolution), c.channels)
        self._target = _variable(batch, *size)
        self._weight = self.settings.penalty_weight(math.prod(size[:2]))
        self._step = tf.function(self._take_step, autograph=False)
        self._draw = tf.function(lambda: self._images(self._w), autograph=False)

    def run(
        self,
        targets: np.ndarray,
        starts: np.ndarray,
        deviations: np.ndarray,
        every: int = 0,
        bar: ProgressBar | None = None,
    ) -> Iterator[Snapshot]:
        """Searches for a batch of targets.

        Args:
            targets: uint8 [batch, H, W, C].
            starts: styles [batch, 1 or num_styles, w_dim]; in W their mean.
            deviations: of w, [batch]; see `w_statistics`.
            every: steps between two snapshots; 0 = none.
            bar: progress bar, updated after every step.

        Yields:
            Snapshots of the start, of every `every`-th step, and of the end.

        Raises:
            UserError: the loss is not finite.
        """
        self._start(targets, starts, deviations)
        for step in range(self.steps):
            if every and step % every == 0:
                yield Snapshot(step, self.images())
            t = step / self.steps
            rates = self.settings.learning_rate(t), self.settings.noise_on_w(t)
            distances = self._step(tf.constant(step), *map(tf.constant, rates))
            if bar is not None:
                bar.update()
            if step % SHOW_EVERY == 0 or step == self.steps - 1:
                self._show(distances.numpy(), step, bar)
        if every:
            yield Snapshot(self.steps, self.images())

    def _show(self, distances: np.ndarray, step: int, bar: ProgressBar | None) -> None:
        if not np.all(np.isfinite(distances)):
            raise UserError(
                f"the distance [{self.loss.name}] is no number at step {step}; "
                f"a smaller learning rate than {self.settings.lr} may help."
            )
        if bar is not None:
            bar.set_postfix(distance=f"{distances.mean():.4f}", refresh=False)

    def _start(self, targets, starts, deviations) -> None:
        rng = np.random.default_rng([self.seed, 2])
        for m in self._maps:
            normal = rng.standard_normal((1, *m.shape[1:]), np.float32)
            m.assign(np.repeat(normal, self.batch, axis=0))
        self._adam.reset()
        self._w.assign(_in_space(starts, self._w.shape[1], self.space))
        self._deviation.assign(np.asarray(deviations, np.float32)[:, None, None])
        self._target.assign(np.asarray(targets, np.float32))

    def _images(self, w) -> tf.Tensor:
        """Generates float [batch, H, W, C], nominally in [-1, 1], from w."""
        ws = tf.repeat(w, self._repeats, axis=1)
        maps = [tf.convert_to_tensor(m) for m in self._maps] or "none"
        return self.model.synthesis(ws, noise=maps, resolution=self._resolution)

    def _take_step(self, number, lr, noise_on_w) -> tf.Tensor:
        """Updates all images; returns the distances [batch] before the step."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(number, tf.int64)])
        normal = tf.random.stateless_normal([1, *self._w.shape[1:]], seed)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._parameters)
            w = self._w + noise_on_w * self._deviation * normal
            images = downscale_images((self._images(w) + 1) * 127.5)
            distance = self.loss.distance(images, downscale_images(self._target))
            penalties = [
                noise.noise_penalty(tf.convert_to_tensor(m)) for m in self._maps
            ]
            total = tf.reduce_sum(distance)
            if penalties:
                total += self._weight * tf.reduce_sum(tf.add_n(penalties))
        gradients = tape.gradient(total, self._parameters, unconnected_gradients="zero")
        self._adam.apply(gradients, lr, tf.cast(number + 1, tf.float32))
        for m in self._maps:
            m.assign(noise.normalize_noise(tf.convert_to_tensor(m)))
        return distance

    def images(self) -> np.ndarray:
        """Returns the images of the present latents, uint8 [batch, H, W, C]."""
        return figures.to_uint8(self._draw().numpy())

    def result(self) -> list[np.ndarray]:
        """Returns styles [batch, num_styles, w_dim] and noise maps [batch, H, W, 1]."""
        ws = self._w.numpy().repeat(self._repeats, axis=1)
        return [ws, *(m.numpy() for m in self._maps)]


def _variable(*shape: int) -> tf.Variable:
    return tf.Variable(tf.zeros(shape), trainable=False)
