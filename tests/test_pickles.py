"""official/tf_pickles.py, writing.py: official files in and out."""

import io
import pickle
import pickletools
import re

import golden
import numpy as np
import pytest
from pickle_files import NETWORK, Easy, array, dumped, full, official, refused, state

from stylegan_tf.errors import UserError
from stylegan_tf.official import tf_pickles, writing
from stylegan_tf.official.tf_pickles import NetworkState

GOLDENS = sorted(golden.FOLDER.glob("*_pickle_*.pkl")) or [None]


def same(a, b):
    """Whether two states, settings or arrays are equal, types included."""
    if isinstance(a, np.ndarray):
        return (a.dtype, a.shape) == (b.dtype, b.shape) and np.array_equal(a, b)
    if isinstance(a, NetworkState):
        return same(vars(a), vars(b))
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        pairs = len(a) == len(b) and zip(a, b, strict=True)
        return type(a) is type(b) and pairs and all(same(x, y) for x, y in pairs)
    return type(a) is type(b) and a == b


@pytest.fixture
def file(tmp_path):
    """Writes bytes into a file."""

    def write(data: bytes):
        path = tmp_path / "network.pkl"
        path.write_bytes(data)
        return path

    return write


# ---------------------------------------------------------------------------
# Files as they should be


@pytest.mark.parametrize("path", GOLDENS, ids=lambda path: path and path.stem)
def test_official_files_are_read_exactly(path, tmp_path):
    if path is None:
        pytest.skip("no official pickles here; set STYLEGAN_TF_GOLDENS")
    version = 3 if path.name.startswith("v1") else 4
    stem = re.match(r"(.+_r\d+)_", path.name)[1]
    with np.load(path.with_name(f"{stem}_expected.npz")) as file:
        expected = {name: file[name] for name in file.files if name[:5] == "vars/"}
    networks = tf_pickles.read_pickle(path)
    for key, found in networks.items():
        if found is None:
            assert path.stem.endswith(f"{stem}_Gs_only") and key != "Gs"
            continue
        head, arrays = f"vars/{key}/", found.collect()
        wanted = {n[len(head) :]: v for n, v in expected.items() if n.startswith(head)}
        assert set(arrays) == set(wanted) and found.version == version
        assert all(same(np.asarray(wanted[n]), a) for n, a in arrays.items())
    writing.write_pickle(tmp_path / "again.pkl", networks)
    assert same(tf_pickles.read_pickle(tmp_path / "again.pkl"), networks)


@pytest.mark.parametrize("version", [3, 4])
def test_what_is_written_is_read(tmp_path, version):
    networks = {"G": full("G", version), "D": state("D", version), "Gs": None}
    writing.write_pickle(tmp_path / "a.pkl", networks)
    found = tf_pickles.read_pickle(tmp_path / "a.pkl")
    networks["G"].variables["lod"] = np.asarray(np.float32(0.5))
    networks["D"].variables["lod"] = np.asarray(np.float32(0.5))
    assert same(found, networks)
    assert not found["G"].variables["4x4/Conv/weight"].flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == ["a.pkl"]


def test_parts_are_collected_under_their_names():
    names = ["lod", "4x4/Conv/weight", "G_synthesis/w", "G_mapping/w"]
    assert list(full().collect()) == names


