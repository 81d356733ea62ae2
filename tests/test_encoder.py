"""The encoder: network, training, `encode.py`, `project.py --start=encoder`."""

import dataclasses
import json
import zipfile

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny
from launching import call
from PIL import Image
from test_projector import OTHER, SMOOTH, Pixels, generator
from test_tuning import Linear

import stylegan_tf
from stylegan_tf import export, latents, sampling
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.networks.encoder import Encoder, count_encoder_weights
from stylegan_tf.projector import encoder as encoders
from stylegan_tf.projector import project, search
from stylegan_tf.projector.encoder import EncoderSettings, EncoderTrainer

SETTINGS = EncoderSettings(lr=0.01, ramp_up=0.2, unlock_from=0, unlock_to=0.9)


@pytest.fixture(scope="module")
def model():
    return generator(SMOOTH)


@pytest.fixture(scope="module")
def faces():
    rng = np.random.default_rng(1)
    return rng.integers(60, 200, (5, 8, 8, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def trainer(model, faces):
    """Compiled once; tests begin from the state `started`."""
    settings = {"steps": 10, "seed": 4, "batch": 6, "loss": Pixels()}
    return EncoderTrainer(model, faces, settings=SETTINGS, **settings)


@pytest.fixture(scope="module")
def started(trainer):
    return [v.numpy() for v in trainer.state]


def restore(trainer, state) -> None:
    for v, x in zip(trainer.state, state, strict=True):
        v.assign(x)


# ---------------------------------------------------------------------------
# Closed forms


def test_a_generator_linear_in_w_is_inverted():
    model = generator(SMOOTH | {"generator.use_noise": False})
    synthesis = Linear()
    synthesis.growth = Growth(8)
    object.__setattr__(model, "synthesis", synthesis)  # Keras lets no layer be changed
    model.synthesis.build()
    model.synthesis.matrix *= 0.5
    settings = EncoderSettings(lr=0.01, likeness=0.0, mixing=0.0)
    encoder = encoders.train_encoder(
        model, None, "w", 400, batch=32, settings=settings, width=2
    )
    true = sampling.sample_w(model, 64)
    images = true @ model.synthesis.matrix
    assert np.abs(images).max() < 1  # else it is not linear
    images = np.rint((images + 1) * 127.5).astype(np.uint8).reshape(-1, 8, 8, 3)
    found = encoders.encode_images(encoder, images)
    np.testing.assert_array_equal(found, found[:, :1].repeat(4, axis=1))
    error = ((found[:, 0] - true) ** 2).sum(axis=1).mean()
    assert error < 0.02 * true.var(axis=0).sum()  # 1 is the mean w


def reference_steps(trainer, steps: int) -> dict[str, np.ndarray]:
    """Eager, Keras' Adam, the loss written out."""
    model, encoder, s = trainer.model, trainer.encoder, trainer.settings
    w = sampling.sample_w(model)
    deviation = np.sqrt(((w - w.mean(axis=0)) ** 2).sum(axis=1).mean())
    variables = encoder.trainable_variables
    adam = keras.optimizers.Adam(0.01, 0.9, 0.999, epsilon=1e-8)
    adam.build(variables)
    for step in range(steps):
        seed = tf.constant([4, step], tf.int64)
        ws, maps = trainer._sample_ws(seed), trainer._sample_noise(seed)
        real = trainer._sample_real(seed)
        drawn = model.synthesis(ws, noise=[m[:3] for m in maps])
        images = tf.concat([np.clip(drawn, -1, 1), real], 0)
        t = step / 10
        open_styles = int(t / 0.9 * 4)
        with tf.GradientTape() as tape:
            found = encoder(images)
            offsets = found - found[:, :1]
            mask = (np.arange(4) <= open_styles)[:, None].astype(np.float32)
            found = found[:, :1] + offsets * mask
            gap = model.synthesis(found, noise=maps) - images
            latent = tf.reduce_mean(tf.reduce_sum((found[:3] - ws) ** 2, -1))
            sizes = tf.sqrt(tf.reduce_sum((offsets * mask) ** 2, -1) + 1e-8)
            size = tf.reduce_mean(tf.reduce_sum(sizes, axis=1)) / max(open_styles, 1)
            total = latent / deviation**2 + tf.reduce_mean(gap**2) / 4  # `Pixels`
            total += s.offsets * size / deviation
        adam.learning_rate = 0.01 * min(1, t / 0.2)
        adam.apply(tape.gradient(total, variables), variables)
    return {v.path: v.numpy() for v in variables}


def test_steps_are_those_of_the_formula(trainer, started):
    restore(trainer, started)
    before = {v.path: v.numpy() for v in trainer.encoder.trainable_variables}
    expected = reference_steps(trainer, 4)
    restore(trainer, started)
    for _ in range(4):
        trainer.step()
    for v in trainer.encoder.trainable_variables:
        moved = np.abs(expected[v.path] - before[v.path]).max()
        assert moved > 0.003, v.path
        assert np.abs(v.numpy() - expected[v.path]).max() <= 0.05 * moved, v.path


def test_styles_are_unlocked_one_after_the_other(trainer):
    s = EncoderSettings(unlock_from=0.25, unlock_to=0.75)
    assert [s.unlocked(t, 8) for t in (0, 0.25, 0.3125, 0.5, 0.75, 1)] == [
        0, 0, 1, 4, 8, 8,
    ]  # fmt: skip
    images = np.random.default_rng(0).uniform(-1, 1, (2, 8, 8, 3)).astype(np.float32)
    free = trainer.encoder(images).numpy()
    for unlocked in range(4):
        ws = trainer.encoder(images, unlocked=unlocked).numpy()
        own = slice(0, unlocked + 1)
        np.testing.assert_array_equal(ws[:, own], free[:, own])
        np.testing.assert_array_equal(
            ws[:, unlocked + 1 :], free[:, :1].repeat(3 - unlocked, 1)
        )
    assert np.ptp(free, axis=1).min() > 0


def test_samples_mix_two_latents(model):
    settings = EncoderSettings(mixing=0.25)
    trainer = EncoderTrainer(model, batch=400, settings=settings)
    ws = trainer._sample_ws(tf.constant([1, 2], tf.int64)).numpy()
    changes = (np.diff(ws, axis=1) != 0).any(axis=2)  # [400, 3]
    assert changes.sum(axis=1).max() == 1
    assert 0.18 < changes.any(axis=1).mean() < 0.32
    assert changes.any(axis=0).all()


# ---------------------------------------------------------------------------


def test_training_goes_on_where_it_was_stopped(
    model, faces, trainer, started, tmp_path, monkeypatch
):
    monkeypatch.setattr(encoders, "EncoderTrainer", lambda *_: trainer)
    restore(trainer, started)
    whole = encoders.train_encoder(model, faces)
    expected = [v.numpy() for v in whole.weights]
    restore(trainer, started)
    state, real_step = tmp_path / "state.npz", trainer.step

    def step():
        if trainer.taken == 4:
            raise KeyboardInterrupt
        return real_step()

    monkeypatch.setattr(trainer, "step", step)
    with pytest.raises(KeyboardInterrupt):
        encoders.train_encoder(model, faces, state=state, request="a")
    monkeypatch.setattr(trainer, "step", real_step)
    restore(trainer, started)  # the new process knows the file alone
    again = encoders.train_encoder(model, faces, state=state, request="a")
    for v, x in zip(again.weights, expected, strict=True):
        np.testing.assert_array_equal(v.numpy(), x, v.path)


SIZES = [
    ({}, None, "wplus", 2),
    ({"channels": 1}, None, "w", 1),
    ({"resolution": 64, "architecture": "skip"}, None, "wplus", 1),
    ({"resolution": 32, "architecture": "dcgan"}, 8, "wplus", 3),
    ({"start_shape": (4, 6), "classes": 3, "resolution": 16}, None, "wplus", 2),
]


@pytest.mark.parametrize(("changes", "resolution", "space", "width"), SIZES)
def test_weights_are_counted_before_they_are_made(changes, resolution, space, width):
    c = dataclasses.replace(tiny.config().generator, **changes)
    encoder = Encoder(c, resolution, space, width)
    found = sum(int(np.prod(v.shape)) for v in encoder.weights)
    assert found == count_encoder_weights(c, encoder.resolution, space, width)


def test_a_search_starts_where_it_is_told(model):
    ws = sampling.styles(model, range(3), psi=0.7)
    ws[:, 2] += 0.1
    own = sampling.Renderer(model)(ws)
    found = project(model, own, "wplus", 0, start=ws)
    np.testing.assert_array_equal(found.latents.ws, ws)
    assert found.latents.noise is None and np.all(np.isinf(found.psnr))
    found = project(model, own, "w", 0, start=ws)
    np.testing.assert_allclose(found.latents.ws[:, 3], ws.mean(axis=1), atol=1e-6)
    projector = search.Projector(model, 3, "wplus", steps=5)
    projector._start(own, ws, np.ones(3))
    np.testing.assert_array_equal(projector.result()[0], ws)
    for wrong in (ws[:2], ws[:, :1], ws * np.nan):
        with pytest.raises(UserError, match="the start is . x . x 8; give finite"):
            project(model, own, "wplus", 5, start=wrong)


# ---------------------------------------------------------------------------
# Files and flags


@pytest.fixture(scope="module")
def folder(tmp_path_factory, faces):
    """Two models, some pictures, and an encoder of the second model."""
    folder = tmp_path_factory.mktemp("encoder")
    for name, changes in (("plain", SMOOTH), ("other", OTHER)):
        export.plain_copy(generator(changes)).save(folder / f"{name}.keras")
    (folder / "faces").mkdir()
    for i, face in enumerate(faces[:3]):
        Image.fromarray(face).save(folder / "faces" / f"{i}.png")
    flags = [f"--model={folder}/other.keras", f"--data={folder}/faces", "--steps=3"]
    flags += ["--batch=4", f"--out={folder}/encoder.keras"]
    code, out, err = call("encode", "train", *flags)
    assert code == 0, err
    assert "the model's own: " in out and "--data: " in out
    assert out.endswith(f"{folder}/encoder.keras\n")
    assert not list(folder.glob("*state*"))
    return folder


def test_an_encoder_answers_for_its_model(folder, tmp_path):
    """A gray one of 8 x 12 pixels, with classes."""
    model = stylegan_tf.load(folder / "other.keras")
    encoder = stylegan_tf.load_encoder(folder / "encoder.keras", model)
    assert encoder.about["steps"] == 3 and encoder.space == "wplus"
    flags = [f"--model={folder}/other.keras", f"--encoder={folder}/encoder.keras"]
    flags += [f"--images={folder}/faces", "--space=wplus"]
    code, _, err = call("project", *flags, "--steps=0", f"--out={tmp_path}/0")
    assert code == 0, err
    found = latents.load_latents(tmp_path / "0/projected.npz", 4, 8)
    targets = [np.asarray(Image.open(p)) for p in sorted(tmp_path.glob("0/*-target*"))]
    ws = stylegan_tf.encode_images(encoder, np.stack(targets)[..., None])
    np.testing.assert_array_equal(found.ws, ws)
    assert not list(tmp_path.glob("0/*.mp4"))
    told = json.loads((tmp_path / "0/projection.json").read_text())
    assert told["encoder"] == f"{folder}/encoder.keras"
    flags += ["--steps=1", "--lr=0", "--novideo", f"--out={tmp_path}/1"]
    assert call("project", *flags, "--start=encoder")[0] == 0
    found = latents.load_latents(tmp_path / "1/projected.npz", 4, 8)
    np.testing.assert_array_equal(found.ws, ws)
    flags = [flags[0], *flags[2:-1], f"--out={tmp_path}/2"]  # the one beside the model
    assert call("project", *flags, "--start=encoder")[0] == 0
    told = json.loads((tmp_path / "2/projection.json").read_text())
    assert told["encoder"] == f"{folder}/encoder.keras"


def refused(path, *words, model=None) -> None:
    with pytest.raises(UserError) as error:
        stylegan_tf.load_encoder(path, model)
    text = str(error.value)
    assert all(word in text for word in words) and "\n" not in text, text


def changed_config(source, path, **values) -> None:
    """Writes an encoder's file whose settings say something else."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == "config.json":
                content = json.loads(content)
                content["config"] |= values
                content = json.dumps(content).encode()
            new.writestr(name, content)


def test_bad_files_are_refused_in_a_line(folder, model, tmp_path):
    whole, bad = folder / "encoder.keras", tmp_path / "bad.keras"
    refused(whole, "was trained for another model", "encode.py", model=model)
    refused(tmp_path / "gone.keras", "gone.keras cannot be read")
    refused(folder / "plain.keras", "it holds a Generator, not an Encoder")
    bad.write_bytes(whole.read_bytes()[:-200])
    refused(bad, "bad.keras cannot be read")
    for values, words in [
        ({"width": 64}, "ask for about"),
        ({"width": 65}, "width is 65"),
        ({"width": "1"}, "its width is no int"),
        ({"resolution": 12}, "no encoder at 12 pixels"),
        ({"space": "z"}, "no encoder at 8 pixels, to 'z'"),
        ({"fingerprint": None}, "its fingerprint is no str"),
        ({"config": {"resolution": 7}}, "resolution"),
    ]:
        changed_config(whole, bad, **values)
        refused(bad, words)
    with pytest.raises(UserError, match="no generator|not a Generator"):
        stylegan_tf.load(whole)


@pytest.mark.parametrize(
    ("verb", "flags", "words"),
    [
        (
            "encode",
            ["--model=x", "--out=a.npz"],
            "a.npz must be a file",
        ),
        ("encode", ["--model=x", "use"], "what shall use be?"),
        ("encode", ["--model=x", "--first=3"], "--first is of --data"),
        ("encode", ["--model=x", "--space=w", "--offsets=1"], "is of --space=wplus"),
        ("encode", [], "name a model"),
        ("project", ["--model=x", "--images=y", "--start=encoder"], "name the encoder"),
        ("project", ["--model=x", "--images=y", "--steps=0"], "add --encoder=FILE"),
        (
            "project",
            ["--model=x", "--images=y", "--start=mean", "--encoder=z"],
            "--encoder is of --start=encoder",
        ),
    ],
)
def test_flags_that_do_not_go_together(verb, flags, words):
    code, _, err = call(verb, *flags)
    assert code == 2 and words in err and err.count("\n") == 1


def test_what_does_not_suit_the_model_is_refused(model, trainer):
    with pytest.raises(UserError, match="uint8 of N x 8 x 8 x 3, which the model"):
        EncoderTrainer(model, np.zeros((3, 8, 9, 3), np.uint8))
    with pytest.raises(UserError, match="pictures are uint16 of 3 x 8 x 8 x 3; the en"):
        stylegan_tf.encode_images(trainer.encoder, np.zeros((3, 8, 8, 3), np.uint16))
    with pytest.raises(UserError, match="mixing is -1; give a number"):
        EncoderSettings(mixing=-1)
