"""Exports a trained model: SavedModel, ONNX, LiteRT, Keras.

    python launch/export.py --model=runs/00000-demo-demo
    python launch/export.py --model=runs/00000-demo-demo --format=onnx --batch=1
    python launch/export.py --model=generator.keras --format=litert --precision=int8
    python launch/export.py --model=stylegan2-ffhq.pkl --format=savedmodel,onnx
    python launch/export.py --model=runs/00000-demo-demo --format=all --precision=all

The folder then holds

    saved_model         TensorFlow and TensorFlow Serving; any batch size
    generator.onnx, mapping.onnx, synthesis.onnx
                        onnxruntime and others
    generator.tflite    LiteRT; also generator_float16.tflite, generator_int8.tflite
    generator.keras     this package
    MODEL_CARD.md       facts about the model, and how to call each file
    model_card.json     the same for programs

Every file is run and compared with the Keras model before it is kept, on fixed latents
with psi 0.7 and 1. A file with an error above 0.001 (pixels go from -1 to 1) is not
written. The errors of float16 and int8 weights are larger; the table and the card state
them. The last columns are milliseconds per picture, of the file and of the compiled
Keras model, timed in turn.
"""

import shlex
from collections.abc import Sequence

from stylegan_tf_launch import cli

from stylegan_tf.command_line import typed_command

FLAGS, define = cli.flag_set()
define.path("model", None, cli.MODEL)
define.list(
    "format",
    "savedmodel",
    "Formats to write: savedmodel, onnx, litert, keras, some of them, or all.",
)
define.path("out", "export", "Folder for the files.")
define.string(
    "batch",
    "dynamic",
    "Pictures per call of ONNX and LiteRT files: a number, or dynamic for any. A fixed "
    "number is often faster.",
)
define.list(
    "precision",
    "float32",
    "Weights of LiteRT files: float32, float16, int8, several, or all.",
)
define.enum(
    "noise",
    "const",
    ["const", "none", "random"],
    "Noise: the stored maps, none, or, in a SavedModel, new for every picture.",
)
define.integer(
    "resolution",
    None,
    "Resolution to draw at, a power of two. By default the highest that the model has "
    "learned.",
    lower_bound=4,
    upper_bound=1024,
)


def main(argv: Sequence[str]) -> int:
    """Exports as the flags say; returns the exit code."""
    cli.announce_loading()
    cli.check_model(FLAGS.model)
    batch = _batch(FLAGS.batch)
    _check_unused_flags()

    cli.load_tensorflow(exact=True, models=[FLAGS.model])
    from stylegan_tf import export
    from stylegan_tf.export import litert

    request = export.ExportRequest(
        formats=_several(FLAGS.format, export.FORMATS),
        batch=batch,
        precisions=_several(FLAGS.precision, litert.PRECISIONS),
        noise=FLAGS.noise,
        resolution=FLAGS.resolution,
        command=shlex.join(typed_command()),
    )
    files = export.export(FLAGS.model, FLAGS.out, request, progress=True)
    print(export.files_table(files))
    print(f"and {export.CARD}, in {FLAGS.out}")
    return 0


def _check_unused_flags() -> None:
    formats = {name.strip() for name in FLAGS.format}
    if not formats & {"onnx", "litert", "all"}:
        cli.refuse_flags(
            FLAGS, ["batch"], "is of ONNX and LiteRT files; others take any."
        )
    if formats == {"keras"}:
        cli.refuse_flags(
            FLAGS, ["noise"], "is not settled in a .keras file, which has all."
        )


def _batch(text: str) -> int | None:
    from stylegan_tf.errors import UserError

    if text == "dynamic":
        return None
    if not text.isdecimal() or not 1 <= int(text) <= 1024:
        raise UserError(f"--batch={text}: give a number from 1 to 1024, or dynamic.")
    return int(text)


def _several(names: Sequence[str], known: Sequence[str]) -> tuple[str, ...]:
    """Returns the names once each; all known names for `all`."""
    names = [name.strip() for name in names if name.strip()]
    return tuple(known) if "all" in names else tuple(dict.fromkeys(names))


if __name__ == "__main__":
    cli.run(main, FLAGS)
