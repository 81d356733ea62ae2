"""export: the files of a finished model, and everything that names one."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import keras
import numpy as np
import pytest
import reference
import tensorflow as tf
import tiny

from stylegan_tf import config as configs
from stylegan_tf import export, figures, files, latents, models, sampling
from stylegan_tf.config import Growth
from stylegan_tf.devices import make_strategy
from stylegan_tf.errors import UserError
from stylegan_tf.export import program
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.trainer import make_networks

# A program of someone who has TensorFlow and nothing else.
BARE = """
import sys
sys.modules["keras"] = sys.modules["stylegan_tf"] = None
import numpy as np, tensorflow as tf
model = tf.saved_model.load(sys.argv[1])
z = np.load(sys.argv[2])
s = model.signatures
out = {"served": s["serving_default"](z=z, psi=0.5)["images"]}
out["one"] = s["generate"](z=z[:1], psi=0.5)["images"]
out["all"] = model.generate(z, 1.0)["images"]
out["each"] = s["generate"](z=z, psi=np.float32([0.5, 1, 0.5]))["images"]
out["default"] = model.generate(z)["images"]
seeds = np.array([7, 2**40, 7])
out["seeds"] = model.generate_seeds(seeds)["images"]
data = tf.data.Dataset.from_tensor_slices(z).batch(2)
drawn = [d["images"] for d in data.map(lambda z: model.generate(z, psi=0.5))]
out["data"] = np.concatenate(drawn)
out["w"] = s["map"](z=z)["w"]
ws = np.repeat(out["w"][:, None], 4, axis=1)
out["styled"] = s["synthesize"](ws=ws)["images"]
out["floats"] = s["synthesize_floats"](ws=ws)["images"]
np.savez(sys.argv[3], **out)
"""


def generator(changes=None, **options) -> Generator:
    return tiny.noisy(Generator(tiny.config(changes).generator, **options))


def check_same(a: Generator, b: Generator) -> None:
    assert a.config == b.config
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy(), x.path)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    model = generator()
    return model, export.save_model(model, tmp_path_factory.mktemp("saved") / "model")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run directory with checkpoints after 24 and 40 images, and its networks."""
    path = tmp_path_factory.mktemp("runs") / "00000-demo-demo"
    path.mkdir()
    config = tiny.config()
    configs.write_config(config, path / "config.json")
    nets = make_networks(config)
    state = TrainingState(nets, path)
    for nimg in (24, 40):
        for v in nets.average.weights:
            v.assign(v + 1)  # so that it is not the generator
        state.nimg = nimg
        state.save()
    return path, nets


# ---------------------------------------------------------------------------
# Files of ours


def test_keras_file_comes_back_as_it_was(saved):
    model, folder = saved
    for path in (folder, folder / "generator.keras", str(folder)):
        found = models.load(path)
        check_same(found, model)
        assert isinstance(found, Generator)
        assert models.growth_of(path).resolution == 8


def test_a_run_is_its_newest_moving_average(run):
    path, nets = run
    check_same(models.load(path), nets.average)
    check_same(models.load(path / "checkpoints" / "ckpt-40"), nets.average)
    older = models.load(path / "checkpoints" / "ckpt-24")
    np.testing.assert_allclose(older.w_avg + 1, nets.average.w_avg)
    assert models.growth_of(path) == (8, 1.0)
    half_faded_in = path / "checkpoints" / "ckpt-24"
    assert models.growth_of(half_faded_in) == older.growth == (8, 0.5)


def test_settings_are_read_without_the_weights(saved, run, monkeypatch):
    model, folder = saved
    stranger = type("Generator", (), {})
    monkeypatch.setattr("stylegan_tf.models.Generator", stranger)
    assert models.network_configs(folder)[0] == model.config
    assert models.network_configs(folder / "generator.keras")[0] == model.config
    path, nets = run
    assert models.network_configs(path)[0] == nets.average.config


