"""Seeds to finished pictures, in batches, the same whatever the batch.

Every batch that is computed has the same size (the last one is filled up), because
convolutions may round differently for another one.

Truncation of a conditional model pulls every w towards the mean of its own class. The
stored w_avg is the mean of all classes together: close to it, a class loses what tells
it from the others.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stylegan_tf import figures, latents
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator

BATCH = 8
PSI_CENTERS = ("global", "class")
CENTER_SEED, CENTER_LATENTS, CENTER_BATCH = 0, 10_000, 1_000
NO_CENTERS = "the model has no classes, so no centre of any; use --psi_center=global."


def draw(
    model: Generator,
    seeds: Iterable[int],
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: str = "const",
    classes: Sequence[int] | None = None,
    resolution: int | None = None,
    progress: bool = False,
    psi_center: str | None = None,
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

    Yields:
        The seed and its uint8 [H, W, C].

    Raises:
        UserError: classes, or a centre, that the model does not have.
    """
    c, seeds = model.config, list(seeds)
    resolution = resolution or model.level or c.resolution
    asked = classes_of(model, classes)
    turns = np.resize(np.asarray(asked, int), len(seeds) if asked else 0)
    centers, own = _centers(model, turns, psi, psi_center, progress)
    own = np.resize(own, len(seeds))
    render = _renderer(model, psi, cutoff, noise, resolution)
    bar = tqdm(total=len(seeds), unit="picture", disable=None if progress else True)
    with bar:
        for start in range(0, len(seeds), BATCH):
            rows = np.minimum(np.arange(start, start + BATCH), len(seeds) - 1)
            labels = latents.one_hot(turns[rows], c.classes) if c.classes else None
            chosen = [seeds[i] for i in rows]
            images = render(chosen, labels, centers[own[rows]][:, None])
            count = min(BATCH, len(seeds) - start)
            yield from zip(chosen[:count], images, strict=False)
            bar.update(count)


def _renderer(
    model: Generator, psi: float, cutoff: int | None, noise: str, resolution: int
) -> Callable[..., np.ndarray]:
    """A function of BATCH seeds, labels and centres: uint8 [BATCH, H, W, C]."""
    c = model.config
    shapes = c.noise_shapes(resolution)
    random = noise == "random" and bool(shapes)
    mode = "none" if noise == "random" else noise

    @tf.function(autograph=False)
    def synthesis(z, labels, center, maps):
        ws = model.broadcast(model.mapping(z, labels))
        ws = model.truncate(ws, psi, cutoff, center)
        how = maps if random else mode
        return model.synthesis(ws, noise=how, resolution=resolution)

    def render(seeds, labels, center):
        maps = latents.noise_of(seeds, shapes) if random else []
        images = synthesis(latents.z_of(seeds, c.z_dim), labels, center, maps)
        return figures.to_uint8(images.numpy())

    return render


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
        parts = [z[j : j + CENTER_BATCH] for j in range(0, count, CENTER_BATCH)]
        w = [model.mapping(p, latents.one_hot([k] * len(p), c.classes)) for p in parts]
        out[i] = np.concatenate(w).mean(axis=0, dtype=np.float64)
    return out


def _centers(
    model: Generator, turns: np.ndarray, psi, psi_center: str | None, progress: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Centres of truncation, float32 [M, w_dim], and each picture's: int [N or 1]."""
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
