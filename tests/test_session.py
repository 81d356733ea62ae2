"""session.py and plan.py: what a run trains on, which run goes on, how one ends."""

import dataclasses
import json
from types import SimpleNamespace

import numpy as np
import pytest
import tiny

from stylegan_tf import config as configs
from stylegan_tf import devices, figures, files
from stylegan_tf.config import Growth, flat, presets
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official
from stylegan_tf.runs import rundir, session
from stylegan_tf.runs.plan import Plan, plan_run
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.trainer import make_networks

TINY = {k: v for k, v in tiny.SETTINGS.items() if not k.endswith(".resolution")}


def settle(pictures, changes=None, **request):
    changes = {"data": str(pictures)} | (changes or {})
    strategy = devices.make_strategy("one")
    return plan_run(RunRequest(changes=changes, **request), strategy).config


# ---------------------------------------------------------------------------
# Settings


def test_pictures_decide_the_size_up_to_the_presets_limit(pictures, monkeypatch):
    assert settle(pictures).generator.resolution == 16
    assert settle(pictures, preset="paper256").generator.resolution == 16
    low = SimpleNamespace(**vars(presets.PRESETS["demo"]) | {"max_auto": 8})
    monkeypatch.setitem(presets.PRESETS, "demo", low)
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
    request = RunRequest("paper256", {"data": str(pictures)})
    config = plan_run(request, strategy).config
    assert config.schedule.batch == 8 and config.schedule.batch_at[8] == 256


def test_labels_make_it_conditional(pictures):
    assert settle(pictures).generator.classes == 0
    conditional = settle(pictures, {"labels": "auto"})
    assert conditional.generator.classes == conditional.discriminator.classes == 5


def test_labels_of_pictures_without_any_are_refused(pictures, monkeypatch):
    real = Manifest.load

    def unlabeled(path):
        found = real(path)
        object.__setattr__(found, "label_size", 0)
        return found

    monkeypatch.setattr(Manifest, "load", unlabeled)
    with pytest.raises(UserError, match="asks for classes, but .* has no labels"):
        settle(pictures, {"labels": "auto"})


