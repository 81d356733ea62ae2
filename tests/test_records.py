"""Data sets on disk: exactness, faults, interruption, damage."""

import csv
import io
import json
import shutil
import signal
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from stylegan_tf.data import convert, pipeline, records, shards, sources
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError

GOLDENS = Path(__file__).parent / "goldens" / "tfrecords"
NUMBERS = np.random.RandomState(1)


def png(shape=(16, 16, 3), value=None) -> bytes:
    pixels = NUMBERS.randint(0, 256, shape) if value is None else np.full(shape, value)
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(file, "PNG")
    return file.getvalue()


def make_folder(root: Path, count: int = 20, **options) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (root / f"{i:03d}.png").write_bytes(png(**options))
    return root


def convert_folder(tmp_path: Path, count: int = 20, **options) -> Manifest:
    source = sources.open_source(str(make_folder(tmp_path / "in", count)))
    return records.write_dataset(source, tmp_path / "out", **options)


def examples(manifest: Manifest, level: int) -> list[dict]:
    """The records of a level, as any TensorFlow program would read them."""
    found = []
    for data in tf.data.TFRecordDataset(manifest.paths(level)).as_numpy_iterator():
        features = tf.train.Example.FromString(data).features.feature
        kinds = ("bytes_list", "int64_list", "float_list")
        item = {
            k: [*getattr(v, v.WhichOneof("kind")).value] for k, v in features.items()
        }
        assert all(v.WhichOneof("kind") in kinds for v in features.values())
        found.append(item)
    return found


def pixels(example: dict) -> np.ndarray:
    shape = [example[k][0] for k in ("height", "width", "channels")]
    data = example["image"][0]
    if example["encoding"] == [b"png"]:
        return np.asarray(Image.open(io.BytesIO(data))).reshape(shape)
    return np.frombuffer(data, np.uint8).reshape(shape)


def folders(path: Path) -> list[str]:
    return sorted(p.name for p in path.iterdir())


# ---------------------------------------------------------------------------
# What is written


@pytest.mark.parametrize("name", ["gray32", "rgb32"])
def test_levels_equal_the_official_ones(tmp_path, name):
    zipfile.ZipFile(GOLDENS / f"{name}.zip").extractall(tmp_path)
    want = np.load(GOLDENS / f"{name}_expected.npz")
    source = sources.open_source(str(tmp_path / name))
    made = records.write_dataset(source, tmp_path / "out")
    assert (made.resolution, made.channels) == (32, 1 if name == "gray32" else 3)
    for lod, level in enumerate((32, 16, 8, 4)):
        for example in examples(made, level):
            expected = want[f"images_lod{lod}"][example["index"][0]]
            np.testing.assert_array_equal(pixels(example), expected.transpose(1, 2, 0))
    assert records.check_dataset(tmp_path / "out") == []


def test_pictures_and_official_records_give_the_same_data_set(tmp_path):
    zipfile.ZipFile(GOLDENS / "rgb32.zip").extractall(tmp_path)
    first = records.write_dataset(
        sources.open_source(str(tmp_path / "png")), tmp_path / "a"
    )
    second = records.write_dataset(
        sources.open_source(str(tmp_path / "rgb32")), tmp_path / "b"
    )
    for level in first.levels:
        a, b = (
            {pixels(e).tobytes() for e in examples(m, level)} for m in (first, second)
        )
        assert a == b and len(a) > 1


def test_levels_share_an_order_which_is_not_the_source_s(tmp_path):
    made = convert_folder(tmp_path)
    orders = [[e["index"][0] for e in examples(made, n)] for n in made.levels]
    assert orders[0] == orders[1] == orders[2] != sorted(orders[0])
    assert sorted(orders[0]) == list(range(20))
    assert len(made.shard_counts) == convert.SHARDS_AT_LEAST - 1  # 3, 3, 3, ... 2


