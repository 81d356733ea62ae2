"""A pickle of StyleGAN2-ADA or StyleGAN3, taken all the way to other runtimes.

Pickle -> `.keras` -> SavedModel, ONNX, LiteRT; each run in a process that has neither
this package nor PyTorch, and compared with the official program's pictures.
"""

import subprocess
import sys

import ada_golden
import golden
import numpy as np
import pytest
import test_export_formats

from stylegan_tf import export, models
from stylegan_tf.export import verify

CASES = {
    "sg3t_r16_cond3.pkl": "sg3t_r16_cond3",
    "adapt_r16_cond3.pkl": "adapt_r16_cond3",
}
SAVED_MODEL = """
import sys
sys.modules["stylegan_tf"] = None
import numpy as np, tensorflow as tf
for folder in sys.argv[1:]:
    data = dict(np.load(folder + "/in.npz"))
    model = tf.saved_model.load(folder + "/saved_model")
    inputs = {k: tf.constant(data[k]) for k in ("z", "labels") if k in data}
    inputs["psi"] = tf.constant(data["psi"])
    found = model.signatures["generate"](**inputs)
    np.savez(folder + "/saved.npz", **{k: v.numpy() for k, v in found.items()})
assert "torch" not in sys.modules
"""
LOADS = """
import sys
from stylegan_tf import models
import numpy as np
for folder in sys.argv[1:]:
    data = dict(np.load(folder + "/in.npz"))
    model = models.load(folder + "/model.keras")
    images = model(data["z"], data.get("labels"), noise="const")
    np.save(folder + "/keras.npy", images.numpy())
assert "torch" not in sys.modules
"""


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Folders by case, with what every runtime drew; and the official pictures."""
    home, wanted = tmp_path_factory.mktemp("later"), {}
    hurry = pytest.MonkeyPatch()
    hurry.setattr(verify, "ROUNDS", (1, 1))
    for name, case in CASES.items():
        folder, numbers = home / case, ada_golden.load(case)
        folder.mkdir()
        models.load(ada_golden.FOLDER / name).save(folder / "model.keras")
        which = test_export_formats.request("savedmodel onnx litert", batch=3)
        export.export(folder / "model.keras", folder, which)
        labels = ada_golden.labels(numbers, "in/c")
        wanted[case] = golden.nhwc(numbers["out/G_ema/img_const"])
        inputs = {"z": numbers["in/z"], "psi": np.float32(1)}
        inputs |= {} if labels is None else {"labels": labels}
        model = models.load(folder / "model.keras")
        ws = model.broadcast(model.mapping(inputs["z"], labels)).numpy()
        np.savez(folder / "in.npz", **inputs, ws=ws)
    hurry.undo()
    folders = [str(home / case) for case in wanted]
    for code in (test_export_formats.ELSEWHERE, SAVED_MODEL, LOADS):
        subprocess.run([sys.executable, "-c", code, *folders], check=True, cwd=home)
    return home, wanted


@pytest.mark.parametrize("case", CASES.values())
def test_every_runtime_draws_the_official_pictures(drawn, case):
    home, wanted = drawn
    found = dict(np.load(home / case / "out.npz"))
    floats = {name: x for name, x in found.items() if name.endswith("floats")}
    assert len(floats) == 4  # two of ONNX, two of LiteRT
    for name, images in floats.items():
        assert np.abs(images - wanted[case]).max() < 1e-3, name
    images = np.load(home / case / "keras.npy")
    assert np.abs(images - wanted[case]).max() < 1e-3
    levels = np.clip(np.floor(wanted[case] * 127.5 + 128), 0, 255)
    saved = np.load(home / case / "saved.npz")
    off = np.abs(saved["images"].astype(int) - levels)
    assert off.max() <= 1 and (off > 0).mean() < 1e-3
