"""Progressive growing and noise inputs, shared by the synthesis networks.

A network has all its blocks from the start. While it grows (Karras et al. 2018, figure
2), `resolution` says how many of them run, and `alpha` how far the last one has faded
in.
"""

import keras
import tensorflow as tf

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, Growth, levels
from stylegan_tf.networks import convolutions, ops
from stylegan_tf.networks.block import Block, check_shape

NOISE_MODES = ("random", "const", "none")
Noise = str | list[tf.Tensor]


class ResolutionBlock(Block):
    """The layers of a network at one resolution.

    Args:
        config: the network's config, or its dict.
        resolution: int, a power of two, at least 4.
    """

    def __init__(
        self,
        config: GeneratorConfig | DiscriminatorConfig | dict[str, object],
        resolution: int,
        **kwargs,
    ):
        super().__init__(config, **kwargs)
        self.resolution = resolution

    def compute_output_shape(self, input_shape, *_):
        c = self.config
        return (input_shape[0], *c.shape(self.resolution), c.fmaps(self.resolution))

    def get_config(self):
        return super().get_config() | {"resolution": self.resolution}


class SynthesisNetwork(Block):
    """The base of the synthesis networks.

    Args:
        config: `GeneratorConfig` or its dict.

    Attributes:
        growth: `Growth`, how far training has come; fully grown unless it is set.
    """

    config: GeneratorConfig

    def __init__(
        self,
        config: GeneratorConfig | dict[str, object],
        name: str = "synthesis",
        **kwargs,
    ):
        super().__init__(config, name=name, **kwargs)
        self.growth = Growth(self.config.resolution)

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """The trainable weights that an image at `resolution` depends on.

        Args:
            resolution: int, of the image.
            fading: True includes the toRGB layer of the resolution below.
        """
        last = (resolution // 2, resolution) if fading else (resolution,)
        parts = [getattr(self, f"block{r}") for r in levels(resolution)]
        parts += [getattr(self, f"to_rgb{r}") for r in last if r >= 4]
        return [v for part in parts for v in part.trainable_variables]

    def unstack(self, ws: tf.Tensor) -> list[tf.Tensor]:
        """Splits styles [N, num_styles, w_dim] into one [N, w_dim] per layer.

        Raises:
            ValueError: they are of another model.
        """
        c = self.config
        check_shape("ws", ws, c.num_styles, c.w_dim)
        return tf.unstack(ws, num=c.num_styles, axis=1)

    # -----------------------------------------------------------------------
    # Noise inputs (Karras et al. 2019, section 2; B in figure 1b)

    def add_noise_weights(self) -> None:
        """Adds the constant noise maps, one per layer: `noise0`, `noise1`, ..."""
        normal = keras.initializers.RandomNormal(stddev=1.0)
        for i, shape in enumerate(self.config.noise_shapes(self.config.resolution)):
            noise = self.add_weight(
                shape=(1, *shape, 1),
                initializer=normal,
                trainable=False,
                name=f"noise{i}",
            )
            setattr(self, f"noise{i}", noise)

    def noise_maps(
        self,
        noise: Noise,
        resolution: int,
        n: int | tf.Tensor,
        seed: tf.Tensor | None = None,
    ) -> list[tf.Tensor | None]:
        """The noise of each layer up to `resolution`.

        Args:
            noise: "random", "const", "none", or a list of noise maps.
            resolution: int, of the images.
            n: number of images.
            seed: int [2], of random noise; None = fresh random numbers.

        Returns:
            One float [n or 1, H, W, 1] per layer, or one None per layer.

        Raises:
            ValueError: another noise mode, or too few noise maps.
        """
        shapes = self.config.noise_shapes(resolution)
        if isinstance(noise, str) and noise not in NOISE_MODES:
            raise ValueError(
                f"noise is {noise!r}; use {', '.join(NOISE_MODES)} or a list of maps."
            )
        if not shapes or isinstance(noise, str) and noise == "none":
            return [None] * self.config.num_layers
        if not isinstance(noise, str):
            if len(noise) < len(shapes):
                raise ValueError(
                    f"noise has {len(noise)} maps; resolution {resolution} uses "
                    f"{len(shapes)}, one per layer."
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


# ---------------------------------------------------------------------------
# Fading in a resolution (Karras et al. 2018, figure 2b)


def fade_in(
    below: tf.Tensor | None, image: tf.Tensor, alpha: float | tf.Tensor
) -> tf.Tensor:
    """Blends an image with the enlarged image of the resolution below.

    Args:
        below: float [N, H/2, W/2, C]; None = `image` has fully faded in.
        image: float [N, H, W, C].
        alpha: weight of `image`, in [0, 1].

    Returns:
        (1 - alpha) upsample(below) + alpha image, float [N, H, W, C].
    """
    if below is None:
        return image
    return ops.lerp(convolutions.upsample(below), image, alpha)


def fully_faded(alpha: float | tf.Tensor) -> bool:
    """True if alpha is the number 1, so that nothing is blended; False for a tensor."""
    return isinstance(alpha, int | float) and alpha >= 1
