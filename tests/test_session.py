"""session.py: how settings come together, which run goes on, and how one ends."""

from types import SimpleNamespace

import pytest
import tiny

from stylegan_tf.config import flat
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.training import devices, rundir, session
from stylegan_tf.training.session import Request
from stylegan_tf.training.state import State
from stylegan_tf.training.trainer import make_networks

TINY = {k: v for k, v in tiny.SETTINGS.items() if not k.endswith(".resolution")}


def settle(pictures, changes=None, **request):
    changes = {"data": str(pictures)} | (changes or {})
    strategy = devices.make_strategy("one")
    return session.settle(Request(changes=changes, **request), strategy)[0]


# ---------------------------------------------------------------------------
# Settings


def test_pictures_decide_the_size_up_to_the_presets_limit(pictures, monkeypatch):
    assert settle(pictures).generator.resolution == 16
    assert settle(pictures, preset="paper256").generator.resolution == 16
    low = SimpleNamespace(**vars(session.presets.PRESETS["demo"]) | {"max_auto": 8})
    monkeypatch.setitem(session.presets.PRESETS, "demo", low)
    assert settle(pictures).generator.resolution == 8


def test_what_is_given_wins_over_the_preset(pictures):
    preset = settle(pictures, preset="small-data")
    assert preset.preset == "small-data" and preset.loss.r1_gamma == 20
    changes = {"loss.r1_gamma": 3.0, "schedule.total_kimg": "7"}
    given = settle(pictures, changes, preset="small-data", resolution="8")
    assert given.loss.r1_gamma == 3
    assert given.schedule.total_kimg == 7
    assert given.generator.resolution == given.discriminator.resolution == 8


def test_batches_are_those_of_the_devices(pictures):
    strategy = devices.make_strategy("mirrored")
    request = Request("paper256", {"data": str(pictures)})
    config, _ = session.settle(request, strategy)
    assert config.schedule.batch == 8 and config.schedule.batch_at[8] == 256


def test_labels_make_it_conditional(pictures):
    assert settle(pictures).generator.classes == 0
    conditional = settle(pictures, {"labels": "auto"})
    assert conditional.generator.classes == conditional.discriminator.classes == 5


def test_labels_of_pictures_without_any_are_refused(pictures, monkeypatch):
    real = Manifest.load

    def unlabelled(path):
        found = real(path)
        object.__setattr__(found, "label_size", 0)
        return found

    monkeypatch.setattr(Manifest, "load", unlabelled)
    with pytest.raises(UserError, match="asks for classes, but .* has no labels"):
        settle(pictures, {"labels": "auto"})


def test_a_size_that_the_pictures_do_not_have_is_refused(pictures):
    for wanted in ("32", "16x24"):
        with pytest.raises(UserError, match=f"={wanted}.* holds pictures of 16x16"):
            settle(pictures, resolution=wanted)


def test_a_share_that_the_rounds_do_not_divide_is_refused(pictures):
    with pytest.raises(UserError, match="each device gets 16 pictures, which"):
        settle(pictures, {"schedule.batch": 16, "accumulate": 3})
    assert settle(pictures, {"schedule.batch": 16, "accumulate": 4}).accumulate == 4


# ---------------------------------------------------------------------------
# Runs


def test_a_named_run_keeps_its_settings_but_for_what_is_given(pictures, tmp_path):
    saved = tiny.config({"data": str(pictures), "seed": 5})
    run = rundir.create(tmp_path, saved, [])
    request = Request(
        changes={"schedule.total_kimg": 9.0, "snapshot_ticks": 2}, resume=str(run.path)
    )
    strategy = devices.make_strategy("one")
    config, data = session.settle(request, strategy)
    assert data == pictures
    opened = session._open_run(request, config, strategy)
    assert opened == run
    continued = flat(session._continued(opened.config, config))
    differing = {k for k, v in flat(saved).items() if continued[k] != v}
    assert differing == {"schedule.total_kimg", "snapshot_ticks"}


def test_auto_continues_what_fits_and_never_starts_anew(pictures, tmp_path):
    strategy = devices.make_strategy("one")
    config = tiny.config({"data": str(pictures)})

    def name(resume, config=config):
        request = Request(out=str(tmp_path), resume=resume)
        return session._open_run(request, config, strategy).path.name

    assert name("auto") == "00000-faces-custom"
    assert name("auto") == "00000-faces-custom"
    assert name("never") == "00001-faces-custom"
    assert name("auto") == "00001-faces-custom"
    assert name("auto", tiny.config({"seed": 3})) == "00002-demo-custom"


def test_a_run_killed_while_it_wrote_its_model_writes_it_again(
    pictures, tmp_path, monkeypatch, capsys
):
    ends = []

    def finish(trainer):
        ends.append(trainer.state.nimg)
        (trainer.run_dir / session.SHEET).touch()

    monkeypatch.setattr(session, "_finish", finish)
    monkeypatch.setattr(session, "default_reports", list)
    changes = TINY | {"data": str(pictures)}
    request = Request(changes=changes, resolution="8", out=str(tmp_path))
    config, _ = session.settle(request, devices.make_strategy("one"))
    run = rundir.create(tmp_path, config, [])
    state = State(make_networks(config), run.path)
    state.nimg = 48
    state.save()

    assert session.train(request) == 0
    assert ends == [48]
    assert session.train(request) == 0
    assert ends == [48]
    assert f"{run.path} is finished" in capsys.readouterr().out
