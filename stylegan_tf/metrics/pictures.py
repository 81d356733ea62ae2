"""Pictures by number: drawn ones, real ones, and small steps on the way between two.

Picture number i is a function of i alone, whatever the batch, the number of devices,
or where an evaluation was taken up. Drawn picture i is seed i of `sampling.draw`, not
truncated, with noise maps of its own, rounded to uint8. Of a conditional model it has
the label of a real picture that i draws.

Drawing is shared among the replicas of a `tf.distribute` strategy. Every batch that is
computed has the same size, because convolutions may round differently for another one.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import latents
from stylegan_tf.data import pipeline
from stylegan_tf.errors import UserError
from stylegan_tf.metrics.scores import path_length
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator

_T, _LABEL = 2, 3  # streams of random numbers; a seed's noise is stream 1
PIXELS = 1 << 18  # pixels of a batch on one replica, as far as `MOST` goes
LEAST, MOST = 4, 64


def batch_for(height: int, width: int, replicas: int = 1) -> int:
    """Pictures a batch that suit their size, over all replicas."""
    return replicas * int(np.clip(PIXELS // (height * width), LEAST, MOST))


class Spread:
    """A function of rows, shared among the replicas of a strategy.

    Args:
        function: a dict of tensors, or lists of them, of n rows each -> such a dict.
        strategy: from `tf.distribute`.
    """

    def __init__(self, function: Callable, strategy: tf.distribute.Strategy):
        self.strategy = strategy

        @tf.function(autograph=False, reduce_retracing=True)
        def run(rows):
            return strategy.run(function, args=(rows,))

        self._run = run

    def __call__(self, rows: dict) -> dict[str, np.ndarray]:
        """Arrays of as many rows as divide evenly among the replicas, and the same."""
        pieces = self.strategy.num_replicas_in_sync

        def of_replica(context):
            k = context.replica_id_in_sync_group
            share = lambda a: tf.constant(a[k * (n := len(a) // pieces) : (k + 1) * n])  # noqa: E731
            return tf.nest.map_structure(share, rows)

        made = self.strategy.experimental_distribute_values_from_function(of_replica)
        local = self.strategy.experimental_local_results
        parts = {name: local(value) for name, value in self._run(made).items()}
        return {k: np.concatenate([p.numpy() for p in v]) for k, v in parts.items()}


class Labels:
    """Labels that pictures of a conditional model are drawn with: the data's own.

    Args:
        model: the generator.
        data: folder of the real pictures.

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
        """{"labels": float32 [N, classes]} of pictures by number, if there are any."""
        if self.table is None:
            return {}
        rows = [_draw(i, _LABEL).integers(len(self.table)) for i in numbers]
        return {"labels": self.table[rows]}


def _draw(i: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([i, stream])


class Drawing:
    """What all that is drawn has in common: model, strategy, labels, level, noise.

    Args:
        model: the generator, made in the strategy's scope.
        strategy: what it is computed by.
        labels: of the pictures.

    A model that has not grown up is drawn at the level that it has learned, and
    enlarged to its final size.
    """

    def __init__(self, model: Generator, strategy, labels: Labels):
        self.model, self.strategy, self.labels = model, strategy, labels
        self.level = model.level or model.config.resolution
        self.shapes = model.config.noise_shapes(self.level)
        self.factor = model.config.resolution // self.level

    def grown(self, images: tf.Tensor) -> tf.Tensor:
        """Every pixel as often as it takes to the final size."""
        if self.factor == 1:
            return images
        return tf.repeat(tf.repeat(images, self.factor, axis=1), self.factor, axis=2)

    def maps(self, numbers: range) -> dict[str, list[np.ndarray]]:
        """Noise maps of pictures by number; {} where the network has no noise."""
        made = latents.noise_of(list(numbers), self.shapes)
        return {"maps": made} if made else {}


class Fakes(Drawing):
    """Drawn pictures by number.

    Args:
        model, strategy, labels: as of `Drawing`.
    """

    def __init__(self, model: Generator, strategy, labels: Labels):
        super().__init__(model, strategy, labels)
        self._spread = Spread(self._pictures, strategy)

    def _pictures(self, rows: dict) -> dict:
        model, maps = self.model, rows.get("maps", "none")
        w = model.mapping(rows["z"], rows.get("labels"))
        images = model.synthesis(model.broadcast(w), noise=maps, resolution=self.level)
        finite = tf.reduce_all(tf.math.is_finite(images), axis=[1, 2, 3])
        return {"images": ops.to_uint8(self.grown(images)), "w": w, "finite": finite}

    def inputs(self, numbers: range) -> dict:
        """What `draw` makes the pictures of these numbers from."""
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


class Steps(Drawing):
    """Perceptual differences of small steps between latents, by number.

    Step i goes from seed 2 i towards seed 2 i + 1, with the noise and the label of
    picture i. (The released code draws noise anew for every batch; on average over
    steps that is the same, and it would depend on the batch.)

    Args:
        model, strategy, labels: as of `Drawing`.
        distance: of a feature network.
        space, sampling: as in `latent`.
    """

    def __init__(self, model, strategy, labels, distance, space: str, sampling: str):
        super().__init__(model, strategy, labels)
        self.distance, self.space, self.sampling = distance, space, sampling
        self._spreads: dict[tuple, Spread] = {}

    def inputs(self, numbers: range) -> dict:
        """What `measure` makes the steps of these numbers from."""
        seeds = [2 * i + k for i in numbers for k in (0, 1)]
        z = latents.z_of(seeds, self.model.config.z_dim)
        full = self.sampling == "full"
        t = [_draw(i, _T).random() if full else 0.0 for i in numbers]
        rows = {"z": z.reshape(len(numbers), 2, -1), "t": np.array(t, np.float32)}
        return rows | self.labels(numbers) | self.maps(numbers)

    def measure(self, inputs: dict, crops: frozenset[str]) -> dict[str, np.ndarray]:
        """{"face" or "whole": float32 [N]}: distances, cropped to the face or not.

        They are divided by epsilon^2.
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
        images = path_length.path_pictures(
            self.model,
            z,
            rows["t"],
            self.space,
            None if labels is None else tf.repeat(labels, 2, axis=0),
            [twice(m) for m in rows["maps"]] if "maps" in rows else "none",
            self.level,
        )
        images = self.grown(images)
        scale = path_length.EPSILON**-2
        return {
            c: path_length.compare(images, self.distance, c == "face") * scale
            for c in crops
        }


class Reals:
    """Real pictures by number, in stored order, from the first one again at the end.

    Args:
        data: folder of the data set.
        resolution: level to read.
        mirror: flip about half of them, as training does.
    """

    def __init__(self, data: Path | str, resolution: int, mirror: bool):
        self.data, self.resolution, self.mirror = data, resolution, mirror
        self._iterator, self._next, self._batch = None, -1, 0

    def inputs(self, numbers: range) -> np.ndarray:
        """uint8 [len(numbers), H, W, C]; fast where batch follows batch."""
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
        return next(self._iterator)["image"]
