"""What the tests of the page share: a model, a server, and `generate` run on a line."""

import contextlib
import dataclasses
import io
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import pytest
import tiny
from PIL import Image
from stylegan_tf_launch import cli, generate

from stylegan_tf.config.stylegan3 import StyleGAN3Config
from stylegan_tf.networks.generator import Generator

ROOT = Path(__file__).parents[1]
PATIENCE = 30  # seconds; these machines are shared
HOOK = """
import sys

def said(event, args):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        with open({path!r}, "a") as f:
            f.write(f"{{event}} {{args}}\\n")

sys.addaudithook(said)
"""


class Server:
    """`python launch/explore.py` with a tiny model, and what it connects to."""

    def __init__(self, folder: Path):
        self.model, self.log = saved(folder), folder / "log.txt"
        self.other = folder / "shifting.keras"
        shifting().save(self.other)
        self.outward = folder / "outward.txt"
        self.outward.touch()
        (folder / "hook").mkdir()
        hook = HOOK.format(path=str(self.outward))
        (folder / "hook" / "sitecustomize.py").write_text(hook)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.host = f"127.0.0.1:{probe.getsockname()[1]}"
        paths = [str(folder / "hook"), os.environ.get("PYTHONPATH", "")]
        # nicegui behaves differently where it sees pytest's variables.
        own = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST")}
        script, port = ROOT / "launch" / "explore.py", self.host.split(":")[1]
        with open(self.log, "w") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    script,
                    f"--model={self.model}",
                    f"--others={self.other}",
                    f"--port={port}",
                ],
                stdout=log,
                stderr=log,
                cwd=folder,
                env=own | {"PYTHONPATH": os.pathsep.join(filter(None, paths))},
            )
        self._wait()

    def _wait(self) -> None:
        end = time.monotonic() + 10 * PATIENCE
        while f"http://{self.host}" not in self.log.read_text():
            assert self._process.poll() is None, self.log.read_text()
            assert time.monotonic() < end, "the server says nothing"
            time.sleep(0.1)
        while True:  # it says so just before it listens
            try:
                with socket.create_connection(self.host.split(":")):
                    return
            except ConnectionRefusedError:
                assert time.monotonic() < end, "the server does not listen"
                time.sleep(0.1)

    def stop(self) -> int:
        """Ctrl-C; the exit code."""
        self._process.send_signal(signal.SIGINT)
        try:
            return self._process.wait(PATIENCE)
        finally:
            self._process.kill()


def made(**changes) -> Generator:
    """A generator of 16 x 16 pixels, three groups of layers, whose noise shows."""
    sizes = {"generator.resolution": 16, "discriminator.resolution": 16}
    c = tiny.config(sizes).generator
    return tiny.noisy(Generator(dataclasses.replace(c, **changes)))


def shifting() -> Generator:
    """A StyleGAN3 of 32 x 32 pixels whose pictures shift with the first style."""
    bands = StyleGAN3Config(layers=4, critical=1, margin=4)
    changes = {"architecture": "stylegan3", "stylegan3": bands, "resolution": 32}
    c = dataclasses.replace(tiny.config().generator, **changes)
    keras.utils.set_random_seed(4)
    model = Generator(c)
    kernel = np.zeros((c.w_dim, 4), np.float32)
    kernel[0, 2] = kernel[1, 3] = 0.5  # w[0] moves it to the right, w[1] down
    model.synthesis.input_features.affine_kernel.assign(kernel)
    return model


def saved(folder: Path) -> Path:
    """A conditional one, of three classes, in a file."""
    path = folder / "generator.keras"
    made(classes=3).save(path)
    return path


def generated(line: str, out: Path) -> np.ndarray:
    """The one picture that a command line of `generate` draws, pixel by pixel.

    It is run in this process.
    """
    words = [*shlex.split(line), "--enlarge=1"]
    script = words[0] == "python" and words[1].endswith("launch/generate.py")
    assert script or words[:2] == ["stylegan-tf", "generate"]
    with (
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()) as errors,
        pytest.raises(SystemExit) as exit,
    ):
        cli.run(generate.main, generate.FLAGS, [*words[1:], f"--out={out}"])
    assert not exit.value.code, errors.getvalue()
    [path] = out.glob("*.png")
    return np.asarray(Image.open(path))
