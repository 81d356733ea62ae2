"""export.origin, export.card: what is known of a model, and what its card says."""

import dataclasses
import hashlib
import json

import numpy as np
import pytest
import tiny
from stylegan_tf_launch import cli
from stylegan_tf_launch import export as launch

from stylegan_tf import config as configs
from stylegan_tf import export, models
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.export import bundle, card, provenance
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.trainer import make_networks

FACES = {"metric": "fid5k", "network": "builtin-v1"}
ROWS = [
    FACES | {"nimg": 8, "value": 9.5},
    FACES | {"nimg": 24, "value": 7.25},
    FACES | {"nimg": 40, "value": 6.0},
    FACES | {"nimg": 24, "value": 3.0, "network": "other"},
    {"metric": "ppl_wend", "nimg": 16, "value": 120, "network": None},
]


def make_run(path, data, config) -> None:
    """As a run leaves it, with checkpoints after 24 and 40 images."""
    path.mkdir()
    configs.write_config(config, path / "config.json")
    (path / "command.txt").write_text("train.py --data=faces\n")
    (path / "data.txt").write_text(f"0badcafe {data}\n")
    (path / "progress.json").write_text('{"nimg": 40, "seconds": 1.0}')
    lines = [json.dumps(row) for row in ROWS]
    (path / "metrics.jsonl").write_text("\n".join([*lines, '{"metric": "fid5']))
    state = TrainingState(make_networks(config), path)
    for state.nimg in (24, 40):
        state.save()


