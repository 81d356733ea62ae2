"""Models that are trained with label vectors, and drawn with labels of that kind."""

import json

import numpy as np
import pytest
import tiny
from bad_folders import make_folder
from small import small_generator
from stylegan_tf_launch import generate

from stylegan_tf import models, sampling
from stylegan_tf.config import GeneratorConfig
from stylegan_tf.config.classes import numbered_names
from stylegan_tf.data import records, sources
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.export import examples, program, verify
from stylegan_tf.networks.generator import Generator
from stylegan_tf.runs import rundir
from stylegan_tf.runs.settings import settings
from stylegan_tf.sampling.lineup import arrange_images
from stylegan_tf.training.trainer import Trainer

ROWS = np.float32([[0.1, 0.9, 0.5], [0.4, 0.6, 0.5], [0.7, 0.3, 0.5], [1, 0, 0.5]])


@pytest.fixture(scope="module")
def model():
    made = small_generator(classes=3, label_examples=4)
    made.label_examples.assign(ROWS)
    return made


@pytest.fixture(scope="module")
def vectors(tmp_path_factory):
    """A data set of six pictures with label vectors."""
    root = tmp_path_factory.mktemp("vectors")
    names = [f"{i}.png" for i in range(6)]
    rows = {name: [i / 5, 1 - i / 5, 0.5] for i, name in enumerate(names)}
    make_folder(root / "in", names, **{"dataset.json": {"labels": rows}})
    source = sources.open_source(str(root / "in"))
    records.write_dataset(source, root / "out", resolution=8, workers=1)
    return root / "out"


def test_numbers_stand_for_vectors_of_the_data(model):
    assert sampling.label_count(model) == model.config.label_choices == 4
    np.testing.assert_array_equal(sampling.labels_of(model, [3, 0]), ROWS[[3, 0]])
    plain = small_generator(classes=3)
    assert sampling.label_table(plain) is None
    np.testing.assert_array_equal(sampling.labels_of(plain, [2]), [[0, 0, 1]])
    with pytest.raises(UserError, match="label 4 was asked for; .* 0 to 3"):
        sampling.chosen_classes(model, [4])


def test_pictures_are_drawn_with_them(model):
    def style(seed, row):
        z = np.random.RandomState(seed).randn(1, 6).astype(np.float32)
        return model.broadcast(model.mapping(z, ROWS[[row]])).numpy()[0]

    found = sampling.styles(model, [5, 6, 7, 8, 9])
    for i in range(5):
        np.testing.assert_allclose(found[i], style(5 + i, i % 4), atol=1e-5)
    plan = arrange_images(model, [5, 6, 7, 8, 9], sheet=True)
    assert plan.names[2] == "seed0007-label2" and plan.columns is None
    assert arrange_images(model, [5, 6], [0, 3], sheet=True).columns == 2
    center = sampling.class_centers(model, [2])
    assert not np.allclose(center, sampling.class_centers(model, [3]))


def test_labels_that_are_given():
    model = small_generator(classes=3, style_mixing_prob=0.8)  # of its own
    sampling.give_labels(model, [[0.5, 0.5, 0]])
    z = np.random.RandomState(4).randn(1, 6).astype(np.float32)
    w = model.mapping(z, np.float32([[0.5, 0.5, 0]])).numpy()
    np.testing.assert_allclose(sampling.styles(model, [4])[0, 0], w[0], atol=1e-5)
    for rows in ([[1, 2]], [[1, 2, np.nan]], [1, 2, 3], np.zeros((0, 3))):
        with pytest.raises(UserError, match="labels .*were given"):
            sampling.give_labels(model, rows)
    with pytest.raises(UserError, match="takes no labels"):
        sampling.give_labels(small_generator(), [[1]])


def test_a_run_keeps_vectors_of_its_data(vectors, tmp_path):
    data = Manifest.load(vectors)
    config = settings("demo", None, data, {"labels": "auto"})
    assert config.generator.label_examples == 6 and not config.generator.class_names
    changes = {"classes": 3, "generator.label_examples": 6}
    trainer = Trainer(tiny.config(tiny.FIXED | changes), vectors, tmp_path)
    trainer.step()
    found = trainer.networks.average.label_examples.numpy()
    assert sorted(found[:, 0].tolist()) == pytest.approx([0, 0.2, 0.4, 0.6, 0.8, 1])
    np.testing.assert_allclose(found[:, 0] + found[:, 1], 1, atol=1e-6)
    np.testing.assert_array_equal(found[:, 2], 0.5)
    path = tmp_path / "model.keras"
    trainer.networks.average.save(path)
    again = models.load(path)
    np.testing.assert_array_equal(again.label_examples.numpy(), found)


def test_runs_of_earlier_versions_go_on(vectors):
    data = Manifest.load(vectors)
    wanted = settings("demo", None, data, {"labels": "auto"})
    earlier = settings(
        "demo", None, data, {"labels": "auto", "generator.label_examples": 0}
    )
    assert not rundir.changed_settings(earlier, wanted)
    going_on = rundir.continued_config(earlier, wanted)
    assert going_on.generator.label_examples == 0


def test_exports_take_vectors(model):
    made = verify.Reference(model)
    inputs = made.inputs(3, 2)
    np.testing.assert_array_equal(inputs["labels"], ROWS[[2, 3, 0]])
    ws = made.ws(*inputs.values(), psi=0.5)
    exported = program.Program(model)
    found = exported.styles(inputs["z"], inputs["labels"], np.float32(0.5))
    np.testing.assert_allclose(ws, found, atol=1e-5)
    card = {"classes": 3, "label_example": [0.1, 0.9]}
    assert "[[0.1, 0.9]] * 4" in examples._labels(card)


def test_names_of_classes_stay_with_the_model(pictures, tmp_path):
    data = Manifest.load(pictures)
    names = settings("demo", None, data, {"labels": "auto"}).generator.class_names
    assert list(names) == data.class_names
    assert settings("demo", None, data, {"labels": "none"}).generator.class_names == ()
    made = GeneratorConfig(classes=2, class_names=("7", "90000"), resolution=8)
    assert json.loads(json.dumps(Generator(made).get_config()))["config"][
        "class_names"
    ] == ["7", "90000"]
    assert numbered_names(["7", "90000"]) == "0 = 7, 1 = 90000"
    many = numbered_names([f"n{i}" for i in range(99)], 4)
    assert many == "0 = n0, 1 = n1, 2 = n2, ..., 98 = n98"


def test_generate_says_which_labels_it_draws_with(model, capsys, monkeypatch):
    monkeypatch.setattr(generate, "FLAGS", flags := type("Flags", (), {})())
    flags.label, flags.latents = [], None
    generate._use_labels(model)
    assert "vectors of 3 numbers, those of 4 training pictures" in (
        capsys.readouterr().out
    )
    generate._use_labels(small_generator(classes=2, class_names=("a", "b")))
    assert capsys.readouterr().out == "classes: 0 = a, 1 = b\n"
    generate._use_labels(small_generator(classes=3))
    assert capsys.readouterr().out == "classes: 0 to 2\n"
    generate._use_labels(small_generator())
    assert capsys.readouterr().out == ""
    flags.label = ["0.1,x"]
    with pytest.raises(UserError, match="--label=0.1,x is no label vector"):
        generate._use_labels(model)
