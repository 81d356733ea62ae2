"""config.py: JSON both ways, changes by name, sizes, and every refusal's words."""

import dataclasses
import json
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

from stylegan_tf import config
from stylegan_tf.config import (
    DiscriminatorConfig,
    GeneratorConfig,
    LossConfig,
    ScheduleConfig,
    TrainConfig,
    limits,
    presets,
    weights,
)
from stylegan_tf.errors import UserError

FULL = TrainConfig(
    generator=GeneratorConfig(resolution=64, start_shape=(4, 6), blur_filter=()),
    discriminator=DiscriminatorConfig(resolution=64, start_shape=(4, 6)),
    loss=LossConfig(g_loss="wasserstein", d_loss="hinge", gp_weight=10.0),
    schedule=ScheduleConfig(batch_at={8: 32, 16: 16}, lr_at={64: 0.0015}),
    data="a folder/with spaces",
    mirror=True,
)


# ---------------------------------------------------------------------------
# JSON


def test_through_json_and_back():
    again = config.from_dict(TrainConfig, json.loads(json.dumps(config.to_dict(FULL))))
    assert again == FULL
    assert again.generator.start_shape == (4, 6)
    assert again.generator.blur_filter == ()
    assert again.schedule.batch_at == {8: 32, 16: 16}


def test_through_a_file_and_back(tmp_path):
    path = tmp_path / "config.json"
    config.write_config(FULL, path)
    assert config.read_config(path) == FULL
    assert path.read_text().endswith("}\n")
    config.write_config(FULL.generator, path)
    assert config.read_config(path, GeneratorConfig) == FULL.generator


def test_types_survive_json():
    """Or equality above would hide 4 against 4.0 and True against 1."""
    again = config.from_dict(TrainConfig, config.to_dict(FULL))
    for name, value in config.flat(FULL).items():
        assert type(config.flat(again)[name]) is type(value), name


def test_missing_fields_take_their_defaults():
    again = config.from_dict(TrainConfig, {"generator": {"z_dim": 64}})
    assert again == TrainConfig(generator=GeneratorConfig(z_dim=64))


def test_json_integers_become_floats_where_floats_belong():
    again = config.from_dict(ScheduleConfig, {"stable_kimg": 5})
    assert again.stable_kimg == 5 and type(again.stable_kimg) is float


def test_flat_names_every_field():
    names = config.flat(FULL)
    assert names["generator.start_shape"] == (4, 6)
    assert names["schedule.batch_at"] == {8: 32, 16: 16}
    assert names["mirror"] is True
    parts = (FULL.generator, FULL.discriminator, FULL.loss, FULL.schedule)
    parts += (FULL.augment, FULL.generator.stylegan3)
    count = sum(len(dataclasses.fields(part)) for part in parts)
    assert len(names) == count + len(dataclasses.fields(FULL)) - len(parts)


def test_resumable_names_exist():
    assert set(config.RESUMABLE) <= set(config.flat(FULL))


def test_configs_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        FULL.seed = 1


def test_no_tensorflow_is_imported():
    code = "import sys, stylegan_tf.config; print('tensorflow' in sys.modules)"
    root = Path(__file__).parents[1]
    run = [sys.executable, "-c", code]
    lazy = os.environ | {"STYLEGAN_TF_LAZY": "1"}
    out = subprocess.check_output(run, cwd=root, env=lazy, text=True)
    assert out.strip() == "False"


# ---------------------------------------------------------------------------
# Changes by dotted name


@pytest.mark.parametrize(
    "name, text, value",
    [
        ("seed", "7", 7),
        ("mirror", "true", True),
        ("mirror", "True", True),
        ("mirror", "false", False),
        ("data", "12", "12"),
        ("generator.z_dim", "64", 64),
        ("generator.fmap_decay", "1", 1.0),
        ("generator.use_noise", "false", False),
        ("discriminator.blur_filter", "[1, 3, 3, 1]", (1, 3, 3, 1)),
        ("loss.r1_gamma", "2.5", 2.5),
        ("schedule.batch_at", '{"8": 32}', {8: 32}),
        ("schedule.lr_at", '{"64": 1}', {64: 1.0}),
    ],
)
def test_update_from_text(name, text, value):
    changed = config.update(FULL, {name: text})
    assert config.flat(changed)[name] == value
    assert type(config.flat(changed)[name]) is type(value)
    others = {k: v for k, v in config.flat(changed).items() if k != name}
    assert others == {k: v for k, v in config.flat(FULL).items() if k != name}


