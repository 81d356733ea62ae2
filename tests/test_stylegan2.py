"""stylegan2.py and what StyleGAN2 adds to the discriminator, losses and training step:
held against the official networks' numbers, and against each other."""

import dataclasses

import golden
import numpy as np
import pytest
import tensorflow as tf
import tiny
from test_step import check_changes

from stylegan_tf.config import GeneratorConfig, ScheduleConfig, TrainConfig, update
from stylegan_tf.config.networks import MODULATIONS
from stylegan_tf.networks import convolutions, ops
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import names
from stylegan_tf.training import losses
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.passes import Clock
from stylegan_tf.training.randomness import StepInputs
from stylegan_tf.training.trainer import make_networks

G_CASES = golden.cases("v2_G_")
D_CASES = golden.cases("v2_D")
TAPS = {"none": (), "k1331": (1, 3, 3, 1), "k121": (1, 2, 1), "k14641": (1, 4, 6, 4, 1)}
TAPS["kasym"] = (1, 2, 4, 8)


# ---------------------------------------------------------------------------
# Single operations and their gradients

RESAMPLING = {
    "upsample_2d": convolutions.upsample,
    "downsample_2d": convolutions.downsample,
    "filter_2d": lambda x, taps: convolutions._pad_and_filter(
        x, taps, len(taps) // 2, (len(taps) - 1) // 2
    ),
    "upsample_conv_2d": convolutions.upsample_conv,
    "conv_downsample_2d": convolutions.conv_downsample,
}


def operations() -> list[str]:
    """Those whose values are kept: NAME/TAPS or NAME/TAPS/convK."""
    found = golden.load("v2_ops").names("out/")
    return [
        n for n in found if n.split("/")[0] in RESAMPLING and n.split("/")[1] in TAPS
    ]


def check_operation(name: str, function) -> None:
    """Values, and the gradient along the file's direction."""
    case = golden.load("v2_ops")
    x = tf.constant(golden.nhwc(case["in/x"]))
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = function(x)
        along = tf.reduce_sum(y * golden.nhwc(case[f"in/cograd/{name}"]))
    case.check(f"out/{name}", golden.nchw(y))
    case.check_gradient(f"out/grad/{name}", golden.nchw(tape.gradient(along, x)))


@pytest.mark.parametrize("name", operations())
def test_official_resampling(name):
    kind, taps, *kernel = name.split("/")
    case = golden.load("v2_ops")
    kernels = [tf.constant(case[f"in/w{k.removeprefix('conv')}"]) for k in kernel]
    check_operation(name, lambda x: RESAMPLING[kind](x, *kernels, TAPS[taps]))


def test_every_operation_is_looked_at():
    assert {n.split("/")[0] for n in operations()} == set(RESAMPLING)


@pytest.mark.parametrize("kind", ops.ACTIVATIONS)
def test_official_bias_and_activation(kind):
    case, gain = golden.load("v2_ops"), GeneratorConfig(architecture="skip").gains[1]
    bias = tf.constant(case["in/b"])

    def function(x):
        return ops.activation(tf.nn.bias_add(x, bias), kind, gain)

    check_operation(f"fused_bias_act/{kind}", function)


@pytest.mark.parametrize("grouped", [False, True], ids=MODULATIONS)
@pytest.mark.parametrize("demodulate", [0, 1])
@pytest.mark.parametrize("up", [0, 1])
def test_official_modulated_convolution(up, demodulate, grouped):
    case, name = golden.load("v2_ops"), f"modconv_up{up}_dem{demodulate}"
    weight, mod, bias = (
        case[f"vars/{name}/{v}"] for v in ("weight", "mod_weight", "mod_bias")
    )
    style = tf.constant(case["in/y"] @ mod / np.sqrt(len(mod)) + bias + 1, tf.float32)
    kernel = tf.constant(weight / np.sqrt(np.prod(weight.shape[:-1])), tf.float32)

    @tf.function(input_signature=[tf.TensorSpec([None, 8, 8, 5])])
    def function(x):
        args = (bool(demodulate), bool(up), (1, 3, 3, 1), grouped)
        return convolutions.modulated_conv(x, kernel, style, *args)

    check_operation(name, function)


