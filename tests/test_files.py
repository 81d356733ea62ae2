"""files.py: atomic writes, and `.npz` files of unknown origin."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

from stylegan_tf import files
from stylegan_tf.errors import UserError


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
    found = files.load_arrays(files.save_arrays(tmp_path / "a.b", arrays))
    assert list(found) == ["a", "b"]
    for name in found:
        np.testing.assert_array_equal(found[name], arrays[name])


def test_other_kinds_of_files_are_refused(tmp_path):
    whole = files.save_arrays(tmp_path / "whole.npz", {"a": np.zeros(1000)})
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
    for name in [*names, "none.npz"]:
        with pytest.raises(UserError, match=f"{name} cannot be read as .npz: "):
            files.load_arrays(tmp_path / name)


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
        files.float_array("a.npz", {"x": array}, "x")
    assert files.float_array("a.npz", {"x": np.arange(3)}, "x").dtype == np.float32


HOLDER = """
import pathlib, sys, time
from stylegan_tf import files

with files.lock_folder(pathlib.Path("held"), "holds it"):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_locked_folder_is_waited_for_until_its_holder_dies(tmp_path, capfd):
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER], cwd=tmp_path, stdout=subprocess.PIPE, text=True
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
