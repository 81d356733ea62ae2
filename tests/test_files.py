"""files.py: atomic writes, and `.npz` files of unknown origin."""

import contextlib
import io
import os
import socket
import subprocess
import sys
import threading
import zipfile

import numpy as np
import pytest

from stylegan_tf import files
from stylegan_tf.errors import UserError
from stylegan_tf.formats.arrays import float_array, load_arrays, save_arrays


def test_a_file_stands_there_as_a_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with files.atomic_write(path) as draft:
        draft.write_text("one")
        assert draft.suffix == ".txt" and not path.exists()
    with pytest.raises(KeyboardInterrupt), files.atomic_write(path) as draft:
        draft.write_text("tw")
        raise KeyboardInterrupt
    assert path.read_text() == "one"
    assert os.listdir(path.parent) == ["a.txt"]


def test_arrays_survive_a_file(tmp_path):
    arrays = {"a": np.arange(3), "b": np.array(["x", "yz"])}
    found = load_arrays(save_arrays(tmp_path / "a.b", arrays))
    assert list(found) == ["a", "b"]
    for name in found:
        np.testing.assert_array_equal(found[name], arrays[name])


def test_other_kinds_of_files_are_refused(tmp_path):
    whole = save_arrays(tmp_path / "whole.npz", {"a": np.zeros(1000)})
    content = whole.read_bytes()
    (tmp_path / "half.npz").write_bytes(content[:500])
    (tmp_path / "bent.npz").write_bytes(content[:300] + b"?" + content[301:])
    (tmp_path / "empty.npz").write_bytes(b"")
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "array.npy", np.zeros(3))
    np.savez(tmp_path / "objects.npz", a=np.array([{}], object))
    (tmp_path / "folder.npz").mkdir()
    names = sorted(p.name for p in tmp_path.iterdir() if p != whole)
    assert len(names) == 7
    assert list(load_arrays(tmp_path / "array.npy")) == [""]
    names.remove("array.npy")
    for name in [*names, "none.npz"]:
        with pytest.raises(UserError, match=f"{name} cannot be read as .npz: "):
            load_arrays(tmp_path / name)


@pytest.mark.parametrize(
    "array, words",
    [
        (np.array(["a"]), "no numbers"),
        (np.array([1j]), "no numbers"),
        (np.array([1, np.nan]), "not finite"),
        (np.array([1e39]), "not finite"),
    ],
)
def test_numbers_are_finite_float32(array, words):
    with pytest.raises(UserError, match=f"a.npz is damaged: `x` .*{words}"):
        float_array("a.npz", {"x": array}, "x")
    assert float_array("a.npz", {"x": np.arange(3)}, "x").dtype == np.float32


# ---------------------------------------------------------------------------
# Files without end


def make_endless(folder):
    """Makes files that block or have no end, and links to them; returns their paths."""
    os.mkfifo(folder / "pipe")
    server = socket.socket(socket.AF_UNIX)
    with contextlib.chdir(folder):  # a socket's path is short
        server.bind("socket")
    server.close()
    (folder / "zeros").symlink_to("/dev/zero")
    (folder / "terminal").symlink_to("/dev/tty")
    (folder / "link").symlink_to(folder / "pipe")
    (folder / "folder").mkdir()
    return sorted(folder.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="pipes and devices of Unix")
def test_only_regular_files_are_opened(tmp_path):
    kinds = set()
    for path in make_endless(tmp_path):
        with pytest.raises(OSError) as error:
            files.open_regular(path)
        kinds.add(error.value.strerror.split(",")[0])
        with pytest.raises(UserError, match="not a file"):
            load_arrays(path)
    kinds -= {"No such device or address"}  # no terminal
    assert kinds == {f"it is a {k}" for k in ("pipe", "socket", "device", "folder")}


def test_no_more_is_read_than_was_said(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"\xef\xbb\xbf12345")
    assert files.read_regular_text(path) == "12345"
    assert files.read_regular(path, 8) == path.read_bytes()
    with pytest.raises(OSError, match="8 bytes, and at most 7 bytes"):
        files.read_regular(path, 7)
    with open(path, "wb") as file:
        file.truncate(1 << 40)  # as a hole: it takes no disk
    with pytest.raises(OSError, match=r"1.1 TB, and at most 67.1 MB"):
        files.read_regular_text(path)


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="Linux")
def test_a_file_that_is_longer_than_it_says_is_read_up_to_the_limit():
    assert os.stat("/proc/self/maps").st_size == 0
    assert len(files.read_regular("/proc/self/maps", 1 << 24)) > 0
    with pytest.raises(OSError, match="larger than it says"):
        files.read_regular("/proc/self/maps", 10)


