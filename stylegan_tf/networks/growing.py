"""Parts shared by every network: blocks made from a config, noise maps, growth.

A network grows progressively (Karras et al. 2018, figure 2): it is made for its final
resolution, `resolution` says how many of its blocks run, and `alpha` how far the last
one has faded in.
"""

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, Growth, levels
from stylegan_tf.networks import ops
from stylegan_tf.networks.layers import Composite

NOISE_MODES = ("random", "const", "none")


class Block(Composite):
    """A layer or network made from a config.

    Args:
        config: `config_class`, or the dict of it that `get_config` returns.
    """

    config_class: type[GeneratorConfig | DiscriminatorConfig] = GeneratorConfig

    def __init__(self, config, **kwargs):
        super().__init__(**({"autocast": False} | kwargs))
        self.config = self._config_of(config)

    @classmethod
    def _config_of(cls, value):
        if isinstance(value, cls.config_class):
            return value
        return config.from_dict(cls.config_class, value)

    def get_config(self):
        return super().get_config() | {"config": config.to_dict(self.config)}


class ResolutionBlock(Block):
    """The layers of a network at one resolution.

    Args:
        config: as in `Block`.
        resolution: int, a power of two from 4.
    """

    def __init__(self, config, resolution, **kwargs):
        super().__init__(config, **kwargs)
        self.resolution = resolution

    def compute_output_shape(self, input_shape, *_):
        c = self.config
        return (input_shape[0], *c.shape(self.resolution), c.fmaps(self.resolution))

    def get_config(self):
        return super().get_config() | {"resolution": self.resolution}


class SynthesisNetwork(Block):
    """The base of the synthesis networks: noise maps and growth.

    Args:
        config: `GeneratorConfig` or its dict.

    Attributes:
        growth: `Growth`, how far training has come; fully grown unless it is set.
    """

    def __init__(self, config, name="synthesis", **kwargs):
        super().__init__(config, name=name, **kwargs)
        self.growth = Growth(self.config.resolution)

    # -----------------------------------------------------------------------
    # Noise inputs (Karras et al. 2019, section 2; B in figure 1b)

    def add_noise_weights(self) -> None:
        """Adds the constant noise maps, one per layer: `noise0` and so on."""
        normal = keras.initializers.RandomNormal(stddev=1.0)
        for i, shape in enumerate(self.config.noise_shapes(self.config.resolution)):
            noise = self.add_weight(
                shape=(1, *shape, 1),
                initializer=normal,
                trainable=False,
                name=f"noise{i}",
            )
            setattr(self, f"noise{i}", noise)

    def noise_maps(self, noise, resolution: int, n, seed=None) -> list:
        """The noise of every layer up to `resolution`.

        Args:
            noise, seed: as in `Synthesis`.
            resolution: int, of the images.
            n: int or scalar tensor, number of images.

        Returns:
            One float [n or 1, H, W, 1] per layer, or one None per layer without noise.

        Raises:
            ValueError: another noise mode, or a list of another length.
        """
        shapes = self.config.noise_shapes(resolution)
        named = isinstance(noise, str)
        if named and noise not in NOISE_MODES:
            raise ValueError(
                f"noise is {noise!r}; use {', '.join(NOISE_MODES)} or a list of maps."
            )
        if named and noise == "none" or not shapes:
            return [None] * self.config.num_layers
        if not named:
            if len(noise) < len(shapes):
                raise ValueError(
                    f"noise has {len(noise)} maps; resolution {resolution} uses "
                    f"{len(shapes)}, one a layer."
                )
            return list(noise)
        if noise == "const":
            return [getattr(self, f"noise{i}") for i in range(len(shapes))]
        if seed is None:
            return [tf.random.normal((n, *s, 1)) for s in shapes]
        return [
            tf.random.stateless_normal((n, *s, 1), tf.random.fold_in(seed, i))
            for i, s in enumerate(shapes)
        ]

    # -----------------------------------------------------------------------
    # Progressive growing (Karras et al. 2018, figure 2)

    def stage_variables(self, resolution: int, fading: bool = True) -> list:
        """The trainable weights that an image at `resolution` depends on.

        With `fading` this includes the output of the resolution below.
        """
        last = (resolution // 2, resolution) if fading else (resolution,)
        parts = [getattr(self, f"block{r}") for r in levels(resolution)]
        parts += [getattr(self, f"to_rgb{r}") for r in last if r >= 4]
        return [v for part in parts for v in part.trainable_variables]


def fade_in(rgb: tf.Tensor | None, new: tf.Tensor, alpha) -> tf.Tensor:
    """Blends an image [N, H, W, C] with the enlarged one of the resolution below.

    Args:
        rgb: float [N, H/2, W/2, C]; None = `new` has fully faded in.
        new: float [N, H, W, C].
        alpha: float or scalar tensor in [0, 1], the weight of `new`.
    """
    return new if rgb is None else ops.lerp(ops.upsample(rgb), new, alpha)


def fully_faded(alpha) -> bool:
    """True if alpha is known to be 1, so that no blend need be computed."""
    return isinstance(alpha, int | float) and alpha >= 1
