"""The mapping network f: Z -> W (Karras et al. 2019, section 2 and figure 1b, left).

An MLP of eight layers that learns a hundred times slower than the rest. Labels are
embedded by a plain matrix and concatenated to z before the common normalization; or,
since StyleGAN2-ADA, by a dense layer, and either part is normalized on its own.
"""

import keras
import tensorflow as tf

from stylegan_tf import config
from stylegan_tf.networks import ops
from stylegan_tf.networks.growing import as_config
from stylegan_tf.networks.layers import PACKAGE, EqualizedDense


@keras.saving.register_keras_serializable(PACKAGE)
class Mapping(keras.layers.Layer):
    """z, and perhaps a label, to the intermediate latent w. Always float32.

    Args:
        config: `GeneratorConfig`, or the dict that `get_config` made of one.

    Call arguments:
        z: float [N, z_dim].
        labels: one-hot float [N, classes], or None without classes.

    Returns:
        w: float32 [N, w_dim].
    """

    def __init__(self, config, **kwargs):
        super().__init__(**(kwargs | {"dtype": "float32", "name": "mapping"}))
        self.config = as_config(config)

    def build(self, z_shape=None, labels_shape=None):
        c = self.config
        if c.classes and c.label_norm == "own":
            self.embedding = EqualizedDense(
                c.embedding_dim, gain=1.0, name="embedding", dtype="float32"
            )
            self.embedding.build((None, c.classes))
        elif c.classes:
            # DCGAN's is as long as a one-hot label: one as long as z drowns z.
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
            setattr(self, f"dense{i}", dense)
            dense.build((None, width))
            width = units

    def call(self, z, labels=None):
        c = self.config
        x = z
        if c.classes:
            labels = tf.zeros([tf.shape(z)[0], c.classes]) if labels is None else labels
            x = self._with_label(z, labels)
        if c.normalize_z and not self._parts_normalized:
            x = ops.pixel_norm(x)
        for i in range(c.mapping_layers):
            dense = getattr(self, f"dense{i}")
            x = ops.activate(dense(x), c.activation, c.gains[1])
        return x

    @property
    def _parts_normalized(self) -> bool:
        return bool(self.config.classes) and self.config.label_norm == "own"

    def _with_label(self, z, labels) -> tf.Tensor:
        """z and the label's embedding, side by side."""
        if self.config.label_norm == "joint":
            return tf.concat([z, tf.matmul(labels, self.label_embedding)], axis=-1)
        embedded = ops.pixel_norm(self.embedding(labels))
        z = ops.pixel_norm(z) if self.config.normalize_z else z
        return tf.concat([z, embedded], axis=-1)

    def compute_output_shape(self, z_shape, labels_shape=None):
        return (z_shape[0], self.config.w_dim)

    def get_config(self):
        return {"config": config.to_dict(self.config)}
