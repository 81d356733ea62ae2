"""Worker of `peers.py`: a plain Keras 3 StyleGAN, one step of D and one of G.

Written as a Keras engineer would: stock layers, a layer of its own only where Keras has
none, `keras.optimizers.Adam`, one `tf.function` for the whole iteration, the policy
`mixed_bfloat16` for bfloat16. What else was tried stands in `docs/performance.md`.

    python -m workers.peer_keras --resolution=64 --precision=bfloat16
"""

from workers import matched
from workers.matched import fmaps, levels

matched.before_tensorflow()

import keras  # noqa: E402
import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402
from keras import layers, ops  # noqa: E402

RELU_GAIN = 2**0.5


class EqualizedDense(layers.Layer):
    """Dense layer with the equalized learning rate: [N, I] -> [N, units]."""

    def __init__(self, units, gain=RELU_GAIN, lrmul=1.0, **kwargs):
        super().__init__(**kwargs)
        self.units, self.gain, self.lrmul = units, gain, lrmul

    def build(self, shape):
        normal = keras.initializers.RandomNormal(stddev=1 / self.lrmul)
        self.kernel = self.add_weight((shape[-1], self.units), normal)
        self.bias = self.add_weight((self.units,), "zeros")
        self.scale = self.gain / shape[-1] ** 0.5 * self.lrmul

    def call(self, x):
        return ops.matmul(x, self.kernel * self.scale) + self.bias * self.lrmul


class EqualizedConv(layers.Layer):
    """Convolution with the equalized learning rate: [N, H, W, I] -> [N, H, W, O]."""

    def __init__(self, maps, size=3, gain=RELU_GAIN, use_bias=True, **kwargs):
        super().__init__(**kwargs)
        self.maps, self.size, self.gain, self.use_bias = maps, size, gain, use_bias

    def build(self, shape):
        normal = keras.initializers.RandomNormal(stddev=1.0)
        kernel = (self.size, self.size, shape[-1], self.maps)
        self.kernel = self.add_weight(kernel, normal)
        self.bias = self.add_weight((self.maps,), "zeros") if self.use_bias else None
        self.scale = self.gain / (self.size**2 * shape[-1]) ** 0.5

    def call(self, x):
        x = ops.conv(x, self.kernel * self.scale, padding="same")
        return x + self.bias if self.use_bias else x


def blur() -> layers.Layer:
    """Low-pass filter (1, 2, 1) x (1, 2, 1) / 16, map by map."""

    def taps(shape, dtype=None):
        kernel = np.outer([1, 2, 1], [1, 2, 1])[:, :, None, None] / 16
        return ops.cast(np.broadcast_to(kernel, shape), dtype)

    return layers.DepthwiseConv2D(
        3, padding="same", use_bias=False, depthwise_initializer=taps, trainable=False
    )


class ScaledNoise(layers.Layer):
    """Adds noise [N, H, W, 1], times a weight a map."""

    def build(self, shape):
        self.weight = self.add_weight(shape[-1:], "zeros")
        self.seed = keras.random.SeedGenerator()

    def call(self, x):
        shape = (*ops.shape(x)[:3], 1)
        noise = keras.random.normal(shape, dtype=x.dtype, seed=self.seed)
        return x + noise * self.weight


class Bias(layers.Layer):
    """Adds a number a map."""

    def build(self, shape):
        self.bias = self.add_weight(shape[-1:], "zeros")

    def call(self, x):
        return x + self.bias


class AdaIN(layers.Layer):
    """Instance norm, then scale and shift by a style: x [N, H, W, C], w [N, 128]."""

    def build(self, x_shape, w_shape):
        plain = {"epsilon": 1e-8, "center": False, "scale": False}
        self.norm = layers.GroupNormalization(-1, **plain)
        self.norm.build(x_shape)
        self.affine = EqualizedDense(2 * x_shape[-1], gain=1.0)
        self.affine.build(w_shape)

    def call(self, x, w):
        scale, shift = ops.split(self.affine(w)[:, None, None], 2, axis=-1)
        return self.norm(x) * (scale + 1) + shift


