"""Rounds by the GPU's memory: fitting.py, the rule in config/cost.py, gpu_memory."""

from types import SimpleNamespace

import pytest
import tensorflow as tf

from stylegan_tf import devices
from stylegan_tf.config import cost, presets, update
from stylegan_tf.runs import fitting, rundir, session
from stylegan_tf.runs.plan import plan_run
from stylegan_tf.runs.request import RunRequest

AUTO = presets.make_config("stylegan2-ada", 256)  # batch 16, groups of 4
GB = 1e9


@pytest.mark.parametrize(
    ("memory", "rounds"),
    [(80 * GB, 1), (12 * GB, 1), (11 * GB, 2), (8 * GB, 2), (6 * GB, 4), (4 * GB, 8)],
)
def test_the_fewest_rounds_that_fit(memory, rounds):
    found, held = cost.fitting_rounds(AUTO, memory)
    assert found == rounds
    assert held == cost.most_memory(update(AUTO, {"accumulate": rounds}))
    assert held <= 0.75 * memory
    fitted, note = fitting.fit(AUTO, memory, 1)
    assert fitted == update(AUTO, {"accumulate": rounds})
    assert (f"in {rounds} rounds" in note) == (rounds > 1)


def test_groups_of_the_statistic_stay_whole_if_they_can():
    twelve = update(AUTO, {"schedule.batch": 12})
    six = cost.most_memory(update(twelve, {"accumulate": 2}))
    # Two rounds of 6 fit as well, but would make groups of 3.
    assert cost.fitting_rounds(twelve, six / cost.SHARE)[0] == 3


def test_where_nothing_fits_it_is_said():
    fitted, note = fitting.fit(AUTO, int(GB), 1)
    assert fitted.accumulate == 16
    assert "even in 16 rounds" in note and "the GPU's 1.0 GB; --recompute" in note


def test_a_device_counts_its_own_share():
    four = presets.make_config("stylegan2-ada", 256, 4)
    assert four.schedule.batch == 64
    assert cost.fitting_rounds(four, 8 * GB, 4)[0] == 2


@pytest.fixture
def planned(pictures, monkeypatch):
    """The plan of a request on a GPU of some memory, and where its step lies."""
    whole = presets.make_config("stylegan2-ada", 16)
    halves = cost.most_memory(update(whole, {"accumulate": 2}))
    assert halves < cost.most_memory(whole)
    strategy = devices.make_strategy("one")

    def plan(memory=int(halves / cost.SHARE) + 1, preset="stylegan2-ada", **request):
        monkeypatch.setattr(devices, "gpu_memory", lambda: memory)
        changes = {"data": str(pictures)} | request.pop("changes", {})
        return plan_run(RunRequest(preset, changes, **request), strategy)

    return plan


def test_a_run_is_planned_by_the_memory_unless_the_user_says_how(planned):
    small = planned()
    assert small.config.accumulate == 2 and "2 rounds" in small.note
    for changes in (
        {"accumulate": 1},
        {"schedule.batch": 32, "schedule.batch_at": {}},
    ):
        given = planned(changes=changes)
        assert (given.config.accumulate, given.note) == (1, "")
    assert planned(preset="small-data").config.accumulate == 1
    assert planned(memory=None).config.accumulate == 1


def test_the_same_command_goes_on_where_memory_differs(planned, tmp_path):
    small, strategy = planned(), devices.make_strategy("one")
    run = rundir.create_run(tmp_path, small.config, [])
    again = RunRequest(out=str(tmp_path))
    for memory, rounds in ((None, 1), (int(1e8), 32)):
        found = session.open_run(again, planned(memory), strategy)
        assert (found.path, found.config.accumulate) == (run.path, rounds)
    named = planned(memory=int(1e8), resume=str(run.path))
    assert (named.config.accumulate, named.note) == (2, "")


def test_the_smallest_gpu_counts(monkeypatch):
    assert devices.gpu_memory() is None
    monkeypatch.setattr(devices, "device_kind", lambda: "GPU")
    assert devices.gpu_memory() is None  # TensorFlow lists none
    listed = [("CPU", 1), ("GPU", 80), ("GPU", 24)]
    listed = [SimpleNamespace(device_type=t, memory_limit_bytes=b) for t, b in listed]
    monkeypatch.setattr(tf.compat.v1.Session, "list_devices", lambda _: listed)
    assert devices.gpu_memory() == 24
