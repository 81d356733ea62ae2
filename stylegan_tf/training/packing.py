"""Weights of a stage as vectors, so that a step works on all of them at once.

A network has a hundred weights. Scaling each one, averaging it and updating it is a
thousand small operations per iteration, which cost a GPU, and a CPU at low resolutions,
more time than their arithmetic. On one vector per network they are a dozen.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.networks import equalized
from stylegan_tf.networks.custom import stage_variables_of

_KEPT = ContextVar("kept", default=())  # of this replica: pairs of `Packed`, values


class Packed:
    """Variables that are read and written as one vector.

    Unless it is `loaded`, the vector is joined from the variables at each read and
    split at each write. While it is, it is a variable of its own: nothing is joined or
    split, and the variables keep what they had when it was loaded.

    Args:
        variables: float32 variables of Keras or TensorFlow.
        scales: one number per variable, see `equalized.scales_of`; None = ones.

    Attributes:
        loaded: True while the vector counts, False while the variables do.
    """

    def __init__(self, variables: Sequence, scales: Sequence[float] | None = None):
        self.variables = list(variables)
        self.shapes = [tuple(v.shape) for v in self.variables]
        self.sizes = [int(np.prod(shape)) for shape in self.shapes]
        self.scale: tf.Variable | None = None
        if scales is not None:
            factors = np.repeat(np.asarray(scales, np.float32), self.sizes)
            self.scale = tf.Variable(factors, trainable=False, name="scale")
        self.loaded = False
        self._vector: tf.Variable | None = None

    def make_vector(self) -> None:
        """Creates the vector, in the scope of the strategy, if it is not there."""
        if self._vector is None:
            zeros = tf.zeros([sum(self.sizes)])
            self._vector = tf.Variable(zeros, trainable=False, name="packed")

    def copy_in(self) -> None:
        """Copies the variables into the vector."""
        self._vector.assign(self._joined())

    def copy_out(self) -> None:
        """Copies the vector into the variables."""
        self._spread(tf.convert_to_tensor(self._vector))

    # -----------------------------------------------------------------------

    def join(self, tensors: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns one vector of tensors that have the variables' shapes."""
        return tf.concat([tf.reshape(x, [-1]) for x in tensors], axis=0)

    def gradient(self, gradients: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the gradient with respect to the vector.

        Args:
            gradients: those with respect to the values of `scaled`.
        """
        vector = self.join(gradients)
        return vector if self.scale is None else vector * self.scale

    def split(self, vector: tf.Tensor) -> list[tf.Tensor]:
        """Returns the tensors that `join` made one vector of."""
        parts = tf.split(vector, self.sizes)
        return [tf.reshape(x, s) for x, s in zip(parts, self.shapes, strict=True)]

    def read(self) -> tf.Tensor:
        """Returns the values, float32 [size of all variables]."""
        return tf.convert_to_tensor(self._vector) if self.loaded else self._joined()

    def write(self, vector: tf.Tensor) -> None:
        """Assigns new values."""
        if self.loaded:
            self._vector.assign(vector)
        else:
            self._spread(vector)

    def _joined(self) -> tf.Tensor:
        return self.join([tf.convert_to_tensor(v) for v in self.variables])

    def _spread(self, vector: tf.Tensor) -> None:
        for v, value in zip(self.variables, self.split(vector), strict=True):
            v.assign(value)

    def targets(self, vector: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """Returns resource handles of what holds the values, each with its part.

        Args:
            vector: what an operation on the handles needs, such as the gradient.
        """
        if self.loaded:
            return [(self._vector.handle, vector)]
        values = [v.value if hasattr(v, "path") else v for v in self.variables]
        parts = self.split(vector)
        return [(v.handle, part) for v, part in zip(values, parts, strict=True)]

    # -----------------------------------------------------------------------

    def scaled(self) -> list[tuple[keras.Variable, tf.Tensor]]:
        """Returns each Keras variable with its value times its scale."""
        kept = [values for packed, values in _KEPT.get() if packed is self]
        values = kept[0] if kept else self._scaled_values()
        return list(zip(self.variables, values, strict=True))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Promises that nothing writes: the values are scaled once inside."""
        token = _KEPT.set((*_KEPT.get(), (self, self._scaled_values())))
        try:
            yield
        finally:
            _KEPT.reset(token)

    def _scaled_values(self) -> list[tf.Tensor]:
        vector = self.read()
        return self.split(vector if self.scale is None else vector * self.scale)


class StageWeights:
    """The variables that a step at one resolution reads and writes, packed.

    Args:
        networks: `Networks`.
        resolution: the resolution that is trained. The layer between the images and the
            feature maps of the resolution below is among the weights, whether it fades
            out or is not in use: without gradients it stays what it is.

    Attributes:
        g, d: weights of G and D.
        average: weights of G's moving average.
        g_slots, d_slots: the optimizers' moments of them.
    """

    def __init__(self, networks, resolution: int):
        def packed(network, scaled=True):
            variables = stage_variables_of(network, resolution, fading=True)
            scales = equalized.scales_of(network) if scaled else {}
            of_each = [scales.get(v.path, 1.0) for v in variables]
            return Packed(variables, of_each if scales else None)

        self._copies: dict[str, Callable[[], None]] = {}
        self.g, self.d = packed(networks.generator), packed(networks.discriminator)
        self.average = packed(networks.average, scaled=False)
        self.g_slots = networks.g_optimizer.slots(self.g.variables)
        self.d_slots = networks.d_optimizer.slots(self.d.variables)

    @property
    def all(self) -> list[Packed]:
        """Returns everything that is packed."""
        return [self.g, self.d, self.average, *self.g_slots, *self.d_slots]

    @property
    def loaded(self) -> bool:
        """True while the vectors count, False while the variables do."""
        return self.g.loaded

    def load(self, strategy: tf.distribute.Strategy) -> None:
        """Makes the vectors count, and copies the variables into them."""
        with strategy.scope():
            for packed in self.all:
                packed.make_vector()
        self._on_all_replicas(strategy, "copy_in")
        self._set_loaded(True)

    def store(self, strategy: tf.distribute.Strategy) -> None:
        """Makes the variables count, and copies the vectors into them."""
        self._on_all_replicas(strategy, "copy_out")
        self._set_loaded(False)

    def _on_all_replicas(self, strategy: tf.distribute.Strategy, method: str) -> None:
        def copy():
            for packed in self.all:
                getattr(packed, method)()

        if method not in self._copies:
            run = tf.function(lambda: strategy.run(copy), autograph=False)
            # Called itself, `run` would be counted with those of other resolutions, and
            # TensorFlow would warn of a function that is traced again and again.
            self._copies[method] = run.get_concrete_function()
        self._copies[method]()

    def _set_loaded(self, loaded: bool) -> None:
        for packed in self.all:
            packed.loaded = loaded

    @contextmanager
    def in_use(self) -> Iterator[None]:
        """Runs G and D inside on these values, which are scaled already."""
        with equalized.scaled_weights([*self.g.scaled(), *self.d.scaled()]):
            yield
