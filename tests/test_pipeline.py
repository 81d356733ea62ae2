"""The order of the pictures, how it is shared, and what a batch holds."""

import functools
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from stylegan_tf.data import convert, pipeline, records, sources
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.training.reals import ReplicaBatches

GOLDENS = Path(__file__).parent / "goldens"
COUNT = 23  # pictures; picture i is i everywhere but in one corner


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Manifest:
    """23 pictures of 16x16 in shards of 3; the left column of each is 200."""
    root = tmp_path_factory.mktemp("numbers")
    (root / "in").mkdir()
    for i in range(COUNT):
        picture = np.full((16, 16), i, np.uint8)
        picture[:, :8] = 200
        Image.fromarray(picture).save(root / "in" / f"{i}.png")
    names = sorted(p.name for p in (root / "in").iterdir())
    lines = [f"{name},{int(name[:-4]) % 4}" for name in names]
    (root / "in" / "labels.csv").write_text("\n".join(["file,label", *lines]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(convert, "RAW_UP_TO", 8)  # PNG at 16, raw below
        return records.write_dataset(
            sources.open_source(str(root / "in")), root / "out"
        )


@pytest.fixture(params=["in memory", "in windows"])
def memory(request, monkeypatch, data):
    """Both ways to read a level; with windows of two of the eight shards."""
    if request.param == "in windows":
        sizes = data.levels[16].sizes
        monkeypatch.setattr(pipeline, "MEMORY_BYTES", sum(sizes) * 2 // len(sizes) + 1)
    return request.param


def read(data, batches: int | None = None, resolution=8, batch=4, **options) -> list:
    """The numbers of the pictures of some batches: [[...], ...]."""
    found = pipeline.dataset(data, resolution, batch, **options)
    found = found if batches is None else found.take(batches)
    return [e["image"][:, 0, -1, 0].tolist() for e in found.as_numpy_iterator()]


def flat(batches: list) -> list:
    return [number for batch in batches for number in batch]


def test_an_epoch_shows_every_picture_once(data, memory):
    numbers = flat(read(data, COUNT))  # four epochs, batches run across their ends
    epochs = [numbers[i : i + COUNT] for i in range(0, 4 * COUNT, COUNT)]
    assert all(sorted(epoch) == list(range(COUNT)) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) == 4
    assert epochs[0] != flat(read(data, 6, shuffle=False))[:COUNT]


def test_start_is_the_same_as_having_seen_so_many(data, memory):
    whole = flat(read(data, 60, batch=2))
    for start in (COUNT - 1, COUNT, 3 * COUNT + 7):
        assert flat(read(data, 3, batch=8, start=start)) == whole[start : start + 24]


def test_the_order_is_that_of_the_seed_alone(data, memory):
    whole = flat(read(data, 12))
    assert flat(read(data, 6, batch=8, resolution=4)) == whole
    assert flat(read(data, 12, resolution=16)) == whole
    assert flat(read(data, 12, seed=1)) != whole


def test_windows_hold_together_and_differ_from_a_full_shuffle(data, memory):
    shard_of = np.repeat(np.arange(len(data.shard_counts)), data.shard_counts)
    stored = flat(read(data, shuffle=False, repeat=False))
    shard = {number: shard_of[i] for i, number in enumerate(stored)}
    first = [shard[number] for number in flat(read(data, 1, batch=5))]
    if memory == "in windows":
        assert len(set(first)) <= 2
    epochs = flat(read(data, COUNT))
    assert len({shard[n] for n in epochs[::COUNT]}) > 1  # windows change


def test_a_late_start_in_a_small_set_is_immediate(data):
    assert len(read(data, 1, start=10**12 + 3)[0]) == 4


def test_without_repeat_the_epoch_ends(data, memory):
    batches = read(data, repeat=False)
    assert [len(batch) for batch in batches] == [4] * 5 + [3]
    assert flat(batches) == flat(read(data, 6))[:COUNT]
    assert flat(read(data, repeat=False, start=20, batch=100)) == flat(batches)[20:]


@pytest.mark.parametrize(("pieces", "workers"), [(2, 1), (4, 2)])
def test_pieces_of_all_workers_are_the_batch(data, memory, pieces, workers):
    whole = read(data, 8, batch=8, seed=3)
    mine = pieces // workers
    shares = [
        read(data, 8 * mine, batch=8, seed=3, pieces=pieces, shard=(k, workers))
        for k in range(workers)
    ]
    for step, batch in enumerate(whole):
        dealt = [share[step * mine + r] for share in shares for r in range(mine)]
        assert dealt == [batch[r::pieces] for r in range(pieces)]


def test_no_image_goes_to_two_workers(data, memory):
    """Four workers: what they read of two batches is those, and nothing twice."""
    options = {"batch": 8, "seed": 3, "pieces": 4}
    shares = [flat(read(data, 2, shard=(k, 4), **options)) for k in range(4)]
    assert sorted(sum(shares, [])) == sorted(flat(read(data, 2, batch=8, seed=3)))
    assert len(set(sum(shares, []))) == 16


def test_what_cannot_be_shared(data):
    with pytest.raises(UserError, match="multiple of 3"):
        pipeline.dataset(data, 8, 4, pieces=3)
    with pytest.raises(UserError, match="even share"):
        pipeline.dataset(data, 8, 6, pieces=3, shard=(0, 2))
    with pytest.raises(UserError, match="no level 32; it has 4, 8, 16"):
        pipeline.dataset(data, 32, 4)
    with pytest.raises(UserError, match="not a finished data set"):
        pipeline.dataset(data.folder.parent, 8, 4)


def test_mirroring_follows_seed_and_number(data):
    def flips(batches, **options):
        found = pipeline.dataset(data, 8, 8, mirror=True, **options).take(batches)
        return np.concatenate([e["image"][:, 0, 0, 0] != 200 for e in found])

    whole = flips(100)
    assert 0.4 < whole.mean() < 0.6
    np.testing.assert_array_equal(flips(10, start=40), whole[40:120])
    assert (flips(100, seed=1) != whole).any()
    shared = flips(4, pieces=2)  # two steps, each in two pieces
    np.testing.assert_array_equal(shared[:8], np.r_[whole[:8:2], whole[1:8:2]])
    epochs = whole[: 34 * COUNT].reshape(34, COUNT)
    assert (epochs != epochs[0]).any()  # a new draw at every showing
    image = next(iter(pipeline.dataset(data, 8, 8, mirror=True)))["image"].numpy()
    plain = next(iter(pipeline.dataset(data, 8, 8)))["image"].numpy()
    want = np.where(whole[:8, None, None, None], plain[:, :, ::-1], plain)
    np.testing.assert_array_equal(image, want)


def test_pngs_are_mirrored_like_raw_pictures(data, memory):
    assert [data.levels[n].encoding for n in (8, 16)] == ["raw", "png"]
    flips, pictures = [], []
    for resolution in (8, 16):
        found = pipeline.dataset(data, resolution, 8, mirror=True, start=20).take(4)
        images = np.concatenate([e["image"] for e in found])
        flips.append(images[:, 0, 0, 0] != 200)
        pictures.append(np.where(flips[-1][:, None], images[:, 1, 0], images[:, 1, -1]))
    np.testing.assert_array_equal(*flips)
    np.testing.assert_array_equal(*pictures)
    assert 0 < flips[0].sum() < 32


def test_elements_have_static_shapes_and_their_labels(data, memory):
    found = pipeline.dataset(data, 16, 8, pieces=2)
    assert found.element_spec["image"] == tf.TensorSpec([4, 16, 16, 1], tf.uint8)
    assert found.element_spec["label"] == tf.TensorSpec([4, 4], tf.float32)
    for element in found.take(6).as_numpy_iterator():
        classes = element["image"][:, 0, -1, 0] % 4
        np.testing.assert_array_equal(element["label"], np.eye(4)[classes])
    classes = np.argmax(pipeline.dataset_labels(data), 1)
    stored = pipeline.first_images(data, 4, COUNT)
    np.testing.assert_array_equal(stored[:, 0, -1, 0] % 4, classes)
    assert pipeline.first_images(data.folder, 16, 100).shape == (COUNT, 16, 16, 1)


def test_without_labels_they_have_no_width(data, tmp_path):
    source = sources.open_source(str(data.folder.parent / "in"), "none")
    made = records.write_dataset(source, tmp_path / "out", max_images=6)
    assert pipeline.dataset_labels(made).shape == (6, 0)
    element = next(iter(pipeline.dataset(made, 4, 2)))
    assert element["label"].shape == (2, 0)


def test_replicas_share_a_batch(data):
    devices = [device.name for device in tf.config.list_logical_devices("CPU")]
    strategy = tf.distribute.MirroredStrategy(devices)
    replicas = strategy.num_replicas_in_sync

    found = ReplicaBatches(strategy, functools.partial(pipeline.dataset, data, 8, 4))
    for batch in read(data, 8):
        images = strategy.experimental_local_results(next(found)["image"])
        got = [image[:, 0, -1, 0].numpy().tolist() for image in images]
        assert got == [batch[r::replicas] for r in range(replicas)]


def test_iterators_are_closed_at_once(data):
    plain = tf.data.Dataset.range(3)
    assert plain.options().autotune.enabled is not False
    for made in (pipeline.dataset(data, 8, 4), pipeline.untuned(plain)):
        assert made.options().autotune.enabled is False
    assert [int(i) for i in pipeline.untuned(plain)] == [0, 1, 2]


# ---------------------------------------------------------------------------
# The fade


def test_process_reals_equals_the_official_one():
    golden = np.load(GOLDENS / "v1_process_reals_images.npz")
    for lod in ("0.0", "0.3", "1.0", "1.75", "2.0"):
        images = golden[f"in/uint8/{lod}"].transpose(0, 2, 3, 1)
        want = golden[f"out/process_reals/{lod}/mirror_False"].transpose(0, 2, 3, 1)
        alpha = tf.constant(1 - float(lod) % 1)
        got = pipeline.process_reals(images, alpha).numpy()
        enlarged = got.repeat(32 // got.shape[1], 1).repeat(32 // got.shape[2], 2)
        np.testing.assert_allclose(enlarged, want, atol=1e-6)


def test_process_reals_at_the_ends_and_in_a_graph():
    images = np.random.RandomState(0).randint(0, 256, (2, 10, 6, 3), np.uint8)
    faded = pipeline.process_reals(images, 0.0).numpy()
    np.testing.assert_allclose(faded[:, ::2], faded[:, 1::2], atol=1e-6)
    np.testing.assert_allclose(faded.mean(), images.mean() / 127.5 - 1, rtol=1e-5)
    whole = pipeline.process_reals(images, 1).numpy()
    np.testing.assert_allclose(whole, images / 127.5 - 1, atol=1e-6)
    spec = [tf.TensorSpec([None, 10, 6, 3], tf.uint8), tf.TensorSpec([], tf.float32)]
    graph = tf.function(pipeline.process_reals, input_signature=spec)
    np.testing.assert_allclose(graph(images, 1.0), whole, atol=1e-6)
    odd = images[:, :5, :5]  # a start block of 5 x 5 never fades in
    assert pipeline.process_reals(odd, 1).shape == (2, 5, 5, 3)
