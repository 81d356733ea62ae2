"""transfer.py: what another model brings, and the report of what it does not."""

import numpy as np
import pytest
import tiny

from stylegan_tf import config as configs
from stylegan_tf.errors import UserError
from stylegan_tf.training import transfer
from stylegan_tf.training.state import State
from stylegan_tf.training.step import Networks
from stylegan_tf.training.trainer import make_networks


def save_run(path, changes=None) -> Networks:
    """A run directory with one checkpoint, of networks unlike any new ones."""
    config = tiny.config({"seed": 9} | (changes or {}))
    nets = make_networks(config)
    for v in nets.average.weights:
        v.assign(v + 1)
    path.mkdir()
    configs.save(config, path / "config.json")
    state = State(nets, path)
    state.nimg = 48
    state.save()
    return nets


@pytest.fixture(scope="module")
def old(tmp_path_factory):
    path = tmp_path_factory.mktemp("old") / "run"
    return path, save_run(path)


def tails(model) -> dict:
    return {v.path.split("/", 1)[1]: v.numpy() for v in model.weights}


def check_taken(ours, theirs, but=()) -> None:
    """Every weight of ours is theirs, but for those whose name has one of these."""
    mine, other = tails(ours), tails(theirs)
    for name, value in mine.items():
        if any(part in name for part in but):
            assert name not in other or value.shape != other[name].shape
        else:
            np.testing.assert_array_equal(value, other[name], name)


MODELS = ("generator", "discriminator", "average")


def test_the_same_networks_take_everything(old):
    path, theirs = old
    ours = make_networks(tiny.config())
    report = transfer.start_from(path, ours)
    for name in MODELS:
        mine = getattr(ours, name)
        check_taken(mine, getattr(theirs, name))
        n = len(mine.weights)
        assert f"{name}: {n} of {n} weights taken" in report
    assert len(report.splitlines()) == 3
    assert not any(np.any(v.numpy()) for v in ours.g_optimizer.variables)
    assert np.any(tails(ours.generator)["w_avg"] != tails(ours.average)["w_avg"])


def test_a_larger_picture_brings_all_blocks_but_the_new_one(old):
    path, theirs = old
    ours = make_networks(tiny.config({"resolution": 16}))
    report = transfer.start_from(path, ours)
    new = ("block16", "rgb16", "noise4", "noise5")
    for name in MODELS:
        check_taken(getattr(ours, name), getattr(theirs, name), new)
    assert "  not taken: synthesis/block16/conv1/kernel is new" in report
    assert "not used" not in report


def test_a_smaller_picture_leaves_the_last_block_behind(tmp_path):
    theirs = save_run(tmp_path / "large", {"resolution": 16})
    ours = make_networks(tiny.config())
    report = transfer.start_from(tmp_path / "large", ours)
    for name in MODELS:
        check_taken(getattr(ours, name), getattr(theirs, name))
    assert "  not used: block16/conv0/kernel" in report
    assert "  not used: synthesis/to_rgb16/bias" in report
    assert "not taken" not in report


def test_classes_that_come_to_a_model_are_new(old):
    path, theirs = old
    ours = make_networks(tiny.config({"classes": 3}))
    report = transfer.start_from(path, ours)
    other = ("label_embedding", "mapping/dense0/kernel", "head/dense1")
    for name in MODELS:
        check_taken(getattr(ours, name), getattr(theirs, name), other)
    assert "  not taken: mapping/label_embedding is new" in report
    assert "  not taken: head/dense1/bias is [3], there [1]" in report


def test_a_generator_alone_becomes_generator_and_average(old, tmp_path):
    _, theirs = old
    theirs.average.save(tmp_path / "g.keras")
    ours = make_networks(tiny.config())
    before = tails(ours.discriminator)
    report = transfer.start_from(tmp_path / "g.keras", ours)
    check_taken(ours.generator, theirs.average)
    check_taken(ours.average, theirs.average)
    tiny.check_equal(before, tails(ours.discriminator))
    assert "discriminator: the model has none; starts from random weights" in report


def test_where_nothing_fits_it_is_refused(tmp_path):
    other = {f"{n}.fmap_max": 6 for n in ("generator", "discriminator")}
    other |= {"generator.mapping_layers": 1, "generator.w_dim": 6}
    other |= {"generator.use_noise": False}
    save_run(tmp_path / "wide", other)
    ours = make_networks(tiny.config())
    with pytest.raises(UserError, match="nothing of the generator fits"):
        transfer.start_from(tmp_path / "wide", ours)


def test_checking_first_makes_nothing(old, tmp_path):
    transfer.check(old[0])
    with pytest.raises(UserError, match="no model at"):
        transfer.check(tmp_path / "nowhere")
