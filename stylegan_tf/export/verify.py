"""Compares an exported file with the Keras model, and times both.

`Reference` generates images with the Keras model through `sampling`, not through the
functions that files are exported from. Errors are differences of pixels in [-1, 1].
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stylegan_tf import figures, latents, sampling
from stylegan_tf.devices import exact_float32
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator

TOLERANCE = 1e-3  # largest error of a pixel of a float32 file
ROUGH = 0.1  # largest mean error of a quantized file
PSIS = (0.7, 1.0)  # two values, so that a file that ignores psi is found
BATCHES = (1, 4)  # batch sizes tried on a file of free batch size
IMAGES = 4  # fewest images tried on a file of fixed batch size
TIMED_BATCH, TIMED_PIXELS = 8, 1 << 20  # largest batch in timing, in images and pixels
SECONDS, ROUNDS = 0.5, (3, 30)  # of timing; fewest and most rounds

Run = Callable[..., dict[str, np.ndarray]]


@dataclass(frozen=True)
class ExportErrors:
    """Differences of a file from Keras.

    Attributes:
        largest: largest absolute difference of pixels in [-1, 1]; None for random
            images.
        mean: mean absolute difference of pixels in [-1, 1]; None for random images.
        steps: largest difference of uint8 pixels.
        w: largest difference of w.
    """

    largest: float | None
    mean: float | None
    steps: int
    w: float


class Reference:
    """Pictures of some seeds by the Keras model.

    Args:
        generator: the model.
        resolution, noise: as of `export.program.Program`.
    """

    def __init__(
        self, generator: Generator, resolution: int | None = None, noise: str = "const"
    ):
        self.model, self.noise = generator, noise
        c = self.config = generator.config
        self.render = sampling.Renderer(
            generator, noise, resolution, fixed_weights=False
        )
        self.centers = generator.w_avg.numpy()[None]
        if c.classes and not c.label_examples:
            self.centers = sampling.class_centers(generator)
        self._answers: dict = {}  # by seeds and psi: the same for every file
        how = {"noise": noise, "resolution": self.render.resolution}
        self._whole = tf.function(
            lambda z, labels: ops.uint8_images(generator(z, labels, **how)),
            autograph=False,
            reduce_retracing=True,
        )

    def inputs(self, n: int, first: int = 0) -> dict[str, np.ndarray]:
        """`z`, and `labels` of a conditional model, of n seeds from `first` on."""
        c, seeds = self.config, np.arange(first, first + n)
        arrays = {"z": latents.z_of(seeds.tolist(), c.z_dim)}
        if c.classes:
            class_ids = seeds % sampling.label_count(self.model)
            arrays["labels"] = sampling.labels_of(self.model, class_ids)
        return arrays

    def w(self, n: int, first: int = 0) -> np.ndarray:
        """[n, w_dim] of `inputs`."""
        return self.model.mapping(*self.inputs(n, first).values()).numpy()

    def ws(self, z, labels, psi: float) -> np.ndarray:
        """Truncated styles [N, num_styles, w_dim], as `sampling` makes them."""
        g, center = self.model, None
        if labels is not None:
            own = np.argmax(labels, axis=1) if len(self.centers) > 1 else [0]
            center = self.centers[own][:, None]
        return g.truncate(g.broadcast(g.mapping(z, labels)), psi, None, center).numpy()

    def answer(self, n: int, first: int, psi: float) -> tuple[np.ndarray, np.ndarray]:
        """Styles of `inputs(n, first)` and their pictures."""
        key = (n, first, psi)
        if key not in self._answers:
            inputs = self.inputs(n, first)
            ws = self.ws(inputs["z"], inputs.get("labels"), psi)
            self._answers[key] = ws, self.floats(ws)
        return self._answers[key]

    def floats(self, ws: np.ndarray, maps=None) -> np.ndarray:
        """Pictures of styles, [N, H, W, C]."""
        return self.render.images(tf.constant(ws), maps or ()).numpy()

    def of_seeds(self, seeds: Sequence[int], psi: float) -> np.ndarray:
        """Returns the images that `generate_seeds` has to draw."""
        z = _normal(seeds, 0, (self.config.z_dim,))
        maps = None
        if self.noise == "random":
            maps = [
                _normal(seeds, i + 1, (*s, 1)) for i, s in enumerate(self.render.shapes)
            ]
        labels = self.inputs(len(seeds)).get("labels")
        return self.floats(self.ws(z, labels, psi), maps)

    def draw(self, z: np.ndarray, labels: np.ndarray | None = None) -> np.ndarray:
        """Returns uint8 images by the compiled model as a whole, for timing."""
        given = None if labels is None else tf.constant(labels)
        return self._whole(tf.constant(z), given).numpy()


def _normal(seeds: Sequence[int], stream: int, shape: tuple[int, ...]) -> np.ndarray:
    keys = [np.array([seed, stream], np.int64) for seed in seeds]
    return np.stack([tf.random.stateless_normal(shape, key).numpy() for key in keys])


# ---------------------------------------------------------------------------


@exact_float32()
def compare_with_keras(
    reference: Reference, run: Mapping[str, Run], batch: int | None = None
) -> ExportErrors:
    """Runs the parts of a file on fixed latents and compares them with Keras.

    Args:
        reference: the Keras model.
        run: part -> function of arrays; the parts are `generate`, `map`, `synthesize`,
            `generate_seeds`, or some of them.
        batch: the file's batch size; None = free.
    """
    pairs: dict[str, list] = {"w": [], "floats": [], "images": []}
    calls = [(n, 0) for n in BATCHES]
    if batch:
        calls = [(batch, first) for first in range(0, IMAGES, batch)]
    for call in calls:
        for outputs, expected in _outputs(reference, run, *call):
            for name, array in outputs.items():
                pairs[name].append((array, expected[name]))
    errors = {k: [_differences(a, b) for a, b in pair] for k, pair in pairs.items()}
    floats = errors["floats"]
    return ExportErrors(
        largest=max((float(e.max()) for e in floats), default=None),
        mean=float(np.mean([e.mean() for e in floats])) if floats else None,
        steps=int(max((e.max() for e in errors["images"]), default=0)),
        w=float(max((e.max() for e in errors["w"]), default=0.0)),
    )


def _differences(output: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Returns absolute differences; infinite for values that are not finite."""
    if output.shape != expected.shape or output.dtype != expected.dtype:
        raise UserError(
            f"the file gives {output.dtype} {output.shape}, Keras {expected.dtype} "
            f"{expected.shape}."
        )
    difference = np.abs(output.astype(np.float64) - expected)
    return np.where(np.isfinite(difference), difference, np.inf)


