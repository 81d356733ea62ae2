"""metrics/evaluation.py and metrics/pictures.py: pictures by number, and scores."""

import functools
import hashlib
import json

import numpy as np
import pytest
import reference
import tensorflow as tf
import tiny

from stylegan_tf import config as configs
from stylegan_tf import devices, figures, latents, sampling
from stylegan_tf.config import Growth
from stylegan_tf.data import pipeline
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import results, subject, suite
from stylegan_tf.metrics.evaluation import Evaluation, StoppedError
from stylegan_tf.metrics.features import open_network
from stylegan_tf.metrics.pictures import (
    Fakes,
    LabelSampler,
    PathSteps,
    Reals,
    default_batch,
)
from stylegan_tf.metrics.scores import (
    disentanglement,
    distribution,
    manifold,
    path_length,
)
from stylegan_tf.metrics.scores.separability import attribute_logits, separability
from stylegan_tf.metrics.tables import Table
from stylegan_tf.networks.generator import Generator

NUM = 30
CHANGES = {"generator.z_dim": 4, "generator.w_dim": 4, "generator.mapping_width": 4}


class Toy:
    """A network of plain sums, which counts the pictures it has seen."""

    name, size = "toy-v1", 6

    def __init__(self, gain: float = 1.0):
        self.gain, self.seen = gain, 0

    def __call__(self, images):
        self.seen += len(images)
        x = images.astype(np.float32).reshape(len(images), 2, -1, 3).mean(axis=2)
        return self.gain * x.reshape(len(images), 6)

    def probabilities(self, images):
        x = np.exp(self(images) / 50)
        return x / x.sum(axis=1, keepdims=True)

    def manifold(self, images):
        return self(images)[:, :2]

    def factors(self, images):
        return {"class": self.probabilities(images)[:, :3], "light": self(images)[:, 0]}

    def distance(self, a, b):
        return tf.reduce_mean(tf.square(a - b), axis=[1, 2, 3])


@functools.cache
def model(
    classes: int = 0, replicas: int = 1, growth: Growth | None = None
) -> Generator:
    settings = tiny.config(CHANGES | {"classes": classes}).generator
    tf.keras.utils.set_random_seed(3)
    made = tiny.noisy(Generator(settings, growth))
    return subject.replicate_generator(made, strategy(replicas))


def strategy(replicas: int = 1):
    return devices.make_strategy({1: "one", 2: "mirrored"}[replicas])


@functools.cache
def fakes_of(classes: int, replicas: int, growth: Growth | None, data) -> Fakes:
    """Compiled once for all tests that draw with the same model."""
    made = model(classes, replicas, growth)
    return Fakes(made, strategy(replicas), LabelSampler(made, data))


@functools.cache
def ways_of(replicas: int) -> dict:
    """Likewise for steps."""
    return {}


def evaluation(pictures, folder, network=None, replicas=1, **settings):
    how = {"batch": 8, "cache": folder / "cache", "out": folder} | settings
    made, network = model(replicas=replicas), network or Toy()
    e = Evaluation(made, pictures, network, strategy(replicas), **how)
    e._fakes, e._path_steps = fakes_of(0, replicas, None, None), ways_of(replicas)
    return e


# ---------------------------------------------------------------------------
# Pictures by number


def drawn(classes=0, replicas=1, batch=8, count=16, growth=None, data=None):
    fakes = fakes_of(classes, replicas, growth, data)
    parts = [
        fakes.draw(fakes.inputs(range(i, i + batch))) for i in range(0, count, batch)
    ]
    return {k: np.concatenate([p[k] for p in parts]) for k in parts[0]}


def test_picture_number_i_is_seed_i_untruncated_with_its_own_noise():
    found = drawn()
    seeds = sampling.draw(model(), range(16), noise="random")
    np.testing.assert_array_equal(found["images"], [picture for _, picture in seeds])
    z = latents.z_of(list(range(16)), 4)
    np.testing.assert_array_equal(found["z"], z)
    np.testing.assert_allclose(found["w"], model().mapping(z), atol=1e-6)


@pytest.mark.parametrize(("replicas", "batch"), [(1, 4), (2, 8)])
def test_batch_and_replicas_change_no_picture(replicas, batch, pictures):
    """But for rounding, which may tip a pixel over."""
    first, other = drawn(5, data=pictures), drawn(5, replicas, batch, data=pictures)
    np.testing.assert_allclose(other["w"], first["w"], atol=1e-5)
    gap = np.abs(first["images"].astype(int) - other["images"])
    assert gap.max() <= 1 and gap.mean() < 0.01
    assert np.ptp(first["images"][:, 0, 0, 0]) > 5