def test_update_of_several_and_of_python_values():
    changes = {"generator.z_dim": 8, "generator.w_dim": 9, "schedule.batch_at": {4: 2}}
    changed = config.update(FULL, changes)
    assert (changed.generator.z_dim, changed.generator.w_dim) == (8, 9)
    assert changed.schedule.batch_at == {4: 2}
    assert config.update(FULL, {}) == FULL


def test_shared_names_change_both_networks():
    changes = {"resolution": "128", "classes": 10, "channels": "1"}
    changed = config.update(FULL, changes | {"start_shape": "[5, 4]"})
    for part in (changed.generator, changed.discriminator):
        assert (part.resolution, part.classes, part.channels) == (128, 10, 1)
        assert part.start_shape == (5, 4)
    alone = config.update(GeneratorConfig(), {"resolution": "64"})
    assert alone.resolution == 64


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"color": 1}, "there is no setting 'color'; there are: generator, "),
        ({"generator.color": 1}, "there is no setting 'color'; .*resolution"),
        ({"seed.low": 1}, "'seed' is one value; it has no field 'low'"),
        ({"seed": "many"}, "seed='many' is not of type int"),
        ({"seed": "1.5"}, "seed='1.5' is not of type int"),
        ({"seed": "true"}, "seed='true' is not of type int"),
        ({"mirror": "1"}, "mirror='1' is not of type bool"),
        ({"loss.r1_gamma": "high"}, "r1_gamma='high' is not of type float"),
        ({"generator.blur_filter": "3"}, "type tuple; write values with commas"),
        ({"schedule.batch_at": "8"}, "batch_at='8' is not of type dict; write"),
        ({"schedule.batch_at": '{"x": 1}'}, "batch_at=.* is not of type dict"),
        ({"seed": ""}, "seed='' is not of type int"),
    ],
)
def test_impossible_updates(changes, message):
    with pytest.raises(UserError, match=message):
        config.update(FULL, changes)


def test_unknown_fields_of_a_file():
    with pytest.raises(UserError, match="GeneratorConfig has no field color, size"):
        config.from_dict(TrainConfig, {"generator": {"size": 1, "color": 2}})


# ---------------------------------------------------------------------------
# Checks

LARGE = "use a power of two from"


