"""step.py and trainer.py with augmentation, and with regularization in its own steps:
what is augmented, what adapts, and that a resumed run is the run that was not."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf.augment import ada, diffaugment
from stylegan_tf.augment.randomness import UNIFORMS, sample_uniforms
from stylegan_tf.config import run
from stylegan_tf.runs.reports import Report
from stylegan_tf.training import objectives, passes
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.passes import Clock
from stylegan_tf.training.randomness import StepInputs
from stylegan_tf.training.rounds import strided_part
from stylegan_tf.training.step import METRICS
from stylegan_tf.training.trainer import Trainer, make_networks

ADA = tiny.FIXED | {"augment.kind": "ada", "augment.groups": "color"}


def clock(nimg=0, p=0.0) -> Clock:
    alpha, lr, p = (tf.constant(value) for value in (1.0, 0.002, p))
    return Clock(tf.constant(nimg, tf.int64), alpha, lr, p)


def reals(n=4) -> tf.Tensor:
    rng = np.random.default_rng(0)
    return tf.constant(rng.integers(0, 256, (n, 8, 8, 3)), tf.uint8)


def after(changes: dict, p: float) -> dict[str, np.ndarray]:
    """All that an iteration leaves."""
    nets = make_networks(tiny.config(changes))
    step = tiny.make_step(nets, tiny.config(changes))
    step(reals(), tf.zeros([4, 0]), clock(p=p))
    return tiny.state(nets)


def test_ada_at_zero_changes_nothing():
    tiny.check_equal(after(ADA, 0.0), after(tiny.FIXED, 0.0))


@pytest.mark.parametrize(
    "changes, p", [(ADA, 1.0), (tiny.FIXED | {"augment.kind": "diffaugment"}, 0.0)]
)
def test_augmentation_reaches_both_networks(changes, p):
    plain, found = after(tiny.FIXED, 0.0), after(changes, p)
    changed = [name for name in found if not np.array_equal(plain[name], found[name])]
    assert any("discriminator/" in name for name in changed)
    assert any("generator/" in name for name in changed)


def test_real_and_drawn_pictures_are_augmented_alike(monkeypatch):
    """With random numbers of their own each, three times: D's two batches, and G's."""
    seen = []

    def spy(x, uniforms, p, groups):
        assert x.shape == (4, 8, 8, 3) and uniforms.shape == (4, UNIFORMS)
        seen.append((float(p), groups, uniforms.numpy()))
        return x

    monkeypatch.setattr(passes, "ada", spy)
    after(ADA, 0.25)
    assert [(p, groups) for p, groups, _ in seen] == [(0.25, "color")] * 3
    uniforms = [u for *_, u in seen]
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert not np.array_equal(uniforms[a], uniforms[b])


def test_r1_is_taken_on_the_pictures_before_augmentation(monkeypatch):
    """A darker view has a flatter slope, and the penalty sees it."""

    def penalty(factor):
        monkeypatch.setattr(passes, "ada", lambda x, *_: x * factor)
        nets = make_networks(tiny.config(ADA))
        step = tiny.make_step(nets, tiny.config(ADA))
        found = step(tf.fill([4, 8, 8, 3], np.uint8(128)), tf.zeros([4, 0]), clock())
        return dict(zip(METRICS, found.numpy(), strict=True))["penalty/r1"]

    assert penalty(0.5) == pytest.approx(penalty(1.0) / 4, rel=0.05)


def test_rounds_take_the_random_numbers_of_their_examples():
    uniforms = sample_uniforms(6, [1, 2])
    z = tf.range(6.0)[:, None]
    inputs = StepInputs(z, z, tf.constant(1), tf.zeros([6, 0]), fake_uniforms=uniforms)
    part = inputs.part(1, 3)
    np.testing.assert_array_equal(part.z[:, 0], [1, 4])
    np.testing.assert_array_equal(part.fake_uniforms, uniforms.numpy()[[1, 4]])
    assert part.real_uniforms is None
    np.testing.assert_array_equal(strided_part(z, 2, 3)[:, 0], [2, 5])


# ---------------------------------------------------------------------------
# The controller in a run

ADAPTS = ADA | {"augment.interval": 2, "augment.kimg": 0.08, "augment.target": -1.0}
ADAPTS |= {"schedule.total_kimg": 0.024, "snapshot_ticks": 1}


class Watch(Report):
    """Writes down p at every tick; copies the run as a kill at 12 images leaves it."""

    def __init__(self, copy_to=None):
        self.copy_to, self.ps = copy_to, []

    def tick(self, trainer, stats):
        self.ps.append((trainer.state.nimg, stats.get("augment/p")))

    def step(self, trainer):
        if self.copy_to and trainer.state.nimg == 16:  # 12 is the newest checkpoint
            tiny.copy_run(trainer.run_dir, self.copy_to, 12)


def check_resumed(changes: dict, pictures, tmp_path) -> tuple[Trainer, Watch, Watch]:
    """A run of six steps is one that was killed after three, resumed: to the bit."""
    config = tiny.config(changes | {"schedule.tick_kimg": 0.004})
    first, second = Watch(tmp_path / "killed"), Watch()
    whole = Trainer(config, pictures, tmp_path / "whole", reports=[first])
    whole.train()
    again = Trainer(config, pictures, tmp_path / "killed", reports=[second])
    assert again.restore() and again.state.nimg == 12
    again.train()
    tiny.check_equal(tiny.state(whole.networks), tiny.state(again.networks))
    return whole, first, second


def test_p_follows_the_signs_is_logged_saved_and_resumed(pictures, tmp_path):
    """Three steps are no multiple of the interval: half a count is resumed too."""
    whole, first, second = check_resumed(ADAPTS, pictures, tmp_path)
    # Above the target every time: up by 8 images of 80.
    assert [p for _, p in first.ps[1::2]] == pytest.approx([0.1, 0.2, 0.3])
    assert second.ps == first.ps[3:]
    assert whole.augment.state()[0] == pytest.approx(0.3)


def test_p_stays_where_it_is_told_to(pictures, tmp_path):
    fixed = tiny.config(ADAPTS | {"augment.adapt": False, "augment.p": 0.4})
    trainer = Trainer(fixed, pictures, tmp_path)
    told = []
    metrics = tf.ones(len(METRICS))
    trainer._compiled_step = lambda *_: lambda *a: told.append(a[-1].p) or metrics
    for _ in range(4):
        trainer.step()
    np.testing.assert_allclose(told, [0.4] * 4)


# ---------------------------------------------------------------------------
# StyleGAN2 in a run

LAZY = tiny.FIXED | {
    "generator.architecture": "skip",
    "discriminator.architecture": "residual",
    "loss.lazy": True,
    "loss.pl_weight": 2.0,
    "loss.g_reg_interval": 2,
    "loss.d_reg_interval": 2,
    "schedule.total_kimg": 0.024,
    "snapshot_ticks": 1,
}


def test_stylegan2_resumes_to_the_bit(pictures, tmp_path):
    whole, *_ = check_resumed(LAZY, pictures, tmp_path)
    assert whole.networks.path_length.numpy() > 0
    for optimizer in (whole.networks.g_optimizer, whole.networks.d_optimizer):
        assert optimizer.step.numpy() == 6 + 3  # every other step is followed by one
        assert optimizer.beta2 == pytest.approx(0.99 ** (2 / 3))


def test_path_lengths_are_measured_where_they_are_due(pictures, tmp_path):
    config = tiny.config(LAZY)
    nets = make_networks(config)
    step = tiny.make_step(nets, config, regularization=Regularization(False, False))
    step(reals(), tf.zeros([4, 0]), clock())
    assert nets.path_length.numpy() == 0
    step = tiny.make_step(nets, config, regularization=Regularization(False, True))
    found = step(reals(), tf.zeros([4, 0]), clock())
    told = dict(zip(METRICS, found.numpy(), strict=True))
    assert told["penalty/path_length"] > 0 and told["penalty/r1"] == 0
    assert nets.path_length.numpy() == pytest.approx(told["path_length/mean"])
    assert len(step.sample_for_path_lengths(tf.constant(0, tf.int64)).z) == 2


def test_rounds_add_up_in_the_lazy_steps_too(monkeypatch):
    """But for the minibatch statistic, which is off, and the share of the mean."""
    off = LAZY | {"discriminator.mbstd_group": 1, "loss.pl_decay": 0.0}
    off |= {"augment.kind": "none", "generator.use_noise": False}
    off |= {"generator.style_mixing_prob": 0.0, "loss.pl_shrink": 1}
    states = []
    for rounds in (1, 2):
        config = tiny.config(off | {"accumulate": rounds})
        nets = make_networks(config)
        tiny.shake(nets)
        step = tiny.make_step(nets, config)
        # One direction for all, as each round samples its own.
        monkeypatch.setattr(
            objectives, "sample_direction", lambda *args: tf.ones(args[-1])
        )
        start = tiny.state(nets)
        step(reals(), tf.zeros([4, 0]), clock())
        states.append(tiny.state(nets))
    tiny.check_close(start, *states, 1e-3)


def test_average_ramps_up_with_the_images_seen():
    config = tiny.config(tiny.FIXED | {"ema_kimg": 1.0, "ema_rampup": 0.5})
    step = tiny.make_step(None, config)
    assert float(step.average_beta(tf.constant(0))) == 0
    assert float(step.average_beta(tf.constant(8))) == pytest.approx(0.5)
    assert float(step.average_beta(tf.constant(10**6))) == pytest.approx(
        0.5 ** (4 / 1000)
    )


def test_a_path_length_that_is_not_finite_does_not_spoil_the_mean():
    config = tiny.config(LAZY)
    nets = make_networks(config)
    step = tiny.make_step(nets, config)
    inputs = step.sample_for_path_lengths(tf.constant(0, tf.int64))
    step.regularize_generator(inputs, clock())
    mean = nets.path_length.numpy()
    before = tiny.state(nets)
    bad = tf.fill([2, 8, 8, 3], np.float32(np.nan))
    told = step.regularize_generator(inputs, clock(), bad)
    assert told["skipped/g"].numpy() == 1
    assert nets.path_length.numpy() == mean > 0
    averages = ("w_avg",)  # of pictures that were drawn all the same
    for name, value in tiny.state(nets).items():
        if not name.endswith(averages):
            np.testing.assert_array_equal(value, before[name], name)


def test_steps_that_are_skipped_add_up(monkeypatch):
    config = tiny.config(LAZY)
    step = tiny.make_step(make_networks(config), config)
    for name in ("update_discriminator", "regularize_discriminator"):
        done = getattr(step, name)
        monkeypatch.setattr(
            step, name, lambda *a, done=done: done(*a) | {"skipped/d": tf.ones([])}
        )
    found = step(reals(), tf.zeros([4, 0]), clock())
    assert found.numpy()[METRICS.index("skipped/d")] == 2


def test_names_of_augmentations_are_those_that_there_are():
    """The config knows them without TensorFlow."""
    assert set(run.GROUPS) == set(ada.GROUPS)
    for policy in run.POLICIES:
        x = tf.zeros([1, 8, 8, 3])
        assert (
            diffaugment.diffaugment(x, sample_uniforms(1, [1, 2]), (policy,)).shape
            == x.shape
        )
