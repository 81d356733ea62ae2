"""The model card that goes with every export: `MODEL_CARD.md` and `model_card.json`.

What the model is, what it was trained on and for how long, what was measured of it,
how its files are called, how far each is from the Keras model, and under which terms
(Mitchell et al. 2019, "Model Cards for Model Reporting", kept to what can be known).
"""

import dataclasses
import hashlib
import json
import math
import textwrap
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from stylegan_tf.export.provenance import CARD_JSON, Origin
from stylegan_tf.files import atomic_write
from stylegan_tf.networks.generator import Generator

CARD = "MODEL_CARD.md"
CODE_LICENSE = (
    "stylegan_tf, which made these files, is under the Apache License 2.0. That says "
    "nothing about the weights."
)


@dataclass(frozen=True)
class File:
    """One exported file, and what was measured of it.

    Attributes:
        name: in the folder of the card.
        format: "keras", "savedmodel", "onnx" or "litert".
        bytes: size, of a folder all of it.
        precision: of the weights.
        batch: pictures a call; None = any number.
        noise: "const", "none" or "random".
        part: what it computes, if not everything.
        max_error, mean_error: of pixels against Keras, in [-1, 1] units; None = not
            measured.
        ms, keras_ms: milliseconds a picture, of the file and of the compiled Keras
            model beside it.
    """

    name: str
    format: str
    bytes: int
    precision: str = "float32"
    batch: int | None = None
    noise: str = "const"
    part: str | None = None
    max_error: float | None = None
    mean_error: float | None = None
    ms: float | None = None
    keras_ms: float | None = None


