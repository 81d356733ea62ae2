"""A trained generator as files that go elsewhere, and everything that names a model.

loading      opens a run, a checkpoint, a `.keras` file or an official pickle
program      what an exported file computes
savedmodel, onnx, litert
             the formats
measure      is a file the model? how fast?
origin, card, examples
             what the model card says
bundle       a folder of all that: at the end of a run, or by `launch/export.py`
"""

from stylegan_tf.export.bundle import FORMATS, Request, export, save
from stylegan_tf.export.card import CARD, File
from stylegan_tf.export.loading import (
    KERAS_FILE,
    SAVED_MODEL,
    Found,
    config_of,
    find,
    growth,
    load,
    restore,
    trained_resolution,
)
from stylegan_tf.export.measure import Errors, Reference, compare, judge
from stylegan_tf.export.origin import CARD_JSON, Origin, of_model
from stylegan_tf.export.program import Program, plain_copy

__all__ = [
    "CARD",
    "CARD_JSON",
    "FORMATS",
    "KERAS_FILE",
    "SAVED_MODEL",
    "Errors",
    "File",
    "Found",
    "Origin",
    "Program",
    "Reference",
    "Request",
    "compare",
    "config_of",
    "export",
    "find",
    "growth",
    "judge",
    "load",
    "of_model",
    "plain_copy",
    "restore",
    "save",
    "trained_resolution",
]
