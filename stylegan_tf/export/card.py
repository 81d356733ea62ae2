"""Writes the model card of an export: `MODEL_CARD.md` and `model_card.json`.

The card states architecture, data, training, metrics, how to call each file, its error
against the Keras model, and the license (Mitchell et al. 2019, "Model Cards for Model
Reporting").
"""

import dataclasses
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

from stylegan_tf.config.classes import numbered_names
from stylegan_tf.export.examples import EXAMPLES
from stylegan_tf.export.provenance import CARD_JSON, DEMO_LICENSE, Provenance
from stylegan_tf.files import atomic_write
from stylegan_tf.networks.generator import Generator

CARD = "MODEL_CARD.md"
CODE_LICENSE = (
    "stylegan_tf, which made these files, is under the Apache License 2.0. That says "
    "nothing about the weights."
)


@dataclass(frozen=True)
class ExportedFile:
    """An exported file with its errors and times.

    Attributes:
        name: in the folder of the card.
        format: "keras", "savedmodel", "onnx" or "litert".
        bytes: size of the file, or of all files of a folder.
        precision: of the weights.
        batch: images per call; None = any number.
        noise: "const", "none" or "random".
        part: "generate", "map" or "synthesize"; None = all of them.
        max_error: largest difference of pixels in [-1, 1] from Keras; None = not
            measured.
        mean_error: mean difference of pixels in [-1, 1] from Keras; None = not
            measured.
        ms: milliseconds per image.
        keras_ms: milliseconds per image of the compiled Keras model, timed in turn.
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


def write_card(
    folder: Path | str,
    generator: Generator,
    origin: Provenance,
    files: list[ExportedFile],
    resolution: int,
    command: str | None = None,
) -> Path:
    """Writes both cards.

    Files of an earlier export of the same weights stay on the card.

    Args:
        folder: of the files.
        generator: the model.
        origin: its provenance.
        files: the files just written.
        resolution: of their images.
        command: the command line that wrote them.

    Returns:
        The path of `MODEL_CARD.md`.
    """
    folder = Path(folder)
    values = {
        "card": "stylegan_tf model card 1",
        "model": describe_model(generator, resolution),
        "origin": dataclasses.asdict(origin),
        "files": [dataclasses.asdict(f) for f in files],
        "command": command,
        "license": {"code": "Apache-2.0", "model": origin.license},
        "made_with": {"tensorflow": tf.__version__, "keras": keras.__version__},
    }
    values["files"] = [*_earlier(folder, values), *values["files"]]
    card = _replace(folder / CARD, card_text(values))
    _replace(folder / CARD_JSON, json.dumps(values, indent=2) + "\n")
    return card


def describe_model(generator: Generator, resolution: int) -> dict:
    """Returns the facts about a model for `model_card.json`."""
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
        "label_example": _label_example(generator),
        "parameters": sum(math.prod(v.shape) for v in generator.trainable_variables),
        "weights_sha256": weights_checksum(generator),
    }


def _label_example(generator: Generator) -> list[float] | None:
    """Returns a label of the training data, if labels are short vectors."""
    c = generator.config
    if not c.label_examples:
        return None
    row = generator.label_examples.numpy()[0]
    return [round(float(x), 4) for x in row] if len(row) <= 64 else [0.0] * len(row)


def weights_checksum(generator: Generator) -> str:
    """Returns the SHA-256 of all weights, in their order, as float32."""
    digest = hashlib.sha256()
    for v in generator.weights:
        digest.update(v.numpy().astype("<f4").tobytes())
    return digest.hexdigest()


def mark_unfinished(folder: Path) -> None:
    """Replaces the card's JSON until `write_card` writes it: the files change now."""
    _replace(folder / CARD_JSON, json.dumps({"unfinished": True}) + "\n")


def _earlier(folder: Path, values: dict) -> list[dict]:
    """Returns the files of an earlier card of this model that are still there."""
    try:
        old = json.loads((folder / CARD_JSON).read_text(encoding="utf-8"))
        same = old["model"]["weights_sha256"] == values["model"]["weights_sha256"]
        files = old["files"] if same else []
        new = {f["name"] for f in values["files"]}
        files = [f for f in files if f["name"] not in new]
        return [f for f in files if (folder / f["name"]).exists()]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _replace(path: Path, text: str) -> Path:
    with atomic_write(path) as draft:
        draft.write_text(text, encoding="utf-8")
    return path


