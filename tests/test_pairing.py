"""benchmarks/workers/pairing.py: the protocol of workers, turns, medians and tables."""

import json
import signal
import time
from pathlib import Path

import pytest
from workers import pairing

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"

SLEEPY = """
import os, sys, time
sys.path.insert(0, {here!r})
from workers import pairing
print("a library says hello")
about = {{"macs": 3, "seen": os.environ["SEEN"], "given": sys.argv[1:]}}
pairing.serve(lambda steps: time.sleep(0.02 * steps), about)
"""


@pytest.fixture
def sleepy(tmp_path):
    path = tmp_path / "sleepy.py"
    path.write_text(SLEEPY.format(here=str(BENCHMARKS)))
    return str(path)


def test_a_worker_says_what_it_is_and_works_when_told(sleepy):
    with pairing.Worker(sleepy, ["--size=4"], {"SEEN": "yes"}) as worker:
        assert worker.about == {"macs": 3, "seen": "yes", "given": ["--size=4"]}
        turns = [worker.run(steps) for steps in (1, 5)]
        assert turns[0].wall >= 0.02 and turns[1].wall >= 0.1  # it slept that long
        assert all(turn.cpu < turn.wall for turn in turns)  # and did not compute
        process = worker.process
    assert process.returncode == 0


def test_a_worker_that_fails_tells_its_last_lines(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text("raise SystemExit('no such device')")
    with pytest.raises(RuntimeError, match="broken.py ended: no such device"):
        pairing.Worker(str(path))


def test_a_worker_ends_when_its_time_is_over(sleepy):
    environment, until = {"SEEN": "yes"}, time.monotonic() + 1
    with (
        pytest.raises(RuntimeError, match="sleepy.py ended"),
        pairing.Worker(sleepy, [], environment, until) as worker,
    ):
        worker.run(10_000)  # 200 s


def test_a_worker_that_has_ended_is_told_of_once(sleepy):
    with pairing.Worker(sleepy, [], {"SEEN": "yes"}) as worker:
        worker.process.kill()
        worker.process.wait()
        with pytest.raises(RuntimeError, match="sleepy.py ended"):
            worker.run(1)


def test_programs_take_turns_and_the_first_round_does_not_count():
    order, walls = [], {"a": [90, 1, 5, 2], "b": [0, 30, 10, 20]}

    def turn(name):
        order.append(name)
        wall = walls[name][order.count(name) - 1]
        return pairing.Timed(wall, 10 * wall)

    turns = {name: lambda name=name: turn(name) for name in walls}
    found = pairing.in_turns(turns, rounds=3)
    assert order == ["a", "b"] * 4
    assert found == {"a": pairing.Timed(2, 20), "b": pairing.Timed(20, 200)}


def test_timed_counts_what_the_process_computes():
    sleeping = pairing.timed(lambda: time.sleep(0.02))
    assert sleeping.wall >= 0.02 > sleeping.cpu

    def busy():
        end = time.process_time() + 0.02
        while time.process_time() < end:
            pass

    assert pairing.timed(busy).cpu >= 0.015


def test_table_and_json(tmp_path):
    rows = [("small", 0.12345, 1), ("large", 1234.5, 2)]
    lines = pairing.table(("size", "ms", "n"), rows).splitlines()
    assert lines == [
        "| size | ms | n |",
        "| --- | --- | --- |",
        "| small | 0.123 | 1 |",
        "| large | 1234 | 2 |",
    ]
    pairing.write_json(None, [])
    pairing.write_json(str(tmp_path / "rows.json"), [{"ratio": 1.5}])
    assert json.loads((tmp_path / "rows.json").read_text()) == [{"ratio": 1.5}]


LINGERS = """
import sys, time
sys.path.insert(0, {here!r})
from workers import pairing
pairing.serve(lambda steps: None)
time.sleep(60)
"""


def test_a_worker_that_does_not_leave_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(pairing, "LEAVES", 0.1)
    path = tmp_path / "lingers.py"
    path.write_text(LINGERS.format(here=str(BENCHMARKS)))
    with pairing.Worker(str(path)) as worker:
        worker.run(1)
    assert worker.process.returncode == -signal.SIGKILL


def test_rows_are_printed_and_written_as_they_come(tmp_path, capsys):
    results = pairing.Results(("size", "ms"), str(tmp_path / "rows.json"))
    results.add(("small", 0.12345), {"ms": 0.12345})
    assert json.loads((tmp_path / "rows.json").read_text()) == [{"ms": 0.12345}]
    lines = capsys.readouterr().out.splitlines()
    assert lines == ["| size | ms |", "| --- | --- |", "| small | 0.123 |"]
