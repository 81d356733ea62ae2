"""export.savedmodel: in the programs of others, and behind TensorFlow Serving."""

import functools
import json
import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import export, figures, latents, models, sampling
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.export import savedmodel
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official

CLASSES = {"generator.classes": 3, "discriminator.classes": 3}
V2 = {"generator.architecture": "skip", "discriminator.architecture": "residual"}
V2 |= {"schedule.initial_resolution": 8}


def generator(changes=None) -> Generator:
    return tiny.noisy(Generator(tiny.config(changes).generator))


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """A conditional model and its SavedModel, by the exporter."""
    home = tmp_path_factory.mktemp("served")
    model = generator(CLASSES)
    model.save(home / "generator.keras")
    files = export.export(home, home / "out", export.ExportRequest())
    assert [f.name for f in files] == [models.SAVED_MODEL]
    assert files[0].max_error < 1e-4 and files[0].ms > 0
    return model, home / "out" / models.SAVED_MODEL


def pictures(model, z, labels=None, psi=0.7, noise="const") -> np.ndarray:
    """By Keras, as integers."""
    center = None
    if labels is not None:
        center = sampling.class_centers(model)[labels.argmax(1)][:, None]
    ws = model.broadcast(model.mapping(z, labels))
    ws = model.truncate(ws, psi, center=center)
    return figures.to_uint8(model.synthesis(ws, noise=noise)).astype(int)


@functools.cache
def loaded_once(path: Path):
    return tf.saved_model.load(path)


def check(found, expected) -> None:
    found = np.asarray(found)
    assert found.dtype == np.uint8
    np.testing.assert_allclose(found.astype(int), expected, atol=1)


# ---------------------------------------------------------------------------
# TensorFlow Serving's REST API, "predict"


def predict(loaded, body: str, signature: str = "serving_default") -> str:
    """Answers a request as its documentation says.

    `instances` are rows, one value of each input in every row; `inputs` are whole
    columns. The answer is in rows too where the request is; a single output goes
    without its name.
    """
    request = json.loads(body)
    function = loaded.signatures[request.get("signature_name", signature)]
    specs = function.structured_input_signature[1]
    if "instances" in request:
        rows = request["instances"]
        rows = [r if isinstance(r, dict) else {next(iter(specs)): r} for r in rows]
        columns = {name: [row[name] for row in rows] for name in rows[0]}
    else:
        columns = request["inputs"]
    assert set(columns) == set(specs)
    tensors = {k: tf.constant(v, specs[k].dtype) for k, v in columns.items()}
    outputs = {k: v.numpy().tolist() for k, v in function(**tensors).items()}
    (values,) = outputs.values()
    return json.dumps({"predictions" if "instances" in request else "outputs": values})


def test_requests_to_tensorflow_serving_are_answered(served):
    model, path = served
    loaded = tf.saved_model.load(path)
    z, labels = latents.z_of([1, 2], 8), latents.one_hot([2, 0], 3)
    rows = [
        {"z": z[i].tolist(), "labels": labels[i].tolist(), "psi": psi}
        for i, psi in enumerate((0.3, 0.9))
    ]
    answer = json.loads(predict(loaded, json.dumps({"instances": rows})))
    expected = [pictures(model, z, labels, psi)[i] for i, psi in enumerate((0.3, 0.9))]
    check(np.array(answer["predictions"], np.uint8), expected)
    columns = {"z": z.tolist(), "labels": labels.tolist(), "psi": 0.3}
    answer = json.loads(predict(loaded, json.dumps({"inputs": columns})))
    check(np.array(answer["outputs"], np.uint8), pictures(model, z, labels, 0.3))
    rows = [{"seeds": 2**40, "labels": [0, 1, 0], "psi": 0.5}] * 2
    body = json.dumps({"signature_name": "generate_seeds", "instances": rows})
    first, again = json.loads(predict(loaded, body))["predictions"]
    assert first == again and np.shape(first) == (8, 8, 3)
    w = model.mapping(z, labels).numpy()
    ws = np.repeat(w[:, None], 4, axis=1).tolist()  # a single input needs no name
    body = json.dumps({"signature_name": "synthesize", "instances": ws})
    found = np.array(json.loads(predict(loaded, body))["predictions"], np.uint8)
    check(found, pictures(model, z, labels, 1.0))


