"""transfer.py: what another model brings, and the report of what it does not."""

import dataclasses
import json

import ada_golden
import numpy as np
import pytest
import tiny

from stylegan_tf import config as configs
from stylegan_tf import models
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official
from stylegan_tf.runs import transfer
from stylegan_tf.training.passes import Networks
from stylegan_tf.training.state import TrainingState
from stylegan_tf.training.trainer import make_networks


def save_run(path, changes=None, nimg=48) -> Networks:
    """A run directory with one checkpoint, of networks unlike any new ones."""
    config = tiny.config({"seed": 9} | (changes or {}))
    nets = make_networks(config)
    for v in nets.average.weights:
        v.assign(v + 1)
    path.mkdir()
    configs.write_config(config, path / "config.json")
    state = TrainingState(nets, path)
    state.nimg = nimg
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
    report = transfer.copy_matching_weights(path, ours)
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
    report = transfer.copy_matching_weights(path, ours)
    new = ("block16", "rgb16", "noise4", "noise5")
    for name in MODELS:
        check_taken(getattr(ours, name), getattr(theirs, name), new)
    assert "  not taken: synthesis/block16/conv1/kernel is new" in report
    assert "not used" not in report


def test_a_smaller_picture_leaves_the_last_block_behind(tmp_path):
    theirs = save_run(tmp_path / "large", {"resolution": 16})
    ours = make_networks(tiny.config())
    report = transfer.copy_matching_weights(tmp_path / "large", ours)
    for name in MODELS:
        check_taken(getattr(ours, name), getattr(theirs, name))
    assert "  not used: block16/conv0/kernel" in report
    assert "  not used: synthesis/to_rgb16/bias" in report
    assert "not taken" not in report


def test_classes_that_come_to_a_model_are_new(old):
    path, theirs = old
    ours = make_networks(tiny.config({"classes": 3}))
    report = transfer.copy_matching_weights(path, ours)
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
    report = transfer.copy_matching_weights(tmp_path / "g.keras", ours)
    check_taken(ours.generator, theirs.average)
    check_taken(ours.average, theirs.average)
    tiny.check_equal(before, tails(ours.discriminator))
    assert "discriminator: the model has none; starts from random weights" in report


def test_networks_of_a_run_know_how_far_it_has_grown(tmp_path):
    save_run(tmp_path / "run", nimg=24)
    generator, _, average = models.load_networks(tmp_path / "run")
    assert generator.growth == average.growth == (8, 0.5)


def test_where_nothing_fits_it_is_refused(tmp_path):
    other = {f"{n}.fmap_max": 6 for n in ("generator", "discriminator")}
    other |= {"generator.mapping_layers": 1, "generator.w_dim": 6}
    other |= {"generator.use_noise": False}
    save_run(tmp_path / "wide", other)
    ours = make_networks(tiny.config())
    with pytest.raises(UserError, match="nothing of the generator fits"):
        transfer.copy_matching_weights(tmp_path / "wide", ours)


# ---------------------------------------------------------------------------
# Official pickles


def test_a_pickle_brings_what_it_has(old, tmp_path):
    theirs, path = old[1], tmp_path / "x.pkl"
    given = (theirs.generator, theirs.discriminator, theirs.average)
    official.save_pickle(path, *given)
    ours = make_networks(tiny.config())
    report = transfer.copy_matching_weights(path, ours)
    for name in MODELS:
        mine = getattr(ours, name)
        check_taken(mine, getattr(theirs, name))
        n = len(mine.weights)
        assert f"{name}: {n} of {n} weights taken" in report
    assert np.any(tails(ours.generator)["w_avg"] != tails(ours.average)["w_avg"])

    official.save_pickle(path, g=theirs.generator)
    ours = make_networks(tiny.config())
    before = tails(ours.discriminator)
    report = transfer.copy_matching_weights(path, ours)
    for model in (ours.generator, ours.average):
        check_taken(model, theirs.generator)
    tiny.check_equal(before, tails(ours.discriminator))
    assert "discriminator: the model has none; starts from random weights" in report


def test_a_pickle_without_a_generator_starts_nothing(old, tmp_path):
    official.save_pickle(tmp_path / "d.pkl", d=old[1].discriminator)
    with pytest.raises(UserError, match="d.pkl has a discriminator only"):
        transfer.read_starting_point(tmp_path / "d.pkl")


# ---------------------------------------------------------------------------
# What the run's networks become


def settings_of(config) -> dict:
    """The networks' settings, without those that the data decide."""
    return {
        name: value
        for name, value in configs.flat(config).items()
        if name.split(".")[0] in ("generator", "discriminator")
        and name.split(".")[1] not in transfer.DATA_SETTINGS
        and name not in configs.SETTLED
    }


