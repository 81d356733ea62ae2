"""`builtin`: weights, what it says, its distances; and networks trained on the spot."""

import shutil
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from test_benchmarks import script

from stylegan_tf.data import demo, records, sources
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import builtin, builtin_own, builtin_training

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def network():
    return builtin_own.load_builtin()


@pytest.fixture
def eagerly():
    """A step or two is sooner done without a graph."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def seen():
    """150 faces of 32 x 32 that no training has seen, and their factors."""
    return builtin_training.demo_faces(range(150), 32, seed=5)


# ---------------------------------------------------------------------------
# The shipped network


def test_weights_are_small_and_packed(network):
    assert network.name == "builtin-v1" and network.size == 128
    assert builtin.WEIGHTS.stat().st_size < 600_000
    assert '"metrics/features/*.npz"' in (ROOT / "setup.py").read_text()


def test_other_weights_are_not_taken_for_it(tmp_path):
    with np.load(builtin.WEIGHTS) as file:
        arrays = {name: file[name] for name in file.files}
    assert builtin.digest(arrays) == builtin.SHA256
    arrays["dense/bias"][3] += 0.5
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match="not hold the weights of builtin-v1"):
        builtin.read_builtin(tmp_path / "x.npz", builtin.NAME, builtin.SHA256)
    (tmp_path / "x.npz").write_bytes(builtin.WEIGHTS.read_bytes()[:-50])
    with pytest.raises(UserError, match="cannot be read"):
        builtin.read_builtin(tmp_path / "x.npz", builtin.NAME)


def test_it_knows_faces_that_it_has_not_seen(network, seen):
    found = builtin_training.factor_scores(network, *seen)
    assert set(found) == set(demo.FACTORS)
    floors = FLOORS | dict.fromkeys(set(found) - set(FLOORS), 0.8)
    low = {k: v for k, v in found.items() if v < floors[k]}
    assert not low


# A good way below the table in the README, for 150 faces scatter.
FLOORS = dict.fromkeys(("class", "hair", "fringe", "eyes", "background"), 0.97)
FLOORS |= dict.fromkeys(("yaw", "tilt", "skin"), 0.95) | {"brows": 0.75}


def test_what_it_says_is_in_range(network, seen):
    said = network.factors(seen[0][:9])
    for name, factor in demo.FACTORS.items():
        if factor.names:
            assert said[name].shape == (9, len(factor.names))
            np.testing.assert_allclose(said[name].sum(axis=1), 1, rtol=1e-5)
        else:
            assert said[name].shape == (9,)
            assert said[name].min() >= factor.low and said[name].max() <= factor.high
    np.testing.assert_array_equal(network.probabilities(seen[0][:9]), said["class"])


def test_a_batch_is_its_pictures_one_by_one(network, seen, monkeypatch):
    whole = network(seen[0][:7])
    assert whole.shape == (7, 128) and whole.dtype == np.float32
    monkeypatch.setattr(builtin, "BATCH", 3)
    np.testing.assert_allclose(network(seen[0][:7]), whole, rtol=1e-3, atol=1e-4)
    assert network(seen[0][:0]).shape == (0, 128)


def test_sizes_look_alike(network):
    """A face is nearer to itself drawn at another size than to another face."""
    by_size = [
        network(builtin_training.demo_faces(range(20), size, 5)[0])
        for size in (32, 64, 160)
    ]
    for a in by_size:
        for b in by_size:
            apart = np.linalg.norm(a[:, None] - b[None], axis=-1)
            assert (apart.argmin(axis=1) == np.arange(20)).mean() >= 0.9


def test_large_pictures_are_shrunk_without_aliasing(network):
    fine = np.random.default_rng(0).integers(0, 256, (1, 256, 256, 3)).astype(np.uint8)
    seen = builtin.resize_inputs(fine).numpy()
    # A triangle over 8 pixels, (1 3 5 7 7 5 3 1) / 32, along both sides.
    passes = np.sum(np.square(np.array([1, 3, 5, 7] * 2) / 32))
    inside = seen[:, 1:-1, 1:-1].std()
    np.testing.assert_allclose(inside, passes * fine.std(), rtol=0.05)
    wide = np.zeros((2, 40, 100, 3), np.uint8)
    assert network(wide).shape == (2, 128)


def test_other_channels_are_refused(network):
    with pytest.raises(UserError, match=r"\[N, H, W, 3\], and was given 2 x 8 x 8 x 1"):
        network(np.zeros((2, 8, 8, 1), np.uint8))


def test_distance_against_numpy(network, seen):
    a, b = seen[0][:4].astype(np.float32), seen[0][4:8].astype(np.float32)
    found = network.distance(tf.constant(a), tf.constant(b)).numpy()
    expected = np.zeros(4)
    for x, y in zip(network._activations(a), network._activations(b), strict=True):
        x, y = np.float64(x), np.float64(y)
        x /= np.sqrt((x**2).sum(-1, keepdims=True) + 1e-8)
        y /= np.sqrt((y**2).sum(-1, keepdims=True) + 1e-8)
        expected += ((x - y) ** 2).sum(-1).mean((1, 2)) / 5
    np.testing.assert_allclose(found, expected, rtol=1e-3)
    back = network.distance(tf.constant(b), tf.constant(a))
    np.testing.assert_allclose(found, back, rtol=1e-5)


def test_gray_pictures_are_compared_in_color(network, seen):
    a, b = (tf.constant(seen[0][i : i + 2, ..., :1], tf.float32) for i in (0, 2))
    found = network.distance(a, b)
    color = network.distance(tf.repeat(a, 3, -1), tf.repeat(b, 3, -1))
    np.testing.assert_array_equal(found, color)
    with pytest.raises(UserError, match="pictures of 3 channels; these have 4"):
        network.distance(tf.repeat(a, 4, -1), tf.repeat(b, 4, -1))


def test_distance_grows_with_the_change_and_has_gradients(network, seen):
    a = tf.constant(seen[0][:3], tf.float32)
    noise = tf.random.stateless_normal(a.shape, [1, 2])
    steps = [network.distance(a, a + k * noise).numpy() for k in (0, 2, 8, 32)]
    np.testing.assert_array_equal(steps[0], 0)
    assert (np.diff(steps, axis=0) > 0).all()
    for k in (0.0, 8.0):
        b = tf.Variable(a + k * noise)
        with tf.GradientTape() as tape:
            value = network.distance(a, b)
        gradient = tape.gradient(value, b).numpy()
        assert np.isfinite(gradient).all() and np.any(gradient) == (k > 0)


def test_frechet_distance_rises_with_everything_that_is_wrong(network):
    bench = script("builtin")
    real, _ = bench.faces(0, 200, 32)
    fake, classes = bench.faces(200, 200, 32)
    curves = bench.measure(network, real, fake, classes)
    assert list(curves) == ["blur", "noise", "JPEG", "classes kept", "different faces"]
    assert not bench.falls(curves)
    assert bench.falls({"x": ([1, 2, 3], [1.0, 3.0, 2.0])}) == ["x"]
    for _, values in curves.values():
        assert values[-1] > 1.5 * values[0]


# ---------------------------------------------------------------------------
# Training


def test_folded_weights_are_the_trained_network():
    model = builtin_training.trainable_network(3, 5)
    rng = np.random.default_rng(0)
    for v in model.weights:
        low = 0.5 if "variance" in v.path or "gamma" in v.path else -0.2
        v.assign(v.numpy() + rng.uniform(low, low + 0.4, v.shape))
    images = rng.integers(0, 256, (3, 64, 64, 3)).astype(np.uint8)
    features, columns = model(images.astype(np.float32), training=False)
    heads = [builtin.Head("class", 4), builtin.Head("x", 0, 2.0, 4.0)]
    own = builtin.BuiltinFeatures(
        "own", builtin_training.fold_normalization(model), heads
    )
    np.testing.assert_allclose(own(images), features, rtol=1e-3, atol=1e-3)
    said, columns = own.factors(images), columns.numpy()
    odds = np.exp(columns[:, :4])
    np.testing.assert_allclose(
        said["class"], odds / odds.sum(1, keepdims=True), rtol=1e-2, atol=1e-4
    )
    np.testing.assert_allclose(said["x"], 3 + np.clip(columns[:, 4], -1, 1), rtol=1e-2)


def test_head_loss_against_numpy():
    heads = [builtin.Head("kind", 3), builtin.Head("x", 0)]
    columns = np.array([[1.0, 2, 3, 0.5], [0, 0, 0, -0.25]])
    truth = np.array([[2, 0.0], [1, 0.75]])
    p = np.exp(columns[:, :3]) / np.exp(columns[:, :3]).sum(1, keepdims=True)
    kind = -np.log([p[0, 2], p[1, 1]]).mean() / np.log(3)
    expected = (kind + 3 * np.mean([0.5**2, 1.0**2])) / 2
    found = builtin_training.head_loss(heads, tf.constant(columns), tf.constant(truth))
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_training_faces_are_no_data_set_of_the_demo():
    images, truth = builtin_training.mixed_faces(10, builtin_training.TRAIN_SEED)
    assert images.shape == (10, 64, 64, 3) and truth.shape == (10, 16)
    np.testing.assert_array_equal(images[2], demo.draw_face(2, 64, seed=1))
    assert np.any(images[2] != demo.draw_face(2, 64))
    values = demo.factors(9, 1)  # the last ones are drawn at 16 and enlarged
    assert truth[9, 0] == values["class"]
    np.testing.assert_allclose(truth[9, 5], 2 * values["skin"] - 1, rtol=1e-6)


def test_training_repeats(eagerly):
    a, b = (builtin_training.train_on_demo(128, 1) for _ in range(2))
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_array_equal(a[name], b[name], name)


def test_views_do_what_their_numbers_say():
    rng = np.random.default_rng(0)
    image = rng.uniform(60, 190, (1, 64, 64, 3)).astype(np.float32)

    def changed(**by):
        row = [[by.get(name, 0.0) for name in builtin_training.TRANSFORMS]]
        return builtin_training.apply_transforms(
            image, np.array(row, np.float32), tf.constant([1, 2])
        )[0]

    np.testing.assert_allclose(changed(), image[0], atol=1e-3)
    moved = changed(right=3, down=-2)
    np.testing.assert_allclose(moved[:-2, 3:], image[0, 2:, :-3], atol=1e-2)
    np.testing.assert_allclose(changed(light=10), image[0] + 10, atol=1e-3)
    off = changed(contrast=np.log(1.2)) - 127.5
    np.testing.assert_allclose(off, 1.2 * (image[0] - 127.5), atol=1e-2)
    np.testing.assert_allclose((changed(noise=5) - image[0]).numpy().std(), 5, rtol=0.1)
    assert changed(blur=1).numpy().std() < 0.5 * image.std()
    quarter = changed(turn=np.pi / 2)
    turned = [np.rot90(image[0], k) for k in (1, 3)]
    assert min(np.abs(quarter - t).mean() for t in turned) < 0.1
    middle = changed(zoom=np.log(2))[31:33, 31:33]
    np.testing.assert_allclose(
        np.mean(middle, (0, 1)), image[0, 31:33, 31:33].mean((0, 1)), rtol=1e-3
    )


def test_contrast_against_numpy():
    rng = np.random.default_rng(1)
    one, other = rng.normal(size=(2, 5, 3))
    z = np.concatenate([one, other])
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    total = 0
    for i in range(10):
        odds = np.exp(z @ z[i] / 0.2)
        total -= np.log(odds[(i + 5) % 10] / (odds.sum() - odds[i])) / 10 / np.log(9)
    found = builtin_own.nt_xent(
        tf.constant(one, tf.float32), tf.constant(other, tf.float32), 0.2
    )
    np.testing.assert_allclose(found, total, rtol=1e-4)


# ---------------------------------------------------------------------------
# Which network for which data


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Two data sets of other pictures than the demo's: in two classes, and in none."""
    top = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for kind in ("dark", "light"):
        (top / "pictures" / kind).mkdir(parents=True)
        for i in range(12):
            shade = rng.uniform(0, 120, (16, 16, 1)) + 120 * (kind == "light")
            picture = Image.fromarray(shade[..., 0].astype(np.uint8))
            picture.save(top / "pictures" / kind / f"{i}.png")
    out = {}
    for labels in ("auto", "none"):
        source = sources.open_source(str(top / "pictures"), labels)
        records.write_dataset(source, top / labels, resolution=16, workers=1)
        out[labels] = top / labels
    return out


