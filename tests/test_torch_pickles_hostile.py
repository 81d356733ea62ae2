"""torch_pickles.py: hostile and damaged files are refused in a line, within bounds."""

import pickle
import random
import tracemalloc

import numpy as np
import persistence
import pytest
import torch_files
from persistence import Call, Module, dumped, place, stream, tensor
from test_torch_pickles import FLAT, generator, refused

from stylegan_tf.errors import UserError
from stylegan_tf.formats.safe_pickle import Symbol
from stylegan_tf.official import networks, torch_pickles


@pytest.fixture
def file(tmp_path):
    """A function that writes a pickle and returns its path."""
    return persistence.writer(tmp_path)


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


# ---------------------------------------------------------------------------
# Few bytes that would keep a reader busy for years: refused within the test's time


MAKER = b"# _reconstruct_persistent_obj"  # by which such a file is known


def text(value: str) -> bytes:
    """The operation that pushes a text."""
    return b"X" + len(value.encode()).to_bytes(4, "little") + value.encode()


def tuples(depth: int) -> bytes:
    """Operations for tuples of themselves, 2 ** depth numbers when unfolded."""
    return b"K\1" + b"2\x86" * depth


def idle(steps: int, key: bytes = b"]X\1\0\0\0" + b"0a") -> bytes:
    """A stream of one number, each pickle of which does nothing for some steps."""
    sizes = {"protocol_version": 1001, "little_endian": True, "type_sizes": {}}
    parts = [pickle.dumps(v, 2)[2:] for v in (1001, sizes)]
    storage = torch_files.Storage("0", np.zeros(1, "f4"))
    parts += [torch_files.dumped(storage, old=True)[2:], key + b"."]
    rest = b"".join(b"\x80\2" + b"N0" * steps + part for part in parts)
    count = (1).to_bytes(8, "little")
    return pickle.dumps(torch_files.MAGIC, 2) + rest + count + bytes(4)


def loaded(data: bytes, times: int = 1) -> bytes:
    """A pickle that reads a stream, once or again and again."""
    call = b"ctorch.storage\n_load_from_bytes\n"
    call += b"B" + len(data).to_bytes(4, "little") + data + b"\x85R0"
    return b"\x80\4" + call * times + b"N." + MAKER


def named(module: str, name: str, times: int) -> bytes:
    """A pickle that asks for a name, again and again."""
    ask = text(module) + b"q\0" + text(name) + b"q\1" + b"h\0h\1\x930" * times
    return b"\x80\4" + ask + b"N." + MAKER


SLOW = {
    "none": (loaded(idle(1)), "holds a NoneType"),  # such a stream is read
    "hashes": (loaded(idle(0, b"]" + tuples(40) + b"a")), "neither a name nor a"),
    "steps": (loaded(idle(20_000), times=20), "has more than 100 operations"),
    "names": (named("a." * 2**20 + "dnnlib.util", "EasyDict", 20_000), "is no name"),
    "a fork": (named("a." * 9 + "dnnlib.util", "EasyDict", 1), "holds a NoneType"),
    "tuples": (b"\x80\4" + tuples(40_000) + b"." + MAKER, "holds a tuple"),
    "a number": (b"\x80\4\x8b\xff\xff\xff\x7f" + MAKER, "cut short"),
    "a text": (b"\x80\4\x8d" + b"\xff" * 7 + b"\x7f" + MAKER, "cut short"),
    "bytes": (b"\x80\4\x96" + b"\xff" * 5 + bytes(3) + MAKER, "cut short"),
}


@pytest.mark.parametrize("kind", SLOW)
def test_few_bytes_do_not_take_long(file, kind):
    data, words = SLOW[kind]
    refused(file(data), words)


def test_tensors_that_share_their_numbers(file):
    """A tensor is a view, but weights are copies: a file bounds them all together."""
    one = tensor(np.zeros((300, 300), "f4"))
    block = Module("SynthesisBlock", tensors={f"t{i}": one for i in range(50)})
    made = Module(
        "Generator", modules={"synthesis": Module("S", modules={"b4": block})}
    )
    refused(file(made), "has tensors of far more numbers than it holds")


@pytest.mark.parametrize(
    "arguments",
    [
        {"architecture": "x" * 10_000},
        {"channel_base": "x\n" * 10_000},
        {"conv_clamp": "\x1b[2J" * 1000},
        {"kernel_size": [1] * 10_000},
        {"u" * 200: 1, "v" * 200: 1, "w" * 200: 1},
    ],
)
def test_long_settings_do_not_fill_the_screen(file, arguments):
    path = file(generator(FLAT | arguments))
    assert refused(path, read=networks.load_pickle).isprintable()


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
