"""Numbers that go wrong: what is kept out, what is warned of, what is diagnosed."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from launching import call, train_flags
from PIL import Image

from stylegan_tf import models
from stylegan_tf.augment.controller import Controller
from stylegan_tf.data import records, shards, sources
from stylegan_tf.errors import UserError
from stylegan_tf.networks import ops
from stylegan_tf.networks.generator import Generator
from stylegan_tf.runs import guard, reports, session
from stylegan_tf.training import divergence
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.passes import Clock
from stylegan_tf.training.step import METRICS, measure_spread
from stylegan_tf.training.ticks import TickStats
from stylegan_tf.training.trainer import Trainer, make_networks

NAN = float("nan")
CLOCK = Clock(tf.constant(8, tf.int64), 1.0, 0.01, 0.0)

DCGAN = tiny.FIXED | {
    "generator.architecture": "dcgan",
    "discriminator.architecture": "dcgan",
    "generator.mapping_layers": 0,
    "generator.w_dim": 16,
    "loss.r1_gamma": 0.0,
}
KINDS = {
    "stylegan": {},
    "path lengths": {"loss.pl_weight": 2.0, "loss.lazy": True},
    "dcgan": DCGAN,
}


# ---------------------------------------------------------------------------
# What is kept out


@pytest.mark.parametrize("kind", KINDS)
def test_one_bad_label_harms_no_weight_and_no_mean(kind):
    changes = {"classes": 3, "generator.resolution": 8} | KINDS[kind]
    config = tiny.config(changes)
    nets = make_networks(config)
    labels = np.eye(4, 3, dtype=np.float32)
    step = tiny.make_step(nets, config, label_table=labels)
    images = tf.zeros([4, 8, 8, 3], tf.uint8)
    labels[2, 1] = NAN
    metrics = dict(zip(METRICS, step(images, labels, CLOCK).numpy(), strict=True))
    assert metrics["skipped/d"] > 0
    assert not [n for n, v in tiny.state(nets).items() if not np.isfinite(v).all()]
    assert not ops.names_not_finite(nets.running_means)


def test_the_average_takes_in_nothing_that_is_not_finite():
    config = tiny.config()
    nets = make_networks(config)
    before = nets.average.get_weights()
    for v in nets.generator.weights:
        v.assign(np.full(v.shape, NAN, np.float32))
    tiny.make_step(nets, config).update_average()
    for old, new in zip(before, nets.average.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_augmentation_does_not_follow_a_sign_that_is_none():
    controller = Controller(interval=2, kimg=0.008)
    for sign in (1.0, NAN, 1.0):
        controller.update(sign, 4)
    assert (controller.p, controller.r) == (1.0, 1.0)


def test_means_of_a_tick_are_of_the_finite_numbers():
    tick = TickStats(nimg=0)
    for values in ({"loss/d": 1.0}, {"loss/d": np.inf, "skipped/d": 1.0}):
        row = [values.get(n, NAN if n == "loss/g" else 0.0) for n in METRICS]
        tick.add(tf.constant(row), Regularization(False, False))
    means = tick.means()
    assert means["loss/d"] == 1 and np.isnan(means["loss/g"])
    assert means["penalty/r1"] == 0  # no step had it
    assert tick.not_finite() == {"loss/g": 2, "loss/d": 1}
    assert tick.skipped() == 1 and not tick.divergence()


@pytest.mark.parametrize(
    ("values", "seen"),
    [
        ({"scores/fake": 900.0, "skipped/d": 0.5}, ""),
        ({"scores/fake": -4e11}, "D's scores .* were 0 and -4e.11"),
        ({"scores/real": 2e6, "scores/fake": NAN}, "D's scores .* were 2e.06 and nan"),
        ({"skipped/g": 1.0, "scores/real": 2e6}, "most of 2 steps had a gradient"),
    ],
)
def test_a_tick_that_leads_nowhere_is_told(values, seen):
    tick = TickStats(nimg=0)
    for _ in range(2):
        row = [values.get(name, 0.0) for name in METRICS]
        tick.add(tf.constant(row), Regularization(False, False))
    assert (
        re.fullmatch(seen + ".*", tick.divergence()) if seen else not tick.divergence()
    )


def test_a_file_with_numbers_that_are_not_finite_is_named(tmp_path):
    g = Generator(tiny.config().generator)
    g.w_avg.assign(np.where(np.arange(8) == 3, NAN, 0).astype(np.float32))
    g.save(tmp_path / "generator.keras")
    for open_it in (models.load, models.load_networks):
        with pytest.raises(UserError, match=r"in 1 of \d+ arrays: generator/w_avg;"):
            open_it(tmp_path)


def test_a_checkpoint_of_before_has_its_means_measured_anew(pictures, tmp_path):
    trainer = Trainer(tiny.config(), pictures, tmp_path)
    nets = trainer.networks
    nets.generator.w_avg.assign(np.full(8, NAN, np.float32))
    trainer.state.save()
    assert trainer.restore()
    assert not np.any(nets.generator.w_avg.numpy())
    assert (
        "w_avg were not finite and are measured anew" in trainer._reporting.waiting[0]
    )
    kernel = nets.discriminator.trainable_variables[0]
    kernel.assign(np.full(kernel.shape, np.inf, np.float32))
    trainer.state.save()
    with pytest.raises(UserError, match=f"not finite in 1 arrays: {kernel.path}"):
        trainer.restore()


# ---------------------------------------------------------------------------
# What is warned of


def test_spread_is_that_of_the_pictures_and_none_of_copies():
    rng = np.random.default_rng(0)
    reals = tf.constant(rng.normal(size=[8, 256, 256, 3]), tf.float32)
    spread = measure_spread(reals, tf.repeat(reals[:1], 8, axis=0))
    assert float(spread["spread/real"]) == pytest.approx(1, rel=0.05)
    assert float(spread["spread/fake"]) == pytest.approx(0, abs=1e-6)


HEALTHY = {"scores/real": 2.0, "scores/fake": -3.0, "spread/real": 0.5}
HEALTHY |= {"spread/fake": 0.4, "signs/real": 0.6, "signs/fake": -0.7, "loss/d": 0.5}
TROUBLE = {
    "runaway": ({"scores/fake": -4e11}, "schedule.lr"),
    "collapse": ({"spread/fake": 0.001}, "all alike"),
    "saturated": (
        {"signs/real": 1.0, "signs/fake": -1.0, "loss/d": 1e-4},
        "augment.kind=ada",
    ),
}


@pytest.mark.parametrize("kind", TROUBLE)
def test_trouble_is_named_with_what_to_try(kind):
    changes, text = TROUBLE[kind]
    found = guard.signs_of_trouble(tiny.config(), HEALTHY | changes)
    assert list(found) == [kind] and text in found[kind]
    assert "--gamma than 10" in found[kind]


def test_health_and_stats_of_older_versions_are_no_trouble():
    for stats in (HEALTHY, {}, dict.fromkeys(HEALTHY, NAN)):
        assert guard.signs_of_trouble(tiny.config(), stats) == {}


class Listener:
    def __init__(self):
        self.config, self.texts = tiny.config(), []

    def warn(self, text):
        self.texts.append(text)


def test_warnings_wait_for_what_lasts_and_are_seldom_said_again():
    report, trainer = guard.Guard(), Listener()
    said = []
    for number in range(1, 50):
        bad = TROUBLE["collapse"][0] if number != 3 else {}
        report.tick(trainer, HEALTHY | bad)
        said.append(len(trainer.texts))
    assert [i + 1 for i in range(1, 49) if said[i] > said[i - 1]] == [8, 18, 38]
    report.tick(trainer, HEALTHY | TROUBLE["runaway"][0])  # at once
    assert len(trainer.texts) == 4


# ---------------------------------------------------------------------------
# What is diagnosed

STATS = HEALTHY | {"skipped/g": 1.0, "skipped/d": 1.0}
LABELS = np.eye(3, dtype=np.float32)
CAUSES = {
    "labels of the data": ({}, {}, np.array([[NAN]]), []),
    "Weights are not finite: a/kernel": ({}, {}, LABELS, ["a/kernel"]),
    "ran away (2, -4e+11)": ({"scores/fake": -4e11}, {}, LABELS, []),
    "ran away (2, not finite)": ({"scores/fake": NAN}, {}, LABELS, []),
    "lower --gamma than 10": ({}, {"penalty/r1": 3}, LABELS, []),
    "path lengths": ({}, {"penalty/path_length": 3}, LABELS, []),
    "G's and D's gradients": ({}, {"grad_norm/d": 3}, LABELS, []),
    "G's gradients": ({"skipped/d": 0.0}, {"grad_norm/g": 3}, LABELS, []),
}


@pytest.mark.parametrize("cause", CAUSES)
def test_a_diagnosis_names_the_cause(cause):
    changes, bad, labels, weights = CAUSES[cause]
    text = divergence.diagnose(tiny.config(), STATS | changes, bad, labels, weights)
    assert cause in text


def test_the_rate_to_try_is_that_of_the_sizes():
    at = {"schedule.lr_at": {8: 0.002}, "precision": "bfloat16"}
    text = divergence.diagnose(tiny.config(at), STATS, {}, LABELS, [])
    assert """--set=schedule.lr_at='{"8": 0.001}'""" in text
    text = divergence.diagnose(tiny.config(at), STATS, {}, LABELS, [], rate=0.25)
    assert """--set=schedule.lr_at='{"8": 0.00025}'""" in text  # 0.0005 has failed, too
    assert "--precision=float32" in text


# ---------------------------------------------------------------------------
# The whole command


@pytest.fixture
def vectors(tmp_path):
    """A data set of label vectors; those beside the pictures of 8 x 8 become NaN."""
    folder = tmp_path / "in"
    folder.mkdir()
    for i in range(4):
        Image.new("RGB", (8, 8), (60 * i, 9, 9)).save(folder / f"{i}.png")
    labels = {"labels": [[f"{i}.png", [0.5 * i, 1.0]] for i in range(4)]}
    (folder / "dataset.json").write_text(json.dumps(labels))
    source = sources.open_source(str(folder), "auto", False)
    made = records.write_dataset(source, tmp_path / "set", workers=1)
    content = json.loads((made.folder / "manifest.json").read_text())
    level = content["levels"]["8"]
    for i, path in enumerate(map(Path, made.paths(8))):
        rows = [r.numpy() for r in tf.data.TFRecordDataset(str(path))]
        with tf.io.TFRecordWriter(str(path)) as writer:
            for example in map(tf.train.Example.FromString, rows):
                feature = example.features.feature["label_vector"]
                feature.float_list.value[0] = NAN
                writer.write(example.SerializeToString())
        level["sizes"][i] = path.stat().st_size
        level["crc32"][i] = shards.file_crc32(path)
    (made.folder / "manifest.json").write_text(json.dumps(content))
    return made.folder


def test_a_run_on_labels_that_are_none_stops_without_a_model(
    vectors, tmp_path, monkeypatch
):
    """The check at the start looks at those of 4 x 4."""
    monkeypatch.setattr(session, "default_reports", lambda: [reports.Log()])
    tf.config.run_functions_eagerly(True)
    flags = train_flags(vectors, tmp_path / "runs", gamma=0)
    flags += ["--set=schedule.tick_kimg=0.004", "--set=schedule.initial_resolution=8"]
    try:
        code, said, error = call("train", *flags)
    finally:
        tf.config.run_functions_eagerly(False)
    assert code == 1 and not error, error
    assert "The labels of the data set have numbers that are not finite" in said
    assert "no model is written" in said and "finished" not in said
    assert said.count("goes back to 0 kimg") == 2
    (run,) = (tmp_path / "runs").glob("0*")
    assert not (run / "model").exists() and not (run / "sheet.png").exists()
