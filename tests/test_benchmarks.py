"""benchmarks/: each script's parts, at sizes that say nothing of speed or quality."""

import contextlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny
from stylegan_tf_launch import cli

from stylegan_tf import sampling
from stylegan_tf.config import GeneratorConfig
from stylegan_tf.data import demo
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def script(name: str):
    """The module of a script, which is not in any package."""
    where = BENCHMARKS / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", where)
    sys.modules[spec.name] = module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---------------------------------------------------------------------------
# classes.py: is the class asked for the class drawn?


@pytest.fixture(scope="module")
def classes():
    return script("classes")


def test_help_of_classes():
    command = [sys.executable, str(BENCHMARKS / "classes.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "python benchmarks/classes.py --model=" in done.stdout
    for name in ("model", "num", "psi", "reals", "held_out", "epochs", "seed"):
        assert f"\n--{name}=" in done.stdout


def test_reals_are_the_demo_and_its_classes(classes):
    images, labels = classes.reals(16, first=3, count=4)
    for i in range(4):
        np.testing.assert_array_equal(images[i], demo.draw_face(3 + i, 16))
        assert labels[i] == demo.factors(3 + i)["class"]


def test_the_classifier_names_what_it_has_not_seen_and_is_repeatable(classes):
    images, labels = classes.reals(16, 0, 500)
    a, b = (classes.classifier(images[:400], labels[:400], 8) for _ in range(2))
    assert classes.shares(a, images[400:], labels[400:])[0] > 0.8
    np.testing.assert_allclose(a.predict(images), b.predict(images), atol=1e-2)


class Named:
    """A classifier that reads the class off the first pixel."""

    def predict(self, images, **_):
        return np.eye(5)[images[:, 0, 0, 0]]


def test_shares_count_what_is_named_as_asked_for(classes):
    labels = np.array([0, 0, 0, 1, 2, 2, 4])
    images = np.zeros((7, 2, 2, 3), np.uint8)
    images[:, 0, 0, 0] = [0, 0, 1, 1, 3, 4, 4]
    found = classes.shares(Named(), images, labels)
    np.testing.assert_allclose(found, [4 / 7, 2 / 3, 1, 0, np.nan, 1])


def test_every_class_is_drawn_with_the_same_seeds(classes):
    model = tiny.noisy(Generator(tiny.config({"classes": 5}).generator))
    images, asked = classes.drawn(model, 3, 8, psi=0.7, psi_center="class")
    assert images.shape == (15, 8, 8, 3)
    np.testing.assert_array_equal(asked, np.repeat(range(5), 3))
    for i, (seed, k) in enumerate([(0, 0), (2, 0), (1, 4)]):
        ((_, alone),) = sampling.draw(model, [seed], psi=0.7, classes=[k])
        np.testing.assert_array_equal(images[[0, 2, 13][i]], alone)


def test_rows_and_table(classes):
    assert classes.ways(0.7) == {
        "psi 1": {"psi": 1.0},
        "psi 0.7, class": {"psi": 0.7, "psi_center": "class"},
        "psi 0.7, global": {"psi": 0.7, "psi_center": "global"},
    }
    lines = classes.table({"real": [1, 0.5, 0.25, 0.125, 0, np.nan]}).splitlines()
    assert lines[0] == "|  | all | short hair | long hair | curls | hat | cat hood |"
    assert lines[2] == "| real | 100.0 | 50.0 | 25.0 | 12.5 | 0.0 | nan |"


@pytest.mark.parametrize(
    "changes",
    [{"classes": 0}, {"classes": 3}, {"channels": 1}, {"start_shape": (4, 6)}],
)
def test_models_of_something_else_are_refused(classes, changes):
    good = {"resolution": 32, "classes": 5}
    assert classes.check(GeneratorConfig(**good), 32) == 32
    with pytest.raises(UserError, match="expected 5 classes of square color pictures"):
        classes.check(GeneratorConfig(**good | changes), 32)
    with pytest.raises(UserError, match="--model draws 8x8x3 in 5 classes"):
        classes.check(GeneratorConfig(**good), 8)


def test_a_model_has_to_be_named(classes):
    err = io.StringIO()
    with contextlib.redirect_stderr(err), pytest.raises(SystemExit) as exit:
        cli.run(classes.main, classes.FLAGS, ["classes.py"])
    assert exit.value.code == 2
    assert err.getvalue().startswith("error: name a conditional model")


# ---------------------------------------------------------------------------
# encoder.py: what an encoder's answer saves


def test_steps_saved_are_read_off_the_curves():
    encoder = script("encoder")
    curves = {
        "w from the mean": {"10": 0.5, "100": 0.3, "1000": 0.1},
        "w from the encoder": {"10": 0.3, "100": 0.2, "1000": 0.1},
    }
    saved = dict(encoder.steps_saved(curves, "w"))
    assert saved["100"] == pytest.approx(0.1)  # ten steps come as near as a hundred
    assert saved["1000"] == pytest.approx(1)
    assert saved["10"] == pytest.approx(1)  # no fewer were tried


def test_edits_are_judged_by_the_factors(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    from workers import edits

    before = {"hair": np.eye(3)[[0, 1]], "smile": np.array([0.2, 0.4])}
    after = {"hair": np.eye(3)[[0, 2]], "smile": np.array([0.4, 0.6])}
    assert edits.kept(before, after, "smile") == 0.5
    assert edits.shift("smile", before, after) == pytest.approx(0.2)
    assert edits.shift("hair.2", before, after) == 0.5