def test_an_official_pickle_is_a_model(tmp_path):
    model, other = generator(), generator({"seed": 3})
    d = Discriminator(tiny.config().discriminator)
    path = tmp_path / "all.pkl"
    official.save_pickle(path, other, d, model)
    assert models.find_model(path) == models.ModelFile("pickle", path)
    check_same(models.load(str(path)), model)
    assert models.network_configs(path)[0] == model.config
    assert models.growth_of(path).resolution == 8
    official.save_pickle(path, gs=model, growth=Growth(4))
    assert models.growth_of(path).resolution == 4
    official.save_pickle(path, gs=model, growth=Growth(8, 0.25))
    assert models.growth_of(path) == (8, 0.25)
    official.save_pickle(path, d=d)
    with pytest.raises(UserError, match="all.pkl has a discriminator only"):
        models.load(path)


def test_a_copy_is_plain_float32():
    with make_strategy("mirrored").scope():
        model = generator(dtype="mixed_bfloat16")
    model.growth = Growth(8, 0.25)
    copy = export.plain_copy(model)
    assert copy.growth == (8, 0.25)
    check_same(copy, model)
    assert copy.dtype_policy.name == "float32"
    assert isinstance(copy.w_avg._value, tf.Variable)
    assert not hasattr(copy.w_avg._value, "values")


# ---------------------------------------------------------------------------
# What is no model


def test_where_there_is_no_model_it_says_what_to_give(tmp_path):
    with pytest.raises(UserError, match="no model at .*run directory, a .keras or "):
        models.load(tmp_path)
    with pytest.raises(UserError, match="no model at"):
        models.load(tmp_path / "nothing.keras")
    with pytest.raises(UserError, match="no model at .*nothing.pkl.*a .pkl or .pt"):
        models.load(tmp_path / "nothing.pkl")


def test_a_run_without_a_checkpoint_has_no_model_yet(tmp_path):
    configs.write_config(tiny.config(), tmp_path / "config.json")
    with pytest.raises(UserError, match="neither a model nor a checkpoint yet"):
        models.load(tmp_path)