def write(
    folder: Path | str,
    generator: Generator,
    origin: Origin,
    files: list[File],
    resolution: int,
    command: str | None = None,
) -> Path:
    """Writes both cards.

    What an earlier export of the same weights left in the folder stays on the card.

    Args:
        folder: where the files are.
        generator: the model.
        origin: where it comes from.
        files: what was written.
        resolution: level that the files draw at.
        command: the command line that wrote them.

    Returns:
        The path of the readable card.
    """
    folder = Path(folder)
    values = {
        "card": "stylegan_tf model card 1",
        "model": describe(generator, resolution),
        "origin": dataclasses.asdict(origin),
        "files": [dataclasses.asdict(f) for f in files],
        "command": command,
        "license": {"code": "Apache-2.0", "model": origin.license},
        "made_with": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
    values["files"] = [*_earlier(folder, values), *values["files"]]
    _replace(folder / CARD_JSON, json.dumps(values, indent=2) + "\n")
    return _replace(folder / CARD, text(values))


def describe(generator: Generator, resolution: int) -> dict:
    """What a program has to know about a model, and a checksum of its weights."""
    c = generator.config
    height, width = c.shape(resolution)
    return {
        "architecture": c.architecture,
        "height": height,
        "width": width,
        "channels": c.channels,
        "level": resolution,
        "alpha": generator.growth.alpha_at(resolution),
        "final_level": c.resolution,
        "z_dim": c.z_dim,
        "w_dim": c.w_dim,
        "num_styles": c.num_styles,
        "classes": c.classes,
        "parameters": sum(math.prod(v.shape) for v in generator.trainable_variables),
        "weights_sha256": checksum(generator),
    }


def checksum(generator: Generator) -> str:
    """SHA-256 of all weights, in their order, as float32."""
    digest = hashlib.sha256()
    for v in generator.weights:
        digest.update(v.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def _earlier(folder: Path, values: dict) -> list[dict]:
    """Files of an earlier card: of this model, still there, and not written now."""
    try:
        old = json.loads((folder / CARD_JSON).read_text())
        same = old["model"]["weights_sha256"] == values["model"]["weights_sha256"]
        files = old["files"] if same else []
        new = {f["name"] for f in values["files"]}
        return [f for f in files if f["name"] not in new and _there(folder, f["name"])]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _there(folder: Path, name: str) -> bool:
    return (folder / name).exists()


def _replace(path: Path, text: str) -> Path:
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


# ---------------------------------------------------------------------------
# In words


def text(values: dict) -> str:
    """The readable card."""
    model, origin = values["model"], values["origin"]
    parts = [
        f"# Model card: {origin['source']}",
        "A generator of pictures (StyleGAN, Karras et al. 2019 and 2020): random "
        "numbers in, pictures out.",
        _table(["", ""], _facts(model, origin)),
        "## Measured",
        _metrics(origin["metrics"]),
        "## Files",
        _files(values["files"]),
        "## How to call them",
        *(EXAMPLES[f](model) for f in EXAMPLES if _has(values, f)),
        "## License",
        values["license"]["model"],
        CODE_LICENSE,
        "## How it was made",
        _made(values),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(model: dict, origin: dict) -> list[list[str]]:
    picture = f"{model['width']} x {model['height']}, {model['channels']} channels"
    picture += _grown(model)
    classes = model["classes"] or "none"
    if origin["class_names"]:
        classes = f"{classes}: {', '.join(origin['class_names'])}"
    known = {
        "Architecture": model["architecture"],
        "Pictures it draws": picture,
        "Weights": f"{model['parameters']:,}",
        "z, w, styles": f"{model['z_dim']}, {model['w_dim']}, {model['num_styles']}",
        "Classes": classes,
        "Data": origin["data"],
        "Fingerprint of the data": origin["fingerprint"],
        "Pictures in the data": _count(origin["pictures"]),
        "Preset": origin["preset"],
        "Images seen in training": _count(origin["images_seen"]),
        "Started from": origin["started_from"] or "random weights",
        "SHA-256 of the weights": model["weights_sha256"][:16] + "...",
    }
    if origin["preset"] is None and not origin["started_from"]:
        del known["Started from"]
    return [[k, str(v if v is not None else "not known")] for k, v in known.items()]


def _grown(model: dict) -> str:
    """How far the model has, in brackets; nothing if it has fully."""
    level, final, alpha = model["level"], model["final_level"], model["alpha"]
    if level == final and alpha == 1:
        return ""
    faded = f", {100 * alpha:.3g}% faded in" if alpha < 1 else ""
    return f" (drawn at level {level} of {final}{faded})"


def _count(number: int | None) -> str | None:
    return None if number is None else f"{number:,}"


def _metrics(rows: list[dict]) -> str:
    if not rows:
        return "No metric was computed for this model."
    cells = [
        [
            str(r["metric"]),
            str(r.get("network") or ""),
            f"{r['value']:.4g}" if isinstance(r["value"], float) else str(r["value"]),
            _count(r.get("nimg")) or "",
        ]
        for r in rows
    ]
    return _table(["metric", "feature network", "value", "at image"], cells)


HEADINGS = ["file", "weights", "batch", "size", "largest error", "mean error"]
HEADINGS += ["ms a picture", "Keras ms"]


def cells(file: dict) -> list[str]:
    """One row of the table of files."""
    name = f"{file['name']} ({file['part']})" if file["part"] else file["name"]
    return [
        name,
        file["precision"],
        str(file["batch"] or "any"),
        _size(file["bytes"]),
        _error(file["max_error"]),
        _error(file["mean_error"]),
        _ms(file["ms"]),
        _ms(file["keras_ms"]),
    ]


def table(files: list[File]) -> str:
    """What was written, in columns, for a terminal."""
    rows = [HEADINGS, *(cells(dataclasses.asdict(f)) for f in files)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _files(files: list[dict]) -> str:
    noise = sorted({f["noise"] for f in files})
    return "\n\n".join(
        [
            _table(HEADINGS, [cells(f) for f in files]),
            "Errors are of pixels against the Keras model, in units of pictures that "
            f"go from -1 to 1. Noise: {', '.join(noise)}.",
        ]
    )


def _size(count: int) -> str:
    return f"{count / 1e6:.2f} MB"


def _error(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.1e}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _table(heads: list[str], rows: list[list[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _has(values: dict, kind: str) -> bool:
    return any(f["format"] == kind for f in values["files"])


def _made(values: dict) -> str:
    commands = [values["origin"]["training"], values["command"]]
    lines = [f"    {c}" for c in commands if c]
    made = ", ".join(f"{k} {v}" for k, v in values["made_with"].items())
    return "\n".join([*lines, "", f"With {made}."]).strip("\n")


def keras_example(model: dict) -> str:
    """With this package."""
    label = f", {_labels(model)}" if model["classes"] else ""
    return _python(
        "`generator.keras`, with this package:",
        f"""
        import keras
        import tensorflow as tf
        import stylegan_tf

        generator = keras.models.load_model("generator.keras")
        pictures = [p for _, p in stylegan_tf.draw(generator, seeds=range(4), psi=0.7)]
        z = tf.random.normal([4, {model["z_dim"]}])
        floats = generator(z{label}, psi=0.7, noise="const")
        """,
    )


def savedmodel_example(model: dict) -> str:
    """With TensorFlow alone, and by a request to TensorFlow Serving."""
    label = f", {_labels(model)}" if model["classes"] else ""
    row = ', "labels": [1, 0, ...]' if model["classes"] else ""
    code = _python(
        "`saved_model`, with TensorFlow alone (`saved_model_cli show --dir saved_model "
        "--all` lists its signatures: `generate`, which is also `serving_default`, "
        "`generate_seeds`, `map`, `synthesize`, `synthesize_floats`):",
        f"""
        import tensorflow as tf

        model = tf.saved_model.load("saved_model")
        z = tf.random.normal([4, {model["z_dim"]}])
        images = model.generate(z{label})["images"]  # uint8; psi is 0.7
        images = model.generate(z{label}, psi=1.0)["images"]
        images = model.generate_seeds([0, 1, 2, 3]{label}, psi=0.5)["images"]
        """,
    )
    return "\n\n".join(
        [
            code,
            "TensorFlow Serving answers `POST /v1/models/NAME:predict` with the "
            "pictures of these rows:",
            f'    {{"instances": [{{"z": [0.1, ...], "psi": 0.7{row}}}, ...]}}',
            "Seeds of `generate_seeds` are TensorFlow's: not those of `generate.py`, "
            "whose z are `numpy.random.RandomState(seed).randn(z_dim)`.",
        ]
    )


def onnx_example(model: dict) -> str:
    """With onnxruntime."""
    label = f', "labels": {_rows(model)}' if model["classes"] else ""
    return _python(
        "`generator.onnx`, with onnxruntime (`mapping.onnx` takes `z` to `w`, "
        "`synthesis.onnx` takes `ws` to pictures):",
        f"""
        import numpy as np
        import onnxruntime

        model = onnxruntime.InferenceSession("generator.onnx")
        n = model.get_inputs()[0].shape[0]
        n = n if isinstance(n, int) else 4
        z = np.random.randn(n, {model["z_dim"]}).astype("float32")
        inputs = {{"z": z{label}, "psi": np.array(0.7, "float32")}}
        images, floats = model.run(["images", "floats"], inputs)
        """,
    )


def litert_example(model: dict) -> str:
    """With LiteRT's interpreter."""
    label = f', "labels": {_rows(model)}' if model["classes"] else ""
    return _python(
        "`generator.tflite`, with LiteRT (signatures `generate`, `map`, `synthesize`):",
        f"""
        import numpy as np
        from ai_edge_litert.interpreter import Interpreter

        generate = Interpreter("generator.tflite").get_signature_runner("generate")
        n = generate.get_input_details()["z"]["shape_signature"][0]
        z = np.random.randn(n if n > 0 else 4, {model["z_dim"]}).astype("float32")
        inputs = {{"z": z{label}, "psi": np.array(0.7, "float32")}}
        images = generate(**inputs)["images"]
        """,
    )


EXAMPLES = {
    "keras": keras_example,
    "savedmodel": savedmodel_example,
    "onnx": onnx_example,
    "litert": litert_example,
}


def _labels(model: dict) -> str:
    return f"tf.one_hot([0] * 4, {model['classes']})"


def _rows(model: dict) -> str:
    return f'np.eye({model["classes"]}, dtype="float32")[[0] * len(z)]'


def _python(title: str, code: str) -> str:
    code = textwrap.dedent(code).strip()
    return "\n".join([title, "", "```python", code, "```"])
