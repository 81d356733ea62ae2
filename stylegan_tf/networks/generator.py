"""The generator: mapping, truncation, mixing, synthesis (Karras et al. 2019, 2020).

    z --mapping--> w --broadcast--> ws --truncate--> ws --synthesis--> images

Each part can be used alone. `w_avg`, the running mean of w that truncation pulls
towards, the constant noise maps and the label vectors of some training images are
non-trainable weights, so they are saved too.
"""

import dataclasses

import keras
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig, Growth
from stylegan_tf.config.networks import STYLEGAN2
from stylegan_tf.errors import UserError
from stylegan_tf.networks.block import PACKAGE, Block
from stylegan_tf.networks.custom import (
    custom_class,
    make_custom_synthesis,
    running_means_of,
    stage_variables_of,
)
from stylegan_tf.networks.dcgan import DCGANSynthesis
from stylegan_tf.networks.growing import Noise, SynthesisNetwork
from stylegan_tf.networks.mapping import Mapping
from stylegan_tf.networks.stylegan2 import StyleGAN2Synthesis
from stylegan_tf.networks.stylegan3 import StyleGAN3Synthesis
from stylegan_tf.networks.synthesis import Synthesis

SYNTHESIS = {  # by architecture
    "stylegan": Synthesis,
    **dict.fromkeys(STYLEGAN2, StyleGAN2Synthesis),
    "stylegan3": StyleGAN3Synthesis,
    "dcgan": DCGANSynthesis,
}


