"""Training straight from a `tf.data.Dataset`: order, levels, resume, refusals."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
import tiny

import stylegan_tf
from stylegan_tf import UserError, config, devices
from stylegan_tf.data import records
from stylegan_tf.data.images import fit_image, pyramid
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.data.objects import open_images
from stylegan_tf.data.sources.labels import class_name, from_values
from stylegan_tf.data.stream import ImageStream
from stylegan_tf.metrics.subject import open_subject
from stylegan_tf.training.reals import StreamReader

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (10, 8, 8, 3), np.uint8)
LABELS = np.arange(10) % 3
TINY = {k: v for k, v in tiny.SETTINGS.items() if not k.endswith(".resolution")}


def dataset(images=IMAGES, labels=LABELS) -> tf.data.Dataset:
    data = tf.data.Dataset.from_tensor_slices((images, labels))
    return data.shuffle(10, seed=1, reshuffle_each_iteration=False).batch(3)


@pytest.fixture(scope="module")
def sample(tmp_path_factory) -> Manifest:
    """The records of the first images of the dataset."""
    cache = str(tmp_path_factory.mktemp("cache"))
    with open_images(dataset(), most=100, cache=cache) as source:
        folder = records.prepare(source.name, cache, source=source, resolution="8x8")
    return Manifest.load(folder)


def read(stream: ImageStream, nimg: int, count: int, **how) -> list[np.ndarray]:
    """Batches of `count` images from one on, put together."""
    data = stream.batches(2, start=nimg, **how)
    assert data.options().autotune.enabled is False  # see `pipeline.untuned`
    batches = data.take(count // 2)
    found = [(b["image"].numpy(), b["label"].numpy()) for b in batches]
    return [np.concatenate(part) for part in zip(*found, strict=True)]


def test_images_come_in_the_order_of_the_dataset_and_again(sample):
    stream = ImageStream(dataset(), sample)
    images, labels = read(stream, 0, 20)
    np.testing.assert_array_equal(images[:10], images[10:])
    order = np.concatenate([part.numpy() for _, part in dataset()])
    np.testing.assert_array_equal(labels[:10].argmax(1), order)
    assert {i.tobytes() for i in images} == {i.tobytes() for i in IMAGES}
    late = read(stream, 7, 4)
    np.testing.assert_array_equal(late[0], images[7:11])
    flipped, _ = read(stream, 0, 10, mirror=True, seed=3)
    same = (flipped == images[:10]).all((1, 2, 3))
    assert 0 < same.sum() < 10
    np.testing.assert_array_equal(flipped[~same], images[:10][~same][:, :, ::-1])


def test_pieces_are_those_of_a_batch(sample):
    """Two workers of one replica each share every batch."""
    stream = ImageStream(dataset(), sample)
    whole, _ = read(stream, 0, 6)
    for worker in (0, 1):
        share = [
            b["image"] for b in stream.batches(2, pieces=2, shard=(worker, 2)).take(3)
        ]
        np.testing.assert_array_equal(np.concatenate(share), whole[worker::2])


def test_phases_read_on_at_their_level_and_batch(sample):
    c = tiny.config({"schedule.batch_at": {4: 6}})
    strategy = devices.make_strategy("one")
    reader = StreamReader(ImageStream(dataset(), sample), c, strategy)
    assert reader.unit == 2
    images, _ = read(reader.stream, 0, 18)
    levels = dict(zip((4, 8), pyramid(images, 2), strict=True))
    for nimg, resolution, batch in ((0, 4, 6), (6, 4, 6), (12, 8, 4), (2, 8, 4)):
        found = reader.next_batch(nimg, resolution, batch)
        expected = levels[resolution][nimg : nimg + batch]
        np.testing.assert_array_equal(found["image"], expected)
        assert found["label"].shape == (batch, 3)


def test_images_of_other_sizes_and_floats_are_fitted_as_records_are(sample):
    large = RNG.random((4, 20, 16, 3), np.float32)
    stream = ImageStream(dataset(large, LABELS[:4]), sample)
    images, _ = read(stream, 0, 4)
    with open_images(large) as source:
        pixels = [source.read(i, 8)[0] for i in range(4)]
    expected = {fit_image(p, (8, 8), 3).tobytes() for p in pixels}
    assert {i.tobytes() for i in images} == expected


def failing(images: tf.Tensor, labels: tf.Tensor):
    tf.debugging.assert_less(labels, tf.constant(2, labels.dtype), "of mine")
    return images, labels


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (lambda: dataset(labels=LABELS + 1), "class 3 is in the dataset, but not amo"),
        (lambda: dataset(IMAGES * 2.0), "values of the pictures go from 0 to"),
        (lambda: dataset(IMAGES[:, :3]), "picture 0 of the dataset cannot be used"),
        (lambda: dataset().map(failing), "the dataset failed behind element"),
        (lambda: dataset().take(0), "no pictures in it"),
    ],
)
def test_what_cannot_be_used_stops_with_a_sentence(data, words, sample):
    with pytest.raises(UserError, match=words):
        stream = ImageStream(data(), sample)
        with stream.reading():
            read(stream, 0, 10)


@pytest.mark.parametrize(
    "raw",
    [
        [0, 3, 12],
        [0.0, 3.0],
        ["03", "3", "4.0", "1e1"],
        ["03", "3", "x"],
        ["1e1", "cat"],
        [True, False],
    ],
)
def test_a_label_names_the_class_that_it_has_in_the_records(raw):
    labels = from_values(raw, [f"picture {i}" for i in range(len(raw))], "the labels")
    names = [labels.class_names[labels[i]] for i in range(len(raw))]
    assert [class_name(label, labels.class_names) for label in raw] == names


def test_a_run_goes_on_to_the_bit_with_its_dataset(tmp_path):
    copies, data = [], dataset()  # training sets the seed that orders later ones

    class Copies:
        def tick(self, trainer, stats):
            copy = tmp_path / "copies" / f"0000{len(copies)}-stream-demo"
            copies.append(shutil.copytree(trainer.run_dir, copy))

    settings = TINY | tiny.FIXED | {"schedule.total_kimg": 0.024, "snapshot_ticks": 1}
    how = {"out": tmp_path / "runs", "cache": str(tmp_path / "cache")}
    first = {"settings": settings, "stream": True, "callbacks": [Copies()], **how}
    run = stylegan_tf.train(data, **first)
    assert run.config.data.startswith("stream:") and run.config.generator.classes == 3
    assert not [*(tmp_path / "cache").glob("dataset-*/pixels")]
    again = stylegan_tf.train(dataset(), **first)  # the same call finds its run
    assert (again.path, again.reason) == (run.path, "finished")
    with pytest.raises(UserError, match=r"train\(resume='.*', data=dataset\)"):
        stylegan_tf.train(resume=copies[0])
    with pytest.raises(UserError, match="only a sample is kept"):
        open_subject(run.path, devices.make_strategy("one"))
    resumed = stylegan_tf.train(data, resume=copies[0], cache=how["cache"])
    assert (resumed.kimg, len(resumed.stats)) == (0.024, 3)
    for a, b in zip(run.generator.weights, resumed.generator.weights, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy(), a.path)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"data": IMAGES}, "straight from a tf.data.Dataset"),
        ({"data": dataset(), "metrics": ["fid50"]}, "evaluate --data"),
    ],
)
def test_what_is_no_stream_is_refused(given, words, tmp_path):
    with pytest.raises(UserError, match=words):
        stylegan_tf.train(**given, stream=True, out=tmp_path)
    with pytest.raises(UserError, match="which only the program has"):
        stylegan_tf.train("stream:1234abcd", out=tmp_path)


def test_the_schedule_of_one_phase_is_one_unit(sample):
    c = config.update(tiny.config(), tiny.FIXED)
    strategy = devices.make_strategy("one")
    reader = StreamReader(ImageStream(dataset(), sample), c, strategy)
    assert reader.unit == c.schedule.batch
