"""Seeds to finished pictures, in batches, the same whatever the batch.

Every batch that is computed has the same size (the last one is filled up), because
convolutions may round differently for another one.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import tensorflow as tf
from tqdm import tqdm

from stylegan_tf import figures, latents
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator

BATCH = 8


def draw(
    model: Generator,
    seeds: Iterable[int],
    psi: float = 1.0,
    cutoff: int | None = None,
    noise: str = "const",
    classes: list[int] | None = None,
    resolution: int | None = None,
    progress: bool = False,
) -> Iterator[tuple[int, np.ndarray]]:
    """Pictures of seeds, one after the other.

    Args:
        model: the generator.
        seeds: one a picture.
        psi, cutoff: truncation, as `Generator.truncate`.
        noise: "const", "none", or "random" (drawn from the seed).
        classes: class numbers that the seeds take in turn; None = all of them.
        resolution: level to draw at; None = the final one.
        progress: show a bar.

    Yields:
        The seed and its uint8 [H, W, C].

    Raises:
        UserError: classes that the model does not have.
    """
    c, seeds = model.config, list(seeds)
    labels = _labels(classes, len(seeds), c.classes)
    resolution = resolution or c.resolution
    shapes = c.noise_shapes(resolution)
    random = noise == "random" and bool(shapes)

    @tf.function(autograph=False)
    def render(z, labels, maps):
        ws = model.broadcast(model.mapping(z, labels if c.classes else None))
        ws = model.truncate(ws, psi, cutoff)
        how = maps if random else ("none" if noise == "random" else noise)
        return model.synthesis(ws, noise=how, resolution=resolution)

    bar = tqdm(total=len(seeds), unit="picture", disable=None if progress else True)
    with bar:
        for start in range(0, len(seeds), BATCH):
            chosen = seeds[start : start + BATCH]
            padded = chosen + chosen[-1:] * (BATCH - len(chosen))
            maps = latents.noise_of(padded, shapes) if random else []
            rows = np.resize(labels[start : start + BATCH], (BATCH, labels.shape[1]))
            z = latents.z_of(padded, c.z_dim)
            images = figures.to_uint8(render(z, rows, maps).numpy())
            yield from zip(chosen, images, strict=False)
            bar.update(len(chosen))


def _labels(classes: list[int] | None, n: int, count: int) -> np.ndarray:
    if not count:
        if classes:
            raise UserError("the model has no classes; leave --classes out.")
        return np.zeros((n, 0), np.float32)
    classes = list(range(count)) if classes is None else classes
    if max(classes) >= count:
        raise UserError(
            f"class {max(classes)} was asked for; the model has 0 to {count - 1}."
        )
    turns = [classes[i % len(classes)] for i in range(n)]
    return latents.one_hot(turns, count)
