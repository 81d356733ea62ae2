"""The mapping network f: Z -> W (Karras et al. 2019, section 2 and figure 1b, left).

An MLP of eight layers that learns a hundred times more slowly than the other layers.
A label is embedded by a matrix and concatenated to z before both are normalized; since
StyleGAN2-ADA (Karras et al. 2020b) by a dense layer, and each is normalized on its own.
"""

import keras
import tensorflow as tf

from stylegan_tf.config import GeneratorConfig
from stylegan_tf.networks import ops, recompute
from stylegan_tf.networks.block import PACKAGE, Block, check_shape
from stylegan_tf.networks.equalized import EqualizedDense


@keras.saving.register_keras_serializable(PACKAGE)
class Mapping(Block):
    """Maps a latent z, and a label, to the intermediate latent w. Always float32.

    Args:
        config: `GeneratorConfig` or its dict.

    Call arguments:
        z: float [N, z_dim].
        labels: one-hot float [N, classes], or None.

    Returns:
        w: float32 [N, w_dim].
    """

    config: GeneratorConfig

    def __init__(
        self,
        config: GeneratorConfig | dict[str, object],
        name: str = "mapping",
        **kwargs,
    ):
        fixed = {"dtype": "float32", "autocast": True}
        super().__init__(config, name=name, **(kwargs | fixed))

    def build(self, z_shape=None, labels_shape=None):
        c = self.config
        if c.classes and c.label_norm == "own":
            embedding = EqualizedDense(
                c.embedding_dim, gain=1.0, name="embedding", dtype="float32"
            )
            self.part("embedding", embedding, (None, c.classes))
        elif c.classes:
            # DCGAN's has norm 1, like a one-hot label: if it were as long as z, it
            # would drown z.
            deviation = c.z_dim**-0.5 if c.architecture == "dcgan" else 1.0
            self.label_embedding = self.add_weight(
                shape=(c.classes, c.z_dim),
                initializer=keras.initializers.RandomNormal(stddev=deviation),
                name="label_embedding",
            )
        width = c.mapping_input_dim
        for i in range(c.mapping_layers):
            units = c.w_dim if i == c.mapping_layers - 1 else c.mapping_width
            dense = EqualizedDense(
                units,
                gain=c.gains[0],
                lrmul=c.mapping_lrmul,
                name=f"dense{i}",
                dtype="float32",
            )
            self.part(f"dense{i}", dense, (None, width))
            width = units

    def call(self, z: tf.Tensor, labels: tf.Tensor | None = None) -> tf.Tensor:
        c = self.config
        check_shape("z", z, c.z_dim)
        x = self._with_label(z, labels) if c.classes else z
        if c.normalize_z and not (c.classes and c.label_norm == "own"):
            x = ops.pixel_norm(x)
        for i in range(c.mapping_layers):
            dense = getattr(self, f"dense{i}")
            x = recompute.activate(dense(x), c.activation, c.gains[1])
        return x

    def _with_label(self, z: tf.Tensor, labels: tf.Tensor | None) -> tf.Tensor:
        """Latent z and the label's embedding, concatenated."""
        c = self.config
        labels = tf.zeros([tf.shape(z)[0], c.classes]) if labels is None else labels
        check_shape("labels", labels, c.classes)
        if c.label_norm == "joint":
            return tf.concat([z, tf.matmul(labels, self.label_embedding)], axis=-1)
        z = ops.pixel_norm(z) if c.normalize_z else z
        return tf.concat([z, ops.pixel_norm(self.embedding(labels))], axis=-1)

    def compute_output_shape(self, z_shape, labels_shape=None):
        return (z_shape[0], self.config.w_dim)
