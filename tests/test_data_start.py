"""What starts a run does not load: packages that Keras would import in passing."""

import subprocess
import sys

import pytest
from stylegan_tf_launch import cli


def test_hidden_packages_come_back(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with cli.hidden("wave", "json"):
        with pytest.raises(ImportError):
            import wave
        import json  # was there before

        assert json.loads("1") == 1
    import wave

    assert wave.open


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
