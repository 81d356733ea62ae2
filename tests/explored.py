"""What the tests of the page share: a model, and `generate` run on a command line."""

import contextlib
import dataclasses
import io
import shlex
from pathlib import Path

import numpy as np
import pytest
import tiny
from PIL import Image
from stylegan_tf_launch import cli, generate

from stylegan_tf.networks.generator import Generator


def made(**changes) -> Generator:
    """A generator of 16 x 16 pixels, three groups of layers, whose noise shows."""
    sizes = {"generator.resolution": 16, "discriminator.resolution": 16}
    c = tiny.config(sizes).generator
    return tiny.noisy(Generator(dataclasses.replace(c, **changes)))


def saved(folder: Path) -> Path:
    """A conditional one, of three classes, in a file."""
    path = folder / "generator.keras"
    made(classes=3).save(path)
    return path


def generated(line: str, out: Path) -> np.ndarray:
    """The one picture that a command line of `generate` draws, run in this process."""
    words = shlex.split(line)
    assert words[:2] == ["python", "launch/generate.py"]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as errors,
        pytest.raises(SystemExit) as exit,
    ):
        cli.run(generate.main, generate.FLAGS, [*words[1:], f"--out={out}"])
    assert not exit.value.code, errors.getvalue()
    [path] = out.glob("*.png")
    return np.asarray(Image.open(path))