def test_settings_are_the_models(old, tmp_path):
    path, theirs = old
    config = tiny.config()
    found = transfer.read_starting_point(path)
    assert found.settings == settings_of(config)
    assert found.resolution == 8
    official.save_pickle(tmp_path / "x.pkl", None, theirs.discriminator, theirs.average)
    assert transfer.read_starting_point(tmp_path / "x.pkl") == found
    official.save_pickle(tmp_path / "x.pkl", gs=theirs.average, growth=Growth(4))
    assert transfer.read_starting_point(tmp_path / "x.pkl").resolution == 4


def test_a_generator_alone_gets_a_discriminator_that_fits(tmp_path):
    kinds = {"stylegan": "stylegan", "skip": "residual", "original": "original"}
    kinds |= {"stylegan3": "residual"}
    for kind, other in kinds.items():
        changes = {"generator.architecture": kind, "generator.activation": "relu"}
        changes |= {"generator.stylegan3.layers": 2, "generator.stylegan3.critical": 1}
        c = tiny.config(changes | tiny.FIXED).generator
        Generator(c).save(tmp_path / "g.keras")
        found = transfer.read_starting_point(tmp_path / "g.keras").settings
        assert found["generator.architecture"] == kind
        assert found["discriminator.architecture"] == other
        assert found["discriminator.fmap_base"] == 64
        assert found["discriminator.activation"] == "relu"
        assert "discriminator.mbstd_group" not in found
        assert not {"generator.resolution", "discriminator.classes"} & set(found)


def test_what_the_model_was_is_kept(old, tmp_path):
    found = transfer.read_starting_point(old[0])
    assert transfer.load_starting_point(tmp_path) is None
    text = transfer.starting_point_text(found)
    (tmp_path / transfer.FILE).write_text(text)
    again = transfer.load_starting_point(tmp_path)
    assert again.resolution == found.resolution
    changed = tiny.config({"generator.blur_filter": (), "discriminator.fmap_max": 4})
    assert configs.update(changed, again.settings) == tiny.config()
    (tmp_path / transfer.FILE).write_text("{")
    assert transfer.load_starting_point(tmp_path) is None
    with pytest.raises(UserError, match="no model at"):
        transfer.read_starting_point(tmp_path / "nowhere")


# ---------------------------------------------------------------------------
# Pickles of StyleGAN2-ADA and StyleGAN3


def networks_like(path, changes=None):
    """Networks of a run that starts from a model, of the model's own size."""
    origin = transfer.read_starting_point(path)
    g, d = models.network_configs(path)
    sizes = {
        f"{net}.{name}": getattr(c, name)
        for net, c in (("generator", g), ("discriminator", d or g))
        for name in transfer.DATA_SETTINGS
    }
    values = origin.settings | sizes | (changes or {})
    start = {"schedule.initial_resolution": values["generator.resolution"]}
    return make_networks(configs.update(configs.TrainConfig(), values | start))


@pytest.mark.parametrize("name", ["adapt_r16_cond3.pkl", "sg3t_r16_cond3.pkl"])
def test_foreign_networks_bring_every_weight(name):
    """Of a run of the same size: generator, its average and the discriminator."""
    path = ada_golden.FOLDER / name
    ours = networks_like(path)
    report = transfer.copy_matching_weights(path, ours).splitlines()
    assert len(report) == 3
    g, d, average = models.load_networks(path)
    for mine, other in (
        (ours.generator, g),
        (ours.discriminator, d),
        (ours.average, average),
    ):
        check_taken(mine, other)


def test_filters_of_another_resolution_are_not_taken():
    """StyleGAN3's follow from the layers' bands, whatever their shapes."""
    path = ada_golden.FOLDER / "sg3t_r16_cond3.pkl"
    sizes = {"generator.resolution": 32, "discriminator.resolution": 32}
    ours = networks_like(path, sizes)
    before = {k: x.copy() for k, x in tails(ours.generator).items()}
    report = transfer.copy_matching_weights(path, ours)
    assert "is designed for this resolution" in report
    after = tails(ours.generator)
    for name in before:
        if name.endswith(transfer.FILTERS):
            np.testing.assert_allclose(after[name], before[name], atol=1e-4)


def test_the_probability_that_ada_had_reached_goes_on(tmp_path):
    path = ada_golden.FOLDER / "sg3r_r32_torch2.pkl"
    assert transfer.read_starting_point(path).augment_p == pytest.approx(
        models.stored_augment_p(path)
    )
    origin = transfer.StartingPoint({}, 8, 0.25)
    (tmp_path / transfer.FILE).write_text(transfer.starting_point_text(origin))
    assert transfer.load_starting_point(tmp_path) == origin
    older = dataclasses.asdict(origin)
    del older["augment_p"]
    (tmp_path / transfer.FILE).write_text(json.dumps(older))
    assert transfer.load_starting_point(tmp_path).augment_p is None
