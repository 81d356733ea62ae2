"""projector/tuning.py: pivotal tuning, its files, and `project.py --tune`."""

import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf
from launching import call
from PIL import Image
from test_projector import SMOOTH, Pixels, generator

import stylegan_tf
from stylegan_tf import export, latents, models, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.formats import tuned_files
from stylegan_tf.networks.block import weight_name, weights_fingerprint
from stylegan_tf.projector import project, resuming, search, tuning
from stylegan_tf.projector.tuning import Tuner, TuningSettings, tune

FAST = TuningSettings(lr=0.01, ramp_up=4, radius=1, neighbors=0, stop_at=0.0)


@pytest.fixture(scope="module")
def model():
    return generator(SMOOTH)


@pytest.fixture(scope="module")
def ws(model):
    return sampling.styles(model, range(3), psi=0.5)


@pytest.fixture(scope="module")
def faces():
    """Smooth pictures that the model has never drawn."""
    rng = np.random.default_rng(1)
    coarse = rng.integers(60, 200, (3, 2, 2, 3)).repeat(4, 1).repeat(4, 2)
    return coarse.astype(np.uint8)


@pytest.fixture(scope="module")
def tuner(model, ws, faces):
    """Compiled once; tests begin from the state `started`."""
    return Tuner(model, ws, faces, loss=Pixels(), settings=FAST, batch=2, seed=5)


@pytest.fixture(scope="module")
def started(tuner, tmp_path_factory):
    tuner.save_state(tmp_path_factory.mktemp("state") / "0.npz")
    return tmp_path_factory.getbasetemp() / "state0" / "0.npz"


def weights(model) -> dict[str, np.ndarray]:
    return {weight_name(v): v.numpy() for v in model.weights}


def check_same(a, b) -> None:
    a, b = weights(a), weights(b)
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


# ---------------------------------------------------------------------------
# Closed forms


class Linear(keras.layers.Layer):
    """Images that are linear in w: 8 x 8 x 3 = A w."""

    def build(self, input_shape=None):
        rng = np.random.default_rng(0)
        self.matrix = 0.08 * rng.standard_normal((8, 192)).astype(np.float32)
        self.built = True

    def call(self, ws, noise=None, resolution=None, alpha=None):
        return tf.reshape(tf.reduce_mean(ws, axis=1) @ self.matrix, [-1, 8, 8, 3])


def test_a_generator_linear_in_w_is_inverted():
    model = generator(SMOOTH | {"generator.use_noise": False})
    synthesis = Linear()
    synthesis.growth = stylegan_tf.Growth(8)
    object.__setattr__(model, "synthesis", synthesis)  # Keras lets no layer be changed
    model.synthesis.build()
    true = sampling.sample_w(model, 2)
    images = (np.clip(true @ model.synthesis.matrix, -1, 1) + 1) * 127.5
    targets = np.rint(images).astype(np.uint8).reshape(2, 8, 8, 3)
    inside = (np.abs(true @ model.synthesis.matrix) < 1).all()
    assert inside  # else it is not linear
    found = project(model, targets, "w", 300, loss=Pixels())
    a = model.synthesis.matrix.astype(np.float64)
    pixels = targets.reshape(2, -1) / 127.5 - 1
    solution = pixels @ np.linalg.pinv(a)  # the least squares of all w
    np.testing.assert_allclose(found.latents.ws[:, 0], solution, atol=2e-3)
    assert np.all(found.psnr > 50)  # rounding is left, and nothing else


def reference_steps(model, ws, targets, steps: int) -> dict[str, np.ndarray]:
    """Eager, Keras' Adam, the loss written out; batches of 2 of 3 images."""
    copy = generator(SMOOTH)
    near, deviation = sampling.sample_w(model), search.w_statistics(model)[1]
    variables = copy.synthesis.trainable_variables
    adam = keras.optimizers.Adam(0.01, 0.9, 0.999, epsilon=1e-8)
    adam.build(variables)
    for step in range(steps):
        rows = [2 * step % 3, (2 * step + 1) % 3]
        chosen = tf.random.stateless_uniform([2], [5, step], 0, len(near), tf.int32)
        w_p, w_z = ws[rows][:, 0], near[chosen.numpy()]
        way = w_z - w_p
        w_r = w_p + deviation * way / np.linalg.norm(way, axis=1, keepdims=True)
        w_r = w_r[:, None].repeat(ws.shape[1], axis=1)
        old = model.synthesis(w_r, noise="const")
        with tf.GradientTape() as tape:
            gap = copy.synthesis(ws[rows], noise="const") - (targets[rows] / 127.5 - 1)
            drift = copy.synthesis(w_r, noise="const") - old
            # Pixels is the mean of |.|^2 as well
            total = 2 * tf.reduce_mean(gap**2) + 2 * tf.reduce_mean(drift**2)
        adam.learning_rate = 0.01 * min(1, (step + 1) / 4)
        adam.apply(tape.gradient(total, variables))
    return weights(copy)


