"""launch/train.py: a run from its flags to its pictures, and what others make of it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import tensorflow as tf
import tiny
from launching import ROOT, call, official_pickle, train_flags
from PIL import Image

from stylegan_tf import export, models
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official
from stylegan_tf.runs import dry_run, reports, rundir, session


@pytest.fixture(scope="module")
def pickle(tmp_path_factory):
    """An official pickle that had grown up to 4 x 4, and its networks."""
    path = tmp_path_factory.mktemp("pickles") / "x.pkl"
    return path, *official_pickle(path)


def check_same(a, b) -> None:
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy(), x.path)


# ---------------------------------------------------------------------------
# --dry_run


def test_dry_run_says_what_would_be_and_does_nothing(pictures, tmp_path):
    file = tmp_path / "flags"
    lines = train_flags(pictures, tmp_path / "runs", kimg=3000, batch=6)
    file.write_text("\n".join([*lines, "--dry_run"]))
    code, out, _ = call("train", f"--flagfile={file}")
    assert code == 0
    for words in (
        "24 pictures of 16x16",
        "devices 1",
        "0 - 1000 4x4 6 0.001",
        "8x8 fades in",
        "parameters",
        "GB (weights",
        "6x4x4x3",
        "6x8x8x3",
        "in the run's folder at its end (checkpoints",
    ):
        assert words in " ".join(out.split()), words
    assert not (tmp_path / "runs").exists()


def test_dry_run_shows_where_a_pickle_goes_on(pickle, pictures, tmp_path):
    path, _, _ = pickle
    flags = [f"--data={pictures}", f"--out={tmp_path}", f"--init={path}", "--dry_run"]
    code, said, error = call("train", *flags)
    assert code == 0, error
    assert "16x16 fades in" in said and "4x4" in said.split("fades in")[0]
    count = Generator(tiny.config({"resolution": 16}).generator).count_params()
    assert f"generator {count:,} parameters" in " ".join(said.split())


# ---------------------------------------------------------------------------
# A run, start to end


def wait_for(condition, process, seconds=600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stopped(pictures, tmp_path_factory):
    """A run in a process of its own that got a SIGTERM on its way."""
    out = tmp_path_factory.mktemp("runs")
    flags = train_flags(pictures, out, kimg=900)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "launch" / "train.py"), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log = out / "00000-faces-demo" / "log.txt"
    wait_for(lambda: log.exists() and log.read_text().count("loss G") > 1, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[0]
    return out, process.returncode, said


def test_sigterm_saves_and_says_so(stopped):
    out, code, said = stopped
    (run,) = rundir.list_runs(out)
    assert code == 143
    assert f"stopped by SIGTERM at {run.nimg / 1000:g} kimg; all is saved" in said
    assert "Traceback" not in said
    assert run.nimg >= 80
    checkpoint = tf.train.latest_checkpoint(run.path / "checkpoints")
    assert checkpoint == str(run.path / "checkpoints" / f"ckpt-{run.nimg}")
    for name in ("command.txt", "environment.json", "stats.jsonl", "reals.png"):
        assert (run.path / name).stat().st_size > 0, name


@pytest.fixture(scope="module")
def finished(stopped, pictures):
    """The same command again, up to four more steps: the run and what was said."""
    out, _, _ = stopped
    (run,) = rundir.list_runs(out)
    before = run.nimg
    kimg = (before + 16) / 1000
    flags = train_flags(pictures, out, kimg=kimg)
    code, said, _ = call("train", *flags)
    assert code == 0, said
    return rundir.read_run(run.path), before, flags, said


def test_the_same_command_goes_on_and_finishes(finished):
    run, before, _, said = finished
    assert f"continues at {before / 1000:g} kimg" in said
    assert run.nimg == before + 16
    assert run.config.schedule.total_kimg == run.nimg / 1000
    assert run.config.generator.classes == 5
    for name in ("model/generator.keras", "model/saved_model/saved_model.pb"):
        assert (run.path / name).exists()
    assert f"your new pictures: {run.path}/sheet.png" in said.splitlines()[-1]
    nimgs = [
        json.loads(line)["nimg"]
        for line in (run.path / "stats.jsonl").read_text().splitlines()
    ]
    assert nimgs == sorted(set(nimgs)) and nimgs[-1] == run.nimg


def test_a_run_leaves_on_disk_what_the_dry_run_says(finished):
    run, *_ = finished
    networks = models.load_networks(run.path / "checkpoints" / f"ckpt-{run.nimg}")
    parameters = {
        "generator": networks[0].count_params(),
        "discriminator": networks[1].count_params(),
    }
    expected = dry_run.run_disk_bytes(run.config, parameters)

    def size(*patterns: str) -> int:
        files = [f for pattern in patterns for f in run.path.rglob(pattern)]
        return sum(f.stat().st_size for f in files)

    found = {
        "checkpoints": size("ckpt-*"),
        "sheets": size("fakes-*.png", "sheet.png", "reals.png"),
        "events": size("events.*"),
        "log": size("stats.jsonl", "log.txt"),
        "model": size("model/**/*"),
    }
    assert set(expected) == set(found)
    for part, number in found.items():
        assert expected[part] / 3 < number < expected[part] * 3, part


def test_a_finished_run_says_so_and_how_to_go_on(finished):
    run, _, flags, _ = finished
    code, out, _ = call("train", *flags)
    assert code == 0
    assert f"{run.path} is finished" in out
    assert "--kimg=" in out and "--resume=never" in out
    assert len(rundir.list_runs(run.path.parent)) == 1


def test_a_setting_that_cannot_change_is_refused_by_its_flag(finished):
    run, *_ = finished
    code, _, error = call("train", f"--resume={run.path}", "--gamma=3", "--batch=8")
    assert code == 2
    assert "--gamma was 10.0 and is now 3.0" in error
    assert "--batch was 4 and is now 8" in error
    assert "--resume=never" in error


def test_other_pictures_are_refused(finished, tmp_path):
    run, *_ = finished
    other = tmp_path / "other"
    code, *_ = call(
        "make_dataset", "--source=demo:30", f"--dest={other}", "--resolution=8"
    )
    assert code == 0
    code, _, error = call(
        "train", f"--resume={run.path}", f"--data={other}", "--kimg=9"
    )
    assert code == 2
    assert "was trained on other pictures" in error and "--init=" in error


def test_generate_draws_the_run(finished, tmp_path):
    run, *_ = finished
    files = tmp_path / "out"
    flags = [f"--model={run.path}", "--psi=0.5", "--enlarge=1"]
    code, out, _ = call("generate", *flags, "--seeds=0-2,100", f"--out={files}")
    assert code == 0 and f"4 pictures in {files}" in out
    turns = [(0, 0), (1, 1), (2, 2), (100, 3)]
    names = [f"seed{seed:04d}-class{k}.png" for seed, k in turns]
    assert sorted(p.name for p in files.iterdir()) == names

    grid = tmp_path / "grid.png"
    code, *_ = call("generate", *flags, "--seeds=2,1", f"--grid={grid}", "--columns=1")
    assert code == 0
    sheet = np.asarray(Image.open(grid))
    assert sheet.shape == (8, 4, 3)  # the run is at 4 x 4; classes 0 and 1
    code, *_ = call(
        "generate", *flags, "--seeds=2", "--classes=0", f"--out={tmp_path / 'one'}"
    )
    one = np.asarray(Image.open(tmp_path / "one" / "seed0002.png"))
    np.testing.assert_array_equal(sheet[:4], one)

    code, _, error = call("generate", *flags, "--seeds=1", "--classes=9")
    assert code == 2 and "class 9 was asked for; the model has 0 to 4" in error


def test_convert_writes_what_a_model_has(pickle, finished, tmp_path):
    path, g, _ = pickle
    run, *_ = finished
    out = tmp_path / "new" / "y.pkl"
    code, said, error = call("convert", f"--model={run.path}", f"--out={out}")
    assert code == 0, error
    assert said == f"{out}: G, D, Gs\n"
    written, trained = official.load_generator(out), models.load(run.path)
    assert trained.config.noise_lrmul == 0.001  # which the file has no word for
    a, b = (models.generate(m, [0, 1]).astype(int) for m in (written, trained))
    np.testing.assert_allclose(a, b, atol=1)
    assert official.stored_growth(out) == (4, 1.0)
    model = export.save_model(g, tmp_path / "model")
    code, said, _ = call("convert", f"--model={model}", f"--out={out}")
    assert code == 0 and said == f"{out}: Gs\n"
    check_same(official.load_generator(out), g)
    code, said, _ = call("convert", f"--model={path}", f"--out={out}")
    assert code == 0 and said == f"{out}: G, D, Gs\n"
    assert out.read_bytes() == path.read_bytes()


def test_ctrl_c_is_130(pictures, tmp_path, monkeypatch):
    class Interrupt(reports.Report):
        def step(self, trainer):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(
        session, "default_reports", lambda: [reports.Log(), Interrupt()]
    )
    tf.config.run_functions_eagerly(True)
    try:
        code, out, _ = call("train", *train_flags(pictures, tmp_path, kimg=1))
    finally:
        tf.config.run_functions_eagerly(False)
    assert code == 130
    assert "stopped by SIGINT at 0.004 kimg" in out
    (run,) = rundir.list_runs(tmp_path)
    assert run.nimg == 4
