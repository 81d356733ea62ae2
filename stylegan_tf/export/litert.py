"""A LiteRT file (once TensorFlow Lite): for phones and other small machines.

One file with the signatures

    generate      z [N, z_dim], labels [N, classes], psi []  ->  images, floats
    map           z, labels                                  ->  w [N, w_dim]
    synthesize    ws [N, num_styles, w_dim]                  ->  images, floats

as `export.onnx` has them in three. Weights are float32, float16, or int8 with a scale
a channel ("dynamic range": activations stay float). Converters have been seen to write
files that draw NaN, or have lost their weights, without a word: nothing is kept here
that `measure` has not run and compared.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.export.program import Program, variables_of

PRECISIONS = ("float32", "float16", "int8")
MENDED = 'pip install "stylegan_tf[litert]"'


def file_name(precision: str) -> str:
    """`generator.tflite`, `generator_int8.tflite`."""
    tail = "" if precision == "float32" else f"_{precision}"
    return f"generator{tail}.tflite"


def require() -> None:
    """Raises:
    UserError: the interpreter that checks LiteRT files is not installed.
    """
    try:
        import ai_edge_litert.interpreter  # noqa: F401
    except ImportError as error:
        raise UserError(f"LiteRT needs ai-edge-litert ({error}): {MENDED}") from error


def save(program: Program, path: Path | str, batch=None, precision="float32") -> None:
    """Writes a LiteRT file.

    Args:
        program: without random noise.
        path: the file.
        batch: pictures a call; None = any number.
        precision: of the weights, one of PRECISIONS.

    Raises:
        UserError: a library is missing, or the noise is random.
    """
    require()
    if program.noise == "random":
        raise UserError(
            "LiteRT files have no random noise; use --noise=const or --noise=none."
        )
    # From a folder: made from functions in memory, files lose their weights.
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
    """The parts as a SavedModel for the converter; their names."""
    module, concrete = tf.Module(), {}
    for name, part in program.parts(batch).items():
        setattr(module, name, part)
        concrete[name] = part.get_concrete_function()
    module.weights = variables_of(concrete.values())
    tf.saved_model.save(module, folder, concrete)
    return list(concrete)


def runner(path: Path | str) -> dict[str, Callable[..., dict[str, np.ndarray]]]:
    """The signatures of a file as functions of arrays, by LiteRT's interpreter."""
    require()
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(path))
    made = {}

    def call(name: str, **inputs) -> dict[str, np.ndarray]:
        run = made.setdefault(name, interpreter.get_signature_runner(name))
        return run(**{k: np.asarray(v, np.float32) for k, v in inputs.items()})

    names = interpreter.get_signature_list()
    return {n: lambda _name=n, **inputs: call(_name, **inputs) for n in names}
