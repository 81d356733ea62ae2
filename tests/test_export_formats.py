"""export.onnx, export.litert: files for other runtimes draw what the models draw.

They are run in a process that has neither TensorFlow nor this package, and compared
with Keras, and with the pictures that the official networks made.
"""

import io
import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import golden
import numpy as np
import onnx
import pytest
import reference
import tensorflow as tf
import tiny
from test_export_savedmodel import predict

from stylegan_tf import export, figures, latents, models, sampling
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.export import bundle, litert, verify
from stylegan_tf.export import onnx as onnx_files
from stylegan_tf.networks.generator import Generator

GOLDENS = Path(__file__).parent / "goldens"
WIDE = {f"{net}.start_shape": (4, 6) for net in ("generator", "discriminator")}
WIDE |= {"generator.classes": 3, "discriminator.classes": 3}
KERNELS = {"generator.architecture": "residual", "generator.modulation": "kernels"}
KERNELS |= {"discriminator.architecture": "residual"}
KERNELS |= {"schedule.initial_resolution": 8}
N = 3

# Someone who has the two runtimes and nothing else.
ELSEWHERE = """
import sys
sys.modules["tensorflow"] = sys.modules["keras"] = sys.modules["stylegan_tf"] = None
from pathlib import Path
import numpy as np, onnxruntime
from ai_edge_litert.interpreter import Interpreter

def sessions(folder):
    for file in Path(folder).glob("*.onnx"):
        session = onnxruntime.InferenceSession(str(file))
        names = [output.name for output in session.get_outputs()]
        run = lambda s=session, n=names, **x: dict(zip(n, s.run(n, x)))
        yield file.stem, {"generator": "generate", "mapping": "map"}, run

def signatures(folder):
    for file in Path(folder).glob("*.tflite"):
        interpreter = Interpreter(str(file))
        for name in interpreter.get_signature_list():
            yield file.stem + "/" + name, {}, interpreter.get_signature_runner(name)

for folder in sys.argv[1:]:
    data = dict(np.load(folder + "/in.npz"))
    latent = {k: data[k] for k in ("z", "labels") if k in data}
    out = {}
    for found in (sessions, signatures):
        for name, short, run in found(folder):
            part = short.get(name, "synthesize") if short else name.split("/")[1]
            inputs = dict(latent)
            if part == "generate":
                inputs["psi"] = data["psi"]
            if part == "synthesize":
                inputs = {"ws": data["ws"]}
            for key, value in run(**inputs).items():
                out[f"{name}:{key}"] = value
    np.savez(folder + "/out.npz", **out)
"""


def request(formats: str, **options) -> export.ExportRequest:
    return export.ExportRequest(formats.split(), **options)


def generator(changes, **options) -> Generator:
    return tiny.noisy(Generator(tiny.config(changes).generator, **options))


def truncated(model: Generator, z, labels, psi: float):
    center = None
    if labels is not None:
        center = sampling.class_centers(model)[labels.argmax(1)][:, None]
    ws = model.broadcast(model.mapping(z, labels))
    return model.truncate(ws, psi, center=center).numpy()


