"""Images by number: generated ones, real ones, and small steps along latent paths.

Image i is a function of i alone, for any batch size, number of devices or resumed
evaluation. Generated image i is seed i of `sampling.draw` without truncation, with its
own noise maps, rounded to uint8. A conditional model gets the label of a real image
that i samples.

The replicas of a `tf.distribute` strategy share a batch. All batches have one size,
because convolutions may round differently for another one.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import latents
from stylegan_tf.data import pipeline
from stylegan_tf.errors import UserError
from stylegan_tf.metrics.scores import equivariance, path_length
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.stylegan3 import rotation_and_shift
from stylegan_tf.sampling import Renderer

# Streams of random numbers; a seed's noise is stream 1.
_T, _LABEL, _SHIFT, _ANGLE = 2, 3, 4, 5
MOST_SHIFT = 1 / 8  # of a side, for equivariance
PIXELS = 1 << 18  # pixels per batch and replica, within `LEAST` and `MOST` images
LEAST, MOST = 4, 64


def default_batch(height: int, width: int, replicas: int = 1) -> int:
    """Returns the images per batch for a size, over all replicas."""
    return replicas * int(np.clip(PIXELS // (height * width), LEAST, MOST))


class Spread:
    """A function of rows whose batch is split over the replicas of a strategy.

    Args:
        function: maps a dict of tensors (or lists of them) of n rows each to a dict of
            tensors of n rows.
        strategy: from `tf.distribute`.
    """

    def __init__(self, function: Callable, strategy: tf.distribute.Strategy):
        self.strategy = strategy

        @tf.function(autograph=False, reduce_retracing=True)
        def run(rows):
            return strategy.run(function, args=(rows,))

        self._run = run

    def __call__(self, rows: dict) -> dict[str, np.ndarray]:
        """Maps arrays of n rows, n a multiple of the number of replicas."""
        pieces = self.strategy.num_replicas_in_sync

        def of_replica(context):
            k = context.replica_id_in_sync_group
            share = lambda a: tf.constant(a[k * (n := len(a) // pieces) : (k + 1) * n])  # noqa: E731
            return tf.nest.map_structure(share, rows)

        made = self.strategy.experimental_distribute_values_from_function(of_replica)
        local = self.strategy.experimental_local_results
        parts = {name: local(value) for name, value in self._run(made).items()}
        return {k: np.concatenate([p.numpy() for p in v]) for k, v in parts.items()}


class LabelSampler:
    """Samples the labels of generated images from the data set.

    Args:
        model: the generator.
        data: folder of the real images.

    Raises:
        UserError: the data has no such labels.
    """

    def __init__(self, model: Generator, data: Path | str):
        self.table = None
        if not model.config.classes:
            return
        self.table = pipeline.dataset_labels(data)
        if self.table.shape[1] != model.config.classes:
            raise UserError(
                f"the model has {model.config.classes} classes, the data has "
                f"{self.table.shape[1] or 'no labels'}; name the data that it was "
                f"trained on with --data=..."
            )

    def __call__(self, numbers: range) -> dict[str, np.ndarray]:
        """Returns {"labels": float32 [N, classes]}; {} for an unconditional model."""
        if self.table is None:
            return {}
        rows = [_draw(i, _LABEL).integers(len(self.table)) for i in numbers]
        return {"labels": self.table[rows]}


def _draw(i: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([i, stream])


class Drawing:
    """A generator with its strategy, labels and noise maps.

    A model that has not fully grown generates at its present resolution; its images are
    enlarged to the final one.

    Args:
        model: the generator, made in the strategy's scope.
        strategy: its replicas generate the images.
        labels: of the images.
    """

    def __init__(
        self,
        model: Generator,
        strategy: tf.distribute.Strategy,
        labels: LabelSampler,
    ):
        self.model, self.strategy, self.labels = model, strategy, labels
        self.render = Renderer(model, "none", fixed_weights=False)
        self.factor = model.config.resolution // self.render.resolution

    def grown(self, images: tf.Tensor) -> tf.Tensor:
        """Repeats pixels up to the final resolution."""
        if self.factor == 1:
            return images
        return tf.repeat(tf.repeat(images, self.factor, axis=1), self.factor, axis=2)

    def maps(self, numbers: range) -> dict[str, list[np.ndarray]]:
        """Noise maps of pictures by number; {} where the network has no noise."""
        made = self.render.noise_of(numbers)
        return {"maps": made} if made else {}


class Fakes(Drawing):
    """Drawn pictures by number.

    Args:
        model, strategy, labels: as of `Drawing`.
    """

    def __init__(
        self,
        model: Generator,
        strategy: tf.distribute.Strategy,
        labels: LabelSampler,
    ):
        super().__init__(model, strategy, labels)
        self._spread = Spread(self._pictures, strategy)

    def _pictures(self, rows: dict) -> dict:
        w = self.model.mapping(rows["z"], rows.get("labels"))
        images = self.render.images(self.model.broadcast(w), rows.get("maps", ()))
        finite = tf.reduce_all(tf.math.is_finite(images), axis=[1, 2, 3])
        return {
            "images": ops.uint8_images(self.grown(images)),
            "w": w,
            "finite": finite,
        }

    def inputs(self, numbers: range) -> dict:
        """Returns the latents, labels and noise of the images of these numbers."""
        z = latents.z_of(list(numbers), self.model.config.z_dim)
        return {"z": z} | self.labels(numbers) | self.maps(numbers)

    def draw(self, inputs: dict) -> dict[str, np.ndarray]:
        """{"images": uint8 [N, H, W, C], "w": float32 [N, w_dim], "z": [N, z_dim]}.

        Raises:
            UserError: the model draws what is not finite.
        """
        drawn = self._spread(inputs)
        if not drawn.pop("finite").all():
            raise UserError(
                "the model draws pictures that are not finite: its weights are "
                "damaged, and it has no numbers. Evaluate an earlier checkpoint."
            )
        return drawn | {"z": inputs["z"]}


class PathSteps(Drawing):
    """Perceptual distances of small steps along latent paths, by number.

    Step i lies on the path from seed 2 i to seed 2 i + 1, with the noise and the label
    of image i. (The released code draws new noise for every batch, which has the same
    mean but depends on the batch.)

    Args:
        model: the generator, made in the strategy's scope.
        strategy: its replicas generate the images.
        labels: of the images.
        distance: the distance of a feature network.
        space: "z" or "w".
        sampling: "full" or "end", see `scores.path_length`.
    """

    def __init__(
        self,
        model: Generator,
        strategy: tf.distribute.Strategy,
        labels: LabelSampler,
        distance: path_length.Distance,
        space: str,
        sampling: str,
    ):
        super().__init__(model, strategy, labels)
        self.distance, self.space, self.sampling = distance, space, sampling
        self._spreads: dict[tuple, Spread] = {}

    def inputs(self, numbers: range) -> dict:
        """Returns the inputs of `measure` for these steps."""
        seeds = [2 * i + k for i in numbers for k in (0, 1)]
        z = latents.z_of(seeds, self.model.config.z_dim)
        full = self.sampling == "full"
        t = [_draw(i, _T).random() if full else 0.0 for i in numbers]
        rows = {"z": z.reshape(len(numbers), 2, -1), "t": np.array(t, np.float32)}
        return rows | self.labels(numbers) | self.maps(numbers)

    def measure(self, inputs: dict, crops: frozenset[str]) -> dict[str, np.ndarray]:
        """Returns distance / epsilon^2 of N steps.

        Args:
            inputs: see `inputs`.
            crops: some of "face" and "whole", the region that is compared.

        Returns:
            Crop -> float32 [N].
        """
        key = tuple(sorted(crops))
        if key not in self._spreads:
            function = lambda rows: self._steps(rows, key)  # noqa: E731
            self._spreads[key] = Spread(function, self.strategy)
        return self._spreads[key](inputs)

    def _steps(self, rows: dict, crops: tuple[str, ...]) -> dict:
        twice = lambda x: tf.concat([x, x], axis=0)  # noqa: E731
        z = tf.reshape(rows["z"], [-1, rows["z"].shape[-1]])
        labels = rows.get("labels")
        images = path_length.path_images(
            self.model,
            z,
            rows["t"],
            self.space,
            None if labels is None else tf.repeat(labels, 2, axis=0),
            [twice(m) for m in rows["maps"]] if "maps" in rows else "none",
            self.render.resolution,
        )
        images = self.grown(images)
        scale = path_length.EPSILON**-2
        return {
            c: path_length.pair_distances(images, self.distance, c == "face") * scale
            for c in crops
        }


class Moved(Drawing):
    """Errors of images whose input is shifted or rotated, by number.

    Shift i is uniform within an eighth of the image on each axis, rounded to pixels if
    `kind` is "int"; rotation i is any angle.

    Args:
        model: a StyleGAN3 generator, made in the strategy's scope.
        strategy: its replicas generate the images.
        labels: of the images.
        kind: "int", "frac" or "rotation".
    """

    def __init__(
        self,
        model: Generator,
        strategy: tf.distribute.Strategy,
        labels: LabelSampler,
        kind: str,
    ):
        super().__init__(model, strategy, labels)
        self.kind, self._spread = kind, Spread(self._errors, strategy)

    def inputs(self, numbers: range) -> dict:
        """Returns the inputs of `measure` for these images."""
        rows = {"z": latents.z_of(list(numbers), self.model.config.z_dim)}
        rows |= self.labels(numbers)
        side = self.model.config.resolution
        if self.kind == "rotation":
            angles = [_draw(i, _ANGLE).uniform(-180, 180) for i in numbers]
            kernels = [equivariance.rotation_kernels(a) for a in angles]
            moves = [rotation_and_shift(a) for a in angles]
            rows |= {k: np.stack([own[k] for own in kernels]) for k in kernels[0]}
            return rows | {"angle": np.float32(angles), "transform": np.stack(moves)}
        most = MOST_SHIFT * side
        shifts = np.stack([_draw(i, _SHIFT).uniform(-most, most, 2) for i in numbers])
        shifts = np.round(shifts) if self.kind == "int" else shifts
        moves = [rotation_and_shift(0, *shift) for shift in shifts / side]
        return rows | {"shift": np.float32(shifts), "transform": np.stack(moves)}

    def measure(self, inputs: dict) -> dict[str, np.ndarray]:
        """Returns {"error": float32 [N, 2]}, see `equivariance.squared_errors`."""
        return self._spread(inputs)

    def _errors(self, rows: dict) -> dict:
        ws = self.model.broadcast(self.model.mapping(rows["z"], rows.get("labels")))
        images = self.render.images(ws)
        moved = self.render.images(ws, transform=rows["transform"])
        if self.kind != "rotation":
            whole = self.kind == "int"
            expected, mask = equivariance.shifted(images, rows["shift"], whole)
        else:
            angles, kernels = rows["angle"], rows["fine"]
            expected, mask = equivariance.rotated(images, angles, kernels)
            moved, more = equivariance.band_limited(moved, rows["same"])
            mask *= more
        return {"error": equivariance.squared_errors(moved, expected, mask)}


class Reals:
    """Real images by number, in the order of the records, repeated at the end.

    Args:
        data: folder of the data set.
        resolution: of the images.
        mirror: mirror about half of them, as training does.
    """

    def __init__(self, data: Path | str, resolution: int, mirror: bool):
        self.data, self.resolution, self.mirror = data, resolution, mirror
        self._iterator, self._next, self._batch = None, -1, 0

    def inputs(self, numbers: range) -> np.ndarray:
        """Returns uint8 [len(numbers), H, W, C]; fast for consecutive batches."""
        if (numbers.start, len(numbers)) != (self._next, self._batch):
            self._batch = len(numbers)
            stream = pipeline.dataset(
                self.data,
                self.resolution,
                self._batch,
                start=numbers.start,
                mirror=self.mirror,
                shuffle=False,
            )
            self._iterator = stream.as_numpy_iterator()
        self._next = numbers.stop
        with pipeline.reading(self.data):
            return next(self._iterator)["image"]
