"""The official layout: the same bytes, and everything that conversions promise."""

import csv
import itertools
import json
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from stylegan_tf_launch import cli, make_dataset

from stylegan_tf.data import (
    convert,
    official_layout,
    pipeline,
    records,
    shards,
    sources,
)
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError

GOLDENS = Path(__file__).parent / "goldens" / "tfrecords"
SETS = {"gray32": False, "rgb32": True, "rgb32labels": True}  # name: was it shuffled
NUMBERS = np.random.RandomState(3)


def golden(tmp_path: Path, name: str) -> Path:
    """The pictures and the official files of a set, below one folder."""
    zipfile.ZipFile(GOLDENS / f"{name}.zip").extractall(tmp_path / "golden")
    root = tmp_path / "golden"
    labels = root / "set-labels.npy"
    if labels.exists():  # in the order of the pictures' names
        files = sorted(path.name for path in (root / "png").iterdir())
        rows = np.load(labels).argmax(1).tolist()
        pairs = [list(pair) for pair in zip(files, rows, strict=True)]
        (root / "png" / "dataset.json").write_text(json.dumps({"labels": pairs}))
    return root


def make_folder(root: Path, count: int = 20, shape=(16, 16, 3)) -> Path:
    root.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = NUMBERS.randint(0, 256, shape).astype(np.uint8)
        Image.fromarray(pixels).save(root / f"{i:03d}.png")
    return root


def write(source: Path, dest: Path, **options) -> Manifest:
    made = sources.open_source(str(source))
    return records.write_dataset(made, dest, layout="official", **options)


def data_of(folder: Path) -> dict[str, bytes]:
    """The files of the official programs."""
    kinds = (".tfrecords", ".labels")
    return {f.name: f.read_bytes() for f in folder.iterdir() if f.suffix in kinds}


def run(*arguments) -> int:
    with pytest.raises(SystemExit) as e:
        cli.run(make_dataset.main, make_dataset.FLAGS, ["prog", *map(str, arguments)])
    return e.value.code


# ---------------------------------------------------------------------------
# What is written


@pytest.mark.parametrize("name", SETS)
def test_the_files_are_those_of_the_official_tools(tmp_path, name):
    root = golden(tmp_path, name)
    flags = [f"--source={root / 'png'}", f"--dest={tmp_path / name}"]
    flags += ["--layout=official", f"--shuffle={SETS[name]}"]
    assert run(*flags) == 0
    got, want = data_of(tmp_path / name), data_of(root / name)
    assert got.keys() == want.keys() and len(got) >= 4
    assert {n for n in want if got[n] != want[n]} == set()


def test_from_official_files_come_the_same_in_the_stored_order(tmp_path):
    root = golden(tmp_path, "rgb32labels")
    write(root / "rgb32labels", tmp_path / "rgb32labels", shuffle=False)
    assert data_of(tmp_path / "rgb32labels") == data_of(root / "rgb32labels")


def test_labels_that_are_vectors(tmp_path):
    root = make_folder(tmp_path / "in", 5)
    vectors = [[f"{i:03d}.png", [i / 3, -1]] for i in range(5)]
    (root / "dataset.json").write_text(json.dumps({"labels": vectors}))
    made = write(root, tmp_path / "out", shuffle=False)
    rows = np.load(tmp_path / "out" / "out-rxx.labels")
    assert rows.dtype == np.float32 and (made.label_size, made.class_names) == (2, [])
    np.testing.assert_array_equal(rows, np.float32([row for _, row in vectors]))


def test_records_are_what_protocol_buffers_read():
    """At a size whose lengths take more than one byte."""
    shape = [3, 256, 256]
    data = NUMBERS.bytes(3 << 16)
    features = tf.train.Example.FromString(
        official_layout.encode_official(data, shape)
    ).features
    assert features.feature["shape"].int64_list.value == shape
    assert features.feature["data"].bytes_list.value == [data]


