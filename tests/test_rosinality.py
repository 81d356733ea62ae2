"""official/rosinality.py: the `.pt` files of PyTorch's editing tools open exactly."""

import argparse

import numpy as np
import pytest
import torch_files as writer

from stylegan_tf import models
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.errors import UserError
from stylegan_tf.official import networks, rosinality, torch_names

RNG = np.random.default_rng(0)
SIZES = {"resolution": 16, "fmap_base": 64, "fmap_max": 12}
G = GeneratorConfig(
    architecture="skip",
    z_dim=10,
    w_dim=10,
    mapping_width=10,
    mapping_layers=3,
    **SIZES,
)
D = DiscriminatorConfig(architecture="residual", head_width=12, **SIZES)


def state_of(c, seed: int) -> dict[str, np.ndarray]:
    """A state dict as the program that trains such networks writes it."""
    rng = np.random.default_rng(seed)
    found = {
        e.name: rng.normal(size=e.shape).astype("f4")
        * (100 if e.name.startswith("style") else 1)  # by the learning rate of 0.01
        for e in rosinality.state_entries(c)
    }
    found.pop("latent_avg", None)
    return found | rosinality.state_filters(c)


@pytest.fixture
def write(tmp_path):
    def written(content: dict, layout=writer.archive, name="x.pt"):
        path = tmp_path / name
        path.write_bytes(layout(content))
        return path

    return written


@pytest.fixture(scope="module")
def states():
    average = RNG.normal(size=10).astype("f4")
    return {"g_ema": state_of(G, 1), "g": state_of(G, 2), "d": state_of(D, 3)}, average


def checkpoint(states) -> dict:
    parts, average = states
    made = {key: writer.tensors(part) for key, part in parts.items()}
    for i, (key, part) in enumerate(made.items()):  # one archive: keys of its own
        for tensor in part.values():
            tensor.storage.key = f"{i}{tensor.storage.key}"
        made[key] = part
    key = "999"
    made["latent_avg"] = writer.Tensor(writer.Storage(key, average), average.shape)
    return made


@pytest.mark.parametrize("layout", [writer.archive, writer.legacy])
def test_a_checkpoint_has_its_three_networks(states, write, layout):
    path = write(checkpoint(states), layout)
    g, d, gs = models.load_networks(path)
    assert (g.config, d.config, gs.config) == (G, D, G)
    np.testing.assert_array_equal(gs.w_avg, states[1])
    kernel = states[0]["g_ema"]["convs.1.conv.weight"][0].transpose(2, 3, 1, 0)
    np.testing.assert_array_equal(gs.synthesis.block8.conv1.conv.kernel, kernel)
    np.testing.assert_array_equal(
        g.synthesis.noise2.numpy()[0, ..., 0], states[0]["g"]["noises.noise_2"][0, 0]
    )
    reports = networks.load_pickle(path).reports
    assert [r.absent for r in reports] == [[], [], []]
    assert models.network_configs(path) == (G, D)


def test_the_two_layouts_of_pytorch_agree():
    """The official layout, whose images are checked, and this one: the same weights.

    Kernels behind a doubling are turned in both; they differ in dimensions of one, and
    in names.
    """
    theirs = {e.weight: e for e in torch_names.entries(G)}
    for entry in rosinality.state_entries(G):
        official = theirs.pop(entry.weight)
        x = RNG.normal(size=official.shape).astype("f4")
        flat = x.reshape(entry.shape)  # dimensions of one come and go
        np.testing.assert_array_equal(entry.to_ours(flat), official.to_ours(x))
        np.testing.assert_allclose(entry.to_theirs(official.to_ours(x)), flat, 1e-5)
    assert not theirs
    theirs = {e.weight: e for e in torch_names.entries(D)}
    for entry in rosinality.state_entries(D):
        official = theirs.pop(entry.weight)
        x = RNG.normal(size=official.shape).astype("f4")
        np.testing.assert_array_equal(entry.to_ours(x), official.to_ours(x))
        np.testing.assert_array_equal(entry.to_theirs(official.to_ours(x)), x)
    assert not theirs


def test_a_training_s_checkpoint_is_read_past_its_optimizers(states, write):
    content = checkpoint(states)
    del content["latent_avg"]
    step = writer.Tensor(writer.Storage("5000", np.ones(4, "f4")), (4,))
    content["g_optim"] = {
        "state": {0: {"step": 7, "exp_avg": step}},
        "param_groups": [{"lr": 0.002, "betas": (0.0, 0.99), "params": [0]}],
    }
    content["args"] = argparse.Namespace(size=16, latent=10, ckpt=None)
    content["ada_aug_p"] = 0.25
    path = write(content)
    g, d, gs = models.load_networks(path)
    snapshot = networks.torch_snapshot(path)
    assert snapshot is not None and snapshot.augment_p == 0.25
    again = models.load(path)  # the mean of w is estimated, the same each time
    np.testing.assert_array_equal(gs.w_avg, again.w_avg)
    z = np.random.default_rng(5).normal(size=(4000, 10)).astype("f4")
    mean = np.mean(gs.mapping(z), axis=0)
    assert np.abs(gs.w_avg - mean).max() < 0.2 * np.std(gs.mapping(z), axis=0).max()
    report = networks.load_pickle(path).reports[-1]
    assert report.absent == ["latent_avg"]


def test_a_generator_alone_and_files_without_noise_maps(states, write):
    bare = {k: x for k, x in states[0]["g_ema"].items() if not k.startswith("noises")}
    path = write(writer.tensors(bare))
    g = models.load(path)
    np.testing.assert_array_equal(
        g.synthesis.noise1, models.load(path).synthesis.noise1
    )
    spread = {f"module.{k}": x for k, x in bare.items()}
    other = models.load(write(writer.tensors(spread), name="y.pth"))
    z = RNG.normal(size=(2, 10)).astype("f4")
    np.testing.assert_array_equal(g(z, noise="none"), other(z, noise="none"))


SPOILED = {
    "another tensor": ({"convs.0.gate.weight": np.ones(3, "f4")}, "convs.0.gate"),
    "another blur": ({"convs.0.conv.blur.kernel": np.ones((4, 4), "f4")}, "filter"),
    "another width": ({"convs.1.conv.weight": np.ones((1, 9, 8, 3, 3), "f4")}, "is ["),
    "a name that clears the screen": ({"a\x1b[2J\nb.c": np.ones(3, "f4")}, "has a?[2J"),
    "a long name": ({"a." * 9999: np.ones(3, "f4")}, "has a.a.a."),
    "no constant": ({"input.input": None}, "no StyleGAN2"),
    "a missing bias": ({"to_rgbs.0.bias": None}, "missing"),
    "widths of another table": (
        {"convs.2.conv.weight": np.ones((1, 5, 8, 3, 3), "f4")},
        "halve",
    ),
}


@pytest.mark.parametrize("case", SPOILED)
def test_what_does_not_explain_every_tensor_is_refused(states, write, case):
    changes, words = SPOILED[case]
    state = states[0]["g_ema"] | changes
    path = write(writer.tensors({k: x for k, x in state.items() if x is not None}))
    with pytest.raises(UserError) as caught:
        models.load(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and words in text
    assert text.isprintable() and len(text) < 500
