"""state.py: a checkpoint holds everything, and says so when it is damaged."""

import json
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf.errors import UserError
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
    path = saved(nets, tmp_path).manager.latest_checkpoint
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
@pytest.mark.parametrize("harm", ["cut", "gone"])
def test_a_damaged_checkpoint_is_named(part, harm, nets, tmp_path):
    saved(nets, tmp_path, 100)
    saved(nets, tmp_path, 200)
    file = tmp_path / "checkpoints" / f"ckpt-200.{part}"
    file.write_bytes(file.read_bytes()[:100]) if harm == "cut" else file.unlink()
    with pytest.raises(UserError, match=r"ckpt-200 .*damaged.* go on from ckpt-100"):
        TrainingState(nets, tmp_path).restore()


def test_a_checkpoint_of_other_networks_is_refused(nets, tmp_path):
    saved(nets, tmp_path)
    wide = make_networks(tiny.config({"generator.mapping_layers": 3}))
    with pytest.raises(UserError, match="does not fit"):
        TrainingState(wide, tmp_path).restore()
