"""benchmarks/all.py: every table has a script, and the flags that it is given."""

import importlib.util
from pathlib import Path

import pytest

from stylegan_tf.errors import UserError

FILE = Path(__file__).parents[1] / "benchmarks" / "all.py"
SPEC = importlib.util.spec_from_file_location("all_benchmarks", FILE)
everything = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(everything)


@pytest.mark.parametrize("name", everything.TABLES)
def test_every_table_has_its_script_and_flags(name):
    _, script, *arguments = everything.command(name, Path("there"), "run")
    text = Path(script).read_text(encoding="utf-8")
    for argument in arguments:
        assert f'"{argument.split("=")[0].lstrip("-")}"' in text
        assert "{" not in argument


def test_the_memory_table_has_networks_that_there_are():
    text = (FILE.parent / "memory.py").read_text(encoding="utf-8")
    for network in everything.TABLES["memory"].split("=")[1].split(","):
        assert f'    "{network}": (' in text


def test_tables_can_be_chosen():
    assert everything.chosen(["peers", "step"], []) == ["step", "peers"]
    assert "quality" not in everything.chosen([], ["quality"])
    with pytest.raises(UserError, match="no table 'steps'"):
        everything.chosen([], ["steps"])


def test_a_script_that_fails_is_told(tmp_path, monkeypatch):
    scripts = {"good": "print('fine')", "bad": "raise SystemExit('no')"}
    for name, text in scripts.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.setattr(everything, "HERE", tmp_path)
    monkeypatch.setattr(everything, "TABLES", {"good": "", "bad": ""})
    assert everything._run("good", tmp_path, None)
    assert not everything._run("bad", tmp_path, None)
    assert (tmp_path / "good.md").read_text() == "fine\n"