def test_png_where_it_pays(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "RAW_UP_TO", 8)
    make_folder(tmp_path / "flat", 3, value=7)
    make_folder(tmp_path / "noise", 3)
    kinds = {}
    for name in ("flat", "noise"):
        made = records.write_dataset(
            sources.open_source(str(tmp_path / name)), tmp_path / f"{name}2"
        )
        kinds[name] = [level.encoding for level in made.levels.values()]
        assert records.check_dataset(made.folder) == []
    assert kinds == {"flat": ["raw", "raw", "png"], "noise": ["raw"] * 3}
    assert pixels(examples(Manifest.load(tmp_path / "flat2"), 16)[0]).max() == 7


@pytest.mark.parametrize(
    ("shape", "options", "start_shape", "resolution", "channels"),
    [
        ((16, 24), {"crop": "none"}, (4, 6), 16, 1),
        ((24, 24, 3), {}, (4, 4), 16, 3),
        ((24, 24, 3), {"crop": "none"}, (6, 6), 16, 3),
        ((24, 30, 4), {"resolution": "16x24", "channels": 4}, (4, 6), 16, 4),
        ((24, 30, 4), {"resolution": 8, "crop": "pad"}, (4, 4), 8, 3),
        ((20, 24), {"channels": "3"}, (4, 4), 16, 3),
    ],
)
def test_sizes_and_channels(
    tmp_path, shape, options, start_shape, resolution, channels
):
    source = sources.open_source(str(make_folder(tmp_path / "in", 3, shape=shape)))
    made = records.write_dataset(source, tmp_path / "out", **options)
    assert (made.start_shape, made.resolution) == (start_shape, resolution)
    assert (made.channels, made.skipped) == (channels, 0)
    assert pixels(examples(made, resolution)[0]).shape == (*made.shape, channels)
    assert records.check_dataset(made.folder) == []


def test_settings_that_do_not_fit(tmp_path):
    source = sources.open_source(str(make_folder(tmp_path / "in", 2)))
    for options, message in [
        ({"resolution": "big"}, "not N or HEIGHTxWIDTH"),
        ({"resolution": "20x30"}, "nearest size"),
        ({"resolution": "2048"}, "at most 1024"),
        ({"crop": "cut"}, "choose one of center"),
        ({"channels": 2}, "choose auto, 1, 3 or 4"),
        ({"resolution": 64}, "too small for 64x64"),
    ]:
        with pytest.raises(UserError, match=message):
            records.write_dataset(source, tmp_path / "out", **options)
    assert folders(tmp_path) == ["in"]


def test_labels_of_each_kind(tmp_path):
    root = make_folder(tmp_path / "in", 4, shape=(8, 8))
    names = folders(root)
    vectors = {"labels": [[name, [i, 0.5]] for i, name in enumerate(names)]}
    (root / "dataset.json").write_text(json.dumps(vectors))
    made = records.write_dataset(sources.open_source(str(root)), tmp_path / "vectors")
    assert (made.label_size, made.class_names) == (2, [])
    for example in examples(made, 8):
        assert example["label"] == [-1]
        assert example["label_vector"] == [example["index"][0], 0.5]
    assert pipeline.dataset_labels(made).shape == (4, 2)
    assert records.check_dataset(made.folder) == []
    classes = {"labels": [[name, i % 3] for i, name in enumerate(names)]}
    (root / "dataset.json").write_text(json.dumps(classes))
    made = records.write_dataset(sources.open_source(str(root)), tmp_path / "classes")
    assert made.class_names == ["0", "1", "2"]
    assert all(e["label"] == [e["index"][0] % 3] for e in examples(made, 8))
    made = records.write_dataset(
        sources.open_source(str(root), "none"), tmp_path / "none"
    )
    assert [e["label"] for e in examples(made, 4)] == [[-1]] * 4


