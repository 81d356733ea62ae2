"""planning.py: operations and memory counted from the configuration alone."""

import dataclasses

import pytest
import tiny
from test_benchmarks import script

from stylegan_tf.config import cost, levels, presets, update
from stylegan_tf.config.networks import STYLEGAN2
from stylegan_tf.config.weights import count_weights
from stylegan_tf.networks import recompute
from stylegan_tf.networks.discriminator import Discriminator, discriminator_of
from stylegan_tf.networks.generator import Generator

plan = script("plan")
CONFIG = tiny.config(
    {"resolution": 16, "start_shape": (4, 6), "schedule.total_kimg": 0.08}
)
COUNTS = {"generator": 1000, "discriminator": 500}


def macs(kernel, height: int, width: int) -> int:
    """Multiply-adds of one tap of a kernel, at every place."""
    return height * width * kernel.shape[-2] * kernel.shape[-1]


def test_generator_macs_are_those_of_its_convolutions():
    net = Generator(CONFIG.generator)
    total = 0
    for r in levels(16):
        block, (h, w) = getattr(net.synthesis, f"block{r}"), CONFIG.generator.shape(r)
        total += 9 * macs(block.conv1.kernel, h, w)
        if r > 4:
            total += 16 * macs(block.conv0.kernel, h // 2, w // 2)
    assert cost.generator_macs(CONFIG.generator, 16) == total


def test_discriminator_macs_are_those_of_its_convolutions():
    net = Discriminator(CONFIG.discriminator)
    h, w = CONFIG.discriminator.shape(4)
    statistic = 9 * h * w * 8  # one channel more, that is not counted
    total = 9 * macs(net.head.conv.kernel, h, w) - statistic
    total += macs(net.head.dense0.kernel, 1, 1)
    for r in levels(16, first=8):
        block, (h, w) = getattr(net, f"block{r}"), CONFIG.discriminator.shape(r)
        total += 9 * macs(block.conv0.kernel, h, w)
        total += 16 * macs(block.conv1.kernel, h // 2, w // 2)
    assert cost.discriminator_macs(CONFIG.discriminator, 16) == total


@pytest.mark.parametrize("kind", STYLEGAN2)
def test_stylegan2_macs_are_those_of_its_convolutions(kind):
    """Steps of two have nine taps on the smaller side, a residual block's skip one."""
    g = dataclasses.replace(CONFIG.generator, architecture=kind)
    d = dataclasses.replace(CONFIG.discriminator, architecture=kind)
    g_net, d_net = Generator(g).synthesis, Discriminator(d)
    g_total, (h, w) = 9 * macs(g_net.block4.conv1.conv.kernel, *g.shape(4)), d.shape(4)
    d_total = 9 * macs(d_net.head.conv.kernel, h, w) - 9 * h * w * 8
    d_total += macs(d_net.head.dense0.kernel, 1, 1)
    for r in levels(16, first=8):
        block, (h, w) = getattr(g_net, f"block{r}"), g.shape(r)
        g_total += 9 * macs(block.conv1.conv.kernel, h, w)
        g_total += 9 * macs(block.conv0.conv.kernel, h // 2, w // 2)
        other = getattr(d_net, f"block{r}")
        d_total += 9 * macs(other.conv0.kernel, h, w)
        d_total += 9 * macs(other.conv1.kernel, h // 2, w // 2)
        if kind == "residual":
            g_total += macs(block.skip.kernel, h // 2, w // 2)
            d_total += macs(other.skip.kernel, h // 2, w // 2)
    assert cost.generator_macs(g, 16) == g_total
    assert cost.discriminator_macs(d, 16) == d_total


def test_dcgan_macs_are_those_of_its_convolutions():
    changes = {"architecture": "dcgan", "classes": 3}
    changes_g = changes | {"mapping_layers": 0, "w_dim": 16}
    g = dataclasses.replace(CONFIG.generator, **changes_g)
    d = dataclasses.replace(CONFIG.discriminator, **changes)
    g_net, d_net = Generator(g).synthesis, discriminator_of(d)
    g_total = macs(g_net.project.kernel, 1, 1)
    d_total = macs(d_net.score.kernel, 1, 1)
    for r in levels(16, first=8):
        h, w = g.shape(r // 2)
        g_total += 25 * macs(getattr(g_net, f"conv{r}").kernel, h, w)
        d_total += 25 * macs(getattr(d_net, f"conv{r}").kernel, h, w)
    assert cost.generator_macs(g, 16) == g_total
    assert cost.discriminator_macs(d, 16) == d_total


def test_steps_of_their_own_cost_a_pass_more():
    def macs_of(changes):
        changes = {"loss.r1_gamma": 0.0, "loss.lazy": True} | changes
        return cost.iteration_macs(update(CONFIG, changes), 16)

    g = cost.generator_macs(CONFIG.generator, 16)
    d = cost.discriminator_macs(CONFIG.discriminator, 16)
    none = macs_of({})
    r1 = {"loss.r1_gamma": 1.0, "loss.d_reg_interval": 16}
    assert macs_of(r1) - none == pytest.approx(6 * d / 16)
    r2 = {"loss.r2_gamma": 1.0, "loss.d_reg_interval": 16}
    assert macs_of(r2) - none == pytest.approx((6 * d + g) / 16)
    paths = {"loss.pl_weight": 2.0, "loss.g_reg_interval": 4, "loss.pl_shrink": 2}
    assert macs_of(paths) - none == pytest.approx(6 * g / 2 / 4)


def test_penalties_cost_and_lazy_ones_less():
    def macs_of(changes):
        return cost.iteration_macs(update(CONFIG, changes), 16)

    none = macs_of({"loss.r1_gamma": 0.0})
    g = cost.generator_macs(CONFIG.generator, 16)
    d = cost.discriminator_macs(CONFIG.discriminator, 16)
    assert none == 4 * g + 8 * d
    once = {"loss.r1_gamma": 0.0, "loss.reuse_fakes": True}
    assert macs_of(once) == 3 * g + 8 * d
    assert macs_of(once | {"accumulate": 2}) == none
    r1 = macs_of({"loss.r1_gamma": 1.0})
    lazy = macs_of({"loss.r1_gamma": 1.0, "loss.d_reg_interval": 4})
    assert r1 - none == pytest.approx(4 * (lazy - none)) and lazy > none
    assert macs_of({"loss.gp_weight": 1.0, "loss.r1_gamma": 0.0}) > r1


def test_what_remains_shrinks_to_nothing():
    left = [cost.remaining_macs(CONFIG, n) for n in (0, 4, 8, 16, 72, 76, 80, 90)]
    assert left[0] - left[1] == pytest.approx(left[1] - left[2])
    assert left == sorted(left, reverse=True)
    assert left[-2:] == [0, 0]
    last = 4 * cost.iteration_macs(CONFIG, 16)
    assert left[5] == pytest.approx(last)


def test_memory_follows_batch_devices_and_precision():
    def memory(changes=None, devices=1):
        config = update(CONFIG, changes or {})
        return cost.memory_bytes(config, COUNTS, 16, devices)

    whole = memory()
    assert whole["weights"] == 4 * 2500
    assert whole["optimizer"] == 8 * 1500
    assert whole["vectors"] == 4 * (2500 + 2 * 1500 + 1500)
    activations = whole["activations"]
    for other in (
        memory({"accumulate": 2}),
        memory({"schedule.batch": 2}),
        memory(devices=2),
    ):
        assert other["activations"] == pytest.approx(activations / 2)
        assert other["weights"] == whole["weights"]


def test_one_pass_of_g_is_held_while_d_works():
    def activations(**changes):
        config = update(CONFIG, {"schedule.batch": 4} | changes)
        return cost.memory_bytes(config, COUNTS, 16)["activations"]

    once = {"loss.reuse_fakes": True}
    g, _ = cost._kept(CONFIG, CONFIG.generator, 16)
    assert activations(**once) - activations() == pytest.approx(4 * g)
    assert activations(**once, accumulate=2) == activations(accumulate=2)


def test_bfloat16_halves_all_maps_but_statistics():
    def activations(**changes):
        config = update(CONFIG, changes)
        return cost.memory_bytes(config, COUNTS, 16)["activations"]

    whole, half = activations(), activations(precision="bfloat16")
    assert whole / 2 < half < 0.65 * whole


def test_sizes_are_those_of_recompute():
    assert (cost.LEAST, cost.LARGE) == (recompute.MIN_SIDE, recompute.CHUNKED_SIDE)


def test_recomputing_halves_the_maps_of_large_pictures():
    config = presets.make_config("paper256")
    whole, less = (
        cost.memory_bytes(update(config, {"recompute": on}), COUNTS, 256)
        for on in (False, True)
    )
    assert less["activations"] < 0.6 * whole["activations"]
    assert less["weights"] == whole["weights"]


def test_maps_that_a_derivative_keeps():
    """D at 8 x 8: from_rgb's, three of a level of 8, and so many of the slopes."""
    c = update(CONFIG, {"start_shape": (4, 4), "resolution": 8}).discriminator
    kept, slopes = cost._kept(tiny.config(), c, 8)
    floats = 8 * 8 * 8 * (1 + 3) + 4 * 4 * 8 * 3 + (8 * 8 + 4 * 4) * 3
    assert kept == 4 * floats
    assert slopes == 4 * 2 * (8 * 8 + 4 * 4) * 8


def test_the_program_grows_with_levels_and_with_steps_that_differ():
    def program(resolution=16, **changes):
        lazy = {"loss.r1_gamma": 1.0, "loss.d_reg_interval": 1} | changes
        return cost.program_bytes(update(CONFIG, lazy), resolution)

    assert program(16) - program(8) == pytest.approx(program(8) - program(4))
    assert program(16) > program(8)
    more = program(**{"loss.d_reg_interval": 4}) - program()
    assert more == cost.FUNCTION_BYTES
    assert program(**{"loss.d_reg_interval": 4, "loss.r1_gamma": 0.0}) == program()


# ---------------------------------------------------------------------------
# Time


def test_a_step_takes_its_work_or_its_overhead():
    work = 4 * cost.iteration_macs(CONFIG, 16)

    def seconds(**changes):
        device = plan.Device(**{"rate": work / 3, "overhead": 1.0} | changes)
        return plan.step_seconds(CONFIG, 16, device)

    assert seconds() == pytest.approx(3)
    assert seconds(overhead=5.0) == 5
    assert seconds(overlaps=False) == pytest.approx(4)


def test_devices_share_the_work_and_sum_gradients():
    work = 4 * cost.iteration_macs(CONFIG, 16)
    device = plan.Device(work, overhead=0.0, link=100.0)
    alone = plan.step_seconds(CONFIG, 16, device, 1, 1000)
    shared = plan.step_seconds(CONFIG, 16, device, 4, 1000)
    assert alone == pytest.approx(1)
    assert shared == pytest.approx(0.25 + 2 * 3 / 4 * 4000 / 100)


def test_stages_are_the_schedule():
    device = plan.Device(rate=1e30, overhead=2.0)
    found = plan.stages(CONFIG, device)
    assert [s.resolution for s in found] == [4, 8, 16]
    assert sum(s.kimg for s in found) == pytest.approx(0.08)
    images = 1000 * 0.08
    assert sum(s.hours for s in found) == pytest.approx(images / 4 * 2 / 3600)


def test_the_papers_network_fits_what_it_was_made_for():
    """A 16 GB device trained four pictures of 1024 x 1024 at a time."""
    config = presets.make_config("paper1024")
    millions = {"generator": 26_200_000, "discriminator": 23_100_000}
    total = sum(cost.memory_bytes(config, millions, 1024).values())
    assert 4e9 < total < 16e9


@pytest.mark.parametrize("resolution", [128, 256, 512, 1024])
def test_a_device_takes_as_many_images_as_16_gb_hold_in_bfloat16(resolution):
    config = presets.make_config("stylegan2-ada", resolution)
    config = update(config, {"precision": "bfloat16"})
    assert config.schedule.batch == min(4096 // resolution, 32)
    counts = {n: count_weights(getattr(config, n)) for n in presets.NETWORKS}
    total = sum(cost.memory_bytes(config, counts, resolution).values())
    assert 4e9 < total < 12e9


@pytest.mark.parametrize(("name", "least", "most"), [("e", 8, 17), ("f", 13, 32)])
def test_stylegan2_fits_the_devices_it_was_made_for(name, least, most):
    """Its authors report 8.6 and 13.3 GB for all that their process holds there."""
    config = presets.make_config(f"stylegan2-{name}", devices=8)
    millions = {"generator": 30_400_000, "discriminator": 29_000_000}
    total = sum(cost.memory_bytes(config, millions, 1024, 8).values())
    assert least * 1e9 < total < most * 1e9


def test_memory_of_the_architectures():
    def activations(name, **changes):
        config = update(presets.make_config(name, 64), changes)
        return cost.memory_bytes(config, COUNTS, 64)["activations"]

    batch = {"schedule.batch": 8, "schedule.batch_at": {}}
    assert activations("dcgan", **batch) < activations("stylegan2-f", **batch) / 4
    lazy, full = (
        activations("stylegan2-c", **batch),
        activations("stylegan2-b", **batch),
    )
    assert lazy < full  # R1 with one batch, not with two
    assert activations("stylegan2-d", **batch) >= lazy
