"""Who computes with exact float32 on GPUs, and who with TF32."""

import numpy as np
import pytest
import tensorflow as tf
from launching import call
from stylegan_tf_launch import cli

from stylegan_tf import devices
from stylegan_tf.errors import UserError
from stylegan_tf.export import verify

on = tf.config.experimental.tensor_float_32_execution_enabled
switch = tf.config.experimental.enable_tensor_float_32_execution


@pytest.fixture(autouse=True)
def as_tensorflow_starts():
    switch(True)
    yield
    switch(False)  # as all other tests have it


def test_the_switch_is_put_back():
    with devices.exact_float32():
        assert not on()
        with devices.exact_float32():
            assert not on()
        assert not on()
    assert on()
    with pytest.raises(ValueError), devices.exact_float32():
        raise ValueError
    assert on()


DRAWING = {name: [] for name in ("generate", "figures", "directions", "export")}
DRAWING |= {"project": ["--target_seeds=0"], "explore": ["--port=8931"]}
DRAWING |= {"evaluate": ["--data=demo:16"]}


@pytest.mark.parametrize("verb", DRAWING)
def test_what_draws_is_exact(verb, tmp_path):
    broken = tmp_path / "broken.keras"  # it is found, and TensorFlow loaded to read it
    broken.write_bytes(b"no archive")
    code, _, error = call(verb, f"--model={broken}", *DRAWING[verb])
    assert code == 2 and "broken.keras" in error
    assert not on()


def test_training_is_not():
    cli.load_tensorflow()
    assert on()


def test_files_are_compared_exactly():
    """The file and the Keras model, both."""

    class Reference:
        noise = "const"

        def inputs(self, n, first):
            return {"z": np.zeros((n, 8), np.float32)}

        def answer(self, n, first, psi):
            assert not on()
            return np.zeros((n, 6, 8)), np.zeros((n, 4, 4, 3), np.float32)

    def run(z, psi):
        assert not on()
        return {"floats": np.full((len(z), 4, 4, 3), np.inf, np.float32)}

    errors = verify.compare_with_keras(Reference(), {"generate": run})
    with pytest.raises(UserError, match="draws other pictures"):
        verify.require_close("a.onnx", errors)
    assert on()
