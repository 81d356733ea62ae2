"""Runs and conversions at an address: one machine after the other."""

import json
from pathlib import Path

import fsspec
from launching import call, train_flags

from stylegan_tf.data import records


def names(folder: Path) -> set[str]:
    found = (p for p in folder.rglob("*") if p.is_file())
    return {n for p in found if (n := str(p.relative_to(folder)))[0] != "."}


def test_a_run_at_an_address_is_continued_by_another_machine(
    pictures, tmp_path, monkeypatch
):
    """Trained for two steps, then for two more where nothing of it is."""
    address = f"file://{tmp_path}/bucket/runs"
    flags = {"out": address, "cache": tmp_path / "a", "kimg": 0.008}
    code, out, err = call("train", *train_flags(pictures, **flags))
    assert code == 0, err
    (here,) = (tmp_path / "a" / "mirrors").glob("*/runs/0*")
    run = tmp_path / "bucket" / "runs" / here.name
    assert names(run) == names(here)
    flags |= {"cache": tmp_path / "b", "kimg": 0.016}
    code, out, err = call("train", *train_flags(pictures, **flags))
    assert code == 0 and "continues at 0.008 kimg" in out, err
    assert json.loads((run / "progress.json").read_text())["nimg"] == 16
    flags["cache"] = tmp_path / "a"
    code, out, err = call("train", *train_flags(pictures, **flags))
    assert code == 0 and "is finished" in out, err
    assert names(here) == names(run)


def test_a_conversion_at_an_address_is_made_once(tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TF_CACHE", str(tmp_path / "a"))
    fsspec.filesystem("memory").store.clear()
    lines = []
    made = records.prepare("demo:3", "memory://b/cache/", log=lines.append)
    assert len(lines) == 1 and "Converting demo:3 once" in lines[0]
    monkeypatch.setenv("STYLEGAN_TF_CACHE", str(tmp_path / "b"))
    found = records.prepare("demo:3", "memory://b/cache", log=lines.append)
    assert len(lines) == 1 and tmp_path / "b" in found.parents
    assert names(found) == names(made)
    assert records.check_dataset(found) == []