def test_saved_model_cli_shows_names_types_and_shapes(served):
    cli = Path(sys.executable).with_name("saved_model_cli")
    code = [str(cli), "show", "--dir", str(served[1]), "--all"]
    done = subprocess.run(code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    shown = {}
    for name, block in re.findall(
        r"signature_def\['(\w+)'\]:(.*?)Method name", done.stdout, re.DOTALL
    ):
        entries = r"(in|out)puts\['(\w+)'\] tensor_info:\s+dtype: (\w+)\s+shape: (.*)"
        shown[name] = {(e[0], e[1]): e[2:] for e in re.findall(entries, block)}
    labels = {("in", "labels"): ("DT_FLOAT", "(-1, 3)")}
    psi = {("in", "psi"): ("DT_FLOAT", "unknown_rank")}
    images = {("out", "images"): ("DT_UINT8", "(-1, 8, 8, 3)")}
    floats = {("out", "images"): ("DT_FLOAT", "(-1, 8, 8, 3)")}
    z = {("in", "z"): ("DT_FLOAT", "(-1, 8)")} | labels
    ws = {("in", "ws"): ("DT_FLOAT", "(-1, 4, 8)")}
    seeds = {("in", "seeds"): ("DT_INT64", "(-1)")}
    del shown["__saved_model_init_op"]
    assert shown == {
        "generate": z | psi | images,
        "serving_default": z | psi | images,
        "generate_seeds": seeds | labels | psi | images,
        "map": z | {("out", "w"): ("DT_FLOAT", "(-1, 8)")},
        "synthesize": ws | images,
        "synthesize_floats": ws | floats,
    }


WRONG = [
    ({"z": (4, 9)}, "z has the shape [4 9]; this model takes [N, 8], float32"),
    ({"z": (8,)}, "z has the shape [8]; this model takes [N, 8], float32"),
    ({"z": (2, 8), "labels": (2, 4)}, "labels has the shape [2 4]; this model takes"),
    ({"ws": (2, 8)}, "ws has the shape [2 8]; this model takes [N, 4, 8], float32"),
    ({"seeds": (2, 1)}, "seeds has the shape [2 1]; this model takes [N], int64"),
]


@pytest.mark.parametrize(("shapes", "words"), WRONG, ids=lambda v: str(v)[:20])
def test_a_wrong_shape_is_said_in_a_sentence(served, shapes, words):
    loaded = loaded_once(served[1])
    kinds = {"seeds": np.int64}
    given = {k: np.zeros(s, kinds.get(k, np.float32)) for k, s in shapes.items()}
    name = {"ws": "synthesize", "seeds": "generate_seeds"}.get(next(iter(given)))
    if "ws" not in given:
        given.setdefault("labels", np.eye(3, dtype=np.float32)[[0, 1]])
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        getattr(loaded, name or "generate")(*given.values())
    assert words in str(error.value)
    if "z" in given:  # as TensorFlow Serving calls it
        tensors = {k: tf.constant(v) for k, v in given.items()}
        with pytest.raises(tf.errors.InvalidArgumentError) as error:
            loaded.signatures["serving_default"](**tensors, psi=tf.constant(0.7))
        assert words in str(error.value)


# ---------------------------------------------------------------------------
# Programs of others


def test_is_a_layer_of_somebody_elses_keras_model_and_pipeline(served, tmp_path):
    model, path = served
    z = keras.Input([8])
    labels = keras.Input([3])
    drawn = keras.layers.TFSMLayer(str(path), call_endpoint="generate")
    half = keras.layers.AveragePooling2D(2)
    floats = keras.layers.Rescaling(1 / 255)(drawn(z, labels=labels)["images"])
    theirs = keras.Model([z, labels], half(floats))
    a, b = latents.z_of(range(5), 8), latents.one_hot([0, 1, 2, 0, 1], 3)
    data = tf.data.Dataset.from_tensor_slices((a, b)).batch(2)
    found = theirs.predict(data.map(lambda *x: (x,)), verbose=0)
    expected = pictures(model, a, b).reshape(5, 4, 2, 4, 2, 3).mean((2, 4)) / 255
    np.testing.assert_allclose(found, expected, atol=1.01 / 255)
    loaded = tf.saved_model.load(path)
    numbers = tf.data.Dataset.range(4).batch(4)
    drawing = numbers.map(lambda s: loaded.generate_seeds(s, tf.one_hot(s % 3, 3)))
    (images,) = [d["images"] for d in drawing]
    again = loaded.generate_seeds(np.arange(4), b[:4], psi=0.7)["images"]
    np.testing.assert_array_equal(images, again)


def test_pictures_have_a_gradient(served):
    """So that somebody else can search for a style."""
    model, path = served
    loaded = tf.saved_model.load(path)
    ws = tf.random.stateless_normal([2, 4, 8], [1, 2])

    def slope(synthesis):
        with tf.GradientTape() as tape:
            tape.watch(ws)
            loss = tf.reduce_sum(synthesis(ws) ** 2)
        return tape.gradient(loss, ws).numpy()

    found = slope(lambda ws: loaded.synthesize_floats(ws)["images"])
    expected = slope(lambda ws: model.synthesis(ws, noise="const"))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)