def test_labels_are_settled_before_anything_is_converted(tmp_path):
    for name in ("a/1.png", "b/2.png", "3.png"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        figures.save_image(tmp_path / "set" / name, np.zeros((16, 16, 3), np.uint8))
    cache, changes = tmp_path / "cache", {"labels": "auto"}
    with pytest.raises(UserError, match="1 of 3 pictures lie in none of the folders"):
        settle(tmp_path / "set", changes, cache=str(cache))
    assert not cache.exists()


def test_a_size_that_the_pictures_do_not_have_is_refused(pictures):
    for wanted in ("32", "16x24"):
        with pytest.raises(UserError, match=f"={wanted}.* holds pictures of 16x16"):
            settle(pictures, resolution=wanted)


def test_a_share_that_the_rounds_do_not_divide_is_refused(pictures):
    with pytest.raises(UserError, match="each device gets 16 pictures, which"):
        settle(pictures, {"schedule.batch": 16, "accumulate": 3})
    assert settle(pictures, {"schedule.batch": 16, "accumulate": 4}).accumulate == 4


# ---------------------------------------------------------------------------
# Settings of a run that starts from a model


def save_run(path, changes=None, nimg=48):
    """A run directory with a checkpoint, of networks unlike the presets'."""
    config = tiny.config(changes)
    path.mkdir(parents=True, exist_ok=True)
    configs.write_config(config, path / "config.json")
    state = TrainingState(make_networks(config), path)
    state.nimg = nimg
    state.save()
    return config


def networks_of(config) -> dict:
    names = ("generator.", "discriminator.")
    decided = ("resolution", "start_shape", "channels", "modulation")
    decided += ("classes", "class_names")  # as the data have them
    found = {k: v for k, v in flat(config).items() if k.startswith(names)}
    return {k: v for k, v in found.items() if k.split(".")[1] not in decided}


def test_networks_become_those_of_the_model(pictures, tmp_path):
    theirs = {"generator.use_pixel_norm": True, "discriminator.mbstd_group": 2}
    model = save_run(tmp_path / "old", theirs)
    given = {"init": str(tmp_path / "old")}
    for preset in (None, "paper256", "stylegan2-f"):
        config = settle(pictures, given, preset=preset)
        assert networks_of(config) == networks_of(model)
        assert config.generator.resolution == 16
        assert config.schedule.initial_resolution == 8
        assert config.preset == (preset or "demo")
    preset = settle(pictures, preset="paper256")
    assert settle(pictures, given, preset="paper256").schedule.lr_at == (
        preset.schedule.lr_at
    )
    own = {"generator.fmap_max": "6", "schedule.initial_resolution": "4"}
    config = settle(pictures, given | own)
    assert config.generator.fmap_max == 6 and config.discriminator.fmap_max == 8
    assert config.schedule.initial_resolution == 4
    config = settle(pictures, given | {"labels": "auto"}, resolution="8")
    assert config.generator.classes == config.discriminator.classes == 5
    assert networks_of(config) == networks_of(model)


def test_growing_starts_where_the_model_stopped(pictures, tmp_path):
    def start(path, **request):
        config = settle(pictures, {"init": str(path)}, **request)
        return config.schedule.initial_resolution

    save_run(tmp_path / "early", nimg=23)  # less than half of 8 x 8 has faded in
    assert start(tmp_path / "early") == 4
    save_run(tmp_path / "later", nimg=24)
    assert start(tmp_path / "later") == 8
    large = tiny.config({"resolution": 32})
    Generator(large.generator).save(tmp_path / "g.keras")
    assert start(tmp_path / "g.keras") == 16
    assert start(tmp_path / "g.keras", resolution="8") == 8
    official.save_pickle(
        tmp_path / "g.pkl", gs=Generator(large.generator), growth=Growth(8)
    )
    assert start(tmp_path / "g.pkl") == 8
    half = Generator(large.generator, Growth(16, 0.4))
    official.save_pickle(tmp_path / "g.pkl", gs=half)
    assert start(tmp_path / "g.pkl") == 8
    half.growth = Growth(16, 0.6)
    half.save(tmp_path / "half.keras")
    assert start(tmp_path / "half.keras") == 16


def test_an_official_pickle_that_does_not_grow(pictures, tmp_path):
    changes = {"generator.architecture": "skip", "generator.mapping_lrmul": 0.1}
    changes |= {"discriminator.architecture": "residual"}
    model = tiny.config(changes | tiny.FIXED)
    networks = Generator(model.generator), Discriminator(model.discriminator)
    official.save_pickle(tmp_path / "x.pkl", *networks)
    given = {"init": str(tmp_path / "x.pkl")}
    config = settle(pictures, given)
    assert networks_of(config) == networks_of(model)
    assert config.schedule.initial_resolution == 16
    with pytest.raises(UserError, match="skip does not grow; set"):
        settle(pictures, given | {"schedule.initial_resolution": 8})


def test_a_model_without_a_mapping_may_get_classes(pictures, tmp_path):
    changes = {"generator.mapping_layers": 0, "generator.use_styles": False}
    g = Generator(tiny.config(changes).generator)
    official.save_pickle(tmp_path / "x.pkl", gs=g)
    config = settle(pictures, {"init": str(tmp_path / "x.pkl"), "labels": "auto"})
    assert config.generator.z_dim == 8 and config.generator.w_dim == 16


def test_a_run_from_a_model_is_found_though_the_model_went_on(pictures, tmp_path):
    strategy, old = devices.make_strategy("one"), tmp_path / "old"
    save_run(old, nimg=20)

    def opened(resume="auto", **changes):
        changes |= {"data": str(pictures), "init": str(old)}
        request = RunRequest(changes=changes, out=str(tmp_path / "runs"), resume=resume)
        return session.open_run(request, plan_run(request, strategy), strategy)

    first = opened()
    assert first.path.name == "00000-faces-demo"
    assert first.config.schedule.initial_resolution == 4
    save_run(old, nimg=48)
    assert opened() == first
    other = opened(seed=3)
    assert other.path.name == "00001-faces-demo"
    assert other.config.schedule.initial_resolution == 8
    assert opened("never").config.schedule.initial_resolution == 8
    opened("never", **{"generator.fmap_max": 4})
    assert opened().path.name == "00002-faces-demo"
    old.rename(tmp_path / "away")
    assert opened().path.name == "00002-faces-demo"
    assert opened(seed=3) == other
    with pytest.raises(UserError, match="no model at"):
        opened(seed=4)


# ---------------------------------------------------------------------------
# Runs


def test_a_named_run_keeps_its_settings_but_for_what_is_given(pictures, tmp_path):
    saved = tiny.config({"data": str(pictures), "seed": 5})
    run = rundir.create_run(tmp_path, saved, [])
    request = RunRequest(
        changes={"schedule.total_kimg": 9.0, "snapshot_ticks": 2}, resume=str(run.path)
    )
    strategy = devices.make_strategy("one")
    planned = plan_run(request, strategy)
    assert planned.data.folder == pictures
    opened = session.open_run(request, planned, strategy)
    assert opened.path == run.path and rundir.read_run(run.path) == run
    continued = flat(opened.config)
    differing = {k for k, v in flat(saved).items() if continued[k] != v}
    assert differing == {"schedule.total_kimg", "snapshot_ticks"}


def test_auto_continues_what_fits_and_never_starts_anew(pictures, tmp_path):
    strategy = devices.make_strategy("one")
    config = tiny.config({"data": str(pictures)})

    def name(resume, config=config):
        request = RunRequest(out=str(tmp_path), resume=resume)
        planned = Plan(config, Manifest.load(pictures))
        return session.open_run(request, planned, strategy).path.name

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
        (trainer.run_dir / rundir.SHEET).touch()
        card = trainer.run_dir / rundir.CARD
        files.write_text(card.with_name("generator.keras"), "weights")
        about = {"name": "generator.keras", "bytes": 7}
        origin = {"images_seen": trainer.state.nimg}
        files.write_text(card, json.dumps({"origin": origin, "files": [about]}))

    monkeypatch.setattr(session, "export_model", finish)
    monkeypatch.setattr(session, "default_reports", list)
    changes = TINY | {"data": str(pictures)}
    request = RunRequest(changes=changes, resolution="8", out=str(tmp_path))
    config = plan_run(request, devices.make_strategy("one")).config
    run = rundir.create_run(tmp_path, config, [])
    state = TrainingState(make_networks(config), run.path)
    state.nimg = 48
    state.save()

    assert session.train_request(request).exit_code == 0
    assert ends == [48]
    assert session.train_request(request).exit_code == 0
    assert ends == [48]
    assert f"{run.path} is finished" in capsys.readouterr().out


def test_auto_is_resolved_when_a_run_starts_and_the_run_keeps_it(pictures, tmp_path):
    changes = {"generator.architecture": "revised", "data": str(pictures)}
    changes |= {"jit": "auto"}
    request = RunRequest(changes=changes, out=str(tmp_path))
    planned = plan_run(request, devices.make_strategy("one"))
    run = session._choose_run(request, planned)
    assert (run.config.generator.modulation, run.config.jit) == ("maps", "off")
    # A run of earlier versions, which timed both forms.
    kernels = configs.update(run.config, {"generator.modulation": "kernels"})
    never = RunRequest(resume="never", **vars_of(request))
    run = session._choose_run(never, dataclasses.replace(planned, config=kernels))
    again = session.open_run(request, planned, devices.make_strategy("one"))
    assert again.path == run.path
    assert again.config.generator.modulation == "kernels"


def vars_of(request: RunRequest) -> dict:
    return {"changes": request.changes, "out": request.out}


def test_a_run_that_does_not_go_on_says_why(pictures, tmp_path, capsys):
    config = settle(pictures)
    for gamma in (1.0, 2.0):
        wanted = configs.update(config, {"loss.r1_gamma": gamma})
        planned = Plan(wanted, Manifest.load(pictures))
        session._choose_run(RunRequest(out=str(tmp_path)), planned)
    told = capsys.readouterr().out
    assert "00000-faces-demo has other settings: loss.r1_gamma." in told
    assert told.count("A new run") == 1


def test_w_is_as_wide_as_the_z_that_is_asked_for(pictures):
    changes = {"generator.z_dim": "48", "labels": "auto"}
    config = settle(pictures, changes, preset="dcgan")
    assert (config.generator.z_dim, config.generator.w_dim) == (48, 96)
