"""The highest resolutions in bfloat16, everything below them in float32."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from small import random, shaken

from stylegan_tf.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    TrainConfig,
    cost,
    flat,
    presets,
    settings_fingerprint,
    update,
)
from stylegan_tf.config.networks import matching_discriminator
from stylegan_tf.config.stylegan3 import StyleGAN3Config
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.equalized import EqualizedConv2D, EqualizedDense
from stylegan_tf.networks.generator import Generator
from stylegan_tf.runs import rundir
from stylegan_tf.training.build import make_networks
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.passes import Clock
from stylegan_tf.training.step import METRICS

FAST = "mixed_bfloat16"
G = GeneratorConfig(
    resolution=32,
    half_resolutions=2,
    z_dim=6,
    w_dim=6,
    mapping_width=6,
    mapping_layers=2,
    fmap_base=64,
    fmap_max=4,
    conv_clamp=256.0,
)
D = DiscriminatorConfig(
    resolution=32, half_resolutions=2, fmap_base=64, fmap_max=4, conv_clamp=256.0
)


def twins(cls, config):
    """A network in float32, and one of the same weights in both precisions."""
    exact, mixed = shaken(cls(config)), cls(config, dtype=FAST)
    mixed.set_weights(exact.get_weights())
    return exact, mixed


def close(y, expected):
    """As near as bfloat16 comes, and not in float32 throughout."""
    assert y.dtype == expected.dtype == tf.float32
    off, size = (np.sqrt(np.mean(np.square(x))) for x in (y - expected, expected))
    assert 0 < off < 0.03 * size


@pytest.fixture
def types(monkeypatch):
    """Weight -> type of the arithmetic, of every layer that is called."""
    found = {}
    for cls in (EqualizedConv2D, EqualizedDense):

        def recorded(self, whole=cls._scaled_kernel):
            kernel = whole(self)
            found[self.kernel.path] = kernel.dtype
            return kernel

        monkeypatch.setattr(cls, "_scaled_kernel", recorded)
    return found


def check_types(types):
    """bfloat16 at 16 and 32 but for toRGB, float32 elsewhere; both are there."""
    for path, dtype in types.items():
        r = re.search(r"/(?:block|from_rgb)(\d+)/", path)
        fast = r is not None and int(r[1]) >= 16
        assert dtype == (tf.bfloat16 if fast else tf.float32), path
    assert set(types.values()) == {tf.float32, tf.bfloat16}


@pytest.mark.parametrize("architecture", ["stylegan", "revised", "skip", "residual"])
def test_each_resolution_has_its_type(architecture, types):
    alpha = 0.5 if architecture in ("stylegan", "revised") else 1.0
    exact, mixed = twins(Generator, dataclasses.replace(G, architecture=architecture))
    z, how = random(4, 6), {"alpha": alpha, "noise": "const"}
    images = exact(z, **how)
    types.clear()
    close(mixed(z, **how), images)
    check_types(types)
    ws = mixed.broadcast(mixed.mapping(z))
    maps = {r: mixed.synthesis.feature_maps(ws, r).dtype for r in (4, 8, 16, 32)}
    fast, slow = tf.bfloat16, tf.float32
    assert maps == {4: slow, 8: slow, 16: fast, 32: fast}
    exact, mixed = twins(
        Discriminator, dataclasses.replace(D, architecture=architecture)
    )
    scores = exact(images, alpha=alpha)
    types.clear()
    close(mixed(images, alpha=alpha), scores)
    check_types(types)


def test_stylegan3_by_sampling_rate():
    config = dataclasses.replace(
        G,
        architecture="stylegan3",
        half_resolutions=1,
        stylegan3=StyleGAN3Config(layers=5, critical=1),
    )
    exact, mixed = twins(Generator, config)
    z, rates = random(2, 6), {p.after.rate for p in config.filtered_layers}
    assert rates == {16, 32}
    close(mixed(z), exact(z))
    styles = tf.unstack(mixed.broadcast(mixed.mapping(z)), axis=1)
    x = mixed.synthesis.input_features(styles[0])
    for plan, w in zip(config.filtered_layers, styles[1:], strict=True):
        x = getattr(mixed.synthesis, f"layer{plan.index}")(x, w)
        fast = plan.after.rate == 32 and not plan.to_rgb
        assert x.dtype == (tf.bfloat16 if fast else tf.float32), plan


def after_a_step(precision, changes):
    """Networks and metrics after an iteration with every penalty."""
    changes = {f"{n}.half_resolutions": 2 for n in ("generator", "discriminator")} | (
        tiny.FIXED
        | {"generator.resolution": 32, "discriminator.resolution": 32}
        | {"generator.fmap_max": 4, "discriminator.fmap_max": 4}
        | {"schedule.initial_resolution": 32, "precision": precision}
        | changes
    )
    config = tiny.config(changes)
    nets = make_networks(config)
    tiny.shake(nets)
    before = tiny.state(nets)
    due = Regularization(True, bool(config.loss.pl_weight))
    step = tiny.make_step(nets, config, 32, regularization=due)
    pictures = np.random.default_rng(1).integers(0, 255, (4, 32, 32, 3), np.uint8)
    now = Clock(
        tf.constant(16, tf.int64), *map(tf.constant, (1.0, 0.001, config.augment.p))
    )
    told = step(tf.constant(pictures), tf.zeros([4, 0]), now)
    return nets, before, dict(zip(METRICS, told.numpy(), strict=True))


PATHS = {"loss.lazy": True, "loss.pl_weight": 2.0, "generator.architecture": "skip"}


@pytest.mark.parametrize(
    "changes",
    [{}, PATHS | {"discriminator.architecture": "skip"}],
    ids=["stylegan", "stylegan2"],
)
def test_a_step_trains_float32_weights(changes):
    *_, expected = after_a_step("float32", changes)
    nets, before, told = after_a_step("bfloat16", changes)
    now = tiny.state(nets)
    assert {x.dtype for x in now.values() if x.dtype.kind == "f"} == {np.dtype("f4")}
    for network in (nets.generator, nets.discriminator):
        paths = [v.path for v in network.stage_variables(32, fading=False)]
        kernels = [path for path in paths if path.endswith("kernel")]
        for path in kernels:
            assert np.any(now[path] != before[path]), path
    assert told["skipped/g"] == told["skipped/d"] == 0
    penalties = ["penalty/r1"] + ["path_length/mean"] * bool(changes)
    for name in ["loss/d", "loss/g", *penalties]:
        assert told[name] == pytest.approx(expected[name], rel=0.05), name
        assert told[name] > 0 and told[name] != expected[name]


ADA = {"augment.kind": "ada", "augment.groups": "bgcfnc", "augment.p": 0.5}
STYLEGAN3 = {
    "generator.architecture": "stylegan3",
    "discriminator.architecture": "residual",
    "generator.stylegan3.layers": 4,
    "generator.style_mixing_prob": 0.0,
    "loss.lazy": True,
}


@pytest.mark.parametrize(
    "changes",
    [
        ADA | PATHS | {"discriminator.architecture": "residual", "recompute": True},
        ADA | STYLEGAN3 | {"accumulate": 2},
    ],
    ids=["stylegan2, recomputed", "stylegan3, in rounds"],
)
def test_with_ada_all_stays_finite(changes):
    nets, before, told = after_a_step("bfloat16", changes)
    now = tiny.state(nets)
    assert all(np.isfinite(x).all() for x in now.values() if x.dtype.kind == "f")
    assert np.isfinite(list(told.values())).all()
    assert told["skipped/g"] == told["skipped/d"] == 0 < told["penalty/r1"]
    assert any(np.any(now[name] != before[name]) for name in now)


def test_files_keep_it_and_float32_checkpoints_go_on(tmp_path):
    exact, mixed = twins(Generator, G)
    z = random(2, 6)
    mixed.save(tmp_path / "g.keras")
    again = keras.saving.load_model(tmp_path / "g.keras")
    np.testing.assert_array_equal(
        again(z, noise="const"), mixed(z, noise="const").numpy()
    )
    blocks = {r: getattr(again.synthesis, f"block{r}") for r in (4, 8, 16, 32)}
    computed = {r: block.compute_dtype for r, block in blocks.items()}
    assert computed == dict.fromkeys((4, 8), "float32") | dict.fromkeys(
        (16, 32), "bfloat16"
    )
    path = tf.train.Checkpoint(g=exact).write(str(tmp_path / "checkpoint"))
    other = Generator(G, dtype=FAST)
    read = tf.train.Checkpoint(g=other).read(path)
    read.assert_existing_objects_matched().assert_consumed()
    np.testing.assert_array_equal(
        other(z, noise="const"), mixed(z, noise="const").numpy()
    )


# ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("resolution", "halves", "lowest"),
    [(1024, 4, 128), (1024, 9, 8), (32, 1, 32), (16, 4, 8), (1024, 0, 4)],
)
def test_which_resolutions(resolution, halves, lowest):
    c = GeneratorConfig(resolution=resolution, half_resolutions=halves)
    followed = [4 << i for i in range(9) if c.follows_precision(4 << i)]
    assert followed[0] == lowest
    assert matching_discriminator(c).half_resolutions == halves


def test_dcgan_has_one_precision():
    for cls in (GeneratorConfig, DiscriminatorConfig):
        with pytest.raises(UserError, match="half_resolutions=2 is not for DCGAN"):
            cls(architecture="dcgan", half_resolutions=2)


@pytest.mark.parametrize("name", ["stylegan2-ada", "stylegan3-t", "stylegan3-r"])
def test_presets_have_four_and_their_older_runs_go_on(name):
    config = presets.make_config(name, 256)
    for network in (config.generator, config.discriminator):
        assert (network.half_resolutions, network.conv_clamp) == (4, 256)
    assert config.precision == "float32"
    names = [n for n in flat(config) if n.endswith("half_resolutions")]
    older = update(config, dict.fromkeys(names, 0))
    assert len(names) == 2 and not rundir.changed_settings(older, config)
    assert settings_fingerprint(older) == settings_fingerprint(config)
    assert rundir.continued_config(older, config) == older


def test_memory_lies_between():
    def held(halves, precision="bfloat16"):
        networks = {"generator": GeneratorConfig(half_resolutions=halves)}
        config = TrainConfig(**networks, precision=precision)
        counts = {"generator": 1000, "discriminator": 1000}
        return cost.memory_bytes(config, counts, 1024)["activations"]

    assert held(0) < held(4) < held(1) < held(0, "float32") == held(4, "float32")
