"""machine.py, pickles.py, writing.py: official files in and out, and nothing is run."""

import io
import pickle
import pickletools
import random
import re
import struct
import sys
import tracemalloc

import golden
import numpy as np
import pytest

from stylegan_tf.errors import UserError
from stylegan_tf.official import tf_pickles, writing
from stylegan_tf.official.tf_pickles import NetworkState

GOLDENS = sorted(golden.FOLDER.glob("*_pickle_*.pkl")) or [None]
NETWORK = b"cdnnlib.tflib.network\nNetwork\n)\x81"


def array(*shape, dtype="f4"):
    return np.arange(np.prod(shape), dtype=dtype).reshape(shape)


def state(name="Gs", version=3, **kwargs):
    func = "D_basic" if name == "D" else "G_style"
    values = {"lod": np.float32(0.5), "4x4/Conv/weight": array(3, 3, 2, 2)}
    return NetworkState(version, name, kwargs, func, values)


def full(name="Gs", version=3):
    """A generator with its two parts and every type of setting."""
    found = state(name, version, num_channels=3, resolution=4, blur_filter=[1, 2, 1])
    found.static_kwargs |= {"a": None, "b": (True, -1.5, "é\n", b"\xff\0"), "c": 2**40}
    found.static_kwargs |= {"d": {4: 16, "x": {}}, "e": array(2), "f": ()}
    found.components = {
        part: NetworkState(version, f"G_{part}", {}, f"G_{part}", {"w": array(2, 3)})
        for part in ("synthesis", "mapping")
    }
    return found


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
    networks = tf_pickles.read(path)
    for key, found in networks.items():
        if found is None:
            assert path.stem.endswith(f"{stem}_Gs_only") and key != "Gs"
            continue
        head, arrays = f"vars/{key}/", found.collect()
        wanted = {n[len(head) :]: v for n, v in expected.items() if n.startswith(head)}
        assert set(arrays) == set(wanted) and found.version == version
        assert all(same(np.asarray(wanted[n]), a) for n, a in arrays.items())
    writing.write(tmp_path / "again.pkl", networks)
    assert same(tf_pickles.read(tmp_path / "again.pkl"), networks)


@pytest.mark.parametrize("version", [2, 3, 4])
def test_what_is_written_is_read(tmp_path, version):
    make = state if version == 2 else full
    networks = {"G": make("G", version), "D": state("D", version), "Gs": None}
    writing.write(tmp_path / "a.pkl", networks)
    found = tf_pickles.read(tmp_path / "a.pkl")
    networks["G"].variables["lod"] = np.asarray(np.float32(0.5))
    networks["D"].variables["lod"] = np.asarray(np.float32(0.5))
    assert same(found, networks)
    assert not found["G"].variables["4x4/Conv/weight"].flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == ["a.pkl"]


def test_parts_are_collected_under_their_names():
    names = ["lod", "4x4/Conv/weight", "G_synthesis/w", "G_mapping/w"]
    assert list(full().collect()) == names


@pytest.mark.parametrize("version", [2, 3])
def test_python_reads_what_is_written(tmp_path, version):
    """With the official class in reach, its own pickle gives the official state."""

    class Network:
        def __setstate__(self, state):
            self.state = state

    class Unpickler(pickle.Unpickler):
        def find_class(self, module, name):
            asked.add(f"{module}.{name}")
            return Network if name == "Network" else super().find_class(module, name)

    asked = set()
    written = state(version=2) if version == 2 else full()
    writing.write(tmp_path / "a.pkl", {"Gs": written})
    data = (tmp_path / "a.pkl").read_bytes()
    found = Unpickler(io.BytesIO(data)).load().state
    keys = "version name static_kwargs components build_module_src build_func_name "
    keys = [*keys.split(), "variables"]
    assert list(found) == [k for k in keys if version == 3 or k != "components"]
    assert same(found["static_kwargs"], written.static_kwargs)
    (lod, zero), (name, weight) = found["variables"]
    assert (lod, type(zero), zero, name) == ("lod", np.float32, 0.5, "4x4/Conv/weight")
    assert same(weight, array(3, 3, 2, 2)) and weight.flags.writeable
    assert re.fullmatch("#[^\n]*\n", found["build_module_src"])
    classes = {2: "tfutil.Network", 3: "dnnlib.tflib.network.Network"}
    assert classes[version] in asked
    assert "numpy.core.multiarray._reconstruct" in asked
    assert not any("numpy._core" in name for name in asked)
    protocols = [op.proto for op, _, _ in pickletools.genops(data)]
    assert max(protocols) == 2


