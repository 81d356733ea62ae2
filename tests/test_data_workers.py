"""Workers of a conversion: order, output, faults, death."""

import contextlib
import operator
import signal

import pytest
from test_records import convert_folder

from stylegan_tf.data import convert, records, sources, workers
from stylegan_tf.data.workers import run_tasks
from stylegan_tf.errors import UserError


@pytest.fixture
def workers_at_once(monkeypatch):
    """Workers start after the first task, however short, and are waited for."""
    start = workers._started

    @contextlib.contextmanager
    def start_and_wait(*arguments):
        with start(*arguments) as (pool, ready):
            ready.result()
            yield pool, ready

    monkeypatch.setattr(workers, "_START_PAYS", 0)
    monkeypatch.setattr(workers, "_started", start_and_wait)


def test_workers_do_not_change_the_result(tmp_path, monkeypatch, workers_at_once):
    monkeypatch.setattr(convert, "CHUNK_IMAGES", 2)
    one = convert_folder(tmp_path, workers=1)
    source = sources.open_source(str(tmp_path / "in"))
    two = records.write_dataset(source, tmp_path / "out2", workers=2)
    assert one == two  # with the CRC32 of every file


def test_workers_answer_in_order_and_may_print(capfd, workers_at_once):
    assert list(run_tasks(operator.add, 1, range(9), 2)) == list(range(1, 10))
    assert list(run_tasks(print, "chatter", range(3), 2)) == [None] * 3
    assert capfd.readouterr().out == "chatter 0\n"  # of this process, the first


def test_workers_that_fail_or_die(workers_at_once):
    results = run_tasks(operator.floordiv, 12, [1, 2, 0, 3], 2)
    assert [next(results) for _ in range(2)] == [12, 6]
    with pytest.raises(ZeroDivisionError):
        next(results)
    itself = "__import__('os').kill(__import__('os').getpid(), number)"
    tasks = [{"number": number} for number in (0, 0, signal.SIGKILL, 0)]
    with pytest.raises(UserError, match="want of memory"):
        list(run_tasks(eval, itself, tasks, 2))
