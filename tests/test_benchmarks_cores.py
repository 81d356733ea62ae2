"""benchmarks/cores.py: rows of workers that are told how many threads they have."""

import cores
from workers.pairing import Timed


class FakeWorker:
    """Takes 8 s with one thread and 5 s with two, 8 CPU seconds each."""

    closed = 0

    def __init__(self, script, arguments, environment):
        assert set(environment) == {"TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"}
        (self.threads,) = set(environment.values())
        self.about = {"cycle": 4}

    def run(self, steps):
        assert steps == 4
        return Timed({"1": 8.0, "2": 5.0}[self.threads], 8.0)

    def close(self):
        FakeWorker.closed += 1


def test_rows_compare_with_one_thread(monkeypatch):
    monkeypatch.setattr(cores, "Worker", FakeWorker)
    cores.FLAGS(["cores", "--threads=1,2", "--rounds=1"])
    one, two = cores._rows(32, 10)
    assert (one["times"], one["cores_used"]) == (1, 1)
    assert (two["times"], two["cores_used"]) == (1.6, 1.6)
    assert two["images_per_second"] == 8 and FakeWorker.closed == 2
