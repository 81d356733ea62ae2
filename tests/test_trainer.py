"""trainer.py: a run killed and resumed is the run that was not; phases, ticks, signals.

Most tests replace the compiled iteration by one that only writes down its arguments.
"""

import itertools
import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny

import stylegan_tf
from stylegan_tf import checkpoints, devices, signals
from stylegan_tf.config.presets import Presets
from stylegan_tf.data import pipeline, records
from stylegan_tf.runs.reports import Report
from stylegan_tf.training import trainer as trainer_module
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.reals import RecordReader
from stylegan_tf.training.step import METRICS
from stylegan_tf.training.ticks import TickStats
from stylegan_tf.training.trainer import Trainer, make_networks

N = 8  # images before the kill; 4 x 4 pixels until 16, 8 x 8 from 20 on
READ = RecordReader._read
ROOT = Path(__file__).parents[1]


class Watch(Report):
    """Writes down what it is told; may do something of its own at each step."""

    def __init__(self, at_step=lambda trainer: None):
        self.at_step, self.said, self.stats, self.warnings = at_step, [], [], []

    def start(self, trainer):
        self.said.append("start")

    def step(self, trainer):
        self.said.append("step")
        self.at_step(trainer)

    def tick(self, trainer, stats):
        self.said.append("tick")
        self.stats.append({"nimg": trainer.state.nimg} | stats)

    def warn(self, trainer, text):
        self.warnings.append(text)

    def end(self, trainer, reason):
        self.said.append(reason)


# ---------------------------------------------------------------------------
# A real run


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    """A whole run, and a copy of its folder as it was after N images."""
    folder = tmp_path_factory.mktemp("runs")

    def copy(trainer):
        if trainer.state.nimg == N + 4:  # the checkpoint of N is the newest
            tiny.copy_run(trainer.run_dir, folder / "killed", N)

    config = tiny.config({"snapshot_ticks": 1, "mirror": True})
    watch = Watch(copy)
    trainer = Trainer(config, pictures, folder / "whole", reports=[watch])
    assert trainer.train() == "finished"
    return trainer, watch, folder


def test_a_killed_and_resumed_run_is_the_whole_run_bit_for_bit(whole, pictures):
    trainer, watch, folder = whole
    resumed_watch = Watch()
    again = Trainer(
        trainer.config, pictures, folder / "killed", reports=[resumed_watch]
    )
    assert again.restore()
    assert again.state.nimg == N
    assert again.phase.resolution == 4
    assert again.train() == "finished"
    assert again.phase.resolution == 8
    assert again.state.nimg == trainer.state.nimg == 48
    tiny.check_equal(tiny.state(trainer.networks), tiny.state(again.networks))
    after = [s for s in watch.stats if s["nimg"] > N]
    assert len(after) == len(resumed_watch.stats) == 5
    for one, other in zip(after, resumed_watch.stats, strict=True):
        assert {n: one[n] for n in METRICS} == {n: other[n] for n in METRICS}


def test_one_trace_a_resolution(whole):
    trainer, _, _ = whole
    traces = {
        (*key, kind): function.experimental_get_tracing_count()
        for key, variants in trainer._steps.items()
        for kind, function in variants.items()
    }
    assert traces == {  # that of 4 x 4 is gone
        (8, 4, False, Regularization(True, False)): 1,
    }


def test_no_gradient_of_a_slice_of_feature_maps(whole):
    """They are tens of times slower than the slice."""
    function = whole[0]._steps[8, 4, False][Regularization(True, False)]
    (traced,) = function._list_all_concrete_functions()
    operations = traced.graph.get_operations()
    slices = [op for op in operations if op.type == "StridedSliceGrad"]
    assert len(operations) > 2000
    assert not [op.name for op in slices if (op.outputs[0].shape.rank or 0) > 3]


def test_optimizers_start_anew_with_each_stage(whole):
    nets = whole[0].networks
    # The last fade ended at 32 images; four steps of four pictures since.
    assert nets.g_optimizer.step.numpy() == nets.d_optimizer.step.numpy() == 4


def test_a_tick_says_everything(whole):
    _, watch, _ = whole
    assert [s["nimg"] for s in watch.stats] == [8, 16, 24, 32, 40, 48]
    assert watch.said[:4] == ["start", "step", "step", "tick"]
    assert watch.said[-2:] == ["tick", "finished"]
    fading = watch.stats[2]
    for name, value in {
        "progress/kimg": 0.024,
        "progress/resolution": 8,
        "progress/alpha": 0.25,
        "progress/lod": 0.75,
        "progress/batch": 4,
        "progress/lr": 0.001,
        "progress/skipped_steps": 0,
    }.items():
        assert fading[name] == pytest.approx(value), name
    for name in ("images_per_second", "seconds_per_kimg", "total_seconds"):
        assert fading[f"timing/{name}"] > 0
    assert fading["memory/cpu_gb"] > 0.1
    assert fading["grad_norm/g"] > 0 and fading["grad_norm/d"] > 0
    assert fading["penalty/r1"] > 0