def write_zip(path, members, **how):
    """Writes a zip file; `how` sets attributes of its members in the directory."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
            for key, value in how.items():
                setattr(archive.infolist()[-1], key, value)
    return path


@pytest.mark.parametrize(
    "how, words",
    [
        ({}, "50 kB, and at most 1 kB"),
        ({"file_size": 10}, "damaged: Bad CRC"),
        ({"flag_bits": 1}, "locked with a password"),
        ({"compress_type": 9}, "packed with deflate64; unpack the zip"),
        ({"compress_type": 77}, "packed with an unknown method"),
        ({"header_offset": 1 << 20, "file_size": 9}, "damaged: "),
    ],
)
def test_members_of_a_zip_have_bounds(tmp_path, how, words):
    path = write_zip(tmp_path / "a.zip", {"a": bytes(50_000)}, **how)
    with files.open_regular(path) as file, pytest.raises(OSError, match=words):
        files.read_member(files.open_archive(file), "a", 1000)


def test_what_is_no_zip_is_said(tmp_path):
    whole = write_zip(tmp_path / "a.zip", {"a": bytes(5000)}).read_bytes()
    for content in (b"", b"PK", whole[:-10], bytes(100)):
        (tmp_path / "b").write_bytes(content)
        file = files.open_regular(tmp_path / "b")
        with file, pytest.raises(OSError, match="no complete zip file"):
            files.open_archive(file)


def test_arrays_are_no_larger_than_their_file_says(tmp_path):
    huge = io.BytesIO()
    head = {"descr": "<f8", "fortran_order": False, "shape": (1 << 40,)}
    np.lib.format.write_array_header_1_0(huge, head)
    write_zip(tmp_path / "huge.npz", {"a.npy": huge.getvalue()})
    (tmp_path / "huge.npy").write_bytes(huge.getvalue())
    np.savez_compressed(tmp_path / "bomb.npz", a=np.zeros(1000), b=np.zeros(1000))
    write_zip(tmp_path / "other.npz", {"readme.txt": b"hello"})
    for name, most in [("huge.npz", 1 << 20), ("huge.npz", 1 << 60), ("huge.npy", 99)]:
        with pytest.raises(UserError, match="more than|cut short"):
            load_arrays(tmp_path / name, most)
    with pytest.raises(UserError, match=r"at most 8 kB"):
        load_arrays(tmp_path / "bomb.npz", 16_000)
    with pytest.raises(UserError, match="no array"):
        load_arrays(tmp_path / "other.npz")


@pytest.mark.parametrize("text", ["[" * 100_000, "[1", "", "1" * 5000])
def test_odd_json_is_a_value_error(text):
    with pytest.raises(ValueError):
        files.parse_json(text)


def test_json_that_says_a_name_twice_is_refused():
    with pytest.raises(ValueError, match="it says 'a' twice"):
        files.parse_json('{"b": {"a": 1, "c": 2, "a": 1}}')
    assert files.parse_json('{"a": {"a": 1}}') == {"a": {"a": 1}}


def test_json_of_too_many_values(monkeypatch):
    monkeypatch.setattr(files, "MOST_VALUES", 3)
    assert files.parse_json(b"[1,2,3]") == [1, 2, 3]
    with pytest.raises(ValueError, match="more than 3 values"):
        files.parse_json("[1,2,3,4]")


# ---------------------------------------------------------------------------
# Locks


HOLDER = """
import pathlib, sys, time
from stylegan_tf import files

with files.lock_folder(pathlib.Path("held"), "holds it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_locked_folder_is_waited_for_until_its_holder_dies(tmp_path, capfd):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"STYLEGAN_TF_LAZY": "1"},  # TensorFlow talks when it loads
    )
    assert holder.stdout.readline() == "held\n"
    threading.Timer(0.3, holder.kill).start()
    with files.lock_folder(tmp_path / "held", "holds it"):
        assert holder.wait() != 0
    holder.stdout.close()
    waited = capfd.readouterr().err
    assert waited == "Waiting for another process that holds it.\n"


def test_a_lock_survives_the_move_of_its_folder(tmp_path):
    with files.lock_folder(tmp_path / "a", "moves it"):
        (tmp_path / "a").rename(tmp_path / "b")
        with files.lock_folder(tmp_path / "a", "has the next turn"):
            assert (tmp_path / "a").is_dir()
