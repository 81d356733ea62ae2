"""LiteRT files (TensorFlow Lite's successor), for phones and other small machines.

One file with the signatures

    generate      z [N, z_dim], labels [N, classes], psi []  ->  images, floats
    map           z, labels                                  ->  w [N, w_dim]
    synthesize    ws [N, num_styles, w_dim]                  ->  images, floats

Weights are float32, float16, or int8 with a scale per channel ("dynamic range":
activations stay float). The converter can write files that return NaN or have lost
their weights without an error, so `verify` compares every file with the model.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.export.program import Program, variables_of

PRECISIONS = ("float32", "float16", "int8")
INSTALL = 'pip install "stylegan_tf[litert]"'


def litert_file_name(precision: str) -> str:
    """Returns `generator.tflite`, or `generator_int8.tflite` and so on."""
    tail = "" if precision == "float32" else f"_{precision}"
    return f"generator{tail}.tflite"


def require_litert() -> None:
    """Raises UserError unless the interpreter that checks LiteRT files is installed."""
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise UserError(f"LiteRT needs ai-edge-litert ({error}): {INSTALL}") from error


def save_litert(
    program: Program,
    path: Path | str,
    batch: int | None = None,
    precision: str = "float32",
) -> None:
    """Writes a LiteRT file.

    Args:
        program: without random noise.
        path: of the file.
        batch: images per call; None = any number.
        precision: of the weights, one of PRECISIONS.

    Raises:
        UserError: a library is missing, or the noise is random.
    """
    require_litert()
    if program.noise == "random":
        raise UserError(
            "LiteRT files have no random noise; use --noise=const or --noise=none."
        )
    # Converted from a folder: files converted from functions lose their weights.
    with tempfile.TemporaryDirectory() as folder:
        keys = _save_parts(program, folder, batch)
        converter = tf.lite.TFLiteConverter.from_saved_model(
            folder, signature_keys=keys
        )
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        Path(path).write_bytes(converter.convert())


def _save_parts(program: Program, folder: str, batch: int | None) -> list[str]:
    """Saves the parts as a SavedModel for the converter; returns their names."""
    module, concrete = tf.Module(), {}
    for name, part in program.parts(batch).items():
        setattr(module, name, part)
        concrete[name] = part.get_concrete_function()
    module.weights = variables_of(concrete.values())
    tf.saved_model.save(module, folder, concrete)
    return list(concrete)


def litert_runner(path: Path | str) -> dict[str, Callable[..., dict[str, np.ndarray]]]:
    """Returns the signatures of a file as functions of arrays."""
    require_litert()
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    runners = {}

    def call(name: str, **inputs) -> dict[str, np.ndarray]:
        run = runners.setdefault(name, interpreter.get_signature_runner(name))
        return run(**{k: np.asarray(v, np.float32) for k, v in inputs.items()})

    names = interpreter.get_signature_list()
    return {n: lambda _name=n, **inputs: call(_name, **inputs) for n in names}