@pytest.mark.parametrize(
    "cls, fields, message",
    [
        (
            GeneratorConfig,
            {"resolution": 48},
            f"generator.resolution=48 .*; {LARGE} 8 to 1024",
        ),
        (GeneratorConfig, {"resolution": 4}, f"resolution=4 .*; {LARGE} 8"),
        (
            DiscriminatorConfig,
            {"resolution": 2048},
            f"discriminator.resolution=2048 .*; {LARGE}",
        ),
        (GeneratorConfig, {"channels": 2}, "channels=2 .*choose one of 1, 3, 4"),
        (GeneratorConfig, {"classes": -1}, "classes.*-1"),
        (GeneratorConfig, {"activation": "gelu"}, "activation.*gelu.*lrelu, relu"),
        (
            GeneratorConfig,
            {"start_shape": (4,)},
            r"start_shape=\(4,\) must have 2 values",
        ),
        (GeneratorConfig, {"start_shape": (4, 0)}, "start_shape"),
        (GeneratorConfig, {"start_shape": (4, 4.5)}, "start_shape"),
        (GeneratorConfig, {"fmap_max": 0}, "fmap_max.*0"),
        (
            GeneratorConfig,
            {"fmap_base": 128},
            "fmap_base=128 leaves no channel at 1024",
        ),
        (GeneratorConfig, {"noise_position": "last"}, "noise_position='last' .*; "),
        (GeneratorConfig, {"style_mixing_prob": 1.1}, "style_mixing_prob.*1.1"),
        (GeneratorConfig, {"w_avg_beta": -0.1}, "w_avg_beta.*-0.1"),
        (GeneratorConfig, {"mapping_layers": -1}, "mapping_layers.*-1"),
        (
            GeneratorConfig,
            {"mapping_layers": 0, "classes": 2},
            "input of 1024 values, but w_dim is 512; set w_dim=1024",
        ),
        (LossConfig, {"g_loss": "lsgan"}, "g_loss.*lsgan.*logistic_nonsaturating"),
        (LossConfig, {"d_loss": "lsgan"}, "d_loss.*lsgan.*hinge"),
        (LossConfig, {"d_reg_interval": 0}, "d_reg_interval.*0"),
        (LossConfig, {"r1_gamma": -1}, "r1_gamma.*-1"),
        (LossConfig, {"r2_gamma": -1}, "r2_gamma.*-1"),
        (LossConfig, {"gp_weight": -1}, "gp_weight.*-1"),
        (LossConfig, {"drift": -1}, "drift.*-1"),
        (
            ScheduleConfig,
            {"initial_resolution": 6},
            f"schedule.initial_resolution=6 .*; {LARGE}",
        ),
        (ScheduleConfig, {"batch": 0}, "batch.*0"),
        (ScheduleConfig, {"total_kimg": -1}, "total_kimg.*-1"),
        (ScheduleConfig, {"fade_kimg": -1}, "schedule.fade_kimg=-1 must be at least 0"),
        (TrainConfig, {"precision": "float16"}, "precision.*float16.*bfloat16"),
        (TrainConfig, {"accumulate": 0}, "accumulate.*0"),
        (
            TrainConfig,
            {
                "generator": GeneratorConfig(channels=1),
                "discriminator": DiscriminatorConfig(channels=3),
            },
            "generator.channels is 1 but discriminator.channels is 3",
        ),
        (
            TrainConfig,
            {"schedule": ScheduleConfig(initial_resolution=128)}
            | {k: c(resolution=64) for k, c in [("generator", GeneratorConfig)]}
            | {"discriminator": DiscriminatorConfig(resolution=64)},
            "growth starts at 128, above the final resolution 64",
        ),
    ],
)
def test_impossible_settings(cls, fields, message):
    with pytest.raises(UserError, match=message):
        cls(**fields)


def test_removed_fields_are_read_if_they_changed_nothing():
    values = config.to_dict(LossConfig(drift=0.5))
    read = config.from_dict(LossConfig, values | {"reuse_scores": False})
    assert read == LossConfig(drift=0.5)
    with pytest.raises(UserError, match="reuse_scores=True is no longer.*Set it to"):
        config.from_dict(LossConfig, values | {"reuse_scores": True})


# ---------------------------------------------------------------------------
# Sizes


def test_paper_sizes():
    c = GeneratorConfig()
    maps = {r: c.fmaps(r) for r in config.levels(1024)}
    assert list(maps) == [4, 8, 16, 32, 64, 128, 256, 512, 1024]
    assert list(maps.values()) == [512, 512, 512, 512, 256, 128, 64, 32, 16]
    assert c.num_layers == c.num_styles == 18
    assert c.fmaps(2) == 512  # the width of the discriminator's dense layer
    assert GeneratorConfig(use_styles=False).num_styles == 1
    assert GeneratorConfig(classes=3).mapping_input_dim == 1024
    assert config.levels(32, first=8) == [8, 16, 32]
    assert config.levels(4, first=8) == []


@pytest.mark.parametrize(
    "height, width, level, start",
    [
        (8, 8, 8, (4, 4)),
        (64, 64, 64, (4, 4)),
        (1024, 1024, 1024, (4, 4)),
        (512, 768, 512, (4, 6)),
        (768, 512, 512, (6, 4)),
        (96, 96, 64, (6, 6)),
        (14, 14, 8, (7, 7)),
        (28, 28, 16, (7, 7)),
        (64, 208, 64, (4, 13)),
    ],
)
def test_split_shape(height, width, level, start):
    assert config.split_shape(height, width) == (level, start)
    c = GeneratorConfig(resolution=level, start_shape=start)
    assert c.shape(level) == (height, width)
    assert c.shape(4) == start


