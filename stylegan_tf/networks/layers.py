"""The registered Keras layers of StyleGAN (Karras et al. 2019, figure 1).

All of them are NHWC, store their weights in float32 and compute in the precision of
their dtype policy.
"""

import keras
import tensorflow as tf

from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.block import PACKAGE, Composite
from stylegan_tf.networks.equalized import EqualizedConv2D, EqualizedDense, scaled

# ---------------------------------------------------------------------------
# The boxes of figure 1b: Const, B (scaled noise), bias, A and AdaIN


@keras.saving.register_keras_serializable(PACKAGE)
class LearnedConstant(keras.layers.Layer):
    """The learned constant input of the synthesis network, the same for every example.

    Args:
        shape: (height, width, channels).
        initializer: "ones", or "normal" in StyleGAN2.

    Call arguments:
        w: [N, ...], only its batch size is used.

    Returns:
        float [N, height, width, channels].
    """

    def __init__(
        self, shape: tuple[int, int, int], initializer: str = "ones", **kwargs
    ):
        super().__init__(**kwargs)
        self.shape = tuple(shape)
        self.initializer = initializer

    def build(self, input_shape=None):
        normal = keras.initializers.RandomNormal(stddev=1.0)
        self.const = self.add_weight(
            shape=(1, *self.shape),
            initializer={"ones": "ones", "normal": normal}[self.initializer],
            name="const",
        )

    def call(self, w: tf.Tensor) -> tf.Tensor:
        return tf.tile(tf.convert_to_tensor(self.const), [tf.shape(w)[0], 1, 1, 1])

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.shape)

    def get_config(self):
        own = {"shape": self.shape, "initializer": self.initializer}
        return super().get_config() | own


class _PerChannel(keras.layers.Layer):
    """One learned weight per channel, zero before training."""

    weight_name = "weight"

    def build(self, input_shape):
        channels = input_shape[-1:]
        self.weight = self.add_weight(
            shape=channels, initializer="zeros", name=self.weight_name
        )

    def compute_output_shape(self, input_shape, *_):
        return input_shape