class Stub:
    """Stands for the official class while Python's pickle writes."""

    def __init__(self, **state):
        self.__dict__.update(state)


def official(name="Gs", **change):
    values = {"version": 3, "name": name, "static_kwargs": {}, "components": {}}
    values |= {"build_module_src": "raise SystemExit", "build_func_name": "G_style"}
    return Stub(**(values | {"variables": []} | change))


def dumped(value, protocol=4):
    """What Python's own pickle writes for networks, in the official class's name."""

    class Pickler(pickle._Pickler):
        def save_global(self, obj, name=None):
            names = {Stub: "dnnlib.tflib.network Network", Easy: "dnnlib.util EasyDict"}
            if obj not in names:
                return super().save_global(obj, name)
            module, name = names[obj].split()
            if self.proto < 4:
                self.write(f"c{module}\n{name}\n".encode())
            else:
                self.save(module), self.save(name), self.write(b"\x93")
            return self.memoize(obj)

    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


class Easy(dict):
    """Stands for dnnlib's EasyDict."""


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
    found = tf_pickles.read(file(dumped((None, None, network), protocol)))["Gs"]
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
    found = tf_pickles.read(file(b"\x80\2" + NETWORK + b"}(" + items + b"ub."))["Gs"]
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
    found = tf_pickles.read(file(dumped(content)))
    names = {key: value and value.name for key, value in found.items()}
    assert names == dict.fromkeys(["G", "D", "Gs"]) | places


# ---------------------------------------------------------------------------
# Files that are something else


def refused(path, words=""):
    """The one line in which a file is refused."""
    with pytest.raises(UserError) as caught:
        tf_pickles.read(path)
    message = str(caught.value)
    assert message.startswith(str(path)) and "\n" not in message
    assert words in message
    return message


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
        ({"version": 1}, "version '1'; 2 to 5"),
        ({"version": [3]}, "version list"),
        ({"version": 2}, "differs in 'components'"),
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
        writing.write(tmp_path / "a.pkl", networks)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_the_old_file(tmp_path):
    writing.write(tmp_path / "a.pkl", {"Gs": state()})
    before = (tmp_path / "a.pkl").read_bytes()
    with pytest.raises(UserError, match="is not written"):
        writing.write(tmp_path / "a.pkl", {"Gs": state(x=object())})
    assert (tmp_path / "a.pkl").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(UserError, match="cannot be written"):
        writing.write(tmp_path / "none" / "a.pkl", {"Gs": state()})


# ---------------------------------------------------------------------------
# Files made to do harm. SENTINEL is replaced by the path of a file that they try to
# make, or to read; the same programs do make it where Python's pickle runs them.

ATTACKS = {
    "os.system": b"cos\nsystem\nVtouch SENTINEL\n\x85R.",
    "posix.system": b"cposix\nsystem\nVtouch SENTINEL\n\x85R.",
    "subprocess.call": b"csubprocess\ncall\n](Vtouch\nVSENTINEL\ne\x85R.",
    "builtins.eval": b"cbuiltins\neval\nVopen('SENTINEL', 'w')\n\x85R.",
    "__builtin__.exec": b"c__builtin__\nexec\nVopen('SENTINEL', 'w')\n\x85R.",
    "builtins.getattr": b"cbuiltins\ngetattr\ncos\nsystem\nVx\n\x86R.",
    "builtins.open": b"cbuiltins\nopen\nVSENTINEL\nVw\n\x86R.",
    "functools.partial": b"cfunctools\npartial\ncos\nsystem\n\x85\x81.",
    "copyreg._reconstructor": b"ccopyreg\n_reconstructor\ncbuiltins\nobject\n0.",
    "numpy.load": b"cnumpy\nload\nVSENTINEL\n\x85R.",
    "numpy.fromfile": b"cnumpy\nfromfile\nVSENTINEL\n\x85R.",
    "numpy.core.multiarray.fromfile": b"cnumpy.core.multiarray\nfromfile\n.",
    "numpy.f2py.os.system": b"cnumpy.f2py\nos.system\nVtouch SENTINEL\n\x85R.",
    "collections.OrderedDict.fromkeys": b"ccollections\nOrderedDict.fromkeys\n.",
    "dnnlib.tflib.network.os.system": b"Vdnnlib.tflib.network\nVos.system\n\x93.",
    "builtins.str": b"cbuiltins\nstr\nVx\n\x85\x81.",
    "_codecs.decode": b"c_codecs\ndecode\n.",
    "dnnlib.util.call_func_by_name": b"cdnnlib.util\ncall_func_by_name\n.",
    "importlib.import_module": b"cimportlib\nimport_module\nVos\n\x85R.",
    "tfutil.Network.__init__.__globals__": b"ctfutil\nNetwork.__init__.__globals__\n.",
}


