"""Networks of the user's own in the place of the package's, see `config.custom`.

    class Mine(keras.layers.Layer):              a synthesis network: styles to images
        def __init__(self, config, **kwargs)     config: GeneratorConfig
        def call(self, ws, noise="random", resolution=None, alpha=None, seed=None,
                 training=False)                 ws [N, num_styles, w_dim]
                                                 -> [N, H, W, channels] in [-1, 1]

    class Judge(keras.layers.Layer):             a discriminator: images to scores
        def __init__(self, config, **kwargs)     config: DiscriminatorConfig
        def call(self, images, labels=None, alpha=1.0, training=False)
                                                 -> [N, 1], higher = more real

`Block` and the networks made of it fit: a subclass overrides what differs.
A subclass of `Generator` may change the mapping network as well. A class with an
attribute `grows = True` is given every resolution of the schedule; the others are
trained at the final one alone. Optional: `stage_variables(resolution, fading)` returns
the weights that are trained at a resolution, `running_means` those that the moving
average copies.
"""

import keras
import tensorflow as tf

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, Growth
from stylegan_tf.config.custom import find_custom
from stylegan_tf.errors import UserError

Config = GeneratorConfig | DiscriminatorConfig
Policy = str | keras.DTypePolicy | None
EXAMPLES = 2  # images of the first call, which makes the weights


def custom_class(c: Config) -> type[keras.layers.Layer]:
    """Returns the class that a config names.

    Raises:
        UserError: this process does not know it.
    """
    kind = "generator" if isinstance(c, GeneratorConfig) else "discriminator"
    found = find_custom(kind, c.network)
    assert isinstance(found, type)
    return found


def make_custom_synthesis(c: GeneratorConfig, dtype: Policy = None):
    """Makes the synthesis network of the user's class, and its weights.

    Raises:
        UserError: it does not take or return what it must.
    """
    network = _made(c, dtype, name="synthesis")
    network.growth = Growth(c.resolution)
    ws = tf.zeros([EXAMPLES, c.num_styles, c.w_dim])
    options = {"noise": "none", "resolution": c.resolution, "alpha": 1.0}
    images = _called(network, ws, **options, seed=None, training=False)
    wanted = (EXAMPLES, *c.shape(c.resolution), c.channels)
    return _checked(network, ws, images, wanted)


def make_custom_discriminator(c: DiscriminatorConfig, dtype: Policy = None):
    """Makes the discriminator of the user's class, and its weights.

    Raises:
        UserError: it does not take or return what it must.
    """
    network = _made(c, dtype, name="discriminator")
    images = tf.zeros([EXAMPLES, *c.shape(c.resolution), c.channels])
    labels = tf.zeros([EXAMPLES, c.classes])
    scores = _called(network, images, labels, alpha=1.0, training=False)
    return _checked(network, images, scores, (EXAMPLES, 1))


def _made(c: Config, dtype: Policy, name: str) -> keras.layers.Layer:
    cls = custom_class(c)
    try:
        return cls(c, dtype=dtype, name=name)
    except TypeError as error:
        raise UserError(
            f"{cls.__name__} cannot be made: {error}. It is called as "
            f"{cls.__name__}(config, dtype=..., name=...) and hands the last two to "
            f"keras.layers.Layer."
        ) from error


def _called(network: keras.layers.Layer, *inputs: tf.Tensor, **options: object):
    try:
        return network(*inputs, **options)
    except TypeError as error:
        cls, names = type(network).__name__, ", ".join(options)
        raise UserError(
            f"{cls} cannot be called: {str(error).splitlines()[0]}. Its call takes "
            f"{len(inputs)} tensor{'s' * (len(inputs) > 1)} and {names}."
        ) from error


def _checked(
    network: keras.layers.Layer, given: tf.Tensor, made: object, wanted: tuple
) -> keras.layers.Layer:
    """Holds a network to the shape of its output, and to weights that are saved."""
    name, shape = type(network).__name__, tuple(getattr(made, "shape", ()))
    if shape != wanted:
        got = list(shape) if hasattr(made, "shape") else type(made).__name__
        raise UserError(
            f"{name} returned {got} for an input of {list(given.shape)}; it must "
            f"return {list(wanted)}."
        )
    saved = {id(x) for x in tf.train.TrackableView(network).descendants()}
    lost = [v.path for v in network.weights if id(v) not in saved]
    if lost:
        raise UserError(
            f"{name} keeps layers in a list or dict, which TensorFlow's checkpoints "
            f"skip, such as {lost[0]}; make each an attribute: "
            f"setattr(self, f'block{{i}}', layer)."
        )
    network.is_custom = True
    return network


def stage_variables_of(
    network: keras.layers.Layer, resolution: int, fading: bool
) -> list[keras.Variable]:
    """Returns the weights that are trained at a resolution: all, unless it says so."""
    own = getattr(network, "stage_variables", None)
    return network.trainable_variables if own is None else own(resolution, fading)


def running_means_of(network: keras.layers.Layer) -> list[keras.Variable]:
    """Returns a network's running means; of a user's class all untrained numbers."""
    own = getattr(network, "running_means", None)
    if own is not None or not getattr(network, "is_custom", False):
        return own or []
    weights = network.non_trainable_variables
    return [v for v in weights if tf.as_dtype(v.dtype).is_floating]