def synthesis_of(
    c: GeneratorConfig, dtype: str | keras.DTypePolicy | None = None
) -> SynthesisNetwork:
    """The synthesis network of a config's architecture, or the user's own.

    Raises:
        UserError: the user's own is a subclass of another architecture's.
    """
    network = SYNTHESIS[c.architecture]
    if not c.network or issubclass(custom_class(c), Generator):
        return network(c, dtype=dtype)
    own = custom_class(c)
    for base in set(SYNTHESIS.values()) - {network}:
        if issubclass(own, base):
            kinds = [kind for kind, cls in SYNTHESIS.items() if cls is base]
            raise UserError(
                f"{own.__name__} is a {base.__name__}, for the architecture "
                f"{' or '.join(kinds)}, and this run's is {c.architecture}: subclass "
                f"{network.__name__}, or take a preset of that architecture."
            )
    return make_custom_synthesis(c, dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class Generator(Block, keras.Model):
    """Latents z to images.

    Args:
        config: `GeneratorConfig` or its dict.
        growth: `Growth`, how far training has come; None = fully grown.

    Call arguments:
        z: float [N, z_dim], standard normal.
        labels: one-hot float [N, classes], or None.
        psi: truncation: 1 = none, 0 = the average image; float or scalar tensor.
        cutoff: int, truncates the first `cutoff` layers; None = all.
        noise, resolution, alpha, seed: as in `Synthesis`.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.
    """

    config: GeneratorConfig

    def __init__(
        self,
        config: GeneratorConfig | dict[str, object],
        growth: Growth | None = None,
        name: str = "generator",
        **kwargs,
    ):
        super().__init__(config, name=name, **kwargs)
        self.mapping = Mapping(self.config)
        self.synthesis = synthesis_of(self.config, self.dtype_policy)
        if growth is not None:
            self.growth = growth
        self.build()

    def build(self, input_shape=None):
        self.w_avg = self.add_weight(
            shape=(self.config.w_dim,),
            initializer="zeros",
            trainable=False,
            name="w_avg",
            dtype="float32",
        )
        if self.config.label_examples:
            self.label_examples = self.add_weight(
                shape=(self.config.label_examples, self.config.classes),
                initializer="zeros",
                trainable=False,
                name="label_examples",
                dtype="float32",
            )
        self.mapping.build()
        if not self.synthesis.built:
            self.synthesis.build()
        self.built = True

    def call(
        self,
        z: tf.Tensor,
        labels: tf.Tensor | None = None,
        psi: float | tf.Tensor = 1.0,
        cutoff: int | None = None,
        noise: Noise = "random",
        resolution: int | None = None,
        alpha: float | tf.Tensor | None = None,
        seed: tf.Tensor | None = None,
        training: bool = False,
    ) -> tf.Tensor:
        w = self.mapping(z, labels)  # [N, w_dim]
        ws = self.truncate(self.broadcast(w), psi, cutoff)  # [N, num_styles, w_dim]
        return self.synthesis(
            ws,
            noise=noise,
            resolution=resolution,
            alpha=alpha,
            seed=seed,
            training=training,
        )

    def broadcast(self, w: tf.Tensor) -> tf.Tensor:
        """Copies w to every layer: [N, w_dim] -> [N, num_styles, w_dim]."""
        return tf.stack([w] * self.config.num_styles, axis=1)

    # -----------------------------------------------------------------------
    # Truncation trick in W (Karras et al. 2019, appendix B): w' = w_avg + psi (w -
    # w_avg), on the first `cutoff` layers only, so that coarse structure becomes
    # typical while fine detail keeps its variety.

    def truncate(
        self,
        ws: tf.Tensor,
        psi: float | tf.Tensor = 1.0,
        cutoff: int | None = None,
        center: tf.Tensor | None = None,
    ) -> tf.Tensor:
        """Pulls the styles of the first `cutoff` layers towards a center.

        Args:
            ws: float [N, num_styles, w_dim].
            psi: 1 = no truncation, 0 = the center; a number, or one per layer,
                [num_styles].
            cutoff: None = all layers.
            center: float [N, 1, w_dim], such as the class centers of
                `sampling.class_centers`; None = w_avg, the mean over all classes.

        Returns:
            float [N, num_styles, w_dim].
        """
        if isinstance(psi, int | float) and psi == 1:
            return ws
        center = tf.convert_to_tensor(self.w_avg if center is None else center)
        psi = tf.cast(psi, ws.dtype)
        scale = psi[None, :, None] if psi.shape.rank == 1 else psi
        truncated = center + (ws - center) * scale
        return truncated if cutoff is None else self.mix(truncated, ws, cutoff)

    # -----------------------------------------------------------------------
    # Style mixing (Karras et al. 2019, section 3.1): the first latent code controls the
    # layers before the crossover point, the second one those after it.

    def mix(
        self, ws: tf.Tensor, other: tf.Tensor, crossover: int | tf.Tensor
    ) -> tf.Tensor:
        """Takes `ws` for the first `crossover` layers and `other` for the rest.

        Args:
            ws: float [N, num_styles, w_dim], or [N, 1, w_dim], one for all layers.
            other: as `ws`.
            crossover: number of layers; an int or a scalar tensor.

        Returns:
            float [N, num_styles, w_dim].
        """
        first = tf.range(self.config.num_styles) < crossover
        return tf.where(tf.reshape(first, [1, -1, 1]), ws, other)

    # -----------------------------------------------------------------------
    # Training

    @property
    def growth(self) -> Growth:
        """The growth reached in training. Only the synthesis network stores it."""
        return self.synthesis.growth

    @growth.setter
    def growth(self, growth: Growth):
        self.synthesis.growth = Growth(*growth)

    @property
    def running_means(self) -> list[keras.Variable]:
        """Weights that are running means themselves, so that EMA only copies them."""
        return [self.w_avg, *running_means_of(self.synthesis)]

    def stage_variables(
        self, resolution: int, fading: bool = True
    ) -> list[keras.Variable]:
        """The trainable weights that an image at `resolution` depends on.

        Args:
            resolution: int, of the image.
            fading: True includes the toRGB layer of the resolution below.
        """
        mapping = self.mapping.trainable_variables
        return mapping + stage_variables_of(self.synthesis, resolution, fading)

    # -----------------------------------------------------------------------
    # Saving. The growth is stored as `level`, its resolution or None for the final one,
    # and `alpha`, which the oldest files lack.

    def get_config(self):
        resolution, alpha = self.growth
        level = None if resolution == self.config.resolution else resolution
        return super().get_config() | {"level": level, "alpha": alpha}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        config = dict(config)
        level, alpha = config.pop("level", None), config.pop("alpha", 1.0)
        growth = Growth(level or config["config"]["resolution"], alpha)
        return cls(growth=growth, **config)


def generator_of(
    c: GeneratorConfig, growth: Growth | None = None, **kwargs
) -> Generator:
    """The generator of a config: `Generator`, or the user's subclass of it."""
    own = custom_class(c) if c.network else Generator
    return (own if issubclass(own, Generator) else Generator)(c, growth, **kwargs)


def copy_weights(copy: Generator, generator: Generator) -> None:
    """Copies the weights of a generator to another one of the same settings."""
    for weight, source in zip(copy.weights, generator.weights, strict=True):
        weight.assign(source.numpy())


def plain_copy(generator: Generator, **changes) -> Generator:
    """Returns a float32 copy of a generator, in the current strategy's scope.

    Args:
        generator: the generator.
        **changes: settings of the copy that do not change its weights.
    """
    config = dataclasses.replace(generator.config, **changes)
    copy = generator_of(config, generator.growth, dtype="float32")
    copy_weights(copy, generator)
    return copy