def test_what_the_layout_cannot_hold(tmp_path):
    root = make_folder(tmp_path / "in", 3, (24, 32, 4))
    for options, message in [
        ({"resolution": "16x24"}, "squares of a power of two, not 16x24; give --reso"),
        ({"crop": "none"}, "not 24x32; give --resolution="),
        ({"resolution": "24x24"}, "not 24x24; give --resolution="),
        ({"channels": 4}, "1 or 3 channels, not 4; give --channels=3"),
    ]:
        with pytest.raises(UserError, match=message) as e:
            write(root, tmp_path / "out", **options)
        assert "\n" not in str(e.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    with pytest.raises(UserError, match="choose one of records, official"):
        records.write_dataset(
            sources.open_source("demo:2"), tmp_path / "out", layout="other"
        )
    assert write(root, tmp_path / "out").shape == (16, 16)
    assert records.check_dataset(tmp_path / "out") == []


# ---------------------------------------------------------------------------
# Conversions


def test_bad_pictures_strict_and_the_same_command_again(tmp_path, capsys):
    root = make_folder(tmp_path / "in", 6)
    for i in range(6):
        (root / "ab"[i % 2]).mkdir(exist_ok=True)
        shutil.move(root / f"{i:03d}.png", root / "ab"[i % 2])
    (root / "b" / "bad.png").write_text("text")
    flags = [f"--source={root}", f"--dest={tmp_path / 'out'}", "--layout=official"]
    assert run(*flags, "--strict") == 2
    assert "b/bad.png: not a picture" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["in"]
    assert run(*flags) == 0
    said = capsys.readouterr().out
    assert "6 pictures of 16x16, channels: 3, classes: 2 (a, b)" in said
    assert "1 left out" in said and "bad.png: not a picture" in said
    with open(tmp_path / "out" / "skipped.csv", encoding="utf-8") as f:
        assert [row["file"] for row in csv.DictReader(f)] == ["b/bad.png"]
    before = {f: f.stat().st_mtime_ns for f in (tmp_path / "out").iterdir()}
    assert run(*flags) == 0 and capsys.readouterr().out == said
    assert before == {f: f.stat().st_mtime_ns for f in (tmp_path / "out").iterdir()}
    assert run(*flags, "--noshuffle") == 2
    assert "already holds another data set (6 pict" in capsys.readouterr().err


def test_max_images(tmp_path):
    root = make_folder(tmp_path / "in")
    whole = write(root, tmp_path / "a")
    some = write(root, tmp_path / "b", max_images=7, workers=1)
    assert (whole.count, some.count) == (20, 7)
    for file in data_of(some.folder):
        first = (some.folder / file).read_bytes()
        name = file.replace("b-", "a-")
        assert (whole.folder / name).read_bytes().startswith(first)


@pytest.mark.parametrize("shuffle", [True, False])
def test_without_shuffle_the_first_come_first(tmp_path, shuffle):
    source = sources.open_source(str(make_folder(tmp_path / "in")))
    records.write_dataset(source, tmp_path / "a", shuffle=shuffle, max_images=5)
    data = tf.data.TFRecordDataset(Manifest.load(tmp_path / "a").paths(4))
    found = [tf.train.Example.FromString(r.numpy()).features.feature for r in data]
    indices = [f["index"].int64_list.value[0] for f in found]
    assert (indices == [0, 1, 2, 3, 4]) is not shuffle


class Stop(Exception):
    """Raised where a conversion is to end."""


@pytest.mark.parametrize("tail", [b"", b"half a record"])
def test_interrupted_conversions_go_on_where_they_were(tmp_path, monkeypatch, tail):
    root = make_folder(tmp_path / "in")
    monkeypatch.setattr(convert, "CHUNK_IMAGES", 2)
    save, written = shards.save_receipt, []

    def save_or_stop(folder, shard, receipt):
        if shard == 3 and 3 not in written:
            written.append(shard)
            raise Stop  # when the shard is in the files already, but not in a receipt
        written.append(shard)
        save(folder, shard, receipt)

    monkeypatch.setattr(shards, "save_receipt", save_or_stop)
    with pytest.raises(Stop):
        write(root, tmp_path / "out", workers=1)
    assert not (tmp_path / "out").exists() and written == [0, 1, 2, 3]
    work = tmp_path / ".out.partial"
    assert records.check_dataset(work) and not sorted(work.glob("*-r*"))
    with open(work / "r03.tfrecords", "ab") as f:
        f.write(tail)
    write(root, tmp_path / "out", workers=1)
    assert written == [0, 1, 2, 3, 3, 4, 5, 6] and not work.exists()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "conversion.json",
        "out-r02.tfrecords",
        "out-r03.tfrecords",
        "out-r04.tfrecords",
    ]
    write(root, tmp_path / "whole" / "out", workers=2)
    assert data_of(tmp_path / "whole" / "out") == data_of(tmp_path / "out")


