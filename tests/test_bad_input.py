"""A few of the bad inputs of `tests/faults/bad_input.py`, in this process."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent / "faults"))

import bad_files
import bad_input


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bad [1] ünï")
    bad_files.pictures(folder / "in")
    return folder


def test_command_lines_and_files(room, monkeypatch):
    """Those that need no model; every third of the files."""
    monkeypatch.chdir(room)
    needs_model = ("generate", "figures", "directions", "project", "evaluate", "export")
    cases = [c for c in bad_files.commands(room) if c.argv[0] not in needs_model]
    cases += bad_files.files(room)[::3]
    assert len(cases) > 80
    for case in cases:
        result = bad_input.run_case(case.argv)
        assert not result.problem(case), f"{case.what}: {result.said}"
