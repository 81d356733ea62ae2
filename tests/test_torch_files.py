"""formats/torch_files.py: PyTorch's files are read exactly, and nothing is run."""

import io
import os
import pickle
import pickletools
import random
import struct
import sys
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch_files as writer

from stylegan_tf.errors import UserError
from stylegan_tf.formats import torch_files

RNG = np.random.default_rng(0)
ARRAYS = {
    "features.0.weight": RNG.normal(size=(4, 3, 3, 3)).astype("f4"),
    "features.0.bias": RNG.normal(size=4).astype("f4"),
    "half": RNG.normal(size=(2, 3)).astype("f2"),
    "double": RNG.normal(size=(1, 5)),
    "norm.num_batches_tracked": np.array(7),
    "bytes": np.arange(6, dtype="u1").reshape(2, 3),
    "none": np.zeros((0, 4), "f4"),
}
LAYOUTS = {"zip": writer.archive, "old": writer.legacy}


@pytest.fixture
def file(tmp_path):
    """Bytes -> the path of a file of them."""

    def write(data: bytes):
        path = tmp_path / "w.pth"
        path.write_bytes(data)
        return path

    return write


def refused(path, words=""):
    """The file is refused in one line that names it."""
    with pytest.raises(UserError) as caught:
        torch_files.read_state_dict(path)
    text = str(caught.value)
    assert text.startswith(str(path)) and "\n" not in text and len(text) < 400
    assert words in text, text


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_are_read_exactly(file, layout):
    path = file(LAYOUTS[layout](writer.tensors(ARRAYS)))
    found = torch_files.read_state_dict(path)
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype and found[name].shape == array.shape
        np.testing.assert_array_equal(found[name], array, name)
        assert not found[name].flags.writeable


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tensors_that_share_numbers_and_parameters(file, layout):
    numbers = np.arange(24, dtype="f4")
    shared = writer.Storage("5", numbers)
    content = writer.StateDict(
        turned=writer.Tensor(shared, (4, 6), strides=(1, 4)),
        later=writer.Tensor(shared, (2, 3), offset=18, call="_rebuild_tensor"),
        parameter=writer.Parameter(writer.Tensor(shared, (24,))),
        older=writer.Parameter(
            writer.Tensor(shared, (2,), strides=(12,)), "torch.nn.parameter.Parameter"
        ),
    )
    found = torch_files.read_state_dict(file(LAYOUTS[layout](content)))
    np.testing.assert_array_equal(found["turned"], numbers.reshape(6, 4).T)
    np.testing.assert_array_equal(found["later"], [[18, 19, 20], [21, 22, 23]])
    np.testing.assert_array_equal(found["parameter"], numbers)
    np.testing.assert_array_equal(found["older"], [0, 12])


def test_the_old_layout_has_parts_of_storages(file):
    numbers = np.arange(10, dtype="f4")
    whole, part = writer.Storage("1", numbers), writer.Storage("1", numbers)
    part.view = ("2", 4, 3)
    content = writer.StateDict(
        whole=writer.Tensor(whole, (10,)), part=writer.Tensor(part, (3,))
    )
    found = torch_files.read_state_dict(file(writer.legacy(content)))
    np.testing.assert_array_equal(found["whole"], numbers)
    np.testing.assert_array_equal(found["part"], [4, 5, 6])
    content["part"].shape = (4,)
    refused(file(writer.legacy(content)), "larger than the numbers")


def test_the_writer_writes_what_python_reads():
    """So that the tests' own files are pickles, and of the names PyTorch has."""
    data = writer.dumped(writer.tensors({"a": np.ones((2, 2), "f4")}))
    names = [a for op, a, _ in pickletools.genops(data) if op.name == "GLOBAL"]
    assert "torch._utils _rebuild_tensor_v2" in names and "torch FloatStorage" in names
    data = writer.legacy(writer.StateDict())
    assert pickle.load(io.BytesIO(data)) == writer.MAGIC
    assert data.startswith(torch_files.MAGIC)


class Call:
    """A call that a file asks for."""

    def __init__(self, name, *arguments):
        self.name, self.arguments = name, arguments

    def reduced(self):
        return writer.Name(self.name), self.arguments


ATTACKS = {
    "system": Call("os.system", "touch {}"),
    "posix": Call("posix.system", "touch {}"),
    "eval": Call("builtins.eval", "open('{}', 'w')"),
    "python 2": Call("__builtin__.eval", "open('{}', 'w')"),
    "getattr": Call("builtins.getattr", Call("builtins.__import__", "os"), "system"),
    "load": Call("torch.load", "{}"),
    "hub": Call("torch.hub.load", "{}", "x"),
    "jit": Call("torch.jit._pickle.build_intlist", []),
    "numpy": Call("numpy.load", "{}"),
    "copyreg": Call("copyreg._reconstructor", writer.Name("os._wrap_close")),
    "partial": Call("functools.partial", writer.Name("os.system"), "touch {}"),
    "model": Call("torch.nn.modules.container.Sequential"),
    "storage is called": Call("torch.FloatStorage", 10),
    "method": Call("torch._utils._rebuild_tensor_v2.__globals__.get", "os"),
    "twice": Call("torch._utils._rebuild_parameter", Call("os.system", "touch {}")),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ATTACKS)
