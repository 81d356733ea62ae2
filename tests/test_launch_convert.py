"""launch/convert.py: official pickles to models of ours, and back."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from launching import call, official_pickle
from PIL import Image

from stylegan_tf import models
from stylegan_tf.config import Growth
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official
from stylegan_tf.official import tf_pickles


@pytest.fixture(scope="module")
def pickle(tmp_path_factory):
    """An official pickle that had grown up to 4 x 4, and its networks."""
    path = tmp_path_factory.mktemp("pickles") / "x.pkl"
    return path, *official_pickle(path)


def check_same(a, b) -> None:
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy(), x.path)


def test_convert_makes_our_files_of_a_pickle(pickle, tmp_path):
    path, g, d = pickle
    out = tmp_path / "new" / "model"
    code, said, error = call("convert", f"--pickle={path}", f"--out={out}")
    assert code == 0, error
    for name in ("G (G_style)", "D (D_basic)", "Gs (G_style)"):
        assert f"{name}: " in said
    assert "grown up to lod 1" in said and "generate.py --model=" in said
    assert "block8" not in said and "block8" in (out / "report.txt").read_text()
    check_same(models.load(out), g)
    check_same(tf.keras.models.load_model(out / "discriminator.keras"), d)
    drawn = tf.saved_model.load(out / "saved_model").signatures["generate"]
    z = np.zeros([1, 8], "f4")
    assert drawn(z=tf.constant(z), psi=tf.constant(0.5))["images"].shape[1] == 4
    code, said, _ = call("convert", f"--pickle={path}", f"--out={out}", "--report")
    assert code == 0 and "block8" in said


def test_convert_keeps_how_far_a_level_has_faded_in(tmp_path):
    g = Generator(tiny.config().generator, Growth(8, 0.25))
    g.save(tmp_path / "g.keras")
    d = Discriminator(tiny.config().discriminator)
    official.save_pickle(tmp_path / "x.pkl", g, d, g)
    for model in ("g.keras", "x.pkl"):
        out = tmp_path / "out.pkl"
        code, _, error = call("convert", f"--model={tmp_path / model}", f"--out={out}")
        assert code == 0, error
        assert models.growth_of(out) == (8, 0.25)
    states = tf_pickles.read_pickle(out)
    assert {float(states[k].collect()["lod"]) for k in ("G", "D", "Gs")} == {0.75}
    code, said, error = call("convert", f"--pickle={out}", f"--out={tmp_path / 'new'}")
    assert code == 0, error
    assert "grown up to lod 0.75" in said
    assert models.growth_of(tmp_path / "new") == (8, 0.25)


def test_convert_refuses_what_has_no_counterpart(tmp_path):
    c = tiny.config({"start_shape": (4, 6)}).generator
    Generator(c).save(tmp_path / "wide.keras")
    out = tmp_path / "x.pkl"
    code, _, error = call("convert", f"--model={tmp_path}/wide.keras", f"--out={out}")
    assert code == 2 and "do not know pictures that are not square" in error
    assert not out.exists()


def test_convert_takes_a_discriminator_alone(pickle, tmp_path):
    official.save_pickle(tmp_path / "d.pkl", d=pickle[2])
    out = tmp_path / "model"
    code, _, error = call("convert", f"--pickle={tmp_path}/d.pkl", f"--out={out}")
    assert code == 0, error
    names = sorted(p.name for p in out.iterdir())
    assert names == ["discriminator.keras", "report.txt"]


def test_generate_draws_a_pickle(pickle, tmp_path):
    path, _, _ = pickle
    made = tmp_path / "model"
    call("convert", f"--pickle={path}", f"--out={made}")
    for model, out in ((path, "a"), (made, "b")):
        flags = [f"--model={model}", "--seeds=0-1", f"--out={tmp_path / out}"]
        flags += ["--enlarge=1"]
        code, _, error = call("generate", *flags)
        assert code == 0, error
    a, b = (np.asarray(Image.open(tmp_path / k / "seed0001.png")) for k in "ab")
    assert a.shape == (4, 4, 3)  # what it had learned
    np.testing.assert_array_equal(a, b)
