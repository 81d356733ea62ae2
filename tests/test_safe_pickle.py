"""formats/safe_pickle.py: files made to do harm run nothing and take no memory."""

import pickle
import random
import struct
import sys
import tracemalloc

import numpy as np
import pytest
from pickle_files import NETWORK, array, dumped, official, refused, state

from stylegan_tf.errors import UserError
from stylegan_tf.official import tf_pickles, writing
from stylegan_tf.official.tf_pickles import NetworkState


@pytest.fixture
def file(tmp_path):
    """Writes bytes into a file."""

    def write(data: bytes):
        path = tmp_path / "network.pkl"
        path.write_bytes(data)
        return path

    return write


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


def test_a_progressive_gan_is_refused_by_name(file):
    program = b"\x80\2ctfutil\nNetwork\n)\x81}b."
    assert "is a progressive GAN (2018), not supported; only" in refused(file(program))


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
        found = tf_pickles.read_pickle(path)["Gs"]
        kept, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 3.5 * size and kept < 1.1 * size
        assert found.variables["v3"][-1] == 3


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    path = tmp_path_factory.mktemp("small") / "small.pkl"
    writing.write_pickle(path, {"Gs": state(resolution=4)})
    return path.read_bytes()


def test_cut_anywhere(file, small):
    for end in range(len(small)):
        refused(file(small[:end]))
    assert tf_pickles.read_pickle(file(small + b"more"))["Gs"]


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
            found = tf_pickles.read_pickle(path)
        except UserError as e:
            assert str(e).startswith(str(path)) and "\n" not in str(e)
            continue
        read += 1
        states = [s for s in found.values() if s is not None]
        assert all(isinstance(s, NetworkState) for s in states) and states
        for value in states[0].collect().values():
            assert isinstance(value, np.ndarray) and value.dtype.kind in "fiub"
    assert 0 < read < 600