def test_calls_are_not_made(file, tmp_path, name, layout):
    mark = tmp_path / "it ran"

    def aimed(value):
        if isinstance(value, Call):
            return Call(value.name, *map(aimed, value.arguments))
        return value.format(mark) if isinstance(value, str) else value

    content = writer.tensors({"a": np.ones(3, "f4")})
    content["bad"] = aimed(ATTACKS[name])
    pickler = writer._pickler
    writer._pickler = lambda old: _taught(pickler(old))
    try:
        path = file(LAYOUTS[layout](content))
    finally:
        writer._pickler = pickler
    before = set(sys.modules)
    refused(path)
    assert not mark.exists() and not {"torch"} & (set(sys.modules) - before)


def _taught(pickler):
    pickler.dispatch[Call] = lambda self, v: self.save_reduce(*v.reduced(), obj=v)
    return pickler


def test_one_storage_is_not_many_weights(file):
    """Tensors are views of their storage, but weights made of them are copies."""
    numbers = writer.Storage("0", np.zeros(60_000, "f4"))
    content = {f"t{i}": writer.Tensor(numbers, (200, 300)) for i in range(20)}
    content |= {"rest": writer.Tensor(numbers, (4,), offset=3)}
    path = file(writer.archive(writer.StateDict(content)))
    refused(path, "has tensors of far more numbers than it holds")


def test_keys_are_names(file):
    """Hashing tuples of themselves would take years."""
    keys = b"]" + b"K\1" + b"2\x86" * 40 + b"a."
    data = writer.legacy(writer.tensors({"a": np.ones(3, "f4")}))
    whole = pickle.dumps(["0"], 2)
    assert whole in data
    refused(file(data.replace(whole, b"\x80\2" + keys)), "neither a name nor a number")


def test_the_attacks_are_real(tmp_path):
    """Python's own unpickler falls for one."""
    mark = tmp_path / "ran"
    data = b"\x80\x02cos\nsystem\nX" + struct.pack("<I", len(f"touch {mark}"))
    pickle.loads(data + f"touch {mark}".encode() + b"\x85R.")
    assert os.path.exists(mark)


def tensor(**changes):
    """A state dict whose one tensor is not as it should be."""
    made = writer.Tensor(writer.Storage("0", np.ones(6, "f4")), (2, 3))
    for name, value in changes.items():
        setattr(made, name, value)
    return writer.StateDict(a=made)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "changes, words",
    [
        ({"shape": (2**40, 2**40), "strides": (0, 0)}, "larger than the numbers"),
        ({"shape": (7,), "strides": (0,)}, "larger than the numbers"),
        ({"shape": (2, 3), "strides": (4, 1)}, "larger than the numbers"),
        ({"offset": 1}, "larger than the numbers"),
        ({"offset": -1}, "puts a tensor together"),
        ({"offset": 2**60}, "puts a tensor together"),
        ({"strides": (-3, 1)}, "puts a tensor together"),
        ({"shape": (2,)}, "puts a tensor together"),
        ({"shape": (True, 6)}, "puts a tensor together"),
        ({"shape": (1,) * 20, "strides": (1,) * 20}, "puts a tensor together"),
        ({"storage": "0"}, "puts a tensor together"),
        ({"shape": (0, 2**47, 2**47), "strides": (1, 1, 1)}, "damaged"),
    ],
)
def test_shapes_are_checked(file, changes, words, layout):
    path = file(LAYOUTS[layout](tensor(**changes)))
    tracemalloc.start()
    try:
        refused(path, words)
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


GOOD = writer.tensors({"a": np.ones(3, "f4")})
BARE = writer.dumped(GOOD)


