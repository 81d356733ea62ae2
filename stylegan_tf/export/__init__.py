"""Exports a trained generator: SavedModel, ONNX, LiteRT, Keras, and a model card.

program      the computation of every exported file
savedmodel, onnx, litert
             the formats
single       a generator as one file: .keras, .safetensors
verify       compares a file with the Keras model, and times both
provenance, examples, card
             the model card
bundle       a folder of files with their card: at the end of a run, or by
             `launch/export.py`
"""

from stylegan_tf.export.bundle import (
    FORMATS,
    ExportRequest,
    copy_at_resolution,
    export,
    save_model,
)
from stylegan_tf.export.card import CARD, ExportedFile, files_table, write_readme
from stylegan_tf.export.program import Program
from stylegan_tf.export.provenance import (
    CARD_JSON,
    Provenance,
    provenance_from_run,
    provenance_of_model,
)
from stylegan_tf.export.single import save_generator
from stylegan_tf.export.verify import (
    ExportErrors,
    Reference,
    compare_with_keras,
    require_close,
)
from stylegan_tf.networks.generator import plain_copy

__all__ = [
    "CARD",
    "CARD_JSON",
    "FORMATS",
    "ExportErrors",
    "ExportRequest",
    "ExportedFile",
    "Program",
    "Provenance",
    "Reference",
    "compare_with_keras",
    "copy_at_resolution",
    "export",
    "files_table",
    "plain_copy",
    "provenance_from_run",
    "provenance_of_model",
    "require_close",
    "save_generator",
    "save_model",
    "write_readme",
]