@pytest.mark.parametrize(
    "height, width, near",
    [
        (100, 100, "96x96"),
        (64, 70, "64x64"),
        (70, 64, "64x64"),
        (720, 1280, "768x1280"),
        (7, 7, "8x8"),
        (4, 64, "8x64"),
        (1000, 1100, "1024x1024"),
    ],
)
def test_impossible_shapes_name_the_nearest(height, width, near):
    with pytest.raises(UserError, match=f"{height}x{width} cannot.* {near}"):
        config.split_shape(height, width)
    config.split_shape(*(int(side) for side in near.split("x")))  # which is possible


@pytest.mark.parametrize(
    "text, want",
    [
        ("64", (64, (4, 4))),
        ("512x768", (512, (4, 6))),
        ("512X768", (512, (4, 6))),
        (" 64 x 96 ", (64, (4, 6))),
        (32, (32, (4, 4))),
    ],
)
def test_parse_resolution(text, want):
    assert config.parse_resolution(text) == want


@pytest.mark.parametrize("text", ["", "big", "64x", "64x64x3", "-64", "6.5", "x"])
def test_resolutions_that_are_no_sizes(text):
    with pytest.raises(UserError, match="is not N or HEIGHTxWIDTH, such as 64"):
        config.parse_resolution(text)


def test_names_may_be_listed_with_commas():
    changed = config.update(TrainConfig(), {"augment.policy": "color, translation"})
    assert changed.augment.policy == ("color", "translation")
    with pytest.raises(
        UserError, match="policy=.* has 'colour', which is not allowed; choose"
    ):
        config.update(TrainConfig(), {"augment.policy": "colour"})


def test_a_name_that_is_nearly_right_is_suggested():
    with pytest.raises(UserError, match="did you mean fmap_max or fmap_base"):
        config.update(TrainConfig(), {"generator.fmap": 3})


def test_a_config_that_is_no_config_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(UserError, match="is list, not named values"):
        config.read_config(tmp_path / "config.json")


# ---------------------------------------------------------------------------
# Limits of every field, declared with the field


def configs_of_a_run() -> list[type]:
    """The dataclasses that a run is made of."""
    parts = [FULL, FULL.generator, FULL.discriminator, FULL.loss, FULL.schedule]
    return [type(part) for part in (*parts, FULL.augment, FULL.generator.stylegan3)]


FIELDS = [(cls, f.name) for cls in configs_of_a_run() for f in dataclasses.fields(cls)]


@pytest.mark.parametrize(("cls", "name"), FIELDS, ids=lambda x: str(x).split(".")[-1])
def test_every_field_has_its_limits_where_it_is_declared(cls, name):
    kind, limit = typing.get_type_hints(cls)[name], limits.limit_of(cls, name)
    items = [t for t in typing.get_args(kind) if t is not Ellipsis] or [kind]
    if int in items or float in items:
        assert limit is not None
    wrong = [None, float("nan"), float("inf"), -float("inf"), 10**400, "\0", b"", [0]]
    wrong += [(float("nan"),) * 2, {8: -1}, {"a": {}}, ("\0",), (0,) * 1001]
    if kind is bool:
        wrong += [0, 1.0, "true"]
    for value in wrong:
        with pytest.raises(UserError) as error:
            cls(**{name: value})
        section = f"{cls.section}." if cls.section else ""
        assert str(error.value).startswith(f"{section}{name}=")
        assert len(str(error.value)) < 400


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss.r1_gamma": "-1"}, "loss.r1_gamma=-1.0 must be at least 0."),
        ({"loss.r1_gamma": "NaN"}, "loss.r1_gamma=nan must be a number."),
        ({"schedule.total_kimg": "Infinity"}, "=inf must be at most 1000000000."),
        ({"generator.z_dim": 0}, "generator.z_dim=0 must be at least 1."),
        ({"generator.mapping_width": 0}, "mapping_width=0 must be at least 1."),
        ({"adam_beta1": 2}, "adam_beta1=2.0 must be below 1."),
        ({"adam_epsilon": -1}, "adam_epsilon=-1.0 must be above 0."),
        ({"ema_kimg": -1}, "ema_kimg=-1.0 must be at least 0."),
        ({"schedule.tick_kimg": 0}, "schedule.tick_kimg=0.0 must be at least 0.001."),
        ({"schedule.batch_at": {6: 4}}, r"has 6, which is not allowed; use a power"),
        ({"schedule.lr_at": {8: 4}}, r"lr_at={8: 4.0} has 4.0, which must be at most"),
        ({"generator.blur_filter": (0, 0, 0)}, "divided by the sum of its taps"),
        ({"generator.blur_filter": (1, 2.5)}, "blur_filter=.* is not of type tuple"),
        ({"snapshot_ticks": 0}, "snapshot_ticks=0 must be at least 1."),
        ({"seed": 2**32}, "seed=4294967296 must be at most 4294967295."),
        ({"seed": 10**5000}, r"seed=\(a number of thousands of digits\) must be at"),
        ({"generator.fmap_decay": 10**5000}, "is not of type float"),
        ({"generator.stylegan3.critical": 14}, "must be less than .*layers=14"),
    ],
)
def test_values_out_of_range_are_refused_by_name(changes, message):
    with pytest.raises(UserError, match=message):
        config.update(TrainConfig(), changes)


