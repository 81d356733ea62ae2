"""official/networks.py: NVIDIA's pickles as our networks, and ours as pickles."""

import re
import tracemalloc

import golden
import numpy as np
import pytest
import reference
import tiny

from stylegan_tf import figures
from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig, Growth
from stylegan_tf.config.presets import LADDER
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks, tf_pickles, writing
from stylegan_tf.official.networks import network_from_state, network_to_state
from stylegan_tf.official.tf_pickles import NetworkState

SMALL = {"resolution": 16, "fmap_base": 64, "fmap_max": 8}
SMALL_G = SMALL | {"z_dim": 6, "w_dim": 6, "mapping_width": 6, "mapping_layers": 2}
PROGAN = {k.split(".")[1]: v for k, v in LADDER["a"].items() if k[:9] == "generator"}
GENERATORS = {
    "stylegan": {},
    "labels": {"classes": 3},
    "one channel": {"channels": 1, "activation": "relu", "normalize_z": False},
    "rung a": PROGAN,
    "rung b": PROGAN | {"blur_filter": (1, 2, 1)},
    "rung b labels": PROGAN | {"classes": 3, "w_dim": 12},
    "no constant": {"const_input": False},
    "no noise": {"use_noise": False},
    "no mapping": {"mapping_layers": 0},
    "no styles": {"use_styles": False},
    "neither": {"use_styles": False, "mapping_layers": 0},
    "pixel norm": {"use_pixel_norm": True, "use_instance_norm": False},
    "fused": SMALL_G | {"resolution": 128, "fmap_base": 256},
    "skip": {"architecture": "skip"},
    "skip labels": {"architecture": "skip", "classes": 3, "use_noise": False},
    "residual": {"architecture": "residual"},
    "original": {"architecture": "original"},
    "revised": {"architecture": "revised"},
}
DISCRIMINATORS = {
    "stylegan": {},
    "labels": {"classes": 3},
    "no statistic": {"mbstd_group": 1},
    "two statistics": {"mbstd_features": 2, "blur_filter": ()},
    "skip": {"architecture": "skip"},
    "residual": {"architecture": "residual", "classes": 3},
    "original": {"architecture": "original"},
    "revised": {"architecture": "revised"},
}


def shaken(network):
    """Every weight unlike any that a new network has."""
    rng = np.random.default_rng(5)
    for v in network.weights:
        v.assign(v + 0.3 * rng.normal(size=v.shape))
    return network


def generator(**changes) -> Generator:
    return shaken(Generator(GeneratorConfig(**SMALL_G | changes)))


def discriminator(**changes) -> Discriminator:
    return shaken(Discriminator(DiscriminatorConfig(**SMALL | changes)))


def check_same(a, b) -> None:
    assert a.config == b.config
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy(), x.path)


def draw(g: Generator, **options) -> np.ndarray:
    z = np.random.default_rng(0).normal(size=[2, g.config.z_dim]).astype("f4")
    return g(z, noise="const", **options).numpy()


# ---------------------------------------------------------------------------
# There and back


@pytest.mark.parametrize("name", GENERATORS)
def test_a_generator_comes_back_exactly(name, tmp_path):
    g = generator(**GENERATORS[name])
    networks.save_pickle(tmp_path / "g.pkl", gs=g)
    found = networks.load_pickle(tmp_path / "g.pkl")
    check_same(found.generator, g)
    assert networks.pickled_configs(tmp_path / "g.pkl") == (g.config, None)
    assert networks.stored_growth(tmp_path / "g.pkl") == g.growth
    (report,) = found.reports
    assert len(report.mapped) == len(g.weights)
    assert not report.absent and not report.left and not report.lod
    assert f"Gs ({report.kind}): {len(g.weights)} variables mapped" in str(report)


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_a_discriminator_comes_back_exactly(name, tmp_path):
    d = discriminator(**DISCRIMINATORS[name])
    networks.save_pickle(tmp_path / "d.pkl", d=d)
    g, found, gs = networks.load_pickled_networks(tmp_path / "d.pkl")
    check_same(found, d)
    assert g is None and gs is None
    for reads in (networks.load_generator, networks.pickled_configs):
        with pytest.raises(UserError, match="d.pkl has a discriminator only"):
            reads(tmp_path / "d.pkl")


