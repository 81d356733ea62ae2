"""The synthesis network g: W -> pictures (Karras et al. 2019, figure 1b, right).

Read top to bottom, this is the figure: a learned constant, then per resolution two
convolutions, each followed by noise (B), bias, activation and AdaIN driven by a
style (A). It grows progressively (Karras et al. 2018, figure 2): all blocks exist
from the start, `resolution` says how many of them run, and `alpha` how far the last
one has faded in.
"""

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.growing import (
    ResolutionBlock,
    add_noise_weights,
    as_config,
    blend,
    fully_faded,
    noise_maps,
    run_block,
)
from stylegan_tf.networks.layers import (
    PACKAGE,
    Epilogue,
    EqualizedConv2D,
    EqualizedDense,
    LearnedConstant,
    ToRGB,
)


def epilogue(c: GeneratorConfig, name: str, dtype) -> Epilogue:
    """The tail of a layer, with the switches that `c` sets."""
    return Epilogue(
        activation=c.activation,
        use_noise=c.use_noise,
        use_pixel_norm=c.use_pixel_norm,
        use_instance_norm=c.use_instance_norm,
        use_styles=c.use_styles,
        noise_position=c.noise_position,
        name=name,
        dtype=dtype,
    )


@keras.saving.register_keras_serializable(PACKAGE)
class SynthesisBlock(ResolutionBlock):
    """Two styled layers at one resolution.

    The first block starts from the learned constant (or, on ladder B and C, from a
    dense layer on w); every other one doubles the picture by its first convolution
    and blurs what that leaves.

    Args:
        config: `GeneratorConfig` or its dict.
        resolution: int, level of the block.

    Call arguments:
        x: float [N, H/2, W/2, C'] from the block below; for the first block anything
            whose first dimension is N.
        styles: two floats [N, w_dim].
        noise: two floats [N or 1, H, W, 1], or None each.

    Returns:
        float [N, H, W, C].
    """

    def build(self, input_shape=None, *_):
        c, dtype = self.config, self.dtype_policy
        maps, shape = c.fmaps(self.resolution), c.shape(self.resolution)
        x_shape, w_shape = (None, *shape, maps), (None, c.w_dim)
        if self.resolution > 4:
            self.conv0 = EqualizedConv2D(
                maps, resample="up", use_bias=False, name="conv0_up", dtype=dtype
            )
            self.conv0.build((None, None, None, c.fmaps(self.resolution // 2)))
        elif c.const_input:
            self.const = LearnedConstant((*shape, maps), name="const", dtype=dtype)
            self.const.build()
        else:
            # The gain keeps the paper's variance at 4 x 4, whatever the start block.
            self.dense = EqualizedDense(
                shape[0] * shape[1] * maps,
                gain=2**0.5 / 4,
                use_bias=False,
                name="dense",
                dtype=dtype,
            )
            self.dense.build(w_shape)
        self.conv1 = EqualizedConv2D(maps, use_bias=False, name="conv1", dtype=dtype)
        self.conv1.build(x_shape)
        for i in range(2):
            tail = epilogue(c, f"epilogue{i}", dtype)
            setattr(self, f"epilogue{i}", tail)
            tail.build(x_shape, w_shape)

    def call(self, x, styles, noise=(None, None)):
        c = self.config
        if self.resolution > 4:
            x = self.conv0(x)
        elif c.const_input:
            x = self.const(x)
        else:
            shape = (-1, *c.shape(4), c.fmaps(4))
            x = tf.reshape(self.dense(styles[0]), shape)
        parts = [self.epilogue0, self.conv1]
        x = recompute.again(
            lambda x, w: self._inner(x, w, noise[0]), [x, styles[0]], parts
        )
        tail = self.epilogue1
        return recompute.again(
            lambda x, w: tail(x, w, noise[1]), [x, styles[1]], [tail]
        )

    def _inner(self, x, w, noise):
        """From the first convolution's maps to the second one's."""
        if self.resolution > 4:
            x = ops.blur(x, self.config.blur_filter)
        return self.conv1(self.epilogue0(x, w, noise))


@keras.saving.register_keras_serializable(PACKAGE)
class Synthesis(keras.layers.Layer):
    """Styles to pictures.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        ws: float [N, num_styles, w_dim], one style a layer.
        noise: "random" (fresh for every example), "const" (the stored maps), "none",
            or a list with one float [N or 1, H, W, 1] a layer.
        resolution: int, level of the output; None = the final one.
        alpha: float or scalar tensor in [0, 1], how far the last block has faded in;
            None = as far as it had in training.
        seed: int [2], makes random noise a pure function of it; None = fresh draws.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.

    Raises:
        ValueError: another noise mode, or a list of another length.
    """

    learned = None, 1.0  # as `Generator.grow` says

    def __init__(self, config: GeneratorConfig | dict[str, object], **kwargs):
        super().__init__(**(kwargs | {"autocast": False, "name": "synthesis"}))
        self.config = as_config(config)

    def build(self, input_shape=None, *_):
        c = self.config
        for r in levels(c.resolution):
            block = SynthesisBlock(c, r, name=f"block{r}", dtype=self.dtype_policy)
            setattr(self, f"block{r}", block)
            block.build()
            to_rgb = ToRGB(c.channels, name=f"to_rgb{r}")
            setattr(self, f"to_rgb{r}", to_rgb)
            to_rgb.build((None, *c.shape(r), c.fmaps(r)))
        add_noise_weights(self)

    def call(
        self,
        ws,
        noise="random",
        resolution=None,
        alpha=None,
        seed=None,
        training=False,
    ):
        c = self.config
        final = resolution or c.resolution
        alpha = blend(self, alpha, final)
        styles = tf.unstack(ws, num=c.num_styles, axis=1)
        if not c.use_styles:
            styles *= c.num_layers
        maps = noise_maps(self, noise, final, tf.shape(ws)[0], seed)
        maps = maps or [None] * c.num_layers
        x, rgb = ws, None
        for i, r in enumerate(levels(final)):
            pair = slice(2 * i, 2 * i + 2)
            block = getattr(self, f"block{r}")
            x = run_block(block, x, styles[pair], maps[pair])
            if r == final // 2 and not fully_faded(alpha):
                rgb = getattr(self, f"to_rgb{r}")(x)
        new = getattr(self, f"to_rgb{final}")(x)
        return new if rgb is None else ops.lerp(ops.upsample(rgb), new, alpha)

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """The trainable weights that a picture at `resolution` depends on.

        With `fading` this includes the picture of the resolution below.
        """
        last = (resolution // 2, resolution) if fading else (resolution,)
        parts = [getattr(self, f"block{r}") for r in levels(resolution)]
        parts += [getattr(self, f"to_rgb{r}") for r in last if r >= 4]
        return [v for part in parts for v in part.trainable_variables]

    def get_config(self):
        return {"config": config.to_dict(self.config), "dtype": self.dtype_policy}
