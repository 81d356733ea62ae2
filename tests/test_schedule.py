"""schedule.py: the official table at 1, 2, 4 and 8 devices, and its edges.

`goldens/v1_schedule.csv.gz` is the official schedule evaluated at 361 moments of six
runs, `v1_schedule_args.json` what it was called with; `v2_schedule.csv.gz` is that of
StyleGAN2's growing configurations at 301 moments.
"""

import dataclasses
import json
import os
import subprocess
import sys

import golden
import pytest

from stylegan_tf.config import ScheduleConfig, TrainConfig, presets, update
from stylegan_tf.config.schedule import (
    drawn_size_text,
    fit_text,
    growth_at,
    phase_at,
    phase_kimg,
    schedule_rows,
    schedule_table,
)
from stylegan_tf.errors import UserError

TICKS = {4: 160, 8: 140, 16: 120, 32: 100, 64: 80, 128: 60, 256: 40, 512: 30, 1024: 20}
SHORT = ScheduleConfig(
    initial_resolution=4, stable_kimg=1, fade_kimg=2, total_kimg=20, batch=8
)


def official() -> dict:
    """(name, devices, final resolution) -> rows of the official table."""
    found = {}
    for row in golden.table("v1_schedule"):
        key = row["config"], int(row["num_gpus"]), int(row["final_resolution"])
        found.setdefault(key, []).append(row)
    return found


OFFICIAL = official()


def of_arguments(name: str) -> ScheduleConfig:
    """The schedule that the official function's keyword arguments describe."""
    a = json.loads((golden.FOLDER / "v1_schedule_args.json").read_text())[name]

    def table_of(key):
        return {int(k): v for k, v in a.get(key, {}).items()}

    return ScheduleConfig(
        initial_resolution=a["lod_initial_resolution"],
        stable_kimg=a.get("lod_training_kimg", 600),
        fade_kimg=a.get("lod_transition_kimg", 600),
        batch=a["minibatch_base"],
        batch_at=table_of("minibatch_dict"),
        max_batch_per_device=table_of("max_minibatch_per_gpu"),
        lr_at=table_of("G_lrate_dict"),
        lr_rampup_kimg=a.get("lrate_rampup_kimg", 0),
        tick_kimg_at=TICKS,
    )


def check(config: ScheduleConfig, key: tuple) -> None:
    _, devices, final = key
    for row in OFFICIAL[key]:
        p = phase_at(config, final, int(row["cur_nimg"]), devices)
        assert p.lod == pytest.approx(float(row["lod"]), abs=1e-12)
        assert p.alpha == pytest.approx(1 - float(row["lod"]) % 1, abs=1e-12)
        assert p.resolution == int(row["resolution"])
        assert p.batch == int(row["minibatch"])
        assert p.lr == pytest.approx(float(row["G_lrate"]), rel=1e-12)
        assert row["G_lrate"] == row["D_lrate"]
        assert p.tick_kimg == float(row["tick_kimg"])


@pytest.mark.parametrize("key", OFFICIAL, ids=lambda k: f"{k[0]}-{k[2]}")
def test_the_official_table(key):
    assert len(OFFICIAL[key]) == 361
    check(of_arguments(key[0]), key)


@pytest.mark.parametrize(
    "key", [k for k in OFFICIAL if k[0].startswith("train.py")], ids=lambda k: k[0]
)
def test_the_paper_preset_is_that_table(key):
    _, devices, final = key
    check(presets.make_config("paper1024", final, devices).schedule, key)


# ---------------------------------------------------------------------------
# StyleGAN2's: configurations up to D grow, E and F do not

OFFICIAL2 = golden.table("v2_schedule")
LR2 = {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}
TICKS2 = {8: 28, 16: 24, 32: 20, 64: 16, 128: 12, 256: 8, 512: 6, 1024: 4}
GROWN = ScheduleConfig(
    batch=32,
    batch_at={8: 256, 16: 128, 32: 64, 64: 32},
    lr_at=LR2,
    tick_kimg=4.0,
    tick_kimg_at=TICKS2,
)


