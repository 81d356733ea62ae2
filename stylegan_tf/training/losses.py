"""Losses and penalties: pure functions of scores, or of a discriminator to call.

Every loss is per example: float32 [N, 1] scores in, [N, 1] out; the caller averages.
Penalties differentiate the score with respect to the images and return [N, 1].

Sources: logistic, Goodfellow et al. 2014; R1 and R2, Mescheder et al. 2018; WGAN-GP,
Gulrajani et al. 2017, with the drift of Karras et al. 2018; hinge, Lim & Ye 2017; path
length, Karras et al. 2020.
"""

from collections.abc import Callable

import tensorflow as tf

from stylegan_tf.config.custom import find_custom, is_custom
from stylegan_tf.errors import UserError
from stylegan_tf.networks import recompute

ScoreFunction = Callable[[tf.Tensor], tf.Tensor]


# ---------------------------------------------------------------------------
# Generator: losses of its images' scores


def logistic_nonsaturating(fake: tf.Tensor) -> tf.Tensor:
    """Returns -log sigmoid(D(G(z))), the paper's choice."""
    return tf.nn.softplus(-fake)


def logistic_saturating(fake: tf.Tensor) -> tf.Tensor:
    """Returns log(1 - sigmoid(D(G(z)))), the original minimax game."""
    return -tf.nn.softplus(fake)


def wasserstein_generator(fake: tf.Tensor) -> tf.Tensor:
    """Returns -D(G(z)); also used with the hinge discriminator."""
    return -fake


GENERATOR = {
    "logistic_nonsaturating": logistic_nonsaturating,
    "logistic_saturating": logistic_saturating,
    "wasserstein": wasserstein_generator,
}


# ---------------------------------------------------------------------------
# Discriminator: losses of the scores of reals and fakes


def logistic(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Returns -log sigmoid(D(x)) - log(1 - sigmoid(D(G(z))))."""
    return tf.nn.softplus(fake) + tf.nn.softplus(-real)


def wasserstein(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Returns D(G(z)) - D(x); needs the gradient penalty."""
    return fake - real


def hinge(real: tf.Tensor, fake: tf.Tensor) -> tf.Tensor:
    """Returns max(0, 1 + D(G(z))) + max(0, 1 - D(x))."""
    return tf.nn.relu(1 + fake) + tf.nn.relu(1 - real)


DISCRIMINATOR = {"logistic": logistic, "wasserstein": wasserstein, "hinge": hinge}


# ---------------------------------------------------------------------------
# Losses by name, those of the user's own among them


def generator_loss_of(name: str) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns the loss of the generator that `LossConfig.g_loss` names.

    Raises:
        UserError: a loss of the user's own that is unknown here, or of another shape.
    """
    if not is_custom(name):
        return GENERATOR[name]
    return _per_example("g_loss", name, inputs=1)


def discriminator_loss_of(name: str) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
    """Returns the loss of the discriminator; see `generator_loss_of`."""
    if not is_custom(name):
        return DISCRIMINATOR[name]
    return _per_example("d_loss", name, inputs=2)


def _per_example(kind: str, name: str, inputs: int) -> Callable:
    """Returns a loss of the user's own, whose result is held to [N, 1]."""
    loss = find_custom(kind, name)

    def checked(*scores: tf.Tensor) -> tf.Tensor:
        try:
            value = tf.convert_to_tensor(loss(*scores))
        except TypeError as error:
            raise UserError(
                f"{kind} {name} fails on {inputs} scores: {error}"
            ) from error
        if value.shape.rank != 2 or value.shape[-1] != 1:
            raise UserError(
                f"{kind} {name} returned {value.shape} for scores of "
                f"{scores[0].shape}; a loss is per example, [N, 1], not averaged."
            )
        return value

    return checked


def drift(real: tf.Tensor) -> tf.Tensor:
    """Returns D(x)^2, which keeps Wasserstein scores from drifting (weight 0.001)."""
    return tf.square(real)


# ---------------------------------------------------------------------------
# Penalties on the gradient of the score. At native resolution r gradients are R / r
# times those of the official network, which sees images enlarged to R x R; `scale` =
# r / R corrects for it, so that gamma means the same.


def scores_and_gradients(
    score: ScoreFunction, images: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns D(x) [N, 1] and its gradient with respect to x [N, H, W, C].

    Under an outer tape both can be differentiated with respect to D's weights.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        scores = score(images)
        total = tf.reduce_sum(scores)
    with recompute.inputs_only():
        return scores, tape.gradient(total, images)


def zero_centered(gradients: tf.Tensor, scale: float = 1.0) -> tf.Tensor:
    """Returns |grad D(x)|^2 / 2 per example: R1 on reals, R2 on fakes.

    Args:
        gradients: float [N, H, W, C] from `scores_and_gradients`.
        scale: r / R, which corrects gradients at native resolution r.

    Returns:
        [N, 1], to be weighted by gamma.
    """
    return _squared_norm(gradients, scale) / 2


def gradient_penalty(
    score: ScoreFunction,
    real: tf.Tensor,
    fake: tf.Tensor,
    mix: tf.Tensor,
    target: float = 1.0,
    scale: float = 1.0,
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns WGAN-GP's ((|grad D(x')| - target) / target)^2 between reals and fakes.

    Args:
        score: the discriminator.
        real: float [N, H, W, C].
        fake: float [N, H, W, C].
        mix: float [N, 1, 1, 1] in [0, 1): x' = real + (fake - real) mix.
        target: the norm that it pulls to.
        scale: r / R, which corrects gradients at native resolution r.

    Returns:
        The penalty [N, 1], to be weighted by lambda, and the norms [N, 1].
    """
    between = real + (fake - real) * mix
    _, gradients = scores_and_gradients(score, between)
    # sqrt has no gradient at 0: where D is flat, the norm counts as a constant.
    norm = tf.sqrt(tf.maximum(_squared_norm(gradients, scale), 1e-30))
    return tf.square(norm - target) / target**2, norm


def path_lengths(
    synthesize: Callable[[tf.Tensor], tf.Tensor],
    ws: tf.Tensor,
    direction: Callable[[tf.Tensor], tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns images and |J_w^T y|, the change along y per step in w.

    Karras et al. 2020, section 3.2; y is normal noise divided by the square root of the
    number of pixels. Under an outer tape the lengths can be differentiated.

    Args:
        synthesize: styles -> float [N, H, W, C].
        ws: float [N, num_styles, w_dim].
        direction: shape -> normal noise of that shape.

    Returns:
        The images, and the lengths [N, 1]: the root of the mean square over styles.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(ws)
        images = synthesize(ws)
        pixels = images.shape[1] * images.shape[2]
        y = direction(tf.shape(images)) / pixels**0.5
        total = tf.reduce_sum(images * y)
    with recompute.inputs_only():
        gradients = tape.gradient(total, ws)
    squares = tf.reduce_sum(tf.square(gradients), axis=2)
    return images, tf.sqrt(tf.reduce_mean(squares, axis=1, keepdims=True))


def _squared_norm(gradients: tf.Tensor, scale: float) -> tf.Tensor:
    squares = tf.square(tf.cast(gradients, tf.float32))
    return tf.reduce_sum(squares, axis=[1, 2, 3])[:, None] * scale**2