class LearnedConstant(layers.Layer):
    """The start of the synthesis: [N, ...] -> [N, 4, 4, C]."""

    def build(self, shape):
        self.const = self.add_weight((1, 4, 4, fmaps(4)), "ones")

    def call(self, w):
        return ops.tile(self.const, (ops.shape(w)[0], 1, 1, 1))


class MinibatchStddev(layers.Layer):
    """Appends how much the examples of a group differ, as a map."""

    def call(self, x):
        n, height, width, maps = ops.shape(x)
        y = ops.reshape(
            ops.cast(x, "float32"), (matched.GROUP, -1, height, width, maps)
        )
        y = ops.mean(ops.sqrt(ops.var(y, axis=0) + 1e-8), axis=(1, 2, 3))
        y = ops.tile(y, (matched.GROUP,))[:, None, None, None]
        y = ops.broadcast_to(ops.cast(y, x.dtype), (n, height, width, 1))
        return ops.concatenate([x, y], axis=-1)


def lrelu() -> layers.Layer:
    """Leaky ReLU of slope 0.2."""
    return layers.LeakyReLU(0.2)


# ---------------------------------------------------------------------------


class PixelNorm(layers.Layer):
    """Brings every z to unit mean square: [N, 128] -> [N, 128]."""

    def call(self, z):
        return z * ops.rsqrt(ops.mean(z * z, axis=-1, keepdims=True) + 1e-8)


def mapping() -> keras.Model:
    """z [N, 128] -> w [N, 128], float32."""
    x = z = keras.Input((matched.WIDTH,), matched.BATCH)
    x = PixelNorm()(x)
    for _ in range(matched.MAPPING_LAYERS):
        x = EqualizedDense(matched.WIDTH, lrmul=matched.MAPPING_LRMUL, dtype="float32")(
            x
        )
        x = layers.LeakyReLU(0.2, dtype="float32")(x)
    return keras.Model(z, x, name="mapping")


def synthesis(resolution: int) -> keras.Model:
    """Styles [N, layers, 128] -> pictures float32 [N, R, R, 3]."""
    sizes = levels(resolution)
    ws = keras.Input((2 * len(sizes), matched.WIDTH), matched.BATCH)

    def tail(x, i):
        x = lrelu()(Bias()(ScaledNoise()(x)))
        return AdaIN()(x, ws[:, i])

    x = LearnedConstant()(ws)
    for i, r in enumerate(sizes):
        if i:
            x = layers.UpSampling2D(interpolation="nearest")(x)
            x = blur()(EqualizedConv(fmaps(r), use_bias=False)(x))
        x = tail(x, 2 * i)
        x = tail(EqualizedConv(fmaps(r), use_bias=False)(x), 2 * i + 1)
    rgb = EqualizedConv(3, 1, gain=1.0, dtype="float32")(x)
    return keras.Model(ws, rgb, name="synthesis")


