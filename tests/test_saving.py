"""official/saving.py, export/single.py: what is written comes back the same, or is not
kept."""

import json

import ada_golden
import numpy as np
import pytest
import tiny
from launching import call
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from stylegan_tf import export, models
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, Growth
from stylegan_tf.errors import UserError
from stylegan_tf.formats import safetensors_files
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import rosinality, saving

SIZES = {"resolution": 16, "fmap_base": 64, "fmap_max": 12}
WIDTHS = {"z_dim": 10, "w_dim": 10, "mapping_width": 10, "mapping_layers": 2}
G = {"architecture": "skip", **SIZES, **WIDTHS}
D = {"architecture": "residual", **SIZES}


def shaken(network):
    """Random numbers in every weight that is not random from the start."""
    rng = np.random.default_rng(0)
    for v in network.weights:
        if np.ptp(v.numpy()) == 0:
            v.assign(v.numpy() + 0.3 * rng.normal(size=v.shape))
    return network


@pytest.fixture(scope="module")
def pair():
    g = shaken(Generator(GeneratorConfig(**G)))
    return g, shaken(Discriminator(DiscriminatorConfig(**D)))


def same_weights(a, b) -> None:
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_allclose(x.numpy(), y.numpy(), 1e-6, 1e-6)


# ---------------------------------------------------------------------------
# Our names


def test_a_generator_as_safetensors_opens_everywhere(tmp_path):
    g = shaken(Generator(tiny.config().generator, Growth(4, 0.5)))
    path = tmp_path / "x.safetensors"
    export.save_generator(g, path)
    again = models.load(path)
    same_weights(g, again)
    assert models.growth_of(path) == again.growth == (4, 0.5)
    assert models.network_configs(path) == (g.config, None)
    assert models.load_networks(path)[:2] == (None, None)
    arrays = load_file(path)
    kernel = g.synthesis.block8.conv1.kernel
    np.testing.assert_array_equal(arrays["synthesis/block8/conv1/kernel"], kernel)


def test_stylegan3_as_safetensors_draws_the_same(tmp_path):
    name = ada_golden.FOLDER / "sg3t_r16_cond3_Gema_only.pkl"
    out = tmp_path / "x.safetensors"
    code, said, error = call("convert", f"--model={name}", f"--out={out}")
    assert code == 0, error
    assert "generate.py" in said
    for a, b in zip(models.load(name).weights, models.load(out).weights, strict=True):
        np.testing.assert_array_equal(a, b)


def spoil_settings(path, change) -> None:
    with safe_open(path, "np") as file:
        about = file.metadata()
    settings = json.loads(about[models.GENERATOR_KEY])
    about[models.GENERATOR_KEY] = change(settings)
    save_file(load_file(path), path, about)


BAD = {
    "no JSON": lambda s: "{",
    "no settings": lambda s: "[1]",
    "unknown settings": lambda s: json.dumps(s | {"config": {"depth": 3}}),
    "no sizes": lambda s: json.dumps({"config": {"resolution": "8"}}),
    "other sizes": lambda s: json.dumps(s | {"config": s["config"] | {"w_dim": 9}}),
    "no growth": lambda s: json.dumps(s | {"level": "4"}),
}