@pytest.mark.parametrize("up", [False, True])
def test_both_forms_have_the_same_second_derivatives(up):
    """Path lengths differentiate a gradient, by kernel, style and maps."""
    rng = np.random.default_rng(0)
    shapes = ([2, 4, 6, 3], [3, 3, 3, 5], [2, 3])
    inputs = [tf.constant(rng.normal(size=s), tf.float32) for s in shapes]

    def second(grouped):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                y = convolutions.modulated_conv(
                    *inputs, True, up, (1, 3, 3, 1), grouped
                )
                total = tf.reduce_sum(tf.sin(y))
            slopes = inner.gradient(total, inputs)
            norm = tf.add_n([tf.reduce_sum(tf.square(s)) for s in slopes])
        return outer.gradient(norm, inputs)

    for a, b in zip(second(False), second(True), strict=True):
        golden.close(a.numpy(), b.numpy(), 1e-4)


# ---------------------------------------------------------------------------
# The networks


@pytest.mark.parametrize("modulation", MODULATIONS)
@pytest.mark.parametrize("case", G_CASES)
def test_official_pictures(case, modulation):
    given, g = golden.load(case), golden.generator(case, modulation=modulation)
    z, labels = given["in/z"], golden.labels(given)
    ws = g.broadcast(g.mapping(z, labels))
    given.check("out/dlatents", ws)
    # A cut-off of None means all layers, in StyleGAN2 as here.
    for name, psi, cutoff in (
        ("psi_none", 1.0, None),
        ("psi0.5_cutnone", 0.5, None),
        ("psi0.7_cut4", 0.7, 4),
    ):
        images = g(z, labels, psi=psi, cutoff=cutoff, noise="const")
        given.check(f"out/images/{name}", golden.nchw(images))
    free = g.synthesis(given["in/dlatents_free"], noise="const")
    given.check("out/synthesis/free", golden.nchw(free))


@pytest.mark.parametrize("case", G_CASES)
def test_official_explicit_noise(case):
    given, g = golden.load(case), golden.generator(case)
    count = len(g.config.noise_shapes(g.config.resolution))
    noise = [golden.nhwc(given[f"in/noise{i}"]) for i in range(count)]
    images = g(given["in/z"], golden.labels(given), noise=noise)
    given.check("out/images/explicit_noise", golden.nchw(images))