@pytest.mark.parametrize("asked", ATTACKS)
@pytest.mark.parametrize("inside", [False, True], ids=["alone", "in a network"])
def test_names_that_networks_do_not_need(file, tmp_path, asked, inside):
    sentinel, before = tmp_path / "sentinel", set(sys.modules)
    program = ATTACKS[asked].replace(b"SENTINEL", str(sentinel).encode())
    head = b"\x80\2" + (NETWORK + b"}(Vname\n" if inside else b"")
    message = refused(file(head + program), f"asks for '{asked}'")
    assert message.endswith("which no network needs; not run.")
    assert not sentinel.exists() and set(sys.modules) == before


def test_the_attacks_are_real(tmp_path):
    """Python's own machine would have made the file."""
    sentinel = tmp_path / "sentinel"
    program = ATTACKS["builtins.open"].replace(b"SENTINEL", str(sentinel).encode())
    pickle.loads(b"\x80\2" + program)
    assert sentinel.exists()


DTYPE = b"cnumpy\ndtype\nVf4\n\x89\x88\x87R"
ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\0\x85C\1b\x87R"
NAME = b"cdnnlib.tflib.network\nNetwork\n"
BIG = b"\x8a\x06" + (1 << 40).to_bytes(6, "little")


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (b"Vx\n)R.", "calls 'x'"),
        (b"K\1)\x81.", "calls '1'"),
        (b"cnumpy\nndarray\n)R.", "calls 'numpy.ndarray'"),
        (b"cnumpy\nndarray\n)\x81.", "calls 'numpy.ndarray'"),
        (NAME + b")R.", "calls 'dnnlib.tflib.network.Network'"),
        (b"cnumpy\ndtype\n)\x81.", "calls 'numpy.dtype'"),
        (NAME + b"]R.", "which no network needs"),
        (b"ccollections\nOrderedDict\n]R.", "arguments are no tuple"),
        (NAME + b"K\1\x85\x81.", "is damaged"),
        (NAME + b"}Vx\nK\1sb.", "sets the state of 'dnnlib.tflib.network.Network'"),
        (b"cnumpy\ndtype\n}Vx\nK\1sb.", "sets the state of 'numpy.dtype'"),
        (NETWORK + b"N}Vx\nK\1s\x86b.", "something else than its state"),
        (NETWORK + b"}b}b.", "something else than its state"),
        (NETWORK + b"Vx\nK\1s.", "fills something that is no dict"),
        (b"}}Vx\nK\1sb.", "sets the state of dict"),
        (b"}N}Vx\nK\1s\x86b.", "sets the state of dict"),
        (b"cnumpy\ndtype\nVO\n\x89\x88\x87R.", "array of type 'O'"),
        (b"cnumpy\ndtype\nVV8\n\x89\x88\x87R.", "array of type 'V8'"),
        (b"cnumpy\ndtype\n](Vf4\ne\x89\x88\x87R.", "array of type list"),
        (
            DTYPE + b"(K\3V<\n" + DTYPE + b"NNJ\0\0\0\0J\0\0\0\0K\0tb.",
            "describes a type",
        ),
        (b"c_codecs\nencode\nVx\nVrot13\n\x86R.", "another encoding than latin1"),
        (b"c_codecs\nencode\nV\\u1234\nVlatin1\n\x86R.", "is damaged"),
        (ARRAY + b"(K\1" + BIG + b"\x85" + DTYPE + b"\x89C\4abcdtb.", "do not fill"),
        (ARRAY + b"(K\1J\xff\xff\xff\xff\x85" + DTYPE + b"\x89C\0tb.", "cannot be"),
        (ARRAY + b"(K\1(K\0" + BIG * 4 + b"t" + DTYPE + b"\x89C\0tb.", ""),
        (ARRAY + b"(K\1)" + DTYPE + b"\x89]Natb.", "array made of list"),
        (ARRAY + b"(K\1)" + DTYPE + b"NC\4abcdtb.", "in a way that NumPy does not"),
        (b"](" + b"K\1" * 33 + b"te.", "is damaged"),
        (b"r\0\0\0\x80.", "is damaged"),  # memo index 2**31, with nothing to put there
        (b"Nr\0\0\0\x80j\1\0\0\0.", "is damaged"),
        (b"\x8d" + struct.pack("<Q", 2**60) + b"x.", "is cut short"),
        (b"\x8e" + struct.pack("<Q", 2**60) + b"x.", "is cut short"),
        (b"\x96" + struct.pack("<Q", 2**64 - 1) + b"x.", "is cut short"),
        (b"B\xff\xff\xff\xffx.", "is cut short"),
        (b"T\xff\xff\xff\x7fx.", "is cut short"),
        (b"\x8b\xff\xff\xff\x7fx.", "is cut short"),
        (b"\x95" + struct.pack("<Q", 2**62) + b"N.", "holds a NoneType"),
        (b"\x97.", "uses NEXT_BUFFER"),
        (b"N\x98.", "uses READONLY_BUFFER"),
        (b"\x82\1.", "uses EXT1"),
        (b"(ios\nsystem\n.", "uses INST"),
        (b"(cos\nsystem\no.", "asks for 'os.system'"),
        (b"(No.", "uses OBJ"),
        (NAME + b")}\x92.", "uses NEWOBJ_EX"),
        (b"\x8f(](Ne\x90.", "a key that is neither"),
        (b"\x8f(]\x90.", "a key that is neither"),
        (b"}(K\1u.", "is damaged"),
        (b"K\1K\2\x93.", "by what is no name"),
        (b".", "is damaged"),
        (b"e.", "is damaged"),
        (b"0.", "is damaged"),
        (b"2.", "is damaged"),
        (b"\x87.", "is damaged"),
        (b"I" + b"9" * 5000 + b"\n.", "is cut short, damaged"),
        (b"Fnan?\n.", "is cut short, damaged"),
        (b"S'\\x'\n.", "is cut short, damaged"),
        (b"\xff.", "is cut short, damaged"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_programs_that_mean_harm(file, program, words):
    tracemalloc.start()
    try:
        refused(file(b"\x80\5" + program), words)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def named(settings):
    """A network with these bytes as its settings."""
    data = dumped(official(static_kwargs={"x": "HERE"}))
    place = b"\x8c\4HERE\x94"
    assert place in data
    return data.replace(place, settings)


PUT, GET = b"r\xff\xff\0\0", b"j\xff\xff\0\0"


def grown(seed, step, count):
    """A value put in the place of GET in `step`, and that in the next, and so on."""
    return seed + PUT + b"0" + (step + PUT + b"0") * count + GET


DOUBLED = grown(b"]", b"](" + GET + GET + b"e", 60)  # 2**60 lists, seen one by one
DEEP, MUCH = "nests its settings too deep", "unfolds to far more than networks need"
ORDERED = b"ccollections\nOrderedDict\nq\0](" + b"](K\1Ne" * 15_000
LATIN = b"c_codecs\nencode\nq\0X\x40\x42\x0f\0" + b"a" * 10**6 + b"Vlatin1\n"
FLOATS = DTYPE + b"(K\3V>\nNNNK\0K\0K\0tbq\0B\0\x09\x3d\0" + b"a" * 4_000_000
FLOATS += b"q\1cnumpy.core.numeric\n_frombuffer\nq\2"
BOMBS = {
    "nested lists": (named(b"]" * 20_000 + b"a" * 19_999), DEEP),
    "nested tuples": (named(b")" + b"\x85" * 30_000), DEEP),
    "nested dicts": (named(grown(b"}", b"}Vx\n" + GET + b"s", 10_000)), DEEP),
    "a list in itself": (named(b"]" + PUT + GET + b"a"), DEEP),
    "doubled lists": (named(DOUBLED), DEEP),
    "lists times four": (named(grown(b"]", b"](" + GET * 4 + b"e", 9)), MUCH),
    "doubled lists as a name": (b"\x80\4" + DOUBLED + b"Vx\n\x93.", "what is no name"),
    "a key that is doubled tuples": (b"\x80\2})" + b"2\x86" * 60 + b"Ns.", "a key"),
    "many operations": (b"\x80\2" + b"N" * 300_000 + b".", "more than 100000 oper"),
    "many sets": (b"\x80\4" + b"\x8f" * 300_000 + b".", "more than 100000 oper"),
    "many marks": (b"\x80\2" + b"(" * 300_000 + b".", "more than 100000 oper"),
    "one dict again and again": (
        b"\x80\2" + ORDERED + b"e\x85q\0010" + b"h\0h\1R" * 8_000 + b".",
        MUCH,
    ),
    "one string again and again": (
        b"\x80\2" + LATIN + b"\x86q\0010" + b"h\0h\1R" * 10_000 + b".",
        MUCH,
    ),
    "one array again and again": (
        b"\x80\4" + FLOATS + b"h\2(h\1h\0J\x40\x42\x0f\0\x85VC\ntR" * 1000 + b".",
        MUCH,
    ),
}


@pytest.mark.parametrize("name", BOMBS)
def test_memory_follows_the_size_of_the_file(file, name):
    data, words = BOMBS[name]
    path = file(data)
    tracemalloc.start()
    try:
        refused(path, words)
        assert tracemalloc.get_traced_memory()[1] < 4 * len(data) + 25e6
    finally:
        tracemalloc.stop()


def test_networks_in_networks_end(file):
    network = official("deep")
    network.components = {"x": network}
    refused(file(dumped(network)), "in the place of a network")
    wide = official("leaf", variables=[("w", array(1))])
    for level in range(3):
        names = {f"n{i}": wide for i in range(5)}
        copies = {k: official(k, components=v.components) for k, v in names.items()}
        wide = official(f"level{level}", components=copies)
    refused(file(dumped(wide)), "unfolds to far more")


def test_reading_takes_about_what_the_file_does(file):
    values = {f"v{i}": np.full(500_000, i, "f4") for i in range(4)}
    for protocol in (2, 4):
        path = file(dumped(official(variables=list(values.items())), protocol))
        size = path.stat().st_size
        tracemalloc.start()
        found = tf_pickles.read(path)["Gs"]
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3.5 * size and kept < 1.1 * size
        assert found.variables["v3"][-1] == 3


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.pkl"
    writing.write(path, {"Gs": state(resolution=4)})
    return path.read_bytes()


def test_cut_anywhere(file, small):
    for end in range(len(small)):
        refused(file(small[:end]))
    assert tf_pickles.read(file(small + b"more"))["Gs"]


def test_flipped_anywhere(file, small):
    """A wrong byte is refused, or lies in a value and keeps the types right."""
    rng, read = random.Random(5), 0
    sources = [small, dumped(official(variables=[("w", array(3))]), 4)]
    for i in range(600):
        data = bytearray(sources[i % 2])
        for _ in range(rng.choice([1, 1, 3])):
            data[rng.randrange(2, len(data))] = rng.randrange(256)
        path = file(bytes(data))
        try:
            found = tf_pickles.read(path)
        except UserError as e:
            assert str(e).startswith(str(path)) and "\n" not in str(e)
            continue
        read += 1
        states = [s for s in found.values() if s is not None]
        assert all(isinstance(s, NetworkState) for s in states) and states
        for value in states[0].collect().values():
            assert isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    assert 0 < read < 600
