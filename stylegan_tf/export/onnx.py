"""ONNX files, for onnxruntime and other runtimes.

    generator.onnx    z [N, z_dim], labels [N, classes], psi []  ->  images, floats
    mapping.onnx      z, labels                                  ->  w [N, w_dim]
    synthesis.onnx    ws [N, num_styles, w_dim]                  ->  images, floats

`images` are uint8 [N, H, W, C], `floats` the same images in [-1, 1]; a runtime computes
only the outputs that it is asked for. Weights are float32. N is free, or fixed when
exported.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.export.program import Program

FILES = {
    "generate": "generator.onnx",
    "map": "mapping.onnx",
    "synthesize": "synthesis.onnx",
}
OPSET = 17  # read by onnxruntime 1.12, of 2022, and everything newer
INSTALL = 'pip install "stylegan_tf[onnx]"'


def require_onnx() -> None:
    """Raises UserError unless tf2onnx and onnxruntime are installed."""
    try:
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX needs tf2onnx and onnxruntime ({error}): {INSTALL}"
        ) from error


def save_onnx(
    program: Program, part: str, path: Path | str, batch: int | None = None
) -> None:
    """Writes one part of a generator.

    Args:
        program: without random noise.
        part: key of FILES.
        path: of the file.
        batch: images per call; None = any number.

    Raises:
        UserError: a library is missing, or the noise is random.
    """
    require_onnx()
    import onnx
    import tf2onnx

    if program.noise == "random":
        raise UserError(
            "ONNX files have no random noise here; use --noise=const or none."
        )
    function = program.parts(batch)[part]
    proto, _ = tf2onnx.convert.from_function(
        function, input_signature=function.input_signature, opset=OPSET
    )
    _name_batch(proto)
    _positive_pads(proto)
    onnx.checker.check_model(proto)
    onnx.save(proto, str(path))


def _name_batch(proto) -> None:
    """Calls the free dimension of every input and output N."""
    for value in [*proto.graph.input, *proto.graph.output]:
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param:
                size.dim_param = "N"


def _positive_pads(proto) -> None:
    """Replaces negative padding of transposed convolutions by output padding.

    The output of a 1 x 1 kernel with stride two is one pixel short of twice the input.
    The converter writes the missing row and column as negative padding, which runtimes
    refuse.
    """
    from onnx import helper

    for node in proto.graph.node:
        settings = {a.name: a for a in node.attribute}
        pads = settings["pads"].ints if "pads" in settings else []
        if node.op_type != "ConvTranspose" or min(pads, default=0) >= 0:
            continue
        half = len(pads) // 2
        more = settings["output_padding"].ints if "output_padding" in settings else ()
        more = [*more] or [0] * half
        extra = [a - min(p, 0) for a, p in zip(more, pads[half:], strict=True)]
        if "output_padding" in settings:
            node.attribute.remove(settings["output_padding"])
        node.attribute.append(helper.make_attribute("output_padding", extra))
        settings["pads"].ints[half:] = [max(p, 0) for p in pads[half:]]


def onnx_runner(path: Path | str) -> Callable[..., dict[str, np.ndarray]]:
    """Returns a file as a function of arrays, by onnxruntime on the CPU."""
    require_onnx()
    import onnxruntime

    session = onnxruntime.InferenceSession(
        str(path), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]

    def call(**inputs) -> dict[str, np.ndarray]:
        arrays = {k: np.asarray(v, np.float32) for k, v in inputs.items()}
        return dict(zip(names, session.run(names, arrays), strict=True))

    return call