@pytest.mark.parametrize("case", BAD)
def test_settings_that_are_not_the_weights_are_refused_in_one_line(tmp_path, case):
    path = tmp_path / "x.safetensors"
    export.save_generator(Generator(tiny.config().generator), path)
    spoil_settings(path, BAD[case])
    with pytest.raises(UserError) as caught:
        models.load(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_damaged_safetensors_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    export.save_generator(Generator(tiny.config().generator), path)
    data = path.read_bytes()
    for bad in (b"", data[:9], data[:-1], b"\xff" * 8 + data[8:], data[:40] + b"{"):
        path.write_bytes(bad)
        with pytest.raises(UserError, match="cannot be read as safetensors"):
            models.load(path)


def test_the_library_is_named_where_it_is_missing(tmp_path, monkeypatch):
    (tmp_path / "x.safetensors").write_bytes(b"")
    monkeypatch.setitem(__import__("sys").modules, "safetensors.numpy", None)
    for use in (
        lambda: models.load(tmp_path / "x.safetensors"),
        lambda: safetensors_files.write_safetensors(tmp_path / "y", {}, {}),
    ):
        with pytest.raises(UserError, match="pip install"):
            use()


# ---------------------------------------------------------------------------
# Layouts of others


def test_the_layout_of_editing_tools_comes_back(tmp_path, pair):
    g, d = pair
    files = saving.save_state_dicts(tmp_path / "x.safetensors", g, d)
    assert [f.name for f in files] == [
        "x.safetensors",
        "x-discriminator.safetensors",
    ]
    again = models.load(files[0])
    same_weights(g, again)
    z = np.random.default_rng(0).normal(size=(2, 10)).astype("f4")
    a, b = (x(z, psi=0.7, noise="const").numpy() for x in (g, again))
    np.testing.assert_allclose(a, b, atol=1e-4)
    same_weights(d, saving.networks.load_pickle(files[1]).networks["D"])
    names = set(load_file(files[0]))
    assert names >= {"latent_avg", "input.input", "convs.0.conv.blur.kernel"}
    with safe_open(files[0], "np") as file:
        about = file.metadata()
    assert (about["size"], about["n_mlp"], about["style_dim"]) == ("16", "2", "10")


@pytest.mark.parametrize("name", ["x.safetensors", "x.pkl"])
def test_noise_that_learns_slowly_is_written_as_it_is_used(tmp_path, name):
    g, path = shaken(Generator(GeneratorConfig(**G, noise_lrmul=0.1))), tmp_path / name
    if name.endswith(".pkl"):
        saving.save_checked_pickle(path, None, None, g)
    else:
        saving.save_state_dicts(path, g)
    again = saving.networks.load_pickle(path).networks["Gs"]
    assert again.config.noise_lrmul == 1
    a, b = (x.synthesis.block8.conv1.noise.strength().numpy() for x in (g, again))
    assert a != 0
    np.testing.assert_allclose(a, b, 1e-6)


REFUSED = {
    "architecture": {"architecture": "residual"},
    "classes": {"classes": 2},
    "start_shape": {"start_shape": (4, 6)},
    "z_dim": {"z_dim": 12},
    "mapping_lrmul": {"mapping_lrmul": 0.1},
    "resample_filter": {"resample_filter": (1, 2, 1)},
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_the_layout_lacks_is_refused_by_name(tmp_path, name):
    g = Generator(GeneratorConfig(**G | REFUSED[name]))
    with pytest.raises(UserError, match=name):
        saving.save_state_dicts(tmp_path / "x.safetensors", g)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("clamp", "kept"), [(256.0, True), (0.01, False)])
def test_a_clamp_is_left_out_only_where_it_does_nothing(tmp_path, clamp, kept):
    path = tmp_path / "x.safetensors"
    g = shaken(Generator(GeneratorConfig(**G, conv_clamp=clamp)))
    if kept:
        saving.save_state_dicts(path, g)
    else:
        with pytest.raises(UserError, match="would not be the model's"):
            saving.save_state_dicts(path, g)
    assert path.exists() == kept and len(list(tmp_path.iterdir())) == kept


@pytest.mark.parametrize("layout", ["pickle", "state dict"])
def test_a_file_that_comes_back_otherwise_is_not_kept(
    tmp_path, pair, monkeypatch, layout
):
    right = saving.networks.load_pickle

    def wrong(path):
        found = right(path)
        found.networks["Gs"].w_avg.assign_add(np.ones(10))
        return found

    monkeypatch.setattr(saving.networks, "load_pickle", wrong)
    with pytest.raises(UserError, match="not written"):
        if layout == "pickle":
            saving.save_checked_pickle(tmp_path / "x.pkl", None, None, pair[0])
        else:
            saving.save_state_dicts(tmp_path / "x.safetensors", pair[0])
    assert list(tmp_path.iterdir()) == []


def test_convert_writes_each_kind_by_its_name(tmp_path, pair):
    model = tmp_path / "g.keras"
    pair[0].save(model)
    for name, layout in (
        ("a.keras", "own"),
        ("b.safetensors", "rosinality"),
        ("c.pkl", "own"),
    ):
        flags = [f"--model={model}", f"--out={tmp_path / name}"]
        flags += [] if layout == "own" else [f"--layout={layout}"]
        code, said, error = call("convert", *flags)
        assert code == 0 and name in said, error
        same_weights(pair[0], models.load(tmp_path / name))
    for flags, words in (
        (["--out=x.onnx"], "let its name end"),
        (["--out=x.pkl", "--layout=rosinality"], "is of .safetensors"),
        ([f"--out={tmp_path}.safetensors/..", "--layout=own"], "--layout"),
    ):
        code, _, error = call("convert", f"--model={model}", *flags)
        assert code and words in error, error


def test_states_are_those_of_the_list(pair):
    """Every tensor that is written is one that is read."""
    for network in pair:
        wanted = {e.name: e.shape for e in rosinality.state_entries(network.config)}
        state = rosinality.state_dict_of(network)
        assert {k: state[k].shape for k in wanted} == wanted