def test_python_reads_what_is_written(tmp_path):
    """With the official class in reach, its own pickle gives the official state."""

    class Network:
        def __setstate__(self, state):
            self.state = state

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            asked.add(f"{module}.{name}")
            return Network if name == "Network" else super().find_class(module, name)

    asked = set()
    written = full()
    writing.write_pickle(tmp_path / "a.pkl", {"Gs": written})
    data = (tmp_path / "a.pkl").read_bytes()
    found = Unpickler(io.BytesIO(data)).load().state
    keys = "version name static_kwargs components build_module_src build_func_name "
    assert list(found) == [*keys.split(), "variables"]
    assert same(found["static_kwargs"], written.static_kwargs)
    (lod, zero), (name, weight) = found["variables"]
    assert (lod, type(zero), zero, name) == ("lod", np.float32, 0.5, "4x4/Conv/weight")
    assert same(weight, array(3, 3, 2, 2)) and weight.flags.writeable
    assert re.fullmatch("#[^\n]*\n", found["build_module_src"])
    assert "dnnlib.tflib.network.Network" in asked
    assert "numpy.core.multiarray._reconstruct" in asked
    assert not any("numpy._core" in name for name in asked)
    protocols = [op.proto for op, _, _ in pickletools.genops(data)]
    assert max(protocols) == 2


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_of_every_kind_and_protocol(file, protocol):
    kinds = "f2 f4 f8 i1 i2 i4 i8 u1 u2 u4 u8 ? >f4 >i2"
    arrays = {kind: array(6).astype(kind).reshape(2, 3) for kind in kinds.split()}
    arrays |= {"F": array(2, 3, 4).T, "K": array(2, 3, 4).transpose(1, 0, 2)}
    arrays |= {"flat": array(5)[::2], "number": np.float16(3), "none": array(1)[0]}
    if protocol > 2:  # there, Python itself writes no bytes as a call of `bytes`
        arrays["empty"] = array(0, 3)
    settings = Easy(x=np.int64(3), y=Easy(z=[1, (2,)]))
    network = official(variables=list(arrays.items()), static_kwargs=settings)
    found = tf_pickles.read_pickle(file(dumped((None, None, network), protocol)))["Gs"]
    assert same(found.static_kwargs, {"x": 3, "y": {"z": [1, (2,)]}})
    for name, wanted in arrays.items():
        native = np.asarray(wanted, np.dtype(wanted.dtype).newbyteorder("="))
        assert same(found.variables[name], native), name


def text(value):
    return b"U" + bytes([len(value)]) + value


def test_python_2_wrote_strings(file):
    dtype = b"cnumpy\ndtype\n" + text(b"f4") + b"K\0K\1\x87R(K\3" + text(b"<")
    dtype += b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"
    make = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85"
    values = np.array([1.5, -200.25], "<f4").tobytes()
    data = make + text(b"b") + b"\x87R(K\1K\2\x85" + dtype + b"\x89" + text(values)
    pair = text(b"w") + data + b"tb\x86"
    scalar = b"cnumpy.core.multiarray\nscalar\n" + dtype + text(values[4:]) + b"\x86R"
    pair += text(b"lod") + scalar + b"\x86"
    ordered = b"ccollections\nOrderedDict\n](](" + text(b"n") + b"K\7ee\x85R"
    items = b"".join(
        text(key) + value
        for key, value in {
            b"version": b"K\3",
            b"name": text(b"Gs"),
            b"static_kwargs": ordered,
            b"components": b"}",
            b"build_module_src": text(b"x"),
            b"build_func_name": text(b"G_style"),
            b"variables": b"](" + pair + b"e",
        }.items()
    )
    found = tf_pickles.read_pickle(file(b"\x80\2" + NETWORK + b"}(" + items + b"ub."))[
        "Gs"
    ]
    assert same(found.variables["w"], np.array([1.5, -200.25], "f4"))
    assert same(found.variables["lod"], np.array(-200.25, "f4"))
    assert found.static_kwargs == {"n": 7}


@pytest.mark.parametrize(
    ("content", "places"),
    [
        (official("Gs"), {"Gs": "Gs"}),
        (official("G"), {"G": "G"}),
        (official("D", build_func_name="x"), {"D": "D"}),
        (official("mine"), {"Gs": "mine"}),
        (official("x", build_func_name="D_stylegan2"), {"D": "x"}),
        ([official("G"), None, official("Gs")], {"G": "G", "Gs": "Gs"}),
        (
            {"G_ema": official("E"), "D": official("D"), "more": 1},
            {"Gs": "E", "D": "D"},
        ),
    ],
)
def test_networks_find_their_places(file, content, places):
    found = tf_pickles.read_pickle(file(dumped(content)))
    names = {key: value and value.name for key, value in found.items()}
    assert names == dict.fromkeys(["G", "D", "Gs"]) | places


