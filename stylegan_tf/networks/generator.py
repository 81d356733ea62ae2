"""The generator: mapping, truncation, mixing and synthesis (Karras et al. 2019, 2020).

    z --mapping--> w --broadcast--> ws --truncate--> ws --synthesis--> pictures

The parts are usable alone. `w_avg`, the running mean of w that truncation pulls
towards, and the constant noise maps are non-trainable weights: every save has them.
"""

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.networks.dcgan import DCGANSynthesis
from stylegan_tf.networks.growing import as_config, blend
from stylegan_tf.networks.layers import PACKAGE, ZEROS
from stylegan_tf.networks.mapping import Mapping
from stylegan_tf.networks.stylegan2 import StyleGAN2Synthesis
from stylegan_tf.networks.stylegan3 import StyleGAN3Synthesis
from stylegan_tf.networks.synthesis import Synthesis


def synthesis_of(c: config.GeneratorConfig, dtype) -> keras.layers.Layer:
    """The synthesis network of an architecture."""
    kinds = {"stylegan": Synthesis, "dcgan": DCGANSynthesis}
    kinds["stylegan3"] = StyleGAN3Synthesis
    return kinds.get(c.architecture, StyleGAN2Synthesis)(c, dtype=dtype)


@keras.saving.register_keras_serializable(PACKAGE)
class Generator(keras.Model):
    """z to pictures.

    Args:
        config: `GeneratorConfig` or its dict.
        level: int, the resolution that it has learned so far, if it is not yet fully
            grown: what finished pictures are drawn at.
        alpha: float in (0, 1], how far that level has faded in: pictures of it are
            blended with those of the level below.

    Call arguments:
        z: float [N, z_dim], standard normal.
        labels: one-hot float [N, classes], or None.
        psi: float or scalar tensor, truncation: 1 = none, 0 = the average picture.
        cutoff: int, layers that truncation reaches; None = all.
        noise, resolution, alpha, seed: as in `Synthesis`.

    Returns:
        float32 [N, H, W, channels], nominally in [-1, 1], unbounded.
    """

    def __init__(self, config, level=None, alpha=1.0, **kwargs):
        kwargs.setdefault("name", "generator")
        super().__init__(**(kwargs | {"autocast": False}))
        self.config = as_config(config)
        self.mapping = Mapping(self.config)
        self.synthesis = synthesis_of(self.config, self.dtype_policy)
        self.grow(level, alpha)
        self.build()

    def build(self, input_shape=None):
        self.w_avg = self.add_weight(
            shape=(self.config.w_dim,),
            initializer=ZEROS,
            trainable=False,
            name="w_avg",
            dtype="float32",
        )
        self.mapping.build()
        self.synthesis.build()
        self.built = True

    def call(
        self,
        z,
        labels=None,
        psi=1.0,
        cutoff=None,
        noise="random",
        resolution=None,
        alpha=None,
        seed=None,
        training=False,
    ):
        ws = self.broadcast(self.mapping(z, labels))
        ws = self.truncate(ws, psi, cutoff)
        return self.synthesis(
            ws,
            noise=noise,
            resolution=resolution,
            alpha=alpha,
            seed=seed,
            training=training,
        )

    # -----------------------------------------------------------------------
    # How far it has grown: known to the synthesis network alone, which draws by it.

    def grow(self, level: int | None, alpha: float = 1.0) -> None:
        """Says how far it has grown, as the arguments of the class do."""
        self.synthesis.learned = level, alpha

    @property
    def level(self) -> int | None:
        """The level that it has learned so far; None = the final one."""
        return self.synthesis.learned[0]

    @property
    def alpha(self) -> float:
        """How far that level has faded in."""
        return self.synthesis.learned[1]

    def alpha_at(self, resolution: int) -> float:
        """How far a level has faded in: those below the one that fades in have."""
        return blend(self.synthesis, None, resolution)

    # -----------------------------------------------------------------------

    def broadcast(self, w: tf.Tensor) -> tf.Tensor:
        """One style for every layer: [N, w_dim] -> [N, num_styles, w_dim]."""
        return tf.stack([w] * self.config.num_styles, axis=1)

    # -----------------------------------------------------------------------
    # Truncation trick in W (section B of the appendix): w' = w_avg + psi (w - w_avg),
    # on the first `cutoff` layers only, so that coarse structure becomes typical
    # while fine detail keeps its variety.

    def truncate(
        self, ws: tf.Tensor, psi=1.0, cutoff: int | None = None, center=None
    ) -> tf.Tensor:
        """Pulls the styles of the first `cutoff` layers (None = all) towards a center.

        Args:
            ws: float [N, num_styles, w_dim].
            psi: as of the call; or one number a layer, [num_styles].
            cutoff: as of the call.
            center: float [N, 1, w_dim], such as each example's of
                `sampling.class_centers`; None = w_avg, of all classes together.
        """
        if isinstance(psi, int | float) and psi == 1:
            return ws
        center = tf.convert_to_tensor(self.w_avg if center is None else center)
        psi = tf.cast(psi, ws.dtype)
        scale = psi[None, :, None] if psi.shape.rank == 1 else psi
        truncated = center + (ws - center) * scale
        return truncated if cutoff is None else self.mix(truncated, ws, cutoff)

    # -----------------------------------------------------------------------
    # Style mixing (section 3.1): two latents share a picture, the first one rules
    # the layers below the cut-off, the second one those above.

    def mix(self, ws: tf.Tensor, other: tf.Tensor, cutoff) -> tf.Tensor:
        """ws on the layers below `cutoff`, `other` on the rest."""
        below = tf.range(self.config.num_styles) < cutoff
        return tf.where(below[None, :, None], ws, other)

    @property
    def running_means(self) -> list:
        """Weights that are averages over training already."""
        return [self.w_avg, *getattr(self.synthesis, "running_means", [])]

    def stage_variables(self, resolution: int, fading: bool = True) -> list:
        """As `Synthesis.stage_variables`, and the mapping's."""
        own = self.mapping.trainable_variables
        return own + self.synthesis.stage_variables(resolution, fading)

    def get_config(self):
        return {
            "config": config.to_dict(self.config),
            "level": self.level,
            "alpha": self.alpha,
            "name": self.name,
            "dtype": keras.dtype_policies.serialize(self.dtype_policy),
        }
