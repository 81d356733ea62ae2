"""presets.py: every recipe builds, and is what the paper's table says."""

import pytest

from stylegan_tf.config import TrainConfig, flat, from_dict, presets, to_dict, update
from stylegan_tf.config.schedule import schedule_rows, schedule_table
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import Generator

EACH = pytest.mark.parametrize("name", presets.PRESETS)


@EACH
def test_builds_trains_on_paper_and_travels(name):
    config = presets.make_config(name)
    assert config.preset == name
    assert config.generator.resolution == presets.PRESETS[name].resolution
    assert "learning rate" in schedule_table(config)
    assert from_dict(TrainConfig, to_dict(config)) == config
    assert name in presets.preset_table() and presets.PRESETS[name].summary


@EACH
def test_its_networks_can_be_made(name):
    small = {f"{n}.fmap_max": 4 for n in presets.NETWORKS}
    small |= {"generator.w_dim": 6, "generator.mapping_width": 6, "generator.z_dim": 6}
    config = update(presets.make_config(name, 8), small)
    assert Generator(config.generator).count_params() > 0
    assert discriminator_of(config.discriminator).count_params() > 0


@pytest.mark.parametrize("resolution", [8, 16, 32, 64, 256, 1024])
@EACH
def test_any_resolution_can_be_asked_for(name, resolution):
    config = presets.make_config(name, resolution)
    assert config.generator.resolution == resolution
    assert config.discriminator.resolution == resolution


@pytest.mark.parametrize("name", presets.PRESETS)
def test_a_run_is_heard_of_at_least_ten_times(name):
    config = presets.make_config(name)
    assert all(
        row.phase.tick_kimg <= config.schedule.total_kimg / 10
        for row in schedule_rows(config)
    )


def test_an_unknown_preset_is_refused_with_the_list():
    with pytest.raises(
        UserError, match="no preset 'F'; there are demo, demo-stylegan2"
    ):
        presets.make_config("F")


# ---------------------------------------------------------------------------
# The paper's: appendix C, and the released script


def test_the_papers_settings():
    config = flat(presets.make_config("paper1024"))
    for name, value in {
        "generator.fmap_base": 8192,
        "generator.fmap_max": 512,
        "generator.mapping_layers": 8,
        "generator.mapping_lrmul": 0.01,
        "generator.style_mixing_prob": 0.9,
        "generator.w_avg_beta": 0.995,
        "loss.g_loss": "logistic_nonsaturating",
        "loss.d_loss": "logistic",
        "loss.r1_gamma": 10.0,
        "loss.d_reg_interval": 1,
        "schedule.initial_resolution": 8,
        "schedule.stable_kimg": 600.0,
        "schedule.fade_kimg": 600.0,
        "schedule.total_kimg": 25000.0,
        "schedule.lr": 0.001,
        "adam_beta1": 0.0,
        "adam_beta2": 0.99,
        "adam_epsilon": 1e-8,
        "ema_kimg": 10.0,
        "mirror": True,
    }.items():
        assert config[name] == value, name


@pytest.mark.parametrize(
    ("devices", "base", "at_8", "at_64", "at_512"),
    [
        (1, 4, 128, 32, 4),
        (2, 8, 256, 32, 8),
        (4, 16, 256, 32, 16),
        (8, 32, 256, 32, 32),
    ],
)
def test_batches_grow_with_the_devices(devices, base, at_8, at_64, at_512):
    s = presets.make_config("paper1024", devices=devices).schedule
    assert s.batch == base
    assert [s.batch_at.get(r, s.batch) for r in (8, 64, 512)] == [at_8, at_64, at_512]
    assert s.lr_at == {128: 0.0015, 256: 0.002, 512: 0.003, 1024: 0.003}


def test_another_number_of_devices_takes_the_next_smaller_table():
    for devices, like in ((3, 2), (6, 4), (16, 8)):
        assert presets.make_config("paper256", devices=devices) == presets.make_config(
            "paper256", devices=like
        )


# ---------------------------------------------------------------------------
# The ablation ladder: what each rung has of the full network (table 1)

RUNGS = {
    # styles, pixel norm, instance norm, mapping layers, constant, noise, mixing
    "ladder-b": (False, True, False, 0, False, False, 0.0),
    "ladder-c": (True, False, True, 8, False, False, 0.0),
    "ladder-d": (True, False, True, 8, True, False, 0.0),
    "ladder-e": (True, False, True, 8, True, True, 0.0),
    "ladder-f": (True, False, True, 8, True, True, 0.9),
}


@pytest.mark.parametrize("name", RUNGS)
def test_rungs_of_the_ladder(name):
    g = presets.make_config(name).generator
    assert RUNGS[name] == (
        g.use_styles,
        g.use_pixel_norm,
        g.use_instance_norm,
        g.mapping_layers,
        g.const_input,
        g.use_noise,
        g.style_mixing_prob,
    )


