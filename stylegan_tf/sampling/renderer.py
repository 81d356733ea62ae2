"""Seeds to styles to finished pictures, in batches, the same whatever the batch.

    for seed, picture in draw(model, seeds=range(8), psi=0.7): ...
    ws = styles(model, seeds=range(8), psi=0.7)
    pictures = Renderer(model)(ws)

`steer`, a function of styles and of the pictures' classes, changes styles on their way
from the mapping to the picture (`stylegan_tf.steering`).

Every batch that is computed has the same size (the last one is filled up), because
convolutions may round differently for another one. How many pictures that are follows
from the model and the device alone (`batch_of`): on a CPU, one at a time unless they
are small, by a network of folded weights where there is one (`sampling.fast_cpu`).

Truncation of a conditional model pulls every w towards the mean of its own class. The
stored w_avg is the mean of all classes together: close to it, a class loses what tells
it from the others.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stylegan_tf import config, latents
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import fast_cpu

BATCH = 8
SMALL = 1 << 29  # multiplications of a picture below which BATCH are drawn at once
PSI_CENTERS = ("global", "class")
CENTER_SEED, CENTER_LATENTS, CENTER_BATCH = 0, 10_000, 1_000
# float32 [n, num_styles, w_dim], classes int [n] or [0] -> the same shape of styles.
Steer = Callable[[np.ndarray, np.ndarray], np.ndarray]
NO_CENTERS = "the model has no classes, so no center of any; use --psi_center=global."


def draw(
    model: Generator,
    seeds: Iterable[int],
    psi: float | Sequence[float] = 1.0,
    cutoff: int | None = None,
    noise: str = "const",
    classes: Sequence[int] | None = None,
    resolution: int | None = None,
    progress: bool = False,
    psi_center: str | None = None,
    steer: Steer | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Pictures of seeds, one after the other.

    Args:
        model: the generator.
        seeds: one a picture.
        psi, cutoff: truncation, as `Generator.truncate`.
        noise: "const", "none", or "random" (drawn from the seed).
        classes: class numbers that the seeds take in turn; None = all of them.
        resolution: level to draw at; None = the highest that the model has learned.
        progress: show a bar.
        psi_center: what truncation pulls towards: "class", the mean w of the picture's
            own class, or "global", the stored w_avg. None = "class" if there are any.
        steer: what is done to the styles before they are drawn.

    Yields:
        The seed and its uint8 [H, W, C].

    Raises:
        UserError: classes, or a center, that the model does not have.
    """
    seeds = list(seeds)
    style = Styler(model, seeds, psi, cutoff, classes, psi_center, progress, steer)
    render = Renderer(model, noise, resolution)
    bar = tqdm(total=len(seeds), unit="picture", disable=None if progress else True)
    with bar:
        for start in range(0, len(seeds), BATCH):
            ws, rows = style(start), range(start, min(start + BATCH, len(seeds)))
            for first in range(0, len(ws), render.batch):
                part = slice(first, first + render.batch)
                chosen = [seeds[i] for i in rows[part]]
                maps = render.noise_of(chosen) if noise == "random" else None
                yield from zip(chosen, render(ws[part], maps), strict=True)
                bar.update(len(chosen))


def styles(
    model: Generator,
    seeds: Iterable[int],
    psi: float | Sequence[float] = 1.0,
    cutoff: int | None = None,
    classes: Sequence[int] | None = None,
    psi_center: str | None = None,
    steer: Steer | None = None,
) -> np.ndarray:
    """The styles that `draw` makes its pictures from, with the same arguments.

    Returns:
        float32 [len(seeds), num_styles, w_dim].
    """
    seeds, c = list(seeds), model.config
    style = Styler(model, seeds, psi, cutoff, classes, psi_center, steer=steer)
    parts = [style(start) for start in range(0, len(seeds), BATCH)]
    return np.concatenate(parts or [np.zeros((0, c.num_styles, c.w_dim), np.float32)])


class Styler:
    """Seeds to truncated styles, BATCH at a time.

    Args:
        model, seeds, psi, cutoff, classes, psi_center, progress, steer: as of `draw`.
    """

    def __init__(
        self,
        model: Generator,
        seeds: list[int],
        psi: float | Sequence[float] = 1.0,
        cutoff: int | None = None,
        classes: Sequence[int] | None = None,
        psi_center: str | None = None,
        progress: bool = False,
        steer: Steer | None = None,
    ):
        self.model, self.seeds, self.steer = model, seeds, steer
        asked = classes_of(model, classes)
        self.turns = np.resize(np.asarray(asked, int), len(seeds) if asked else 0)
        middle, own = _centers(model, self.turns, psi, psi_center, progress)
        self._centers, self._own = middle, np.resize(own, len(seeds))
        self._psi = latents.layer_psi(psi, cutoff, model.config.num_styles)

    def __call__(self, start: int) -> np.ndarray:
        """float32 [at most BATCH, num_styles, w_dim] of the seeds from `start` on."""
        c = self.model.config
        rows = np.minimum(np.arange(start, start + BATCH), len(self.seeds) - 1)
        labels = latents.one_hot(self.turns[rows], c.classes) if c.classes else None
        z = latents.z_of([self.seeds[i] for i in rows], c.z_dim)
        ws = _broadcast(self.model)(z, labels).numpy()
        ws = latents.truncate(ws, self._centers[self._own[rows]][:, None], self._psi)
        ws = ws[: len(self.seeds) - start]
        if self.steer is None:
            return ws
        return np.asarray(self.steer(ws, self.turns[start : start + BATCH]), np.float32)