def write_readme(folder: Path | str, address: str) -> Path:
    """Writes `README.md`, the card as the Hugging Face Hub shows it.

    Args:
        folder: with the card of `write_card`, which becomes the README.
        address: of the repository, hf://user/name.
    """
    folder = Path(folder)
    values = json.loads((folder / CARD_JSON).read_text(encoding="utf-8"))
    free = values["license"]["model"] == DEMO_LICENSE
    head = [
        "---",
        "library_name: stylegan_tf",
        f"license: {'apache-2.0' if free else 'other'}",
        "pipeline_tag: unconditional-image-generation",
        "tags:",
        "- stylegan",
        f"- {values['model']['architecture']}",
        "---",
    ]
    opens = f'    import stylegan_tf\n\n    generator = stylegan_tf.load("{address}")'
    heading, rest = card_text(values).split("\n", 1)
    text = "\n".join([*head, "", heading, "", opens]) + "\n" + rest
    return _replace(folder / "README.md", text)


# ---------------------------------------------------------------------------
# Markdown


def card_text(values: dict) -> str:
    """Returns the text of `MODEL_CARD.md` for the values of `model_card.json`."""
    model, origin = values["model"], values["origin"]
    formats = {file["format"] for file in values["files"]}
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
        *(EXAMPLES[f](model) for f in EXAMPLES if f in formats),
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
        classes = f"{classes}: {numbered_names(origin['class_names'])}"
    if model.get("label_example"):
        classes = f"none; labels are vectors of {model['classes']} numbers"
    known = {
        "Architecture": model["architecture"],
        "Pictures it draws": picture,
        "Weights": f"{model['parameters']:,}",
        "z, w, styles": f"{model['z_dim']}, {model['w_dim']}, {model['num_styles']}",
        "Classes": classes,
        "Data": origin["data"],
        "Fingerprint of the data": origin["fingerprint"],
        "Fingerprint of the settings": origin["settings"],
        "Pictures in the data": _count(origin["pictures"]),
        "Preset": origin["preset"],
        "Images seen in training": _count(origin["images_seen"]),
        "Started from": origin["started_from"] or "random weights",
        "SHA-256 of the weights": model["weights_sha256"][:16] + "...",
    }
    if origin["settings"] is None:
        del known["Fingerprint of the settings"]
    if origin["preset"] is None and not origin["started_from"]:
        del known["Started from"]
    return [[k, str(v if v is not None else "not known")] for k, v in known.items()]


def _grown(model: dict) -> str:
    """Returns the growth of a model in brackets; "" if it has fully grown."""
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
    file_cells = [
        [
            str(r["metric"]),
            str(r.get("network") or ""),
            f"{r['value']:.4g}" if isinstance(r["value"], float) else str(r["value"]),
            _count(r.get("nimg")) or "",
        ]
        for r in rows
    ]
    return _table(["metric", "feature network", "value", "at image"], file_cells)


HEADINGS = ["file", "weights", "batch", "size", "largest error", "mean error"]
HEADINGS += ["ms per picture", "Keras ms"]


def file_cells(file: dict) -> list[str]:
    """Returns a file's row of the table of files."""
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


def files_table(files: list[ExportedFile]) -> str:
    """Returns a table of files for a terminal."""
    rows = [HEADINGS, *(file_cells(dataclasses.asdict(f)) for f in files)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _files(files: list[dict]) -> str:
    noise = sorted({f["noise"] for f in files})
    return "\n\n".join(
        [
            _table(HEADINGS, [file_cells(f) for f in files]),
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


def _made(values: dict) -> str:
    commands = [values["origin"]["training"], values["command"]]
    lines = [f"    {c}" for c in commands if c]
    made = ", ".join(f"{k} {v}" for k, v in values["made_with"].items())
    return "\n".join([*lines, "", f"With {made}."]).strip("\n")