def test_all_three_are_told_apart(tmp_path):
    g, d, gs = generator(), discriminator(), generator()
    for v in gs.weights:
        v.assign(v + 1)
    networks.save_pickle(tmp_path / "all.pkl", g, d, gs)
    for found, ours in zip(
        networks.load_pickled_networks(tmp_path / "all.pkl"), (g, d, gs), strict=True
    ):
        check_same(found, ours)
    check_same(networks.load_generator(tmp_path / "all.pkl"), gs)
    assert networks.pickled_configs(tmp_path / "all.pkl") == (g.config, d.config)
    networks.save_pickle(tmp_path / "two.pkl", g, d)
    check_same(networks.load_generator(tmp_path / "two.pkl"), g)


def test_the_kernel_of_a_fused_layer_is_turned(tmp_path):
    g = generator(**GENERATORS["fused"])
    there = network_to_state("Gs", g).collect()
    kernel = there["G_synthesis/128x128/Conv0_up/weight"]
    ours = g.synthesis.block128.conv0.kernel.numpy()
    np.testing.assert_array_equal(kernel, ours[::-1, ::-1])
    unfused = there["G_synthesis/64x64/Conv0_up/weight"]
    np.testing.assert_array_equal(unfused, g.synthesis.block64.conv0.kernel.numpy())


@pytest.mark.parametrize("architecture", ["stylegan", "revised"])
def test_how_far_a_network_has_grown_is_kept(architecture, tmp_path):
    g = generator(architecture=architecture)
    networks.save_pickle(tmp_path / "g.pkl", gs=g, growth=Growth(8))
    arrays = tf_pickles.read_pickle(tmp_path / "g.pkl")["Gs"].collect()
    assert arrays["lod"] == arrays["G_synthesis/lod"] == 1
    assert networks.stored_growth(tmp_path / "g.pkl") == (8, 1.0)
    (report,) = networks.load_pickle(tmp_path / "g.pkl").reports
    assert report.lod == 1 and "it had grown up to lod 1" in str(report)


@pytest.mark.parametrize(
    ("lod", "resolution", "alpha"),
    [
        (0.0, 16, 1.0),
        (0.25, 16, 0.75),
        (1.0, 8, 1.0),
        (1.75, 8, 0.25),
        (2, 4, 1.0),
        (1e9, 4, 1.0),
        (-0.5, 16, 1.0),
    ],
)
def test_a_fraction_of_a_lod_is_a_fade(lod, resolution, alpha, tmp_path):
    state = network_to_state("Gs", generator())
    state.variables["lod"] = np.float32(lod)
    writing.write_pickle(tmp_path / "g.pkl", {"Gs": state})
    assert networks.stored_growth(tmp_path / "g.pkl") == (resolution, alpha)
    g = networks.load_generator(tmp_path / "g.pkl")
    assert g.growth == (resolution, alpha)