@functools.lru_cache(maxsize=1)  # many `Styler`s of one model share it
def _broadcast(model: Generator) -> Callable:
    """z and labels to styles, compiled."""

    @tf.function(autograph=False, reduce_retracing=True)
    def style(z, labels):
        return model.broadcast(model.mapping(z, labels))

    return style


class Renderer:
    """Styles to finished pictures, compiled once, `batch` at a time.

    On a CPU it may keep the model's weights as they are when it is made; make another
    one after they have changed.

    Args:
        model: the generator.
        noise: "const", "none", or "random": then every call brings its maps.
        resolution: level to draw at; None = the highest that the model has learned.

    Call arguments:
        ws: float [N, num_styles, w_dim], any N.
        maps: noise of its own: one float [N or 1, H, W, 1] a layer, in place of what
            `noise` says.

    Returns:
        uint8 [N, H, W, C].

    Attributes:
        batch: int, pictures that are computed at once.
    """

    def __init__(
        self, model: Generator, noise: str = "const", resolution: int | None = None
    ):
        self.model = model
        self.resolution = resolution or drawn_resolution(model)
        self.shapes = model.config.noise_shapes(self.resolution)
        self.batch = batch_of(model, self.resolution)
        mode = "none" if noise == "random" else noise
        synthesis = _synthesis(model, mode, self.resolution, self.batch)

        @tf.function(autograph=False, reduce_retracing=True)
        def paint(ws, maps):
            return ops.to_uint8(synthesis(ws, maps))

        self._paint = paint

    def noise_of(self, seeds: Sequence[int]) -> list[np.ndarray]:
        """The noise maps of these seeds, one [N, H, W, 1] a layer."""
        return latents.noise_of(list(seeds), self.shapes)

    def __call__(
        self, ws: np.ndarray, maps: Sequence[np.ndarray] | None = None
    ) -> np.ndarray:
        ws, parts = np.asarray(ws, np.float32), []
        for start in range(0, len(ws), self.batch):
            rows = np.minimum(np.arange(start, start + self.batch), len(ws) - 1)
            own = [np.asarray(m, np.float32) for m in maps or []]
            own = [tf.constant(m[rows] if len(m) > 1 else m) for m in own]
            images = self._paint(tf.constant(ws[rows]), own)
            parts.append(images.numpy()[: len(ws) - start])
        shape = self.model.config.shape(self.resolution)
        none = np.zeros((0, *shape, self.model.config.channels), np.uint8)
        return np.concatenate(parts or [none])


def batch_of(model: Generator, resolution: int | None = None) -> int:
    """How many pictures `Renderer` computes at once: 1 or BATCH.

    A CPU draws large pictures as fast alone as together. Where a picture takes fewer
    than SMALL multiplications, and on GPUs, a call costs more than what it computes.
    """
    alone = _multiplications(model, resolution or drawn_resolution(model)) >= SMALL
    return 1 if alone and not tf.config.list_logical_devices("GPU") else BATCH


def _multiplications(model: Generator, resolution: int) -> int:
    """Of a picture, about: those of one 3 x 3 convolution a resolution, twice."""
    c, count = model.config, 0
    if c.architecture == "stylegan3":
        return c.multiplications
    for r in config.levels(resolution):
        h, w = c.shape(r)
        count += 18 * h * w * c.fmaps(r) ** 2
    return count


def _synthesis(model: Generator, noise: str, resolution: int, batch: int) -> Callable:
    """Styles and maps of noise to floats, by the fastest network there is."""
    plain = model.dtype_policy.compute_dtype == "float32"
    plain = plain and model.alpha_at(resolution) == 1
    if batch == 1 and plain and fast_cpu.suits(model.config):
        return fast_cpu.Single(model.synthesis, resolution, noise)
    return lambda ws, maps: model.synthesis(
        ws, noise=maps or noise, resolution=resolution
    )


# ---------------------------------------------------------------------------
# What a model has


def drawn_resolution(model: Generator) -> int:
    """The level of finished pictures: the highest that the model has learned."""
    return model.level or model.config.resolution


