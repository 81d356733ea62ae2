"""StyleGAN3's synthesis network, free of aliasing (Karras et al. 2021, figure 4b).

Feature maps are samples of continuous signals. The first ones are Fourier features,
which `transform` shifts and rotates. Every layer is limited to a band of frequencies,
and its activation works at a higher sampling rate, between two low-pass filters. There
is no noise and no growing, and no layer ties details to pixels.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig
from stylegan_tf.config.stylegan3 import Band, FilteredLayerPlan
from stylegan_tf.networks import filters, ops
from stylegan_tf.networks.block import PACKAGE, Block
from stylegan_tf.networks.equalized import EqualizedDense
from stylegan_tf.networks.growing import NOISE_MODES, Noise, SynthesisNetwork


def rotation_and_shift(
    angle: float = 0.0, x: float = 0.0, y: float = 0.0
) -> np.ndarray:
    """The `transform` of an image that is rotated, then shifted.

    Args:
        angle: in degrees, from the x axis towards the y axis of the matrix.
        x: shift along the columns, 1 = the width of the image.
        y: shift along the rows, 1 = the height of the image.

    Returns:
        float32 [3, 3], from coordinates of the image to those of its content.
    """
    a = np.deg2rad(angle)
    moves = [[np.cos(a), np.sin(a), x], [-np.sin(a), np.cos(a), y], [0, 0, 1]]
    return np.linalg.inv(moves).astype(np.float32)


@keras.saving.register_keras_serializable(PACKAGE)
class FourierFeatures(Block):
    """The input: sine waves that a style shifts and rotates (section 3.1).

    Always float32.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        w: float [N, w_dim].
        transform: float [3, 3] or [N, 3, 3], see `rotation_and_shift`; None = the
            stored one.

    Returns:
        float32 [N, size, size, C], C the input channels of the first layer.
    """

    config: GeneratorConfig

    def __init__(self, config: GeneratorConfig | dict[str, object], **kwargs):
        fixed = {"dtype": "float32", "autocast": True}
        super().__init__(config, **(kwargs | fixed))
        first = self.config.filtered_layers[0]
        self.channels, self.band = first.in_channels, first.before

    def build(self, w_shape=None):
        count = self.channels
        self.frequencies = self.add_weight(
            shape=(count, 2),
            initializer=self._random_frequencies,
            trainable=False,
            name="frequencies",
        )
        self.phases = self.add_weight(
            shape=(count,),
            initializer=keras.initializers.RandomUniform(-0.5, 0.5),
            trainable=False,
            name="phases",
        )
        self.kernel = self.add_weight(
            shape=(count, count),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="kernel",
        )
        self.affine_kernel = self.add_weight(
            shape=(self.config.w_dim, 4), initializer="zeros", name="affine_kernel"
        )
        self.affine_bias = self.add_weight(
            shape=(4,), initializer="zeros", name="affine_bias"
        )
        self.transform = self.add_weight(
            shape=(3, 3),
            initializer=keras.initializers.Identity(),
            trainable=False,
            name="transform",
        )

    def _random_frequencies(self, shape, dtype=None):
        """Frequencies uniform in the disk of the band."""
        f = keras.random.normal(shape, dtype="float32")
        r2 = keras.ops.sum(f * f, axis=1, keepdims=True)
        direction = f * keras.ops.rsqrt(r2)
        return direction * keras.ops.exp(-r2 / 4) * self.band.cutoff

    def call(self, w: tf.Tensor, transform: tf.Tensor | None = None) -> tf.Tensor:
        f, phases = self._moved(w, self.transform if transform is None else transform)
        length = tf.sqrt(tf.reduce_sum(f * f, axis=-1))  # [N, C]
        top = self.band.rate / 2 - self.band.cutoff
        amplitude = tf.clip_by_value(1 - (length - self.band.cutoff) / top, 0.0, 1.0)
        size = self.band.size
        at = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) / self.band.rate
        wave_x = at[:, None] * f[:, None, :, 0] + phases[:, None]  # [N, size, C]
        wave_y = at[:, None] * f[:, None, :, 1]
        waves = tf.sin(2 * np.pi * (wave_x[:, None] + wave_y[:, :, None]))
        maps = waves * amplitude[:, None, None]  # [N, size, size, C]
        return tf.matmul(maps, self.kernel / self.channels**0.5)

    def affine_weights(self) -> np.ndarray:
        """The weights that read the style, float64 [w_dim, 4]."""
        kernel = np.asarray(self.affine_kernel.numpy(), np.float64)
        return kernel / self.config.w_dim**0.5

    def _moved(self, w, transform) -> tuple[tf.Tensor, tf.Tensor]:
        """Frequencies [N, C, 2] and phases [N, C] after rotation and shift."""
        kernel = self.affine_kernel / self.config.w_dim**0.5
        t = tf.matmul(tf.cast(w, tf.float32), kernel) + self.affine_bias
        t += tf.constant([1.0, 0, 0, 0])
        t *= tf.math.rsqrt(tf.reduce_sum(t[:, :2] ** 2, axis=1, keepdims=True))
        c, s, x, y = tf.unstack(t, axis=1)
        zero, one = tf.zeros_like(c), tf.ones_like(c)

        def matrix(*entries):
            return tf.reshape(tf.stack(entries, axis=1), [-1, 3, 3])

        rotation = matrix(c, -s, zero, s, c, zero, zero, zero, one)
        shift = matrix(one, zero, -x, zero, one, -y, zero, zero, one)
        transform = tf.cast(tf.convert_to_tensor(transform), tf.float32)
        a = tf.matmul(tf.matmul(rotation, shift), transform)
        f = tf.matmul(tf.convert_to_tensor(self.frequencies), a[:, :2, :2])
        moved = tf.matmul(tf.convert_to_tensor(self.frequencies), a[:, :2, 2:])[..., 0]
        return f, tf.convert_to_tensor(self.phases) + moved

    def compute_output_shape(self, w_shape, transform_shape=None):
        return (w_shape[0], self.band.size, self.band.size, self.channels)


@keras.saving.register_keras_serializable(PACKAGE)
class FilteredLayer(Block):
    """Modulated convolution, and an activation between two low-pass filters.

    The input is divided by the root of `magnitude`, a running mean of its square. The
    last layer makes the image: it has no demodulation, filters or activation.

    Args:
        config: `GeneratorConfig` or its dict.
        index: int, of the layer, from 0.

    Call arguments:
        x: float [N, H, H, C].
        w: float [N, w_dim].
        magnitude: float32 scalar in place of the stored one, see `moved_magnitude`.

    Returns:
        float [N, H', H', C'].
    """

    config: GeneratorConfig

    def __init__(
        self, config: GeneratorConfig | dict[str, object], index: int, **kwargs
    ):
        super().__init__(config, **kwargs)
        self.index = index
        self.plan: FilteredLayerPlan = self.config.filtered_layers[index]

    def build(self, x_shape=None, w_shape=None, *_):
        p, c = self.plan, self.config
        shape = (p.kernel_size, p.kernel_size, p.in_channels, p.out_channels)
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.kernel = self.add_weight(
            shape=shape, initializer=normal, name="kernel", autocast=False
        )
        self.bias = self.add_weight(
            shape=(p.out_channels,), initializer="zeros", name="bias"
        )
        # The affine transform stores the style's difference from one.
        affine = EqualizedDense(p.in_channels, gain=1.0, name="affine", dtype="float32")
        self.part("affine", affine, (None, c.w_dim))
        self.magnitude = self.add_weight(
            shape=(),
            initializer="ones",
            trainable=False,
            name="magnitude",
            autocast=False,
        )
        self.up_filter = self._add_filter("up_filter", p.up_taps, p.before)
        self.down_filter = self._add_filter(
            "down_filter", p.down_taps, p.after, p.radial
        )

    def _add_filter(
        self, name: str, taps: int, band: Band, radial: bool = False
    ) -> keras.Variable | None:
        """Adds a designed filter as a weight, so that a file's own may replace it."""
        if taps == 1:
            return None
        width, rate = 2 * band.half_width, self.plan.rate
        designed = filters.design_lowpass(taps, band.cutoff, width, rate, radial)
        return self.add_weight(
            shape=designed.shape,
            initializer=lambda shape, dtype=None: tf.constant(designed, dtype),
            trainable=False,
            name=name,
        )

    def call(
        self, x: tf.Tensor, w: tf.Tensor, magnitude: tf.Tensor | None = None
    ) -> tf.Tensor:
        p = self.plan
        scale = tf.math.rsqrt(
            tf.convert_to_tensor(self.magnitude) if magnitude is None else magnitude
        )
        x, w = tf.cast(x, self.compute_dtype), tf.cast(w, tf.float32)
        x = self._convolved(x, w, scale)
        x = tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))
        if self.up_filter is None:
            x = _pad(x, p.padding)
        else:
            taps = tf.convert_to_tensor(self.up_filter)
            x = filters.upsample_by(x, taps, p.up, p.padding)
        if not p.to_rgb:
            x = ops.activation(x, self.config.activation, 2**0.5)
        x = ops.clamp(x, self.config.conv_clamp)
        if self.down_filter is None:
            return x
        return filters.downsample_by(x, tf.convert_to_tensor(self.down_filter), p.down)

    def moved_magnitude(self, square: tf.Tensor) -> tf.Tensor:
        """The running mean after a batch whose mean square is `square`.

        A batch that is not finite does not move it.
        """
        before = tf.convert_to_tensor(self.magnitude)
        beta = self.config.stylegan3.magnitude_beta
        square = tf.where(tf.math.is_finite(square), square, before)
        return ops.lerp(square, before, beta)

    def _convolved(self, x: tf.Tensor, w: tf.Tensor, scale: tf.Tensor) -> tf.Tensor:
        """The full modulated convolution, [N, H + k - 1, H + k - 1, C']."""
        p, kernel = self.plan, tf.convert_to_tensor(self.kernel)
        style = self.affine(w) + 1
        if p.to_rgb:
            style *= scale / p.in_channels**0.5
            after = None
        else:
            # Demodulation cancels both norms; they keep float16 from overflowing.
            squares = tf.reduce_mean(kernel**2, axis=[0, 1, 2])
            kernel *= tf.math.rsqrt(squares)
            style *= tf.math.rsqrt(tf.reduce_mean(style**2))
            energy = tf.reduce_sum(kernel**2, axis=[0, 1])  # [I, O]
            energy = tf.matmul(style**2, energy) + ops.EPSILON
            after = scale * tf.math.rsqrt(energy)
        x *= tf.cast(style, x.dtype)[:, None, None]
        pad = p.kernel_size - 1
        x = _pad(x, (pad, pad)) if pad else x
        x = tf.nn.conv2d(x, tf.cast(kernel, x.dtype), 1, "VALID")
        return x if after is None else x * tf.cast(after, x.dtype)[:, None, None]

    def compute_output_shape(self, x_shape, w_shape=None):
        size = self.plan.after.size
        return (x_shape[0], size, size, self.plan.out_channels)

    def get_config(self):
        return super().get_config() | {"index": self.index}


