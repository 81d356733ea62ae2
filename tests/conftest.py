"""What every test starts from: two logical CPUs, exact float32 and fixed seeds."""

import os
import signal
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "benchmarks"))  # no package
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")  # as the launch scripts set it

import keras
import pytest
import tensorflow as tf

# Two replicas on any machine; has to be said before TensorFlow touches its devices.
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
# Numbers are compared with a reference, on GPUs too.
tf.config.experimental.enable_tensor_float_32_execution(False)

# A shell lets what it starts in the background ignore these; tests send them.
for number, handler in (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
):
    if signal.getsignal(number) is signal.SIG_IGN:
        signal.signal(number, handler)


def pytest_configure(config):
    """Keras reads its own variables in a way that NumPy 2 frowns upon; and tf.data
    says that it stays compiled where a test runs the rest eagerly."""
    for text in (
        "ignore:__array__ implementation:DeprecationWarning:keras",
        "ignore:Even though the:UserWarning:tensorflow",
    ):
        config.addinivalue_line("filterwarnings", text)


@pytest.fixture(autouse=True)
def seeds():
    """Python, NumPy and TensorFlow start every test from the same seed."""
    keras.utils.set_random_seed(1)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory):
    """A folder of records: 24 faces of 16 x 16, in five classes."""
    from stylegan_tf.data import records, sources

    folder = tmp_path_factory.mktemp("records") / "faces"
    source = sources.open_source("demo:24")
    records.write_dataset(source, folder, resolution=16, workers=1)
    return folder