def test_labels_are_those_of_the_data(pictures):
    table = pipeline.dataset_labels(pictures)
    labels = LabelSampler(model(5), pictures)(range(2000))["labels"]
    np.testing.assert_array_equal(labels.sum(axis=1), 1)
    np.testing.assert_allclose(labels.mean(axis=0), table.mean(axis=0), atol=0.05)
    np.testing.assert_array_equal(
        LabelSampler(model(5), pictures)(range(7, 9))["labels"], labels[7:9]
    )
    assert LabelSampler(model(), pictures)(range(9)) == {}
    with pytest.raises(UserError, match="model has 3 classes, the data has 5"):
        LabelSampler(model(3), pictures)


def test_a_model_that_has_not_grown_up_is_enlarged():
    found = drawn(growth=Growth(4))["images"]
    young = model(growth=Growth(4))
    small = [p for _, p in sampling.draw(young, range(16), noise="random")]
    assert small[0].shape == (4, 4, 3)
    np.testing.assert_array_equal(found, figures.enlarge(np.stack(small), 2))


def test_a_resolution_that_fades_in_is_measured_with_its_blend():
    settings = tiny.config({"resolution": 16}).generator
    made = tiny.noisy(Generator(settings, Growth(8, 0.3)))
    fakes = Fakes(
        subject.replicate_generator(made, strategy()),
        strategy(),
        LabelSampler(made, None),
    )
    inputs = fakes.inputs(range(4))
    ws = made.broadcast(made.mapping(inputs["z"]))
    below, new = (
        made.synthesis(ws, noise=inputs["maps"], resolution=r, alpha=1.0).numpy()
        for r in (4, 8)
    )
    images = figures.to_uint8(reference.faded(below, new, 0.3))
    found = fakes.draw(inputs)["images"].astype(int)
    np.testing.assert_allclose(found, figures.enlarge(images, 2), atol=1)


def test_a_model_that_draws_no_numbers_has_none(pictures, tmp_path):
    broken = subject.replicate_generator(model(), strategy())
    last = broken.synthesis.trainable_weights[-1]
    last.assign(last * np.nan)
    fakes = Fakes(broken, strategy(), LabelSampler(broken, None))
    with pytest.raises(UserError, match="pictures that are not finite"):
        fakes.draw(fakes.inputs(range(4)))
    e = Evaluation(broken, pictures, Toy(), strategy(), tmp_path, cache=tmp_path)
    with pytest.raises(UserError, match="pictures that are not finite"):
        e.run(suite.parse_metrics("fid50k", NUM))
    with pytest.raises(UserError, match="ppl30_wend failed: .* not finite"):
        e.run(suite.parse_metrics("ppl_wend", NUM))
    assert results.read_results(tmp_path) == []


def test_real_pictures_come_in_stored_order_and_begin_again(pictures):
    stored = pipeline.first_images(pictures, 8, 24)
    reals = Reals(pictures, 8, mirror=False)
    found = [reals.inputs(range(i, i + 10)) for i in (0, 10, 20, 5)]
    np.testing.assert_array_equal(np.concatenate(found[:2]), stored[:20])
    np.testing.assert_array_equal(found[2], np.concatenate([stored[20:], stored[:6]]))
    np.testing.assert_array_equal(found[3], stored[5:15])


