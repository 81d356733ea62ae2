"""Whatever is read comes out as data or as a `UserError`: random and damaged inputs.

The examples are few and the same each time; `tests/faults/bad_input.py` tries more.
"""

import contextlib
import io
import json
import math
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from launching import VERBS
from stylegan_tf_launch import parsing
from torch_files import MAGIC

from stylegan_tf import config, latents
from stylegan_tf.config import TrainConfig, limits
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.data.sources import labels
from stylegan_tf.errors import UserError
from stylegan_tf.formats import arrays, safetensors_files, tfrecords, torch_files
from stylegan_tf.latents import directions
from stylegan_tf.metrics import suite
from stylegan_tf.official import rosinality, tf_pickles, torch_pickles

few = settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
NUMBERS = st.one_of(
    st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([0, -1, 1, 10**400])
)
SCALARS = st.one_of(st.none(), st.booleans(), NUMBERS, st.text(max_size=8))
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=4), inner)
    ),
    max_leaves=6,
)


def told(function, *arguments):
    """The result of a reader, None if it raises an error with a message for users."""
    try:
        return function(*arguments)
    except (UserError, OSError) as error:
        assert str(error)
        return None


# ---------------------------------------------------------------------------
# Settings


@pytest.mark.parametrize("name", config.flat(TrainConfig()))
@settings(few, max_examples=6)
@given(value=VALUES)
def test_any_value_of_any_setting(name, value):
    before = TrainConfig()
    changed = told(config.update, before, {name: value})
    told(config.check_changes, {name: value})
    if changed is not None:
        text = json.dumps(config.to_dict(changed))
        assert config.from_dict(TrainConfig, json.loads(text)) == changed
        found = config.flat(changed)[name]
        assert not isinstance(found, float) or math.isfinite(found)


@few
@given(text=st.text(max_size=30), name=st.sampled_from([*config.flat(TrainConfig())]))
def test_any_text_of_any_setting(name, text):
    told(config.update, TrainConfig(), {name: text})
    told(config.check_changes, {text: name, name: text})


@few
@given(values=st.dictionaries(st.sampled_from(["generator", "seed", "x"]), VALUES))
def test_any_config_of_a_file(values):
    told(config.from_dict, TrainConfig, values)


def numbers_within(limit: limits.Range) -> st.SearchStrategy:
    return st.floats(
        limit.least, limit.most, exclude_min=limit.above, exclude_max=limit.below
    )


@few
@given(data=st.data())
def test_what_is_in_range_is_accepted(data):
    for cls in (config.LossConfig, config.AugmentConfig, config.ScheduleConfig):
        for name, hint in limits.declared_types(cls).items():
            limit = limits.limit_of(cls, name)
            if isinstance(limit, limits.Range) and hint.__args__[0] is float:
                value = data.draw(numbers_within(limit))
                limits.check_field(cls, name, value)


# ---------------------------------------------------------------------------
# Flags and notation

SIGNS = st.text("0123456789-,.:@eE xnaifpc~/=[]{}\"'\0٣é", max_size=24)


@few
@given(text=SIGNS)
def test_any_notation(text):
    seeds = told(latents.parse_numbers, text)
    assert seeds is None or all(
        0 <= seed <= latents.notation.MAX_SEED for seed in seeds
    )
    for parse in (latents.parse_layers, latents.parse_psi, latents.parse_mix):
        told(parse, text, 18)
    told(latents.parse_edit, text, 18)
    told(latents.parse_sweep, text)
    told(config.parse_resolution, text)
    told(suite.parse_metrics, [text])


@pytest.mark.parametrize("verb", VERBS)
@settings(few, max_examples=25)
@given(data=st.data())
def test_any_flag_is_parsed_or_refused(verb, data):
    module = VERBS[verb]
    names = parsing.flag_names(module.main, module.FLAGS)
    name = data.draw(st.sampled_from(names))
    value = data.draw(st.one_of(SIGNS, NUMBERS.map(str)))
    with contextlib.suppress(UserError):
        parsing.parse(module.main, module.FLAGS, [verb, f"--{name}={value}"])
    found = module.FLAGS[name].value
    assert not isinstance(found, float) or math.isfinite(found)


# ---------------------------------------------------------------------------
# Files: random bytes, and sound files with bytes replaced


