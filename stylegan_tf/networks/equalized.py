"""Equalized learning rate (Karras et al. 2018, section 4.1).

A weight is stored as N(0, 1 / lrmul) and scaled where it is used by the constant
c = gain / sqrt(fan_in) * lrmul, so that all weights have the same dynamic range and,
under Adam, the same learning speed. The gain sqrt(2) of the leaky ReLU is part of c;
StyleGAN2 applies it after the activation instead.

A training step scales all weights of a network at once: `scaled_weights`.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.networks import convolutions
from stylegan_tf.networks.block import PACKAGE, Composite

RELU_GAIN = float(np.sqrt(2.0))
_SCALED = ContextVar("scaled", default=frozenset())  # paths of weights scaled already


def scaled(weight: keras.Variable, factor: float) -> tf.Tensor:
    """Returns a weight times its factor, or as it is where it is scaled already."""
    if factor == 1 or weight.path in _SCALED.get():
        return tf.convert_to_tensor(weight)
    return weight * tf.cast(factor, weight.value.dtype)


class _Equalized(Composite):
    """A kernel with the equalized learning rate, and optionally a bias."""

    def __init__(
        self,
        gain: float = RELU_GAIN,
        lrmul: float = 1.0,
        use_bias: bool = True,
        **kwargs,
    ):
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
                shape=shape[-1:], name="bias", initializer="zeros"
            )

    def scales(self) -> dict[str, float]:
        """Returns the factor of each weight, by the variable's path."""
        found = {self.kernel.path: float(self.runtime_coef)}
        if self.bias is not None:
            found[self.bias.path] = float(self.lrmul)
        return found

    def _scaled_kernel(self) -> tf.Tensor:
        return scaled(self.kernel, self.runtime_coef)

    def effective_weights(self) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns kernel and bias as the layer applies them, in its compute dtype."""
        weights = self._scaled_kernel(), self._scaled_bias()
        return tuple(
            w if w is None else tf.cast(w, self.compute_dtype) for w in weights
        )

    def _scaled_bias(self) -> tf.Tensor | None:
        return None if self.bias is None else scaled(self.bias, self.lrmul)

    def _add_bias(self, x: tf.Tensor) -> tf.Tensor:
        return x if self.bias is None else tf.nn.bias_add(x, self._scaled_bias())

    def get_config(self):
        own = {"gain": self.gain, "lrmul": self.lrmul, "use_bias": self.use_bias}
        return super().get_config() | own


@keras.saving.register_keras_serializable(PACKAGE)
class EqualizedDense(_Equalized):
    """Dense layer with the equalized learning rate.

    Args:
        units: int, output features.
        gain: float, sqrt(2) before a leaky ReLU, 1 for a linear output.
        lrmul: float, learning rate multiplier (0.01 in the mapping network).
        use_bias: bool.

    Call arguments:
        x: float [N, I].

    Returns:
        float [N, units].
    """

    def __init__(self, units: int, **kwargs):
        super().__init__(**kwargs)
        self.units = units

    def build(self, input_shape):
        self._add_weights((input_shape[-1], self.units))

    def call(self, x: tf.Tensor) -> tf.Tensor:
        return self._add_bias(tf.matmul(x, self._scaled_kernel()))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.units)

    def get_config(self):
        return super().get_config() | {"units": self.units}


@keras.saving.register_keras_serializable(PACKAGE)
class EqualizedConv2D(_Equalized):
    """Convolution with the equalized learning rate, fused with its resampling.

    Args:
        filters: int, output channels.
        kernel_size: int, odd.
        resample: None, "up" (double the size before) or "down" (halve it after).
        taps: filter of the resampling; empty = nearest neighbor up and 2 x 2 means
            down.
        gain: float, as in `EqualizedDense`.
        lrmul: float, as in `EqualizedDense`.
        use_bias: bool.

    Call arguments:
        x: float [N, H, W, C].

    Returns:
        float [N, H', W', filters], H' = H, 2H or H/2.
    """

    def __init__(
        self,
        filters: int,
        kernel_size: int = 3,
        resample: str | None = None,
        taps: tuple[int, ...] = (),
        **kwargs,
    ):
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

    def call(self, x: tf.Tensor) -> tf.Tensor:
        if self.resample is None:
            return self._add_bias(convolutions.conv(x, self._scaled_kernel()))
        up = self.resample == "up"
        conv = convolutions.upsample_conv if up else convolutions.conv_downsample
        return self._add_bias(conv(x, self._scaled_kernel(), self.taps))

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


# ---------------------------------------------------------------------------
# All weights of a network scaled at once


def scales_of(network: keras.Layer) -> dict[str, float]:
    """Returns the factor of every scaled weight of a network, by its path.

    Layers that scale their weights have a method `scales`.
    """
    found = {}
    for layer in network._flatten_layers():
        if hasattr(layer, "scales"):
            found |= layer.scales()
    return found


class _Scope(keras.StatelessScope):
    """Replaces the values of some variables; assignments take effect at its end."""

    def __init__(self, state_mapping):
        super().__init__(state_mapping)
        self.assigned = []

    def add_update(self, update):
        """Notes an assignment; Keras calls it in place of making it."""
        super().add_update(update)
        self.assigned.append(update)


@contextmanager
def scaled_weights(
    values: Sequence[tuple[keras.Variable, tf.Tensor]],
) -> Iterator[None]:
    """Runs layers on other values of their weights, which are scaled already.

    Args:
        values: variables, each with its value times its factor of `scales_of`.
    """
    scope = _Scope(values)
    token = _SCALED.set(frozenset(v.path for v, _ in values))
    try:
        with scope:
            yield
    finally:
        _SCALED.reset(token)
    for variable, value in scope.assigned:
        variable.assign(value)
