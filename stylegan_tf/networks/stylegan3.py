"""StyleGAN3's synthesis network: alias-free maps (Karras et al. 2021, figure 4b).

The picture is a sampled continuous signal all the way through. It starts as Fourier
features, which `transform` moves and turns; every layer keeps to a band, and bends its
maps only where they are sampled finely enough, between two low-pass filters. There is
no noise, nothing grows, and nothing ties details to pixels.
"""

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.config.stylegan3 import FilteredLayerPlan
from stylegan_tf.networks import filters, ops
from stylegan_tf.networks.growing import NOISE_MODES, as_config
from stylegan_tf.networks.layers import PACKAGE, ZEROS, EqualizedDense


def placed(angle: float = 0.0, x: float = 0.0, y: float = 0.0) -> np.ndarray:
    """The `transform` of a picture that is turned, then moved.

    Args:
        angle: in degrees, from the x axis towards the y axis of the matrix.
        x: shift along the columns, 1 = the side of the picture.
        y: shift along the rows.

    Returns:
        float32 [3, 3], from coordinates of the picture to those of what it shows.
    """
    a = np.deg2rad(angle)
    moves = [[np.cos(a), np.sin(a), x], [-np.sin(a), np.cos(a), y], [0, 0, 1]]
    return np.linalg.inv(moves).astype(np.float32)


