"""Runs, models and data sets made before the modules got their present places."""

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from stylegan_tf import latents, models
from stylegan_tf.data import pipeline
from stylegan_tf.export import provenance

HERE = Path(__file__).parent
FOLDER = HERE / "goldens" / "before_rooms"


@pytest.fixture
def older(tmp_path):
    """A folder with `run` (400 images of 16x16, five classes) and its `data`."""
    with zipfile.ZipFile(FOLDER / "run_and_data.zip") as archive:
        archive.extractall(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def expected():
    """What the program that wrote them drew and read."""
    with np.load(FOLDER / "expected.npz") as arrays:
        return dict(arrays)


@pytest.mark.parametrize(
    ("path", "name"),
    [("run/checkpoints/ckpt-400", "run"), ("run/model/generator.keras", "keras")],
)
def test_models_open_and_draw_the_same(older, expected, path, name):
    g = models.load(older / path)
    labels = latents.one_hot([0, 1, 2, 3], g.config.classes)
    w = g.mapping(latents.z_of([0, 1, 2, 3], g.config.z_dim), labels)
    np.testing.assert_allclose(w, expected[f"{name}_w"], atol=1e-5)
    ws = g.truncate(g.broadcast(w), 0.7)
    images = g.synthesis(ws, noise="const")
    np.testing.assert_allclose(images, expected[name], atol=1e-4)


def test_data_sets_are_read(older, expected):
    stream = pipeline.dataset(older / "data", 16, 8, shuffle=False, repeat=False)
    batch = next(stream.as_numpy_iterator())
    np.testing.assert_array_equal(batch["image"], expected["images"])
    np.testing.assert_array_equal(batch["label"], expected["labels"])


def test_runs_go_on(older):
    """From 400 to 500 images, in a process of its own."""
    run = older / "run"
    command = [sys.executable, str(HERE.parent / "launch" / "train.py")]
    command += [f"--resume={run}", f"--data={older / 'data'}", "--kimg=0.5"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=older)
    assert done.returncode == 0, done.stderr
    log = (run / "log.txt").read_text()
    assert "kimg 0.5 " in log and "finished at 0.5 kimg" in log
    assert "kimg 0.1 " in log  # the same log
    images = models.load(run)(latents.z_of([5], 8), np.eye(5, dtype="f4")[:1])
    assert np.isfinite(images).all()


def test_cards_keep_the_license(older):
    origin = provenance.provenance_of_model(older / "run" / "model" / "generator.keras")
    assert origin.preset == "demo" and origin.images_seen == 400
    assert origin.license != provenance.UNKNOWN_LICENSE
