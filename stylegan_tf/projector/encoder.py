"""Trains an encoder for a generator on the generator's own samples.

    encoder = train_encoder(model)                   # no data, no download
    ws = encode_images(encoder, images)              # uint8 -> styles

Samples x = G(ws) of random z come with their styles. With the encoder's answer
found = E(x), s the standard deviation of w, and d one of `likeness`:

    loss = latent |found - ws|^2 / s^2 + likeness d(G(found), x) + offsets |offset| / s

The first part is a mean over styles, and 1 for an encoder that always answers with the
mean w. The last one is e4e's delta penalty (Tov et al. 2021, section 4.1), a mean over
the styles that training has unlocked. Part of the samples mix the styles of two z, so
that there are offsets to learn. Real images have no styles: they count by likeness and
offsets alone.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import sampling
from stylegan_tf.errors import UserError, one_line
from stylegan_tf.formats import keras_files
from stylegan_tf.networks import ops
from stylegan_tf.networks.block import weights_fingerprint
from stylegan_tf.networks.encoder import (
    Encoder,
    count_encoder_weights,
    stored_arguments,
)
from stylegan_tf.networks.generator import Generator
from stylegan_tf.progress import ProgressBar
from stylegan_tf.projector import resuming
from stylegan_tf.projector.adam import Adam
from stylegan_tf.projector.likeness import Loss, MultiScale, downscale_images
from stylegan_tf.projector.search import Projection, project, search_batch
from stylegan_tf.projector.settings import check_not_negative, ramped_rate
from stylegan_tf.projector.targets import check_targets

STEPS = 3000
BATCH = 16  # images per step at most, unless another number is given
MOST_ENCODED = 64  # images at once
TINY = 1e-8  # under the root of the offsets' penalty


@dataclass(frozen=True)
class EncoderSettings:
    """Settings of the training.

    Attributes:
        lr: Adam's highest learning rate.
        ramp_up: share of the steps in which the learning rate rises.
        ramp_down: share of the steps in which the learning rate falls.
        latent: weight of the distance to the true styles.
        likeness: weight of the distance of images.
        offsets: weight of the delta penalty.
        unlock_from: share of the steps after which the second style gets an offset.
        unlock_to: share of the steps after which all styles have one.
        mixing: share of the samples with the styles of two latents.
        real: share of real images in a batch, if there are any.
    """

    lr: float = 0.01
    ramp_up: float = 0.02
    ramp_down: float = 0.5
    latent: float = 1.0
    likeness: float = 1.0
    offsets: float = 0.02
    unlock_from: float = 0.2
    unlock_to: float = 0.6
    mixing: float = 0.5
    real: float = 0.5

    def __post_init__(self):
        check_not_negative(vars(self))

    def learning_rate(self, t: float) -> float:
        """Returns the learning rate at t = step / steps."""
        return self.lr * ramped_rate(t, self.ramp_up, self.ramp_down)

    def unlocked(self, t: float, styles: int) -> int:
        """Returns how many styles may have an offset at t = step / steps."""
        ramp = max(self.unlock_to - self.unlock_from, 1e-9)
        return int(np.clip((t - self.unlock_from) / ramp * styles, 0, styles))


class EncoderTrainer:
    """Trains an encoder, a step at a time.

        trainer = EncoderTrainer(model, steps=3000)
        while trainer.taken < trainer.steps:
            trainer.step()
        trainer.encoder

    Args:
        model: the generator, which is left as it is.
        images: real images, uint8 [N, H, W, C] of the model's image size; None = the
            model's samples alone.
        space: see `networks.encoder.Encoder`.
        steps: of Adam.
        seed: of first weights and of all random numbers.
        batch: images per step; None = by their size.
        loss: the likeness; None = `MultiScale`.
        settings: see `EncoderSettings`.
        width: feature maps in multiples of the generator's.
        about: see `networks.encoder.Encoder`.

    Attributes:
        encoder: the network.
        state: all variables that a step changes.

    Raises:
        UserError: images that do not fit the model.
    """

    def __init__(
        self,
        model: Generator,
        images: np.ndarray | None = None,
        space: str = "wplus",
        steps: int = STEPS,
        seed: int = 0,
        batch: int | None = None,
        loss: Loss | None = None,
        settings: EncoderSettings | None = None,
        width: int = 1,
        about: dict[str, object] | None = None,
    ):
        c = model.config
        self.model, self.steps, self.seed = model, steps, seed
        self.settings, self.loss = settings or EncoderSettings(), loss or MultiScale()
        resolution = model.growth.resolution
        batch = batch or min(BATCH, search_batch((1, *c.shape(resolution))))
        self._real, real = None, 0
        if images is not None:
            images = np.asarray(images)
            check_targets(model, images)
            self._real, real = tf.constant(images), round(batch * self.settings.real)
        self._counts = max(batch - real, 1), real
        fingerprint = weights_fingerprint(model)
        self.encoder = Encoder(c, resolution, space, width, fingerprint, about)
        w = sampling.sample_w(model)
        self._deviation = float(np.sqrt(w.var(axis=0, dtype=np.float64).sum()))
        self._initialize(w)
        self._class_count = sampling.label_count(model)
        table = sampling.label_table(model)
        self._labels = None if table is None else tf.constant(table)
        self._adam = Adam(self.encoder.trainable_variables)
        self._count = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._step = tf.function(self._take_step, autograph=False)
        one, two = self._adam.moments
        self.state = [self._count, *self._adam.parameters, *one, *two]

    def _initialize(self, w: np.ndarray) -> None:
        """Sets the first weights, a function of the seed, and the statistics of w."""
        rng = np.random.default_rng([self.seed, 3])
        for v in self.encoder.trainable_variables:
            if v.name == "kernel":
                v.assign(rng.standard_normal(v.shape, np.float32))
        self.encoder.center.assign(w.mean(axis=0))
        self.encoder.spread.assign(w.std(axis=0))

    @property
    def taken(self) -> int:
        """Steps taken so far."""
        return int(self._count.numpy())

    def step(self) -> dict[str, float]:
        """Takes a step; returns the three parts of the loss before it.

        Raises:
            UserError: the loss is not finite.
        """
        s, t = self.settings, self.taken / self.steps
        unlocked = s.unlocked(t, self.model.config.num_styles)
        parts = self._step(tf.constant(s.learning_rate(t)), tf.constant(unlocked))
        found = {name: float(x) for name, x in parts.items()}
        if not all(map(math.isfinite, found.values())):
            raise UserError(
                f"the loss is no number at step {self.taken}; a smaller learning rate "
                f"than {s.lr} may help."
            )
        return found

    # -----------------------------------------------------------------------
    # The step

    def _take_step(self, lr: tf.Tensor, unlocked: tf.Tensor) -> dict[str, tf.Tensor]:
        s, (n, _), weights = self.settings, self._counts, self._adam.parameters
        number = tf.convert_to_tensor(self._count)
        seed = tf.stack([tf.constant(self.seed, tf.int64), number])
        ws, maps = self._sample_ws(seed), self._sample_noise(seed)
        images = tf.clip_by_value(self._draw(ws, [m[:n] for m in maps]), -1, 1)
        if self._real is not None:
            images = tf.concat([images, self._sample_real(seed)], axis=0)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in weights])
            found = self.encoder(images, unlocked=unlocked)
            parts = {
                "latent": self._latent_error(found[:n], ws),
                "likeness": self._image_distance(self._draw(found, maps), images),
                "offsets": self._offset_size(found, unlocked),
            }
            total = tf.add_n([getattr(s, name) * x for name, x in parts.items()])
        gradients = tape.gradient(
            total, [v.value for v in weights], unconnected_gradients="zero"
        )
        self._adam.apply(gradients, lr, tf.cast(number + 1, tf.float32))
        self._count.assign_add(1)
        return parts

    def _latent_error(self, found: tf.Tensor, ws: tf.Tensor) -> tf.Tensor:
        squares = tf.reduce_sum((found - ws) ** 2, axis=-1)
        return tf.reduce_mean(squares) / self._deviation**2

    def _image_distance(self, a: tf.Tensor, b: tf.Tensor) -> tf.Tensor:
        a, b = (downscale_images((x + 1) * 127.5) for x in (a, b))
        return tf.reduce_mean(self.loss.distance(a, b))

    def _offset_size(self, found: tf.Tensor, unlocked: tf.Tensor) -> tf.Tensor:
        squares = tf.reduce_sum((found - found[:, :1]) ** 2, axis=-1)  # [N, num_styles]
        sizes = tf.sqrt(squares + TINY) - TINY**0.5
        mean = tf.reduce_sum(tf.reduce_mean(sizes, axis=0))
        return mean / tf.maximum(tf.cast(unlocked, tf.float32), 1) / self._deviation

    # -----------------------------------------------------------------------
    # Samples: functions of the step's seed

    def _sample_ws(self, seed: tf.Tensor) -> tf.Tensor:
        """Returns styles of random z, some of two, [n, num_styles, w_dim]."""
        n, styles = self._counts[0], self.model.config.num_styles
        ws = self._map_z(tf.random.fold_in(seed, 0))
        if styles == 1 or not self.settings.mixing:
            return ws
        seed = tf.random.fold_in(seed, 1)
        other = self._map_z(tf.random.fold_in(seed, 0))
        crossover = tf.random.stateless_uniform(
            [n], tf.random.fold_in(seed, 1), 1, styles, tf.int32
        )
        chance = tf.random.stateless_uniform([n], tf.random.fold_in(seed, 2))
        crossover = tf.where(chance < self.settings.mixing, crossover, styles)
        first = tf.range(styles) < crossover[:, None]
        return tf.where(first[:, :, None], ws, other)

    def _map_z(self, seed: tf.Tensor) -> tf.Tensor:
        """Returns w of random z and labels, for every style: [n, num_styles, w_dim]."""
        n, c, labels = self._counts[0], self.model.config, None
        z = tf.random.stateless_normal([n, c.z_dim], tf.random.fold_in(seed, 0))
        if c.classes:
            ids = tf.random.stateless_uniform(
                [n], tf.random.fold_in(seed, 1), 0, self._class_count, tf.int32
            )
            own = self._labels
            labels = tf.one_hot(ids, c.classes) if own is None else tf.gather(own, ids)
        return self.model.broadcast(self.model.mapping(z, labels))

    def _sample_noise(self, seed: tf.Tensor) -> list[tf.Tensor]:
        """Returns noise maps [batch, H, W, 1], the same for a sample and its answer."""
        shapes = self.model.config.noise_shapes(self.model.growth.resolution)
        seed, batch = tf.random.fold_in(seed, 2), sum(self._counts)
        return [
            tf.random.stateless_normal([batch, *shape, 1], tf.random.fold_in(seed, i))
            for i, shape in enumerate(shapes)
        ]

    def _sample_real(self, seed: tf.Tensor) -> tf.Tensor:
        seed, total = tf.random.fold_in(seed, 3), len(self._real)
        count = self._counts[1]
        rows = tf.random.stateless_uniform([count], seed, 0, total, tf.int32)
        return tf.cast(tf.gather(self._real, rows), tf.float32) / 127.5 - 1

    def _draw(self, ws: tf.Tensor, maps: list[tf.Tensor]) -> tf.Tensor:
        resolution = self.model.growth.resolution
        return self.model.synthesis(ws, noise=maps or "none", resolution=resolution)


# ---------------------------------------------------------------------------


def train_encoder(
    model: Generator,
    images: np.ndarray | None = None,
    space: str = "wplus",
    steps: int = STEPS,
    seed: int = 0,
    batch: int | None = None,
    loss: Loss | None = None,
    settings: EncoderSettings | None = None,
    width: int = 1,
    about: dict[str, object] | None = None,
    progress: bool = False,
    state: Path | str | None = None,
    request: str = "",
) -> Encoder:
    """Trains an encoder for a generator.

    Args:
        model: the generator; it and what follows up to `about` are as in
            `EncoderTrainer`.
        images: real images.
        space: "wplus" or "w".
        steps: of Adam.
        seed: of all random numbers.
        batch: images per step.
        loss: the likeness.
        settings: of the training.
        width: of the network.
        about: kept in its file.
        progress: show a bar.
        state: file with the training under way, which goes on if it is of this request.
            It stays, to be removed once the encoder is on the disk.
        request: see `resuming.request_digest`.

    Raises:
        UserError: see `EncoderTrainer` and `EncoderTrainer.step`.
    """
    trainer = EncoderTrainer(
        model, images, space, steps, seed, batch, loss, settings, width, about
    )
    with resuming.StateFile(state, trainer.state, request) as file:
        for _ in _steps(trainer, progress):
            file.step_taken()
        file.save()
    return trainer.encoder


def _steps(trainer: EncoderTrainer, progress: bool) -> Iterator[None]:
    """Takes all steps that are left, with a bar; yields after each."""
    with ProgressBar(
        title="encoder",
        shown=progress,
        total=trainer.steps,
        initial=trainer.taken,
        unit="step",
    ) as bar:
        while trainer.taken < trainer.steps:
            parts = trainer.step()
            shown = {name: f"{x:.3f}" for name, x in parts.items()}
            bar.set_postfix(shown, refresh=False)
            bar.update()
            yield


# ---------------------------------------------------------------------------
# A trained encoder


def encode_images(
    encoder: Encoder, images: np.ndarray, space: str = "wplus"
) -> np.ndarray:
    """Returns the styles that an encoder finds in images.

    Args:
        encoder: the network.
        images: uint8 [N, H, W, C] of its model's image size.
        space: "wplus", or "w" for one style for all layers.

    Returns:
        float32 [N, num_styles, w_dim].

    Raises:
        UserError: images of another size.
    """
    c, images = encoder.config, np.asarray(images)
    shape = (*c.shape(encoder.resolution), c.channels)
    if images.dtype != np.uint8 or images.shape[1:] != shape:
        given, expected = (" x ".join(map(str, s)) for s in (images.shape, shape))
        raise UserError(
            f"the pictures are {images.dtype} of {given}; the encoder takes uint8 of "
            f"N x {expected}."
        )
    unlocked = 0 if space == "w" else None
    parts = [np.zeros((0, c.num_styles, c.w_dim), np.float32)]
    for start in range(0, len(images), MOST_ENCODED):
        x = tf.cast(images[start : start + MOST_ENCODED], tf.float32) / 127.5 - 1
        parts.append(encoder(x, unlocked=unlocked).numpy())
    return np.concatenate(parts)


def measure_encoder(
    encoder: Encoder, model: Generator, images: np.ndarray, loss: Loss | None = None
) -> Projection:
    """Returns the images of an encoder's answers, and their distances to the images.

    Args:
        encoder: the network.
        model: its generator.
        images: uint8 [N, H, W, C] of the model's image size.
        loss: the distance; None = `MultiScale`.
    """
    ws = encode_images(encoder, images)
    return project(model, images, encoder.space, steps=0, loss=loss, start=ws)


def load_encoder(path: Path | str, model: Generator | None = None) -> Encoder:
    """Opens the file of an encoder, `Encoder.save`.

    Args:
        path: the `.keras` file.
        model: the generator that the encoder must be of; None = any.

    Raises:
        UserError: no such file, no encoder in it, or one of another model.
    """
    try:
        content = keras_files.read_keras_config(path)
        kind, values = str(content.get("class_name"))[:80], content["config"]
        if kind != Encoder.__name__:
            raise UserError(f"it holds a {kind}, not an Encoder; encode.py writes one")
        made_with = stored_arguments(values)
        sizes = (made_with[n] for n in ("config", "resolution", "space", "width"))
        keras_files.check_keras_weights(path, count_encoder_weights(*sizes))
        encoder = Encoder(**made_with)
        encoder.load_weights(path)
    except Exception as error:  # whatever Keras meets in what is left of the file
        raise UserError(f"{path} cannot be read: {one_line(error)}") from error
    if names := ops.names_not_finite(encoder.weights):
        raise UserError(f"{path} has numbers that are not finite, in {names[0]}.")
    if model is not None:
        check_encoder(encoder, model, path)
    return encoder


def check_encoder(encoder: Encoder, model: Generator, path: Path | str) -> None:
    """Refuses an encoder that was trained for other weights than a model's.

    Raises:
        UserError: names the file.
    """
    if encoder.fingerprint != weights_fingerprint(model):
        raise UserError(
            f"{path} was trained for another model, or for another checkpoint of it; "
            f"train one for this model with launch/encode.py."
        )
