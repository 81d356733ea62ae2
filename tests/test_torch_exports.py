"""A file of StyleGAN2-ADA or StyleGAN3, taken all the way to other runtimes.

File -> `.keras` -> SavedModel, ONNX, LiteRT; each run in a process that has neither
this package nor PyTorch, and compared with the official program's pictures. With
`STYLEGAN_TF_GOLDENS` there is one of each kind: both StyleGAN3 configs, StyleGAN2-ADA
from both frameworks, and a `.pt` in rosinality's layout of a network whose pictures are
known.
"""

import os
import subprocess
import sys

import ada_golden
import golden
import numpy as np
import pytest
import test_export_formats
import torch_files as writer

from stylegan_tf import export, models
from stylegan_tf.export import verify
from stylegan_tf.official import rosinality

TORCH = ("in/z", "in/c", "out/G_ema/img_const")
TENSORFLOW = ("in/z", "in/labels", "out/Gs/psi_none")
CASES = {
    "sg3t_r16_cond3.pkl": ("sg3t_r16_cond3", *TORCH),
    "adapt_r16_cond3.pkl": ("adapt_r16_cond3", *TORCH),
}
if "STYLEGAN_TF_GOLDENS" in os.environ:
    CASES |= {
        "sg3r_r32_torch2.pkl": ("sg3r_r32_torch2", *TORCH),
        "adatf_r16_cond3_G_D_Gs.pkl": ("adatf_r16_cond3", *TENSORFLOW),
        "adatf_r32_auto.pt": ("adatf_r32_auto", *TENSORFLOW),
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


def source(name: str, folder):
    """The file, or a `.pt` made of the network whose numbers are known."""
    if not name.endswith(".pt"):
        return ada_golden.FOLDER / name
    known = models.load(ada_golden.FOLDER / f"{name.removesuffix('.pt')}_G_D_Gs.pkl")
    state = rosinality.state_dict_of(known)
    average = {"latent_avg": state.pop("latent_avg")}
    content = writer.tensors(average) | {"g_ema": writer.tensors(state)}
    for tensor in content["g_ema"].values():
        tensor.storage.key = f"1{tensor.storage.key}"
    path = folder / name
    path.write_bytes(writer.archive(content))
    return path


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """Folders by case, with what every runtime drew; and the official pictures."""
    home, wanted = tmp_path_factory.mktemp("later"), {}
    hurry = pytest.MonkeyPatch()
    hurry.setattr(verify, "ROUNDS", (1, 1))
    for name, (case, z, c, images) in CASES.items():
        folder, numbers = home / case, ada_golden.load(case)
        folder.mkdir()
        models.load(source(name, folder)).save(folder / "model.keras")
        count = len(numbers[z])
        which = test_export_formats.request("savedmodel onnx litert", batch=count)
        export.export(folder / "model.keras", folder, which)
        labels = ada_golden.labels(numbers, c)
        wanted[case] = golden.nhwc(numbers[images])
        inputs = {"z": numbers[z], "psi": np.float32(1)}
        inputs |= {} if labels is None else {"labels": labels}
        model = models.load(folder / "model.keras")
        ws = model.broadcast(model.mapping(inputs["z"], labels)).numpy()
        np.savez(folder / "in.npz", **inputs, ws=ws)
    hurry.undo()
    folders = [str(home / case) for case in wanted]
    for code in (test_export_formats.ELSEWHERE, SAVED_MODEL, LOADS):
        subprocess.run([sys.executable, "-c", code, *folders], check=True, cwd=home)
    return home, wanted


@pytest.mark.parametrize("case", [case for case, *_ in CASES.values()])
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
