"""official.py: every weight has one official name, and its layout turns both ways."""

import functools

import numpy as np
import pytest
from golden import cases, discriminator, generator, load

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import names

SMALL = {"resolution": 16, "fmap_base": 64, "fmap_max": 8}
SMALL_G = SMALL | {"z_dim": 6, "w_dim": 6, "mapping_width": 6}

NETWORKS = {
    "g": lambda: Generator(GeneratorConfig(**SMALL_G)),
    "g labels": lambda: Generator(GeneratorConfig(**SMALL_G, classes=3)),
    "g traditional": lambda: Generator(
        GeneratorConfig(**SMALL_G, use_styles=False, const_input=False, use_noise=False)
    ),
    "g no mapping": lambda: Generator(GeneratorConfig(**SMALL_G, mapping_layers=0)),
    "d": lambda: Discriminator(DiscriminatorConfig(**SMALL)),
    "d labels": lambda: Discriminator(DiscriminatorConfig(**SMALL, classes=3)),
    "d no stddev": lambda: Discriminator(DiscriminatorConfig(**SMALL, mbstd_group=1)),
}

# What the official networks have and ours do not: their stage is an argument here.
STAGE = {"lod", "G_synthesis/lod"}


@functools.cache
def network_of(name):
    return NETWORKS[name]()


@pytest.fixture(params=NETWORKS)
def network(request):
    return network_of(request.param)


@pytest.mark.parametrize("fused", ["auto", True, False])
def test_every_weight_has_exactly_one_name(network, fused):
    slots = names.name_map(network, fused)
    mapped = [slot.weight.path for slot in slots.values()]
    assert sorted(mapped) == sorted(w.path for w in network.weights)
    assert len(set(mapped)) == len(mapped)


@pytest.mark.parametrize("fused", ["auto", True])
def test_layouts_turn_both_ways(network, fused):
    rng = np.random.default_rng(0)
    for name, slot in names.name_map(network, fused).items():
        ours = rng.normal(size=slot.weight.shape).astype("f4")
        there = slot.to_official(ours)
        np.testing.assert_array_equal(slot.to_ours(there), ours, err_msg=name)
        again = slot.to_official(slot.to_ours(there))
        np.testing.assert_array_equal(again, there, err_msg=name)


@pytest.mark.parametrize("case", cases("v1_G") + cases("v1_D"))
def test_names_and_shapes_are_the_official_ones(case):
    net = case[3]
    ours = generator(case) if net == "G" else discriminator(case)
    there = {n: a.shape for n, a in load(case).variables(net).items()}
    slots = names.name_map(ours)
    assert set(slots) == set(there) - STAGE
    for name, slot in slots.items():
        turned = slot.to_official(np.zeros(slot.weight.shape, "f4"))
        assert turned.shape == there[name], name


def test_assign_sets_every_weight(network):
    slots, rng = names.name_map(network), np.random.default_rng(1)
    arrays = {
        name: slot.to_official(rng.normal(size=slot.weight.shape).astype("f4"))
        for name, slot in slots.items()
    }
    assert names.assign_official(network, arrays) == []
    for name, slot in slots.items():
        np.testing.assert_array_equal(
            slot.to_official(slot.weight.numpy()), arrays[name], err_msg=name
        )


def test_assign_names_what_is_missing_and_what_is_left():
    network = network_of("d")
    slots = names.name_map(network)
    arrays = {n: s.to_official(s.weight.numpy()) for n, s in slots.items()}
    extra = arrays | {"lod": np.zeros([]), "G_synthesis/lod": 0.0, "strange": 1.0}
    assert names.assign_official(network, extra) == ["strange"]
    del arrays["8x8/Conv0/bias"]
    with pytest.raises(KeyError, match="8x8/Conv0/bias"):
        names.assign_official(network, arrays)


def flipped(network, fused):
    """Names whose kernel is turned by 180 degrees."""
    found = set()
    for name, slot in names.name_map(network, fused).items():
        ours = np.random.default_rng(0).normal(size=slot.weight.shape)
        turned = slot.to_official(ours)
        if name.endswith("weight") and turned.ndim == 4 and (turned != ours).any():
            np.testing.assert_array_equal(turned, ours[::-1, ::-1])
            found.add(name)
    return found


def test_only_fused_up_convolutions_are_turned():
    large = {"resolution": 256, "fmap_base": 256, "fmap_max": 4}
    g = Generator(GeneratorConfig(**SMALL_G | large))
    up = {r: f"G_synthesis/{r}x{r}/Conv0_up/weight" for r in (8, 16, 32, 64, 128, 256)}
    assert flipped(g, "auto") == {up[128], up[256]}
    assert flipped(g, True) == set(up.values())
    assert flipped(g, False) == set()
    assert flipped(Discriminator(DiscriminatorConfig(**large)), True) == set()


def test_dense_layers_turn_channels_first_into_channels_last():
    """Row c h w there is row h w c here; columns alike for the dense start."""
    d = network_of("d")
    rows = np.arange(8 * 16)[:, None] * np.ones([1, 8])
    ours = names.name_map(d)["4x4/Dense0/weight"].to_ours(rows)
    places = np.arange(8 * 16).reshape(8, 4, 4).transpose(1, 2, 0).ravel()
    np.testing.assert_array_equal(ours[:, 0], places)
    g = network_of("g traditional")
    columns = np.ones([6, 1]) * np.arange(8 * 16)
    ours = names.name_map(g)["G_synthesis/4x4/Dense/weight"].to_ours(columns)
    np.testing.assert_array_equal(ours[0], places)


def test_number_of_names_at_1024():
    """145 official variables of the generator at 1024, less its two `lod`; 57 - 1."""
    thin = {"fmap_base": 1024, "fmap_max": 2}
    g = GeneratorConfig(z_dim=4, w_dim=4, mapping_width=4, **thin)
    assert len(names.name_map(Generator(g))) == 143
    d = DiscriminatorConfig(**thin)
    assert len(names.name_map(Discriminator(d))) == 56
