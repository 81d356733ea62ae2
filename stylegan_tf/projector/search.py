"""The search for styles and noise maps that draw given pictures.

The method of Karras et al. 2020, section 5 and appendix D. Gradient descent from the
mean w, on one style for all layers (W) or on one a layer (W+, which fits any picture
more closely but strays from what the model has learned), and on the noise maps. Noise
that fades out is added to w, so that the search looks around before it settles.

Pictures are searched for in batches, each for itself: losses are summed, noise maps are
its own, and the random numbers are the same for every picture, whatever lies beside it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stylegan_tf import figures, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.latents import Latents
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator
from stylegan_tf.projector import noise
from stylegan_tf.projector.likeness import Loss, MultiScale, distances, psnr, shrink

SPACES = ("w", "wplus")
MEAN_SEED, MEAN_COUNT = 123, 10_000
BATCH_PIXELS, BATCH_LARGEST = 1 << 19, 32  # what a batch holds, unless it is told
OFFICIAL_WEIGHT, OFFICIAL_PIXELS = 1e5, 1024**2
SHOW_EVERY = 10  # steps between two readings of the loss
BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's


@dataclass(frozen=True)
class Settings:
    """How to search; the defaults are the official projector's, t = step / steps.

    The penalty of a map of white noise falls with its area. At 1024 x 1024, where the
    official weight of 1e5 was chosen, the largest map's costs 0.2, a fraction of the
    loss. The same weight on 32 x 32 makes it cost 200, and Adam, which does not forget
    such gradients within a search, hardly moves the maps any more: the styles then make
    up for noise that is wrong. So the weight is 1e5 x pixels / 1024^2 by default, for
    the same 0.2 at every size.
    """

    lr: float = 0.1  # Adam's, at its highest
    ramp_up: float = 0.05  # share of the steps in which it rises
    ramp_down: float = 0.25  # share in which it falls
    w_noise: float = 0.05  # noise on w at the start, in deviations of w
    w_noise_ramp: float = 0.75  # share of the steps after which it is gone
    noise_weight: float | None = None  # of the penalty on noise maps; None = as above

    def __post_init__(self):
        for name, value in vars(self).items():
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UserError(f"{name} is {value}; give a number of at least 0.")

    def learning_rate(self, t: float) -> float:
        """Adam's step size at t in [0, 1]: up in a line, down in a cosine."""
        up = min(1.0, t / self.ramp_up) if self.ramp_up else 1.0
        down = min(1.0, (1.0 - t) / self.ramp_down) if self.ramp_down else 1.0
        return self.lr * up * (0.5 - 0.5 * math.cos(math.pi * down))

    def penalty_weight(self, pixels: int) -> float:
        """The weight of the penalty on noise maps, for pictures of so many pixels."""
        if self.noise_weight is not None:
            return self.noise_weight
        return OFFICIAL_WEIGHT * min(1.0, pixels / OFFICIAL_PIXELS)

    def noise_on_w(self, t: float) -> float:
        """Noise on w at t in [0, 1], in deviations of w."""
        ramp = self.w_noise_ramp
        return self.w_noise * max(0.0, 1.0 - t / ramp) ** 2 if ramp else 0.0


@dataclass(frozen=True)
class Snapshot:
    """A batch on its way.

    Attributes:
        step: steps done.
        pictures: uint8 [n, H, W, C], what the styles draw without the noise on w.
    """

    step: int
    pictures: np.ndarray