def test_files_that_were_cut_are_made_again(tmp_path, monkeypatch):
    root = make_folder(tmp_path / "in")
    write(root, tmp_path / "whole" / "out")
    store = official_layout.OfficialStore
    finish = store.finish
    monkeypatch.setattr(store, "finish", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write(root, tmp_path / "out", workers=1)
    torn = tmp_path / ".out.partial" / "r04.tfrecords"
    torn.write_bytes(torn.read_bytes()[: torn.stat().st_size // 2])
    monkeypatch.setattr(store, "finish", finish)
    write(root, tmp_path / "out", workers=1)
    assert data_of(tmp_path / "whole" / "out") == data_of(tmp_path / "out")


# ---------------------------------------------------------------------------
# Reading and checking


@pytest.mark.parametrize("name", SETS)
def test_official_sets_become_ours_with_their_labels(tmp_path, name):
    """What --data=FOLDER does before it trains; at the full size and a lower one."""
    root = golden(tmp_path, name)
    want = np.load(GOLDENS / f"{name}_expected.npz")
    settings = {"log": list, "shuffle": False}
    for side, lod in ((32, 0), (8, 2)):
        folder = records.prepare(
            str(root / name), tmp_path / "cache", resolution=side, **settings
        )
        data = pipeline.dataset(folder, side, 8, shuffle=False, repeat=False)
        images = np.concatenate([e["image"] for e in data]).transpose(0, 3, 1, 2)
        np.testing.assert_array_equal(images, want[f"images_lod{lod}"])
        labels = np.concatenate([e["label"] for e in data])
        np.testing.assert_array_equal(labels, want["labels_lod0"])


def test_lower_levels_are_those_on_disk(tmp_path):
    root = golden(tmp_path, "rgb32")
    source = sources.open_source(str(root / "rgb32"))
    want = np.load(GOLDENS / "rgb32_expected.npz")
    for size, lod in ((99, 0), (17, 0), (16, 1), (9, 1), (4, 3), (1, 3)):
        got = source.read(5, size)[0].transpose(2, 0, 1)
        np.testing.assert_array_equal(got, want[f"images_lod{lod}"][5])
    before = source.fingerprint()
    path = root / "rgb32" / "rgb32-r03.tfrecords"
    (length,) = struct.unpack("<Q", path.read_bytes()[:8])
    path.write_bytes(path.read_bytes()[: -length - 16])
    source = sources.open_source(str(root / "rgb32"))
    assert source.fingerprint() != before
    with pytest.raises(UserError, match="63 records and the highest level 64"):
        source.read(0, 8)


@pytest.mark.parametrize("name", SETS)
def test_check_passes_what_the_official_tools_wrote(tmp_path, name, capsys):
    folder = golden(tmp_path, name) / name
    assert run(f"--dest={folder}", "--check") == 0
    said = capsys.readouterr().out
    assert f"{folder} is whole, in the official layout: " in said
    assert "pictures of 32x32" in said
    assert ("classes: 3 (0, 1, 2)" in said) == (name == "rgb32labels")


def rewrite(path: Path, edit) -> None:
    """Edits the records of a file."""
    data = list(tf.data.TFRecordDataset(str(path)).as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in edit(data):
            writer.write(record)


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[300] ^= 1
    path.write_bytes(data)


FAULTS = {
    "is missing": lambda f: f.unlink(),
    "cannot be read near record": flip,
    "near record 23": lambda f: f.write_bytes(f.read_bytes()[:-3]),
    "23 records and the level above 24": lambda f: rewrite(f, lambda r: r[:-1]),
    "another picture than the level above at record 0": lambda f: rewrite(
        f, lambda r: r[::-1]
    ),
    "of shape 3x4x4 in a level of 8x8": lambda f: shutil.copy(
        str(f).replace("r03", "r02"), f
    ),
    "a record 1 that is damaged": lambda f: rewrite(f, lambda r: [r[0], b"x"]),
}


@pytest.mark.parametrize("message", FAULTS)
def test_check_finds_damage(tmp_path, message, capsys):
    folder = golden(tmp_path, "rgb32labels") / "rgb32labels"
    FAULTS[message](folder / "rgb32labels-r03.tfrecords")
    problems = records.check_dataset(folder)
    assert len(problems) == 1 and message in problems[0], problems
    assert problems[0].startswith("rgb32labels-r03.tfrecords ")
    assert run(f"--dest={folder}", "--check") == 1
    assert "has 1 problem; convert it again" in capsys.readouterr().out


def test_check_of_labels_and_of_the_highest_level(tmp_path):
    folder = golden(tmp_path, "rgb32labels") / "rgb32labels"
    labels = folder / "rgb32labels-rxx.labels"
    rows = np.load(labels)
    for wrong in (rows[:-1], rows[:, 0], np.concatenate([rows, rows])):
        with open(labels, "wb") as f:
            np.save(f, wrong)
        (problem,) = records.check_dataset(folder)
        assert f"labels of shape {list(wrong.shape)} for 24 pictures" in problem
    labels.write_text("text")
    assert records.check_dataset(folder) == [f"{labels.name} is not a NumPy array"]
    labels.unlink()
    highest = folder / "rgb32labels-r05.tfrecords"
    rewrite(highest, lambda r: itertools.islice(r, 0))
    assert records.check_dataset(folder) == [f"{highest.name} has no records"]
    with pytest.raises(UserError, match="is damaged"):
        records.read_manifest(folder)
    shutil.copy(highest, folder / "another-r05.tfrecords")
    assert (
        "holds several sets (another, rgb32labels)" in records.check_dataset(folder)[0]
    )
