"""TFRecords and PNGs made without TensorFlow: what TensorFlow and Pillow read."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from stylegan_tf.data import convert, records, shards, sources
from stylegan_tf.data.images import decode_image, encode_image, fit_image, pyramid
from stylegan_tf.formats import tfrecords

NUMBERS = np.random.RandomState(7)
LENGTHS = (0, 1, 5, 8, 9, 255, 256, 257, 3000)


def test_tensorflow_reads_the_frames_and_their_checksums(tmp_path):
    strings = [NUMBERS.bytes(n) for n in LENGTHS] * 2
    path = tmp_path / "a.tfrecords"
    data = b"".join(tfrecords.frame_records(strings))
    path.write_bytes(data)
    read = tf.data.TFRecordDataset(str(path))
    assert list(read.as_numpy_iterator()) == strings
    with tf.io.TFRecordWriter(str(tmp_path / "b.tfrecords")) as writer:
        for string in strings:
            writer.write(string)
    assert (tmp_path / "b.tfrecords").read_bytes() == data
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(tf.errors.DataLossError):
        list(tf.data.TFRecordDataset(str(path)))


@pytest.mark.parametrize("label", [0, 300, -1, np.float32([0.25, -3, 1e9])])
def test_records_are_what_tensorflow_would_have_written(label):
    layout = convert.Layout(8, (4, 6), 3, "center", {4: "raw", 8: "png"})
    item = convert.EncodedImage(70000, label, [NUMBERS.bytes(72), NUMBERS.bytes(400)])
    vector = isinstance(label, np.ndarray)
    numbers = {"height": 8, "width": 12, "channels": 3, "index": 70000}
    numbers["label"] = -1 if vector else label
    wanted = tf.train.Example()
    for name, value in numbers.items():
        wanted.features.feature[name].int64_list.value.append(value)
    for name, value in {"image": item.levels[1], "encoding": b"png"}.items():
        wanted.features.feature[name].bytes_list.value.append(value)
    if vector:
        wanted.features.feature["label_vector"].float_list.value.extend(label)
    got = shards._encode_record(item, 1, layout)
    assert got == wanted.SerializeToString(deterministic=True)


# ---------------------------------------------------------------------------


def some_pictures(channels: int) -> dict[str, np.ndarray]:
    """Pictures for which each of the filters is the best one somewhere."""
    ramp = np.arange(40)[:, None] + 3 * np.arange(24)
    return {
        "noise": NUMBERS.randint(0, 256, (40, 24, channels)),
        "flat": np.full((40, 24, channels), 255),
        "ramp": np.repeat(ramp[..., None], channels, 2),
        "columns": np.repeat(NUMBERS.randint(0, 256, (1, 24, channels)), 40, 0),
        "rows": np.repeat(NUMBERS.randint(0, 256, (40, 1, channels)), 24, 1),
        "one pixel": NUMBERS.randint(0, 256, (1, 1, channels)),
        "one row": NUMBERS.randint(0, 256, (1, 300, channels)),
    }


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_pngs_hold_every_pixel(channels):
    for name, pixels in some_pictures(channels).items():
        pixels = pixels.astype(np.uint8)
        png = encode_image(pixels, "png")
        by_pillow = np.array(Image.open(io.BytesIO(png))).reshape(pixels.shape)
        np.testing.assert_array_equal(by_pillow, pixels, name)
        by_tensorflow = tf.io.decode_png(png, channels).numpy()
        np.testing.assert_array_equal(by_tensorflow, pixels, name)


def test_pngs_are_small_where_there_is_little_to_tell():
    found = some_pictures(3)
    sizes = {k: len(encode_image(v.astype(np.uint8), "png")) for k, v in found.items()}
    assert max(sizes["flat"], sizes["ramp"], sizes["rows"]) < 400  # of 2,880 bytes
    assert sizes["columns"] < 400 and sizes["noise"] < 1.06 * 2880 + 100


@pytest.mark.parametrize("shape", [(64, 64, 3), (32, 48, 1), (64, 32, 4)])
def test_levels_are_exact_means(shape):
    pixels = NUMBERS.randint(0, 256, shape).astype(np.uint8)
    found = pyramid(pixels, 4)
    h, w, c = shape
    for i, level in enumerate(reversed(found)):
        n = 1 << i
        blocks = pixels.reshape(h // n, n, w // n, n, c).astype(np.float64)
        np.testing.assert_array_equal(level, np.rint(blocks.mean((1, 3))))


# ---------------------------------------------------------------------------


def jpeg(side: int) -> tuple[bytes, np.ndarray]:
    """A smooth picture as a JPEG and its pixels."""
    y, x = np.mgrid[:side, :side] / side
    waves = [np.sin(9 * x + 4 * y), np.cos(7 * y), np.sin(11 * x * y)]
    pixels = np.rint(127.5 + 120 * np.stack(waves, 2)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=95)
    return file.getvalue(), pixels


def test_drafts_are_decoded_small_and_look_the_same():
    data, _ = jpeg(512)
    whole = fit_image(decode_image(data), (32, 32), 3)
    draft = decode_image(data, 32)
    assert draft.size == (128, 128)  # four times 32: an eighth would be twice
    off = np.abs(fit_image(draft, (32, 32), 3).astype(float) - whole)
    assert 0 < off.mean() < 1 and off.max() < 8
    assert decode_image(data, 200).size == (512, 512)  # too little to lose any


def test_drafts_are_asked_for_and_are_another_data_set(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.jpg").write_bytes(jpeg(256)[0])
    source = sources.open_source(str(tmp_path / "in"))
    assert source.read(0, 16)[0].size == (256, 256)
    plan = records._plan(source, 16)
    source.draft = True
    assert source.read(0, 16)[0].size == (64, 64)
    assert records._plan(source, 16) != plan