def _pad(x: tf.Tensor, padding: tuple[int, int]) -> tf.Tensor:
    for axis in (1, 2):
        x = filters.pad_or_crop(x, *padding, axis)
    return x


@keras.saving.register_keras_serializable(PACKAGE)
class StyleGAN3Synthesis(SynthesisNetwork):
    """Styles to images.

    Style 0 shifts and rotates the Fourier features, style i + 1 goes to layer i.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws: float [N, num_styles, w_dim].
        noise: "random", "const" or "none", without effect: there is no noise.
        resolution: int, the final one, or None.
        alpha: 1 or None: nothing fades in.
        seed: without effect.
        training: without effect.
        transform: float [3, 3] or [N, 3, 3], see `rotation_and_shift`; None = the
            stored one.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.

    Raises:
        ValueError: noise maps, another resolution, or a fade.
    """

    def build(self, input_shape=None, *_):
        c = self.config
        features = FourierFeatures(c, name="input")
        self.part("input_features", features, (None, c.w_dim))
        for plan in c.filtered_layers:
            name = f"layer{plan.index}"
            dtype = "float32" if plan.to_rgb else self.dtype_at(plan.after.rate)
            self.part(name, FilteredLayer(c, plan.index, name=name, dtype=dtype))

    def call(
        self,
        ws: tf.Tensor,
        noise: Noise = "random",
        resolution: int | None = None,
        alpha: float | tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        training: bool = False,
        transform: tf.Tensor | None = None,
    ) -> tf.Tensor:
        self._check(noise, resolution, alpha)
        first, *styles = self.unstack(ws)
        x = self.input_features(first, transform)
        for layer, w in zip(self._filtered_layers, styles, strict=True):
            x = layer(x, w)
        return self._image(x)

    def feature_maps(
        self, ws: tf.Tensor, resolution: int, noise: Noise = "const"
    ) -> tf.Tensor:
        """The last feature maps of at most `resolution` samples per image.

        Args:
            ws: float [N, num_styles, w_dim].
            resolution: int.
            noise: as in the call.

        Returns:
            float [N, H, H, C], without the margin around the image.
        """
        first, *styles = self.unstack(ws)
        x = self.input_features(first)
        rate = self.input_features.band.rate
        for layer, w in zip(self._filtered_layers[:-1], styles, strict=False):
            if layer.plan.after.rate > resolution:
                break
            x, rate = layer(x, w), layer.plan.after.rate
        margin = (x.shape[1] - rate) // 2
        return x[:, margin : margin + rate, margin : margin + rate]

    # -----------------------------------------------------------------------
    # Training: each layer's running mean takes in the batch before it scales the
    # batch. `move_magnitudes` stores it, once all rounds and replicas are measured.

    def measure(self, ws: tf.Tensor) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
        """Generates images with the running means that they move; stores nothing.

        Returns:
            float32 [N, H, W, channels], and the mean square of each layer's input,
            float32 scalars.
        """
        first, *styles = self.unstack(ws)
        x, squares = self.input_features(first), []
        for layer, w in zip(self._filtered_layers, styles, strict=True):
            square = tf.reduce_mean(tf.cast(tf.stop_gradient(x), tf.float32) ** 2)
            squares.append(square)
            x = layer(x, w, magnitude=layer.moved_magnitude(square))
        return self._image(x), tuple(squares)

    def move_magnitudes(self, squares: Sequence[tf.Tensor]) -> None:
        """Moves the running means by what `measure` returned."""
        for layer, square in zip(self._filtered_layers, squares, strict=True):
            layer.magnitude.assign(layer.moved_magnitude(square))

    def _image(self, x: tf.Tensor) -> tf.Tensor:
        return tf.cast(x, tf.float32) * self.config.stylegan3.output_scale

    @property
    def _filtered_layers(self) -> list[FilteredLayer]:
        return [getattr(self, f"layer{p.index}") for p in self.config.filtered_layers]

    def _check(
        self,
        noise: Noise,
        resolution: int | None,
        alpha: float | tf.Tensor | None,
    ) -> None:
        if not (isinstance(noise, str) and noise in NOISE_MODES):
            raise ValueError(
                "StyleGAN3 has no noise inputs, so it takes no noise maps; leave noise "
                "out."
            )
        final = self.config.resolution
        if resolution not in (None, final):
            raise ValueError(
                f"StyleGAN3 does not grow: it draws at {final} only, not at "
                f"{resolution}."
            )
        if isinstance(alpha, int | float) and alpha < 1:
            raise ValueError("StyleGAN3 does not grow: there is nothing to fade in.")

    @property
    def running_means(self) -> list[keras.Variable]:
        """The magnitudes, which are averages over training already."""
        return [layer.magnitude for layer in self._filtered_layers]

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """All trainable weights: the network does not grow."""
        return self.trainable_variables
