"""Folders kept equal to one at an address: failing networks, and two machines."""

import time
from pathlib import Path

import fsspec
import pytest

from stylegan_tf.errors import UserError
from stylegan_tf.mirror import Mirror

URL = "memory://b/runs/00000-demo"


@pytest.fixture
def bucket():
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


def machine(tmp_path: Path, name: str, lines: list | None = None, **options) -> Mirror:
    """A machine's mirror of the run, which collects what it says."""
    say = (lines if lines is not None else []).append
    return Mirror(URL, tmp_path / name / "00000-demo", say=say, **options)


def write(mirror: Mirror, files: dict[str, str]) -> None:
    for name, text in files.items():
        path = mirror.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def there(bucket) -> dict[str, str]:
    found = bucket.find("/b/runs/00000-demo")
    return {
        p.removeprefix("/b/runs/00000-demo/"): bucket.cat(p).decode() for p in found
    }


def here(mirror: Mirror) -> dict[str, str]:
    return {name: path.read_text() for name, path in mirror._files()}


@pytest.fixture
def log(bucket, monkeypatch):
    """Writes and removals at the address, in order."""
    acts, kind = [], type(bucket)
    put, remove = kind.put_file, kind.rm_file
    monkeypatch.setattr(
        kind,
        "put_file",
        lambda self, source, path, **k: (
            acts.append(path.split("/", 4)[-1]) or put(self, source, path, **k)
        ),
    )
    monkeypatch.setattr(
        kind,
        "rm_file",
        lambda self, path: (
            acts.append("-" + path.split("/", 4)[-1]) or remove(self, path)
        ),
    )
    return acts


FIRST = {
    "config.json": "{}",
    "progress.json": "8",
    "log.txt": "a",
    "checkpoints/checkpoint": "ckpt-8",
    "checkpoints/ckpt-8.index": "i8",
    "checkpoints/ckpt-8.json": "sums",
}


def test_what_names_others_goes_last_and_deletions_after_it(bucket, tmp_path, log):
    a = machine(tmp_path, "a")
    write(a, FIRST | {".hidden": "", "lock": "", "checkpoints/x.tmp1": ""})
    a.finish()
    assert there(bucket) == FIRST
    names = [name.removesuffix(".uploading") for name in log if name[0] != "-"]
    assert names == [
        "checkpoints/ckpt-8.index",
        "checkpoints/ckpt-8.json",
        "log.txt",
        "checkpoints/checkpoint",
        "config.json",
        "progress.json",
    ]
    log.clear()
    for path in (a.folder / "checkpoints").glob("ckpt-8*"):
        path.unlink()
    second = {"checkpoints/ckpt-16.index": "i16", "checkpoints/checkpoint": "ckpt-16"}
    write(a, second | {"progress.json": "16"})
    a.finish()
    kept = {n: t for n, t in FIRST.items() if "ckpt-8" not in n}
    assert there(bucket) == kept | second | {"progress.json": "16"}
    acts = [name.removesuffix(".uploading") for name in log]
    assert acts.index("checkpoints/ckpt-16.index") < acts.index("progress.json")
    assert acts.index("progress.json") < acts.index("-checkpoints/ckpt-8.index")
    log.clear()
    a.finish()
    assert not log  # nothing is new


def test_another_machine_goes_on_and_the_first_after_it(bucket, tmp_path):
    lines = []
    a, b = machine(tmp_path, "a", lines), machine(tmp_path, "b", lines)
    write(a, FIRST)
    a.finish()
    assert b.pull() and here(b) == FIRST
    write(b, {"progress.json": "16"})
    (b.folder / "log.txt").unlink()
    b.push()
    b.finish()
    again = machine(tmp_path, "a", lines)  # a new process
    assert again.pull()
    assert here(again) == here(b) and not lines
    assert again.pull() and b.pull() and not lines


def test_settings_alone_can_be_pulled_first(bucket, tmp_path):
    a, b = machine(tmp_path, "a"), machine(tmp_path, "b")
    write(a, FIRST)
    a.finish()
    assert b.pull(("config.json",)) and here(b) == {"config.json": "{}"}
    assert b.pull() and here(b) == FIRST


