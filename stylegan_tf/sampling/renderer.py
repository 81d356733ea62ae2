"""Renders seeds: seeds -> styles -> images, the same whatever the batch.

    for seed, image in draw(model, seeds=range(8), psi=0.7): ...
    ws = styles(model, seeds=range(8), psi=0.7)
    images = Renderer(model)(ws)

`steer`, a function of styles and class numbers, changes styles between mapping and
synthesis (`sampling.steering`).

All computed batches have one size (the last one is padded), because convolutions may
round differently for another size. It follows from the model and the device alone
(`batch_size`): a CPU renders large images one at a time, with prepared kernels where
there are any (`sampling.fast_cpu`).
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from stylegan_tf import config, latents
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.growing import NOISE_MODES
from stylegan_tf.progress import ProgressBar
from stylegan_tf.sampling import centers, fast_cpu

BATCH = 8
SMALL = 1 << 29  # multiplications per image below which BATCH are rendered at once
# float32 [n, num_styles, w_dim], class numbers int [n] or [0] -> styles of that shape.
Steer = Callable[[np.ndarray, np.ndarray], np.ndarray]


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
    transform: np.ndarray | None = None,
) -> Iterator[tuple[int, np.ndarray]]:
    """Yields the images of seeds, one after the other.

    Args:
        model: the generator.
        seeds: one per image.
        psi: truncation, a number or one per layer.
        cutoff: number of layers to truncate, from the coarsest; None = all.
        noise: "const", "none", or "random" (from the seed).
        classes: class numbers that the seeds take in turn; None = all of them.
        resolution: of the images; None = the highest that the model has learned.
        progress: show a bar.
        psi_center: the w that truncation moves towards: "class", the mean w of the
            image's own class, or "global", the stored w_avg. None = "class" for a
            conditional model.
        steer: changes the truncated styles.
        transform: float [3, 3] of StyleGAN3's input; see
            `networks.stylegan3.rotation_and_shift`.

    Yields:
        The seed and its uint8 [H, W, C].

    Raises:
        UserError: classes, a center, random noise, or an input transform that the
            model does not have.
    """
    seeds = list(seeds)
    style = _Styler(model, seeds, psi, cutoff, classes, psi_center, progress, steer)
    render = Renderer(model, noise, resolution)
    bar = ProgressBar(shown=progress, total=len(seeds), unit="picture")
    with bar:
        for start in range(0, len(seeds), BATCH):
            chosen = seeds[start : start + BATCH]
            own = chosen if noise == "random" else None
            images = render.stream(style(start), seeds=own, transform=transform)
            for seed, image in zip(chosen, images, strict=True):
                yield seed, image
                bar.update()


def styles(
    model: Generator,
    seeds: Iterable[int],
    psi: float | Sequence[float] = 1.0,
    cutoff: int | None = None,
    classes: Sequence[int] | None = None,
    psi_center: str | None = None,
    steer: Steer | None = None,
) -> np.ndarray:
    """Returns the styles of seeds, from which `draw` renders its images.

    The arguments are those of `draw`.

    Returns:
        float32 [len(seeds), num_styles, w_dim].
    """
    seeds, c = list(seeds), model.config
    style = _Styler(model, seeds, psi, cutoff, classes, psi_center, steer=steer)
    parts = [style(start) for start in range(0, len(seeds), BATCH)]
    return np.concatenate(parts or [np.zeros((0, c.num_styles, c.w_dim), np.float32)])


class _Styler:
    """Computes the truncated styles of seeds, BATCH at a time; see `draw`."""

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
        self.class_ids = centers.class_ids_of(model, len(seeds), classes)
        truncated = np.any(np.not_equal(psi, 1))  # else no class needs its center
        own = self.class_ids if truncated else self.class_ids[:0]
        self.centers = centers.truncation_centers(model, own, psi_center, progress)
        self.psi = latents.layer_psi(psi, cutoff, model.config.num_styles)

    def __call__(self, start: int) -> np.ndarray:
        """Returns [up to BATCH, num_styles, w_dim] of the seeds from `start` on."""
        c = self.model.config
        rows = np.minimum(np.arange(start, start + BATCH), len(self.seeds) - 1)
        labels = None
        if c.classes:
            labels = centers.labels_of(self.model, self.class_ids[rows])
        z = latents.z_of([self.seeds[i] for i in rows], c.z_dim)
        ws = _compiled_mapping(self.model)(z, labels).numpy()
        own = self.centers[rows] if len(self.centers) > 1 else self.centers
        ws = latents.truncate(ws, own, self.psi)[: len(self.seeds) - start]
        if self.steer is None:
            return ws
        class_ids = self.class_ids[start : start + BATCH]
        return np.asarray(self.steer(ws, class_ids), np.float32)


@functools.lru_cache(maxsize=1)  # shared by all calls for one model
def _compiled_mapping(model: Generator) -> Callable:
    """Returns the compiled function from z and labels to styles."""

    @tf.function(autograph=False, reduce_retracing=True)
    def style(z, labels):
        return model.broadcast(model.mapping(z, labels))

    return style


class Renderer:
    """Renders styles as images by one compiled network, `batch` images at a time.

    Args:
        model: the generator.
        noise: "const", "none", or "random": then each call is given noise maps, such as
            those of `noise_of`.
        resolution: of the images; None = the highest that the model has learned.
        batch: images per computation; None = `batch_size(model, resolution)`.
        fixed_weights: True if the weights do not change while the renderer is used. A
            CPU may then render with prepared kernels (`sampling.fast_cpu`).

    Attributes:
        batch: int, images per computation.
        resolution: int.
        shapes: height and width of each layer's noise map.

    Raises:
        UserError: random noise, but the model has no noise inputs.
    """

    def __init__(
        self,
        model: Generator,
        noise: str = "const",
        resolution: int | None = None,
        batch: int | None = None,
        fixed_weights: bool = True,
    ):
        check_noise(model.config, noise)
        self.model, self.noise = model, "none" if noise == "random" else noise
        self.resolution = resolution or model.growth.resolution
        self.shapes = model.config.noise_shapes(self.resolution)
        self.batch = batch or batch_size(model, self.resolution)
        single = self._single_image_synthesis() if fixed_weights else None

        @tf.function(autograph=False, reduce_retracing=True)
        def render(ws, maps, alpha, transform):
            if single:
                return ops.uint8_images(single(ws, maps))
            return ops.uint8_images(self.images(ws, maps, alpha, transform))

        self._render = render

    def _single_image_synthesis(self) -> fast_cpu.SingleImageSynthesis | None:
        """Returns the prepared network, if it computes this renderer's images."""
        model = self.model
        float32 = model.dtype_policy.compute_dtype == "float32"
        grown = model.growth.alpha_at(self.resolution) == 1
        supported = float32 and grown and fast_cpu.supports(model.config)
        if self.batch > 1 or not supported:
            return None
        resolution, noise = self.resolution, self.noise
        return fast_cpu.SingleImageSynthesis(model.synthesis, resolution, noise)

    def images(
        self,
        ws: tf.Tensor,
        maps: Sequence[tf.Tensor] = (),
        alpha: tf.Tensor | None = None,
        transform: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Returns float images in [-1, 1], [N, H, W, C], of any number of styles.

        It is not compiled by itself, so that other compiled functions may contain it.
        """
        noise = list(maps) or self.noise
        how = {"noise": noise, "resolution": self.resolution, "alpha": alpha}
        if transform is not None:
            how["transform"] = transform
        return self.model.synthesis(ws, **how)

    def noise_of(self, seeds: Sequence[int]) -> list[np.ndarray]:
        """Returns the noise maps of seeds, one float32 [N, H, W, 1] per layer."""
        return latents.noise_of(list(seeds), self.shapes)

    def __call__(
        self,
        ws: np.ndarray,
        maps: Sequence[np.ndarray] | None = None,
        alpha: float | None = None,
        transform: np.ndarray | None = None,
    ) -> np.ndarray:
        """Returns images, uint8 [N, H, W, C].

        Args:
            ws: float [N, num_styles, w_dim], any N.
            maps: noise maps in place of those that `noise` names: one float
                [N or 1, H, W, 1] per layer.
            alpha: fade-in of `resolution`, a number; None = as far as the model has
                grown.
            transform: float [3, 3] or [N, 3, 3] of StyleGAN3's input.

        Raises:
            UserError: a transform of another network's input.
        """
        if transform is not None:
            check_transforms(self.model.config)
            transform = np.broadcast_to(np.float32(transform), (len(ws), 3, 3))
        ws, parts = np.asarray(ws, np.float32), []
        fade = None if alpha is None else tf.constant(alpha, tf.float32)
        for start in range(0, len(ws), self.batch):
            rows = np.minimum(np.arange(start, start + self.batch), len(ws) - 1)
            own = [np.asarray(m, np.float32) for m in maps or []]
            own = [tf.constant(m[rows] if len(m) > 1 else m) for m in own]
            moved = None if transform is None else tf.constant(transform[rows])
            images = self._render(tf.constant(ws[rows]), own, fade, moved)
            parts.append(images.numpy()[: len(ws) - start])
        shape = self.model.config.shape(self.resolution)
        none = np.zeros((0, *shape, self.model.config.channels), np.uint8)
        return np.concatenate(parts or [none])

    def stream(
        self,
        ws: np.ndarray,
        maps: Sequence[np.ndarray] | None = None,
        seeds: Sequence[int] | None = None,
        transform: np.ndarray | None = None,
    ) -> Iterator[np.ndarray]:
        """Yields images one after the other, holding no more than a batch of them.

        Args:
            ws: float [N, num_styles, w_dim].
            maps: noise maps, one [N or 1, H, W, 1] per layer; see the call.
            seeds: one per image, to draw its noise from; None = as `maps` say.
            transform: see the call.

        Yields:
            uint8 [H, W, C].
        """
        for start in range(0, len(ws), self.batch):
            rows = slice(start, start + self.batch)
            own = [m[rows] if len(m) > 1 else m for m in maps or []]
            if seeds is not None:
                own = self.noise_of(seeds[rows])
            moved = transform
            if transform is not None and np.ndim(transform) == 3:
                moved = transform[rows]
            yield from self(ws[rows], own, transform=moved)


def batch_size(model: Generator, resolution: int | None = None) -> int:
    """Returns the number of images that `Renderer` computes at once, 1 or BATCH.

    A CPU renders large images as fast alone as together. On GPUs, and for images of
    fewer than SMALL multiplications, a call costs more than its computation.
    """
    resolution = resolution or model.growth.resolution
    alone = image_multiplications(model, resolution) >= SMALL
    return 1 if alone and not tf.config.list_logical_devices("GPU") else BATCH


def image_multiplications(model: Generator, resolution: int) -> int:
    """Estimates an image's multiplications: two 3 x 3 convolutions per resolution.

    StyleGAN3's are those of its convolutions and filters.
    """
    c, count = model.config, 0
    if c.architecture == "stylegan3":
        return sum(p.multiplications for p in c.filtered_layers)
    for r in config.levels(resolution):
        h, w = c.shape(r)
        count += 18 * h * w * c.fmaps(r) ** 2
    return count


# ---------------------------------------------------------------------------
# What a model renders


def check_transforms(c: config.GeneratorConfig) -> None:
    """Raises UserError unless the network's input can be shifted and rotated."""
    if c.architecture != "stylegan3":
        raise UserError(
            f"only StyleGAN3's pictures can be shifted and rotated at the network's "
            f"input; this model's architecture is {c.architecture}. Leave --translate "
            f"and --rotate out."
        )


def check_noise(c: config.GeneratorConfig, noise: str) -> None:
    """Raises UserError for noise that a network cannot be drawn with.

    A network without noise inputs takes "const", the default, and "none".
    """
    if noise not in NOISE_MODES:
        raise UserError(f"noise is {noise!r}; choose {', '.join(NOISE_MODES)}.")
    if noise == "random" and not c.noise_shapes(c.resolution):
        raise UserError(
            f"noise is 'random', but this model ({c.architecture}) has no noise "
            f"inputs; leave --noise out."
        )


def drawn_styles(model: Generator) -> int:
    """Returns the number of styles of finished images: two per resolution, or one.

    StyleGAN3, which does not grow, uses all of its styles.
    """
    if not model.config.has_styles:
        return 1
    if model.config.architecture == "stylegan3":
        return model.config.num_styles
    return 2 * len(config.levels(model.growth.resolution))


def stored_noise(model: Generator) -> list[np.ndarray]:
    """Returns the stored noise maps of finished images, [1, H, W, 1] each."""
    shapes = model.config.noise_shapes(model.growth.resolution)
    names = [f"noise{i}" for i in range(len(shapes))]
    if not all(hasattr(model.synthesis, name) for name in names):
        return []  # of a class of the user's own
    return [getattr(model.synthesis, name).numpy() for name in names]
