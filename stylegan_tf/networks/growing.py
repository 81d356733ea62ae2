"""Parts shared by every synthesis network: blocks, noise maps, growth."""

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.networks import recompute


def as_config(value, cls=config.GeneratorConfig):
    """A config, from itself or from the plain dict that Keras keeps."""
    return value if isinstance(value, cls) else config.from_dict(cls, value)


NOISE_MODES = ("random", "const", "none")


class ResolutionBlock(keras.layers.Layer):
    """The layers of a synthesis network at one resolution.

    Args:
        config: `GeneratorConfig` or its dict.
        resolution: int, level of the block.
    """

    def __init__(self, config, resolution, **kwargs):
        super().__init__(autocast=False, **kwargs)
        self.config = as_config(config)
        self.resolution = resolution

    def compute_output_shape(self, input_shape, *_):
        c = self.config
        return (input_shape[0], *c.shape(self.resolution), c.fmaps(self.resolution))

    def get_config(self):
        own = {"config": config.to_dict(self.config), "resolution": self.resolution}
        return super().get_config() | own


# ---------------------------------------------------------------------------
# Noise inputs, the same for every synthesis network


def add_noise_weights(layer: keras.layers.Layer) -> None:
    """Gives a synthesis network the stored maps of its layers, `noise0` and so on."""
    normal = keras.initializers.RandomNormal(stddev=1.0)
    c = layer.config
    for i, shape in enumerate(c.noise_shapes(c.resolution)):
        noise = layer.add_weight(
            shape=(1, *shape, 1), initializer=normal, trainable=False, name=f"noise{i}"
        )
        setattr(layer, f"noise{i}", noise)


def noise_maps(layer, noise, resolution: int, n, seed=None) -> list:
    """The noise of every layer up to `resolution`, as `Synthesis` describes it.

    Returns:
        One [n or 1, H, W, 1] a layer; none at all where there is no noise.
    """
    shapes = layer.config.noise_shapes(resolution)
    if isinstance(noise, str) and noise == "none":
        return []
    if not isinstance(noise, str):
        if len(noise) < len(shapes):
            raise ValueError(
                f"noise has {len(noise)} maps; resolution {resolution} uses "
                f"{len(shapes)}, one a layer."
            )
        return list(noise)
    if noise == "const":
        return [getattr(layer, f"noise{i}") for i in range(len(shapes))]
    if noise != "random":
        raise ValueError(
            f"noise is {noise!r}; use {', '.join(NOISE_MODES)} or a list of maps."
        )
    if seed is None:
        return [tf.random.normal((n, *s, 1)) for s in shapes]
    return [
        tf.random.stateless_normal((n, *s, 1), tf.random.fold_in(seed, i))
        for i, s in enumerate(shapes)
    ]


def run_block(block: ResolutionBlock, x, styles: list, noise: list) -> tf.Tensor:
    """block(x, styles, noise), computed again where pictures are large."""
    n, side = len(styles), min(block.config.shape(block.resolution))
    stretch = lambda x, *rest: block(x, rest[:n], rest[n:])  # noqa: E731
    return recompute.in_parts(stretch, [x, *styles, *noise], [block], side)


def blend(layer, alpha, resolution: int):
    """The alpha that a picture is drawn with.

    Args:
        layer: a synthesis network.
        alpha: of the call; None = as far as the level has faded in by training.
        resolution: level of the picture.
    """
    if alpha is not None:
        return alpha
    level, learned = layer.learned
    return learned if resolution == (level or layer.config.resolution) else 1.0


def fully_faded(alpha) -> bool:
    """Whether alpha is known to be 1, so that no blend need be computed."""
    return isinstance(alpha, int | float) and alpha >= 1