@keras.saving.register_keras_serializable(PACKAGE)
class ScaledNoise(_PerChannel):
    """Adds noise scaled by a learned strength per channel (section 2; B in figure 1).

    Args:
        per_channel: bool; False = one strength for all channels, as in StyleGAN2.
        lrmul: float, learning rate multiplier; the weight is the strength / lrmul.

    Call arguments:
        x: float [N, H, W, C].
        noise: float [N or 1, H, W, 1], the same for all channels.

    Returns:
        float [N, H, W, C].
    """

    def __init__(self, per_channel: bool = True, lrmul: float = 1.0, **kwargs):
        super().__init__(**kwargs)
        self.per_channel = per_channel
        self.lrmul = lrmul

    def build(self, input_shape):
        super().build(input_shape if self.per_channel else ())

    def scales(self) -> dict[str, float]:
        """Returns the weight's factor by its path; none for a factor of one."""
        return {} if self.lrmul == 1 else {self.weight.path: float(self.lrmul)}

    def strength(self) -> tf.Tensor:
        """Returns the standard deviation that the noise adds, [C] or []."""
        return scaled(self.weight, self.lrmul)

    def call(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        return x + tf.cast(noise, x.dtype) * self.strength()

    def compute_output_shape(self, x_shape, noise_shape=None):
        return x_shape

    def get_config(self):
        own = {"per_channel": self.per_channel, "lrmul": self.lrmul}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class Bias(_PerChannel):
    """Adds a learned bias per channel: [N, H, W, C] -> [N, H, W, C]."""

    weight_name = "bias"

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return tf.nn.bias_add(x, tf.convert_to_tensor(self.weight))


@keras.saving.register_keras_serializable(PACKAGE)
class AdaIN(Composite):
    """Adaptive instance normalization (section 2, equation 1).

    Each feature map is normalized to zero mean and unit variance over its pixels, then
    scaled and shifted by a learned affine transform of the style (A in figure 1). Its
    first C outputs are the scale, stored as the difference from one, its last C the
    shift.

    Args:
        normalize: bool; False = scale and shift only.

    Call arguments:
        x: float [N, H, W, C], feature maps.
        w: float [N, w_dim], one style per example; or what A makes of it, a scale and a
            shift [N, C].

    Returns:
        float [N, H, W, C].
    """

    def __init__(self, normalize: bool = True, **kwargs):
        super().__init__(**kwargs)
        self.normalize = normalize

    def build(self, x_shape, w_shape):
        affine = EqualizedDense(
            2 * x_shape[-1], gain=1.0, name="affine", dtype=self.dtype_policy
        )
        self.part("affine", affine, w_shape)

    def call(
        self, x: tf.Tensor, w: tf.Tensor | tuple[tf.Tensor, tf.Tensor]
    ) -> tf.Tensor:
        if isinstance(w, tuple):
            return self._apply(x, *(tf.reshape(y, [-1, 1, 1, x.shape[-1]]) for y in w))
        style = tf.reshape(self.affine(w), [-1, 1, 1, 2 * x.shape[-1]])
        scale, shift = tf.split(style, 2, axis=-1)  # [N, 1, 1, C]
        return self._apply(x, scale + 1, shift)

    def _apply(self, x: tf.Tensor, scale: tf.Tensor, shift: tf.Tensor) -> tf.Tensor:
        if self.normalize:
            return ops.adain(x, scale, shift, fused=recompute.in_training_step())
        return x * scale + shift

    def compute_output_shape(self, x_shape, w_shape=None):
        return x_shape

    def get_config(self):
        return super().get_config() | {"normalize": self.normalize}


@keras.saving.register_keras_serializable(PACKAGE)
class Epilogue(Composite):
    """The layers that follow each convolution of the synthesis network (figure 1b).

    Noise, bias, activation, normalization, style: the order of the paper's released
    networks. `noise_position="after_adain"` moves the noise to the end, where some
    descriptions put it.

    Args:
        activation: "lrelu" or "relu".
        use_noise: bool, False in configs A to D of table 1.
        use_pixel_norm: bool, True in configs A and B.
        use_instance_norm: bool, False in configs A and B.
        use_styles: bool, False in configs A and B.
        noise_position: "before_bias" or "after_adain".
        noise_lrmul: float, learning rate multiplier of the noise's strengths.

    Call arguments:
        x: float [N, H, W, C].
        w: float [N, w_dim].
        noise: float [N or 1, H, W, 1], or None for no noise.

    Returns:
        float [N, H, W, C].
    """

    def __init__(
        self,
        activation: str = "lrelu",
        use_noise: bool = True,
        use_pixel_norm: bool = False,
        use_instance_norm: bool = True,
        use_styles: bool = True,
        noise_position: str = "before_bias",
        noise_lrmul: float = 1.0,
        **kwargs,
    ):
        super().__init__(autocast=False, **kwargs)
        self.activation = activation
        self.use_noise = use_noise
        self.use_pixel_norm = use_pixel_norm
        self.use_instance_norm = use_instance_norm
        self.use_styles = use_styles
        self.noise_position = noise_position
        self.noise_lrmul = noise_lrmul

    def build(self, x_shape, w_shape):
        dtype = self.dtype_policy
        if self.use_noise:
            noise = ScaledNoise(lrmul=self.noise_lrmul, name="noise", dtype=dtype)
            self.part("noise", noise, x_shape)
        self.part("bias", Bias(name="bias", dtype=dtype), x_shape)
        if self.use_styles:
            style = AdaIN(self.use_instance_norm, name="style", dtype=dtype)
            self.part("style", style, x_shape, w_shape)

    def call(
        self, x: tf.Tensor, w: tf.Tensor, noise: tf.Tensor | None = None
    ) -> tf.Tensor:
        noisy = self.use_noise and noise is not None
        before = noisy and self.noise_position == "before_bias"
        if before and noise.shape[0] == x.shape[0] and recompute.in_training_step():
            x = self._add_noise_and_bias(x, noise)
        else:
            x = self.bias(self.noise(x, noise) if before else x)
        x = recompute.activate(x, self.activation)
        if self.use_pixel_norm:
            x = ops.pixel_norm(x)
        if self.use_styles:
            x = self.style(x, w)
        elif self.use_instance_norm:
            x = ops.instance_norm(x, fused=recompute.in_training_step())
        if noisy and self.noise_position == "after_adain":
            x = self.noise(x, noise)
        return x

    def _add_noise_and_bias(self, x: tf.Tensor, noise: tf.Tensor) -> tf.Tensor:
        """Adds both as an outer product with a bias: an operation for four.

        Its gradient with respect to the noise's weights is a product as well.
        """
        c = x.shape[-1]
        noise = tf.reshape(tf.cast(noise, x.dtype), [-1, 1])
        strength = tf.cast(self.noise.strength(), x.dtype)
        bias = tf.cast(self.bias.weight, x.dtype)
        both = tf.nn.bias_add(tf.matmul(noise, tf.reshape(strength, [1, c])), bias)
        return tf.reshape(both + tf.reshape(x, [-1, c]), tf.shape(x))

    def compute_output_shape(self, x_shape, w_shape=None, noise_shape=None):
        return x_shape

    def get_config(self):
        names = ("activation", "use_noise", "use_pixel_norm", "use_instance_norm")
        names += ("use_styles", "noise_position", "noise_lrmul")
        return super().get_config() | {name: getattr(self, name) for name in names}


# ---------------------------------------------------------------------------
# Between images and feature maps (Karras et al. 2018, figure 2)


@keras.saving.register_keras_serializable(PACKAGE)
class ToRGB(EqualizedConv2D):
    """Feature maps -> image: 1 x 1 convolution, linear, unbounded, always float32.

    Args:
        channels: int, of the image.
    """

    def __init__(self, channels: int, **kwargs):
        kwargs = kwargs | {"dtype": "float32", "gain": 1.0, "kernel_size": 1}
        kwargs.pop("filters", None)
        super().__init__(filters=channels, **kwargs)
        self.channels = channels

    def get_config(self):
        return super().get_config() | {"channels": self.channels}


@keras.saving.register_keras_serializable(PACKAGE)
class FromRGB(EqualizedConv2D):
    """Image -> feature maps: 1 x 1 convolution and an activation.

    Args:
        filters: int, output channels.
        activation: "lrelu" or "relu".
        activation_gain: float, sqrt(2) in StyleGAN2.
        limit: float, the result stays within +-limit; 0 = no limit.
    """

    def __init__(
        self,
        filters: int,
        activation: str = "lrelu",
        activation_gain: float = 1.0,
        limit: float = 0.0,
        **kwargs,
    ):
        super().__init__(filters=filters, **(kwargs | {"kernel_size": 1}))
        self.activation = activation
        self.activation_gain = activation_gain
        self.limit = limit

    def call(self, x: tf.Tensor) -> tf.Tensor:
        x = super().call(x)
        x = recompute.activate(x, self.activation, self.activation_gain)
        return ops.clamp(x, self.limit)

    def get_config(self):
        names = ("activation", "activation_gain", "limit")
        return super().get_config() | {name: getattr(self, name) for name in names}


# ---------------------------------------------------------------------------
# Minibatch standard deviation (Karras et al. 2018, section 3)


@keras.saving.register_keras_serializable(PACKAGE)
class MinibatchStddev(keras.layers.Layer):
    """Appends the standard deviation over each group of examples as feature maps.

    Args:
        group: int, examples per group.
        features: int, feature maps appended.

    Call arguments:
        x: float [N, H, W, C].

    Returns:
        float [N, H, W, C + features].
    """

    def __init__(self, group: int = 4, features: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.group = group
        self.features = features

    def call(self, x: tf.Tensor) -> tf.Tensor:
        stddev = ops.minibatch_stddev(x, self.group, self.features)
        return recompute.concat([x, stddev])

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + self.features)

    def get_config(self):
        return super().get_config() | {"group": self.group, "features": self.features}