def test_rungs_differ_in_the_generator_alone():
    full = flat(presets.make_config("paper1024"))
    for name in RUNGS:
        rung = flat(presets.make_config(name))
        others = {n for n in full if full[n] != rung[n] and n[:9] != "generator"}
        assert others == {"preset"}
    full["preset"] = "ladder-f"
    assert flat(presets.make_config("ladder-f")) == full


def test_the_progressive_gan():
    """Karras et al. 2018, with the hyper-parameters of its own."""
    config, b = (
        flat(presets.make_config("ladder-a")),
        flat(presets.make_config("ladder-b")),
    )
    changed = {
        "generator.blur_filter": (),
        "discriminator.blur_filter": (),
        "loss.g_loss": "wasserstein",
        "loss.d_loss": "wasserstein",
        "loss.r1_gamma": 0.0,
        "loss.gp_weight": 10.0,
        "loss.drift": 0.001,
        "schedule.initial_resolution": 4,
        "schedule.total_kimg": 12000.0,
        "schedule.lr_at": {1024: 0.0015},
    }
    assert {n: v for n, v in config.items() if v != b[n]} == changed | {
        "preset": "ladder-a"
    }
    assert config["loss.gp_target"] == 1 and config["schedule.lr"] == 0.001
    assert config["schedule.stable_kimg"] == config["schedule.fade_kimg"] == 600


# ---------------------------------------------------------------------------
# StyleGAN2: what each row of its table 1 has

ROWS = {
    # G, D, fmap_base, gamma, lazy, R1 every, path length, every, starts at, lr
    "b": ("revised", "revised", 8192, 10, False, 1, 0, 1, 8, 0.001),
    "c": ("revised", "revised", 8192, 10, True, 16, 0, 1, 8, 0.001),
    "d": ("revised", "revised", 8192, 10, True, 16, 2, 4, 8, 0.001),
    "e": ("skip", "residual", 8192, 100, True, 16, 2, 4, 1024, 0.002),
    "f": ("skip", "residual", 16384, 10, True, 16, 2, 4, 1024, 0.002),
}


@pytest.mark.parametrize("letter", ROWS)
def test_rows_of_stylegan2(letter):
    config = presets.make_config(f"stylegan2-{letter}")
    g, d, c, s = config.generator, config.discriminator, config.loss, config.schedule
    assert g.fmap_base == d.fmap_base and g.fmap_max == d.fmap_max == 512
    assert ROWS[letter] == (
        g.architecture,
        d.architecture,
        g.fmap_base,
        c.r1_gamma,
        c.lazy,
        c.d_reg_interval,
        c.pl_weight,
        c.g_reg_interval,
        s.initial_resolution,
        s.lr,
    )


def test_what_all_of_stylegan2_has():
    for letter in ROWS:
        config = flat(presets.make_config(f"stylegan2-{letter}"))
        for name, value in {
            "generator.mapping_layers": 8,
            "generator.mapping_lrmul": 0.01,
            "generator.style_mixing_prob": 0.9,
            "generator.w_avg_beta": 0.995,
            "generator.resample_filter": (1, 3, 3, 1),
            "discriminator.mbstd_group": 4,
            "loss.g_loss": "logistic_nonsaturating",
            "loss.d_loss": "logistic",
            "loss.pl_decay": 0.01,
            "loss.pl_shrink": 2,
            "schedule.total_kimg": 25000.0,
            "schedule.batch": 32,
            "adam_beta1": 0.0,
            "adam_beta2": 0.99,
            "adam_epsilon": 1e-8,
            "ema_kimg": 10.0,
        }.items():
            assert config[name] == value, name


def test_the_small_stylegan2_is_the_large_one():
    """Narrower and shorter; the ideas are all there."""
    small = presets.make_config("demo-stylegan2", 64)
    narrow = presets.make_config("demo-ladder-f", 64)
    assert small.generator.architecture == "skip"
    assert small.discriminator.architecture == "residual"
    assert small.loss.lazy_rates == (4 / 5, 16 / 17)
    assert small.schedule.initial_resolution == 64
    for name in ("z_dim", "w_dim", "mapping_width", "fmap_base", "fmap_max"):
        assert getattr(small.generator, name) == getattr(narrow.generator, name)


# ---------------------------------------------------------------------------
# The others


