"""Sources, labels and single pictures: real faults and every way to name a source."""

import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_tf.data import objects, sources
from stylegan_tf.data.images import (
    BadImage,
    decode_image,
    fit_image,
    pyramid,
    read_header,
)
from stylegan_tf.data.sources import labels
from stylegan_tf.errors import UserError

GOLDENS = Path(__file__).parent / "goldens" / "tfrecords"
RGB = np.random.RandomState(0).randint(0, 256, (24, 16, 3), np.uint8)


def encoded(image, kind="PNG", **options) -> bytes:
    """An array or a Pillow image as the bytes of a file."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, kind, **options)
    return file.getvalue()


def folder_of(root: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return root


def zip_of(path: Path, files: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as z:
        for name, data in files.items():
            z.writestr(name, data)
    return path


def label_list(source) -> list:
    return [source.read(i, 8)[1] for i in range(len(source))]


PNG = encoded(RGB)
ANIMALS = {"cat/1.png": PNG, "cat/deep/2.png": PNG, "dog/3.png": PNG}


# ---------------------------------------------------------------------------
# Folders and zips


@pytest.mark.parametrize("kind", ["folder", "zip"])
def test_nested_pictures_with_folder_names_as_classes(tmp_path, kind):
    extra = {"dog/.hidden.png": b"", "__MACOSX/dog/3.png": b"", "a.txt": b"x"}
    extra |= {"cat/b.txt": b"", "LICENSE": b"", "more.zip": b""}
    files = ANIMALS | extra
    make = folder_of if kind == "folder" else zip_of
    source = sources.open_source(str(make(tmp_path / "animals.zip", files)))
    assert source.names == ["cat/1.png", "cat/deep/2.png", "dog/3.png"]
    assert source.class_names == ["cat", "dog"]
    assert label_list(source) == [0, 0, 1]
    assert source.notes[0] == (
        "Left aside what is not a picture: 2 .txt such as a.txt, LICENSE, more.zip."
    )
    assert source.notes[1].startswith("more.zip is not opened; unpack it there")
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(np.asarray(again.read(2, 8)[0]), RGB)
    assert source.peek(0)[:2] == (24, 16)


@pytest.mark.parametrize(
    ("names", "classes"),
    [
        (["a/x/1.png", "a/y/2.png"], ["x", "y"]),  # the folder that all share is none
        (["a/1.png", "2.png"], []),
        (["a/1.png", "a/2.png"], []),
        (["00000/1.png", "00001/2.png"], []),  # numbered parts
        (["0/1.png", "1/2.png"], ["0", "1"]),  # digits
    ],
)
def test_which_folders_are_classes(names, classes):
    assert labels.from_folders(names).class_names == classes


def test_stray_pictures_beside_classes_are_left_aside_and_named(tmp_path):
    files = {f"{k}/{i}.png": PNG for k in ("cat", "dog") for i in range(2)}
    root = folder_of(tmp_path / "set", files | {"cover.png": PNG, "read.txt": b"x"})
    source = sources.open_source(str(root))
    assert source.names == [*files] and label_list(source) == [0, 0, 1, 1]
    assert "Left aside 1 picture beside the folders of classes: cover.png." in (
        source.notes
    )
    again = pickle.loads(pickle.dumps(source))
    np.testing.assert_array_equal(np.asarray(again.read(3, 8)[0]), RGB)
    with objects.open_images(
        [root / "cover.png", *map(root.joinpath, files)], "auto"
    ) as (listed):
        assert label_list(listed) == [0, 0, 1, 1] and len(listed) == 4
    unlabeled = sources.open_source(str(root), "none")
    assert len(unlabeled) == 5 and not unlabeled.label_size
    folder_of(root, {"1.png": PNG})
    many = sources.open_source(str(root))
    assert len(many) == 6 and not many.label_size
    assert "No classes: 2 of 6 pictures lie in none of the folders" in many.notes[-1]


def test_image_folder_tree_gives_its_training_split(tmp_path):
    files = {f"{split}/{name}": PNG for split in ("train", "test") for name in ANIMALS}
    source = sources.open_source(str(folder_of(tmp_path, files)))
    assert [name.split("/")[0] for name in source.names] == ["train"] * 3
    assert source.class_names == ["cat", "dog"]
    assert "train/" in source.notes[0]


def test_links_are_followed_but_not_for_ever(tmp_path):
    root = folder_of(tmp_path / "set", {"a/1.png": PNG})
    folder_of(tmp_path / "far", {"2.png": PNG})
    (root / "b").symlink_to(tmp_path / "far")
    (root / "loop").symlink_to(root)
    assert sources.open_source(str(root)).names == ["a/1.png", "b/2.png"]


def test_fingerprint_follows_content_and_labels(tmp_path):
    root = folder_of(tmp_path, ANIMALS)
    seen = {sources.open_source(str(root)).fingerprint()}
    assert sources.open_source(str(root)).fingerprint() in seen
    seen.add(sources.open_source(str(root), "none").fingerprint())
    folder_of(tmp_path, {"dog/3.png": PNG + b"\0"})
    seen.add(sources.open_source(str(root)).fingerprint())
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "nowhere", "there is no"),
        (lambda p: p, "no pictures"),
        (lambda p: folder_of(p, {"b.txt": b"", "a.csv": b""}), "1 .csv, 1 .txt"),
        (
            lambda p: folder_of(p, {"a.zip": b"PK\3\4 damaged"}) / "a.zip",
            "complete zip",
        ),
        (lambda p: folder_of(p, {"a.zip": b""}) / "a.zip", "complete zip"),
        (lambda p: folder_of(p, {"a.png": PNG}) / "a.png", "single file"),
        (
            lambda p: folder_of(
                p, {"manifest.json": b'{"format": "stylegan_tf records"}'}
            ),
            "finished data set",
        ),
        (lambda p: folder_of(p, {"manifest.json": b"{}"}), "no pictures .*1 .json"),
        (lambda p: "demo:0", "demo:N"),
        (lambda p: "demo:many", "demo:N"),
    ],
)
def test_what_cannot_be_opened_is_told_in_a_line(tmp_path, make, message):
    with pytest.raises(UserError, match=message) as e:
        sources.open_source(str(make(tmp_path)))
    assert len(str(e.value).splitlines()) <= 2


def test_damage_inside_a_zip_costs_one_picture(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"1.png": PNG, "2.png": PNG})
    data = bytearray(path.read_bytes())
    data[data.index(PNG) + 100] ^= 255
    path.write_bytes(data)
    source = sources.open_source(str(path))
    with pytest.raises(BadImage, match="CRC"):
        source.read(0, 8)
    assert source.read(1, 8)[0].size == (16, 24)


def test_opening_and_converting_needs_no_tensorflow():
    code = "import sys; from stylegan_tf.data import convert, workers, manifest;"
    code += "from stylegan_tf.data.sources import tfds;"
    code += "sys.exit('tensorflow' in sys.modules)"
    environment = os.environ | {"STYLEGAN_TF_LAZY": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


# ---------------------------------------------------------------------------
# Label files


def test_dataset_json_goes_before_folders(tmp_path):
    table = {"labels": [[name, i] for i, name in enumerate(ANIMALS)]}
    root = folder_of(tmp_path, ANIMALS | {"dataset.json": json.dumps(table).encode()})
    source = sources.open_source(str(root))
    assert label_list(source) == [0, 1, 2]
    assert source.class_names == ["0", "1", "2"]
    assert sources.open_source(str(root), "none").label_size == 0
    folder_of(tmp_path, {"dataset.json": b'{"labels": null}'})
    assert sources.open_source(str(root)).label_size == 0


def test_vectors_stay_vectors(tmp_path):
    table = {"labels": [[name, [i / 2, 1, -1]] for i, name in enumerate(ANIMALS)]}
    folder_of(tmp_path, ANIMALS | {"dataset.json": json.dumps(table).encode()})
    source = sources.open_source(str(tmp_path))
    assert (source.label_size, source.class_names) == (3, [])
    np.testing.assert_array_equal(source.read(1, 8)[1], np.float32([0.5, 1, -1]))


def test_csv_of_names_or_numbers(tmp_path):
    csv = "file,label\n" + "".join(
        f"{n},{c}\n" for n, c in zip(ANIMALS, "bab", strict=True)
    )
    folder_of(tmp_path, ANIMALS | {"labels.csv": b"\xef\xbb\xbf" + csv.encode()})
    source = sources.open_source(str(tmp_path))
    assert (source.class_names, label_list(source)) == (["a", "b"], [1, 0, 1])
    other = folder_of(tmp_path / "other", {"o.csv": csv.replace("b", "2").encode()})
    text = (other / "o.csv").read_text().replace(",a", ",0").replace("la2el", "label")
    (other / "o.csv").write_text(text)
    source = sources.open_source(str(tmp_path), str(other / "o.csv"))
    assert (source.class_names, label_list(source)) == (["0", "2"], [1, 0, 1])


def test_names_in_a_label_file_may_leave_out_the_common_folder(tmp_path):
    files = {f"images/{i}.png": PNG for i in range(3)}
    csv = b"file,label\n0.png,x\n1.png,y\n2.png,x\n"
    source = sources.open_source(
        str(zip_of(tmp_path / "a.zip", files | {"labels.csv": csv}))
    )
    assert label_list(source) == [0, 1, 0]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("labels.csv", "file,label\ncat/1.png,0\n", "2 of 3 pictures: cat/deep/2.png"),
        ("labels.csv", "cat/1.png,0\n", "must begin with the line 'file,label'"),
        ("labels.csv", "", "an empty file"),
        ("labels.csv", "file,label\ncat/1.png\n", "line 2: no label"),
        ("labels.csv", "file,label\ncat/1.png,0\ncat/1.png,1\n", "keep one"),
        ("dataset.json", "{", "not a label file"),
        ("dataset.json", "[]", "not a label file"),
        ("dataset.json", '{"labels": [["cat/1.png", 0]]}', "no label for 2 of 3"),
        ("dataset.json", "ALL:[0, -1, 2]", "class number -1"),
        ("dataset.json", "ALL:[0, [1], 2]", "not all of one kind"),
        ("dataset.json", "ALL:[[1], [1, 2], [3]]", "not all of one kind"),
        ("dataset.json", 'ALL:[["a"], ["b"], ["c"]]', "not all of one kind"),
    ],
)
def test_mistakes_in_label_files(tmp_path, name, text, message):
    if text.startswith("ALL:"):
        pairs = zip(ANIMALS, json.loads(text[4:]), strict=True)
        text = json.dumps({"labels": [list(pair) for pair in pairs]})
    folder_of(tmp_path, ANIMALS | {name: text.encode()})
    with pytest.raises(UserError, match=message):
        sources.open_source(str(tmp_path))
    assert len(sources.open_source(str(tmp_path), "none")) == 3


def test_a_label_file_that_is_not_there(tmp_path):
    folder_of(tmp_path, ANIMALS)
    with pytest.raises(UserError, match="auto, none, or the path"):
        sources.open_source(str(tmp_path), "automatic")


# ---------------------------------------------------------------------------
# Pictures with something wrong, pictures of every kind


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"just some text", "not a picture"),
        (PNG[: len(PNG) // 2], "damaged"),
        (encoded(RGB, "JPEG")[:-200], "damaged.*truncated"),
        (PNG[:60] + bytes(40) + PNG[100:], "damaged"),
    ],
)
def test_unreadable_pictures_have_a_reason(tmp_path, data, reason):
    source = sources.open_source(str(folder_of(tmp_path, {"a.png": data})))
    with pytest.raises(BadImage, match=reason) as e:
        source.read(0, 8)
    assert "\n" not in e.value.reason


def test_files_that_cannot_be_opened_have_a_reason(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")
    source = sources.open_source(str(tmp_path))
    for read in (source.peek, lambda i: source.read(i, 8)):
        with pytest.raises(BadImage, match="No such file"):
            read(0)


@pytest.mark.parametrize("limit", [100, 300])  # Pillow raises beyond twice, else warns
def test_decompression_bombs_are_listed(monkeypatch, recwarn, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(BadImage, match="too large"):
        decode_image(PNG)
    with pytest.raises(BadImage, match="too large"):
        read_header(io.BytesIO(PNG))
    assert not recwarn.list


def fitted(image, channels=3, shape=None, crop="center", **options) -> np.ndarray:
    image = decode_image(encoded(image, **options))
    return fit_image(image, shape or (image.height, image.width), channels, crop)


def test_sixteen_bits_are_scaled_not_clipped():
    deep = np.linspace(0, 65535, 64).astype(np.uint16).reshape(8, 8)
    for kind in ("PNG", "TIFF"):
        got = fitted(deep, 1, kind=kind)[..., 0]
        np.testing.assert_array_equal(got, np.rint(deep / 257))
    with pytest.raises(BadImage, match="from 1.04858e.06 to .*white is 65535"):
        fitted(np.full((8, 8), 1 << 20, np.int32), kind="TIFF")
    with pytest.raises(BadImage, match="floating-point"):
        fitted(np.ones((8, 8), np.float32), kind="TIFF")


def test_transparency_is_laid_over_white_or_kept():
    alpha = np.zeros((24, 16), np.uint8)
    alpha[:12] = 255
    rgba = np.dstack([RGB, alpha])
    over_white = np.where(alpha[..., None] == 255, RGB, 255)
    np.testing.assert_array_equal(fitted(rgba), over_white)
    np.testing.assert_array_equal(fitted(rgba, 4), rgba)
    np.testing.assert_array_equal(fitted(RGB, 4), np.dstack([RGB, alpha * 0 + 255]))
    gray_alpha = fitted(np.dstack([RGB[..., 0], alpha]), 1)
    np.testing.assert_array_equal(gray_alpha[..., 0], np.where(alpha, RGB[..., 0], 255))


def test_palettes_with_a_transparent_color():
    image = Image.fromarray(np.repeat(np.uint8([[0, 1, 2, 3]]), 8, 0), "P")
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 9, 9])
    got = fitted(image, transparency=1)[0]
    np.testing.assert_array_equal(got, [[255, 0, 0], [255] * 3, [0, 0, 255], [9, 9, 9]])
    assert fitted(image, 4, transparency=1)[0, 1, 3] == 0


def test_cmyk_and_one_bit():
    cmyk = Image.new("CMYK", (8, 8), (255, 0, 0, 0))
    got = fitted(cmyk, kind="JPEG")[0, 0].astype(int)
    assert got[0] < 40 < 140 < min(got[1:])  # cyan
    assert fitted(Image.new("1", (8, 8), 1), 1).max() == 255


def test_exif_rotation_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise
    data = encoded(RGB, exif=exif)
    np.testing.assert_array_equal(np.asarray(decode_image(data)), np.rot90(RGB, -1))
    assert read_header(io.BytesIO(data))[:2] == (16, 24)


def test_gray_to_color_and_back():
    gray = RGB[..., 0]
    np.testing.assert_array_equal(fitted(gray), np.repeat(gray[..., None], 3, 2))
    want = np.asarray(Image.fromarray(RGB).convert("L"))
    np.testing.assert_array_equal(fitted(RGB, 1)[..., 0], want)


def test_crops():
    np.testing.assert_array_equal(
        fitted(RGB, shape=(16, 16)), RGB[4:20]
    )  # not resampled
    resized = Image.fromarray(RGB[4:20]).resize((8, 8), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(fitted(RGB, shape=(8, 8)), np.asarray(resized))
    padded = fitted(RGB, shape=(24, 24), crop="pad")
    np.testing.assert_array_equal(padded[:, 4:20], RGB)
    assert not padded[:, :4].any() and not padded[:, 20:].any()
    assert fitted(RGB, 4, (24, 24), "pad")[0, 0, 3] == 0
    np.testing.assert_array_equal(fitted(RGB, crop="none"), RGB)
    with pytest.raises(BadImage, match="24x16.*only 16x16"):
        fitted(RGB, shape=(16, 16), crop="none")


@pytest.mark.parametrize("crop", ["center", "pad"])
def test_means_before_lanczos_change_next_to_nothing(crop):
    """Eight times too large: halved first, and still four times too large."""
    rng = np.random.RandomState(3)
    rough = Image.fromarray(rng.randint(0, 256, (16, 16, 3), np.uint8))
    large = np.array(rough.resize((256, 256), Image.Resampling.BICUBIC))
    large = np.uint8(np.clip(large + rng.normal(0, 20, large.shape), 0, 255))
    found = fitted(large, shape=(32, 32), crop=crop).astype(float)
    wanted = Image.fromarray(large).resize((32, 32), Image.Resampling.LANCZOS)
    assert 0 < np.abs(found - np.array(wanted)).max() <= 2
    # Less than REDUCE times too large after any mean over whole pixels: Lanczos alone.
    found = fitted(large, shape=(48, 48), crop=crop)
    wanted = Image.fromarray(large).resize((48, 48), Image.Resampling.LANCZOS)
    np.testing.assert_array_equal(found, np.array(wanted))


@pytest.mark.parametrize("crop", ["center", "pad"])
def test_enlarging_has_a_limit(crop):
    assert fitted(RGB, shape=(48, 32), crop=crop).shape == (48, 32, 3)
    with pytest.raises(BadImage, match="too small for 96x64"):
        fitted(RGB, shape=(96, 64), crop=crop)


def test_levels_are_means_that_are_rounded_once():
    pixels = np.uint8([[0, 0, 1, 1], [0, 1, 1, 0], [2, 2, 0, 0], [2, 2, 0, 0]])[
        ..., None
    ]
    one, two, four = pyramid(pixels, 3)
    np.testing.assert_array_equal(two[..., 0], [[0, 1], [2, 0]])
    assert one.item() == 1  # 0.75; of the rounded level it would be the same as 0.75
    assert four is pixels
    halves = np.uint8([[0, 0, 0, 0], [1, 1, 3, 3], [0] * 4, [1, 1, 1, 1]])[..., None]
    assert pyramid(halves, 3)[0].item() == 1  # 0.75, not the 0.5 of 0, 2, 0, 0


# ---------------------------------------------------------------------------
# The demo, official TFRecords, TFDS


def test_demo_draws_at_the_size_that_is_wanted():
    source = sources.open_source("demo:12")
    assert len(source) == 12 and source.label_size == len(source.class_names) > 1
    assert source.read(3, 32)[0].shape == (32, 32, 3)
    assert all(0 <= label < source.label_size for label in label_list(source))
    assert sources.open_source("demo:12", "none").read(0, 16)[1] == -1


@pytest.mark.parametrize("name", ["gray32", "rgb32", "rgb32labels"])
def test_official_tfrecords_are_read_as_official_code_reads_them(tmp_path, name):
    zipfile.ZipFile(GOLDENS / f"{name}.zip").extractall(tmp_path)
    want = np.load(GOLDENS / f"{name}_expected.npz")
    source = sources.open_source(str(tmp_path / name))
    items = [source.read(i, 32) for i in range(len(source))]
    images = np.stack([image for image, _ in items]).transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(images, want["images_lod0"])
    assert source.label_size == want["labels_lod0"].shape[1]
    if source.label_size and source.class_names:
        one_hot = np.eye(source.label_size)[[label for _, label in items]]
        np.testing.assert_array_equal(one_hot, want["labels_lod0"])
    elif source.label_size:
        got = np.stack([label for _, label in items])
        np.testing.assert_array_equal(got, want["labels_lod0"])
    assert source.peek(0)[:3] == (32, 32, name == "gray32")


def test_official_tfrecords_cut_short(tmp_path):
    zipfile.ZipFile(GOLDENS / "gray32.zip").extractall(tmp_path)
    path = tmp_path / "gray32" / "gray32-r05.tfrecords"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(UserError, match="cut short at record 19"):
        sources.open_source(str(path.parent))


def tiny_builder(root: Path, file_format: str):
    """A TFDS data set of three pictures (and one for tests), prepared in `root`."""
    import tensorflow_datasets as tfds

    features = tfds.features.FeaturesDict(
        {
            "image": tfds.features.Image(shape=(None, None, 3)),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
        }
    )
    examples = [(i, {"image": RGB + np.uint8(i), "label": i % 2}) for i in range(3)]
    return tfds.dataset_builders.store_as_tfds_dataset(
        "tiny_pets",
        version="1.0.0",
        features=features,
        split_datasets={"train": examples, "test": examples[:1]},
        data_dir=str(root),
        file_format=file_format,
    )


@pytest.mark.parametrize("file_format", ["tfrecord", "array_record"])
def test_tfds(tmp_path, file_format):
    builder = tiny_builder(tmp_path, file_format)
    for spec in (f"tfds:{builder.data_dir}", str(builder.data_dir)):
        source = sources.open_source(spec)
        assert (len(source), source.class_names) == (3, ["cat", "dog"])
        pairs = [source.read(i, 8) for i in range(3)]
        for image, label in pairs:
            shift = int(np.asarray(image)[0, 0, 0]) - int(RGB[0, 0, 0])
            np.testing.assert_array_equal(
                np.asarray(image), RGB + np.uint8(shift % 256)
            )
            assert label == shift % 2
    assert pickle.loads(pickle.dumps(source)).peek(0)[:2] == (24, 16)
    assert len(sources.open_source(f"tfds:{builder.data_dir}@test", "none")) == 1
    with pytest.raises(UserError, match="no split 'dev'.*train, test"):
        sources.open_source(f"tfds:{builder.data_dir}@dev")


def test_tfds_names_that_are_not_there(monkeypatch):
    with pytest.raises(UserError, match="not prepared.*--download"):
        sources.open_source("tfds:mnist")
    with pytest.raises(UserError, match="did you mean.*mnist"):
        sources.open_source("tfds:mnsit")
    from tensorflow_datasets.image_classification.mnist import MNIST

    def offline(self):
        raise ConnectionError("no route to host\nand a page more")

    monkeypatch.setattr(MNIST, "download_and_prepare", offline)
    with pytest.raises(UserError, match="could not download.*no route to host. Check"):
        sources.open_source("tfds:mnist", download=True)


def test_what_this_program_wrote_is_left_aside(tmp_path):
    """`--data=.` twice must not train on its own sheets."""
    picture = encoded(Image.new("RGB", (8, 8)))
    run = "runs/00000-data-demo"
    marks = [f"{run}/{n}" for n in ("config.json", "command.txt", "environment.json")]
    marks += ["mine/config.json", "out/projection.json", "out/projected.npz"]
    files = dict.fromkeys(marks, b"{}")
    own = [f"{run}/fakes-000001.png", f"{run}/model/card.png", "out/a.png"]
    files |= dict.fromkeys(["a.png", "mine/b.png", *own], picture)
    for source in (folder_of(tmp_path / "x", files), zip_of(tmp_path / "x.zip", files)):
        found = sources.open_source(str(source), "none", False)
        assert found.names == ["a.png", "mine/b.png"]
        assert any("this program wrote: out/, runs/00000" in n for n in found.notes)
