"""torch_pickles.py, torch_arguments.py, torch_networks.py: PyTorch's files of networks,
read without PyTorch, and nothing in them is run."""

import dataclasses
import hashlib
import sys

import ada_golden
import numpy as np
import persistence
import pytest
from persistence import Easy, Module, network, place, tensor

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.config.stylegan3 import StyleGAN3Config
from stylegan_tf.errors import UserError
from stylegan_tf.official import networks, torch_pickles

TORCH = ada_golden.here(ada_golden.PICKLES)
PART = {"Gs": "G_ema", "G": "G", "D": "D"}

WIDTHS = {"channel_base": 64, "channel_max": 6}
OUTER = {"z_dim": 6, "c_dim": 0, "w_dim": 5, "img_resolution": 8, "img_channels": 3}
ADA = OUTER | {
    "mapping_kwargs": Easy(num_layers=2),
    "synthesis_kwargs": Easy(WIDTHS, conv_clamp=256, num_fp16_res=4),
}
FLAT = OUTER | {"mapping_kwargs": Easy(num_layers=2)} | WIDTHS
G = GeneratorConfig(
    architecture="skip",
    resolution=8,
    z_dim=6,
    w_dim=5,
    mapping_layers=2,
    mapping_width=5,
    label_norm="own",
    label_width=5,
    fmap_base=32,
    fmap_max=6,
    conv_clamp=256.0,
)
D = DiscriminatorConfig(
    architecture="residual", resolution=8, fmap_base=32, fmap_max=6, head_width=6
)
D_ARGUMENTS = {"c_dim": 0, "img_resolution": 8, "img_channels": 3} | WIDTHS


def generator(arguments=None, config=G, **changes) -> Module:
    """A small generator, as stylegan2-ada-pytorch writes it."""
    made = network(config, "Generator", ADA if arguments is None else arguments)
    for key, value in changes.items():
        setattr(made, key, value)
    return made


def discriminator(**arguments) -> Module:
    return network(D, "Discriminator", D_ARGUMENTS | arguments)


@pytest.fixture
def file(tmp_path):
    """A function that writes a pickle and returns its path."""
    return persistence.writer(tmp_path)


def refused(path, *words, read=torch_pickles.read_snapshot) -> str:
    """The one line in which a file is refused."""
    with pytest.raises(UserError) as caught:
        read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message and len(message) < 400
    for word in words:
        assert word in message
    return message


# ---------------------------------------------------------------------------
# Files as they should be


@pytest.mark.parametrize("name", TORCH)
def test_official_files_are_read_exactly(name):
    """Names, shapes and bytes of every tensor, whatever its strides were."""
    snapshot = torch_pickles.read_snapshot(ada_golden.FOLDER / name)
    numbers = ada_golden.load(ada_golden.PICKLES[name])
    for key, state in snapshot.networks.items():
        if state is None:
            continue
        wanted = numbers.meta["tensors"][PART[key]]
        found = {}
        for tensor_name, value in state.tensors.items():
            digest = hashlib.sha1(np.ascontiguousarray(value).tobytes()).hexdigest()
            found[tensor_name] = [list(value.shape), digest[:16]]
            assert not value.flags.writeable
        assert found == {n: list(v) for n, v in _shapes_and_digests(wanted).items()}
    p = (numbers.meta.get("augment_pipe") or {}).get("p")
    alone = "Gema" in name or "bare" in name
    assert snapshot.augment_p == (None if alone else p)
    assert "torch" not in sys.modules