def test_steps_are_those_of_the_formula(model, ws, faces, tuner, started):
    tuner.restore_state(started)
    start = weights(model)
    for _ in range(2):
        tuner.step()
    expected, found = reference_steps(model, ws, faces, 2), weights(tuner.model)
    for name, before in start.items():
        moved = np.abs(expected[name] - before).max()
        assert np.abs(found[name] - expected[name]).max() <= 0.05 * moved, name
    kernel = "synthesis/block8/conv1/conv/kernel"
    assert np.abs(found[kernel] - start[kernel]).max() > 0.005
    for name in start:  # the mapping and the constant noise stay
        if not name.startswith("synthesis") or "noise" in name.split("/")[1]:
            np.testing.assert_array_equal(found[name], start[name])


def test_what_is_held_lies_around_the_pivots_in_turn(model, ws, tuner, monkeypatch):
    monkeypatch.setattr(tuner, "_neighbor_count", 7)
    near = tuner._neighbors(tf.constant(1, tf.int64)).numpy()
    pivots = ws[(7 + np.arange(7)) % 3]
    deviation = search.w_statistics(model)[1]
    np.testing.assert_allclose(np.linalg.norm(near - pivots, axis=-1), deviation, 1e-4)
    assert len(np.unique(near[:, 0].round(4), axis=0)) == 7


# ---------------------------------------------------------------------------


def test_a_model_that_draws_its_targets_is_left_as_it_is(model, ws, tmp_path):
    own = sampling.Renderer(model)(ws)
    tuned = tune(model, ws, own)
    assert tuned.steps == 0 and tuned.differences == {}
    check_same(tuned.generator, model)
    np.testing.assert_array_equal(tuned.images, own)
    assert np.all(np.isinf(tuned.psnr))


def test_tuning_draws_the_pictures(model, ws, tuner, started):
    tuner.restore_state(started)
    before, fingerprint = tuner.distances, weights_fingerprint(model)
    for _ in range(60):
        tuner.step()
    tuned = tuner.result()
    assert np.all(tuned.distances < before / 2)
    assert weights_fingerprint(model) == fingerprint == tuned.fingerprint
    np.testing.assert_array_equal(sampling.Renderer(tuned.generator)(ws), tuned.images)
    assert set(weights(model)) > set(tuned.differences)
    assert {d.dtype for d in tuned.differences.values()} == {np.dtype(np.float16)}
    for v in tuned.generator.weights:
        change = tuned.differences.get(weight_name(v), np.zeros(v.shape, np.float16))
        start = weights(model)[weight_name(v)]
        np.testing.assert_array_equal(v.numpy(), start + change.astype(np.float32))


def test_tuning_goes_on_where_it_was_stopped(tuner, started, tmp_path):
    tuner.restore_state(started)
    for _ in range(3):
        tuner.step()
    tuner.save_state(tmp_path / "half.npz")
    for _ in range(3):
        tuner.step()
    expected = weights(tuner.model)
    tuner.restore_state(tmp_path / "half.npz")
    assert tuner.steps == 3
    for _ in range(3):
        tuner.step()
    for name, x in weights(tuner.model).items():
        np.testing.assert_array_equal(x, expected[name], name)


def test_a_stopped_tuning_keeps_its_state(tuner, started, monkeypatch, tmp_path):
    monkeypatch.setattr(tuning, "Tuner", lambda *_: tuner)  # compiled already
    seen: list[int] = []

    def watch(tuner):
        seen.append(tuner.steps)
        if seen == [1, 2, 3]:
            raise KeyboardInterrupt

    state = tmp_path / "state.npz"
    how = {"steps": 3, "state": state, "request": "a", "watch": watch}
    tuner.restore_state(started)
    with pytest.raises(KeyboardInterrupt):
        tune(None, None, None, **how)
    assert resuming.is_state_of(state, "a") and not resuming.is_state_of(state, "b")
    tuner.step()  # the new process knows the file alone
    tune(None, None, None, **how)
    assert seen == [1, 2, 3, 4, 5, 6]  # 3 steps, 2 batches
    assert resuming.is_state_of(state, "a")  # until the result is on the disk
    tuner.restore_state(started)
    assert tune(None, None, None, steps=3, watch=lambda t: t.steps == 2).steps == 2
    (tmp_path / "other.npz").write_bytes(started.read_bytes()[:-40])
    assert not resuming.is_state_of(tmp_path / "other.npz", "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"targets": np.zeros((3, 8, 9, 3), np.uint8)}, "uint8 of N x 8 x 8 x 3"),
        ({"targets": np.zeros((3, 8, 8, 3), np.uint16)}, "pictures are uint16"),
        ({"ws": np.zeros((2, 4, 8))}, "pivots are 2 x 4 x 8; give one for each"),
    ],
)
def test_what_does_not_suit_the_model_is_refused(model, ws, faces, changes, words):
    with pytest.raises(UserError, match=words):
        Tuner(model, **{"ws": ws, "targets": faces} | changes)