@pytest.mark.parametrize("lod", [0, 0.5, 1, 1.25])
def test_official_revised_generator_grows(lod):
    case = "v2_G_r32_revised"
    given, g = golden.load(case), golden.generator(case)
    r, alpha = golden.stage(32, lod)
    images = golden.nchw(g(given["in/z"], noise="const", resolution=r, alpha=alpha))
    images = images.repeat(32 // r, axis=2).repeat(32 // r, axis=3)
    given.check(f"out/lod/recursive/{lod}", images)


@pytest.mark.parametrize("case", D_CASES)
def test_official_scores_and_gradients(case):
    given, d = golden.load(case), golden.discriminator(case)
    images, labels = tf.constant(golden.nhwc(given["in/images"])), golden.labels(given)
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = d(images, labels)
    given.check("out/scores_all", scores)
    gradient = tape.gradient(scores, images)
    given.check_gradient("out/grad_images", golden.nchw(gradient))
    three = d(images[:3], None if labels is None else labels[:3])
    given.check("out/scores/first_3", three)


@pytest.mark.parametrize("lod", [0, 0.5, 1, 1.25])
def test_official_revised_discriminator_grows(lod):
    case = "v2_Dprog_r32"
    given, d = golden.load(case), golden.discriminator(case)
    r, alpha = golden.stage(32, lod)
    images = tf.constant(golden.nhwc(given["in/images"]))
    while images.shape[1] > r:
        images = convolutions.downsample(images)
    given.check(f"out/scores/recursive/{lod}", d(images, alpha=alpha))


def test_config_f_has_the_official_number_of_weights():
    """Counted from shapes alone: the network itself would take a minute to draw."""
    c = GeneratorConfig(architecture="skip", fmap_base=16384)
    total = c.fmaps(4) * 16 + 8 * (512 * 512 + 512)
    below = None
    for r in (4, 8, 16, 32, 64, 128, 256, 512, 1024):
        n = c.fmaps(r)
        for inputs in ([below] if below else []) + [n]:
            total += 9 * inputs * n + 513 * inputs + 1 + n  # kernel, style, noise, bias
        total += 3 * n + 513 * n + 3  # picture
        below = n
    assert total == 30_370_060  # what the official code counts
    small = dataclasses.replace(c, resolution=32, fmap_base=256, fmap_max=16)
    g = Generator(small)
    assert len(g.trainable_weights) == len(names.name_map(g)) - 1 - 7


def test_a_network_that_does_not_grow_draws_at_one_size():
    g = Generator(GeneratorConfig(architecture="residual", resolution=8, fmap_max=8))
    with pytest.raises(ValueError, match="draws at 8 only"):
        g(tf.zeros([1, 512]), resolution=4)


# ---------------------------------------------------------------------------
# Losses: there, what an iteration has anyhow is "loss", what it may leave out is "reg"

CASE_OF_LOSSES = "v2_loss_r16"


def r1(score, images, gamma):
    return gamma * losses.zero_centered(losses.scores_and_gradients(score, images)[1])


def gradient_penalty(score, reals, fakes):
    mix = tf.constant(golden.load(CASE_OF_LOSSES)["in/mixing_factors"])
    return 10.0 * losses.gradient_penalty(score, reals, fakes, mix)[0]


def wasserstein(real, fake):
    return losses.wasserstein(real, fake) + 0.001 * losses.drift(real)


# Official name -> loss of two scores, penalty on D, real and generated pictures.
D_LOSSES = {
    "D_logistic_r1": (losses.logistic, lambda d, reals, fakes: r1(d, reals, 10.0)),
    "D_logistic_r2": (losses.logistic, lambda d, reals, fakes: r1(d, fakes, 4.0)),
    "D_wgan_gp": (wasserstein, gradient_penalty),
}


def check_weight_gradients(prefix, tape, values, network):
    """The gradient of the values' mean, weight by weight."""
    case, weights = golden.load(CASE_OF_LOSSES), network.trainable_variables
    zero = tf.UnconnectedGradients.ZERO
    sources = [w.value for w in weights]
    found = tape.gradient(values, sources, unconnected_gradients=zero)
    found = dict(zip([w.path for w in weights], found, strict=True))
    slots = names.name_map(network)
    kept = case.names(prefix)
    assert set(kept) == {n for n, slot in slots.items() if slot.weight.trainable}
    for name in kept:
        gradient = slots[name].to_official(found[slots[name].weight.path].numpy())
        case.check_gradient(f"{prefix}{name}", gradient)


@pytest.mark.parametrize("name", D_LOSSES)
def test_official_discriminator_losses(name):
    case, (loss_of, penalty_of) = golden.load(CASE_OF_LOSSES), D_LOSSES[name]
    g, d = golden.generator(CASE_OF_LOSSES), golden.discriminator(CASE_OF_LOSSES)
    reals = tf.constant(golden.nhwc(case["in/reals"]))
    fakes = g(case["in/z"], noise="const")
    with tf.GradientTape(persistent=True) as tape:
        loss, penalty = loss_of(d(reals), d(fakes)), penalty_of(d, reals, fakes)
        means = tf.reduce_mean(loss), tf.reduce_mean(penalty)
    for kind, value, mean in zip(("loss", "reg"), (loss, penalty), means, strict=True):
        _, shape, _ = case.flat[f"out/{kind}_raw/{name}"]
        case.check(f"out/{kind}_raw/{name}", tf.reshape(value, shape))
        case.check(f"out/{kind}_mean/{name}", mean)
        check_weight_gradients(f"out/grad_{kind}/{name}/", tape, mean, d)


def test_official_generator_loss():
    case, name = golden.load(CASE_OF_LOSSES), "G_logistic_ns"
    g, d = golden.generator(CASE_OF_LOSSES), golden.discriminator(CASE_OF_LOSSES)
    with tf.GradientTape() as tape:
        loss = losses.logistic_nonsaturating(d(g(case["in/z"], noise="const")))
        mean = tf.reduce_mean(loss)
    case.check(f"out/loss_raw/{name}", loss)
    check_weight_gradients(f"out/grad_loss/{name}/", tape, mean, g)


def test_every_official_loss_is_there():
    found = golden.load(CASE_OF_LOSSES).names("out/reg_mean/")
    paths = {f"G_logistic_ns_pathreg{end}" for end in ("", "_shrink1")}
    assert set(found) == set(D_LOSSES) | paths


def path_penalty(case, g, z, noise, decay):
    """As the step does it, without the step: penalty [N, 1], running mean."""
    ws, before = g.broadcast(g.mapping(z)), case["in/pl_mean"]
    _, lengths = losses.path_lengths(
        lambda ws: g.synthesis(ws, noise="const"), ws, lambda _: noise
    )
    mean = before + decay * (tf.reduce_mean(lengths) - before)
    return tf.square(lengths - mean), mean


@pytest.mark.parametrize(
    "name, weight, decay", [("", 2.0, 0.01), ("_shrink1", 1.5, 0.05)]
)
def test_official_path_length(name, weight, decay):
    case, g = golden.load(CASE_OF_LOSSES), golden.generator(CASE_OF_LOSSES)
    z = case["in/z" if name else "in/z_pl"]
    noise = golden.nhwc(case["in/pl_noise"])[: len(z)]
    with tf.GradientTape() as tape:
        penalty, mean = path_penalty(case, g, z, noise, decay)
        total = weight * tf.reduce_mean(penalty)
    name = f"G_logistic_ns_pathreg{name}"
    case.check(f"out/reg_raw/{name}", weight * penalty[:, 0])
    case.check(f"out/pl_mean_after/{name}", mean)
    check_weight_gradients(f"out/grad_reg/{name}/", tape, total, g)


# ---------------------------------------------------------------------------
# Three whole steps of the official training

CASE = "v2_train_r16"


def official_run():
    case = golden.load(CASE)
    lazy = {"lazy": True, "pl_weight": 2.0, "g_reg_interval": 4, "d_reg_interval": 16}
    changes = {f"loss.{k}": v for k, v in lazy.items()}
    changes |= {"loss.r1_gamma": case.meta["gamma"], "ema_kimg": 10.0}
    config = TrainConfig(
        golden.config_of(case, "G"),
        golden.config_of(case, "D"),
        schedule=ScheduleConfig(initial_resolution=16),
    )
    config = update(config, changes)
    nets = make_networks(config)
    parts = {"G": nets.generator, "D": nets.discriminator, "Gs": nets.average}
    for name, network in parts.items():
        names.assign_official(network, case.variables(name))
    return case, config, nets, parts


def test_official_training_steps():
    """G, path length, average, D, R1; both regularized at steps 0 and 2 of three."""
    case, config, nets, parts = official_run()
    step = tiny.make_step(nets, config, resolution=16, batch=8)
    cutoff = tf.constant(config.generator.num_layers)

    def inputs(z):
        return StepInputs(z, z, cutoff, tf.zeros([len(z), 0]), noise="const")

    for k in range(3):
        keys = [n.split("/")[-1] for n in case.names(f"in/step{k}/")]
        given = {n: case[f"in/step{k}/{n}"] for n in keys}
        lr, p = tf.constant(given["lr"]), tf.constant(0.0)
        clock = Clock(tf.constant(8 * k, tf.int64), 1.0, lr, p)
        reals = tf.constant(golden.nhwc(given["reals"]))
        told = step.update_generator(inputs(given["zg"]), clock)
        if k % 2 == 0:
            noise = tf.constant(golden.nhwc(given["pn"]))
            zpl = inputs(given["zpl"])
            told |= step.regularize_generator(zpl, clock, noise)
        step.update_average()
        d_inputs = inputs(given["zd"])
        told |= step.update_discriminator(reals, d_inputs, clock)
        if k % 2 == 0:
            told |= step.regularize_discriminator(reals, d_inputs, clock)
            case.check(f"out/step{k}/G_reg", 2 * told["penalty/path_length"].numpy())
            case.check(f"out/step{k}/D_reg", 10 * told["penalty/r1"].numpy())
        case.check(f"out/step{k}/G_loss", told["loss/g"].numpy())
        case.check(f"out/step{k}/D_loss", told["loss/d"].numpy())
        case.check(f"out/step{k}/pl_mean", nets.path_length.numpy())
        if k in (0, 2):  # only these are in the file
            for name, network in parts.items():
                check_changes(case, k, name, network)


def test_lazy_rates_are_corrected_where_there_is_a_regularizer():
    base = update(TrainConfig(), {"loss.lazy": True, "loss.d_reg_interval": 16})
    assert base.loss.lazy_rates == (1.0, 16 / 17)
    both = update(base, {"loss.pl_weight": 2.0, "loss.g_reg_interval": 4})
    assert both.loss.lazy_rates == (4 / 5, 16 / 17)
    assert update(both, {"loss.r1_gamma": 0.0}).loss.lazy_rates == (4 / 5, 1.0)
    assert [Regularization.at(both.loss, i) for i in (0, 4, 5)] == [
        Regularization(True, True),
        Regularization(False, True),
        Regularization(False, False),
    ]
