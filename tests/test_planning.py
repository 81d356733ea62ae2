"""planning.py: operations and memory counted from the configuration alone."""

import pytest
import tiny

from stylegan_tf import presets
from stylegan_tf.config import levels, update
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training import planning

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
    assert planning.generator_macs(CONFIG.generator, 16) == total


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
    assert planning.discriminator_macs(CONFIG.discriminator, 16) == total


def test_penalties_cost_and_lazy_ones_less():
    def cost(changes):
        return planning.iteration_macs(update(CONFIG, changes), 16)

    none = cost({"loss.r1_gamma": 0.0})
    g = planning.generator_macs(CONFIG.generator, 16)
    d = planning.discriminator_macs(CONFIG.discriminator, 16)
    assert none == 4 * g + 8 * d
    r1 = cost({"loss.r1_gamma": 1.0})
    lazy = cost({"loss.r1_gamma": 1.0, "loss.d_reg_interval": 4})
    assert r1 - none == pytest.approx(4 * (lazy - none)) and lazy > none
    assert cost({"loss.gp_weight": 1.0, "loss.r1_gamma": 0.0}) > r1


def test_what_remains_shrinks_to_nothing():
    left = [planning.remaining_macs(CONFIG, n) for n in (0, 4, 8, 16, 72, 76, 80, 90)]
    assert left[0] - left[1] == pytest.approx(left[1] - left[2])
    assert left == sorted(left, reverse=True)
    assert left[-2:] == [0, 0]
    last = 4 * planning.iteration_macs(CONFIG, 16)
    assert left[5] == pytest.approx(last)


def test_memory_follows_batch_devices_and_precision():
    def memory(changes=None, devices=1):
        config = update(CONFIG, changes or {})
        return planning.memory_bytes(config, COUNTS, 16, devices)

    whole = memory()
    assert whole["weights"] == 4 * 2500
    assert whole["optimizer"] == 8 * 1500
    activations = whole["activations"]
    for other in (
        memory({"accumulate": 2}),
        memory({"precision": "bfloat16"}),
        memory({"schedule.batch": 2}),
        memory(devices=2),
    ):
        assert other["activations"] == pytest.approx(activations / 2)
        assert other["weights"] == whole["weights"]


def test_the_papers_network_fits_what_it_was_made_for():
    """A 16 GB device trained four pictures of 1024 x 1024 at a time."""
    config = presets.make("paper1024")
    millions = {"generator": 26_200_000, "discriminator": 23_100_000}
    total = sum(planning.memory_bytes(config, millions, 1024).values())
    assert 4e9 < total < 16e9