def test_weights_of_all_stages_have_moved(whole):
    trainer, _, _ = whole
    kernel = trainer.networks.generator.synthesis.block8.conv1.kernel.numpy()
    average = trainer.networks.average.synthesis.block8.conv1.kernel.numpy()
    fresh = Trainer(trainer.config, trainer.data, trainer.run_dir / "fresh")
    start = fresh.networks.generator.synthesis.block8.conv1.kernel.numpy()
    assert 0 < np.abs(average - start).max() < np.abs(kernel - start).max()


# ---------------------------------------------------------------------------
# The loop alone


@pytest.fixture(scope="module")
def networks():
    return make_networks(tiny.config())


class Calls(list):
    """The arguments of every call; `skips(nimg)` is True for a step to skip."""

    def skips(self, nimg: int) -> bool:
        return False


@pytest.fixture
def calls(monkeypatch, networks):
    """What the compiled iteration would have been called with, step by step."""
    seen = Calls()

    def function(self, phase, regularization, *_):
        def iterate(images, labels, clock):
            moment = {k: v.numpy() for k, v in clock._asdict().items()}
            moment |= {"images": images.numpy(), "labels": labels.numpy()}
            seen.append(moment | {"regularization": regularization})
            skip = seen.skips(int(clock.nimg))
            values = {f"skipped/{net}": float(skip) for net in "gd"}
            values["loss/d"] = np.nan if skip else 1.0
            return tf.constant([values.get(name, 0.0) for name in METRICS])

        return iterate

    def blank(self, start, resolution, batch):
        images = tf.zeros([batch, resolution, resolution, 3])
        return itertools.repeat({"image": images, "label": tf.zeros([batch, 0])})

    monkeypatch.setattr(trainer_module, "make_networks", lambda config: networks)
    monkeypatch.setattr(Trainer, "_compiled_step", function)
    monkeypatch.setattr(RecordReader, "_read", blank)
    return seen


def numbers(calls: list, key: str) -> list:
    return [float(call[key]) for call in calls]


def test_the_loop_in_the_documentation_runs(calls, pictures, tmp_path, monkeypatch):
    text = (ROOT / "docs/library.md").read_text("utf-8")
    section = text[text.index("## A step at a time") :]
    program = re.search(r"```python\n(.*?)```", section, re.DOTALL)[1]
    assert "trainer.step()" in program
    small = tiny.config({"schedule.total_kimg": 0.012})
    monkeypatch.setattr(Presets, "make", lambda *_, **__: small)
    monkeypatch.setattr(records, "prepare", lambda *_, **__: pictures)
    monkeypatch.chdir(tmp_path)
    names = {"stylegan_tf": stylegan_tf}
    exec(program, names)
    assert len(calls) == 3 and names["metrics"]["loss/d"] == 1
    assert checkpoints.saved_progress(tmp_path / "my-run") == 12


def test_alpha_rate_and_images_seen_are_those_of_the_moment(calls, pictures, tmp_path):
    changes = {"schedule.lr_at": {8: 0.004}, "schedule.batch_at": {8: 8}}
    trainer = Trainer(tiny.config(changes), pictures, tmp_path)
    trainer.train()
    assert numbers(calls, "nimg") == [0, 4, 8, 12, 16, 20, 28, 36, 44]
    assert numbers(calls, "alpha") == [1, 1, 1, 1, 1, 0.25, 0.75, 1, 1]
    assert numbers(calls, "lr") == pytest.approx([0.001] * 5 + [0.004] * 4)
    assert [len(c["images"]) for c in calls] == [4] * 5 + [8] * 4
    assert [c["images"].shape[1] for c in calls] == [4] * 5 + [8] * 4
    assert trainer.state.nimg == 52  # the first step at or past the end


def test_pictures_come_in_the_order_of_their_numbers(
    calls, pictures, tmp_path, monkeypatch
):
    monkeypatch.setattr(RecordReader, "_read", READ)
    config = tiny.config({"seed": 3, "mirror": True, "classes": 5, "labels": "auto"})
    trainer = Trainer(config, pictures, tmp_path)
    for _ in range(7):
        trainer.step()
    for call in (calls[0], calls[3], calls[6]):
        r, nimg = call["images"].shape[1], int(call["nimg"])
        data = pipeline.dataset(pictures, r, 4, start=nimg, seed=3, mirror=True)
        expected = next(data.as_numpy_iterator())
        np.testing.assert_array_equal(call["images"], expected["image"])
        np.testing.assert_array_equal(call["labels"], expected["label"])