@pytest.mark.parametrize("architecture", ["stylegan", "revised"])
@pytest.mark.parametrize("lod", [0.25, 1.75])
def test_a_fade_comes_back_from_a_pickle(architecture, lod, tmp_path):
    resolution, alpha = growth = Growth(*golden.stage(16, lod))
    g, d = generator(architecture=architecture), discriminator()
    g.growth = growth
    if architecture == "revised":
        d = discriminator(architecture=architecture)
    networks.save_pickle(tmp_path / "said.pkl", d=d, gs=g)
    networks.save_pickle(tmp_path / "given.pkl", g, d, growth=growth)
    for name, key in (("said", "Gs"), ("given", "G")):
        states = tf_pickles.read_pickle(tmp_path / f"{name}.pkl")
        assert states[key].collect()["lod"] == states["D"].collect()["lod"] == lod
        found = networks.load_generator(tmp_path / f"{name}.pkl")
        assert found.growth == growth
        options = {"resolution": resolution}
        below = draw(g, resolution=resolution // 2, alpha=1.0)
        blended = reference.faded(below, draw(g, **options, alpha=1.0), alpha)
        np.testing.assert_allclose(draw(found, **options), blended, atol=1e-5)


REFUSED = {
    "architecture=dcgan": GeneratorConfig(
        architecture="dcgan", mapping_layers=0, **SMALL | {"z_dim": 6, "w_dim": 6}
    ),
    "not square": GeneratorConfig(**SMALL_G, start_shape=(4, 6)),
    "noise after AdaIN": GeneratorConfig(**SMALL_G, noise_position="after_adain"),
    "a projection": DiscriminatorConfig(**SMALL, classes=2, conditioning="projection"),
}


@pytest.mark.parametrize("reason", REFUSED)
def test_what_has_no_counterpart_is_not_written(reason, tmp_path):
    c = REFUSED[reason]
    first = isinstance(c, GeneratorConfig)
    given = {"gs": Generator(c)} if first else {"d": Discriminator(c)}
    with pytest.raises(UserError, match=f"do not know .*{reason}.*; keep the model"):
        networks.save_pickle(tmp_path / "x.pkl", **given)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "function"), [("Gs", "G_paper"), ("D", "D_paper")])
def test_a_progressive_gan_is_refused(name, function):
    state = NetworkState(3, name, {}, function, {})
    with pytest.raises(
        UserError, match=f"{function}', a progressive GAN, which is not"
    ):
        network_from_state(name, state)


# ---------------------------------------------------------------------------
# The official code's own pickles and what it drew with them

GOLDENS = sorted(golden.FOLDER.glob("*_pickle_*.pkl")) or [None]


@pytest.fixture(scope="module", params=GOLDENS, ids=lambda p: p and p.stem)
def official(request):
    """An official file and what is expected of it."""
    if request.param is None:
        pytest.skip("no official pickles here; set STYLEGAN_TF_GOLDENS")
    stem = re.match(r"(.+_r\d+)_", request.param.name)[1]
    with np.load(request.param.with_name(f"{stem}_expected.npz")) as file:
        return request.param, {name: file[name] for name in file.files}


def test_official_files_draw_what_the_official_code_drew(official):
    path, expected = official
    found = networks.load_pickle(path).networks
    first = path.name.startswith("v1")
    default = {"psi": 0.7, "cutoff": 8} if first else {"psi": 0.5}
    shown = {"psi": 0.7, "cutoff": 8} if first else {"psi": 0.7}
    z, gs, d = expected["in/z"], found["Gs"], found["D"]
    for key, name, options in (
        ("Gs", "Gs/default", default),
        ("Gs", "Gs/psi_none", {}),
        ("G", "G/psi_none", {}),
    ):
        if found[key]:
            images = golden.nchw(found[key](z, noise="const", **options))
            golden.close(images, expected[f"out/{name}"], name=name)
    pixels = figures.to_uint8(gs(z, noise="const", **shown).numpy()).astype(int)
    assert abs(pixels - expected["out/Gs/uint8_nhwc"]).max() <= 1
    if d:
        scores = d(golden.nhwc(expected["in/images"])).numpy()
        golden.close(scores, expected["out/D/scores"], name="scores")


def test_official_files_come_back_from_ours(official, tmp_path):
    path, expected = official
    found = networks.load_pickle(path)
    for report in found.reports:
        head = f"vars/{report.name}/"
        names = {n[len(head) :] for n in expected if n.startswith(head)}
        assert not report.absent and not report.left
        assert set(report.mapped) == names - networks.LODS
    ours = found.networks
    networks.save_pickle(tmp_path / "again.pkl", ours["G"], ours["D"], ours["Gs"])
    again = tf_pickles.read_pickle(tmp_path / "again.pkl")
    for key, state in tf_pickles.read_pickle(path).items():
        if state is None:
            assert again[key] is None
            continue
        written, read = again[key].collect(), state.collect()
        assert set(written) == set(read)
        for name, array in read.items():
            np.testing.assert_array_equal(written[name], array, name)
        kinds = [(s.version, s.build_func_name) for s in (again[key], state)]
        assert kinds[0] == kinds[1]


