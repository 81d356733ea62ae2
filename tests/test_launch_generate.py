"""launch/generate.py: sheets and files of a model's classes."""

import re

import numpy as np
import pytest
import tiny
from launching import call
from PIL import Image

from stylegan_tf.networks.generator import Generator


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    """Models with 3 classes, with 101, and without any."""
    folder = tmp_path_factory.mktemp("models")
    for name, classes in (("three", 3), ("none", 0), ("many", 101)):
        config = tiny.config({"classes": classes}).generator
        tiny.noisy(Generator(config)).save(folder / f"{name}.keras")
    return folder


def sheet_of(model, file, *flags) -> np.ndarray:
    code, _, error = call("generate", f"--model={model}", f"--grid={file}", *flags)
    assert code == 0, error
    return np.asarray(Image.open(file))[::10, ::10]  # 8 x 8 pixels, ten times as large


def test_a_sheet_of_classes_has_a_row_each(model_files, tmp_path):
    model, seeds = model_files / "three.keras", "--seeds=7,5"
    sheet = sheet_of(model, tmp_path / "a.png", seeds)
    assert sheet.shape == (24, 16, 3)
    one = sheet_of(model, tmp_path / "b.png", seeds, "--classes=2")
    assert one.shape == (8, 16, 3)
    np.testing.assert_array_equal(sheet[16:], one)
    some = sheet_of(model, tmp_path / "c.png", seeds, "--classes=2,0")
    np.testing.assert_array_equal(some, np.concatenate([sheet[16:], sheet[:8]]))
    turns = sheet_of(model, tmp_path / "d.png", seeds, "--columns=2")
    np.testing.assert_array_equal(turns[:, :8], sheet[:8, :8])
    np.testing.assert_array_equal(turns[:, 8:], sheet[8:16, 8:])
    every = ("--columns=3", "--each_class")
    assert sheet_of(model, tmp_path / "e.png", seeds, *every).shape == (16, 24, 3)
    plain = sheet_of(model_files / "none.keras", tmp_path / "f.png", "--seeds=0-2")
    assert plain.shape == (8, 24, 3)


def test_files_say_their_class(model_files, tmp_path):
    flags = [
        f"--model={model_files / 'three.keras'}",
        f"--out={tmp_path}",
        "--seeds=4,9",
    ]
    code, out, _ = call("generate", *flags, "--classes=2,0", "--each_class")
    assert code == 0 and "4 pictures" in out
    names = {f"seed000{seed}-class{k}.png" for seed in (4, 9) for k in (0, 2)}
    assert {p.name for p in tmp_path.iterdir()} == names
    each = {name: np.asarray(Image.open(tmp_path / name)) for name in names}
    code, *_ = call("generate", *flags, "--classes=2")
    assert code == 0
    alone = np.asarray(Image.open(tmp_path / "seed0009.png"))
    np.testing.assert_array_equal(alone, each["seed0009-class2.png"])


def test_psi_center_is_the_class_unless_said_otherwise(model_files, tmp_path):
    model, flags = model_files / "three.keras", ("--psi=0", "--seeds=3")
    sheets = [
        sheet_of(model, tmp_path / f"{i}.png", *flags, *more).reshape(3, -1)
        for i, more in enumerate(
            [(), ("--psi_center=class",), ("--psi_center=global",)]
        )
    ]
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert [len(np.unique(sheet, axis=0)) for sheet in sheets] == [3, 3, 1]


@pytest.mark.parametrize(
    ("model", "flags", "words"),
    [
        ("none", ["--psi_center=class"], "no per-class.*use --psi_center=global"),
        ("none", ["--each_class"], "no classes; leave --each_class out"),
        ("none", ["--classes=0"], "no classes; leave --classes out"),
        ("many", ["--grid=a.png"], "101 classes are too many rows.*--classes=0-9"),
    ],
)
def test_what_a_model_has_no_classes_for(
    model_files, model, flags, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, _, error = call("generate", f"--model={model_files / model}.keras", *flags)
    assert code == 2 and len(error.splitlines()) == 1
    assert re.search(words, error), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flag, message", [("--psi=nan", "no number"), ("--grid=a.txt", "name it x.png")]
)
def test_generate_refuses_what_it_could_not_draw(flag, message):
    code, _, error = call("generate", "--model=a.keras", flag)
    assert code == 2 and message in error