def test_the_demo_is_known_by_its_pictures(pictures, tmp_path):
    assert builtin_own.load_builtin(pictures).name == "builtin-v1"
    assert (
        builtin_own.load_builtin("demo").name
        == builtin_own.load_builtin("demo:50").name
        == "builtin-v1"
    )
    changed = Manifest.load(pictures)
    assert builtin_own.is_demo(changed)
    copy = tmp_path / "copy"
    shutil.copytree(pictures, copy)
    shard = Path(changed.paths(16)[0].replace(str(pictures), str(copy)))
    record, *rest = (r.numpy() for r in tf.data.TFRecordDataset(str(shard)))
    at = record.find(b"image") + 60  # one pixel
    edited = record[:at] + bytes([record[at] ^ 255]) + record[at + 1 :]
    with tf.io.TFRecordWriter(str(shard)) as writer:
        for written in (edited, *rest):  # as many bytes as before
            writer.write(written)
    assert not builtin_own.is_demo(Manifest.load(copy))


def test_other_data_gets_a_network_of_its_own_once(
    folders, tmp_path, monkeypatch, eagerly
):
    made = builtin_own.train_builtin
    monkeypatch.setattr(builtin_own, "train_builtin", lambda k, progress: made(k, 2))
    first = builtin_own.load_builtin(folders["auto"], tmp_path, progress=False)
    key = builtin_own.fingerprint(Manifest.load(folders["auto"]))
    assert first.name == f"builtin-v1-{key[:8]}" and first.channels == 1
    gray = np.random.default_rng(0).integers(0, 256, (4, 16, 16, 1)).astype(np.uint8)
    assert first.probabilities(gray).shape == (4, 2)

    bare = builtin_own.load_builtin(folders["none"], tmp_path, progress=False)
    assert bare.name != first.name and np.isfinite(bare(gray)).all()
    assert bare.factors is None and bare.probabilities is None

    monkeypatch.setattr(builtin_own, "train_builtin", None)  # it is not called again
    again = builtin_own.load_builtin(folders["auto"], tmp_path)
    np.testing.assert_array_equal(again(gray), first(gray))
    weights, _ = made(Manifest.load(folders["auto"]), 2)
    fresh = {n: w.astype(np.float16) for n, w in weights.items()}
    with np.load(tmp_path / "builtin" / f"{first.name}.npz") as file:
        for name, w in fresh.items():
            np.testing.assert_array_equal(file[name], w, name)


