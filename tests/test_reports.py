"""reports.py: log lines, stats, and the progress bar."""

import io
import json
import sys

import pytest
import reporting
from reporting import STATS, at

from stylegan_tf.runs import reports, session


@pytest.fixture
def trainer(pictures, tmp_path):
    return reporting.trainer(pictures, tmp_path)


def test_log_has_a_line_a_tick_and_every_number(trainer, tmp_path, capsys):
    log = reports.Log()
    log.start(at(trainer, 0))
    log.record(at(trainer, 24), STATS)
    trainer.state.skipped = 2
    log.end(trainer, "finished")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert capsys.readouterr().out.splitlines() == lines
    assert lines[0] == f"{tmp_path} starts at 0 kimg, ends at 0.048"
    assert " ".join(lines[1].split()) == (
        "kimg 0.0 8x8 alpha 0.25 batch 4 loss G 0.712 D 1.500 scores +0.25 -0.50 "
        "r1 0.062 12.3 img/s 1h 02m 1.3 GB"
    )
    assert lines[2:] == [
        "finished at 0.024 kimg",
        "the model draws pictures of 8x8, which have faded in by 50%; 8x8 is fully "
        "grown at 0.032 kimg",
        "2 steps had a gradient that was not finite",
    ]
    (row,) = map(json.loads, (tmp_path / "stats.jsonl").read_text().splitlines())
    assert row.pop("nimg") == 24
    assert set(row) == set(STATS)
    log.record(trainer, STATS | {"loss/g": float("nan"), "progress/skipped_in_tick": 3})
    last = (tmp_path / "stats.jsonl").read_text().splitlines()[-1]
    assert json.loads(last, parse_constant=pytest.fail)["loss/g"] is None
    assert "r1 0.062  skipped 3  12.3" in (tmp_path / "log.txt").read_text()
    assert row["loss/g"] == 0.712346


def test_log_shows_how_strongly_pictures_are_augmented(trainer):
    line = reports.Log._line(at(trainer, 24), STATS | {"augment/p": 0.1234})
    assert " ".join(line.split()).endswith("r1 0.062 p 0.123 12.3 img/s 1h 02m 1.3 GB")


def test_log_says_who_stopped_it_and_how_to_go_on(trainer, capsys):
    log = reports.Log()
    log.start(trainer)
    trainer.stopping = "SIGTERM"
    log.end(trainer, "interrupted")
    said = capsys.readouterr().out
    assert "continues at 0.024 kimg" in said
    assert "stopped by SIGTERM at 0.024 kimg" in said
    assert "the same command continues" in said
    assert "not finite" not in said


def test_log_forgets_what_came_after_the_checkpoint(trainer, tmp_path):
    file = tmp_path / "stats.jsonl"
    rows = [json.dumps({"nimg": n, "loss/g": 1.0}) for n in (8, 16, 24, 32)]
    file.write_text("\n".join([*rows, '{"nimg": 4']) + "\n")
    log = reports.Log()
    log.start(trainer)
    log.record(at(trainer, 32), STATS)
    found = [json.loads(line)["nimg"] for line in file.read_text().splitlines()]
    assert found == [8, 16, 24, 32]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0m 00s"),
        (61.9, "1m 01s"),
        (3600, "1h 00m"),
        (86399, "23h 59m"),
        (90000, "1d 01h"),
    ],
)
def test_clock(seconds, text):
    assert reports.clock(seconds) == text


# ---------------------------------------------------------------------------
# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_in_a_terminal(trainer, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    bar = reports.Progress()
    bar.start(at(trainer, 0))
    for nimg in (20, 48):
        bar.step(at(trainer, nimg))
        bar.bar.refresh()
    bar.end(trainer, "finished")
    text = terminal.getvalue()
    assert "0.0/0.048 kimg" in text
    assert "8x8 alpha 0.25" in text and "left" in text
    assert "100%" in text


def test_no_progress_bar_in_a_file(trainer, monkeypatch):
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    bar = reports.Progress()
    bar.start(trainer)
    bar.step(trainer)
    bar.end(trainer, "finished")
    assert file.getvalue() == ""


def test_train_shows_all_of_them():
    kinds = {type(report).__name__ for report in session.default_reports()}
    assert kinds == {"Log", "Sheets", "TensorBoard", "Guard", "Progress"}