def test_max_images_takes_some_at_random(tmp_path):
    made = convert_folder(tmp_path, max_images=5)
    indices = [e["index"][0] for e in examples(made, 4)]
    assert len(set(indices)) == 5 and max(indices) > 5


# ---------------------------------------------------------------------------
# Pictures that cannot be used


def spoil(root: Path) -> dict[str, str]:
    """Adds bad pictures; their names and what is said about them."""
    (root / "empty.png").write_bytes(b"")
    (root / "half.png").write_bytes(png()[:300])
    (root / "small.png").write_bytes(png((7, 30, 3)))
    (root / "text.png").write_text("hello")
    return {"empty": "empty", "half": "damaged", "small": "too small", "text": "format"}


def test_bad_pictures_are_listed_with_their_reason(tmp_path):
    root = make_folder(tmp_path / "in")
    bad = spoil(root)
    made = records.write_dataset(sources.open_source(str(root)), tmp_path / "out")
    assert (made.count, made.skipped) == (20, 4)
    with open(tmp_path / "out" / "skipped.csv", encoding="utf-8") as f:
        rows = {row["file"]: row["reason"] for row in csv.DictReader(f)}
    assert rows.keys() == {f"{name}.png" for name in bad}
    for name, reason in bad.items():
        assert reason in rows[f"{name}.png"]
    assert records.check_dataset(tmp_path / "out") == []


def test_strict_fails_and_leaves_nothing(tmp_path):
    root = make_folder(tmp_path / "in")
    spoil(root)
    with pytest.raises(UserError, match="4 pictures cannot be used") as e:
        records.write_dataset(
            sources.open_source(str(root)), tmp_path / "out", strict=True
        )
    assert all(f"{name}.png: " in str(e.value) for name in ("empty", "half", "small"))
    assert folders(tmp_path) == ["in"]


def test_nothing_usable(tmp_path):
    root = make_folder(tmp_path / "in", 0)
    spoil(root)
    (root / "small.png").unlink()
    with pytest.raises(
        UserError, match="(?s)no picture can be used.*empty.png: the file"
    ):
        records.write_dataset(sources.open_source(str(root)), tmp_path / "out")
    (root / "small.png").write_bytes(png((4, 4, 3)))
    with pytest.raises(UserError, match="no picture can be used"):
        source = sources.open_source(str(root))
        records.write_dataset(source, tmp_path / "out", resolution=16)
    assert folders(tmp_path) == ["in"]


def test_a_destination_in_use_is_left_alone(tmp_path):
    made = convert_folder(tmp_path)
    source = sources.open_source(str(tmp_path / "in"))
    assert records.write_dataset(source, made.folder) == made
    with pytest.raises(UserError, match="already holds another data set"):
        records.write_dataset(source, made.folder, resolution=8)
    (tmp_path / "mine").mkdir()
    records.write_dataset(source, tmp_path / "mine")  # an empty folder is no obstacle
    with pytest.raises(UserError, match="is no data set"):
        records.write_dataset(source, tmp_path / "in")


def test_pictures_are_the_same_however_many_are_halved_at_once(tmp_path, monkeypatch):
    folder = make_folder(tmp_path / "in")
    for name in ("002.png", "011.png"):
        (folder / name).write_bytes(b"no picture")
    source, made = sources.open_source(str(folder)), []
    for size in (1, convert.BATCH_BYTES):
        monkeypatch.setattr(convert, "BATCH_BYTES", size)
        made.append(records.write_dataset(source, tmp_path / str(size), workers=1))
    assert (made[0].count, made[0].skipped) == (18, 2)
    assert made[0].levels == made[1].levels  # sizes and checksums of all files


# ---------------------------------------------------------------------------
# Interruption


