"""The registered Keras layers a StyleGAN is made of (Karras et al. 2019, figure 1).

All of them are NHWC, keep their weights in float32 and compute in the precision of
their dtype policy. Weights follow the equalized learning rate of Karras et al. 2018:
stored as N(0, 1 / lrmul), multiplied when used by gain / sqrt(fan_in) * lrmul. The
gain sqrt(2) of the leaky ReLU stands in the weights; in StyleGAN2 (`networks/
stylegan2.py`) behind the activation.
"""

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.networks import ops, recompute

PACKAGE = "stylegan_tf"
ZEROS = "zeros"
RELU_GAIN = float(np.sqrt(2.0))


class _Equalized(keras.layers.Layer):
    """A kernel with the equalized learning rate, and perhaps a bias."""

    def __init__(self, gain=RELU_GAIN, lrmul=1.0, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.gain = gain
        self.lrmul = lrmul
        self.use_bias = use_bias

    def _add_weights(self, shape: tuple[int, ...]) -> None:
        fan_in = int(np.prod(shape[:-1]))
        self.runtime_coef = self.gain / np.sqrt(fan_in) * self.lrmul
        normal = keras.initializers.RandomNormal(stddev=1 / self.lrmul)
        self.kernel = self.add_weight(shape=shape, initializer=normal, name="kernel")
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                shape=shape[-1:], name="bias", initializer=ZEROS
            )

    def _kernel(self) -> tf.Tensor:
        return self.kernel * tf.cast(self.runtime_coef, self.compute_dtype)

    def _with_bias(self, x: tf.Tensor) -> tf.Tensor:
        if self.bias is None:
            return x
        scaled = self.bias if self.lrmul == 1 else self.bias * self.lrmul
        return tf.nn.bias_add(x, tf.convert_to_tensor(scaled))

    def get_config(self):
        own = {"gain": self.gain, "lrmul": self.lrmul, "use_bias": self.use_bias}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class EqualizedDense(_Equalized):
    """Dense layer with the equalized learning rate.

    Args:
        units: int, width of the output.
        gain: float, sqrt(2) before a leaky ReLU, 1 for a linear output.
        lrmul: float, the layer learns this many times slower (0.01 in the mapping).
        use_bias: bool.

    Call arguments:
        x: float [N, I].

    Returns:
        float [N, units].
    """

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self._add_weights((input_shape[-1], self.units))

    def call(self, x):
        return self._with_bias(tf.matmul(x, self._kernel()))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable(PACKAGE)
class EqualizedConv2D(_Equalized):
    """Convolution with the equalized learning rate, fused with its resampling.

    Args:
        filters: int, output maps.
        kernel_size: int, odd.
        resample: None, "up" (doubled first) or "down" (halved afterwards).
        taps: filter that goes with the resampling; empty = nearest neighbor up and
            2 x 2 means down.
        gain, lrmul, use_bias: as in `EqualizedDense`.

    Call arguments:
        x: float [N, H, W, C].

    Returns:
        float [N, H', W', filters], H' = H, 2H or H/2.
    """

    def __init__(self, filters, kernel_size=3, resample=None, taps=(), **kwargs):
        super().__init__(**kwargs)
        if resample not in (None, "up", "down"):
            raise ValueError(f"resample is {resample!r}; use None, 'up' or 'down'.")
        self.filters = filters
        self.kernel_size = kernel_size
        self.resample = resample
        self.taps = tuple(taps)

    def build(self, input_shape):
        k = self.kernel_size
        self._add_weights((k, k, input_shape[-1], self.filters))

    def call(self, x):
        if self.resample is None:
            return self._with_bias(ops.conv(x, self._kernel()))
        conv = {"up": ops.upsample_conv, "down": ops.conv_downsample}[self.resample]
        return self._with_bias(conv(x, self._kernel(), self.taps))

    def compute_output_shape(self, input_shape):
        n, h, w, _ = input_shape
        if self.resample == "up":
            h, w = (s and s * 2 for s in (h, w))
        if self.resample == "down":
            h, w = (s and s // 2 for s in (h, w))
        return (n, h, w, self.filters)

    def get_config(self):
        own = {"filters": self.filters, "kernel_size": self.kernel_size}
        own |= {"resample": self.resample, "taps": self.taps}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class LearnedConstant(keras.layers.Layer):
    """The learned start block of the synthesis network, the same for every example.

    Args:
        shape: (height, width, maps).
        initializer: "ones", or "normal" in StyleGAN2.

    Call arguments:
        w: [N, ...], only its batch size is used.

    Returns:
        float [N, height, width, maps].
    """

    def __init__(self, shape, initializer="ones", **kwargs):
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.initializer = initializer

    def build(self, input_shape=None):
        how = {"ones": "ones", "normal": keras.initializers.RandomNormal(stddev=1.0)}
        self.const = self.add_weight(
            shape=(1, *self.shape), initializer=how[self.initializer], name="const"
        )

    def call(self, w):
        return tf.tile(tf.convert_to_tensor(self.const), [tf.shape(w)[0], 1, 1, 1])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.shape)

    def get_config(self):
        own = {"shape": self.shape, "initializer": self.initializer}
        return super().get_config() | own