def give(folder: Path, model: Generator, psi: float, z=None) -> dict:
    """Inputs for the process elsewhere, and what Keras draws of them."""
    c = model.config
    z = latents.z_of([5, 6, 7], c.z_dim) if z is None else z
    labels = latents.one_hot([2, 0, 1], c.classes) if c.classes else None
    ws = truncated(model, z, labels, psi)
    inputs = {"z": z, "psi": np.float32(psi), "ws": ws}
    if c.classes:
        inputs["labels"] = labels
    np.savez(folder / "in.npz", **inputs)
    floats = model.synthesis(ws, noise="const", alpha=1.0).numpy()
    alpha = model.growth.alpha
    if alpha < 1:
        below = model.synthesis(ws, noise="const", resolution=c.resolution // 2)
        floats = reference.faded(below.numpy(), floats, alpha)
    images = figures.to_uint8(floats).astype(int)
    w = model.mapping(z, labels).numpy()
    return {"floats": floats, "images": images, "w": w}


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory):
    """Folders by name, with what the runtimes drew, and what Keras draws."""
    home, expected = tmp_path_factory.mktemp("formats"), {}
    hurry = pytest.MonkeyPatch()
    hurry.setattr(verify, "ROUNDS", (1, 1))
    pickle = GOLDENS / "v2_pickle_r32_Gs_only.pkl"
    export.export(pickle, home / "v2", request("litert", batch=N))
    z = golden.load("v2_pickle_r32_expected")["in/z"]
    expected["v2"] = give(home / "v2", models.load(pickle), 1.0, z)
    model = generator(WIDE)
    model.save(home / "wide.keras")
    every = request("savedmodel onnx litert keras", precisions=litert.PRECISIONS)
    export.export(home / "wide.keras", home / "wide", every)
    expected["wide"] = give(home / "wide", model, 0.4)
    model = generator(KERNELS)
    model.save(home / "kernels.keras")
    export.export(home / "kernels.keras", home / "kernels", request("onnx", batch=N))
    expected["kernels"] = give(home / "kernels", model, 0.4)
    model = generator({}, growth=Growth(8, 0.3))
    model.save(home / "faded.keras")
    export.export(home / "faded.keras", home / "faded", request("onnx litert", batch=N))
    expected["faded"] = give(home / "faded", model, 0.4)
    hurry.undo()
    folders = [str(home / name) for name in expected]
    code = [sys.executable, "-c", ELSEWHERE, *folders]
    done = subprocess.run(code, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = {name: dict(np.load(home / name / "out.npz")) for name in expected}
    return home, found, expected


PARTS = {"onnx": ["generator", "mapping", "synthesis"]}
PARTS["litert"] = [f"generator/{p}" for p in ("generate", "map", "synthesize")]
EXPORTED = [("wide", "onnx"), ("wide", "litert"), ("kernels", "onnx"), ("v2", "litert")]
EXPORTED += [("faded", "onnx"), ("faded", "litert")]


@pytest.mark.parametrize(("name", "runtime"), EXPORTED)
def test_other_runtimes_draw_what_keras_draws(elsewhere, name, runtime):
    _, found, expected = elsewhere
    mapping = PARTS[runtime][1]
    for part in PARTS[runtime]:
        keys = ["w"] if part == mapping else ["floats", "images"]
        assert {k for k in found[name] if k.startswith(f"{part}:")} == {
            f"{part}:{key}" for key in keys
        }
        for key in keys:
            y = found[name][f"{part}:{key}"]
            atol = 1 if key == "images" else 1e-3
            off = np.abs(y.astype(np.float64) - expected[name][key]).max()
            assert off <= atol, f"{part}:{key} is off by {off}"
        assert y.dtype == (np.uint8 if "images" in keys else np.float32)


def test_a_phone_draws_what_the_official_network_drew(elsewhere):
    official = golden.load("v2_pickle_r32_expected")["out/Gs/psi_none"]
    found = golden.nchw(elsewhere[1]["v2"]["generator/generate:floats"])
    np.testing.assert_allclose(found, official, atol=1e-3)


def test_rounded_weights_are_off_by_what_the_card_says(elsewhere):
    home, found, expected = elsewhere
    card = json.loads((home / "wide" / export.CARD_JSON).read_text())
    files = {f["name"]: f for f in card["files"]}
    errors = {}
    for kind in ("float16", "int8"):
        y = found["wide"][f"generator_{kind}/generate:floats"]
        errors[kind] = np.abs(y - expected["wide"]["floats"])
        stated = files[f"generator_{kind}.tflite"]
        assert errors[kind].mean() < 4 * stated["mean_error"]
        assert errors[kind].max() < 4 * stated["max_error"]
    assert 1e-5 < errors["float16"].mean() < errors["int8"].mean()
    small, large = (files[f"generator{t}.tflite"]["bytes"] for t in ("_float16", ""))
    assert small < large
    assert files["generator.tflite"]["max_error"] < 1e-4


def test_onnx_files_say_what_they_take(elsewhere):
    home = elsewhere[0]

    def sizes(values):
        return {
            v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim]
            for v in values
        }

    wide = onnx.load(home / "wide" / "generator.onnx")
    assert sizes(wide.graph.input) == {"z": ["N", 8], "labels": ["N", 3], "psi": []}
    pictures = {"images": ["N", 8, 12, 3], "floats": ["N", 8, 12, 3]}
    assert sizes(wide.graph.output) == pictures
    assert wide.opset_import[0].version == onnx_files.OPSET
    fixed = onnx.load(home / "kernels" / "synthesis.onnx")
    assert sizes(fixed.graph.input) == {"ws": [N, 4, 8]}
    assert sizes(fixed.graph.output)["images"] == [N, 8, 8, 3]


