"""runs/settings.py as a table: what is named -> the settings, or the refusal."""

import dataclasses

import pytest
import tiny

from stylegan_tf.config import TrainConfig, flat, presets
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.runs.settings import StartingPoint, check_devices, settings

IMAGES = Manifest(
    name="photos",
    count=24,
    resolution=128,
    start_shape=(4, 4),
    channels=3,
    crop="center",
    class_names=[],
    label_size=0,
    shard_counts=[24],
    skipped=0,
    plan="",
    levels={},
)
SMALL = dataclasses.replace(IMAGES, resolution=16)
WIDE = dataclasses.replace(IMAGES, start_shape=(4, 6))
GRAY = dataclasses.replace(IMAGES, channels=1)
LABELED = dataclasses.replace(IMAGES, class_names=["a", "b", "c"], label_size=3)

SAVED = tiny.config({"seed": 5, "data": "old", "preset": "demo"})  # a run of 8 x 8
NARROW = {"generator.fmap_max": 8, "discriminator.fmap_max": 6}
GROWING = StartingPoint(
    NARROW
    | {"generator.architecture": "stylegan", "discriminator.architecture": "stylegan"},
    resolution=16,
)
FIXED = StartingPoint(
    NARROW
    | {"generator.architecture": "skip", "discriminator.architecture": "residual"},
    resolution=16,
)
ROWS = {
    # The data decide the size, up to the preset's limit; the user decides before both.
    "the preset's limit": (
        ("demo", None, IMAGES, {}),
        {"generator.resolution": 64, "discriminator.resolution": 64},
    ),
    "the data's size": (
        ("paper256", None, IMAGES, {}),
        {"generator.resolution": 128, "discriminator.start_shape": (4, 4)},
    ),
    "small data": (("demo", None, SMALL, {}), {"generator.resolution": 16}),
    "a size that is asked for": (
        ("demo", None, IMAGES, {}, "32"),
        {"generator.resolution": 32},
    ),
    "height x width": (
        ("demo", None, WIDE, {}, "32x48"),
        {"generator.resolution": 32, "generator.start_shape": (4, 6)},
    ),
    "wide data": (
        ("demo", None, WIDE, {}),
        {"generator.resolution": 64, "discriminator.start_shape": (4, 6)},
    ),
    "gray data": (
        ("demo", None, GRAY, {}),
        {"generator.channels": 1, "discriminator.channels": 1},
    ),
    # The recipe is of the final size and of the devices.
    "a preset": (
        ("small-data", None, IMAGES, {}),
        {"preset": "small-data", "loss.r1_gamma": 20.0, "precision": "float32"},
    ),
    "nothing is settled by the device": (
        ("demo", None, IMAGES, {"jit": "auto"}),
        {"precision": "auto", "jit": "auto"},
    ),
    "eight devices": (
        ("paper256", None, IMAGES, {}, None, 8),
        {
            "schedule.batch": 32,
            "schedule.batch_at": {4: 512, 8: 256, 16: 128, 32: 64, 64: 32},
        },
    ),
    # A run too short for its growth: the phases are shortened, unless they are given.
    "a short run": (
        ("demo", None, IMAGES, {"schedule.total_kimg": "8"}, "32"),
        {"schedule.fit_kimg": 8.0, "schedule.stable_kimg": 6.0},
    ),
    "a run long enough": (
        ("demo", None, IMAGES, {"schedule.total_kimg": 26}, "32"),
        {"schedule.fit_kimg": 0.0},
    ),
    "a short run with phases": (
        ("demo", None, IMAGES, {"schedule.total_kimg": 8, "schedule.fade_kimg": 4}),
        {"schedule.fit_kimg": 0.0},
    ),
    "a run that goes on": (
        (SAVED, None, SMALL, {"schedule.total_kimg": 0.001}, "16"),
        {"schedule.fit_kimg": 0.0},
    ),
    "no growing": (
        ("dcgan", None, IMAGES, {"schedule.total_kimg": 1}),
        {"schedule.fit_kimg": 0.0},
    ),
    # What the user says wins, as a value or as text.
    "changes": (
        ("demo", None, IMAGES, {"loss.r1_gamma": 3.0, "schedule.total_kimg": "7"}),
        {"loss.r1_gamma": 3.0, "schedule.total_kimg": 7.0},
    ),
    "names": (
        ("demo", None, IMAGES, {"data": "photos/", "preset": "mine", "seed": "3"}),
        {"data": "photos/", "preset": "mine", "seed": 3},
    ),
    "one network": (
        ("demo", None, IMAGES, {"generator.fmap_max": 9}),
        {"generator.fmap_max": 9, "discriminator.fmap_max": 128},
    ),
    # Labels make a model conditional when they are asked for.
    "labels that nobody asks for": (
        ("demo", None, LABELED, {}),
        {"generator.classes": 0, "labels": "none"},
    ),
    "labels": (
        ("demo", None, LABELED, {"labels": "auto"}),
        {"generator.classes": 3, "discriminator.classes": 3, "labels": "auto"},
    ),
    # Without a mapping network w is z, and the embedded label beside it.
    "w without a mapping": (
        ("dcgan", None, LABELED, {"generator.z_dim": "48"}),
        {"generator.z_dim": 48, "generator.w_dim": 48},
    ),
    "w with classes": (
        ("dcgan", None, LABELED, {"generator.z_dim": 48, "labels": "auto"}),
        {"generator.z_dim": 48, "generator.w_dim": 96},
    ),
    # A model that the run starts from brings its networks and how far it had grown.
    "a model": (
        ("demo", GROWING, IMAGES, {}),
        NARROW | {"schedule.initial_resolution": 16, "generator.resolution": 64},
    ),
    "a model larger than the data": (
        ("demo", GROWING, IMAGES, {}, "8"),
        {"schedule.initial_resolution": 8, "generator.resolution": 8},
    ),
    "a model that does not grow": (
        ("demo", FIXED, IMAGES, {}),
        NARROW | {"schedule.initial_resolution": 64},
    ),
    "a model, and changes": (
        (
            "demo",
            GROWING,
            IMAGES,
            {"generator.fmap_max": "6", "schedule.initial_resolution": "4"},
        ),
        {
            "generator.fmap_max": 6,
            "discriminator.fmap_max": 6,
            "schedule.initial_resolution": 4,
        },
    ),
    "a model that is made to stand still": (
        ("demo", GROWING, IMAGES, {"generator.architecture": "skip"}),
        {"generator.architecture": "skip", "schedule.initial_resolution": 64},
    ),
    # A saved run keeps all that is not asked for.
    "a saved run": ((SAVED, None, IMAGES, {}), flat(SAVED)),
    "a saved run, longer": (
        (SAVED, None, IMAGES, {"schedule.total_kimg": 9.0}),
        flat(SAVED) | {"schedule.total_kimg": 9.0},
    ),
    "a saved run, another size": (
        (SAVED, None, IMAGES, {}, "16"),
        {"generator.resolution": 16, "seed": 5},
    ),
}