def test_dcgan_is_trained_as_its_paper_says():
    config = flat(presets.make_config("dcgan"))
    for name, value in {
        "generator.architecture": "dcgan",
        "discriminator.architecture": "dcgan",
        "generator.z_dim": 100,
        "generator.w_dim": 100,
        "generator.normalize_z": False,
        "loss.g_loss": "logistic_nonsaturating",
        "loss.d_loss": "logistic",
        "loss.r1_gamma": 0.0,
        "schedule.lr": 0.0002,
        "adam_beta1": 0.5,
        "adam_beta2": 0.999,
    }.items():
        assert config[name] == value, name
    assert not presets.make_config("dcgan").loss.has_penalty
    g = presets.make_config("dcgan", 64).generator
    assert [g.fmaps(r) for r in (4, 8, 16, 32)] == [512, 256, 128, 64]


def test_small_data_is_augmented_as_its_paper_says():
    config = presets.make_config("small-data").augment
    assert (config.kind, config.groups, config.adapt) == ("ada", "bgc", True)
    assert (config.p, config.target, config.kimg, config.interval) == (0, 0.6, 500, 4)


def test_the_table_is_aligned():
    lines = presets.preset_table().splitlines()
    assert len(lines) == 2 * len(presets.PRESETS)  # what it is for, what to expect
    texts = [t for p in presets.PRESETS.values() for t in (p.summary, p.expect)]
    columns = [line.index(t) for line, t in zip(lines, texts, strict=True)]
    assert set(columns[::2]) == {17} and set(columns[1::2]) == {18}
    assert max(map(len, lines)) <= 88


# ---------------------------------------------------------------------------
# StyleGAN2-ADA's and StyleGAN3's: the released scripts


@pytest.mark.parametrize(
    ("resolution", "devices", "batch", "group", "base", "rate", "gamma"),
    [
        (32, 1, 32, 4, 8192, 0.0025, 0.0064),
        (256, 1, 16, 4, 8192, 0.0025, 0.8192),
        (256, 8, 64, 4, 8192, 0.0025, 0.2048),
        (512, 8, 64, 4, 16384, 0.0025, 0.8192),
        (1024, 1, 4, 4, 16384, 0.002, 52.4288),
        (1024, 4, 16, 4, 16384, 0.002, 13.1072),
        (16, 128, 128, 1, 8192, 0.0025, 0.0004),
    ],
)
def test_stylegan2_ada_is_set_up_by_size_and_devices(
    resolution, devices, batch, group, base, rate, gamma
):
    c = flat(presets.make_config("stylegan2-ada", resolution, devices))
    assert c["schedule.batch"] == batch and c["schedule.lr"] == rate
    assert c["discriminator.mbstd_group"] == group
    assert c["generator.fmap_base"] == c["discriminator.fmap_base"] == base
    assert c["loss.r1_gamma"] == pytest.approx(gamma)
    assert c["ema_kimg"] == batch * 10 / 32 and c["ema_rampup"] == 0.05
    assert c["generator.mapping_layers"] == 2 and c["augment.kind"] == "ada"
    assert c["loss.pl_weight"] == 2 and c["loss.g_reg_interval"] == 4
    assert c["loss.lazy"] and c["loss.d_reg_interval"] == 16
    assert c["augment.target"] == 0.6 and c["augment.groups"] == "bgc"


@pytest.mark.parametrize(("kind", "base", "most"), [("t", 1, 512), ("r", 2, 1024)])
def test_stylegan3_is_trained_as_its_script_says(kind, base, most):
    config = presets.make_config(f"stylegan3-{kind}", 1024, 8)
    c = flat(config)
    assert c["generator.fmap_base"] == base * c["discriminator.fmap_base"] == base << 14
    assert c["generator.fmap_max"] == most and c["discriminator.fmap_max"] == 512
    assert c["generator.stylegan3.kernel_size"] == (3 if kind == "t" else 1)
    assert c["generator.stylegan3.radial"] == (kind == "r")
    assert c["generator.stylegan3.layers"] == 14
    assert c["generator.stylegan3.magnitude_beta"] == 0.5 ** (32 / 20000)
    assert c["augment.blur_init_sigma"] == (0 if kind == "t" else 10)
    assert c["augment.blur_fade_kimg"] == (0 if kind == "t" else 200)
    assert c["schedule.lr"] * c["schedule.d_lr_ratio"] == pytest.approx(0.002)
    assert config.loss.lazy_rates == (1.0, 16 / 17)  # G's Adam is not corrected
    assert c["loss.r1_gamma"] == 32 and c["generator.style_mixing_prob"] == 0
    assert c["generator.w_avg_beta"] == 0.998 and c["ema_kimg"] == 10
    gammas = [presets.make_config("stylegan3-t", r).loss.r1_gamma for r in (128, 512)]
    assert gammas == [0.5, 8]


def test_small_stylegan3_has_two_layers_per_octave():
    def layers(resolution):
        made = presets.make_config("stylegan3-t", resolution).generator
        return made.stylegan3.layers

    assert [layers(r) for r in (8, 16, 32, 64, 128, 256)] == [4, 6, 8, 10, 14, 14]