def damaged(whole: bytes) -> st.SearchStrategy:
    """The bytes of a file, some replaced, cut short or doubled."""
    places = st.integers(0, max(len(whole) - 1, 0))
    change = st.tuples(places, st.binary(min_size=0, max_size=4))

    def apply(changes: list, end: int) -> bytes:
        data = bytearray(whole)
        for place, new in changes:
            data[place : place + len(new)] = new
        return bytes(data[:end])

    cut = st.one_of(st.just(len(whole)), places)
    changed = st.builds(apply, st.lists(change, min_size=1, max_size=4), cut)
    return st.one_of(changed, st.binary(max_size=64))


def npz(**arrays) -> bytes:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def safetensors() -> bytes:
    tensor = {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 16]}
    head = json.dumps({"w": tensor, "__metadata__": {"a": "b"}}).encode()
    return len(head).to_bytes(8, "little") + head + bytes(16)


def torch_zip() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a/data.pkl", pickle.dumps({"g_ema": {}}, 2))
        archive.writestr("a/version", "3\n")
    return file.getvalue()


LABELS = b'{"labels": [["a.png", 0], ["b.png", 1]]}'
PICKLE = pickle.dumps(({"a": [1.5, "x", (None, b"y")]}, 2, 3), 4)
LEGACY = b"".join(pickle.dumps(x, 2) for x in (MAGIC, 1001, {}, {"w": 1}, []))
MANIFEST = json.dumps({"version": 1, "count": 3, "levels": {"8": {"files": []}}})


VECTOR = np.eye(1, 8, dtype="f4")
DIRECTIONS = {"names": np.array(["a"]), "vectors": VECTOR, "source": np.array("x")}
DIRECTIONS |= {"scales": np.ones(1, "f4"), "quality": np.ones(1, "f4")}
DIRECTIONS |= {"layers": np.array([0, 1])}


def open_manifest(path):
    folder = path.with_suffix(".folder")
    folder.mkdir(exist_ok=True)
    (folder / "manifest.json").write_bytes(path.read_bytes())
    return Manifest.load(folder)


def read_records(path):
    for offset in tfrecords.scan_records(path):
        record = tfrecords.read_record(path, int(offset))
        with contextlib.suppress(Exception):  # which its callers expect
            tfrecords.parse_example(record)


def read_label_file(path):
    return labels.from_file(path.read_bytes(), str(path), ["a.png", "b.png"])


RECORD = tfrecords.encode_example({"image": b"abc", "label": 3, "size": 7})


READERS = {
    "arrays.npz": (npz(ws=np.zeros((2, 4), "f4")), arrays.load_arrays),
    "latents.npz": (
        npz(ws=np.zeros((2, 4, 8), "f4")),
        lambda path: latents.load_latents(path, 4, 8),
    ),
    "directions.npz": (
        npz(**DIRECTIONS),
        lambda path: directions.load_directions(path, 4, 8),
    ),
    "table.csv": (b"seed,a\n1,2\n2,3\n", directions.read_labels),
    "tf.pkl": (PICKLE, tf_pickles.read_pickle),
    "torch.pkl": (PICKLE, torch_pickles.read_snapshot),
    "zip.pt": (torch_zip(), rosinality.read_rosinality),
    "legacy.pt": (LEGACY, torch_files.read_state_dict),
    "w.safetensors": (safetensors(), safetensors_files.read_safetensors),
    "manifest.json": (MANIFEST.encode(), open_manifest),
    "labels.json": (LABELS, read_label_file),
    "labels.csv": (b"file,label\na.png,1\nb.png,2\n", read_label_file),
    "r.tfrecords": (b"".join(tfrecords.frame_records([RECORD, RECORD])), read_records),
}


@pytest.mark.parametrize("name", READERS)
@few
@given(data=st.data())
def test_any_bytes_of_any_file(name, data, tmp_path_factory):
    whole, reader = READERS[name]
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data.draw(damaged(whole)))
    told(reader, path)


@pytest.mark.parametrize("name", READERS)
def test_sound_bytes_are_read(name, tmp_path):
    """Or the damage above would be tried on files that no reader gets far into."""
    whole, reader = READERS[name]
    (tmp_path / name).write_bytes(whole)
    if not name.endswith((".pkl", ".pt", "manifest.json")):  # which hold no network
        reader(tmp_path / name)