@dataclass(frozen=True)
class Projection:
    """What a search found.

    Attributes:
        latents: styles, noise maps and names.
        pictures, targets: uint8 [N, H, W, C]; what the latents draw, and should.
        loss: name of the distance.
        distances, starts: float64 [N], to the target; and, for comparison, what it is
            with the mean w that the search began with and the noise maps found.
        psnr: float64 [N], dB.
    """

    latents: Latents
    pictures: np.ndarray
    targets: np.ndarray
    loss: str
    distances: np.ndarray
    starts: np.ndarray
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
    settings: Settings | None = None,
    progress: bool = False,
    every: int = 0,
    watch: Watch | None = None,
) -> Projection:
    """Finds the styles and noise maps that draw pictures.

    Args:
        model: any generator.
        targets: uint8 [N, H, W, C], of the size that the model draws.
        space: "w", one style for all layers, or "wplus", one a layer.
        steps: of Adam.
        seed: of the noise; the same seed is the same result.
        classes: of a conditional model, taken in turn: a search starts at the mean w of
            the picture's class. None = at the mean of all classes.
        loss: what to make small; None = `MultiScale`.
        names: what the pictures are called; by default 0000, 0001, ...
        batch: pictures at a time; None = as many as suit their size.
        settings: of the search.
        progress: show a bar.
        every, watch: for each batch `watch` gets the rows that it has of `targets`, and
            its snapshots, one every `every` steps, made while they are asked for.

    Raises:
        UserError: pictures, classes or settings that do not suit the model.
    """
    targets = np.asarray(targets)
    _check(model, targets, space, steps, batch, names)
    count, pixels = len(targets), math.prod(targets.shape[1:3])
    batch = min(batch or np.clip(BATCH_PIXELS // pixels, 1, BATCH_LARGEST), count)
    means, stds = _starts(model, classes, count)
    search = Projector(model, batch, space, seed, loss, steps, settings)
    bar = tqdm(
        total=-(-count // batch) * steps,
        unit="step",
        disable=None if progress else True,
    )
    parts = []
    with bar:
        for start in range(0, count, batch):
            rows = np.minimum(np.arange(start, start + batch), count - 1)
            used = slice(start, min(start + batch, count))
            snapshots = search.run(targets[rows], means[rows], stds[rows], every, bar)
            _watched(snapshots, used, watch)
            parts.append([x[: used.stop - start] for x in search.found()])
    ws, *maps = (np.concatenate(part) for part in zip(*parts, strict=True))
    names = tuple(names) or tuple(f"{i:04d}" for i in range(count))
    kept = Latents(ws, maps or None, names)
    return _measured(model, kept, targets, means, search.loss)


def _check(model: Generator, targets, space, steps, batch, names) -> None:
    c = model.config
    shape = (*c.shape(model.growth.resolution), c.channels)
    if space not in SPACES:
        raise UserError(f"space is {space!r}; choose {' or '.join(SPACES)}.")
    for name, value in (("steps", steps), ("batch", batch)):
        if value is not None and value < 1:
            raise UserError(f"{name} is {value}; give at least 1.")
    if targets.dtype != np.uint8 or targets.shape[1:] != shape or not len(targets):
        found, wanted = (" x ".join(map(str, s)) for s in (targets.shape, shape))
        raise UserError(
            f"the pictures are {targets.dtype} of {found}; give at least one, as uint8 "
            f"of N x {wanted}, which the model draws."
        )
    if names and len(names) != len(targets):
        raise UserError(f"{len(names)} names were given for {len(targets)} pictures.")


def _watched(snapshots: Iterator[Snapshot], used: slice, watch: Watch | None) -> None:
    """Runs the search of a batch to its end."""
    count = used.stop - used.start  # the rest fills up the batch
    if watch is not None:
        watch(used, (Snapshot(s.step, s.pictures[:count]) for s in snapshots))
    for _ in snapshots:  # what `watch` did not ask for
        pass


def _measured(model, kept, targets, means, loss: Loss) -> Projection:
    render = sampling.Renderer(model)
    pictures = render(kept.ws, kept.noise)
    styles = np.repeat(means[:, None], model.config.num_styles, axis=1)
    return Projection(
        latents=kept,
        pictures=pictures,
        targets=targets,
        loss=loss.name,
        distances=distances(loss, pictures, targets),
        starts=distances(loss, render(styles, kept.noise), targets),
        psnr=psnr(pictures, targets),
    )


# ---------------------------------------------------------------------------
# Where a search starts


def w_statistics(
    model: Generator, label: int | None = None, count: int = MEAN_COUNT
) -> tuple[np.ndarray, float]:
    """The mean w, and how far w lies from it.

    Args:
        model: the generator.
        label: class number; None = all classes of a conditional model in turn.
        count: latents.

    Returns:
        The mean, float32 [w_dim], and sqrt(sum |w - mean|^2 / count).
    """
    c = model.config
    z = np.random.RandomState(MEAN_SEED).randn(count, c.z_dim).astype(np.float32)
    turns = np.arange(count) % max(c.classes, 1) if label is None else [label] * count
    w = sampling.map_latents(model, z, turns).astype(np.float64)
    mean = w.mean(axis=0)
    return mean.astype(np.float32), float(np.sqrt(((w - mean) ** 2).sum() / count))


def _starts(model, classes, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean w [N, w_dim] and deviation [N] for each picture."""
    turns = [None] if classes is None else sampling.chosen_classes(model, classes)
    known = {k: w_statistics(model, k) for k in dict.fromkeys(turns)}
    own = [known[turns[i % len(turns)]] for i in range(count)]
    return np.stack([m for m, _ in own]), np.array([s for _, s in own], np.float32)


# ---------------------------------------------------------------------------
# The search


class Projector:
    """The search for a batch of pictures, compiled once.

    Args:
        model: the generator.
        batch: pictures at a time.
        space, seed, loss, steps, settings: as of `project`.
    """

    def __init__(
        self,
        model: Generator,
        batch: int,
        space: str = "w",
        seed: int = 0,
        loss: Loss | None = None,
        steps: int = 1000,
        settings: Settings | None = None,
    ):
        c = model.config
        self.model, self.batch, self.seed, self.steps = model, batch, seed, steps
        self.settings, self.loss = settings or Settings(), loss or MultiScale()
        self._resolution = model.growth.resolution
        self._repeats = c.num_styles if space == "w" else 1
        self._w = _variable(batch, c.num_styles // self._repeats, c.w_dim)
        shapes = c.noise_shapes(self._resolution)
        self._maps = [_variable(batch, *shape, 1) for shape in shapes]
        self._searched = [self._w, *self._maps]
        self._slots = [[_variable(*v.shape) for v in self._searched] for _ in BETAS]
        self._deviation = _variable(batch, 1, 1)
        size = (*c.shape(self._resolution), c.channels)
        self._target = _variable(batch, *size)
        self._weight = self.settings.penalty_weight(math.prod(size[:2]))
        self._step = tf.function(self._take_step, autograph=False)
        self._draw = tf.function(lambda: self._images(self._w), autograph=False)

    def run(
        self,
        targets: np.ndarray,
        means: np.ndarray,
        deviations: np.ndarray,
        every: int = 0,
        bar: tqdm | None = None,
    ) -> Iterator[Snapshot]:
        """Searches, and stops for a look now and then.

        Args:
            targets: uint8 [batch, H, W, C].
            means, deviations: [batch, w_dim] and [batch], as of `w_statistics`.
            every: steps between two snapshots; 0 = none.
            bar: moves with every step.

        Yields:
            The start, every `every`-th step, and the end.

        Raises:
            UserError: the loss is no longer a number.
        """
        self._start(targets, means, deviations)
        for step in range(self.steps):
            if every and step % every == 0:
                yield Snapshot(step, self.pictures())
            t = step / self.steps
            rates = self.settings.learning_rate(t), self.settings.noise_on_w(t)
            found = self._step(tf.constant(step), *map(tf.constant, rates))
            if bar is not None:
                bar.update()
            if step % SHOW_EVERY == 0 or step == self.steps - 1:
                self._check(found.numpy(), step, bar)
        if every:
            yield Snapshot(self.steps, self.pictures())

    def _check(self, found: np.ndarray, step: int, bar: tqdm | None) -> None:
        if not np.all(np.isfinite(found)):
            raise UserError(
                f"the distance [{self.loss.name}] is no number at step {step}; "
                f"a smaller learning rate than {self.settings.lr} may help."
            )
        if bar is not None:
            bar.set_postfix(distance=f"{found.mean():.4f}", refresh=False)

    def _start(self, targets, means, deviations) -> None:
        rng = np.random.default_rng([self.seed, 2])
        for m in self._maps:
            drawn = rng.standard_normal((1, *m.shape[1:]), np.float32)
            m.assign(np.repeat(drawn, self.batch, axis=0))
        for slot in self._slots[0] + self._slots[1]:
            slot.assign(tf.zeros_like(slot))
        self._w.assign(np.repeat(means[:, None], self._w.shape[1], axis=1))
        self._deviation.assign(np.asarray(deviations, np.float32)[:, None, None])
        self._target.assign(np.asarray(targets, np.float32))

    def _images(self, w) -> tf.Tensor:
        """Pictures of w, float [batch, H, W, C], nominally in [-1, 1]."""
        ws = tf.repeat(w, self._repeats, axis=1)
        maps = [tf.convert_to_tensor(m) for m in self._maps] or "none"
        return self.model.synthesis(ws, noise=maps, resolution=self._resolution)

    def _take_step(self, number, lr, noise_on_w) -> tf.Tensor:
        """One step of all pictures; returns the distances [batch] before it."""
        seed = tf.stack([tf.constant(self.seed, tf.int64), tf.cast(number, tf.int64)])
        luck = tf.random.stateless_normal([1, *self._w.shape[1:]], seed)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._searched)
            w = self._w + noise_on_w * self._deviation * luck
            shown = shrink((self._images(w) + 1) * 127.5)
            distance = self.loss.distance(shown, shrink(self._target))
            penalties = [noise.penalty(tf.convert_to_tensor(m)) for m in self._maps]
            total = tf.reduce_sum(distance)
            if penalties:
                total += self._weight * tf.reduce_sum(tf.add_n(penalties))
        gradients = tape.gradient(total, self._searched, unconnected_gradients="zero")
        self._adam(gradients, lr, tf.cast(number + 1, tf.float32))
        for m in self._maps:
            m.assign(noise.normalize(tf.convert_to_tensor(m)))
        return distance

    def _adam(self, gradients, lr, count) -> None:
        """Kingma and Ba 2015. Every number for itself: no picture sees another."""
        one, two = BETAS
        lr *= tf.sqrt(1 - two**count) / (1 - one**count)
        for x, g, m, v in zip(self._searched, gradients, *self._slots, strict=True):
            m.assign(ops.lerp(g, m, one))
            v.assign(ops.lerp(g * g, v, two))
            x.assign_sub(lr * m / (tf.sqrt(v) + EPSILON))

    def pictures(self) -> np.ndarray:
        """What the search has come to: uint8 [batch, H, W, C]."""
        return figures.to_uint8(self._draw().numpy())

    def found(self) -> list[np.ndarray]:
        """Styles [batch, num_styles, w_dim], then a [batch, H, W, 1] a layer."""
        ws = self._w.numpy().repeat(self._repeats, axis=1)
        return [ws, *(m.numpy() for m in self._maps)]


def _variable(*shape: int) -> tf.Variable:
    return tf.Variable(tf.zeros(shape), trainable=False)