# ---------------------------------------------------------------------------
# Files that claim what they do not hold


def small(name="Gs", **changes) -> NetworkState:
    if name == "D":
        return network_to_state(
            "D", Discriminator(DiscriminatorConfig(**SMALL | changes))
        )
    return network_to_state("Gs", Generator(GeneratorConfig(**SMALL_G | changes)))


CLAIMS = [
    ("Gs", {}, {"resolution": 1024, "fmap_base": 1 << 20, "fmap_max": 1 << 20}),
    ("Gs", {}, {"resolution": 1024, "fmap_base": 8192}),
    ("Gs", {}, {"resolution": 1 << 40}),
    ("Gs", {}, {"latent_size": 1 << 30}),
    ("Gs", {}, {"latent_size": 0}),
    ("Gs", {}, {"dlatent_size": 1 << 30}),
    ("Gs", {}, {"mapping_fmaps": 1 << 30}),
    ("Gs", {}, {"mapping_layers": 64}),
    ("Gs", {}, {"mapping_layers": 1 << 30}),
    ("Gs", {}, {"label_size": 1 << 19}),
    ("Gs", {"classes": 2}, {"label_size": 1 << 19}),
    ("Gs", {}, {"fmap_max": 1 << 20, "fmap_base": 1 << 20}),
    ("Gs", {}, {"fmap_decay": 1e9}),
    ("Gs", {}, {"fmap_decay": -1e9}),
    ("Gs", {}, {"fmap_decay": float("nan")}),
    ("Gs", {"mapping_layers": 0}, {"latent_size": 1 << 30, "dlatent_size": 1 << 30}),
    (
        "Gs",
        {"mapping_layers": 0, "use_styles": False},
        {"latent_size": 1 << 30, "dlatent_size": 1 << 30},
    ),
    ("Gs", {"architecture": "skip"}, {"dlatent_size": 1 << 30, "mapping_layers": 1}),
    ("Gs", {"architecture": "skip"}, {"fmap_max": 1 << 20, "fmap_base": 1 << 20}),
    ("D", {}, {"label_size": 1 << 19}),
    ("D", {"architecture": "residual"}, {"label_size": 1 << 19}),
    ("D", {}, {"mbstd_num_features": 1 << 30}),
    ("D", {}, {"fmap_max": 1 << 20, "fmap_base": 1 << 20, "fmap_decay": 3}),
]


@pytest.mark.parametrize(
    ("name", "changes", "claim"), CLAIMS, ids=[f"{n} {c}" for n, _, c in CLAIMS]
)
def test_a_claim_that_the_file_does_not_bear_out_makes_nothing(
    name, changes, claim, tmp_path, monkeypatch
):
    state = small(name, **changes)
    state.static_kwargs |= claim
    writing.write_pickle(tmp_path / "x.pkl", {name: state})
    for kind in ("Generator", "Discriminator"):
        monkeypatch.setattr(networks, kind, None)
    tracemalloc.start()
    with pytest.raises(UserError, match=r"x.pkl: .+") as error:
        networks.load_pickle(tmp_path / "x.pkl")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 4e6
    assert len(str(error.value).splitlines()) == 1


WRONG = [
    ({"resolution": "16"}, "resolution='16' is not of type int"),
    ({"resolution": 16.0}, "resolution=16.0 is not of type int"),
    ({"num_channels": 5}, "channels=5"),
    ({"blur_filter": ["a"]}, "filter that is no list of up to 64 whole numbers"),
    ({"blur_filter": [1] * 65}, "filter that is no list of up to 64 whole numbers"),
    ({"blur_filter": 3}, "filter that is no list"),
    ({"nonlinearity": "tanh"}, "activation='tanh' .*; choose one of lrelu"),
    ({"fused_scale": "sometimes"}, "fused_scale is 'sometimes'; known are"),
    ({"fmap_min": 4}, "built with fmap_min=4; only 1 is read"),
    ({"use_wscale": False}, "built with use_wscale=False"),
]