def test_settings_are_checked():
    with pytest.raises(UserError, match="locality is -1; give a number"):
        TuningSettings(locality=-1)


# ---------------------------------------------------------------------------
# The file


@pytest.fixture(scope="module")
def folder(tmp_path_factory, model, ws, faces):
    """An original, and a model tuned from it."""
    folder = tmp_path_factory.mktemp("tuned")
    export.plain_copy(model).save(folder / "plain.keras")
    flags = [f"--model={folder}/plain.keras", "--steps=4", "--novideo", "--tune"]
    Image.fromarray(faces[0]).save(folder / "me.png")
    flags += [f"--images={folder}/me.png", "--tune_steps=5", f"--out={folder}/out"]
    code, out, err = call("project", *flags)
    assert code == 0 and f"{folder}/out/tuned.npz" in out, err
    return folder


def test_a_tuned_file_is_a_model(folder):
    path, original = folder / "out/tuned.npz", models.load(folder / "plain.keras")
    tuned, found = stylegan_tf.load(path), models.find_model(path)
    assert (found.kind, found.base.kind) == ("tuned", "keras")
    kept = latents.load_latents(folder / "out/projected.npz", 4, 8)
    drawn = sampling.Renderer(tuned)(kept.ws, kept.noise)[0]
    np.testing.assert_array_equal(Image.open(folder / "out/me.png"), drawn)
    before = sampling.Renderer(original)(kept.ws, kept.noise)[0]
    assert np.any(drawn != before)
    assert models.network_configs(path) == (original.config, None)
    assert models.growth_of(path) == original.growth
    assert models.load_networks(path)[:2] == (None, None)
    assert "tuned from" in export.provenance.provenance_of_model(path).source
    told = json.loads((folder / "out/projection.json").read_text())
    assert told["pictures"][0]["tuned_psnr"] > told["pictures"][0]["psnr"]


def test_original_and_file_may_be_moved_together(folder, tmp_path):
    shutil.copytree(folder / "out", tmp_path / "b/out")
    shutil.move(folder / "plain.keras", tmp_path / "b/plain.keras")
    with pytest.raises(UserError, match="which is not there: put it back"):
        models.load(folder / "out/tuned.npz")
    moved = models.load(tmp_path / "b/out/tuned.npz")
    shutil.move(tmp_path / "b/plain.keras", folder / "plain.keras")
    check_same(models.load(folder / "out/tuned.npz"), moved)


def test_a_tuned_model_is_tuned_again_from_the_first(folder, tmp_path):
    flags = [f"--model={folder}/out/tuned.npz", "--tune", "--steps=2", "--novideo"]
    flags += [f"--images={folder}/me.png", "--tune_until=1e6", f"--out={tmp_path}"]
    assert call("project", *flags)[0] == 0  # near enough, so tuned once
    assert models.find_model(tmp_path / "tuned.npz").original.kind == "keras"
    assert call("project", *flags, "--whole")[0] == 0
    once = weights(models.load(folder / "out/tuned.npz"))
    for name in ("tuned.npz", "tuned.keras"):
        for key, x in weights(models.load(tmp_path / name)).items():
            np.testing.assert_allclose(x, once[key], atol=1e-4)


def test_bad_files_are_refused_in_a_line(folder, model, tmp_path):
    path, right = folder / "plain.keras", weights_fingerprint(model)
    bias = {"synthesis/block8/conv1/bias/bias": np.ones(3, np.float16)}

    def refused(words, original=path, fingerprint=right, differences=None):
        file = tuned_files.write_tuned(
            tmp_path / "x.npz", original, fingerprint, differences or {}, {}
        )
        code, _, err = call("generate", f"--model={file}", f"--out={tmp_path}/o")
        assert code == 2 and words in err and err.count("\n") == 1

    refused("was tuned from a model with other weights", fingerprint="0" * 64)
    refused("which is not there", original=tmp_path / "gone.keras")
    refused("is no weight of its model", differences=bias)
    refused("which is not there", original=folder / "out/tuned.npz")  # of another
    with pytest.raises(UserError, match="holds no tuned model"):
        models.find_model(folder / "out/projected.npz")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--tune", "--space=wplus"], "leave --space out"),
        (["--whole"], "--whole is of --tune"),
        (["--locality=2"], "--locality is of --tune"),
    ],
)
def test_flags_that_do_not_go_together(flags, words):
    code, _, err = call("project", "--model=x", "--images=y", *flags)
    assert code == 2 and words in err