def drawn_styles(model: Generator) -> int:
    """How many styles finished pictures depend on: two a resolution, or just one.

    Those of StyleGAN3, which does not grow, are all that it has.
    """
    if not model.config.has_styles:
        return 1
    if model.config.architecture == "stylegan3":
        return model.config.num_styles
    return 2 * len(config.levels(drawn_resolution(model)))


def stored_noise(model: Generator) -> list[np.ndarray]:
    """The noise maps that the model stores for finished pictures, [1, H, W, 1] each."""
    shapes = model.config.noise_shapes(drawn_resolution(model))
    maps = (getattr(model.synthesis, f"noise{i}") for i in range(len(shapes)))
    return [m.numpy() for m in maps]


def mapped(
    model: Generator, z: np.ndarray, turns: Sequence[int] | np.ndarray = ()
) -> np.ndarray:
    """w of many z, by batches of one size: float32 [N, w_dim].

    Args:
        model: the generator.
        z: float [N, z_dim].
        turns: the class of each, for a conditional model.
    """
    c, parts, size = model.config, [], min(CENTER_BATCH, max(len(z), 1))
    for start in range(0, len(z), size):
        rows = np.minimum(np.arange(start, start + size), len(z) - 1)
        own = np.asarray(turns, int)[rows] if c.classes else None
        labels = None if own is None else latents.one_hot(own, c.classes)
        w = model.mapping(tf.constant(z[rows], tf.float32), labels).numpy()
        parts.append(w[: len(z) - start])
    return np.concatenate(parts or [np.zeros((0, c.w_dim), np.float32)])


def sample_w(model: Generator, count: int = CENTER_LATENTS) -> np.ndarray:
    """w of fixed random latents, classes in turn: float32 [count, w_dim]."""
    c = model.config
    z = np.random.RandomState(CENTER_SEED).randn(count, c.z_dim)
    turns = np.resize(np.arange(c.classes), count if c.classes else 0)
    return mapped(model, z, turns)


# ---------------------------------------------------------------------------
# Classes


def classes_of(model: Generator, classes: Sequence[int] | None = None) -> list[int]:
    """The class numbers that were asked for; all of the model's if none were.

    Raises:
        UserError: the model does not have them.
    """
    count = model.config.classes
    if classes and not count:
        raise UserError("the model has no classes; leave --classes out.")
    classes = [int(k) for k in classes or range(count)]
    for k in classes:
        if not 0 <= k < count:
            raise UserError(f"class {k} was asked for; the model has 0 to {count - 1}.")
    return classes


def class_centers(
    model: Generator,
    classes: Sequence[int] | None = None,
    count: int = CENTER_LATENTS,
    progress: bool = False,
) -> np.ndarray:
    """The mean w of classes, which truncation pulls their pictures towards.

    The mean of `mapping(z, label)` over fixed latents, the same ones for every class:
    a function of the weights alone, wherever they were loaded from.

    Args:
        model: a conditional generator.
        classes: class numbers; None = all of them.
        count: latents.
        progress: show a bar.

    Returns:
        float32 [classes, w_dim].

    Raises:
        UserError: the model does not have these classes, or any.
    """
    c = model.config
    if not c.classes:
        raise UserError(NO_CENTERS)
    classes = classes_of(model, classes)
    z = np.random.RandomState(CENTER_SEED).randn(count, c.z_dim).astype(np.float32)
    off = None if progress else True
    out = np.zeros((len(classes), c.w_dim), np.float32)
    for i, k in enumerate(tqdm(classes, "means of w", unit="class", disable=off)):
        out[i] = mapped(model, z, [k] * count).mean(axis=0, dtype=np.float64)
    return out


def centers(
    model: Generator,
    turns: np.ndarray,
    psi_center: str | None = None,
    progress: bool = False,
) -> np.ndarray:
    """What truncation pulls pictures of these classes towards.

    Args:
        model: the generator.
        turns: int [N], the class of each picture; [0] without classes.
        psi_center, progress: as of `draw`.

    Returns:
        float32 [N or 1, 1, w_dim].

    Raises:
        UserError: as `draw`.
    """
    middle, own = _centers(model, turns, None, psi_center, progress)
    return middle[own][:, None]


def _centers(
    model: Generator, turns: np.ndarray, psi, psi_center: str | None, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Centers of truncation, float32 [M, w_dim], and each picture's: int [N or 1]."""
    psi_center = psi_center or ("class" if model.config.classes else "global")
    if psi_center not in PSI_CENTERS:
        known = " or ".join(PSI_CENTERS)
        raise UserError(f"psi_center is {psi_center!r}; choose {known}.")
    if psi_center == "class" and not model.config.classes:
        raise UserError(NO_CENTERS)
    if psi_center == "global" or psi == 1 or not len(turns):
        return model.w_avg.numpy()[None], np.zeros(1, int)
    used, own = np.unique(turns, return_inverse=True)
    return class_centers(model, used.tolist(), progress=progress), own