def test_lazy_penalties_take_turns_with_none(calls, pictures, tmp_path):
    trainer = Trainer(tiny.config({"loss.d_reg_interval": 3}), pictures, tmp_path)
    for _ in range(7):
        trainer.step()
    assert [c["regularization"].d for c in calls] == [True, False, False] * 2 + [True]
    resumed = Trainer(trainer.config, pictures, tmp_path)
    resumed.state.nimg = 28
    for _ in range(2):
        resumed.step()
    assert [c["regularization"].d for c in calls[-2:]] == [False, False]


def test_a_finished_run_has_nothing_to_do(calls, pictures, tmp_path):
    trainer = Trainer(tiny.config(), pictures, tmp_path)
    trainer.train()
    done = len(calls)
    again = Trainer(trainer.config, pictures, tmp_path, reports=[watch := Watch()])
    again.restore()
    assert again.train() == "finished"
    assert len(calls) == done
    assert watch.said == ["start", "finished"]


def test_steps_left_out_are_counted_and_kept(calls, pictures, tmp_path):
    calls.skips = lambda nimg: nimg % 8 == 4  # one of a tick's two
    config = tiny.config({"snapshot_ticks": 1})
    trainer = Trainer(config, pictures, tmp_path, reports=[watch := Watch()])
    trainer.train()
    assert [s["progress/skipped_steps"] for s in watch.stats] == [2, 4, 6, 8, 10, 12]
    assert {s["progress/skipped_in_tick"] for s in watch.stats} == {2}
    assert {s["loss/d"] for s in watch.stats} == {1}  # of the steps that had one
    again = Trainer(config, pictures, tmp_path)
    again.restore()
    assert again.state.skipped == 12


def test_a_tick_of_skipped_steps_goes_back_at_a_lower_rate(calls, pictures, tmp_path):
    calls.skips = lambda nimg: len(calls) < 13 and 16 < nimg < 24  # nimg 20, twice
    config = tiny.config({"snapshot_ticks": 1, "schedule.tick_kimg": 0.004})
    trainer = Trainer(config, pictures, tmp_path)
    trainer.train()
    assert numbers(calls, "nimg")[:8] == [0, 4, 8, 12, 16, 20, 20, 20]
    rates = numbers(calls, "lr")
    assert rates[:8] == pytest.approx([0.001] * 6 + [0.0005, 0.00025])


def test_a_rate_once_lowered_stays_low_and_then_the_run_stops(
    calls, pictures, tmp_path
):
    calls.skips = lambda nimg: nimg in (8, 12)
    config = tiny.config({"snapshot_ticks": 1})
    trainer = Trainer(config, pictures, tmp_path, reports=[watch := Watch()])
    assert trainer.train() == "diverged"
    assert numbers(calls, "nimg") == [0, 4] + [8, 12] * 3
    rates = [0.001] * 4 + [0.0005] * 2 + [0.00025] * 2
    assert numbers(calls, "lr") == pytest.approx(rates)
    assert [s["progress/skipped_steps"] for s in watch.stats] == [0, 4, 8, 12]
    assert np.isnan(watch.stats[-1]["loss/d"])
    first, _, last = watch.warnings
    assert "at 0.016 kimg most of 2 steps" in first and "0.5 times" in first
    assert "goes back to 0.008 kimg" in first and "schedule.lr=0.0005" in first
    assert last.startswith("stopped at 0.016 kimg")
    assert watch.said[-1] == "diverged"

    again = Trainer(config, pictures, tmp_path, reports=[watch := Watch()])
    assert again.restore() and again.state.nimg == 8
    assert again.train() == "diverged"
    assert numbers(calls, "lr")[-2:] == pytest.approx([0.00025] * 2)
    assert len(watch.warnings) == 1


def test_a_checkpoint_is_due_by_the_clock(calls, pictures, tmp_path, monkeypatch):
    config = tiny.config({"checkpoint_minutes": 2.0, "snapshot_ticks": 100})
    hours = itertools.count()  # a minute per look at it

    for minutes, expected in ((2.0, True), (0.0, False)):
        saved = []
        config = tiny.config({"checkpoint_minutes": minutes, "snapshot_ticks": 100})
        trainer = Trainer(config, pictures, tmp_path / str(minutes))
        trainer.state.save = lambda saved=saved, t=trainer: saved.append(t.state.nimg)
        monkeypatch.setattr(
            trainer_module.time, "monotonic", lambda: 60.0 * next(hours)
        )
        trainer.train()
        assert (len(saved) > 4) == expected
        assert (saved[0], saved[-1]) == (0, 48)