def test_limits_read_as_words():
    words = {n: str(limits.limit_of(LossConfig, n)) for n in ("d_loss", "r1_gamma")}
    assert words["d_loss"] == "one of logistic, wasserstein, hinge or custom:NAME"
    assert words["r1_gamma"] == "0 to 1000000000"
    assert str(limits.limit_of(TrainConfig, "adam_beta1")) == "0 to below 1"
    assert str(limits.limit_of(GeneratorConfig, "start_shape")) == (
        "2 values: each 1 to 64"
    )


SIZES = [
    {},
    {"architecture": "skip", "classes": 5},
    {"architecture": "residual"},
    {"architecture": "revised", "classes": 90, "label_norm": "own", "label_width": 9},
    {"const_input": False, "use_styles": False, "use_noise": False},
    {"architecture": "stylegan3"},
    {"architecture": "dcgan", "start_shape": (4, 6)},
    {"architecture": "residual", "classes": 300, "conditioning": "projection"},
    {"classes": 300},
]


@pytest.mark.parametrize("changes", SIZES, ids=str)
def test_weights_are_counted_without_a_network(changes):
    from stylegan_tf.networks.discriminator import discriminator_of
    from stylegan_tf.networks.generator import Generator

    small = {"resolution": 16, "fmap_base": 256, "fmap_max": 32} | changes
    only_d = "conditioning" in changes or changes == {"classes": 300}
    cls = DiscriminatorConfig if only_d else GeneratorConfig
    c = cls(**small, **({} if only_d else {"z_dim": 24, "w_dim": 20}))
    network = discriminator_of(c) if only_d else Generator(c)
    true = sum(weight.shape.num_elements() for weight in network.weights)
    assert weights.count_weights(c) == pytest.approx(true, rel=0.05)


@pytest.mark.parametrize(
    ("cls", "changes", "words"),
    [
        (GeneratorConfig, {"fmap_base": 1 << 20, "fmap_max": 8192}, "GB; the limit"),
        (
            GeneratorConfig,
            {"classes": 1 << 20, "z_dim": 8192},
            "generator.classes=1048",
        ),
        (GeneratorConfig, {"start_shape": (64, 64), "use_noise": False}, "16384x1638"),
        (DiscriminatorConfig, {"head_width": 8192, "start_shape": (64, 64)}, "head"),
    ],
)
def test_what_no_machine_should_be_asked_for_is_refused(cls, changes, words):
    from stylegan_tf.networks.block import Block

    with pytest.raises(UserError, match=words):
        weights.check_size(cls(**changes))
    block = type("SomeBlock", (Block,), {"config_class": cls})
    with pytest.raises(UserError, match=words):
        block(cls(**changes))


@pytest.mark.parametrize("name", presets.PRESETS)
def test_presets_are_far_from_the_limits(name):
    c = presets.make_config(name)
    for network in (c.generator, c.discriminator):
        assert weights.count_weights(network) < weights.MOST_WEIGHTS / 16
        assert weights.largest_maps(network) < weights.MOST_VALUES / 8
