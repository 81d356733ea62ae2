"""What starts a run does not load: packages that Keras would import in passing."""

import subprocess
import sys


def test_tensorflow_is_loaded_without_them_and_they_after_it():
    code = """
import sys
from stylegan_tf_launch import cli
cli.load_tensorflow()
import keras
assert not {"sklearn", "matplotlib", "pandas"} & set(sys.modules)
import sklearn, matplotlib
assert sklearn.__version__ and matplotlib.__version__ and keras.layers.Dense(1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
