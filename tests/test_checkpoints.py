"""checkpoints.py: files of checkpoints, whatever happens while they are written."""

import contextlib
import os
import shutil
from itertools import count
from pathlib import Path

import pytest

from stylegan_tf import checkpoints, files


def save(run: Path, nimg: int, text: str) -> None:
    """As `TrainingState` saves, without TensorFlow."""
    draft = checkpoints.new_draft(run, nimg)
    try:
        for part in ("data-00000-of-00001", "index"):
            (draft.folder / f"ckpt-{nimg}.{part}").write_text(text)
        checkpoints.keep_draft(run, draft, {"text": text})
    finally:
        checkpoints.drop_draft(run)
    checkpoints.write_progress(run, nimg)


def content(checkpoint: checkpoints.Checkpoint) -> str:
    """The text of its files, which must be of one save."""
    assert checkpoint.damage() is None
    text = {path.read_text() for path in checkpoint.paths()}
    assert text == {checkpoint.record()["text"]}
    return text.pop()


def newest(run: Path) -> str:
    return content(checkpoints.newest_checkpoint(run))


def test_two_are_kept_and_none_that_is_newer(tmp_path):
    for nimg in (100, 200, 300, 250):
        save(tmp_path, nimg, str(nimg))
    kept = checkpoints.list_checkpoints(tmp_path)
    assert [c.nimg for c in kept] == [250, 200]
    assert checkpoints.saved_progress(tmp_path) == 250
    index = (tmp_path / "checkpoints" / "checkpoint").read_text()
    assert index.splitlines()[0] == 'model_checkpoint_path: "ckpt-250"'


def test_files_of_other_names_are_left_alone(tmp_path):
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    others = ["ckpt-0050.index", "ckpt-50-mine.index", "ckpt-50.index.bak", "notes"]
    for name in others:
        (folder / name).touch()
    for nimg in (100, 200, 300):
        save(tmp_path, nimg, "x")
    checkpoints.tidy(tmp_path)
    assert {*others} <= {p.name for p in folder.iterdir()}


def test_of_an_earlier_version_all_parts_must_be_there(tmp_path):
    save(tmp_path, 100, "x")
    (tmp_path / "checkpoints" / "ckpt-100.json").unlink()
    assert checkpoints.newest_checkpoint(tmp_path).nimg == 100
    data = tmp_path / "checkpoints" / "ckpt-100.data-00000-of-00001"
    data.rename(data.with_name("ckpt-100.data-00000-of-00002"))
    assert checkpoints.newest_checkpoint(tmp_path) is None
    (found,) = checkpoints.list_checkpoints(tmp_path)
    assert found.damage() == "ckpt-100.data-00001-of-00002 is missing"


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001", "json"])
@pytest.mark.parametrize("odd", ["folder", "link to nothing"])
def test_what_is_no_file_is_damage_and_goes(part, odd, tmp_path):
    for nimg in (100, 200):
        save(tmp_path, nimg, str(nimg))
    path = tmp_path / "checkpoints" / f"ckpt-200.{part}"
    path.unlink()
    path.mkdir() if odd == "folder" else path.symlink_to("/nonexistent/file")
    if part != "json":  # without a record, the files speak for themselves
        assert "ckpt-200" in checkpoints.list_checkpoints(tmp_path)[0].damage()
        assert newest(tmp_path) == "100"
    save(tmp_path, 200, "again")
    assert newest(tmp_path) == "again"
    for nimg in (300, 400):
        save(tmp_path, nimg, str(nimg))
    assert not os.path.lexists(path)


def test_a_size_that_is_no_number(tmp_path):
    save(tmp_path, 100, "x")
    (checkpoint,) = checkpoints.list_checkpoints(tmp_path)
    text = checkpoint.record_path.read_text()
    checkpoint.record_path.write_text(text.replace('"bytes": 1', '"bytes": "many"'))
    assert checkpoint.damage().endswith("has 1 bytes, not many")


def test_leftovers_of_killed_saves_go(tmp_path):
    save(tmp_path, 100, "x")
    folder = tmp_path / "checkpoints"
    names = {p.name for p in folder.iterdir()}
    for name in ("ckpt-200_temp", ".saving"):
        (folder / name).mkdir()
        (folder / name / "part-00000-of-00001.data-00000-of-00001").touch()
    for name in ("checkpoint.tmp1234", "ckpt-2.index.tempstate12", ".a.1b.2.tmp.json"):
        (folder / name).touch()
    (tmp_path / ".progress.00.7.tmp.json").touch()
    checkpoints.tidy(tmp_path)
    assert {p.name for p in folder.iterdir()} == names
    assert {p.name for p in tmp_path.iterdir()} == {"checkpoints", "progress.json"}


class Kill(BaseException):
    """The process ends here."""


# All that changes the disk.
CHANGES = [(os, "rename"), (os, "replace"), (os, "link"), (os, "unlink")]
CHANGES += [(os, "mkdir"), (os, "rmdir"), (os, "fsync"), (Path, "write_text")]


def killed_at(patch: pytest.MonkeyPatch, last: int) -> None:
    """Lets the process change the disk `last` times."""
    calls = count()

    def killing(function):
        def call(*args, **kwargs):
            if next(calls) >= last:
                raise Kill
            return function(*args, **kwargs)

        return call

    for module, name in CHANGES:
        patch.setattr(module, name, killing(getattr(module, name)))
    patch.setattr(shutil.rmtree, "avoids_symlink_attacks", False, raising=False)


@pytest.mark.parametrize("nimg", [200, 100], ids=["newer", "of the same name"])
def test_a_kill_at_any_moment_leaves_a_whole_checkpoint(nimg, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda number: None)  # which takes its time
    for last in range(200):
        run = tmp_path / str(last)
        save(run, 50, "older")
        save(run, 100, "before")
        with monkeypatch.context() as patch:
            killed_at(patch, last)
            try:
                save(run, nimg, "after")
                break
            except Kill:
                pass
        found = newest(run)
        assert found in ("before", "after")
        for second in range(3, 6):  # the next start is killed, too
            with monkeypatch.context() as patch, contextlib.suppress(Kill):
                killed_at(patch, second)
                checkpoints.tidy(run)
            assert newest(run) == found
        checkpoints.tidy(run)
        assert newest(run) == found
        assert not [p for p in run.rglob("*") if p.name.startswith(".")]
        save(run, 300, "next")
        assert [content(c) for c in checkpoints.list_checkpoints(run)] == [
            "next",
            found,
        ]
    assert 30 < last < 199


def test_without_links_files_are_copied(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    save(tmp_path, 100, "x")
    assert newest(tmp_path) == "x"


def test_the_system_says_what_is_wrong_with_a_disk():
    assert files.disk_trouble(OSError(28, "full")) == "No space left on device"
    quoted = RuntimeError("/a/part; No space left on device [Op:SaveV2]")
    assert files.disk_trouble(quoted) == "No space left on device"
    assert files.disk_trouble(FileNotFoundError(2, "gone")) is None
    assert files.disk_trouble(ValueError("no space in the name")) is None