def test_learning_without_labels_tells_pictures_and_changes_apart(folders, monkeypatch):
    """The loss falls well below that of a guess, 1 for the pictures plus 2/3 or so."""
    losses = []

    def fit(variables, *given):
        losses.extend(builtin_training.fit_network(variables, *given))
        assert len(variables) == 6 * 3 + 2 * 2  # no heads, without labels

    monkeypatch.setattr(builtin_own, "fit_network", fit)
    weights, heads = builtin_own.train_builtin(Manifest.load(folders["none"]), 60, 24)
    assert heads == () and weights["heads/kernel"].shape == (128, 0)
    assert np.mean(losses[-5:]) < 0.75 * np.mean(losses[:3])


def test_label_vectors_are_learned_as_numbers(monkeypatch):
    known = types.SimpleNamespace(resolution=16, count=3, class_names=[])
    rows = np.array([[0, 5, 2], [1, 5, 4], [3, 5, 6]], np.float32)
    batch = {"image": np.zeros((3, 16, 16, 3), np.uint8)}
    data = tf.data.Dataset.from_tensors(batch)
    pipeline = builtin_own.pipeline
    monkeypatch.setattr(pipeline, "dataset", lambda *a, **k: data)
    monkeypatch.setattr(pipeline, "dataset_labels", lambda k: rows)
    _, truth, heads = builtin_own.training_examples(known)
    assert [(h.name, h.low, h.high) for h in heads] == [
        ("label0", 0, 3),
        ("label2", 2, 6),
    ]
    np.testing.assert_allclose(truth, [[-1, -1], [-1 / 3, 0], [1, 1]], atol=1e-6)


def test_too_few_pictures_are_refused():
    known = types.SimpleNamespace(count=4, folder="here")
    with pytest.raises(UserError, match="here holds 4 pictures; .* from 16 or more"):
        builtin_own.train_builtin(known)


# ---------------------------------------------------------------------------
# The scripts


@pytest.mark.parametrize("name", ["builtin", "factors", "train_builtin"])
def test_help(name, capsys):
    sys.modules.pop(f"benchmarks_{name}", None)
    module = script(name)
    from stylegan_tf_launch import parsing

    text = parsing.manual(module.main, module.FLAGS, name)
    assert f"python benchmarks/{name}.py" in text and "\n--out=" in text