def test_a_checkpoint_needs_its_run(run, tmp_path):
    path, _ = run
    for file in path.glob("checkpoints/ckpt-40.*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(UserError, match="is not in a run"):
        models.load(tmp_path / "ckpt-40")


def test_a_damaged_checkpoint_is_named(run, tmp_path):
    path, _ = run
    copy = tiny.copy_run(path, tmp_path / "copy", 40)
    configs.write_config(tiny.config(), copy / "config.json")
    data = copy / "checkpoints" / "ckpt-40.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:50])
    with pytest.raises(UserError, match="ckpt-40 cannot be read"):
        models.load(copy)


def test_a_file_that_is_no_generator_is_named(tmp_path):
    (tmp_path / "a.keras").write_bytes(b"PK")
    (tmp_path / "a.pkl").write_bytes(b"PK\3\4")
    Discriminator(tiny.config().discriminator).save(tmp_path / "d.keras")
    for read in (models.load, models.network_configs):
        with pytest.raises(UserError, match="a.keras cannot be read"):
            read(tmp_path / "a.keras")
        with pytest.raises(UserError, match="a.pkl is damaged, or no PyTorch"):
            read(tmp_path / "a.pkl")
        with pytest.raises(UserError, match="holds a Discriminator, not a Generator"):
            read(tmp_path / "d.keras")


# ---------------------------------------------------------------------------
# The SavedModel


def test_runs_where_there_is_nothing_but_tensorflow(saved, tmp_path):
    model, folder = saved
    z = latents.z_of([1, 2, 3], 8)
    np.save(tmp_path / "z.npy", z)
    files = [folder / "saved_model", tmp_path / "z.npy", tmp_path / "out.npz"]
    command = [sys.executable, "-c", BARE, *map(str, files)]
    elsewhere = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    done = subprocess.run(command, env=elsewhere, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    out = np.load(tmp_path / "out.npz")

    def pictures(psi):
        return figures.to_uint8(model(z, psi=psi, noise="const")).astype(int)

    named = {"served": 0.5, "data": 0.5, "all": 1.0, "styled": 1.0, "default": 0.7}
    for name, psi in named.items():
        assert out[name].dtype == np.uint8
        np.testing.assert_allclose(out[name].astype(int), pictures(psi), atol=1)
    np.testing.assert_allclose(out["one"].astype(int), pictures(0.5)[:1], atol=1)
    each = np.stack([pictures(p)[i] for i, p in enumerate((0.5, 1.0, 0.5))])
    np.testing.assert_allclose(out["each"].astype(int), each, atol=1)
    first, other, again = out["seeds"]
    np.testing.assert_array_equal(first, again)
    assert np.abs(first.astype(int) - other).max() > 5
    np.testing.assert_allclose(out["w"], model.mapping(z), rtol=1e-4, atol=1e-6)
    floats = model(z, noise="const").numpy()
    np.testing.assert_allclose(out["floats"], floats, rtol=1e-3, atol=1e-4)


def test_signatures_of_a_conditional_model_at_an_early_stage(tmp_path):
    model = generator({"classes": 3})
    mine = files.draft_name(tmp_path / export.CARD_JSON)
    left = tmp_path / mine.replace(str(os.getpid()), "99999999")
    left.touch()  # by another process, which was killed while it wrote the card
    export.save_model(model, tmp_path, resolution=4)
    assert not left.exists()
    signatures = tf.saved_model.load(tmp_path / "saved_model").signatures
    found = {
        name: {k: str(v.shape) for k, v in s.structured_input_signature[1].items()}
        for name, s in signatures.items()
    }
    labels = {"labels": "(None, 3)"}
    z, psi = {"z": "(None, 8)"} | labels, {"psi": "<unknown>"}  # one, or one each
    assert found == {
        "serving_default": z | psi,
        "generate": z | psi,
        "generate_seeds": {"seeds": "(None,)"} | labels | psi,
        "map": z,
        "synthesize": {"ws": "(None, 4, 8)"},
        "synthesize_floats": {"ws": "(None, 4, 8)"},
    }
    z = latents.z_of([1, 2], 8)
    labels = latents.one_hot([0, 2], 3)
    drawn = signatures["generate"](
        z=tf.constant(z), labels=tf.constant(labels), psi=tf.constant(0.3)
    )["images"]
    center = sampling.class_centers(model)[[0, 2]][:, None]
    ws = model.truncate(model.broadcast(model.mapping(z, labels)), 0.3, center=center)
    expected = model.synthesis(ws, noise="const", resolution=4)
    assert drawn.shape == (2, 4, 4, 3)
    np.testing.assert_allclose(
        drawn.numpy().astype(int), figures.to_uint8(expected), atol=1
    )


def test_the_keras_file_says_what_made_it(saved):
    with zipfile.ZipFile(saved[1] / "generator.keras") as archive:
        content = json.loads(archive.read("config.json"))
    assert content["registered_name"] == "stylegan_tf>Generator"
    assert content["config"]["config"]["resolution"] == 8
    assert Path(saved[1] / "saved_model" / "saved_model.pb").is_file()
    assert keras.saving.get_registered_object("stylegan_tf>Generator") is Generator


def test_labels_keep_working_in_both_files(tmp_path):
    model = generator({"classes": 3})
    folder = export.save_model(model, tmp_path / "model")
    z = latents.z_of([1, 1, 1], 8)
    labels = latents.one_hot([0, 1, 2], 3)
    w = model.mapping(z, labels).numpy()
    assert min(np.abs(w[i] - w[i - 1]).max() for i in range(3)) > 1e-3
    opened = models.load(folder)
    check_same(opened, model)
    np.testing.assert_array_equal(opened.mapping(z, labels), w)
    signatures = tf.saved_model.load(folder / "saved_model").signatures
    mapped = signatures["map"](z=tf.constant(z), labels=tf.constant(labels))["w"]
    np.testing.assert_allclose(mapped, w, rtol=1e-4, atol=1e-6)
    drawn = signatures["generate"](
        z=tf.constant(z), labels=tf.constant(labels), psi=tf.constant(1.0)
    )["images"]
    expected = figures.to_uint8(opened(z, labels, noise="const"))
    np.testing.assert_allclose(drawn.numpy().astype(int), expected, atol=1)


def test_a_model_that_is_not_yet_grown_says_so_wherever_it_goes(tmp_path):
    """Its top blocks are not trained: pictures come from those below."""
    model = generator()
    folder = export.save_model(model, tmp_path / "model", resolution=4)
    moved = tmp_path / "elsewhere.keras"
    moved.write_bytes((folder / models.KERAS_FILE).read_bytes())
    for path in (folder, moved):
        assert models.growth_of(path).resolution == 4
        opened = models.load(path)
        assert opened.growth.resolution == 4
        assert next(sampling.draw(opened, [1]))[1].shape == (4, 4, 3)
    whole = export.save_model(model, tmp_path / "whole", resolution=8)
    assert models.growth_of(whole).resolution == 8


@pytest.mark.parametrize("final", [8, 16])
def test_a_resolution_that_fades_in_is_blended_wherever_it_goes(final, tmp_path):
    model = generator({"resolution": final}, growth=Growth(8, 0.3))
    z = tf.constant(latents.z_of([1, 2], 8))
    below, new = (
        model(z, noise="const", resolution=r, alpha=1.0).numpy() for r in (4, 8)
    )
    blended = figures.to_uint8(reference.faded(below, new, 0.3)).astype(int)
    folder = export.save_model(model, tmp_path / "model")
    opened = models.load(folder)
    assert models.growth_of(folder) == opened.growth == (8, 0.3)
    found = [picture for _, picture in sampling.draw(opened, [1, 2])]
    np.testing.assert_allclose(np.stack(found).astype(int), blended, atol=1)
    loaded = tf.saved_model.load(folder / models.SAVED_MODEL)
    found = loaded.generate(z, psi=1.0)["images"].numpy().astype(int)
    np.testing.assert_allclose(found, blended, atol=1)
    early = export.save_model(model, tmp_path / "early", resolution=4)
    assert models.load(early).growth == (4, 1.0)
    loaded = tf.saved_model.load(early / models.SAVED_MODEL)
    found = loaded.generate(z, psi=1.0)["images"].numpy().astype(int)
    np.testing.assert_allclose(found, figures.to_uint8(below), atol=1)


def test_labels_that_name_no_class_are_truncated_to_the_mean_of_all(tmp_path):
    model = generator({"classes": 3})
    model.w_avg.assign(np.linspace(-1, 1, 8))
    center = program.truncation_center(model)
    labels = np.array([[0, 1, 0], [0.3, -0.5, 0.1], [0, 0, 0], [1, 1, 0]], np.float32)
    found = center(tf.constant(labels))[:, 0].numpy()
    np.testing.assert_allclose(found[0], sampling.class_centers(model)[1], rtol=1e-5)
    for row in found[1:]:
        np.testing.assert_array_equal(row, model.w_avg.numpy())


def test_a_damaged_run_is_told_in_a_line(tmp_path):
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.json").write_text("{")
    (run / "checkpoints" / "best.index").touch()
    for ask in (models.load, models.network_configs, models.growth_of):
        with pytest.raises(UserError, match="config.json cannot be read"):
            ask(run / "checkpoints" / "best")
    configs.write_config(configs.TrainConfig(), run / "config.json")
    with pytest.raises(UserError, match="does not end in the images seen"):
        models.growth_of(run / "checkpoints" / "best")
