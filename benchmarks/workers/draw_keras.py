"""A StyleGAN generator in plain Keras, which `benchmarks/sampling.py` draws against.

    python -m workers.draw_keras --resolution=64 --batch=8

A functional model of stock layers (`UpSampling2D`, `Conv2D`, a depthwise blur,
`GroupNormalization` with a group a map), compiled by `tf.function`, with the equalized
rate multiplied into the weights beforehand. The weights are random: they do not change
what it costs.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf

from workers import draw_sizes, pairing


@keras.saving.register_keras_serializable("draw_keras")
class Noise(keras.layers.Layer):
    """Adds a stored map, scaled for every feature map: [N, H, W, C] -> the same."""

    def build(self, shape):
        self.map = self.add_weight(
            shape=(1, *shape[1:3], 1), initializer="random_normal", trainable=False
        )
        self.strength = self.add_weight(shape=shape[-1:], initializer="random_normal")
        self.bias = self.add_weight(shape=shape[-1:], initializer="zeros")

    def call(self, x):
        return x + self.map * self.strength + self.bias


@keras.saving.register_keras_serializable("draw_keras")
class Constant(keras.layers.Layer):
    """The learned start: [N, ...] -> [N, 4, 4, C]."""

    def __init__(self, maps, **kwargs):
        super().__init__(**kwargs)
        self.maps = maps

    def build(self, shape):
        self.start = self.add_weight(shape=(1, 4, 4, self.maps), initializer="ones")

    def call(self, x):
        return keras.ops.tile(self.start, (keras.ops.shape(x)[0], 1, 1, 1))


def blur(maps: int) -> keras.layers.Layer:
    """The depthwise low-pass filter (1, 2, 1)."""
    kernel = np.outer([1, 2, 1], [1, 2, 1])[:, :, None, None] / 16.0
    return keras.layers.DepthwiseConv2D(
        3,
        padding="same",
        use_bias=False,
        depthwise_initializer=lambda shape, dtype=None: np.tile(
            kernel, (1, 1, maps, 1)
        ).astype(np.float32),
    )


def styled(x, w):
    """Noise, bias, activation, instance norm, style."""
    maps = x.shape[-1]
    x = keras.layers.LeakyReLU(negative_slope=0.2)(Noise()(x))
    x = keras.layers.GroupNormalization(
        groups=maps, epsilon=1e-8, center=False, scale=False
    )(x)
    style = keras.layers.Reshape((1, 1, 2 * maps))(keras.layers.Dense(2 * maps)(w))
    return x * (style[..., :maps] + 1) + style[..., maps:]


def generator(resolution: int, psi: float = 0.7) -> keras.Model:
    """z [N, 512] to floats [N, H, W, 3]."""
    z = keras.Input([512])
    w = z * keras.ops.rsqrt(keras.ops.mean(z * z, axis=1, keepdims=True) + 1e-8)
    for _ in range(8):
        w = keras.layers.LeakyReLU(negative_slope=0.2)(keras.layers.Dense(512)(w))
    w, x = w * psi, None
    for maps in draw_sizes.fmaps(resolution).values():
        conv = {"padding": "same", "use_bias": False}
        if x is None:
            x = Constant(maps)(w)
        else:
            x = keras.layers.UpSampling2D(interpolation="nearest")(x)
            x = blur(maps)(keras.layers.Conv2D(maps, 3, **conv)(x))
        x = styled(x, w)
        x = styled(keras.layers.Conv2D(maps, 3, **conv)(x), w)
    return keras.Model(z, keras.layers.Conv2D(3, 1)(x))


def main() -> None:
    """Draws as often as it is told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--predict", action="store_true", help="Keras' own loop")
    args = parser.parse_args()
    model = generator(args.resolution)

    @tf.function
    def draw(z):
        pictures = tf.clip_by_value(model(z, training=False) * 127.5 + 128, 0, 255)
        return tf.cast(pictures, tf.uint8)

    def work(times: int) -> None:
        for _ in range(times):
            z = np.random.randn(args.batch, 512).astype(np.float32)
            if args.predict:
                floats = model.predict(z, batch_size=args.batch, verbose=0)
                np.clip(floats * 127.5 + 128, 0, 255).astype(np.uint8)
            else:
                draw(tf.constant(z)).numpy()

    work(2)
    pairing.serve(work, {"pictures": args.batch})


if __name__ == "__main__":
    main()
