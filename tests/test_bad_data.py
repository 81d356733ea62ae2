"""Odd destinations, and data sets that are not as they were written."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from bad_folders import RGB, encoded, make_folder

from stylegan_tf.data import (
    convert,
    destination,
    manifest,
    pipeline,
    records,
    sources,
)
from stylegan_tf.data.manifest import DamagedDataError, Manifest
from stylegan_tf.errors import UserError

# ---------------------------------------------------------------------------
# Destinations


@pytest.fixture
def source(tmp_path):
    return sources.open_source(str(make_folder(tmp_path / "in")))


def test_an_empty_folder_is_filled_and_not_replaced(tmp_path, source, monkeypatch):
    """A mount point, or the folder that a shell is in."""
    dest = tmp_path / "dest"
    (dest / "lost+found").mkdir(parents=True)
    (dest / ".DS_Store").touch()
    before = dest.stat().st_ino
    monkeypatch.chdir(dest)
    made = records.write_dataset(source, ".", resolution=8, workers=1)
    assert dest.stat().st_ino == before
    names = {".DS_Store", "0004", "0008", "lost+found", "manifest.json"}
    assert {p.name for p in dest.iterdir()} == names
    assert sorted(p.name for p in tmp_path.iterdir()) == ["dest", "in"]
    assert Manifest.load(dest) == made
    assert records.write_dataset(source, dest, resolution=8) == made


def test_a_folder_that_was_being_filled(tmp_path, source, monkeypatch):
    """Killed between two moves: the next start moves the rest."""
    dest, replace = tmp_path / "dest", os.replace
    dest.mkdir()

    def fails(a, b):
        if Path(a).name == "0008" and Path(b).parent == dest:
            raise KeyboardInterrupt
        replace(a, b)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fails)
        with pytest.raises(KeyboardInterrupt):
            records.write_dataset(source, dest, resolution=8, workers=1)
    assert (dest / "0004").exists() and not (dest / manifest.FILE).exists()
    with monkeypatch.context() as patch:
        patch.setattr(records, "_convert", None)  # all is there
        made = records.write_dataset(source, dest, resolution=8, workers=1)
    assert Manifest.load(dest) == made and made.count == 3
    assert not (dest / destination.INSIDE).exists()


def test_destinations_that_cannot_be(tmp_path, source):
    (tmp_path / "file").write_text("x")
    (tmp_path / "nowhere").symlink_to(tmp_path / "gone")
    for dest, words in [
        (tmp_path / "in", "exists and is no data set"),
        (tmp_path, "exists and is no data set"),
        (tmp_path / "file", "exists and is no data set"),
        (tmp_path / "file" / "x", "cannot write to .*file"),
        (tmp_path / "nowhere", "a link to what is not there"),
        (tmp_path / ("x" * 300), "File name too long"),
    ]:
        with pytest.raises((UserError, OSError), match=words):
            records.write_dataset(source, dest, resolution=8, workers=1)
    assert {p.name for p in tmp_path.iterdir()} == {"in", "file", "nowhere"}


def test_a_destination_inside_its_source(tmp_path, source):
    made = records.write_dataset(source, tmp_path / "in" / "out", resolution=8)
    again = sources.open_source(str(tmp_path / "in"))
    assert again.names == source.names
    assert records.write_dataset(again, tmp_path / "in" / "out", resolution=8) == made


def test_reasons_are_counted(tmp_path):
    root = make_folder(tmp_path / "in", **{f"e{i}.png": b"" for i in range(9)})
    for i in range(3):
        (root / f"s{i}.png").write_bytes(encoded(RGB[: 2 + i, :4]))
    out = tmp_path / "out"
    records.write_dataset(sources.open_source(str(root)), out, resolution=16, workers=1)
    first, second = records.skipped_lines(out)
    assert first == "9, such as e0.png: the file is empty" or "9, such as" in first
    assert second.startswith("3, such as s") and "too small for 16x16" in second


# ---------------------------------------------------------------------------
# Data sets that are not as they were written


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "set"
    source = sources.open_source("demo:20")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "SHARDS_AT_LEAST", 2)
        records.write_dataset(source, folder, resolution=8, workers=1)
    return folder


@pytest.fixture
def copy(whole, tmp_path):
    return Path(shutil.copytree(whole, tmp_path / "set"))


EDITS = {}
for _name in [
    "name",
    "count",
    "resolution",
    "start_shape",
    "channels",
    "crop",
    "class_names",
    "label_size",
    "shard_counts",
    "skipped",
    "plan",
    "levels",
    "format",
    "version",
]:
    EDITS |= {
        f"{_name} is missing": lambda m, n=_name: m.pop(n),
        f"{_name} is null": lambda m, n=_name: m.update({n: None}),
        f"{_name} is nested": lambda m, n=_name: m.update({n: [[{}]]}),
        f"{_name} is negative": lambda m, n=_name: m.update({n: -1}),
        f"{_name} is huge": lambda m, n=_name: m.update({n: 10**30}),
        f"{_name} is a fraction": lambda m, n=_name: m.update({n: 0.5}),
        f"{_name} is true": lambda m, n=_name: m.update({n: True}),
    }
for _name in ["height", "width", "encoding", "files", "sizes", "crc32"]:
    EDITS |= {
        f"level's {_name} is missing": lambda m, n=_name: m["levels"]["8"].pop(n),
        f"level's {_name} is odd": lambda m, n=_name: m["levels"]["8"].update({n: {}}),
    }
for _file in ("../../etc/passwd", "/etc/passwd", "a\\b", "0008/..", "", "C:x", "\0"):
    EDITS[f"file {_file!r}"] = lambda m, f=_file: m["levels"]["8"]["files"].__setitem__(
        0, f
    )
EDITS |= {
    "another count": lambda m: m.update(count=21),
    "another sum": lambda m: m["shard_counts"].append(1),
    "an empty shard": lambda m: m.update(shard_counts=[20, 0]),
    "a class less": lambda m: m["class_names"].pop(),
    "a class twice": lambda m: m["class_names"].__setitem__(0, m["class_names"][1]),
    "a class that is none": lambda m: m["class_names"].__setitem__(0, 7),
    "a level less": lambda m: m["levels"].pop("4"),
    "a level more": lambda m: m["levels"].update({"16": m["levels"]["8"]}),
    "a level of another name": lambda m: m["levels"].update(x=m["levels"].pop("8")),
    "another resolution": lambda m: m.update(resolution=16),
    "no power of two": lambda m: m.update(resolution=12),
    "another shape": lambda m: m.update(start_shape=[4, 5]),
    "one side": lambda m: m.update(start_shape=[4]),
    "a file twice": lambda m: m["levels"]["8"]["files"].__setitem__(
        0, m["levels"]["8"]["files"][1]
    ),
    "a file less": lambda m: m["levels"]["8"]["files"].pop(),
    "another encoding": lambda m: m["levels"]["8"].update(encoding="planes"),
    "a size of text": lambda m: m["levels"]["8"]["sizes"].__setitem__(0, "1"),
    "a sum too large": lambda m: m["levels"]["8"]["crc32"].__setitem__(0, 1 << 32),
    "an unknown field": lambda m: m.update(more=1),
    "an unknown field of a level": lambda m: m["levels"]["8"].update(more=1),
    "another version": lambda m: m.update(version=2),
}


@pytest.mark.parametrize("edit", EDITS.values(), ids=EDITS)
def test_edited_manifests_take_a_line(whole, tmp_path, edit):
    values = json.loads((whole / manifest.FILE).read_text())
    edit(values)
    (tmp_path / manifest.FILE).write_text(json.dumps(values))
    with pytest.raises(DamagedDataError, match="manifest.json is damaged: ") as e:
        Manifest.load(tmp_path, files=False)
    text = str(e.value)
    assert "make_dataset.py" in text and "\n" not in text
    assert len(text) < 300 + len(str(tmp_path))


def swap(folder, name):
    (folder / name).unlink()
    (folder / name).mkdir()


def link_out(folder, name):
    shutil.move(folder / name, folder.parent / "away")
    (folder / name).symlink_to(folder.parent / "away")


SHARD = "0008/00001.tfrecords"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda f: (f / SHARD).unlink(), "is missing"),
        (lambda f: (f / SHARD).write_bytes(b""), "has 0 bytes instead of"),
        (lambda f: (f / SHARD).write_bytes(bytes(10_000)), "has 10000 bytes"),
        (lambda f: swap(f, SHARD), "is no file"),
        (lambda f: link_out(f, SHARD), "is a link out of the folder"),
        (lambda f: shutil.rmtree(f / "0008"), "is missing .and 1 more"),
    ],
)
def test_damage_that_is_seen_at_the_start(copy, harm, words):
    harm(copy)
    for read in (Manifest.load, pipeline.dataset_labels, records.prepare):
        with pytest.raises(DamagedDataError, match=f"{words}.*convert again"):
            read(str(copy))
    assert any(words.split(" .")[0] in p for p in records.check_dataset(copy))


def flip(folder: Path, at: int = 40) -> None:
    for path in folder.rglob("*.tfrecords"):
        data = bytearray(path.read_bytes())
        data[at] ^= 255
        path.write_bytes(data)


def test_damage_that_is_seen_when_records_are_read(copy):
    flip(copy)
    reads = [
        lambda: pipeline.dataset_labels(copy),
        lambda: pipeline.first_images(copy, 8, 4),
        lambda: pipeline.dataset(copy, 8, 4),
    ]
    for read in reads:
        with pytest.raises(DamagedDataError, match="--check") as e:
            read()
        assert str(copy) in str(e.value) and "\n" not in str(e.value)
    assert len(records.check_dataset(copy)) == 4


def test_damage_in_a_set_that_is_read_from_disk(copy, monkeypatch):
    monkeypatch.setattr(pipeline, "MEMORY_BYTES", 1)
    flip(copy)
    batches = iter(pipeline.dataset(copy, 8, 4))
    with pytest.raises(DamagedDataError, match="--check"), pipeline.reading(copy):
        next(batches)


def test_labels_that_are_not_finite(tmp_path):
    rows = {"labels": {f"{i}.png": [i, 0.5] for i in range(3)}}
    root = make_folder(tmp_path / "in", **{"dataset.json": rows})
    source = sources.open_source(str(root))
    source.labels.values[1, 0] = np.nan  # by a source of one's own
    made = records.write_dataset(source, tmp_path / "out", resolution=8, workers=1)
    assert made.skipped == 1
    assert "1.png: its label has numbers that are not finite" in (
        records.skipped_lines(tmp_path / "out")
    )
    with pytest.MonkeyPatch.context() as patch:  # as earlier versions converted
        patch.setattr(convert.np, "isfinite", lambda x: np.ones_like(x, bool))
        records.write_dataset(source, tmp_path / "old", resolution=8, workers=1)
    with pytest.raises(DamagedDataError, match="labels that are not finite"):
        pipeline.dataset_labels(tmp_path / "old")
    assert "not finite" in str(records.check_dataset(tmp_path / "old"))


# ---------------------------------------------------------------------------
# The cache


def test_a_damaged_conversion_is_made_again(tmp_path):
    root, cache = make_folder(tmp_path / "in"), tmp_path / "cache"
    said: list[str] = []
    prepare = lambda: records.prepare(str(root), cache, log=said.append)  # noqa: E731
    folder = prepare()
    for harm, words in [
        (lambda: (folder / SHARD.replace("1.", "0.")).unlink(), "is missing; it is"),
        (lambda: (folder / manifest.FILE).unlink(), "manifest.json is missing"),
        (lambda: (folder / manifest.FILE).write_text("{"), "is damaged: Expecting"),
        (lambda: (folder / manifest.FILE).write_text('{"format": 1}'), "no .format."),
    ]:
        said.clear()
        harm()
        assert prepare() == folder
        assert words.replace("no .format.", 'no "format"') in said[0]
        assert "it is converted again" in said[0]
        assert Manifest.load(folder).count == 3
    said.clear()
    assert prepare() == folder and not said


def test_a_copy_outlives_its_source(tmp_path):
    root, cache = make_folder(tmp_path / "in"), tmp_path / "cache"
    folder = records.prepare(str(root), cache, resolution=8, log=print)
    shutil.rmtree(root)
    assert sources.is_gone(str(root)) and not sources.is_gone("demo:3")
    assert records.find_copy(str(root), cache) == folder
    assert records.find_copy(str(root), cache, resolution="8x8") == folder
    assert records.find_copy(str(root), cache, resolution="16x16") is None
    assert records.find_copy(str(root), cache, labels="none") is None
    root.mkdir()  # a disk that is not mounted
    assert sources.is_gone(str(root))
    (folder / "0008" / "00000.tfrecords").unlink()
    assert records.find_copy(str(root), cache) is None


def test_receipts_of_another_kind_are_not_trusted(tmp_path):
    from stylegan_tf.data import shards

    for text in ("", "[]", "{}", '{"count": "x"}', '{"count": 1, "sizes": null}'):
        (tmp_path / "shard-00000.json").write_text(text)
        assert shards.load_receipt(tmp_path, 0) is None
