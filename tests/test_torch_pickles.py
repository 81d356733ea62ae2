"""torch_pickles.py, torch_arguments.py, torch_networks.py: PyTorch's files of networks,
read without PyTorch, and nothing in them is run."""

import dataclasses
import hashlib
import pickle
import random
import sys
import tracemalloc

import ada_golden
import numpy as np
import persistence
import pytest
import torch_files
from persistence import Call, Easy, Module, dumped, network, place, stream, tensor

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.config.stylegan3 import StyleGAN3Config
from stylegan_tf.errors import UserError
from stylegan_tf.formats.safe_pickle import Symbol
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
    """Writes bytes, or what becomes a pickle, into a file."""

    def write(content, protocol=4, package=""):
        path = tmp_path / "network.pkl"
        plain = isinstance(content, bytes)
        path.write_bytes(content if plain else dumped(content, protocol, package))
        return path

    return write


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


def test_oblong_constants_of_forks(file):
    """A constant of 4 x 7, and everything else as it follows."""
    wide = dataclasses.replace(G, start_shape=(4, 7))
    made = generator(config=wide)
    g = networks.load_pickle(file(made)).networks["Gs"]
    assert g.config == wide and g(np.zeros((1, 6), "f4")).shape == (1, 8, 14, 3)


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
        ({"img_channels": 2}, ["channels is 2"]),
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
        (Module("Generator"), "'Generator' of an unknown kind"),
    ],
)
def test_relatives_are_refused_by_name(file, made, words):
    key = "D" if made.class_name.endswith("Discriminator") else "G_ema"
    refused(file({key: made}), words)


# ---------------------------------------------------------------------------
# Hostile files


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "builtins.eval",
        "torch.load",
        "torch.hub.load",
        "torch_utils.persistence.persistent_class",
        "dnnlib.util.open_url",
        "timm.models.vision",
        "torch.nn.modules.conv.Conv2d",
        "a.torch_utils.misc.f",
    ],
)
def test_what_no_network_needs_is_named(file, name, protocol):
    made = generator(state={"_forward_hooks": Call(name, ("echo",))})
    line = refused(file(made, protocol), "which no network needs; not run")
    assert name.removeprefix("a.") in line


def test_source_and_hooks_are_inert(file, capsys):
    made = generator(about={"module_src": "print('run')\nraise SystemExit"})
    made.state = {"_hooks": {1: "print('run')"}, "anything": [1, {"b": (2.5,)}, {3}]}
    assert networks.load_pickle(file(made)).networks["Gs"]
    assert capsys.readouterr().out == ""


def nested(values=None, **changes) -> Module:
    """A generator, the first bias of which is made of this stream."""
    made = generator()
    data = changes.pop("data", None) or stream(np.zeros(6, "f4"), **changes)
    bias = tensor(np.zeros(6, "f4"), (6,), (1,), data=data)
    made.modules["synthesis"].modules["b4"].modules["conv1"].tensors["bias"] = bias
    return made


def in_stream(value) -> bytes:
    """A stream whose storage is something else."""
    sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(v, 2) for v in (torch_files.MAGIC, 1001, sizes)]
    return b"".join([*parts, dumped(value, 2), pickle.dumps([], 2)])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "a layout that PyTorch does not write"),
        (b"\x80\x02K\x01.", "a layout that PyTorch does not write"),
        (stream(np.zeros(6, "f4"))[:-1], "cut short"),
        (stream(np.zeros(6, "f4"), count=7), "cut short or damaged"),
        (stream(np.zeros(6, "f4"), count=-1), "cut short or damaged"),
        (stream(np.zeros(5, "f4")), "larger than the numbers it is made of"),
        (in_stream([1, 2]), "in the place of numbers"),
        (in_stream(Call("os.system", ("x",))), "'os.system'"),
        (
            in_stream(Call("torch.storage._load_from_bytes", (stream(np.zeros(1)),))),
            "'torch.storage._load_from_bytes'",
        ),
        (
            in_stream(torch_files.Name(persistence.RECONSTRUCT)),
            "'torch_utils.persistence",
        ),
    ],
)
def test_streams_that_lie(file, data, words):
    refused(file(nested(data=data or b"\0")), words)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((6,), (2,), 0),
        ((6,), (1,), 1),
        ((6,), (1,), -1),
        ((6,), (-1,), 5),
        ((2**40,), (0,), 0),
        ((2**20, 2**20), (0, 0), 0),
        ((6, 1), (1,), 0),
        ((6.0,), (1,), 0),
        ((1,) * 40, (1,) * 40, 0),
    ],
)
def test_strides_that_point_outside(file, shape, strides, offset):
    made = generator()
    bias = tensor(np.zeros(6, "f4"), shape, strides, offset)
    made.modules["synthesis"].modules["b4"].modules["conv1"].tensors["bias"] = bias
    refused(file(made), "tensor")