@pytest.fixture(scope="module")
def run(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("runs") / "00000-faces-demo"
    changes = {"generator.classes": 5, "discriminator.classes": 5}
    changes |= {"data": "my/faces", "preset": "demo", "labels": "auto"}
    make_run(path, pictures, tiny.config(changes))
    return path


# ---------------------------------------------------------------------------
# Where a model comes from


def test_a_run_says_what_it_was_trained_on(run, pictures):
    found = export.provenance_of_model(run / "checkpoints" / "ckpt-24")
    assert found.source == "00000-faces-demo/ckpt-24"
    assert (found.data, found.fingerprint) == ("faces", "0badcafe")
    assert found.pictures == Manifest.load(pictures).count == 24
    assert found.class_names == Manifest.load(pictures).class_names
    assert (found.preset, found.images_seen) == ("demo", 24)
    assert found.training == "train.py --data=faces"
    assert found.license == provenance.DATA_LICENSE and found.started_from is None
    assert found.metrics == [ROWS[1], ROWS[3], ROWS[4]]  # the newest, not later ones
    half_grown = models.load(run / "checkpoints" / "ckpt-24")
    assert export.Program(half_grown).image_shape == (8, 8, 3)
    newest = export.provenance_of_model(run)
    assert newest.images_seen == 40 and newest.metrics[0] == ROWS[2]


def test_what_is_not_there_is_not_known(tmp_path):
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json cannot be read"):
        provenance.provenance_from_run(tmp_path)
    configs.write_config(
        tiny.config({"data": "/home/me/cats"}), tmp_path / "config.json"
    )
    (tmp_path / "data.txt").write_text("0badcafe /nowhere")
    found = provenance.provenance_from_run(tmp_path)
    assert (found.data, found.pictures, found.images_seen) == ("cats", None, None)
    assert found.metrics == [] and found.training is None
    Generator(tiny.config().generator).save(tmp_path / "alone.keras")
    (tmp_path / "elsewhere").mkdir()
    moved = (tmp_path / "alone.keras").rename(tmp_path / "elsewhere" / "a.keras")
    assert export.provenance_of_model(moved).data == "cats"  # in a run's folder
    (tmp_path / "config.json").unlink()
    assert export.provenance_of_model(moved) == export.Provenance("a.keras")


@pytest.mark.parametrize(
    ("changes", "license"),
    [
        ({}, [provenance.DEMO_LICENSE]),
        ({"data": "demo:500"}, [provenance.DEMO_LICENSE]),
        ({"data": "tfds:cifar10"}, [provenance.DATA_LICENSE]),
        ({"init": "old/run"}, [provenance.DATA_LICENSE]),
        (
            {"init": "x/ffhq.pkl"},
            ["ffhq.pkl", provenance.PICKLE_LICENSE, provenance.DATA_LICENSE],
        ),
    ],
)
def test_the_license_follows_data_and_ancestors(changes, license, tmp_path):
    configs.write_config(tiny.config(changes), tmp_path / "config.json")
    found = provenance.provenance_from_run(tmp_path).license
    assert all(part in found for part in license)
    assert (provenance.PICKLE_LICENSE in found) == (
        provenance.PICKLE_LICENSE in license
    )


# ---------------------------------------------------------------------------
# Cards


@pytest.fixture(scope="module")
def folder(run):
    return export.save_model(models.load(run), run / "model")


def read(folder) -> dict:
    return json.loads((folder / export.CARD_JSON).read_text())


def test_the_end_of_a_run_leaves_a_card(run, folder):
    model = models.load(folder)
    values = read(folder)
    assert values["origin"] == dataclasses.asdict(
        dataclasses.replace(export.provenance_of_model(run), source=run.name)
    )
    c, shown = model.config, values["model"]
    assert (shown["height"], shown["width"], shown["channels"]) == (8, 8, 3)
    assert (shown["z_dim"], shown["num_styles"], shown["classes"]) == (
        8,
        c.num_styles,
        5,
    )
    count = sum(np.prod(v.shape, dtype=int) for v in model.trainable_variables)
    assert shown["parameters"] == count
    weights = b"".join(v.numpy().tobytes() for v in model.weights)
    assert shown["weights_sha256"] == hashlib.sha256(weights).hexdigest()
    sizes = {f["name"]: f["bytes"] for f in values["files"]}
    assert set(sizes) == {models.KERAS_FILE, models.SAVED_MODEL}
    assert sizes[models.KERAS_FILE] == (folder / models.KERAS_FILE).stat().st_size
    text = (folder / export.CARD).read_text()
    for words in ("| Data | faces |", "| Pictures in the data | 24 |", "0badcafe"):
        assert words in text
    for words in (
        "| Images seen in training | 40 |",
        "| fid5k | builtin-v1 | 6 | 40 |",
    ):
        assert words in text
    assert provenance.DATA_LICENSE in text and "Apache License 2.0" in text
    assert "    train.py --data=faces" in text and str(run) not in text


@pytest.mark.parametrize(
    ("growth", "resolution", "words"),
    [
        ((16, 1.0), 16, ""),
        ((16, 0.2), 16, " (drawn at level 16 of 16, 20% faded in)"),
        ((8, 1.0), 8, " (drawn at level 8 of 16)"),
        ((8, 0.125), 8, " (drawn at level 8 of 16, 12.5% faded in)"),
        ((8, 0.125), 4, " (drawn at level 4 of 16)"),
    ],
)
def test_a_card_says_how_far_a_model_has_grown(growth, resolution, words, tmp_path):
    model = Generator(tiny.config({"resolution": 16}).generator, growth)
    card.write_card(tmp_path, model, export.Provenance("x"), [], resolution)
    text = (tmp_path / export.CARD).read_text()
    assert f"| {resolution} x {resolution}, 3 channels{words} |" in text
    assert read(tmp_path)["model"]["alpha"] == (growth[1] if resolution > 4 else 1)


def test_a_card_travels_with_its_model(folder, tmp_path):
    for name in (models.KERAS_FILE, export.CARD_JSON):
        (tmp_path / name).write_bytes((folder / name).read_bytes())
    assert export.provenance_of_model(tmp_path) == export.provenance_of_model(folder)
    (tmp_path / export.CARD_JSON).write_text("[")
    assert export.provenance_of_model(tmp_path) == export.Provenance(models.KERAS_FILE)


def test_files_of_earlier_exports_stay_on_the_card(tmp_path):
    model = Generator(tiny.config().generator)
    for name in ("a.onnx", "b.tflite"):
        (tmp_path / name).touch()

    def write(name: str, size: int) -> dict:
        files = [card.ExportedFile(name, "onnx", size)]
        card.write_card(tmp_path, model, export.Provenance("x"), files, 8)
        return {f["name"]: f["bytes"] for f in read(tmp_path)["files"]}

    assert write("a.onnx", 1) == {"a.onnx": 1}
    assert write("b.tflite", 2) == {"a.onnx": 1, "b.tflite": 2}
    assert write("b.tflite", 3) == {"a.onnx": 1, "b.tflite": 3}
    (tmp_path / "a.onnx").unlink()
    assert write("b.tflite", 4) == {"b.tflite": 4}
    (tmp_path / "a.onnx").touch()
    model.w_avg.assign(model.w_avg + 1)
    assert write("a.onnx", 5) == {"a.onnx": 5}  # of another model


# ---------------------------------------------------------------------------
# The script


def call(capsys, *flags: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as exit:
        cli.run(launch.main, launch.FLAGS, ["export.py", *flags])
    return exit.value.code or 0, *capsys.readouterr()


def test_the_script_prints_what_it_wrote(run, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bundle.verify, "ROUNDS", (1, 1))
    out = tmp_path / "out"
    flags = [f"--model={run}", f"--out={out}", "--format=onnx,keras", "--batch=2"]
    code, said, error = call(capsys, *flags)
    assert code == 0, error
    lines = said.splitlines()
    assert lines[0].split()[:4] == ["file", "weights", "batch", "size"]
    files = {line.split()[0]: line for line in lines[1:-1]}
    written = {p.name for p in out.iterdir()} - {export.CARD, export.CARD_JSON}
    assert (
        set(files)
        == written
        == {
            "generator.onnx",
            "mapping.onnx",
            "synthesis.onnx",
            "generator.keras",
        }
    )
    assert " 2 " in files["generator.onnx"] and " any " in files["generator.keras"]
    assert lines[-1] == f"and MODEL_CARD.md, in {out}"
    values = read(out)
    assert values["origin"]["source"] == "00000-faces-demo/ckpt-40"
    (drawn,) = [f for f in values["files"] if f["name"] == "generator.onnx"]
    assert 0 <= drawn["max_error"] < 1e-3 and drawn["ms"] > 0 and drawn["keras_ms"] > 0
    assert f"{drawn['max_error']:.1e}" in files["generator.onnx"]


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ([], "name a model with --model"),
        (
            ["--model=demo", "--batch=0"],
            "--batch=0: give a number from 1 to 1024, or dyn",
        ),
        (["--model=demo", "--batch=many"], "--batch=many"),
        (
            ["--model=demo", "--format=tfjs"],
            "choose among savedmodel, onnx, litert, keras",
        ),
        (["--model=demo", "--format=onnx", "--noise=random"], "no random noise"),
        (["--model=demo", "--precision=int8"], "Add litert to --format"),
        (["--model=/nowhere"], "no model at /nowhere"),
    ],
)
def test_the_script_says_what_is_wrong(flags, words, capsys, tmp_path):
    code, said, error = call(capsys, f"--out={tmp_path / 'out'}", *flags)
    assert code == 2 and said == ""
    assert error.startswith("error: ") and words in error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()