# ---------------------------------------------------------------------------
# Noise, seeds, levels


def saved(model, path, **options):
    savedmodel.save_savedmodel(export.Program(model, **options), path)
    return tf.saved_model.load(path)


def test_random_noise_is_new_each_time_but_a_seed_keeps_its_own(tmp_path):
    model = generator(V2)
    model.save(tmp_path / "a.keras")
    request = export.ExportRequest(noise="random")
    (file,) = export.export(tmp_path / "a.keras", tmp_path / "out", request)
    assert file.max_error is None and file.noise == "random"
    loaded = tf.saved_model.load(tmp_path / "out" / models.SAVED_MODEL)
    z = np.repeat(latents.z_of([1], 8), 2, axis=0)
    one, two = loaded.generate(z)["images"].numpy().astype(int)
    assert np.abs(one - two).max() > 5
    seeds = np.array([3, 4, 3])
    a, b, again = loaded.generate_seeds(seeds, psi=0.0)["images"].numpy().astype(int)
    np.testing.assert_array_equal(a, again)
    assert np.abs(a - b).max() > 5  # the same style, other noise
    alone = loaded.generate_seeds(seeds[1:2], psi=0.0)["images"]
    np.testing.assert_allclose(alone.numpy()[0].astype(int), b, atol=1)


def test_without_noise_and_at_a_lower_level(tmp_path):
    model = generator()
    z = latents.z_of([1, 2], 8)
    model.growth = Growth(4)
    early = saved(model, tmp_path / "early", noise="none")
    ws = model.truncate(model.broadcast(model.mapping(z)), 0.7)
    floats = model.synthesis(ws, noise="none", resolution=4)
    other = model.synthesis(ws, noise="const", resolution=4)
    assert np.abs(floats - other).max() > 0.1
    check(early.generate(z)["images"], figures.to_uint8(floats).astype(int))
    kept = sum(int(np.prod(v.shape)) for v in early.weights)
    used = model.stage_variables(4, fading=False)
    used = sum(int(np.prod(v.shape)) for v in used if "noise" not in v.path)
    assert kept == used + model.config.w_dim  # w_avg, and no stored noise


def test_seeds_are_tensorflows_stateless_numbers(served):
    model, path = served
    loaded = tf.saved_model.load(path)
    seeds = np.array([0, 2**40, -1])
    labels = latents.one_hot([1, 1, 0], 3)
    rows = [tf.random.stateless_normal([8], np.array([s, 0])) for s in seeds]
    found = loaded.generate_seeds(seeds, labels, psi=0.4)["images"]
    check(found, pictures(model, np.stack(rows), labels, psi=0.4))


def test_a_pickle_that_has_not_grown_yet_is_exported_as_it_draws(tmp_path):
    model = generator()
    official.save_pickle(tmp_path / "a.pkl", gs=model, growth=Growth(4))
    program = export.Program(models.load(tmp_path / "a.pkl"))
    assert program.image_shape == (4, 4, 3)
    with pytest.raises(UserError, match="resolution 8: the model draws at 4"):
        request = export.ExportRequest(resolution=8)
        export.export(tmp_path / "a.pkl", tmp_path / "more", request)
    assert not (tmp_path / "more").exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="is a file; name a folder"):
        export.export(tmp_path / "a.pkl", tmp_path / "file", export.ExportRequest())
