"""losses.py: official values and weight gradients, and closed forms."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from golden import cases, close, discriminator, generator, labels, load, nchw, nhwc
from golden import stage as stage_of

from stylegan_tf.official import names
from stylegan_tf.training import losses

CASES = cases("v1_loss")
GAMMA, LAMBDA, DRIFT = 10.0, 10.0, 0.001  # the official defaults


# ---------------------------------------------------------------------------
# Official numbers. `parts` is what every loss is made of.


def stage(case):
    golden, resolution = load(case), generator(case).config.resolution
    r, alpha = stage_of(resolution, float(golden["in/lod"]))
    assert r == resolution  # so that the penalties' scale is 1
    return r, alpha


def generated(case):
    golden, (r, alpha) = load(case), stage(case)
    z, one_hot = golden["in/z"], labels(golden, "in/labels_G")
    arguments = {"noise": "const", "resolution": r, "alpha": alpha}
    return generator(case)(z, one_hot, **arguments)


@functools.cache
def parts_of(case):
    """The discriminator as a function of pictures, and the pictures."""
    golden, d, (_, alpha) = load(case), discriminator(case), stage(case)

    def score(images):
        return d(images, labels(golden, "in/labels_D"), alpha=alpha)

    reals = tf.constant(nhwc(golden["in/reals"]))
    mix = tf.constant(golden["in/mixing_factors"])
    return {"score": score, "reals": reals, "fakes": generated(case), "mix": mix}


def r1(parts, images, gamma):
    _, gradients = losses.scores_and_gradients(parts["score"], parts[images])
    return gamma * losses.zero_centered(gradients)


def gp(parts):
    images = parts["reals"], parts["fakes"], parts["mix"]
    penalty, _ = losses.gradient_penalty(parts["score"], *images)
    return LAMBDA * penalty


def none(parts):
    return tf.zeros([1, 1])


def wasserstein(real, fake):
    return losses.wasserstein(real, fake) + DRIFT * losses.drift(real)


# Official name -> loss of the two scores, penalty.
D_LOSSES = {
    "D_logistic": (losses.logistic, none),
    "D_logistic_simplegp": (losses.logistic, lambda p: r1(p, "reals", GAMMA)),
    "D_logistic_simplegp_r2": (
        losses.logistic,
        lambda p: r1(p, "reals", GAMMA) + r1(p, "fakes", 5.0),
    ),
    "D_wgan": (wasserstein, none),
    "D_wgan_gp": (wasserstein, gp),
    "D_hinge": (losses.hinge, none),
    "D_hinge_gp": (losses.hinge, gp),
}
G_LOSSES = {
    "G_logistic_nonsaturating": losses.logistic_nonsaturating,
    "G_logistic_saturating": losses.logistic_saturating,
    "G_wgan": losses.wasserstein_generator,
}
NAMES = [(case, name) for case in CASES for name in load(case).names("out/loss_mean/")]


@functools.cache
def evaluated(case, name):
    """Loss [N, 1], penalty [N or 1, 1], and gradients under the official names."""
    parts = parts_of(case)
    score, g_step = parts["score"], name in G_LOSSES
    with tf.GradientTape() as tape:
        if g_step:
            loss, penalty = G_LOSSES[name](score(generated(case))), none(parts)
        else:
            base, extra = D_LOSSES[name]
            loss, penalty = (
                base(score(parts["reals"]), score(parts["fakes"])),
                extra(parts),
            )
        mean = tf.reduce_mean(loss + penalty)
    network = generator(case) if g_step else discriminator(case)
    return loss, penalty, gradients_of(case, tape, mean, network)


def gradients_of(case, tape, mean, network):
    """Official name -> gradient, for the weights of the stage; None elsewhere."""
    golden = load(case)
    fused = golden.meta.get("G_kwargs", {}).get("fused_scale", "auto")
    r, alpha = stage(case)
    used = network.stage_variables(r, fading=alpha < 1)
    gradients = tape.gradient(mean, [w.value for w in used])
    assert all(gradient is not None for gradient in gradients)
    found = dict(zip([w.path for w in used], gradients, strict=True))
    slots = names.name_map(network, fused)
    return {
        name: slot.to_official(found[slot.weight.path].numpy())
        if slot.weight.path in found
        else None
        for name, slot in slots.items()
        if slot.weight.trainable
    }


def test_every_official_loss_is_there():
    assert {name for _, name in NAMES} == set(G_LOSSES) | set(D_LOSSES)


@pytest.mark.parametrize("case, name", NAMES)
def test_official_loss(case, name):
    golden = load(case)
    loss, penalty, _ = evaluated(case, name)
    golden.check(f"out/loss_mean/{name}", tf.reduce_mean(loss + penalty))
    # Where there is a penalty, official code adds [N, 1] and [N]: [N, N], same mean.
    golden.check(f"out/loss_raw/{name}", loss + tf.transpose(penalty))


@pytest.mark.parametrize("case, name", NAMES)
def test_official_gradients(case, name):
    golden = load(case)
    _, _, gradients = evaluated(case, name)
    names = golden.names(f"out/grad/{name}/")
    assert set(names) == set(gradients)
    for key in names:
        if gradients[key] is None:  # not of this stage: the official one is zero
            assert not golden.flat[f"out/grad/{name}/{key}"][0].any(), key
        else:
            golden.check_gradient(f"out/grad/{name}/{key}", gradients[key])


@pytest.mark.parametrize("case", CASES)
def test_official_fakes(case):
    load(case).check("out/fake_images_G", nchw(parts_of(case)["fakes"]))


# ---------------------------------------------------------------------------
# Closed forms

SCORES = [[-30.0], [-1.0], [0.0], [0.5], [40.0]]


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


@pytest.mark.parametrize(
    "name, want",
    [
        ("logistic_nonsaturating", lambda f: -np.log(sigmoid(f))),
        ("logistic_saturating", lambda f: -np.log1p(np.exp(f))),
        ("wasserstein", lambda f: -f),
    ],
)
def test_generator_losses(name, want):
    fake = np.array(SCORES)
    close(losses.GENERATOR[name](tf.constant(SCORES)), want(fake), 1e-6)


@pytest.mark.parametrize(
    "name, want",
    [
        ("logistic", lambda r, f: np.log1p(np.exp(f)) + np.log1p(np.exp(-r))),
        ("wasserstein", lambda r, f: f - r),
        ("hinge", lambda r, f: np.maximum(0, 1 + f) + np.maximum(0, 1 - r)),
    ],
)
def test_discriminator_losses(name, want):
    real, fake = np.array(SCORES), np.array(SCORES[::-1])
    loss = losses.DISCRIMINATOR[name](tf.constant(SCORES), tf.constant(SCORES[::-1]))
    close(loss, want(real, fake), 1e-6)


def test_losses_of_huge_scores_are_finite():
    huge = tf.constant([[-1e6], [1e6]])
    for loss in losses.GENERATOR.values():
        assert np.isfinite(loss(huge)).all()
    for loss in losses.DISCRIMINATOR.values():
        assert np.isfinite(loss(huge, -huge)).all()


def test_drift():
    close(losses.drift(tf.constant(SCORES)), np.array(SCORES) ** 2, 1e-6)


def quadratic(images):
    """Score sum(x^2) / 2 an example: its gradient is the picture itself."""
    return tf.reduce_sum(images**2, axis=[1, 2, 3])[:, None] / 2


def pictures(n=3):
    return tf.random.stateless_normal([n, 4, 4, 2], [1, 2])


def squared_norms(x):
    return np.sum(np.square(x), axis=(1, 2, 3))[:, None]


def test_scores_and_gradients():
    x = pictures()
    scores, gradients = losses.scores_and_gradients(quadratic, x)
    close(scores, squared_norms(x) / 2, 1e-6)
    np.testing.assert_allclose(gradients, x, rtol=1e-6)


@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_zero_centered(scale):
    x = pictures()
    penalty = losses.zero_centered(x, scale)
    assert penalty.shape == (3, 1)
    close(penalty, scale**2 * squared_norms(x) / 2, 1e-6)


def test_scale_undoes_the_enlargement():
    """The official penalty sees a score of pooled pictures; ours the native ones."""

    def of_pooled(images):
        return quadratic(tf.nn.avg_pool2d(images, 4, 4, "VALID"))

    native = pictures()
    large = tf.repeat(tf.repeat(native, 4, axis=1), 4, axis=2)
    want = losses.zero_centered(losses.scores_and_gradients(of_pooled, large)[1])
    _, gradients = losses.scores_and_gradients(quadratic, native)
    close(losses.zero_centered(gradients, scale=1 / 4), want, 1e-5)
    a, b = (tf.constant(x) for x in (native, -2 * native))
    mix = tf.fill([3, 1, 1, 1], 0.2)
    far = (tf.repeat(tf.repeat(x, 4, axis=1), 4, axis=2) for x in (a, b))
    want, _ = losses.gradient_penalty(of_pooled, *far, mix)
    ours, _ = losses.gradient_penalty(quadratic, a, b, mix, scale=1 / 4)
    close(ours, want, 1e-5)


def test_penalty_reaches_the_weights():
    """d/dw of |grad_x (w x^2 / 2)|^2 / 2 is w |x|^2: two derivatives deep."""
    w, x = tf.Variable(3.0), pictures()
    with tf.GradientTape() as tape:
        _, gradients = losses.scores_and_gradients(lambda i: w * quadratic(i), x)
        total = tf.reduce_sum(losses.zero_centered(gradients))
    close(tape.gradient(total, w), 3 * squared_norms(x).sum(), 1e-5)


@pytest.mark.parametrize("target", [1.0, 750.0])
def test_gradient_penalty(target):
    real, fake = pictures(), 2 - pictures()
    mix = tf.constant([0.0, 0.25, 1.0])[:, None, None, None]
    arguments = quadratic, real, fake, mix, target
    penalty, norms = losses.gradient_penalty(*arguments)
    between = real.numpy() * (1 - mix.numpy()) + fake.numpy() * mix.numpy()
    want = np.sqrt(squared_norms(between))
    close(norms, want, 1e-5)
    close(penalty, (want - target) ** 2 / target**2, 1e-5)


def test_bfloat16_gradients_are_summed_in_float32():
    gradients = tf.ones([1, 64, 64, 3], tf.bfloat16)
    penalty = losses.zero_centered(gradients)
    assert penalty.dtype == tf.float32
    assert float(penalty[0, 0]) == 64 * 64 * 3 / 2


def test_penalty_of_a_flat_score_is_finite():
    """|grad| = 0, where the square root of the gradient penalty has no slope."""
    x, w = pictures(), tf.Variable(0.0)
    with tf.GradientTape() as tape:
        arguments = lambda i: w * quadratic(i), x, x, tf.zeros([3, 1, 1, 1])
        penalty, _ = losses.gradient_penalty(*arguments)
        total = tf.reduce_sum(penalty)
    assert float(total) == 3
    assert np.isfinite(tape.gradient(total, w))