def _shapes_and_digests(wanted: dict) -> dict:
    return {
        name: tuple(about.values()) if isinstance(about, dict) else about
        for name, about in wanted.items()
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_snapshots_of_every_protocol(file, protocol):
    pipe = Module("AugmentPipe", buffers={"p": np.array(0.25, "f4")})
    content = {
        "training_set_kwargs": Easy(path="a.zip", resolution=8),
        "G": generator(),
        "D": discriminator(),
        "G_ema": generator(),
        "augment_pipe": pipe,
    }
    found = torch_pickles.read_snapshot(file(content, protocol))
    assert found.augment_p == 0.25 and found.training_set["path"] == "a.zip"
    assert all(found.networks.values())
    assert found.networks["Gs"].arguments["mapping_kwargs"] == {"num_layers": 2}
    written = content["G_ema"].modules["synthesis"].modules["b4"].tensors["const"]
    const = found.networks["Gs"].tensors["synthesis.b4.const"]
    assert np.array_equal(const, written)


@pytest.mark.parametrize("package", ["", "stylegan3.", "src.vendor.ada_pytorch."])
def test_packages_may_be_renamed(file, package):
    loaded = networks.load_pickle(file({"G_ema": generator()}, package=package))
    assert loaded.networks["Gs"].config == G


def test_one_network_alone(file):
    found = torch_pickles.read_snapshot(file(generator())).networks
    assert found["Gs"] and not found["G"] and not found["D"]
    found = torch_pickles.read_snapshot(file(discriminator())).networks
    assert found["D"] and not found["Gs"]


def test_arguments_by_position(file):
    names = ("z_dim", "c_dim", "w_dim", "img_resolution", "img_channels")
    rest = {k: v for k, v in ADA.items() if k not in names}
    made = generator(rest, state={"_init_args": tuple(OUTER[n] for n in names)})
    assert networks.load_pickle(file(made)).networks["Gs"].config == G


def test_frozen_layers_keep_their_weights_in_buffers(file):
    d = discriminator()
    block = d.modules["b8"].modules["conv0"]
    block.buffers, block.tensors = block.tensors, {}
    assert networks.load_pickle(file({"G_ema": generator(), "D": d})).networks["D"]


def test_strided_and_shifted_storages(file):
    """Channels last, and a view into the middle of a longer storage."""
    made = generator()
    conv = made.modules["synthesis"].modules["b8"].modules["conv0"]
    weight = conv.tensors["weight"]  # [O, I, k, k]
    o, i, k, _ = weight.shape
    last = np.ascontiguousarray(weight.transpose(0, 2, 3, 1))
    conv.tensors["weight"] = tensor(last, weight.shape, (i * k * k, 1, k * i, i))
    long = np.concatenate([np.full(7, 9, "f4"), conv.tensors["bias"], np.ones(3, "f4")])
    bias = conv.tensors["bias"]
    conv.tensors["bias"] = tensor(long, bias.shape, (1,), offset=7)
    found = torch_pickles.read_snapshot(file(made)).networks["Gs"].tensors
    assert np.array_equal(found["synthesis.b8.conv0.weight"], weight)
    assert np.array_equal(found["synthesis.b8.conv0.bias"], bias)


@pytest.mark.parametrize("kind", ["f2", "f8", "i8", "u1"])
def test_other_kinds_of_numbers(file, kind):
    made = generator()
    made.modules["synthesis"].modules["b4"].modules["torgb"].tensors["bias"] = tensor(
        np.arange(3).astype(kind)
    )
    found = networks.load_pickle(file(made)).networks["Gs"]
    assert found.synthesis.to_rgb4.rgb_bias.weight.numpy().tolist() == [0, 1, 2]


def test_resampling_filters_are_told_by_the_settings(file):
    made = generator()
    place(made, "synthesis.b8.resample_filter", persistence.TAPS)
    report = networks.load_pickle(file(made)).reports[0]
    assert report.mapped["synthesis.b8.resample_filter"] == "config.resample_filter"
    place(made, "synthesis.b8.resample_filter", persistence.TAPS * 2)
    refused(file(made), "another filter", read=networks.load_pickle)


@pytest.mark.parametrize("taps", [[1.0, 3.0, 3.0, 1.0], (1, 3, 3, 1)])
def test_whole_filters_may_be_written_as_floats(file, taps):
    given = ADA | {"synthesis_kwargs": Easy(WIDTHS, resample_filter=taps)}
    found = config_of(file, given, repository="ada")
    assert found.resample_filter == (1, 3, 3, 1)


def test_a_filter_of_fractions_is_refused(file):
    given = ADA | {"synthesis_kwargs": Easy(WIDTHS, resample_filter=[0.5, 1.0])}
    with pytest.raises(UserError, match="no list of up to 64 whole numbers"):
        config_of(file, given, repository="ada")


def test_oblong_constants_of_forks(file):
    """A constant of 4 x 7, and everything else as it follows."""
    wide = dataclasses.replace(G, start_shape=(4, 7))
    made = generator(config=wide)
    g = networks.load_pickle(file(made)).networks["Gs"]
    assert g.config == wide and g(np.zeros((1, 6), "f4")).shape == (1, 8, 14, 3)
    oblong = dataclasses.replace(D, start_shape=(4, 7))
    content = {"G_ema": made, "D": network(oblong, "Discriminator", D_ARGUMENTS)}
    d = networks.load_pickle(file(content)).networks["D"]
    assert d.config.shape(8) == (8, 14)
    assert d(np.zeros((4, 8, 14, 3), "f4")).shape == (4, 1)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pictures_of_one_to_four_channels(file, channels):
    made = generator(
        ADA | {"img_channels": channels}, dataclasses.replace(G, channels=channels)
    )
    assert networks.load_pickle(file(made)).networks["Gs"].config.channels == channels


# ---------------------------------------------------------------------------
# Arguments: what was not given, by the repository that wrote the file


def config_of(file, arguments, name="Generator", **more):
    """The settings that arguments stand for; shapes are not looked at."""
    from stylegan_tf.official import torch_arguments

    kind = "synthesis.input" if more.pop("three", False) else "synthesis.b4"
    state = torch_pickles.ModuleState(
        "Gs" if name == "Generator" else "D",
        name,
        arguments,
        classes={kind: "SynthesisBlock"},
        **more,
    )
    if name == "Generator":
        return torch_arguments.torch_generator_config(state)
    return torch_arguments.torch_discriminator_config(state)


def test_defaults_depend_on_the_repository(file):
    bare = OUTER | {"mapping_kwargs": {}}
    ada = config_of(file, bare | {"synthesis_kwargs": {}}, repository="ada")
    flat = config_of(file, bare)
    assert (ada.conv_clamp, ada.w_avg_beta, ada.mapping_layers) == (0, 0.995, 8)
    assert (flat.conv_clamp, flat.w_avg_beta, flat.mapping_layers) == (256, 0.998, 8)
    three = config_of(file, bare, three=True)
    assert (three.conv_clamp, three.mapping_layers) == (256, 2)
    assert three.stylegan3 == StyleGAN3Config() and three.num_styles == 16
    assert (three.fmap_base, three.fmap_max) == (16384, 512)
    for repository, clamp in (("ada", 0), ("sg3", 256)):
        d = config_of(file, D_ARGUMENTS, "Discriminator", repository=repository)
        assert d.conv_clamp == clamp and d.mbstd_group == 4


def test_the_files_generator_says_who_wrote_it(file):
    content = {"G_ema": generator(), "D": discriminator()}
    found = torch_pickles.read_snapshot(file(content)).networks
    assert found["D"].repository == found["Gs"].repository == "ada"
    content["G_ema"] = generator(FLAT)
    assert torch_pickles.read_snapshot(file(content)).networks["D"].repository == "sg3"


def test_none_is_not_missing(file):
    none = {"mbstd_group_size": None}
    d = config_of(file, D_ARGUMENTS | {"epilogue_kwargs": none}, "Discriminator")
    assert d.mbstd_group > 1000  # the whole batch
    off = {"mbstd_num_channels": 0}
    d = config_of(file, D_ARGUMENTS | {"epilogue_kwargs": off}, "Discriminator")
    assert d.mbstd_group == 0
    bare = OUTER | {"mapping_kwargs": {}}
    assert config_of(file, bare | {"resample_filter": None}).resample_filter == (1,)
    assert config_of(file, bare | {"conv_clamp": None}).conv_clamp == 0


def test_widths_are_cut(file):
    """220 / 8 and 220 / 4 are whole; 220 / 16 = 13.75 are 13 maps."""
    wide = OUTER | {"mapping_kwargs": {}, "img_resolution": 16, "channel_base": 220}
    found = config_of(file, wide)
    assert [found.fmaps(r) for r in (4, 8, 16)] == [55, 27, 13]


def test_the_head_is_as_wide_as_the_last_maps(file):
    """In PyTorch; TensorFlow's has the width of maps at 2 x 2 pixels, 24 here."""
    wide = D_ARGUMENTS | {"channel_max": 24}
    assert config_of(file, wide, "Discriminator").head_width == 16


def test_r_is_not_doubled_again(file):
    arguments = OUTER | {"channel_base": 65536, "channel_max": 1024, "conv_kernel": 1}
    found = config_of(file, arguments | {"use_radial_filters": True}, three=True)
    assert (found.fmap_base, found.fmap_max) == (32768, 1024)
    assert found.stylegan3.radial and found.stylegan3.kernel_size == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"triplane_depth": 3}, ["made with triplane_depth"]),
        ({"mapping_kwargs": {"residual": 1}}, ["made with residual"]),
        ({"channel_base": "many"}, ["channel_base 'many'"]),
        ({"conv_clamp": -1}, ["conv_clamp -1"]),
        ({"architecture": "unet"}, ["architecture 'unet'"]),
        ({"resample_filter": "wide"}, ["no list of up to 64"]),
        ({"kernel_size": 5}, ["kernels of 5 pixels"]),
        ({"activation": "relu"}, ["unlike activations"]),
        ({"img_resolution": 12}, ["power of two"]),
        ({"img_channels": 2}, ["channels=2"]),
        ({"mapping_kwargs": 7}, ["no names and values"]),
        ({"z_dim": "6"}, ["not of type int"]),
    ],
)
def test_arguments_that_are_not_known(file, arguments, words):
    with pytest.raises(UserError) as caught:
        config_of(file, OUTER | arguments)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("name", "change", "words"),
    [
        ("synthesis.b8.conv1.bias", None, "conv1.bias is missing"),
        ("mapping.w_avg", np.zeros(4, "f4"), "w_avg is [4]; by the file's"),
        ("synthesis.b8.plane", np.zeros(4, "f4"), "has synthesis.b8.plane"),
        ("synthesis.b16.conv0.weight", np.zeros(4, "f4"), "has synthesis.b16"),
    ],
)
def test_every_tensor_has_to_be_explained(file, name, change, words):
    made = generator()
    place(made, name, change)
    if change is None:
        *path, last = name.split(".")
        part = made
        for key in path:
            part = part.modules[key]
        del part.tensors[last]
    refused(file(made), words, read=networks.load_pickle)


@pytest.mark.parametrize(
    ("made", "words"),
    [
        (Module("TriPlaneGenerator"), "is of EG3D"),
        (Module("Generator", modules={"backbone": Module("Other")}), "is of EG3D"),
        (Module("SuperresGenerator"), "is of StyleGAN-XL"),
        (Module("Generator", modules={"Model": Module("Net")}), "is of R3GAN"),
        (Module("ProjectedDiscriminator"), "is of projected GAN"),
        (
            Module("Generator", modules={"feature_networks": Module("List")}),
            "is of projected GAN or StyleGAN-XL",
        ),
        (
            Module(
                "Generator",
                modules={"synthesis": Module("S", modules={"generator": Module("D")})},
            ),
            "is of GET3D",
        ),
        (Module("Generator"), "'Generator' of an unknown kind"),
    ],
)
def test_relatives_are_refused_by_name(file, made, words):
    key = "D" if made.class_name.endswith("Discriminator") else "G_ema"
    refused(file({key: made}), words)
