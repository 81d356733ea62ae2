"""state.py: a checkpoint holds everything, and says so when it is damaged."""

import errno
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import checkpoints
from stylegan_tf.config import settings_fingerprint, to_dict
from stylegan_tf.errors import DiskError, UserError
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.trainer import make_networks


@pytest.fixture(scope="module")
def nets():
    return make_networks(tiny.config())


def scramble(nets, seed: int) -> dict:
    """Gives every variable its own values; returns them."""
    rng = np.random.default_rng(seed)
    for v in tiny.variables(nets).values():
        v.assign(rng.integers(0, 1000, v.shape))
    return tiny.state(nets)


def saved(nets, path, nimg=1000) -> TrainingState:
    state = TrainingState(nets, path)
    state.nimg = nimg
    state.save()
    return state


def test_every_weight_and_slot_comes_back_with_its_own_value(nets, tmp_path):
    """The moving average too, which no optimizer holds."""
    expected = scramble(nets, seed=0)
    saved(nets, tmp_path)
    scramble(nets, seed=1)
    assert TrainingState(nets, tmp_path).restore()
    tiny.check_equal(tiny.state(nets), expected)


def test_the_file_has_an_entry_for_every_weight_of_every_part(nets, tmp_path):
    saved(nets, tmp_path)
    path = str(checkpoints.newest_checkpoint(tmp_path).prefix)
    entries = Counter(n.split("/")[0] for n, _ in tf.train.list_variables(path))
    for model in ("generator", "discriminator", "average"):
        assert entries[model] == len(getattr(nets, model).weights)
    for optimizer in ("g_optimizer", "d_optimizer"):
        assert entries[optimizer] == len(getattr(nets, optimizer).variables)


def test_counters_come_back(nets, tmp_path):
    state = TrainingState(nets, tmp_path)
    assert (state.nimg, state.seconds, state.stage) == (0, 0.0, (-1, -1))
    state.nimg, state.skipped, state.stage = 2**40 + 1, 3, (2, 1)
    state.seconds = 0.1 + 1e9
    state.save()
    again = TrainingState(nets, tmp_path)
    assert again.restore()
    assert (again.nimg, again.skipped, again.stage) == (2**40 + 1, 3, (2, 1))
    assert again.seconds == 0.1 + 1e9


def test_without_a_checkpoint_there_is_nothing_to_restore(nets, tmp_path):
    before = tiny.state(nets)
    assert TrainingState(nets, tmp_path).restore() is False
    tiny.check_equal(tiny.state(nets), before)


def test_the_two_newest_are_kept(nets, tmp_path):
    for nimg in (100, 200, 300):
        saved(nets, tmp_path, nimg)
    found = sorted(p.name for p in (tmp_path / "checkpoints").glob("*.index"))
    assert found == ["ckpt-200.index", "ckpt-300.index"]
    progress = json.loads((tmp_path / "progress.json").read_text())
    assert progress["nimg"] == 300


def test_who_does_not_write_does_not(nets, tmp_path):
    state = TrainingState(nets, tmp_path, writes=False)
    state.save()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("part", ["index", "data-00000-of-00001"])
@pytest.mark.parametrize("harm", ["cut", "gone", "a bit", "old"])
def test_the_newest_whole_checkpoint_is_used(part, harm, nets, tmp_path):
    """And the log says what was skipped, and what is lost."""
    expected = scramble(nets, seed=0)
    saved(nets, tmp_path, 100)
    scramble(nets, seed=1)
    saved(nets, tmp_path, 200)
    damage(tmp_path / "checkpoints" / f"ckpt-200.{part}", harm)
    state = TrainingState(nets, tmp_path)
    assert state.restore() and state.nimg == 100
    tiny.check_equal(tiny.state(nets), expected)
    assert "ckpt-200 was skipped: " in state.notices[0]
    assert "goes on from ckpt-100: 100 images are lost" in state.notices[1]
    assert checkpoints.saved_progress(tmp_path) == 100
    saved(nets, tmp_path, 150)
    assert [c.nimg for c in checkpoints.list_checkpoints(tmp_path)] == [150, 100]


