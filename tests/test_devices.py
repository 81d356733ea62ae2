"""devices.py: strategies by name, the chief, and settings named "auto"."""

import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from stylegan_tf import devices
from stylegan_tf.errors import UserError

# ---------------------------------------------------------------------------
# Strategies by name


def test_auto_takes_what_there_is(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert isinstance(devices.make_strategy(), tf.distribute.OneDeviceStrategy)
    made = []
    monkeypatch.setattr(devices, "_multiworker", lambda: made.append("multiworker"))
    cluster = {"cluster": {"chief": ["a:1"], "worker": ["b:1"]}}
    cluster["task"] = {"type": "chief", "index": 0}
    monkeypatch.setenv("TF_CONFIG", json.dumps(cluster))
    devices.make_strategy("auto")
    assert made == ["multiworker"]


@pytest.mark.parametrize(
    ("name", "environment", "words"),
    [
        ("tpu", {}, "no TPU answered .* set TPU_NAME"),
        ("multiworker", {}, "needs TF_CONFIG"),
        ("auto", {"TF_CONFIG": "{worker"}, "TF_CONFIG is not JSON"),
        ("two", {}, "choose one of auto, one, mirrored, multiworker, tpu"),
    ],
)
def test_what_is_not_there_is_said_in_words(name, environment, words, monkeypatch):
    for variable in ("TF_CONFIG", "TPU_NAME"):
        monkeypatch.delenv(variable, raising=False)
    for variable, value in environment.items():
        monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=words):
        devices.make_strategy(name)


@pytest.mark.parametrize(
    ("task", "jobs", "chief"),
    [
        (("worker", 0), ["worker"], True),
        (("worker", 1), ["worker"], False),
        (("chief", 0), ["chief", "worker"], True),
        (("worker", 0), ["chief", "worker"], False),
        (("", None), [], True),
    ],
)
def test_one_process_is_the_chief(task, jobs, chief):
    resolver = SimpleNamespace(
        task_type=task[0],
        task_id=task[1],
        cluster_spec=lambda: SimpleNamespace(jobs=jobs),
    )
    assert devices.is_chief(SimpleNamespace(cluster_resolver=resolver)) == chief


# ---------------------------------------------------------------------------
# Precision


@pytest.mark.parametrize(
    "flags, gpus, expected",
    [
        ("flags : fma avx512f avx512_bf16", [], "bfloat16"),
        ("flags : fma amx_bf16", [], "bfloat16"),
        ("flags : fma avx512f", [], "float32"),
        (None, [], "float32"),
        ("flags : avx512_bf16", ["GPU:0"], "float32"),
    ],
)
def test_auto_is_bfloat16_where_the_processor_has_it(
    monkeypatch, flags, gpus, expected
):
    def read(self, **_):
        if flags is None:
            raise FileNotFoundError(str(self))
        return flags

    monkeypatch.setattr(devices.Path, "read_text", read)
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: gpus)
    assert devices.resolve_precision("auto") == expected
    assert devices.resolve_precision("float32") == "float32"


@pytest.mark.parametrize(
    "kind, deterministic, separable, expected",
    [
        ("CPU", False, True, "off"),
        ("GPU", False, True, "on"),
        ("GPU", False, False, "off"),
        ("GPU", True, True, "off"),
        ("CPU", True, False, "off"),
    ],
)
def test_auto_compiles_on_gpus(kind, deterministic, separable, expected):
    assert devices.resolve_jit("auto", kind, deterministic, separable) == expected
    for jit in ("on", "off"):
        assert devices.resolve_jit(jit, kind, deterministic, separable) == jit


def test_xla_keeps_what_it_compiles_unless_the_user_says_where(monkeypatch):
    monkeypatch.setenv("TF_XLA_FLAGS", "--tf_xla_auto_jit=0")
    devices.keep_compiled("/cache/xla")
    flags = os.environ["TF_XLA_FLAGS"]
    assert flags.startswith("--tf_xla_auto_jit=0 --tf_xla_persistent_cache_directory=")
    devices.keep_compiled("/elsewhere")
    assert os.environ["TF_XLA_FLAGS"] == flags


@pytest.mark.parametrize(
    "form, expected", [("auto", "maps"), ("maps", "maps"), ("kernels", "kernels")]
)
def test_auto_scales_the_feature_maps(form, expected):
    assert devices.resolve_modulation(form) == expected


@pytest.mark.parametrize("gpus, kind", [([], "CPU"), (["GPU:0"], "GPU")])
def test_the_kind_of_device(monkeypatch, gpus, kind):
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda *_: gpus)
    assert devices.device_kind() == kind


def test_memory_where_the_system_counts_otherwise_or_not_at_all(monkeypatch):
    linux = devices._peak_bytes()
    monkeypatch.setattr(sys, "platform", "darwin")
    assert linux / 1100 < devices._peak_bytes() < linux / 900  # of 1 kB, not of 1024
    monkeypatch.setitem(sys.modules, "resource", None)  # Windows
    assert devices._peak_bytes() is None
    assert "memory/cpu_gb" not in devices.peak_memory_gb()
    monkeypatch.setattr(devices, "Path", lambda name: Path("/nowhere") / name[1:])
    assert devices.resident_bytes() is None
