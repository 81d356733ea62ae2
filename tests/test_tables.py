"""metrics/tables.py: rows that grow in files."""

import numpy as np
import pytest

from stylegan_tf.metrics.tables import Table


def fill(table, limits, batch=4, log=None, fail_at=None):
    def compute(start, wanted):
        if log is not None:
            log.append((start, *sorted(wanted)))
        if start == fail_at:
            raise KeyboardInterrupt
        i = np.arange(start, start + batch)
        both = {"a": i[:, None] * [1, 10], "b": -i}
        return {name: both[name] for name in wanted}

    table.fill(limits, lambda start: start, compute, batch)


def test_a_table_has_as_many_rows_as_were_asked_for(tmp_path):
    table, log = Table(tmp_path / "t"), []
    fill(table, {"a": 10, "b": 6}, log=log)
    assert log == [(0, "a", "b"), (4, "a", "b"), (8, "a")]
    assert table.rows() == {"a": 10, "b": 6}
    np.testing.assert_array_equal(table.read("a", 10), np.outer(range(10), [1, 10]))
    np.testing.assert_array_equal(table.read("b", 5)[:, 0], -np.arange(5))
    with pytest.raises(RuntimeError, match="6 rows of b are there; 7 were asked"):
        table.read("b", 7)
    with pytest.raises(RuntimeError, match="0 rows of c"):
        table.read("c", 1)


def test_a_table_grows_and_computes_nothing_twice(tmp_path):
    table, log = Table(tmp_path / "t"), []
    fill(table, {"a": 10, "b": 3})
    fill(table, {"a": 8, "b": 9}, batch=3, log=log)
    assert log == [(3, "b"), (6, "b")]
    fill(table, {"a": 13, "b": 9}, log=log)
    assert log[2:] == [(10, "a")]
    np.testing.assert_array_equal(table.read("a", 13)[:, 0], np.arange(13))
    np.testing.assert_array_equal(table.read("b", 9)[:, 0], -np.arange(9))


def test_a_table_goes_on_where_it_was_stopped(tmp_path):
    table, log = Table(tmp_path / "t"), []
    with pytest.raises(KeyboardInterrupt):
        fill(table, {"a": 20}, fail_at=12)
    assert table.rows() == {"a": 12}
    with open(tmp_path / "t" / "a.f32", "ab") as f:  # what a kill left half-written
        f.write(b"12345")
    fill(table, {"a": 20}, log=log)
    assert [start for start, *_ in log] == [12, 16]
    np.testing.assert_array_equal(table.read("a", 20)[:, 0], np.arange(20))


def test_rows_that_are_gone_or_wrong_do_not_count(tmp_path):
    table = Table(tmp_path / "t")
    fill(table, {"a": 8})
    with open(tmp_path / "t" / "a.f32", "r+b") as f:
        f.truncate(20)
    assert table.rows() == {}
    nan = lambda start, wanted: {"a": np.full(4, np.nan)}  # noqa: E731
    with pytest.raises(ValueError, match="a holds a value that is not finite"):
        table.fill({"a": 4}, lambda start: start, nan, 4)
    few = lambda start, wanted: {"a": np.ones(3)}  # noqa: E731
    with pytest.raises(ValueError, match="3 rows of a came for a batch of 4"):
        table.fill({"a": 4}, lambda start: start, few, 4)
    assert table.rows() in ({}, {"a": 0})
