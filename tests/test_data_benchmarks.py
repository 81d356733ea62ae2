"""benchmarks of data, conversion and start: their parts, at sizes that time nothing."""

import importlib.util
import io
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_tf.runs import session
from stylegan_tf.training.reals import RecordReader

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(scope="module")
def script():
    """Imports a script, which may import its neighbors."""

    def load(name: str):
        spec = importlib.util.spec_from_file_location(
            f"bench_{name}", BENCHMARKS / f"{name}.py"
        )
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_the_plain_loop_writes_what_it_says(script, tmp_path):
    convert = script("convert")
    convert.paint(convert.Folder("", ".jpg", 3, (48, 36), 16), tmp_path / "in")
    command = [sys.executable, "-c", convert.LOOP, tmp_path / "in", tmp_path / "out"]
    subprocess.run([*map(str, command), "16"], check=True)
    data, found = (tmp_path / "out").read_bytes(), []
    while data:
        size, _ = struct.unpack("<QI", data[:12])
        found.append(Image.open(io.BytesIO(data[12 : 12 + size])))
        data = data[12 + size :]
    assert [image.size for image in found] == [(16, 16)] * 3
    first = Image.open(tmp_path / "in" / "00000.jpg").crop((6, 0, 42, 36))
    wanted = first.resize((16, 16), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(np.array(found[0]), np.array(wanted))


def test_textured_pictures_are_hard_to_pack_and_the_same_each_time(script):
    convert = script("convert")
    a, b = (np.array(convert.textured(1, (64, 64))) for _ in range(2))
    np.testing.assert_array_equal(a, b)
    file = io.BytesIO()
    Image.fromarray(a).save(file, "PNG")
    assert a.shape == (64, 64, 3) and len(file.getvalue()) > 0.5 * a.nbytes


def test_stages_add_up(script):
    start = script("start_training")
    began = time.time()
    stages = start.Stages(began)
    stages.mark("a")
    assert stages.after("b", lambda x: 2 * x)(3) == 6
    stages.mark("a")
    assert list(stages.rows) == ["a", "b"]
    total = sum(stages.rows.values())
    assert 0 <= total <= time.time() - began
    assert total == pytest.approx(stages.last - began, abs=1e-6)


def test_a_start_has_the_stages_that_are_timed(script, monkeypatch):
    for owner, name in (
        (session, "plan_run"),
        (session, "default_reports"),
        (session.Trainer, "__init__"),
        (session.rundir, "record_settings"),
        (RecordReader, "next_batch"),
    ):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back at the end
    start = script("start_training")
    start._watch(session, start.Stages(0.0))
    assert isinstance(session.default_reports()[-1], start._Stop)