def test_modules_within_themselves(file):
    made = generator()
    state = made.described()["state"]
    for _ in range(20):
        made = Module("Generator", modules={"inner": made})
    refused(file(made), "nests its modules too deep")
    loop = dict(state)
    again = Call(
        persistence.RECONSTRUCT,
        (
            {
                "type": "class",
                "version": 6,
                "module_src": "",
                "class_name": "Generator",
                "state": loop,
            },
        ),
    )
    loop["_modules"] = {"synthesis": again}
    refused(file(cyclic(loop)))


def cyclic(loop: dict) -> bytes:
    """A module that is its own part: the dict of its parts is filled afterwards."""
    from pickle import BINGET, BINPUT, EMPTY_DICT, REDUCE, SETITEM, STOP, TUPLE1

    module, name = persistence.RECONSTRUCT.rsplit(".", 1)
    text = lambda s: b"X" + len(s).to_bytes(4, "little") + s.encode()  # noqa: E731
    parts = EMPTY_DICT + BINPUT + b"\1"
    state = EMPTY_DICT
    for key, value in (
        ("_parameters", EMPTY_DICT),
        ("_buffers", EMPTY_DICT),
        ("_init_kwargs", EMPTY_DICT),
        ("_modules", BINGET + b"\1"),
    ):
        state += text(key) + value + SETITEM
    about = EMPTY_DICT
    for key, value in (
        ("type", text("class")),
        ("version", b"K\6"),
        ("module_src", text("")),
        ("class_name", text("Generator")),
        ("state", state),
    ):
        about += text(key) + value + SETITEM
    made = f"c{module}\n{name}\n".encode() + about + TUPLE1 + REDUCE + BINPUT + b"\2"
    fill = BINGET + b"\1" + text("synthesis") + BINGET + b"\2" + SETITEM
    return b"\x80\2" + parts + b"0" + made + fill + b"0" + BINGET + b"\2" + STOP


def test_few_bytes_do_not_become_many(file):
    """One long stream, asked for again and again."""
    data = stream(np.zeros(100_000, "f4"))
    tensors = {f"t{i}": tensor(np.zeros(1), (1,), (1,), data=data) for i in range(200)}
    path = file({"G_ema": Module("Generator", tensors=tensors)})
    size = path.stat().st_size
    assert size < 600_000
    tracemalloc.start()
    refused(path, "unfolds to far more than networks need")
    assert tracemalloc.get_traced_memory()[1] < 8 * size
    tracemalloc.stop()


def test_memory_is_that_of_the_file(file):
    made = generator()
    place(made, "synthesis.b4.extra", np.zeros(3_000_000, "f4"))
    path = file(made)
    tracemalloc.start()
    torch_pickles.read_snapshot(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.5 * path.stat().st_size


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"version": 7}, "objects of version '7'"),
        ({"version": None}, "objects of version"),
        ({"type": "function"}, "no network and no part of one"),
        ({"state": None}, "without its state"),
        ({"module_src": None}, "without its source"),
        ({"class_name": "a\nb"}, "which is no name"),
        ({"class_name": Symbol}, ""),
    ],
)
def test_descriptions_are_checked(file, about, words):
    if about.get("class_name") is Symbol:
        about = {"class_name": 5}
    refused(file(generator(about=about)), words)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"_parameters": None}, "_parameters is no table"),
        ({"_modules": [1]}, "_modules is no table"),
        ({"_modules": {"synthesis": 3}}, "in the place of the module"),
        ({"_buffers": {"p": 3}}, "which is no tensor"),
        ({"_buffers": {"a.b": None}}, "has a part named"),
        ({"_init_kwargs": None}, "what it was made with"),
        ({"_init_args": (1,) * 9}, "unknown arguments"),
        ({"_init_args": (6,)}, "an argument given twice"),
    ],
)
def test_states_are_checked(file, state, words):
    refused(file(generator(state=state)), words)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"G_ema": None}, "holds no network"),
        ({"G_ema": 5}, "in the place of a network"),
        ([generator()], "holds a list and no networks"),
        (b"\x80\2(K\1tQ. _reconstruct_persistent_obj", "keeps its numbers elsewhere"),
    ],
)
def test_contents_are_checked(file, content, words):
    refused(file(content), words)


def small() -> bytes:
    """A file with every kind of part, of a few hundred bytes."""
    return dumped({"G_ema": Module("Generator", tensors={"a": np.zeros(2, "f4")})})


def test_cut_short_at_every_byte(file):
    data = small()
    assert len(data) < 3000
    for end in range(len(data)):
        refused(file(data[:end]))


def test_damaged_bytes(file):
    """Anything may come of it but a surprise."""
    data, rng = dumped({"G_ema": generator()}), random.Random(0)
    for _ in range(200):
        broken = bytearray(data)
        for _ in range(rng.randint(1, 3)):
            broken[rng.randrange(len(broken))] = rng.randrange(256)
        try:
            torch_pickles.read_snapshot(file(bytes(broken)))
        except UserError as error:
            assert "\n" not in str(error)
