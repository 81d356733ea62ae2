"""A run of hours is announced before it starts, and asked about at a terminal."""

import sys

import pytest
import tiny

from stylegan_tf import devices
from stylegan_tf.config import cost, presets
from stylegan_tf.errors import UserError
from stylegan_tf.runs import duration
from stylegan_tf.runs.arguments import make_request


def test_a_run_takes_its_multiply_adds_or_its_overhead():
    config = tiny.config()
    whole = cost.remaining_macs(config, 0)
    assert duration.run_seconds(config, 1e6, 0) == pytest.approx(whole / 1e6)
    assert duration.run_seconds(config, 1e6, 0, 2) == pytest.approx(whole / 2e6)
    steps = 48 / config.schedule.batch
    assert duration.run_seconds(config, 1e20, 0.5) == pytest.approx(steps / 2)


@pytest.fixture
def ask(monkeypatch):
    """Announces a run of paper256 on a slow machine; returns what was asked."""
    asked = []

    def announce(answer, command=True, terminal=True, preset="paper256"):
        def answers(text):
            asked.append(text)
            return answer

        for stream in (sys.stdin, sys.stdout):
            monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
        monkeypatch.setattr("builtins.input", answers)
        monkeypatch.setattr(devices, "convolution_rate", lambda _: 1e11)
        request = make_request({"command": ["train"]} if command else {}, {}, {})
        strategy = devices.make_strategy("one")
        duration.announce(presets.make_config(preset), request, strategy)
        return asked

    return announce


def test_hours_are_said_and_asked_about(ask, capsys):
    assert ask("") == ["Start? [Y/n] "]
    said = capsys.readouterr().out
    assert said.startswith("About 2276d") or "d " in said
    assert "25000 thousand images of up to 256x256" in said
    assert "Shorter: --kimg=1 (about an hour), or --resolution=128." in said
    with pytest.raises(UserError, match="nothing was started"):
        ask("n")


def test_nobody_is_asked_without_a_terminal_or_from_python(ask, capsys):
    assert ask("n", terminal=False) == []
    assert "--kimg=" in capsys.readouterr().out
    assert ask("n", command=False) == []
    assert "Shorter: kimg=1" in capsys.readouterr().out
    assert ask("n", preset="demo") == [] and not capsys.readouterr().out


def test_the_rate_of_convolutions_is_a_rate():
    assert 1e7 < devices.convolution_rate("float32") < 1e17