class _PerChannel(keras.layers.Layer):
    """One learned number a feature map, zero before training."""

    weight_name = "weight"

    def build(self, input_shape):
        maps = input_shape[-1:]
        self.weight = self.add_weight(
            shape=maps, initializer=ZEROS, name=self.weight_name
        )

    def compute_output_shape(self, input_shape, *_):
        return input_shape


@keras.saving.register_keras_serializable(PACKAGE)
class ScaledNoise(_PerChannel):
    """Adds noise scaled by a learned weight per feature map (section 2; B in figure 1).

    Args:
        per_channel: bool, False scales all maps alike, as StyleGAN2 does.

    Call arguments:
        x: float [N, H, W, C].
        noise: float [N or 1, H, W, 1], one map shared by all channels.

    Returns:
        float [N, H, W, C].
    """

    def __init__(self, per_channel=True, **kwargs):
        super().__init__(**kwargs)
        self.per_channel = per_channel

    def build(self, input_shape):
        super().build(input_shape if self.per_channel else ())

    def call(self, x, noise):
        return x + tf.cast(noise, x.dtype) * tf.convert_to_tensor(self.weight)

    def compute_output_shape(self, x_shape, noise_shape=None):
        return x_shape

    def get_config(self):
        return super().get_config() | {"per_channel": self.per_channel}


@keras.saving.register_keras_serializable(PACKAGE)
class Bias(_PerChannel):
    """Adds a learned number to every feature map: [N, H, W, C] -> [N, H, W, C]."""

    weight_name = "bias"

    def call(self, x):
        return tf.nn.bias_add(x, tf.convert_to_tensor(self.weight))


@keras.saving.register_keras_serializable(PACKAGE)
class AdaIN(keras.layers.Layer):
    """Adaptive instance normalization (Karras et al. 2019, section 2, equation 1).

    Every feature map is brought to zero mean and unit variance over its pixels, then
    scaled and shifted by a learned affine of the style. The scale is stored as its
    difference from one: the first C outputs of the affine are the scale, the last C
    the shift.

    Args:
        normalize: bool, False leaves the statistics of x alone.

    Call arguments:
        x: float [N, H, W, C], feature maps.
        w: float [N, w_dim], one style an example.

    Returns:
        float [N, H, W, C].
    """

    def __init__(self, normalize=True, **kwargs):
        super().__init__(**kwargs)
        self.normalize = normalize

    def build(self, x_shape, w_shape):
        maps = x_shape[-1]
        self.affine = EqualizedDense(
            2 * maps, gain=1.0, name="affine", dtype=self.dtype_policy
        )
        self.affine.build(w_shape)

    def call(self, x, w):
        style = tf.reshape(self.affine(w), [-1, 1, 1, 2 * x.shape[-1]])
        scale, shift = tf.split(style, 2, axis=-1)  # [N, 1, 1, C]
        if self.normalize:
            return ops.adain(x, scale, shift)
        return x * (scale + 1) + shift

    def compute_output_shape(self, x_shape, w_shape=None):
        return x_shape

    def get_config(self):
        return super().get_config() | {"normalize": self.normalize}