SCRIPT = """
import os, pathlib, signal, sys
from stylegan_tf.data import records, shards, sources, workers

workers._START_PAYS = 0  # two processes, however little there is to do
print("once", flush=True)  # there is no main guard, and workers must not need one
write_shard = shards.RecordStore.write_shard

def write_or_die(store, work, shard, *rest):
    if str(shard) in sys.argv[1:]:
        pathlib.Path(work, shards.shard_name(4, shard)).write_bytes(b"half a record")
        os.kill(os.getpid(), signal.SIGKILL)
    if "interrupt" in sys.argv:
        os.killpg(0, signal.SIGINT)  # as a terminal does it, to the workers too
    return write_shard(store, work, shard, *rest)

shards.RecordStore.write_shard = write_or_die
records.write_dataset(sources.open_source("in"), "out", workers=2)
"""


def start_conversion(tmp_path: Path, count: int, *arguments: str) -> subprocess.Popen:
    make_folder(tmp_path / "in", count)
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, "script.py", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        command, cwd=tmp_path, text=True, start_new_session=True, **pipes
    )


def test_killed_conversions_are_no_data_sets_and_go_on(tmp_path, monkeypatch):
    process = start_conversion(tmp_path, 40, "3")
    assert process.communicate()[0] == "once\n"
    assert process.returncode == -signal.SIGKILL
    work = tmp_path / ".out.partial"
    assert folders(tmp_path) == [".out.partial", "in", "script.py"]
    for folder in (tmp_path / "out", work):
        with pytest.raises(UserError, match="not a finished data set"):
            pipeline.dataset(folder, 4, 4)
        assert "not a finished data set" in records.check_dataset(folder)[0]
    torn = work / "0008" / "00001.tfrecords"  # then its shard has to be made again
    torn.write_bytes(torn.read_bytes()[:-1])
    written = []
    write_shard = shards.RecordStore.write_shard
    monkeypatch.setattr(
        shards.RecordStore,
        "write_shard",
        lambda *a: written.append(a[2]) or write_shard(*a),
    )
    source = sources.open_source(str(tmp_path / "in"))
    made = records.write_dataset(source, tmp_path / "out", workers=1)
    assert written == [1, 3, 4, 5, 6, 7]
    assert records.check_dataset(tmp_path / "out") == []
    assert folders(tmp_path) == ["in", "out", "script.py"]
    assert folders(tmp_path / "out") == ["0004", "0008", "0016", "manifest.json"]
    assert records.write_dataset(source, tmp_path / "whole", workers=1) == made


def test_a_changed_source_starts_afresh(tmp_path):
    source = sources.open_source(str(make_folder(tmp_path / "in")))
    work = tmp_path / ".out.partial"
    work.mkdir()
    (work / "plan.json").write_text('"another"')
    (work / "0064").mkdir()
    (work / "shard-00000.json").write_text("{}")
    made = records.write_dataset(source, tmp_path / "out")
    assert "0064" not in folders(made.folder)
    assert records.check_dataset(made.folder) == []


def test_conversions_to_one_place_wait_for_each_other(tmp_path):
    other = start_conversion(tmp_path, 40)
    source = sources.open_source(str(tmp_path / "in"))
    with ThreadPoolExecutor(3) as pool:
        write = partial(records.write_dataset, source, tmp_path / "out", workers=1)
        made = [job.result() for job in [pool.submit(write) for _ in range(3)]]
    assert other.communicate()[0] == "once\n" and other.returncode == 0
    assert all(m == Manifest.load(tmp_path / "out") for m in made)
    assert records.check_dataset(tmp_path / "out") == []
    assert folders(tmp_path) == ["in", "out", "script.py"]
    assert folders(tmp_path / "out") == ["0004", "0008", "0016", "manifest.json"]


def test_ctrl_c_reaches_no_worker(tmp_path):
    process = start_conversion(tmp_path, 40, "interrupt")
    out, errors = process.communicate()
    assert process.returncode == -signal.SIGINT and out == "once\n"
    assert errors.endswith("KeyboardInterrupt\n") and errors.count("Traceback") == 1
    assert folders(tmp_path) == [".out.partial", "in", "script.py"]


