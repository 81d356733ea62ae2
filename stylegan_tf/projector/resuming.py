"""The state of a work under way, in a file, so that the same command goes on with it.

    with StateFile(path, variables, request) as state:
        while not done:
            step()
            state.step_taken()

It is written at the start, every `SAVE_SECONDS`, and when the work is interrupted. Who
has the result on the disk removes it.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from stylegan_tf.errors import UserError
from stylegan_tf.formats.arrays import load_arrays, save_arrays
from stylegan_tf.networks.block import weights_fingerprint
from stylegan_tf.networks.generator import Generator

SAVE_SECONDS = 30  # between two states on the disk
REQUEST = "request"  # name of the array that says whose state it is
Variables = Sequence[tf.Variable | keras.Variable]


class StateFile:
    """Keeps variables in a file while a block of code runs.

    Args:
        path: of the file; None = keep nothing.
        variables: all that the work changes.
        request: tells one work from another, see `request_digest`. A state of the same
            request is restored on entry.
    """

    def __init__(
        self, path: Path | str | None, variables: Variables, request: str = ""
    ):
        self.path, self.variables, self.request = path, variables, request
        self._saved = time.monotonic()

    def __enter__(self) -> "StateFile":
        if self.path and is_state_of(self.path, self.request):
            restore_variables(self.path, self.variables)
        else:
            self.save()
        return self

    def __exit__(self, kind, error, trace) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt):
            self.save()

    def step_taken(self) -> None:
        """Writes the state, unless that was done a moment ago."""
        if time.monotonic() - self._saved > SAVE_SECONDS:
            self.save()

    def save(self) -> None:
        """Writes the state."""
        if self.path:
            save_variables(self.path, self.variables, self.request)
        self._saved = time.monotonic()


def save_variables(path: Path | str, variables: Variables, request: str = "") -> None:
    """Writes variables to a file, in one step; see `StateFile`."""
    arrays = {f"state{i}": np.asarray(v) for i, v in enumerate(variables)}
    save_arrays(path, arrays | {REQUEST: np.array(request)})


def restore_variables(path: Path | str, variables: Variables) -> None:
    """Reads what `save_variables` wrote.

    Raises:
        UserError: the file is damaged, or of other variables.
    """
    arrays = load_arrays(path)
    names = [f"state{i}" for i in range(len(variables))]
    expected = {n: tuple(v.shape) for n, v in zip(names, variables, strict=True)}
    if {name: x.shape for name, x in arrays.items() if name != REQUEST} != expected:
        raise UserError(f"{path} is not of this work; delete it to start anew.")
    for name, v in zip(names, variables, strict=True):
        v.assign(arrays[name])


def is_state_of(path: Path | str, request: str) -> bool:
    """Returns True if a file holds the unfinished work of a request."""
    try:
        return str(load_arrays(path).get(REQUEST)) == request
    except UserError:  # there is none, or it is damaged
        return False


def request_digest(model: Generator, images: np.ndarray, **settings: object) -> str:
    """Returns a text that tells one work from another.

    Args:
        model: the generator.
        images: uint8 [N, H, W, C].
        settings: whatever the result depends on besides, as JSON values.
    """
    about = json.dumps(settings, sort_keys=True)
    digest = hashlib.sha256(weights_fingerprint(model).encode())
    digest.update(f"{images.shape} {about}".encode())
    digest.update(np.ascontiguousarray(images).tobytes())
    return digest.hexdigest()