@pytest.mark.parametrize(("given", "expected"), ROWS.values(), ids=ROWS)
def test_settings(given, expected):
    values = flat(settings(*given))
    assert {name: values[name] for name in expected} == expected


REFUSED = {
    "no preset": (("large", None, IMAGES, {}), "no preset 'large'; there are demo"),
    "no setting": (("demo", None, IMAGES, {"loss.gama": 1}), "no setting 'gama'"),
    "no number": (
        ("dcgan", None, IMAGES, {"generator.z_dim": "many"}),
        "z_dim='many' is not of type int",
    ),
    "no size": (("demo", None, IMAGES, {}, "big"), "'big' is not N or HEIGHTxWIDTH"),
    "too large": (
        ("demo", None, SMALL, {}, "32"),
        "--resolution=32x32 was asked for, but photos holds pictures of 16x16",
    ),
    "another shape": (
        ("demo", None, IMAGES, {}, "32x48"),
        "--resolution=32x48 .* holds pictures of 128x128",
    ),
    "a saved run of another shape": (
        (SAVED, None, WIDE, {}),
        "--resolution=8x8 .* holds pictures of 128x192",
    ),
    "no labels": (
        ("demo", None, IMAGES, {"labels": "auto", "data": "x/"}),
        "--labels=auto asks for classes, but x/ has no labels",
    ),
    "rounds": (
        ("demo", None, IMAGES, {"schedule.batch": 16, "accumulate": 3}),
        "each device gets 16 pictures, which --accumulate=3 does not divide",
    ),
    "rounds on two devices": (
        (
            "demo",
            None,
            IMAGES,
            {"schedule.batch": 12, "schedule.batch_at": {}, "accumulate": 4},
            None,
            2,
        ),
        "each device gets 6 pictures",
    ),
    "batch norm in rounds": (
        ("dcgan", None, IMAGES, {"accumulate": 2}),
        "whole batch.* use --accumulate=1",
    ),
    "growth of a fixed model": (
        ("demo", FIXED, IMAGES, {"schedule.initial_resolution": 8}),
        "skip does not grow; set schedule.initial_resolution=64",
    ),
    "no metric": (("demo", None, IMAGES, {"metrics": "fid"}), "no metric 'fid'"),
    "xla on two devices": (
        ("dcgan", None, IMAGES, {"jit": "on"}, None, 2),
        "--strategy=one",
    ),
}


@pytest.mark.parametrize(("given", "message"), REFUSED.values(), ids=REFUSED)
def test_refusals(given, message):
    with pytest.raises(UserError, match=message):
        settings(*given)


@pytest.mark.parametrize("preset", presets.PRESETS)
def test_every_preset_fits_its_own_data(preset):
    resolution = presets.PRESETS[preset].resolution
    data = dataclasses.replace(IMAGES, resolution=resolution)
    config = settings(preset, None, data, {})
    assert config == presets.make_config(preset)
    check_devices(config, 1)


@pytest.mark.parametrize(("preset", "replicas"), [("demo", 2), ("dcgan", 1)])
def test_what_compiles(preset, replicas):
    settings(preset, None, IMAGES, {"jit": "on"}, None, replicas)


def test_arguments_are_left_as_they_are():
    changes, origin = {"seed": 3}, dataclasses.replace(GROWING)
    settings("demo", origin, IMAGES, changes)
    assert changes == {"seed": 3} and origin == GROWING
    assert isinstance(settings(TrainConfig(), None, IMAGES, {}, "64"), TrainConfig)


def test_presets_may_fine_tune_in_another_way():
    new = settings("stylegan3-r", None, IMAGES, {})
    tuned = settings("stylegan3-r", GROWING, IMAGES, {"augment.kimg": "50"})
    assert (new.ema_rampup, new.augment.blur_init_sigma) == (0.05, 10)
    assert (tuned.ema_rampup, tuned.augment.blur_init_sigma) == (0, 0)
    assert new.augment.kimg == 500 and tuned.augment.kimg == 50


def test_ada_goes_on_from_the_model_s_probability():
    """Unless it is told otherwise, or there is no ADA."""
    origin = dataclasses.replace(FIXED, augment_p=0.25)
    ada = {"augment.kind": "ada"}
    for changes, wanted in ((ada, 0.25), (ada | {"augment.p": 0.1}, 0.1), ({}, 0.0)):
        assert settings("demo", origin, SMALL, changes).augment.p == wanted
