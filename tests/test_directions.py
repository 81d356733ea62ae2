"""directions.py: PCA, SeFa and labels against NumPy, and the files they travel in."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf.errors import UserError
from stylegan_tf.latents import directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import steering

STYLEGAN2 = tiny.FIXED | {"generator.architecture": "skip"}
STYLEGAN2 |= {"discriminator.architecture": "residual"}


def samples(n=2000, d=8) -> np.ndarray:
    """w whose axes differ in length, turned away from the coordinates."""
    rng = np.random.default_rng(0)
    turn, _ = np.linalg.qr(rng.normal(size=(d, d)))
    return rng.normal(size=(n, d)) * np.linspace(3, 0.5, d) @ turn + 5


def check_upright(vectors: np.ndarray) -> None:
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)
    assert (vectors[np.arange(len(vectors)), np.abs(vectors).argmax(axis=1)] > 0).all()


def test_pca_is_the_singular_vectors():
    w = samples()
    found = directions.pca(w, 3)
    _, values, axes = np.linalg.svd(w - w.mean(axis=0), full_matrices=False)
    assert found.names == ("pca0", "pca1", "pca2") and "2000 w" in found.source
    np.testing.assert_allclose(
        np.abs(np.sum(found.vectors * axes[:3], 1)), 1, atol=1e-6
    )
    check_upright(found.vectors)
    np.testing.assert_allclose(found.scales, values[:3] / np.sqrt(2000), rtol=1e-5)
    np.testing.assert_allclose(
        found.quality, np.square(values[:3]) / np.square(values).sum(), rtol=1e-5
    )
    np.testing.assert_array_equal(directions.pca(w, 3).vectors, found.vectors)


@pytest.fixture(scope="module", params=["stylegan", "skip"])
def model(request):
    changes = STYLEGAN2 if request.param == "skip" else {}
    made = tiny.noisy(Generator(tiny.config(changes).generator))
    rng = np.random.default_rng(0)
    for v in made.trainable_variables:
        if v.path.endswith("bias"):
            v.assign(rng.normal(size=v.shape))
    return made


def kernels(model) -> list:
    return [v for v in model.weights if v.path.endswith("affine/kernel")]


def test_sefa_is_the_eigenvectors_of_all_affines(model):
    weights = steering.style_affines(model)
    assert [len(own) for own in weights] == (
        [1, 1, 1, 1] if model.config.architecture == "stylegan" else [1, 2, 1, 1]
    )
    found = directions.sefa(weights, samples(), 4)
    a = np.concatenate([v.numpy().astype(float).T / np.sqrt(8) for v in kernels(model)])
    values, vectors = np.linalg.eigh(a.T @ a)
    inner = np.abs(np.sum(found.vectors * vectors[:, ::-1].T[:4], axis=1))
    np.testing.assert_allclose(inner, 1, atol=1e-6)
    np.testing.assert_allclose(
        found.quality, values[::-1][:4] / values.sum(), rtol=1e-5
    )
    check_upright(found.vectors)
    np.testing.assert_allclose(
        found.scales, (samples() @ found.vectors.T).std(axis=0), rtol=1e-5
    )
    assert found.layers == ()


def test_sefa_of_some_layers(model):
    weights = steering.style_affines(model)
    found = directions.sefa(weights, samples(), 2, layers=[1, 3])
    a = np.concatenate([m.T for i in (1, 3) for m in weights[i]])
    answer = np.linalg.norm(a @ found.vectors[0])  # the largest that there is
    np.testing.assert_allclose(answer, np.linalg.svd(a)[1][0], rtol=1e-6)
    assert found.layers == (1, 3) and "layers [1, 3]" in found.source


def test_affines_are_what_each_style_reaches_the_picture_by(model):
    """Without the kernels of one style, that style no longer counts; others do."""
    rng = np.random.default_rng(0)
    ws = rng.normal(size=(1, 4, 8)).astype(np.float32)
    for i, own in enumerate(steering.style_affines(model)):
        kept = {}
        for v in kernels(model):
            scaled = v.numpy().astype(float) / np.sqrt(8)
            if any(s.shape == scaled.shape and np.allclose(s, scaled) for s in own):
                kept[v.path] = (v, v.numpy())
                v.assign(tf.zeros_like(v))
        assert len(kept) == len(own)
        moved = np.repeat(ws, 5, axis=0)  # the last one stays as it is
        moved[np.arange(4), np.arange(4)] += rng.normal(size=(4, 8))
        pictures = model.synthesis(moved, noise="none").numpy()
        change = np.abs(pictures[:4] - pictures[4]).max(axis=(1, 2, 3))
        assert (change > 1e-4).tolist() == [j != i for j in range(4)]
        for v, values in kept.values():
            v.assign(values)


def test_models_without_styles_have_no_affines():
    plain = Generator(tiny.config({"generator.use_styles": False}).generator)
    with pytest.raises(UserError, match="no style per layer.*use pca"):
        steering.style_affines(plain)


# ---------------------------------------------------------------------------
# Labels


def planted(seed=1) -> np.ndarray:
    v = np.random.default_rng(seed).normal(size=8)
    return v / np.linalg.norm(v)


def test_a_boundary_recovers_what_was_planted():
    w, v = samples(400), planted()
    side = (w - w.mean(axis=0)) @ v > 0.2
    words = np.where(side, "smile", "none")
    found = directions.label_directions(w, {"w": words, "b": side})
    assert found.names == ("w", "b")
    assert (found.vectors @ v > 0.95).all() and (found.quality > 0.95).all()
    np.testing.assert_allclose(found.scales, (w @ found.vectors.T).std(0), rtol=1e-5)
    opposite = directions.label_directions(w, {"n": (~side).astype(int)})
    np.testing.assert_allclose(opposite.vectors[0], -found.vectors[0], atol=1e-3)


def test_a_slope_recovers_what_was_planted():
    w, v = samples(400), planted()
    age = w @ v * 3 + np.random.default_rng(0).normal(size=len(w)) * 0.5
    text = np.array([f"{a:.3f}" for a in age])
    text[:100] = ""  # pictures without a label
    found = directions.label_directions(w, {"age": age, "text": text})
    assert (found.vectors @ v > 0.99).all() and (found.quality > 0.9).all()


def test_a_label_of_nothing_says_so_by_its_quality():
    w = samples(400)
    chance = np.random.default_rng(3).integers(0, 2, len(w))
    quality = directions.label_directions(w, {"chance": chance}).quality
    assert abs(quality[0] - 0.5) < 0.1  # held out: no better than a coin


def test_labels_with_several_values():
    w = samples(400)
    axes = np.stack([planted(k) for k in range(3)])
    scores = (w - w.mean(axis=0)) @ axes.T
    best = scores.argmax(axis=1)
    kinds = np.array(["long", "short", "curls"])[best]
    odds = np.eye(3)[best] * 0.8 + 0.1
    found = directions.label_directions(w, {"hair": kinds, "p": odds})
    assert found.names == ("hair.curls", "hair.long", "hair.short", "p.0", "p.1", "p.2")
    by_name = dict(zip(found.names, found.vectors, strict=True))
    for a, b in (("hair.long", "p.0"), ("hair.short", "p.1"), ("hair.curls", "p.2")):
        np.testing.assert_allclose(by_name[a], by_name[b], atol=1e-5)
    assert by_name["p.0"] @ axes[0] > max(by_name["p.0"] @ axes[1:].T)
    two = directions.label_directions(
        w, {"glasses": np.stack([1 - odds[:, 0], odds[:, 0]], 1)}
    )
    assert two.names == ("glasses",)
    np.testing.assert_allclose(two.vectors[0], by_name["p.0"], atol=1e-5)


def test_labels_that_tell_nothing_are_refused():
    w = samples(40)
    for values, words in (
        (np.ones(40), "same for every picture"),
        (np.array(["a"] * 5 + ["b"] * 35), "has 5 pictures of a kind; at least 10"),
        (np.eye(40)[:, :3] * 0 + [1, 0, 0], "no label has at least 10 pictures"),
    ):
        with pytest.raises(UserError, match=words):
            directions.label_directions(w, {"x": values})


def test_labels_from_a_table(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("seed, smile,hair\n5,1,long\n\n7,, short\n")
    seeds, labels = directions.read_labels(path)
    assert seeds == [5, 7] and list(labels) == ["smile", "hair"]
    assert labels["smile"].tolist() == ["1", ""]
    assert labels["hair"].tolist() == ["long", "short"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "expected a line such as seed,smile,age"),
        ("smile,seed\n1,2\n", "begins with 'smile,seed'"),
        ("seed,a,a\n1,2,3\n", "begins with 'seed,a,a'"),
        ("seed,a\n1,2\nx,1\n", "line 3: 'x,1' is no seed and 1 labels"),
        ("seed,a\n1,2,3\n", "line 2"),
    ],
)
def test_tables_that_do_not_fit_are_refused(tmp_path, text, words):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=words):
        directions.read_labels(path)
    with pytest.raises(UserError, match="cannot be read as CSV: it is a folder"):
        directions.read_labels(tmp_path)
    with pytest.raises(UserError, match="there is no .*none.csv; make a table"):
        directions.read_labels(tmp_path / "none.csv")


# ---------------------------------------------------------------------------
# Files


def test_directions_survive_a_file(tmp_path):
    made = directions.sefa([[np.eye(8)[:, :5]]] * 4, samples(), 3, layers=[0, 2])
    found = directions.load_directions(made.save(tmp_path / "new" / "d.npz"), 6, 8)
    assert (found.names, found.layers, found.source) == (
        made.names,
        (0, 2),
        made.source,
    )
    for name in ("vectors", "scales", "quality"):
        np.testing.assert_array_equal(getattr(found, name), getattr(made, name))
    step = found.step("sefa1")
    np.testing.assert_allclose(np.linalg.norm(step), found.scales[1], rtol=1e-6)
    with pytest.raises(UserError, match="no direction 'x' among sefa0, sefa1, sefa2"):
        found.step("x")


def test_other_files_are_refused(tmp_path):
    path = directions.pca(samples(), 2).save(tmp_path / "d.npz")
    with pytest.raises(UserError, match="2 x 8; the model's w has 16 values"):
        directions.load_directions(path, 6, 16)
    np.savez(tmp_path / "x.npz", ws=np.zeros((1, 4, 8)))
    with pytest.raises(UserError, match="it holds no directions"):
        directions.load_directions(tmp_path / "x.npz", 6, 8)
    with np.load(path) as file:
        arrays = dict(file)
    np.savez(tmp_path / "y.npz", **(arrays | {"names": arrays["names"][:1]}))
    with pytest.raises(UserError, match="damaged"):
        directions.load_directions(tmp_path / "y.npz", 6, 8)
    for name, array, words in (
        ("layers", np.array([3, 6]), "layers up to 6; the model has 0 to 5"),
        ("layers", np.array(["a"]), "damaged"),
        ("vectors", np.full((2, 8), np.nan), "not finite"),
        ("scales", np.array(["1", "2"]), "no numbers"),
    ):
        np.savez(tmp_path / "z.npz", **(arrays | {name: array}))
        with pytest.raises(UserError, match=words):
            directions.load_directions(tmp_path / "z.npz", 6, 8)