@keras.saving.register_keras_serializable(PACKAGE)
class Epilogue(keras.layers.Layer):
    """What follows every convolution of the synthesis network (figure 1b).

    Noise, bias, activation, normalization, style: in this order the paper's released
    networks work. `noise_position="after_adain"` moves the noise to the end, where
    some descriptions put it.

    Args:
        activation: "lrelu" or "relu".
        use_noise, use_pixel_norm, use_instance_norm, use_styles: bool, the switches
            of the ablation ladder.
        noise_position: "before_bias" or "after_adain".

    Call arguments:
        x: float [N, H, W, C].
        w: float [N, w_dim].
        noise: float [N or 1, H, W, 1], or None for no noise.

    Returns:
        float [N, H, W, C].
    """

    def __init__(
        self,
        activation="lrelu",
        use_noise=True,
        use_pixel_norm=False,
        use_instance_norm=True,
        use_styles=True,
        noise_position="before_bias",
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.activation = activation
        self.use_noise = use_noise
        self.use_pixel_norm = use_pixel_norm
        self.use_instance_norm = use_instance_norm
        self.use_styles = use_styles
        self.noise_position = noise_position

    def build(self, x_shape, w_shape):
        dtype = self.dtype_policy
        if self.use_noise:
            self.noise = ScaledNoise(name="noise", dtype=dtype)
            self.noise.build(x_shape)
        self.bias = Bias(name="bias", dtype=dtype)
        self.bias.build(x_shape)
        if self.use_styles:
            self.style = AdaIN(self.use_instance_norm, name="style", dtype=dtype)
            self.style.build(x_shape, w_shape)

    def call(self, x, w, noise=None):
        noisy = self.use_noise and noise is not None
        if noisy and self.noise_position == "before_bias":
            x = self.noise(x, noise)
        x = recompute.activate(self.bias(x), self.activation)
        if self.use_pixel_norm:
            x = ops.pixel_norm(x)
        if self.use_styles:
            x = self.style(x, w)
        elif self.use_instance_norm:
            x = ops.instance_norm(x)
        if noisy and self.noise_position == "after_adain":
            x = self.noise(x, noise)
        return x

    def compute_output_shape(self, x_shape, w_shape=None, noise_shape=None):
        return x_shape

    def get_config(self):
        names = ("activation", "use_noise", "use_pixel_norm", "use_instance_norm")
        names += ("use_styles", "noise_position")
        return super().get_config() | {name: getattr(self, name) for name in names}


@keras.saving.register_keras_serializable(PACKAGE)
class ToRGB(EqualizedConv2D):
    """Feature maps -> picture: 1 x 1, linear, unbounded, always float32.

    Args:
        channels: int, of the picture.
    """

    def __init__(self, channels, **kwargs):
        kwargs = kwargs | {"dtype": "float32", "gain": 1.0, "kernel_size": 1}
        kwargs.pop("filters", None)
        super().__init__(filters=channels, **kwargs)
        self.channels = channels

    def get_config(self):
        return super().get_config() | {"channels": self.channels}


@keras.saving.register_keras_serializable(PACKAGE)
class FromRGB(EqualizedConv2D):
    """Picture -> feature maps: 1 x 1 and an activation.

    Args:
        filters: int, output maps.
        activation: "lrelu" or "relu".
        activation_gain: float, sqrt(2) in StyleGAN2.
        limit: float, largest value either way; 0 = none.
    """

    def __init__(
        self, filters, activation="lrelu", activation_gain=1.0, limit=0.0, **kwargs
    ):
        super().__init__(filters=filters, **(kwargs | {"kernel_size": 1}))
        self.activation = activation
        self.activation_gain = activation_gain
        self.limit = limit

    def call(self, x):
        x = super().call(x)
        x = recompute.activate(x, self.activation, self.activation_gain)
        return ops.clamp(x, self.limit)

    def get_config(self):
        own = {"activation": self.activation, "activation_gain": self.activation_gain}
        own |= {"limit": self.limit}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class MinibatchStddev(keras.layers.Layer):
    """Appends the spread of each group of examples as feature maps.

    Args:
        group: int, examples a group.
        features: int, maps appended.

    Call arguments:
        x: float [N, H, W, C].

    Returns:
        float [N, H, W, C + features].
    """

    def __init__(self, group=4, features=1, **kwargs):
        super().__init__(**kwargs)
        self.group = group
        self.features = features

    def call(self, x):
        spread = ops.minibatch_stddev(x, self.group, self.features)
        return tf.concat([x, spread], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + self.features)

    def get_config(self):
        return super().get_config() | {"group": self.group, "features": self.features}