@keras.saving.register_keras_serializable(PACKAGE)
class FourierFeatures(keras.layers.Layer):
    """The input: waves whose phase and direction a style sets (section 3.1).

    Always float32.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        w: float [N, w_dim].
        transform: float [3, 3] or [N, 3, 3], see `placed`; None = the stored one.

    Returns:
        float32 [N, size, size, C], C the maps of the first layer.
    """

    def __init__(self, config, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32"}))
        self.config = as_config(config)
        first = self.config.filtered_layers[0]
        self.channels, self.band = first.in_channels, first.before

    def build(self, w_shape=None):
        count = self.channels
        self.frequencies, self.phases = (
            self.add_weight(shape=shape, trainable=False, name=name, initializer=how)
            for name, shape, how in (
                ("frequencies", (count, 2), self._spectrum),
                ("phases", (count,), keras.initializers.RandomUniform(-0.5, 0.5)),
            )
        )
        self.kernel = self.add_weight(
            shape=(count, count),
            initializer=keras.initializers.RandomNormal(stddev=1.0),
            name="kernel",
        )
        self.affine_kernel = self.add_weight(
            shape=(self.config.w_dim, 4), initializer=ZEROS, name="affine_kernel"
        )
        self.affine_bias = self.add_weight(
            shape=(4,), initializer=ZEROS, name="affine_bias"
        )
        self.transform = self.add_weight(
            shape=(3, 3),
            initializer=keras.initializers.Identity(),
            trainable=False,
            name="transform",
        )

    def _spectrum(self, shape, dtype=None):
        """Frequencies uniform in the disk of the band."""
        f = keras.random.normal(shape, dtype="float32")
        r2 = keras.ops.sum(f * f, axis=1, keepdims=True)
        direction = f * keras.ops.rsqrt(r2)
        return direction * keras.ops.exp(-r2 / 4) * self.band.cutoff

    def call(self, w, transform=None):
        f, phases = self._placed(w, self.transform if transform is None else transform)
        length = tf.sqrt(tf.reduce_sum(f * f, axis=-1))  # [N, C]
        top = self.band.rate / 2 - self.band.cutoff
        loud = tf.clip_by_value(1 - (length - self.band.cutoff) / top, 0.0, 1.0)
        size = self.band.size
        at = (np.arange(size, dtype=np.float32) + 0.5 - size / 2) / self.band.rate
        wave_x = at[:, None] * f[:, None, :, 0] + phases[:, None]  # [N, size, C]
        wave_y = at[:, None] * f[:, None, :, 1]
        waves = tf.sin(2 * np.pi * (wave_x[:, None] + wave_y[:, :, None]))
        maps = waves * loud[:, None, None]  # [N, size, size, C]
        return tf.matmul(maps, self.kernel / self.channels**0.5)

    def _placed(self, w, transform) -> tuple[tf.Tensor, tf.Tensor]:
        """Frequencies [N, C, 2] and phases [N, C] of a style's rotation and shift."""
        kernel = self.affine_kernel / self.config.w_dim**0.5
        t = tf.matmul(tf.cast(w, tf.float32), kernel) + self.affine_bias
        t += tf.constant([1.0, 0, 0, 0])
        t *= tf.math.rsqrt(tf.reduce_sum(t[:, :2] ** 2, axis=1, keepdims=True))
        c, s, x, y = tf.unstack(t, axis=1)
        zero, one = tf.zeros_like(c), tf.ones_like(c)

        def matrix(*entries):
            return tf.reshape(tf.stack(entries, axis=1), [-1, 3, 3])

        turn = matrix(c, -s, zero, s, c, zero, zero, zero, one)
        shift = matrix(one, zero, -x, zero, one, -y, zero, zero, one)
        transform = tf.cast(tf.convert_to_tensor(transform), tf.float32)
        a = tf.matmul(tf.matmul(turn, shift), transform)
        f = tf.matmul(tf.convert_to_tensor(self.frequencies), a[:, :2, :2])
        moved = tf.matmul(tf.convert_to_tensor(self.frequencies), a[:, :2, 2:])[..., 0]
        return f, tf.convert_to_tensor(self.phases) + moved

    def compute_output_shape(self, w_shape, transform_shape=None):
        return (w_shape[0], self.band.size, self.band.size, self.channels)

    def get_config(self):
        return super().get_config() | {"config": config.to_dict(self.config)}


@keras.saving.register_keras_serializable(PACKAGE)
class FilteredLayer(keras.layers.Layer):
    """Modulated convolution, and an activation between two low-pass filters.

    Its input is divided by the root of `magnitude`, a running mean of its square. The
    last layer makes the picture: float32, without demodulation, filters or slope.

    Args:
        config: `GeneratorConfig` or its dict.
        index: int, which layer.

    Call arguments:
        x: float [N, H, H, C].
        w: float [N, w_dim].
        update_magnitude: bool, let the running mean take in this input first.

    Returns:
        float [N, H', H', C'].
    """

    def __init__(self, config, index, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = as_config(config)
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
            shape=(p.out_channels,), initializer=ZEROS, name="bias"
        )
        # It stores the style's difference from one.
        self.affine = EqualizedDense(
            p.in_channels, gain=1.0, name="affine", dtype="float32"
        )
        self.affine.build((None, c.w_dim))
        self.magnitude = self.add_weight(
            shape=(),
            initializer="ones",
            trainable=False,
            name="magnitude",
            autocast=False,
        )
        self.up_filter = self._filter("up_filter", p.up_taps, p.before, False)
        self.down_filter = self._filter("down_filter", p.down_taps, p.after, p.radial)

    def _filter(self, name: str, taps: int, band, radial: bool):
        """A designed filter as a weight, so that the one of a file may replace it."""
        if taps == 1:
            return None
        width, rate = 2 * band.half_width, self.plan.rate
        designed = filters.design(taps, band.cutoff, width, rate, radial)
        return self.add_weight(
            shape=designed.shape,
            initializer=lambda shape, dtype=None: tf.constant(designed, dtype),
            trainable=False,
            name=name,
        )

    def call(self, x, w, update_magnitude=False):
        p = self.plan
        if update_magnitude:
            self._take_in(x)
        x = self._convolved(tf.cast(x, self.compute_dtype), tf.cast(w, tf.float32))
        x = tf.nn.bias_add(x, tf.cast(self.bias, x.dtype))
        if self.up_filter is None:
            x = _framed(x, p.padding)
        else:
            taps = tf.convert_to_tensor(self.up_filter)
            x = filters.upsampled(x, taps, p.up, p.padding)
        if not p.to_rgb:
            x = ops.activate(x, self.config.activation, 2**0.5)
        x = ops.clamp(x, self.config.conv_clamp)
        if self.down_filter is None:
            return x
        return filters.downsampled(x, tf.convert_to_tensor(self.down_filter), p.down)

    def _take_in(self, x) -> None:
        square = tf.reduce_mean(tf.cast(x, tf.float32) ** 2)
        replicas = tf.distribute.get_replica_context()
        if replicas.num_replicas_in_sync > 1:
            square = replicas.all_reduce(tf.distribute.ReduceOp.MEAN, square)
        beta = self.config.stylegan3.magnitude_beta
        self.magnitude.assign(ops.lerp(square, self.magnitude.value, beta))

    def _convolved(self, x: tf.Tensor, w: tf.Tensor) -> tf.Tensor:
        """[N, H + k - 1, H + k - 1, C'], wherever the kernel meets the maps."""
        p, kernel = self.plan, tf.convert_to_tensor(self.kernel)
        style = self.affine(w) + 1
        scale = tf.math.rsqrt(tf.convert_to_tensor(self.magnitude))
        if p.to_rgb:
            style *= scale / p.in_channels**0.5
            after = None
        else:
            # Both norms cancel; they keep the numbers small in low precision.
            squares = tf.reduce_mean(kernel**2, axis=[0, 1, 2])
            kernel *= tf.math.rsqrt(squares)
            style *= tf.math.rsqrt(tf.reduce_mean(style**2))
            energy = tf.reduce_sum(kernel**2, axis=[0, 1])  # [I, O]
            energy = tf.matmul(style**2, energy) + ops.EPSILON
            after = scale * tf.math.rsqrt(energy)
        x *= tf.cast(style, x.dtype)[:, None, None]
        pad = p.kernel_size - 1
        x = _framed(x, (pad, pad)) if pad else x
        x = tf.nn.conv2d(x, tf.cast(kernel, x.dtype), 1, "VALID")
        return x if after is None else x * tf.cast(after, x.dtype)[:, None, None]

    def compute_output_shape(self, x_shape, w_shape=None):
        size = self.plan.after.size
        return (x_shape[0], size, size, self.plan.out_channels)

    def get_config(self):
        own = {"config": config.to_dict(self.config), "index": self.index}
        return super().get_config() | own


def _framed(x: tf.Tensor, padding: tuple[int, int]) -> tf.Tensor:
    for axis in (1, 2):
        x = filters.framed(x, *padding, axis)
    return x


@keras.saving.register_keras_serializable(PACKAGE)
class StyleGAN3Synthesis(keras.layers.Layer):
    """Styles to pictures.

    Style 0 moves and turns the Fourier features, style i + 1 feeds layer i.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws: float [N, num_styles, w_dim].
        noise: "random", "const" or "none", all the same: there is none.
        resolution: int, the one that it has; or None.
        alpha: 1 or None: nothing fades in.
        seed: has no effect.
        training: has no effect.
        transform: float [3, 3] or [N, 3, 3], see `placed`; None = the stored one.
        update_magnitudes: bool, let the layers' running means take in these pictures.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.

    Raises:
        ValueError: noise maps, another resolution, or a fade.
    """

    learned = None, 1.0  # as `Generator.grow` says

    def __init__(self, config, **kwargs):
        super().__init__(**(kwargs | {"autocast": False, "name": "synthesis"}))
        self.config = as_config(config)

    def build(self, input_shape=None, *_):
        c = self.config
        self.input_features = FourierFeatures(c, name="input")
        self.input_features.build((None, c.w_dim))
        for plan in c.filtered_layers:
            layer = FilteredLayer(
                c,
                plan.index,
                name=f"layer{plan.index}",
                dtype="float32" if plan.to_rgb else self.dtype_policy,
            )
            setattr(self, f"layer{plan.index}", layer)
            layer.build()

    def call(
        self,
        ws,
        noise="random",
        resolution=None,
        alpha=None,
        seed=None,
        training=False,
        transform=None,
        update_magnitudes=False,
    ):
        c = self.config
        self._check(noise, resolution, alpha)
        first, *styles = tf.unstack(ws, num=c.num_styles, axis=1)
        x = self.input_features(first, transform)
        for i, w in enumerate(styles):
            x = getattr(self, f"layer{i}")(x, w, update_magnitude=update_magnitudes)
        return tf.cast(x, tf.float32) * c.stylegan3.output_scale

    def _check(self, noise, resolution, alpha) -> None:
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
    def running_means(self) -> list:
        """The magnitudes, which are averages over training already."""
        layers = [getattr(self, f"layer{p.index}") for p in self.config.filtered_layers]
        return [layer.magnitude for layer in layers]

    def stage_variables(self, resolution: int, fading: bool = True) -> list:
        """All of them: it does not grow."""
        return self.trainable_variables

    def get_config(self):
        return {"config": config.to_dict(self.config), "dtype": self.dtype_policy}
