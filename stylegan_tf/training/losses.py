"""Losses and penalties: pure functions of scores, or of a discriminator to call.

Every loss is per example: float32 [N, 1] scores in, [N, 1] out; the caller averages.
Penalties differentiate the score with respect to the images and return [N, 1].

Sources: logistic, Goodfellow et al. 2014; R1 and R2, Mescheder et al. 2018; WGAN-GP,
Gulrajani et al. 2017, with the drift of Karras et al. 2018; hinge, Lim & Ye 2017; path
length, Karras et al. 2020.
"""

from collections.abc import Callable

import tensorflow as tf

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