def test_what_a_machine_never_uploaded_is_put_aside_not_lost(bucket, tmp_path):
    lines = []
    a, b = machine(tmp_path, "a", lines), machine(tmp_path, "b", lines)
    write(a, FIRST)
    a.finish()
    b.pull()
    write(a, {"progress.json": "999"})
    write(b, {"progress.json": "16"})
    b.finish()
    a.push()
    a._thread.join()
    assert "was changed from another machine" in a.failed
    assert there(bucket)["progress.json"] == "16"
    again = machine(tmp_path, "a", lines)
    again.pull()
    assert here(again)["progress.json"] == "16"
    (aside,) = [p for p in again.folder.parent.iterdir() if p.name.endswith(".0")]
    assert (aside / "progress.json").read_text() == "999" and str(aside) in lines[-1]


def test_a_network_that_fails_is_one_line_and_tried_again(
    bucket, tmp_path, monkeypatch
):
    lines, put, failing = [], type(bucket).put_file, [True]

    def put_or_fail(self, *args, **options):
        if failing and "checkpoint" not in args[1]:
            raise ConnectionResetError("reset by peer")
        return put(self, *args, **options)

    monkeypatch.setattr(type(bucket), "put_file", put_or_fail)
    a = machine(tmp_path, "a", lines)
    write(a, FIRST)
    a.push()
    a._thread.join()
    assert len(lines) == 1 and "tried again later: cannot write memory://" in lines[0]
    assert "progress.json" not in there(bucket)
    waits = []
    with pytest.raises(UserError, match="does not have everything.*Nothing is lost"):
        a.finish(waits.append)
    assert waits == [2, 4, 8]
    killed = machine(tmp_path, "a", lines)  # killed, and started again
    assert killed.pull() and here(killed) == FIRST
    failing.clear()
    killed.finish(waits.append)
    assert there(bucket) == FIRST


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_an_upload_that_was_killed_is_ours_when_it_goes_on(
    bucket, tmp_path, monkeypatch
):
    a = machine(tmp_path, "a")
    write(a, FIRST)
    a.finish()
    write(a, {"log.txt": "ab", "progress.json": "16"})
    put = type(bucket).put_file

    def dies(self, source, path, **options):
        if "progress" in path:
            raise SystemExit  # in the thread: nothing after this runs
        return put(self, source, path, **options)

    monkeypatch.setattr(type(bucket), "put_file", dies)
    a.push()
    a._thread.join()
    monkeypatch.setattr(type(bucket), "put_file", put)
    assert there(bucket)["log.txt"] == "ab" and there(bucket)["progress.json"] == "8"
    lines = []
    again = machine(tmp_path, "a", lines)
    again.pull()
    assert here(again)["progress.json"] == "16"
    again.finish()
    assert there(bucket) == here(again) and not lines


def test_a_folder_that_was_cleared_comes_back_and_deletes_nothing(bucket, tmp_path):
    a = machine(tmp_path, "a")
    write(a, FIRST)
    a.finish()
    (a.folder / "checkpoints" / "ckpt-8.index").unlink()
    (a.folder / "log.txt").unlink()
    again = machine(tmp_path, "a")
    again.pull()
    assert here(again) == FIRST
    again.finish()
    assert there(bucket) == FIRST


def test_a_slow_upload_does_not_hold_the_work_up(bucket, tmp_path, monkeypatch):
    put = type(bucket).put_file
    monkeypatch.setattr(
        type(bucket), "put_file", lambda *a, **k: time.sleep(0.05) or put(*a, **k)
    )
    a = machine(tmp_path, "a")
    write(a, FIRST)
    a.push()
    thread = a._thread
    write(a, {"progress.json": "16"})  # while it is being uploaded
    a.push()
    assert a._thread is thread
    a.finish()
    assert there(bucket) == FIRST | {"progress.json": "16"}


def test_results_of_a_command_replace_older_ones(bucket, tmp_path):
    bucket.pipe("/b/runs/00000-demo/seed0000.png", b"old")
    bucket.pipe("/b/runs/00000-demo/other.png", b"other")
    a = machine(tmp_path, "a", shared=False)
    write(a, {"seed0000.png": "new"})
    a.finish()
    assert there(bucket) == {"seed0000.png": "new", "other.png": "other"}
