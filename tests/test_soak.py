"""tests/faults/soak.py, small: real processes, hurt and continued."""

import subprocess
import sys
from pathlib import Path

import pytest

SOAK = Path(__file__).parent / "faults" / "soak.py"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="inotify is Linux's")


def soak(*flags: str) -> subprocess.CompletedProcess:
    command = [sys.executable, str(SOAK), *flags]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_run_that_is_hurt_ends_like_one_that_is_not(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- soak -->\nold\n<!-- soak -->\nafter\n")
    done = soak("--times=2", "--kinds=anything", "--jobs=1", f"--out={page}")
    assert done.returncode == 0, done.stdout + done.stderr
    (row,) = [
        line for line in done.stdout.splitlines() if line.startswith("| Kills and")
    ]
    _, times, recovered, refused, *_, damage = row.strip("| ").split(" | ")
    assert (times, recovered, refused, damage) == ("2", "2", "0", "0")
    before, table, after = page.read_text().split("<!-- soak -->")
    assert (before, after) == ("before\n", "\nafter\n")
    assert row in table
    assert "old" not in table


def test_kinds_are_known():
    done = soak("--kinds=earthquake")
    assert done.returncode == 2
    assert "kill_anywhere" in done.stderr
