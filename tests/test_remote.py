"""Files at addresses: fetched once, whole or not at all, and never from outside."""

import json
import sys
from pathlib import Path

import fsspec
import pytest

from stylegan_tf import models, remote
from stylegan_tf.data import records
from stylegan_tf.data.sources import open_source
from stylegan_tf.errors import UserError


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv(remote.CACHE_VARIABLE, str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def bucket():
    """An empty file system in memory."""
    files = fsspec.filesystem("memory")
    files.store.clear()
    yield files
    files.store.clear()


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("gs://a/b", True),
        ("S3://a", True),
        ("hf://user/name", True),
        ("runs/00000", False),
        ("tfds:cifar10", False),
        ("demo:100", False),
        (r"C:\runs", False),
        ("c://runs", False),
        (Path("a/b"), False),
    ],
)
def test_addresses_are_told_from_paths(path, expected):
    assert remote.is_remote(path) == expected
    if not expected:
        assert remote.local_path(path) == Path(path)


def test_a_file_is_fetched_once_and_again_when_it_has_changed(bucket, cache):
    bucket.pipe("/b/network.bin", b"one")
    first = remote.fetch("memory://b/network.bin")
    assert first.read_bytes() == b"one" and first.name == "network.bin"
    assert cache in first.parents
    first.write_bytes(b"same")  # shows that the copy is used
    assert remote.fetch("memory://b/network.bin") == first
    bucket.pipe("/b/network.bin", b"second")
    second = remote.fetch("memory://b/network.bin")
    assert second != first and second.read_bytes() == b"second"
    assert first.read_bytes() == b"same"  # someone may be reading it


def test_of_a_folder_only_what_changed_is_read_again(bucket, cache, monkeypatch):
    bucket.pipe({"/b/run/a/one": b"1", "/b/run/two": b"2", "/b/runner": b"other"})
    read = []
    get = type(bucket).get_file
    monkeypatch.setattr(
        type(bucket),
        "get_file",
        lambda self, path, *a, **k: read.append(path) or get(self, path, *a, **k),
    )
    first = remote.fetch("memory://b/run/")
    assert {p.name for p in first.rglob("*")} == {"a", "one", "two"}
    bucket.pipe("/b/run/two", b"3")
    second = remote.fetch("memory://b/run")
    assert (second / "a" / "one").read_bytes() == b"1"
    assert (second / "two").read_bytes() == b"3"
    assert read == ["/b/run/a/one", "/b/run/two", "/b/run/two"]
    only = remote.fetch("memory://b/run", only=("a/*",))
    assert [p.name for p in only.rglob("*") if p.is_file()] == ["one"]


def test_a_fetch_that_is_cut_short_leaves_no_copy_and_goes_on(
    bucket, cache, monkeypatch
):
    bucket.pipe({"/b/d/a": b"1234", "/b/d/b": b"5678"})
    kind, get, read = type(bucket), type(bucket).get_file, []

    def half(self, path, target, **options):
        get(self, path, target, **options)
        if path.endswith("b"):
            Path(target).write_bytes(b"56")

    monkeypatch.setattr(kind, "get_file", half)
    with pytest.raises(UserError, match="/b/d/b was cut short"):
        remote.fetch("memory://b/d")
    assert not list(cache.rglob("index.json"))
    monkeypatch.setattr(
        kind, "get_file", lambda *a, **k: read.append(a[1]) or get(*a, **k)
    )
    assert (remote.fetch("memory://b/d") / "b").read_bytes() == b"5678"
    assert read == ["/b/d/b"]


def test_a_network_that_fails_is_an_error_in_one_line(bucket, cache, monkeypatch):
    def fails(*_, **__):
        raise ConnectionResetError("reset by peer\nand more")

    monkeypatch.setattr(type(bucket), "info", fails)
    with pytest.raises(
        UserError, match="cannot read memory://b/x: Conn.* reset by pee"
    ):
        remote.fetch("memory://b/x")


@pytest.mark.parametrize("name", ["/b/d/../../etc/x", "/b/d/..", "/elsewhere/x"])
def test_names_that_leave_the_folder_are_refused(bucket, cache, monkeypatch, name):
    bucket.pipe("/b/d/a", b"1")
    lie = {name: {"name": name, "size": 1, "type": "file"}}
    monkeypatch.setattr(type(bucket), "find", lambda *_, **__: lie)
    with pytest.raises(UserError, match="names a file outside itself"):
        remote.fetch("memory://b/d")


def test_what_is_missing_is_named(bucket, cache, monkeypatch):
    with pytest.raises(UserError, match="there is nothing at memory://b/none"):
        remote.fetch("memory://b/none")
    with pytest.raises(UserError, match="cannot open zz://b.*Protocol not known"):
        remote.fetch("zz://b")
    for module in ("gcsfs", "fsspec"):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(UserError, match=r'pip install "stylegan_tf\[remote\]"'):
            remote.fetch("gs://b/x")


def test_more_than_there_is_room_for_is_not_begun(bucket, cache, monkeypatch):
    bucket.pipe("/b/x", b"1234")
    free = type("", (), {"free": 3})
    monkeypatch.setattr(remote.shutil, "disk_usage", lambda _: free)
    with pytest.raises(UserError, match=r"has 0.0 GB, and .* has room for"):
        remote.fetch("memory://b/x")


# ---------------------------------------------------------------------------
# What takes addresses


def put(bucket, folder: Path, at: str) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            name = path.relative_to(folder).as_posix()
            bucket.pipe(f"{at}/{name}", path.read_bytes())


def test_data_sets_and_images(bucket, cache, pictures):
    put(bucket, pictures, "/b/faces")
    folder = records.prepare("memory://b/faces")
    assert records.read_manifest(folder) == records.read_manifest(pictures)
    with pytest.raises(UserError, match="is a finished data set"):
        open_source("memory://b/faces")


def test_models_find_what_they_need(bucket, cache, tmp_path):
    files = {"config.json": b"{}", "fakes.png": b"x" * 99, "events.out": b"y"}
    bucket.pipe({f"/b/run/{k}": v for k, v in files.items()})
    state = 'model_checkpoint_path: "ckpt-8"\nall_model_checkpoint_paths: "ckpt-8"\n'
    bucket.pipe("/b/run/checkpoints/checkpoint", state.encode())
    bucket.pipe("/b/run/checkpoints/ckpt-8.index", b"i")
    bucket.pipe("/b/run/checkpoints/ckpt-8.data-00000-of-00001", b"d")
    for url in ("memory://b/run", "memory://b/run/checkpoints/ckpt-8"):
        found = models.find_model(url)
        assert (found.kind, found.nimg) == ("checkpoint", 8)
        assert json.loads((found.run / "config.json").read_text()) == {}
        assert not list(found.run.glob("*.png")) and not list(found.run.glob("ev*"))
    bucket.pipe("/b/old.pkl", b"p")
    assert models.find_model("memory://b/old.pkl").kind == "pickle"
