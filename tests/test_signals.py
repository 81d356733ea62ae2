"""A run that is told to end, at every moment of its life, by every signal.

What batch systems do: TERM to all processes of the job, some grace, then KILL. Before
and after the training loop the command ends at once; in the loop it saves first.
"""

import os
import signal
import subprocess
import sys
import time

import pytest
import tensorflow as tf
from launching import ROOT, call, train_flags

from stylegan_tf import checkpoints, export, signals
from stylegan_tf.data import records
from stylegan_tf.runs import reports, rundir, session
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.step import Step


@pytest.fixture
def eager(monkeypatch):
    monkeypatch.setattr(session, "default_reports", lambda: [reports.Log()])
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def strike(monkeypatch, owner: object, name: str, number: int, at: int = 1) -> None:
    """Sends this process a signal when it calls `owner.name` for the `at`-th time."""
    function, calls = getattr(owner, name), []

    def struck(*args, **kwargs):
        calls.append(name)
        if len(calls) == at:
            os.kill(os.getpid(), number)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, struck)


# Moment -> what is called then, for the how manieth time.
MOMENTS = {
    "conversion": (records, "prepare", 1),
    "start": (session, "make_reports", 1),
    "first save": (TrainingState, "_write", 1),
    "step": (Step, "__call__", 2),
    "last save": (TrainingState, "_write", 1),
    "export": (export, "save_model", 1),
}
SIGNALS = ("SIGTERM", "SIGHUP", "SIGINT", "SIGQUIT", "SIGTERM", "SIGTERM")


def test_a_run_struck_at_any_moment_goes_on_and_finishes(eager, tmp_path, monkeypatch):
    places = {"data": "demo:24", "cache": tmp_path / "cache", "labels": "none"}
    flags = train_flags(places.pop("data"), tmp_path / "runs", kimg=0.016, **places)
    seen = []
    for (moment, place), name in zip(MOMENTS.items(), SIGNALS, strict=True):
        number = getattr(signal, name)
        with monkeypatch.context() as patch:
            strike(patch, *place[:2], number, place[2])
            code, said, error = call("train", *flags)
        assert code == 128 + number, (moment, said, error)
        assert "Traceback" not in said + error
        runs = rundir.list_runs(tmp_path / "runs")
        seen.append([run.nimg for run in runs])
        for run in runs:
            assert not any(c.damage() for c in checkpoints.list_checkpoints(run.path))
            assert not run.finished
    # One run, which lost nothing that it had done.
    assert seen == [[], [0], [0], [8], [16], [16]]
    code, said, error = call("train", *flags)
    assert code == 0, error
    (run,) = rundir.list_runs(tmp_path / "runs")
    assert run.finished and run.nimg == 16


def test_who_ignores_a_hangup_goes_on_ignoring_it():
    """A process that `nohup` started."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with signals.handled(signals.stop_at_once):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
            with pytest.raises(signals.Stopped, match="SIGTERM") as stopped:
                os.kill(os.getpid(), signal.SIGTERM)
        assert signals.exit_code(str(stopped.value)) == 143
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
        assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_term_to_all_processes_of_a_conversion(tmp_path):
    """Several processes convert; all get the signal, as in a job of Slurm."""
    source = [f"--source=demo:{10**6}", f"--dest={tmp_path / 'data'}"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "launch" / "make_dataset.py"), *source],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    while process.poll() is None and not [*tmp_path.rglob("*.tfrecord*")]:
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGTERM)
    said = process.communicate()[0]
    assert process.returncode == 143, said
    assert "stopped by SIGTERM" in said and "Traceback" not in said