def discriminator(resolution: int) -> keras.Model:
    """Pictures [N, R, R, 3] -> scores float32 [N, 1]."""
    images = keras.Input((resolution, resolution, 3), matched.BATCH)
    x = lrelu()(EqualizedConv(fmaps(resolution), 1)(images))
    for r in reversed(levels(resolution, first=8)):
        x = blur()(lrelu()(EqualizedConv(fmaps(r))(x)))
        x = layers.AveragePooling2D(2)(EqualizedConv(fmaps(r // 2))(x))
        x = lrelu()(x)
    x = lrelu()(EqualizedConv(fmaps(4))(MinibatchStddev()(x)))
    x = lrelu()(EqualizedDense(fmaps(2))(layers.Flatten()(x)))
    score = EqualizedDense(1, gain=1.0, dtype="float32")(x)
    return keras.Model(images, score, name="discriminator")


class StyleGAN(keras.Model):
    """The networks and their step; `fit` takes uint8 pictures [16, R, R, 3]."""

    def __init__(self, resolution: int):
        super().__init__()
        self.mapping, self.synthesis = mapping(), synthesis(resolution)
        self.discriminator = discriminator(resolution)
        self.layers_ = 2 * len(levels(resolution))
        self.built = True

    def compile(self, **kwargs):
        super().compile(**kwargs)
        average = {"use_ema": True, "ema_momentum": matched.AVERAGE}
        self.g_adam = self._adam(self.g_variables, **average)
        self.d_adam = self._adam(self.discriminator.trainable_variables)

    @staticmethod
    def _adam(variables, **more):
        beta_1, beta_2 = matched.BETAS
        rates = {"beta_1": beta_1, "beta_2": beta_2, "epsilon": matched.EPSILON}
        adam = keras.optimizers.Adam(matched.LR, **rates, **more)
        adam.build(variables)
        return adam

    @property
    def g_variables(self) -> list:
        return self.mapping.trainable_variables + self.synthesis.trainable_variables

    def generate(self):
        """Pictures [16, R, R, 3] of fresh latents, styles mixed."""
        w = self.mapping(tf.random.normal((matched.BATCH, matched.WIDTH)))
        other = self.mapping(tf.random.normal((matched.BATCH, matched.WIDTH)))
        cutoff = tf.random.uniform((), 1, self.layers_, tf.int32)
        mixes = tf.random.uniform(()) < matched.MIXING
        cutoff = tf.where(mixes, cutoff, self.layers_)
        below = tf.range(self.layers_)[None, :, None] < cutoff
        return self.synthesis(tf.where(below, w[:, None], other[:, None]))

    def train_step(self, images):
        reals = tf.cast(images, tf.float32) / 127.5 - 1
        return {"d": self.train_discriminator(reals), "g": self.train_generator()}

    def train_discriminator(self, reals):
        fakes = self.generate()
        with tf.GradientTape() as tape:
            with tf.GradientTape(watch_accessed_variables=False) as inner:
                inner.watch(reals)
                real = self.discriminator(reals)
                total = tf.reduce_sum(real)
            slope = inner.gradient(total, reals)
            r1 = tf.reduce_mean(tf.reduce_sum(slope**2, axis=[1, 2, 3])) / 2
            fake = self.discriminator(fakes)
            loss = tf.reduce_mean(tf.nn.softplus(fake) + tf.nn.softplus(-real))
            loss += matched.R1_GAMMA * r1
        variables = self.discriminator.trainable_variables
        self.d_adam.apply(tape.gradient(loss, variables), variables)
        return loss

    def train_generator(self):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([v.value for v in self.g_variables])
            score = self.discriminator(self.generate())
            loss = tf.reduce_mean(tf.nn.softplus(-score))
        variables = self.g_variables
        self.g_adam.apply(tape.gradient(loss, variables), variables)
        return loss


def build(resolution: int, precision: str = "float32", **compile_) -> StyleGAN:
    """A compiled model. It sets Keras' global dtype policy, as a program would."""
    names = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    keras.config.set_dtype_policy(names[precision])
    model = StyleGAN(resolution)
    model.compile(**compile_)
    return model


def stepping(model: StyleGAN, resolution: int, jit: bool = False):
    """Makes the function for `pairing.serve`, which calls a compiled step."""
    step = tf.function(model.train_step, jit_compile=jit)
    images = [tf.constant(x) for x in matched.pictures(resolution, 4)]

    def work(steps: int) -> None:
        for i in range(steps):
            losses = step(images[i % len(images)])
        losses["g"].numpy()

    return work


def fitting(model: StyleGAN, resolution: int):
    """The same by `fit`, on a `tf.data` set."""
    images = matched.pictures(resolution, matched.PICTURES // matched.BATCH)
    data = tf.data.Dataset.from_tensor_slices(images.reshape(-1, *images.shape[2:]))
    data = data.shuffle(matched.PICTURES).repeat().batch(matched.BATCH, True)
    data = data.prefetch(tf.data.AUTOTUNE)

    def work(steps: int) -> None:
        model.fit(data, steps_per_epoch=steps, shuffle=False, verbose=0)

    return work


def main() -> None:
    """Builds, traces and serves."""
    from workers import pairing

    args = matched.arguments(__doc__, jit=0, fit=0)
    keras.utils.set_random_seed(0)
    model = build(args.resolution, args.precision, jit_compile=bool(args.jit))
    if args.fit:
        work = fitting(model, args.resolution)
    else:
        work = stepping(model, args.resolution, bool(args.jit))
    work(2)
    pairing.serve(work)


if __name__ == "__main__":
    main()