def test_the_examples_on_the_card_run(elsewhere, monkeypatch):
    """Of a conditional model, whose calls are the longest."""
    folder = elsewhere[0] / "wide"
    monkeypatch.chdir(folder)
    monkeypatch.setattr(urllib.request, "urlopen", answer_as_servers_do)
    text = (folder / export.CARD).read_text()
    blocks = [part.split("```")[0] for part in text.split("```python")[1:]]
    assert len(blocks) == len(export.FORMATS) + 2  # serve.py, TensorFlow Serving
    for block in blocks:
        space = {}
        exec(block, space)
        if "picture" in space:
            assert space["picture"].size == (12, 8)
            continue
        drawn = space.get("images", space.get("floats"))
        assert np.asarray(drawn).shape == (4, 8, 12, 3)
    assert {f"`{name}`" for name in ("generate_seeds", "map")} <= set(text.split(", "))


def answer_as_servers_do(address: str, body: bytes | None = None):
    """TensorFlow Serving's answer to a body, and a picture of `serve.py`'s else.

    tests/test_serving.py asks the real one.
    """
    if body is None:
        assert "?seeds=7&psi=0.7&classes=0" in address
        return io.BytesIO(figures.image_bytes(np.zeros((8, 12, 3), np.uint8)))
    assert address.endswith("/v1/models/stylegan:predict")
    loaded = tf.saved_model.load(models.SAVED_MODEL)
    return io.BytesIO(predict(loaded, body.decode()).encode())


# ---------------------------------------------------------------------------
# What is not written


def test_a_file_that_draws_something_else_is_not_kept(elsewhere, tmp_path, monkeypatch):
    """As where a converter goes wrong without a word."""
    model = models.load(elsewhere[0] / "wide.keras")
    for v in model.synthesis.trainable_variables:
        v.assign(v * 1.01)
    model.save(tmp_path / "a.keras")
    (out := tmp_path / "out").mkdir()
    (out / "generator.tflite").write_text("what was there")

    def save(program, path, *_):  # the file of almost the same weights
        shutil.copy(elsewhere[0] / "wide" / "generator.tflite", path)

    monkeypatch.setattr(litert, "save_litert", save)
    with pytest.raises(UserError, match="generator.tflite draws other pictures.*not k"):
        export.export(tmp_path / "a.keras", out, request("litert"))
    assert [p.name for p in out.iterdir()] == ["generator.tflite"]
    assert (out / "generator.tflite").read_text() == "what was there"


@pytest.mark.parametrize(
    ("errors", "precision", "good"),
    [
        (export.ExportErrors(9e-4, 1e-5, 1, 9e-4), "float32", True),
        (export.ExportErrors(2e-3, 1e-5, 0, 0.0), "float32", False),
        (export.ExportErrors(1e-6, 1e-6, 2, 0.0), "float32", False),
        (export.ExportErrors(None, None, 0, 2e-3), "float32", False),
        (export.ExportErrors(0.5, 0.05, 60, 0.1), "int8", True),
        (export.ExportErrors(0.5, 0.2, 60, 0.1), "int8", False),
        (export.ExportErrors(np.inf, np.inf, 255, 0.0), "float16", False),
    ],
)
def test_how_files_are_judged(errors, precision, good):
    if good:
        export.require_close("x", errors, precision)
        return
    with pytest.raises(UserError, match="x draws other pictures"):
        export.require_close("x", errors, precision)