def damage(file: Path, harm: str) -> None:
    content = bytearray(file.read_bytes())
    if harm == "gone":
        file.unlink()
        return
    if harm == "old":  # a checkpoint without a record
        name = file.name.split(".")[0]
        file.with_name(f"{name}.json").unlink()
    content[len(content) // 2] ^= 1
    file.write_bytes(content[:100] if harm == "cut" else content)


def test_what_was_trained_is_never_started_again(nets, tmp_path):
    saved(nets, tmp_path, 100)
    shutil.rmtree(tmp_path / "checkpoints")
    with pytest.raises(UserError, match=r"has seen 100 images, but has no checkpoint"):
        TrainingState(nets, tmp_path).restore()
    saved(nets, tmp_path, 100)
    (tmp_path / "progress.json").write_bytes(b"\0\0")
    assert TrainingState(nets, tmp_path).restore()
    assert checkpoints.saved_progress(tmp_path) == 100
    damage(tmp_path / "checkpoints" / "ckpt-100.index", "cut")
    (tmp_path / "progress.json").unlink()
    with pytest.raises(UserError, match=r"ckpt-100 was skipped.*--resume=never"):
        TrainingState(nets, tmp_path).restore()


@pytest.mark.parametrize("content", ["", "[]", '{"nimg": "many"}', "\0", "{" * 9999])
def test_progress_of_any_content_is_none(content, tmp_path):
    (tmp_path / "progress.json").write_text(content)
    assert checkpoints.saved_progress(tmp_path) is None


def test_a_checkpoint_of_another_run_is_refused(nets, tmp_path):
    facts = {"config": "1", "data": "2"}
    TrainingState(nets, tmp_path, facts=facts).save()
    assert TrainingState(nets, tmp_path, facts=facts).restore()
    for name, what in (("config", "other settings"), ("data", "other pictures")):
        state = TrainingState(nets, tmp_path, facts=facts | {name: "3"})
        with pytest.raises(UserError, match=f"ckpt-0 is of {what} .* here 3"):
            state.restore()


def test_a_checkpoint_is_known_by_its_settings_of_today(nets, tmp_path):
    """Its fingerprint may be of a version that counted a setting that is free now."""
    facts = {"config": "of another version", "settings": to_dict(tiny.config())}
    TrainingState(nets, tmp_path, facts=facts).save()
    for rounds in (1, 2):
        config = tiny.config({"accumulate": rounds})
        ours = {"config": settings_fingerprint(config)}
        assert TrainingState(nets, tmp_path, facts=ours).restore()


def test_a_renamed_checkpoint_is_told(nets, tmp_path):
    saved(nets, tmp_path, 100)
    for path in (tmp_path / "checkpoints").glob("ckpt-*"):
        path.rename(path.with_name(path.name.replace("100", "900")))
    with pytest.raises(UserError, match="ckpt-900 was skipped: "):
        TrainingState(nets, tmp_path).restore()


@pytest.mark.parametrize("name", ["a [v2]", "a*?", "{x,y}", "back\\slash", "ü\udcff"])
def test_names_that_tensorflow_takes_for_patterns(name, nets, tmp_path):
    beside = tmp_path / "a v" / "checkpoints"  # matched by a pattern, and not ours
    beside.mkdir(parents=True)
    for part in ("index", "data-00000-of-00001"):
        (beside / f"ckpt-1.{part}").touch()
    run = tmp_path / name
    for nimg in (1, 2, 3):
        saved(nets, run, nimg)
    state = TrainingState(nets, run)
    assert state.restore() and state.nimg == 3
    assert [c.nimg for c in checkpoints.list_checkpoints(run)] == [3, 2]
    assert len(list(beside.iterdir())) == 2


def test_a_full_disk_is_told_in_one_line(nets, tmp_path, monkeypatch):
    state = saved(nets, tmp_path, 100)
    state.nimg = 200

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, pytest.raises(DiskError) as told:
        patch.setattr(os, "fsync", full)
        state.save()
    assert "at 200 images could not be written: No space left" in str(told.value)
    assert "ckpt-100 is whole" in str(told.value)
    assert not [p for p in tmp_path.rglob("*") if p.name.startswith(".")]
    state.save()
    assert TrainingState(nets, tmp_path).restore()


def test_a_checkpoint_of_other_networks_is_refused(nets, tmp_path):
    saved(nets, tmp_path)
    wide = make_networks(tiny.config({"generator.mapping_layers": 3}))
    with pytest.raises(UserError, match="does not fit"):
        TrainingState(wide, tmp_path).restore()