def test_snapshots_every_few_ticks_and_at_the_end(calls, pictures, tmp_path):
    saved = []
    config = tiny.config({"snapshot_ticks": 4})
    trainer = Trainer(config, pictures, tmp_path)
    trainer.state.save = lambda: saved.append(trainer.state.nimg)
    trainer.train()
    assert saved == [0, 32, 48]


# ---------------------------------------------------------------------------
# Being told to stop


def kill(name: str, at: int):
    def at_step(trainer):
        if trainer.state.nimg == at:
            os.kill(os.getpid(), getattr(signal, name))

    return at_step


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"])
def test_a_signal_saves_and_ends_the_run(name, calls, pictures, tmp_path):
    before = signal.getsignal(signal.SIGTERM), signal.getsignal(signal.SIGINT)
    watch = Watch(kill(name, at=12))
    trainer = Trainer(tiny.config(), pictures, tmp_path, reports=[watch])
    assert trainer.train() == "interrupted"
    assert trainer.stopping == name
    assert watch.said[-1] == "interrupted"
    assert before == (
        signal.getsignal(signal.SIGTERM),
        signal.getsignal(signal.SIGINT),
    )
    again = Trainer(tiny.config(), pictures, tmp_path)
    assert again.restore()
    assert again.state.nimg == 12
    again.train()
    assert numbers(calls, "nimg") == list(range(0, 48, 4))


def test_a_second_signal_does_not_wait(calls, pictures, tmp_path, monkeypatch):
    def twice(trainer):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)

    trainer = Trainer(tiny.config(), pictures, tmp_path, reports=[Watch(twice)])
    assert trainer.train() == "interrupted"  # from the group and from a parent: one
    monkeypatch.setattr(signals, "ONE_NOTICE", 0)
    trainer = Trainer(tiny.config(), pictures, tmp_path, reports=[Watch(twice)])
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert len(calls) == 2


def test_workers_stop_at_the_step_that_all_have_heard_of(
    calls, pictures, tmp_path, monkeypatch
):
    def talk(strategy, value):
        if trainer.state.nimg == 8:  # the signal comes while they talk
            os.kill(os.getpid(), signal.SIGTERM)
        return value

    monkeypatch.setattr(devices, "num_workers", lambda strategy: 2)
    monkeypatch.setattr(devices, "sum_over_replicas", talk)
    trainer = Trainer(tiny.config(), pictures, tmp_path)
    assert trainer.train() == "interrupted"
    assert trainer.state.nimg == 12
    assert trainer.stopping == "SIGTERM"

    monkeypatch.setattr(devices, "sum_over_replicas", lambda strategy, value: value + 1)
    other = Trainer(tiny.config(), pictures, tmp_path)
    assert other.train() == "interrupted"
    assert other.state.nimg == 0
    assert other.stopping == "a signal to another worker"

    # The chief's clock decides for all.
    votes = iter([0.0, 3.0 * trainer_module.SAVE_VOTE, 0.0, 1.0])
    monkeypatch.setattr(devices, "sum_over_replicas", lambda *_: next(votes))
    third = Trainer(tiny.config(), pictures, tmp_path / "third")
    saved = []
    third.state.save = lambda: saved.append(third.state.nimg)
    assert third.train() == "interrupted"
    assert saved == [0, 4, 12]


def test_trains_in_a_thread_that_cannot_have_signals(calls, pictures, tmp_path):
    trainer = Trainer(tiny.config(), pictures, tmp_path)
    reasons = []
    thread = threading.Thread(target=lambda: reasons.append(trainer.train()))
    thread.start()
    thread.join()
    assert reasons == ["finished"]


# ---------------------------------------------------------------------------
# Means of a tick


def test_penalties_are_averaged_over_the_steps_that_had_them():
    tick = TickStats(nimg=100)
    values = {"loss/d": [1.0, 2.0, 6.0], "penalty/r1": [8.0, 0.0, 0.0]}
    for step in range(3):
        row = [values.get(name, [0.0] * 3)[step] for name in METRICS]
        tick.add(tf.constant(row), Regularization(step == 0, False))
    means = tick.means()
    assert means["loss/d"] == pytest.approx(3)
    assert means["penalty/r1"] == pytest.approx(8)
    assert list(means) == list(METRICS)


def test_without_penalties_their_mean_is_zero():
    tick = TickStats(nimg=0)
    tick.add(tf.zeros(len(METRICS)), Regularization(False, False))
    assert tick.means()["penalty/r1"] == 0