def _outputs(reference: Reference, run: Mapping[str, Run], n: int, first: int):
    """Yields (the file's output, Keras' output) of each part."""
    inputs = reference.inputs(n, first)
    labels = inputs.get("labels")
    fixed = reference.noise != "random"
    if "map" in run:
        yield run["map"](**inputs), {"w": reference.w(n, first)}
    for psi in PSIS:
        ws, floats = reference.answer(n, first, psi)
        expected = _both_types(floats)
        if "generate" in run and fixed:
            yield run["generate"](**inputs, psi=np.float32(psi)), expected
        if "synthesize" in run and fixed:
            yield run["synthesize"](ws=ws), expected
    if "generate_seeds" in run:
        seeds = np.arange(n, dtype=np.int64) * 2**33 + 5
        more = {} if labels is None else {"labels": labels}
        output = run["generate_seeds"](seeds=seeds, psi=np.float32(PSIS[0]), **more)
        yield output, _both_types(reference.of_seeds(seeds.tolist(), PSIS[0]))


def _both_types(floats: np.ndarray) -> dict[str, np.ndarray]:
    return {"floats": floats, "images": figures.to_uint8(floats)}


def require_close(name: str, errors: ExportErrors, precision: str = "float32") -> None:
    """Raises UserError unless a file agrees with the model within tolerance.

    Args:
        name: of the file, for the message.
        errors: see `compare_with_keras`.
        precision: of the file's weights.
    """
    if precision == "float32":
        largest = max(errors.largest or 0.0, errors.w)
        good = largest <= TOLERANCE and errors.steps <= 1
        limit = f"{TOLERANCE:g}"
    else:
        largest = errors.mean if errors.mean is not None else errors.w
        good = largest <= ROUGH
        limit = f"{ROUGH:g} on average"
    if not good:
        raise UserError(
            f"{name} draws other pictures than the model (off by {largest:.3g}, "
            f"{errors.steps} of 255 steps; {limit} is allowed), so it was not kept. "
            f"--format=savedmodel is the surest one."
        )


def timed_batch(pixels: int) -> int:
    """Returns the batch size for timing a file of free batch size.

    Args:
        pixels: per image.
    """
    return max(min(TIMED_BATCH, TIMED_PIXELS // pixels), 1)


def paired_seconds(
    ours: Callable[[], object], theirs: Callable[[], object]
) -> tuple[float, float]:
    """Returns the median seconds of two functions, run in turn under the same load."""
    ours(), theirs()
    times: list[tuple[float, float]] = []
    start = time.perf_counter()
    while len(times) < ROUNDS[0] or (
        time.perf_counter() - start < SECONDS and len(times) < ROUNDS[1]
    ):
        times.append((_seconds(ours), _seconds(theirs)))
    a, b = np.median(times, axis=0)
    return float(a), float(b)


def _seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