def test_large_pictures_are_timed_one_by_one():
    sides = (32, 256, 512, 1024, 2048)
    assert [verify.timed_batch(n * n) for n in sides] == [8, 8, 4, 1, 1]


def test_nothing_but_numbers_counts_as_endlessly_far():
    off = verify._differences(np.float32([1, np.nan, np.inf]), np.float32([1, 1, 1]))
    np.testing.assert_array_equal(off, [0, np.inf, np.inf])
    with pytest.raises(UserError, match=r"float32 \(2,\), Keras float32 \(3,\)"):
        verify._differences(np.zeros(2, np.float32), np.zeros(3, np.float32))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"formats": ["tfjs"]}, "format 'tfjs': choose among savedmodel, onnx"),
        ({"formats": []}, "nothing to write"),
        ({"precisions": ["int4"]}, "precision 'int4': choose among float32"),
        ({"precisions": ["int8"]}, "int8 is for LiteRT files.*Add litert"),
        (
            {"formats": ["onnx", "litert"], "noise": "random"},
            "litert and onnx files have no random noise",
        ),
    ],
)
def test_settings_that_cannot_be_are_refused_before_anything(options, words, tmp_path):
    with pytest.raises(UserError, match=words):
        export.export("nowhere", tmp_path / "out", export.ExportRequest(**options))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("module", "kind"),
    [("tf2onnx", "onnx"), ("onnxruntime", "onnx"), ("ai_edge_litert", "litert")],
)
def test_a_missing_library_says_how_to_get_it(module, kind, tmp_path, monkeypatch):
    for name in [m for m in sys.modules if m.split(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(UserError, match=rf'pip install "stylegan_tf\[{kind}\]"'):
        export.export("nowhere", tmp_path / "out", request(kind))
    program = export.Program(generator({}))
    save = {"onnx": onnx_files.save_onnx, "litert": litert.save_litert}[kind]
    first = ("generate",) if kind == "onnx" else ()
    with pytest.raises(UserError, match="pip install"):
        save(program, *first, tmp_path / "x")


def test_formats_without_random_numbers_refuse_them(tmp_path):
    program = export.Program(generator({}), noise="random")
    with pytest.raises(UserError, match="ONNX files have no random noise"):
        onnx_files.save_onnx(program, "generate", tmp_path / "a.onnx")
    with pytest.raises(UserError, match="LiteRT files have no random noise"):
        litert.save_litert(program, tmp_path / "a.tflite")


def test_a_level_that_the_model_lacks_is_refused():
    model = generator({})
    model.growth = Growth(4)
    assert export.Program(model).image_shape == (4, 4, 3)
    with pytest.raises(UserError, match="resolution 8: the model draws at 4"):
        export.Program(model, 8)
    with pytest.raises(UserError, match="noise is 'loud'; choose random, const"):
        export.Program(model, noise="loud")
    with pytest.raises(UserError, match="resolution 4: the model draws at 8"):
        export.Program(generator(KERNELS), 4)


def test_the_keras_model_itself_is_timed_and_measured():
    """The reference draws what `sampling.draw` draws, and uint8 as `figures` does."""
    model = generator(WIDE)
    reference = export.Reference(model)
    inputs = reference.inputs(3)
    drawn = sampling.draw(model, [0, 1, 2], psi=0.4, classes=[0, 1, 2])
    expected = np.stack([p for _, p in drawn]).astype(int)
    ws = reference.ws(inputs["z"], inputs["labels"], 0.4)
    found = figures.to_uint8(reference.floats(ws)).astype(int)
    np.testing.assert_allclose(found, expected, atol=1)
    whole = figures.to_uint8(reference.floats(reference.ws(**inputs, psi=1.0)))
    np.testing.assert_allclose(
        reference.draw(**inputs).astype(int), whole.astype(int), atol=1
    )
    assert bundle.total_bytes(Path(__file__)) == Path(__file__).stat().st_size