@pytest.mark.parametrize(
    "data, words",
    [
        (b"", "empty"),
        (b"<!DOCTYPE html>" * 9, "web page"),
        (b"hello, this is no weights", "no file that PyTorch wrote"),
        (writer.archive(GOOD, **{"data/0": None}), "lacks its part"),
        (writer.archive(GOOD, **{"data/0": b"\0" * 11}), "cut short"),
        (writer.archive(GOOD, **{"data.pkl": None}), "without a state dict"),
        (writer.archive(GOOD, **{"constants.pkl": b"."}), "a program"),
        (writer.archive(GOOD, byteorder=b"big"), "the other end"),
        (writer.archive(GOOD, b"\x80\2]."), "no state dict"),
        (writer.archive(GOOD, b"\x80\2}."), "no tensors"),
        (writer.archive(GOOD, b"\x80\2}X\1\0\0\0aK\1s."), "no tensor"),
        (writer.archive(GOOD, b"\x80\2X\1\0\0\0aQ."), "kind or place"),
        (writer.archive(GOOD, b"\x80\2P0\n."), "PERSID"),
        (writer.archive(GOOD, b"\x80\2cos\nsystem\n."), "asks for 'os.system'"),
        (writer.archive(GOOD, b"\x80\2" + b"(" * 100_001 + b"."), "operations"),
        (writer.archive(GOOD, b"\x80\2X\xff\xff\xff\xffa."), "cut short"),
        (writer.archive(GOOD, b"\x80\5\x8d" + b"\xff" * 7 + b"\x7fa."), "cut short"),
        (writer.legacy(GOOD, version=1002), "layout '1002'"),
        (writer.legacy(GOOD, about={"little_endian": False}), "the other end"),
        (writer.legacy(GOOD, about=[]), "the other end"),
        (writer.legacy(OrderedDict(a=1)), "no tensor"),
    ],
)
def test_other_files_are_refused(file, data, words):
    refused(file(data), words)


def test_places_that_are_no_file(tmp_path):
    refused(tmp_path / "nothing.pth", "does not exist")
    refused(tmp_path, "is no file")


def test_compressed_archives_are_refused(file):
    """Their size says nothing about what they unfold to."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("archive/data.pkl", b"\x80\2" + b"0" * 20_000_000)
    path = file(stream.getvalue())
    tracemalloc.start()
    try:
        refused(path, "compressed")
        assert tracemalloc.get_traced_memory()[1] < 2_000_000
    finally:
        tracemalloc.stop()


def test_one_part_cannot_be_taken_many_times(file):
    """2000 tensors, each with a storage of its own that is the same bytes."""
    numbers = np.ones(50_000, "f4")
    content = writer.StateDict(
        {
            str(i): writer.Tensor(writer.Storage(str(i), numbers), (1,))
            for i in range(200)
        }
    )
    entries = {f"data/{i}": None for i in range(1, 200)}
    data = bytearray(writer.archive(content, **entries))
    archive = zipfile.ZipFile(io.BytesIO(bytes(data)))
    at = archive.start_dir
    central = bytes(data[at : data.rindex(b"PK\5\6")])
    entry = [e for e in _entries(central) if e[46:].startswith(b"archive/data/0")][0]
    extra = b""
    for i in range(1, 200):
        name = f"archive/data/{i}".encode()
        extra += entry[:28] + struct.pack("<H", len(name)) + entry[30:46] + name
    end = bytearray(data[data.rindex(b"PK\5\6") :])
    count = len(archive.infolist()) + 199
    struct.pack_into("<HHI", end, 8, count, count, len(central) + len(extra))
    path = file(bytes(data[:at]) + central + extra + bytes(end))
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < 4 * path.stat().st_size + 5e6
    finally:
        tracemalloc.stop()


def _entries(central: bytes) -> list[bytes]:
    """The entries of a zip file's directory."""
    found = []
    while central:
        name, extra, comment = struct.unpack_from("<HHH", central, 28)
        size = 46 + name + extra + comment
        found.append(central[:size])
        central = central[size:]
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
def test_reading_takes_about_what_the_file_does(file, layout):
    path = file(LAYOUTS[layout](writer.tensors({"a": np.ones((1000, 1000), "f4")})))
    tracemalloc.start()
    try:
        found = torch_files.read_state_dict(path)
        assert tracemalloc.get_traced_memory()[1] < 2.2 * path.stat().st_size
    finally:
        tracemalloc.stop()
    assert found["a"].sum() == 1e6


@pytest.mark.parametrize("layout", LAYOUTS)
def test_cut_anywhere(file, layout):
    data = LAYOUTS[layout](writer.tensors({k: ARRAYS[k] for k in list(ARRAYS)[:3]}))
    for end in range(0, len(data), 3):
        refused(file(data[:end]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_changed_anywhere(file, layout):
    """A file with one byte changed is read or refused, and nothing else."""
    data = LAYOUTS[layout](writer.tensors({k: ARRAYS[k] for k in list(ARRAYS)[:3]}))
    luck = random.Random(0)
    for _ in range(300):
        bad = bytearray(data)
        bad[luck.randrange(len(bad))] = luck.randrange(256)
        path = file(bytes(bad))
        try:
            torch_files.read_state_dict(path)
        except UserError as e:
            assert str(e).startswith(str(path)) and "\n" not in str(e)
