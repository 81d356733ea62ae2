"""A trained generator as files that go elsewhere.

program      what an exported file computes
savedmodel, onnx, litert
             the formats
verify       is a file the model? how fast?
provenance, card
             what the model card says
bundle       a folder of all that: at the end of a run, or by `launch/export.py`
"""

from stylegan_tf.export.bundle import FORMATS, Request, export, save
from stylegan_tf.export.card import CARD, File
from stylegan_tf.export.program import Program, plain_copy
from stylegan_tf.export.provenance import CARD_JSON, Origin, of_model
from stylegan_tf.export.verify import Errors, Reference, compare, judge

__all__ = [
    "CARD",
    "CARD_JSON",
    "FORMATS",
    "Errors",
    "File",
    "Origin",
    "Program",
    "Reference",
    "Request",
    "compare",
    "export",
    "judge",
    "of_model",
    "plain_copy",
    "save",
]