@pytest.mark.parametrize("name", ["official", *(f"stylegan2-{x}" for x in "bcd")])
def test_the_official_table_of_stylegan2(name):
    """How often a line is logged apart, which presets may choose."""
    config, ticks = GROWN, {"tick_kimg": 4.0, "tick_kimg_at": TICKS2}
    if name != "official":
        preset = presets.make_config(name, 256, 8).schedule
        config = dataclasses.replace(preset, **ticks)
        assert preset.total_kimg == 25000
    assert len(OFFICIAL2) == 301
    for row in OFFICIAL2:
        assert row["final_resolution"] == "256"
        p = phase_at(config, 256, int(row["cur_nimg"]), devices=8)
        assert p.lod == pytest.approx(float(row["lod"]), abs=1e-12)
        assert p.resolution == int(row["resolution"])
        assert p.batch == int(row["minibatch_size"])
        assert p.batch == 8 * int(row["minibatch_gpu"])  # of 8 devices: one round
        assert p.lr == pytest.approx(float(row["G_lrate"]), rel=1e-12)
        assert row["G_lrate"] == row["D_lrate"]
        assert p.tick_kimg == float(row["tick_kimg"])


@pytest.mark.parametrize("devices", [1, 2, 4, 8])
@pytest.mark.parametrize("name", ["stylegan2-e", "stylegan2-f"])
def test_stylegan2_at_full_size_has_one_phase(name, devices):
    config = presets.make_config(name, devices=devices)
    for nimg in (0, 600_000, 1_000_000, 24_999_968):
        p = phase_at(config.schedule, 1024, nimg, devices)
        assert (p.lod, p.resolution, p.alpha) == (0, 1024, 1)
        assert (p.batch, p.lr) == (32, 0.002)
    assert 32 // devices // config.accumulate == 4  # pictures of a device at a time
    assert len(schedule_rows(config, devices)) == 1


# ---------------------------------------------------------------------------
# The whole run at a glance

RUNS = {
    "paper": presets.make_config("paper1024"),
    "demo": presets.make_config("demo"),
    "short": TrainConfig(schedule=SHORT),
    "no fade": update(TrainConfig(schedule=SHORT), {"schedule.fade_kimg": 0.0}),
    "ends in a fade": update(TrainConfig(schedule=SHORT), {"schedule.total_kimg": 2.0}),
    "no growth": update(
        TrainConfig(schedule=SHORT),
        {"resolution": 8, "schedule.initial_resolution": 8},
    ),
}


@pytest.mark.parametrize("name", RUNS)
def test_rows_tile_the_run_and_agree_with_every_moment(name):
    config = RUNS[name]
    s, final = config.schedule, config.generator.resolution
    found = schedule_rows(config)
    assert found[0].start == 0
    assert found[-1].end == s.total_kimg
    assert all(a.end == b.start for a, b in zip(found, found[1:], strict=False))
    for row in found:
        assert row.end > row.start
        for part in (0.001, 0.4, 0.999):
            kimg = row.start + part * (row.end - row.start)
            p = phase_at(s, final, round(1000 * kimg))
            same = (p.resolution, p.batch, p.tick_kimg)
            assert same == (row.phase.resolution, row.phase.batch, row.phase.tick_kimg)
            assert (p.alpha < 1) == row.fading


def test_table_says_it_in_words():
    config = update(TrainConfig(schedule=SHORT), {"resolution": 8})
    lines = [line.split() for line in schedule_table(config).splitlines()]
    assert lines[0][0] == "kimg"
    assert lines[1:] == [
        ["0", "-", "1", "4x4", "8", "0.001", "160"],
        ["1", "-", "3", "8x8", "fades", "in", "8", "0.001", "160"],
        ["3", "-", "20", "8x8", "8", "0.001", "160"],
    ]
    wide = update(config, {"start_shape": (4, 6)})
    assert "8x12 fades in" in schedule_table(wide)


# ---------------------------------------------------------------------------
# Edges


def test_a_stage_is_new_when_a_fade_starts_and_when_it_ends():
    moments = [0, 999, 1000, 1001, 2999, 3000, 3999, 4000, 4001]
    stages = [phase_at(SHORT, 16, n).stage for n in moments]
    assert stages == [(2, 2)] * 3 + [(1, 2)] * 2 + [(1, 1)] * 3 + [(0, 1)]


def sized(final: int, schedule: ScheduleConfig) -> TrainConfig:
    sizes = {f"{net}.resolution": final for net in ("generator", "discriminator")}
    return update(TrainConfig(schedule=schedule), sizes)


def test_a_model_has_learned_the_resolution_that_fades_in_as_far_as_it_has():
    config = sized(16, SHORT)
    found = {n: growth_at(config, n) for n in (0, 1000, 1500, 2992, 3000, 4000, 6000)}
    assert found == {
        0: (4, 1.0),
        1000: (4, 1.0),
        1500: (8, 0.25),
        2992: (8, pytest.approx(0.996)),
        3000: (8, 1.0),
        4000: (8, 1.0),
        6000: (16, 1.0),
    }