def test_about_half_of_the_reals_are_mirrored_whatever_the_batch(pictures):
    stored = pipeline.first_images(pictures, 8, 24)
    mirrored = Reals(pictures, 8, True).inputs(range(24))
    flipped = (mirrored == stored[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (mirrored == stored).all(axis=(1, 2, 3))
    assert (flipped | kept).all() and 4 < flipped.sum() < 20
    other = Reals(pictures, 8, True).inputs(range(3, 11))
    np.testing.assert_array_equal(other, mirrored[3:11])


@pytest.mark.parametrize("space", path_length.SPACES)
@pytest.mark.parametrize("sampling_", path_length.SAMPLINGS)
def test_steps_are_path_distances_by_number(space, sampling_, pictures):
    made, squares = model(5), Toy().distance
    steps = PathSteps(
        made, strategy(), LabelSampler(made, pictures), squares, space, sampling_
    )
    rows = steps.inputs(range(3, 7))
    found = steps.measure(rows, frozenset({"face", "whole"}))
    z = latents.z_of(list(range(6, 14)), 4)
    np.testing.assert_array_equal(rows["z"].reshape(8, 4), z)
    assert (rows["t"] > 0).all() == (sampling_ == "full")
    noise = latents.noise_of([3, 4, 5, 6] * 2, made.config.noise_shapes(8))
    labels = np.repeat(rows["labels"], 2, axis=0)
    for name, crop in (("face", True), ("whole", False)):
        expected = path_length.path_distances(
            made, z, rows["t"], squares, space, crop, labels, noise
        )
        np.testing.assert_allclose(found[name], expected, rtol=0.05)
    assert np.all(found["whole"] > 0) and np.any(found["whole"] != found["face"])


def test_steps_are_the_same_on_two_replicas():
    found = []
    for replicas in (1, 2):
        made = model(replicas=replicas)
        how = LabelSampler(made, None), Toy().distance, "w", "end"
        steps = PathSteps(made, strategy(replicas), *how)
        steps = ways_of(replicas).setdefault(("w", "end"), steps)
        rows = steps.inputs(range(8))
        found.append(steps.measure(rows, frozenset({"whole"}))["whole"])
    np.testing.assert_allclose(*found, rtol=0.05)


def test_batches_suit_the_size():
    assert default_batch(32, 32) == 64 and default_batch(32, 32, 4) == 256
    assert default_batch(1024, 1024) == 4 and default_batch(256, 128) == 8


# ---------------------------------------------------------------------------
# Numbers


@pytest.fixture(scope="module")
def whole(pictures, tmp_path_factory):
    """All metrics of a model, each in one go: folder, network, rows."""
    folder, network = tmp_path_factory.mktemp("whole"), Toy()
    e = evaluation(pictures, folder, network)
    requests = suite.parse_metrics("all", NUM)  # equivariance is of StyleGAN3 alone
    return folder, network, e.run([r for r in requests if not r.name.startswith("eq")])


def values(rows) -> dict:
    return {row["metric"]: row["value"] for row in rows}


def features_of(network, images):
    return network(images).astype(np.float64)


def test_numbers_are_those_of_all_pictures_and_no_others(whole, pictures):
    """Each from its own pictures, drawn here one by one."""
    found, network = values(whole[2]), Toy()
    seeds = sampling.draw(model(), range(NUM), noise="random")
    images = np.stack([picture for _, picture in seeds])
    stored = pipeline.first_images(pictures, 8, 24)
    fake, real = network(images), network(stored)
    wrapped = network(np.concatenate([stored, stored[:6]]))

    def fid(a, b):
        pair = [distribution.Moments(6), distribution.Moments(6)]
        for moments, rows in zip(pair, (a, b), strict=True):
            moments.add(rows)
        return distribution.frechet_distance(*pair)

    close = functools.partial(pytest.approx, rel=1e-4)
    assert found["fid30"] == close(fid(wrapped, fake))
    assert found["fid30_full"] == close(fid(real, fake))
    assert found["fid30"] != pytest.approx(found["fid30_full"], rel=1e-3)
    kid = distribution.kernel_distance(real, fake)[0]
    assert found["kid30"] == found["kid30_full"] == close(kid)
    mean, std = distribution.inception_score(network.probabilities(images))
    assert (found["is30_mean"], found["is30_std"]) == (close(mean), close(std))
    cover = manifold.precision_recall(
        network.manifold(stored), network.manifold(images)
    )
    assert {k: found[f"pr303_{k}"] for k in cover} == close(cover)
    z = latents.z_of(list(range(NUM)), 4)
    w, logits = model().mapping(z).numpy(), attribute_logits(network.factors(images))
    assert found["ls30_w"] == close(separability(w, logits).score)
    assert found["ls30_z"] == close(separability(z, logits).score)
    factors = network.factors(images)
    for space, codes in (("w", w), ("z", z)):
        scores = disentanglement.disentanglement_scores(codes, factors)
        for name, value in scores.items():
            head, *part = name.split("_")
            key = "_".join([f"{head}30", space, *part])
            assert found[key] == close(value), key
    assert found["dci30_w_d"] != found["dci30_z_d"]


def test_path_lengths_are_those_of_all_steps(whole, pictures):
    found = values(whole[2])
    for name, way in (
        ("ppl30_zfull", ("z", "full", "face")),
        ("ppl30_wfull", ("w", "full", "face")),
        ("ppl30_zend", ("z", "end", "face")),
        ("ppl30_wend", ("w", "end", "face")),
        ("ppl2_30_wend", ("w", "end", "whole")),
    ):
        steps = ways_of(1)[way[:2]]
        rows = [
            steps.measure(steps.inputs(range(i, i + 10)), frozenset({way[2]}))[way[2]]
            for i in (0, 10, 20)
        ]
        expected = distribution.trimmed_mean(np.concatenate(rows))
        assert found[name] == pytest.approx(expected, rel=0.03), name


def test_every_row_says_what_it_is(whole):
    folder, _, rows = whole
    assert rows == results.read_results(folder)
    assert len(rows) == 16 + 1 + 1 + 3 + 3 + 1 + 5 + 1 + 1
    for row in rows:
        assert row["network"] == "toy-v1" and row["num"] == NUM
        assert results.metric_label(row) == f"{row['metric']}[toy-v1]"
        assert {"nimg", "seconds", "date", "model", "data"} <= set(row)
    notes = {row["metric"]: row.get("note", "") for row in rows}
    assert "24 real pictures" in notes["pr303_recall"]
    assert "singular" not in notes["fid30"]
    lines = results.results_table(rows, {"x": "of no reason"}).splitlines()
    assert lines[2].startswith("| fid30[toy-v1] ") and lines[-1] == "no x: of no reason"
    assert not (folder / "evaluation").exists()


def test_pictures_are_looked_at_once(pictures, tmp_path):
    """Fakes for Frechet and kernel distance, reals for both of them."""
    network = Toy()
    e = evaluation(pictures, tmp_path, network, batch=NUM // 3)
    e.run(suite.parse_metrics("fid50k,kid50k", NUM))
    probe = 4
    assert network.seen == probe + NUM + 30  # 24 reals in batches of 10
    e.run(suite.parse_metrics("fid50k,kid50k", NUM))
    assert network.seen == probe + NUM + 30
    later = evaluation(pictures, tmp_path, network, batch=NUM // 3, out=tmp_path / "b")
    later.run(suite.parse_metrics("fid50k,kid50k", NUM))
    assert network.seen == 2 * probe + 2 * NUM + 30  # the reals are in the cache


def test_two_replicas_and_other_batches_give_the_same_numbers(
    whole, pictures, tmp_path
):
    names = ["fid50k", "kid50k_full", "pr50k3", "ppl_wend", "ls"]
    for replicas, batch in ((2, 6), (1, 5)):
        out = tmp_path / str(batch)
        e = evaluation(pictures, out, replicas=replicas, batch=batch)
        found = values(e.run(suite.parse_metrics(names, NUM)))
        expected = {k: v for k, v in values(whole[2]).items() if k in found}
        assert found == pytest.approx(expected, rel=0.02, abs=1e-6)


def test_a_stopped_evaluation_goes_on(whole, pictures, tmp_path):
    calls = []

    def stop():
        calls.append(1)
        return len(calls) > 5  # 3 batches of reals, 3 of fakes

    network = Toy()
    with pytest.raises(StoppedError):
        evaluation(pictures, tmp_path, network, stop=stop).run(
            suite.parse_metrics("fid30")
        )
    assert results.read_results(tmp_path) == []
    seen = network.seen
    rows = evaluation(pictures, tmp_path, network).run(suite.parse_metrics("fid30"))
    assert values(rows)["fid30"] == values(whole[2])["fid30"]
    assert network.seen - seen == 4 + 8  # the probe and the last batch
    assert not (tmp_path / "evaluation").exists()


def test_the_key_says_how_far_a_model_has_faded_in(pictures, tmp_path):
    """But for a level that has, whose numbers of before stay its own."""
    made, found = subject.replicate_generator(model(), strategy()), {}
    for growth in [(8, 1.0), (8, 0.3), (8, 0.6), (4, 1.0), (4, 0.3)]:
        made.growth = Growth(*growth)
        e = evaluation(pictures, tmp_path)
        e.model = made
        found[growth] = e.model_key
    assert len(set(found.values())) == len(found)
    digest = hashlib.sha256(json.dumps([configs.to_dict(made.config), 4]).encode())
    for v in made.weights:
        digest.update(v.numpy().tobytes())
    assert found[4, 1.0] == digest.hexdigest()[:12]


def test_what_changes_the_number_changes_the_key(pictures, tmp_path):
    def keys(network=None, mirror=False, **settings):
        e = evaluation(pictures, tmp_path, network, mirror=mirror, **settings)
        return {
            "reals": e.reals_folder(mirror),
            "fakes": e.work,
            "row": json.dumps(e._identity(suite.parse_metrics("fid5k")[0])),
        }

    first = keys()
    assert keys(batch=3) == first
    other = keys(mirror=True)
    assert other["fakes"] == first["fakes"]
    assert other["reals"] != first["reals"] and other["row"] != first["row"]
    gain = keys(Toy(1.1))  # other weights under the same name
    assert all(gain[k] != first[k] for k in first)
    changed = evaluation(pictures, tmp_path)
    changed.model = subject.replicate_generator(model(), strategy())
    changed.model.w_avg.assign(changed.model.w_avg + 1)
    assert changed.work != first["fakes"]
    assert changed.reals_folder(False) == first["reals"]
    changed = evaluation(pictures, tmp_path)
    changed.manifest.level(8).crc32[0] += 1
    assert changed.reals_folder(False) != first["reals"]


def test_a_network_says_what_it_cannot(pictures, tmp_path):
    e = evaluation(pictures, tmp_path, open_network("random"))
    refused = {r.name: e.refusal(r) for r in suite.parse_metrics("all") if e.refusal(r)}
    moved = {name for name in refused if name.startswith("eq")}
    assert moved == {"eqt50k_int", "eqt50k_frac", "eqr50k"}
    assert set(refused) - moved == {"is50k", "ls", "dci", "mig", "sap"}
    assert "builtin or inception:FILE has" in refused["is50k"]
    with pytest.raises(UserError, match="ls5k cannot be computed: random-v1 has no"):
        e.run(suite.parse_metrics("fid5k,ls5k"))
    assert results.read_results(tmp_path) == []


class Broken(Toy):
    """Sees what is not a number in one of the pictures."""

    def __call__(self, images):
        found = super().__call__(images)
        found[self.seen > 30, 0] = np.nan
        return found

    probabilities = manifold = factors = None


def test_a_failure_yields_no_number(pictures, tmp_path):
    e = evaluation(pictures, tmp_path, Broken())
    with pytest.raises(UserError, match="fid30 failed: features holds a value"):
        e.run(suite.parse_metrics("fid50k", NUM))
    with pytest.raises(UserError, match="fid1 failed: .* two a side are needed"):
        evaluation(pictures, tmp_path).run(suite.parse_metrics("fid1"))
    with pytest.raises(UserError, match="pr33 failed: 3 vectors have no 3. neighbor"):
        evaluation(pictures, tmp_path).run(suite.parse_metrics("pr33"))
    assert results.read_results(tmp_path) == []


def test_a_part_is_never_the_whole(pictures, tmp_path, monkeypatch):
    """A table that is cut short behind our back, a metric that gives too little."""
    e = evaluation(pictures, tmp_path)
    real = Table.fill
    monkeypatch.setattr(
        Table,
        "fill",
        lambda self, limits, *rest: real(
            self, {k: n - 1 for k, n in limits.items()}, *rest
        ),
    )
    with pytest.raises(RuntimeError, match="rows of features are there; 30 were asked"):
        e.fakes("features", NUM)
    with pytest.raises(RuntimeError, match="29 drawn pictures were measured, and 30"):
        e.require_count("drawn pictures", 29, 30)
    for gives in ({"": np.nan}, {}, {"": 1.0, "_more": 2.0}):
        odd = suite.Metric("odd", "", 5, "", lambda e, num, gives=gives: gives)
        with pytest.raises(UserError, match="odd5 failed: it gave"):
            e.run([suite.MetricRequest(odd, 5)])
    assert results.read_results(tmp_path) == []


def test_few_pictures_are_flagged(pictures, tmp_path):
    (row,) = evaluation(pictures, tmp_path).run(suite.parse_metrics("fid6"))
    assert "singular (drawn: 6 vectors for 6 dimensions)" in row["note"]


def test_data_of_another_size_is_refused(pictures, tmp_path):
    settings = tiny.config(CHANGES | {"channels": 1}).generator
    with pytest.raises(UserError, match="model draws 8x8x1, but .* holds 8x8x3"):
        Evaluation(Generator(settings), pictures, Toy(), strategy(), tmp_path)