# ---------------------------------------------------------------------------
# Files that are something else


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is empty"),
        (b"\x80", "is cut short"),
        (b"just some text\n", "is not a pickle"),
        (b"(dp0\n.", "is not a pickle of protocol 2 to 5"),
        (b"\x80\x06.", "is not a pickle"),
        (b"<!DOCTYPE html>", "is a web page"),
        (b"PK\x03\x04....", "is a zip file, as PyTorch and Keras"),
        (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + b"...", "is a PyTorch pickle"),
        (b"\x80\2(Q.", "is a PyTorch pickle"),
        (b"\x80\2ctorch._utils\n_rebuild_tensor_v2\n.", "is a PyTorch pickle"),
        (b"\x80\2ctorch_utils.persistence\nx\n.", "only network pickles"),
        (pickle.dumps([1, 2], 4), "holds 2 things and not (G, D, Gs)"),
        (pickle.dumps((None,) * 3), "holds no network"),
        (pickle.dumps({"a": 1}), "holds no network"),
        (pickle.dumps("text"), "holds a 'text' and no networks"),
        (pickle.dumps((1, 2, 3)), "something else in the place of a network"),
        (NETWORK.join([b"\x80\2", b"."]), "something else in the place of a network"),
    ],
)
def test_other_files_are_named(file, data, words):
    refused(file(data), words)


def test_places_that_are_no_file(tmp_path):
    refused(tmp_path / "nothing.pkl", "does not exist")
    refused(tmp_path, "is no file")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"version": 1}, "version '1'; 3 to 5"),
        ({"version": [3]}, "version list"),
        ({"version": 2}, "version '2'; 3 to 5"),
        ({"surprise": 1}, "differs in 'surprise'"),
        ({"name": 5}, "something named '5'"),
        ({"name": "a\nb"}, "something named 'a\\nb'"),
        ({"name": "x" * 1000}, "x...', which is no name"),
        ({"static_kwargs": []}, "static_kwargs is no dict"),
        ({"static_kwargs": {"x": {(1, 2): 3}}}, "a key that is neither"),
        ({"static_kwargs": {"x": 1 << 70}}, "more than 64 bits"),
        ({"build_module_src": None}, "source is no str"),
        ({"build_func_name": b"G"}, "something named bytes"),
        ({"variables": {}}, "variables is no list"),
        ({"variables": ["ab"]}, "not pairs of name and array"),
        ({"variables": [("a", 1.0)]}, "variable 'a' that is no array"),
        ({"variables": [("a", array(1))] * 2}, "two variables 'a'"),
        ({"variables": [("a", np.array(["x"]))]}, "array of type 'U1'"),
        ({"variables": [("a", np.array([None]))]}, "array of type 'O8'"),
        ({"variables": [("a", array(1).astype("c8"))]}, "array of type 'c8'"),
        ({"components": {"x": 1}}, "in the place of a network"),
        ({"components": {"x": official("A"), "y": official("A")}}, "of one name"),
        ({"name": "vgg", "build_func_name": "vgg16"}, "neither a generator nor"),
    ],
)
def test_states_are_checked(file, change, words):
    refused(file(dumped(official(**change))), words)


@pytest.mark.parametrize(
    ("networks", "words"),
    [
        ({}, "write some of G, D and Gs"),
        ({"Gs": None}, "write some of G, D and Gs"),
        ({"E": state()}, "write some of G, D and Gs, not ['E']"),
        ({"Gs": state(version=7)}, "version 7"),
        ({"Gs": full(version=2)}, "version 2"),
        ({"Gs": state(x={1})}, "has set in it"),
        ({"Gs": state(x=object())}, "no plain value but object"),
        ({"Gs": state(x=1 << 70)}, "more than 64 bits"),
        ({"Gs": state(name="")}, "named ''"),
    ],
)
def test_what_cannot_be_read_is_not_written(tmp_path, networks, words):
    with pytest.raises(UserError, match=re.escape(words)):
        writing.write_pickle(tmp_path / "a.pkl", networks)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    writing.write_pickle(tmp_path / "a.pkl", {"Gs": state()})
    before = (tmp_path / "a.pkl").read_bytes()
    with pytest.raises(UserError, match="is not written"):
        writing.write_pickle(tmp_path / "a.pkl", {"Gs": state(x=object())})
    assert (tmp_path / "a.pkl").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UserError, match="cannot be written"):
        writing.write_pickle(tmp_path / "none" / "a.pkl", {"Gs": state()})