@pytest.mark.parametrize(("claim", "words"), WRONG, ids=lambda x: str(x)[:40])
def test_arguments_that_cannot_be_are_named(claim, words, tmp_path):
    state = small()
    state.static_kwargs |= claim
    writing.write_pickle(tmp_path / "x.pkl", {"Gs": state})
    with pytest.raises(UserError, match=words):
        networks.load_pickle(tmp_path / "x.pkl")


def test_none_is_what_the_official_code_takes_it_for():
    state = small()
    state.static_kwargs |= dict.fromkeys(
        ["blur_filter", "style_mixing_prob", "dlatent_avg_beta", "mapping_lrmul"]
    )
    c = network_from_state("Gs", state)[0].config
    assert (c.blur_filter, c.style_mixing_prob, c.w_avg_beta) == ((), 0.0, 1.0)
    assert c.mapping_lrmul == 0.01


def test_a_missing_variable_is_named():
    for name, where in (("8x8/Conv1/bias", "synthesis"), ("Dense1/bias", "mapping")):
        state = small()
        del state.components[where].variables[name]
        with pytest.raises(UserError, match=f"Gs lacks G_{where}/{name}; the file"):
            network_from_state("Gs", state)
    state = small("D")
    del state.variables["4x4/Dense0/bias"], state.variables["4x4/Dense1/bias"]
    with pytest.raises(UserError, match="D lacks 4x4/Dense0/bias and 1 others"):
        network_from_state("D", state)
    del state.variables["8x8/Conv0/weight"]
    with pytest.raises(UserError, match="D's 8x8/Conv0/weight is missing; by the"):
        network_from_state("D", state)


def test_a_missing_noise_map_is_only_reported():
    state = small()
    del state.components["synthesis"].variables["noise3"]
    network, report = network_from_state("Gs", state)
    assert report.absent == ["G_synthesis/noise3"]
    assert "1 absent" in str(report) and "absent: G_synthesis/noise3" in str(report)


def test_a_variable_of_another_shape_is_named():
    state = small()
    arrays = state.components["synthesis"].variables
    arrays["8x8/Conv1/bias"] = np.zeros(9, "f4")
    with pytest.raises(UserError, match=r"8x8/Conv1/bias is \[9\].* has \[8\] there"):
        network_from_state("Gs", state)
    arrays["8x8/Conv1/weight"] = np.zeros([3, 3, 8, 9], "f4")
    with pytest.raises(UserError, match=r"is \[3, 3, 8, 9\]; .* \[3, 3, 8, 8\]"):
        network_from_state("Gs", state)


@pytest.mark.parametrize("name", ["Gs", "D"])
def test_an_unknown_function_is_named(name):
    state = small(name)
    state.build_func_name = "G_main_ada"
    with pytest.raises(UserError, match="built by 'G_main_ada'; known are G_style"):
        network_from_state(name, state)


def test_an_unknown_synthesis_or_architecture_is_named():
    state = small(architecture="skip")
    state.static_kwargs["architecture"] = "wide"
    with pytest.raises(UserError, match="'wide'; known are skip, resnet, orig"):
        network_from_state("Gs", state)
    state.components["synthesis"].build_func_name = "G_synthesis"
    with pytest.raises(UserError, match="synthesis network 'G_synthesis'"):
        network_from_state("Gs", state)


def test_more_variables_are_reported_as_left():
    state = small()
    state.variables["strange"] = np.zeros(3, "f4")
    state.components["mapping"].variables["Dense9/bias"] = np.zeros(3, "f4")
    network, report = network_from_state("Gs", state)
    assert report.left == ["strange", "G_mapping/Dense9/bias"]
    assert "2 left" in str(report) and "\n  left: strange" in str(report)
    table = report.table()
    assert "G_synthesis/8x8/Conv1/bias" in table and "block8" in table
    assert len(table.splitlines()) == len(report.mapped) + 3


def test_truncation_uses_the_files_average(tmp_path):
    g = tiny.noisy(generator())
    networks.save_pickle(tmp_path / "g.pkl", gs=g)
    found = networks.load_generator(tmp_path / "g.pkl")
    for options in ({"psi": 0.5}, {"psi": 0.7, "cutoff": 4}):
        np.testing.assert_array_equal(draw(found, **options), draw(g, **options))