# ---------------------------------------------------------------------------
# Damage


def change(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


def test_check_finds_damage(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "SHARDS_AT_LEAST", 4)
    made = convert_folder(tmp_path)
    whole, sick = made.folder, tmp_path / "sick"
    faults = {
        "has changed": lambda f: change(f, 100),
        "has 1717 bytes instead of 1720": lambda f: f.write_bytes(f.read_bytes()[:-3]),
        "is missing": lambda f: f.unlink(),
    }
    for message, fault in faults.items():
        shutil.copytree(whole, sick)
        fault(sick / "0008" / "00002.tfrecords")
        problems = records.check_dataset(sick)
        assert len(problems) == 1
        assert problems[0].startswith(f"0008/00002.tfrecords {message}")
        shutil.rmtree(sick)


def rewrite(folder: Path, level: int, edit) -> None:
    """Edits the first record of a level; the manifest agrees with the new file."""
    made = Manifest.load(folder)
    path = Path(made.paths(level)[0])
    data = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    example = tf.train.Example.FromString(data[0])
    edit(example.features.feature)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in [example.SerializeToString(), *data[1:]]:
            writer.write(record)
    made.levels[level].sizes[0] = path.stat().st_size
    made.levels[level].crc32[0] = shards.file_crc32(path)
    made.save(folder)


def test_check_reads_every_record(tmp_path, monkeypatch):
    monkeypatch.setattr(convert, "SHARDS_AT_LEAST", 2)
    monkeypatch.setattr(convert, "RAW_UP_TO", 8)
    root = make_folder(tmp_path / "in", 8, value=3)
    (root / "labels.csv").write_text(
        "file,label\n" + "".join(f"{i:03d}.png,{'ab'[i % 2]}\n" for i in range(8))
    )
    whole = records.write_dataset(
        sources.open_source(str(root)), tmp_path / "out"
    ).folder
    faults = {
        "holds other pictures": lambda f: f["index"].int64_list.value.__setitem__(
            0, 99
        ),
        "no class": lambda f: f["label"].int64_list.value.__setitem__(0, 2),
        "another size": lambda f: f["height"].int64_list.value.__setitem__(0, 5),
        "cannot be decoded": lambda f: f["image"].bytes_list.value.__setitem__(0, b"x"),
    }
    for message, edit in faults.items():
        for level in (16, 8):
            shutil.copytree(whole, tmp_path / "sick")
            rewrite(tmp_path / "sick", level, edit)
            problems = records.check_dataset(tmp_path / "sick")
            assert len(problems) == 1 and message in problems[0], problems
            shutil.rmtree(tmp_path / "sick")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expecting value"),
        ("{", "Expecting property name"),
        ("[]", 'it has no "format"'),
        ('{"format": "other", "version": 1}', 'it has no "format"'),
    ],
)
def test_broken_manifests(tmp_path, text, words):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(UserError, match=f"damaged: {words}.*convert again"):
        Manifest.load(tmp_path)
    assert len(records.check_dataset(tmp_path)) == 1


# ---------------------------------------------------------------------------
# The cache


def test_prepare_converts_once(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TF_CACHE", str(tmp_path / "cache"))
    root = make_folder(tmp_path / "in")
    said = []
    folder = records.prepare(str(root), log=said.append)
    assert folder.parent == tmp_path / "cache" and folder.name.startswith("in-")
    assert said and Manifest.load(folder).count == 20
    said.clear()
    assert records.prepare(str(root), resolution="auto", log=said.append) == folder
    assert records.prepare(str(folder), log=said.append) == folder
    assert not said
    assert records.prepare(str(root), resolution=8, log=said.append) != folder
    (root / "000.png").write_bytes(png((20, 20, 3)))
    assert records.prepare(str(root), log=said.append) != folder
    other = records.prepare(
        str(root), tmp_path / "there", labels="none", log=said.append
    )
    assert other.parent == tmp_path / "there"
