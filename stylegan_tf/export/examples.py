"""Code examples of a model card, for the card's own model: every block runs as it is.

One per format; the Keras file's tells how `serve.py` is asked, and the SavedModel's how
TensorFlow Serving is.
"""

import textwrap


def keras_example(model: dict) -> str:
    """Returns the example for this package."""
    label = f", {_labels(model)}" if model["classes"] else ""
    code = _python(
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
    return "\n\n".join([code, rest_example(model)])


def rest_example(model: dict) -> str:
    """Returns the example for `serve.py`, which answers over HTTP."""
    label = ""
    if model["classes"]:
        row = model.get("label_example")
        label = f"&label={','.join(map(str, row))}" if row else "&classes=0"
    return _python(
        "Over HTTP, after `stylegan-tf serve --model=generator.keras` (several seeds "
        "are answered with JSON; http://127.0.0.1:8000/docs tells the rest):",
        f"""
        import io
        import urllib.request
        from PIL import Image

        address = "http://127.0.0.1:8000/v1/images?seeds=7&psi=0.7{label}"
        with urllib.request.urlopen(address) as answer:
            picture = Image.open(io.BytesIO(answer.read()))
        """,
    )


def savedmodel_example(model: dict) -> str:
    """Returns the example for TensorFlow alone and for TensorFlow Serving."""
    label = f", {_labels(model)}" if model["classes"] else ""
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
            "Seeds of `generate_seeds` are TensorFlow's: not those of `generate.py`, "
            "whose z are `numpy.random.RandomState(seed).randn(z_dim)`.",
            serving_example(model),
        ]
    )


def serving_example(model: dict) -> str:
    """Returns the example for TensorFlow Serving, which serves a SavedModel."""
    label = ""
    if model["classes"]:
        row = model.get("label_example") or [1] + [0] * (model["classes"] - 1)
        label = f', "labels": {row}'
    return _python(
        "TensorFlow Serving, after `docker run -p 8501:8501 -v "
        '"$PWD/saved_model:/models/stylegan/1" -e MODEL_NAME=stylegan '
        "tensorflow/serving`:",
        f"""
        import json
        import urllib.request
        import numpy as np

        z = np.random.RandomState(7).randn(4, {model["z_dim"]}).tolist()
        rows = [{{"z": row, "psi": 0.7{label}}} for row in z]
        body = json.dumps({{"instances": rows}}).encode()
        address = "http://127.0.0.1:8501/v1/models/stylegan:predict"
        with urllib.request.urlopen(address, body) as answer:
            images = np.array(json.load(answer)["predictions"], "uint8")
        """,
    )


def onnx_example(model: dict) -> str:
    """Returns the example for onnxruntime."""
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
    """Returns the example for LiteRT's interpreter."""
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
    if row := model.get("label_example"):
        return f"tf.constant([{row}] * 4)"
    return f"tf.one_hot([0] * 4, {model['classes']})"


def _rows(model: dict) -> str:
    if row := model.get("label_example"):
        return f'np.array([{row}] * len(z), "float32")'
    return f'np.eye({model["classes"]}, dtype="float32")[[0] * len(z)]'


def _python(title: str, code: str) -> str:
    code = textwrap.dedent(code).strip()
    return "\n".join([title, "", "```python", code, "```"])