@pytest.mark.parametrize("fade_kimg", [0.0, 2.0])
def test_a_resolution_that_no_step_has_trained_is_not_learned(fade_kimg):
    s = dataclasses.replace(SHORT, fade_kimg=fade_kimg)
    config = sized(8, s)
    first = 1008 if fade_kimg else 1000  # the first step of 8 x 8 begins at this image
    assert phase_at(s, 8, first).resolution == 8
    assert growth_at(config, first) == (4, 1.0)
    assert growth_at(config, first + 8) == (8, phase_at(s, 8, first + 8).alpha)


def test_without_a_fade_each_resolution_starts_at_once():
    sharp = ScheduleConfig(initial_resolution=4, stable_kimg=1, fade_kimg=0)
    seen = [phase_at(sharp, 16, n) for n in (0, 999, 1000, 1999, 2000, 10**7)]
    assert [p.resolution for p in seen] == [4, 4, 8, 8, 16, 16]
    assert {p.alpha for p in seen} == {1.0}


def test_without_phases_it_is_the_final_resolution_from_the_start():
    at_once = ScheduleConfig(initial_resolution=4, stable_kimg=0, fade_kimg=0)
    p = phase_at(at_once, 64, 0)
    assert (p.resolution, p.alpha, p.lod) == (64, 1.0, 0.0)
    only = TrainConfig(schedule=at_once)
    assert [r.phase.resolution for r in schedule_rows(only)] == [1024]


def test_without_growth_nothing_ever_changes():
    fixed = ScheduleConfig(initial_resolution=64, stable_kimg=1, fade_kimg=1)
    seen = [phase_at(fixed, 64, n) for n in (0, 500, 1500, 2500)]
    assert {(p.resolution, p.alpha, p.stage) for p in seen} == {(64, 1.0, (0, 0))}


def test_learning_rate_ramps_up_from_zero():
    ramp = ScheduleConfig(lr=0.004, lr_rampup_kimg=2)
    rates = [phase_at(ramp, 8, n).lr for n in (0, 500, 2000, 9000)]
    assert rates == [0, 0.001, 0.004, 0.004]


def test_batch_is_a_multiple_of_the_devices_and_under_their_limit():
    s = ScheduleConfig(batch=30, max_batch_per_device={16: 5})
    assert [phase_at(s, 8, 0, n).batch for n in (1, 4, 7, 30)] == [30, 28, 28, 30]
    assert phase_at(s, 16, 10**7, 2).batch == 10


def test_a_batch_smaller_than_the_devices_is_refused():
    s = ScheduleConfig(batch=64, batch_at={16: 2})
    assert phase_at(s, 16, 0, 4).batch == 64
    with pytest.raises(UserError, match=r"16x16 is 2, fewer than the 4 devices"):
        phase_at(s, 16, 10**7, 4)


def test_needs_no_tensorflow():
    code = (
        "import sys, stylegan_tf.config.schedule, stylegan_tf.config.presets;"
        "assert 'tensorflow' not in sys.modules and 'numpy' not in sys.modules"
    )
    lazily = os.environ | {"STYLEGAN_TF_LAZY": "1"}
    subprocess.run([sys.executable, "-c", code], env=lazily, check=True)


def test_a_short_run_grows_in_proportion():
    c = update(
        presets.make_config("demo-ladder-f", 32),
        {"schedule.total_kimg": 8, "schedule.fit_kimg": 8},
    )
    s = c.schedule  # 6 + 4 + 6 + 4 + 6 kimg in 8
    assert phase_kimg(s, 32) == pytest.approx((6 * 8 / 26, 4 * 8 / 26))
    rows = schedule_rows(c)
    full = schedule_rows(presets.make_config("demo-ladder-f", 32))
    assert [r.phase.resolution for r in rows] == [r.phase.resolution for r in full]
    assert rows[-1].end == 8 and rows[-1].start == pytest.approx(20 * 8 / 26)
    assert growth_at(c, 8000) == (32, 1.0) == growth_at(c, 90000)
    assert "32x32 is reached" in fit_text(c) and "1.85" in fit_text(c)
    longer = dataclasses.replace(s, fit_kimg=26.0)
    assert phase_kimg(longer, 32) == (6, 4)
    assert fit_text(dataclasses.replace(c, schedule=longer)) == ""


def test_the_size_that_a_model_draws_at():
    c = presets.make_config("demo-ladder-f", 32)
    assert drawn_size_text(c, 3000) == (
        "the model draws pictures of 8x8; 32x32 is fully grown at 20 kimg"
    )
    assert "16x16, which have faded in by 50%" in drawn_size_text(c, 8008)
    assert drawn_size_text(c, 30000) == "the model draws pictures of 32x32"
