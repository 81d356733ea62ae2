"""Labels of people, names of other systems, records of other programs."""

import io
import json
import struct
from pathlib import Path

import numpy as np
import pytest
from bad_folders import PNG, RGB, encoded, make_folder

from stylegan_tf.data import (
    sources,
)
from stylegan_tf.data.sources import names as naming
from stylegan_tf.errors import UserError
from stylegan_tf.formats import tfrecords

# ---------------------------------------------------------------------------
# Labels


def labels_of(root: Path, **files) -> tuple[list[str], list]:
    source = sources.open_source(str(make_folder(root, **files)))
    found = [source.read(i, 8)[1] for i in range(len(source))]
    return source.class_names, found


def table(*values, names=("0.png", "1.png", "2.png")) -> dict:
    return {"labels": [list(pair) for pair in zip(names, values, strict=True)]}


@pytest.mark.parametrize(
    ("values", "classes", "found"),
    [
        ((1, 2, 1), ["1", "2"], [0, 1, 0]),
        ((90000, 7, 7), ["7", "90000"], [1, 0, 0]),
        ((0.0, 10.0, 2.0), ["0", "2", "10"], [0, 2, 1]),
        (("0.0", "10.0", "2"), ["0", "2", "10"], [0, 2, 1]),
        (("10", "9", "010"), ["9", "10"], [1, 0, 1]),
        (("b10", "b9", "a"), ["a", "b9", "b10"], [2, 1, 0]),
        ((True, False, True), ["False", "True"], [1, 0, 1]),
        ((-1, 1, 1), ["-1", "1"], [0, 1, 1]),
        (([0, 1], [1, 0], [0, 1]), ["0", "1"], [1, 0, 1]),
    ],
)
def test_classes_are_those_that_pictures_have(tmp_path, values, classes, found):
    assert labels_of(tmp_path, **{"dataset.json": table(*values)}) == (classes, found)


def test_vectors_stay_vectors_of_any_length(tmp_path):
    for rows in ([[0.5], [1], [2]], [[0, 1, 0.5]] * 3, [[1e-40, 2], [3, 4], [5, 6]]):
        names, found = labels_of(tmp_path, **{"dataset.json": table(*rows)})
        assert names == []
        np.testing.assert_array_equal(np.stack(found), np.float32(rows))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((0, -1, 2), "1.png with the class number -1.*no label"),
        ((0, 0.5, 1), "1.png with 0.5, which is no class number"),
        (("0", "nan", "2"), "1.png with 'nan', and others with numbers"),
        (("N/A", "1", "2"), "0.png with 'N/A', and others with numbers"),
        (("0", "nan", "0.5"), "1.png with 'nan', and others with numbers"),
        (("cat", "none", "2"), None),  # a name like the others
        (([1.0, 2], [3, float("nan")], [5, 6]), "1.png.*not finite: .3, nan"),
        (([1.0, 2], [3, 1e300], [5, 6]), "1.png.*not finite"),
        (([1.0, 2], [3, 10**400], [5, 6]), "not finite"),
        (([1, 2], [3, [4]], [5, 6]), r"not all of one kind.*1.png has \[4\] in it"),
        (([1, 2], [3, None], [5, 6]), "1.png has None"),
        (([1, 2], [3], [5, 6]), "1.png has 1 numbers, and that of 0.png has 2"),
        (([], [], []), "not all of one kind"),
        ((0, "a", [1]), r"not all of one kind \(int, list, str\)"),
        ((0, None, 1), "no label for 1 of 3 pictures: 1.png"),
        (({}, {}, {}), "not all of one kind"),
    ],
)
def test_what_is_no_label_is_said(tmp_path, values, words):
    if words is None:
        assert labels_of(tmp_path, **{"dataset.json": table(*values)})[0]
        return
    with pytest.raises(UserError, match=words) as e:
        labels_of(tmp_path, **{"dataset.json": table(*values)})
    assert len(str(e.value)) < 400 and "\n" not in str(e.value)


@pytest.mark.parametrize(
    "content",
    [
        b"file;label\n0.png;b\n1.png;a\n2.png;b\n",
        b"label\tfile\nb\t0.png\r\na\t1.png\r\nb\t2.png\r\n",
        b'"File", "Label"\r\n"0.png", "b"\r\n"1.png", "a"\r\n\r\n"2.png", "b"\r\n',
        "file,label\n0.png,b\n1.png,a\n2.png,b\n".encode("utf-16"),
        b"file,x,label\n.\\0.png,,b\n./1.png,,a\nC:\\2.png,,b\n",
    ],
)
def test_tables_of_other_programs(tmp_path, content):
    assert labels_of(tmp_path, **{"labels.csv": content}) == (["a", "b"], [1, 0, 1])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"label,file\na,0.png\na\n", "line 3: no file name"),
        (b"file,label\n0.png\n", "line 2: no label for 0.png"),
        (b"file,label\na,b.png,0\n", "line 2: 3 columns instead of 2"),
        (b'file,label\n0.png,"a\n1.png,b\n', "line 3: unexpected end of data"),
        (b'file,label\n"0.png"x,a\n', "line 2: .* expected after"),
        (b'file,label\n"0.png,' + b"x" * 200_000, "line 2: field larger than"),
        (b'file,label\n0.png,"a\nb"\n', "a quote that is not closed"),
        (b"Image,Male\n0.png,1\n", "must begin with the line 'file,label'; got 'Image"),
        (b"\xff\xfe\x00", "not a text file"),
        (b"\x80\x81", "not a text file"),
        (b"\x00" * 100, "must begin with"),
    ],
)
def test_broken_tables_are_said_with_their_line(tmp_path, content, words):
    with pytest.raises(UserError, match=words) as e:
        labels_of(tmp_path, **{"labels.csv": content})
    assert len(str(e.value)) < 400 and "\n" not in str(e.value)


def test_names_from_windows_and_macos(tmp_path):
    names = ["cat/\u00e9.png", "cat/1.png", "dog/2.png"]
    pairs = zip(["cat\\e\u0301.png", ".\\cat\\1.png", "dog\\2.png"], "aba", strict=True)
    root = make_folder(tmp_path / "a", names)
    (root / "dataset.json").write_text(json.dumps({"labels": dict(pairs)}))
    source = sources.open_source(str(root))
    assert [source.read(i, 8)[1] for i in range(3)] == [1, 0, 0]
    flat = make_folder(tmp_path / "b", ["cat\\0.png", "cat\\1.png", "dog\\0.png"])
    source = sources.open_source(str(flat))  # unpacked on Linux
    assert source.class_names == ["cat", "dog"]
    assert source.names == ["cat/0.png", "cat/1.png", "dog/0.png"]


def test_what_is_labeled_twice(tmp_path):
    twice = {"labels": [["0.png", 0], ["0.png", 1], ["1.png", 0], ["2.png", 0]]}
    with pytest.raises(UserError, match="0.png is labeled 0 and 1; keep one"):
        labels_of(tmp_path, **{"dataset.json": twice})


@pytest.mark.parametrize(
    ("names", "classes", "kept"),
    [
        (["10/a", "9/a", "1/a"], ["1", "9", "10"], 3),
        (["x/train/cat/a", "x/val/cat/a", "x/train/dog/a"], ["cat", "dog"], 2),
        (["Training/cat/a", "Test/cat/a", "Training/dog/a"], ["cat", "dog"], 2),
        (["train2017/a", "val2017/a"], [], 1),
        (["val/a", "test/a"], [], 2),
        (["images/a", "images/b", "masks/a", "masks/b"], [], 2),
        (["cat/a", "dog/b", "masks/a"], ["cat", "dog"], 2),
        (["hats/a", "shoes/b", "masks/c"], ["hats", "masks", "shoes"], 3),
        (["cat/a", "dog/b", "thumbnails/a", "@eaDir/a"], ["cat", "dog"], 2),
        (["thumbnails/a", "thumbnails/b"], [], 2),
        (["masks/a", "masks/b"], [], 2),
    ],
)
def test_folders_are_classes_splits_or_neither(tmp_path, names, classes, kept):
    root = make_folder(tmp_path, [f"{name}.png" for name in names])
    source = sources.open_source(str(root))
    assert (source.class_names, len(source)) == (classes, kept)
    assert bool(source.notes) == (kept < len(names) or names[0] == "val/a")


def test_other_files_of_the_same_name(tmp_path):
    web = {"name": "app", "icons": [], "display": "standalone"}
    files = {"manifest.json": web, "dataset.json": {"title": "a", "id": "b"}}
    source = sources.open_source(str(make_folder(tmp_path, **files)))
    assert len(source) == 3 and source.label_size == 0
    assert "dataset.json, which holds no labels but title, id" in str(source.notes)


def test_names_are_made_comparable():
    for name in ("a/b.png", "./a/b.png", "a\\b.png", "C:\\a\\b.png", "/a//b.png"):
        assert naming.portable_name(name) == "a/b.png"


# ---------------------------------------------------------------------------
# Records of other programs


def official_folder(root: Path, example: dict, **files) -> Path:
    root.mkdir()
    data = b"".join(tfrecords.frame_records([tfrecords.encode_example(example)] * 3))
    (root / "x-r04.tfrecords").write_bytes(data)
    return make_folder(root, (), **files)


PIXELS = RGB[:16].transpose(2, 0, 1)
SHAPE = np.array([3, 16, 16])


@pytest.mark.parametrize(
    ("example", "words"),
    [
        ({"shape": SHAPE, "img": encoded(RGB, "JPEG")}, "`img` .a JPEG"),
        ({"image": PNG}, "`image` .a PNG"),
        ({"shape": SHAPE, "data": PNG}, "`data` is a PNG"),
        ({"shape": SHAPE, "data": PIXELS.astype("f4").tobytes()}, "as float32 has"),
        ({"shape": SHAPE, "data": PIXELS.astype("f4").ravel()}, "`data` .768 numbers"),
        ({"shape": np.array([16, 16, 3]), "data": PIXELS.tobytes()}, "no channels, he"),
        ({"shape": np.array([16, 16]), "data": PIXELS.tobytes()}, "`shape` .2 numbers"),
        ({}, "without any feature"),
    ],
)
def test_records_of_other_programs_are_described(tmp_path, example, words):
    root = official_folder(tmp_path / "x", example)
    with pytest.raises(UserError, match=f"another program: .*{words}"):
        sources.open_source(str(root))


def test_labels_beside_official_records(tmp_path):
    example = {"shape": SHAPE, "data": PIXELS.tobytes()}

    def opened(name, rows):
        file = io.BytesIO()
        np.save(file, rows, allow_pickle=True)
        root = official_folder(
            tmp_path / name, example, **{"x.labels": file.getvalue()}
        )
        return sources.open_source(str(root))

    assert opened("numbers", np.array([7, 3, 7])).class_names == ["3", "7"]
    assert opened("one hot", np.eye(4)[[0, 2, 0]]).notes == [
        "2 of the 4 classes have no picture."
    ]
    for name, rows, words in [
        ("objects", np.array([{}, 1, 2], object), "Python objects"),
        ("nan", np.full((3, 2), np.nan), "not finite"),
        ("few", np.eye(2), r"shape \[2, 2\] for 3 pictures"),
        ("cube", np.zeros((3, 2, 2)), "of 3 axes"),
        ("texts", np.array(["a", "b", "c"]), r"shape \[3\]"),
    ]:
        with pytest.raises(UserError, match=words):
            opened(name, rows)


def test_records_that_lie_about_their_length(tmp_path):
    path = tmp_path / "a.tfrecords"
    for length, words in [
        (1 << 62, "cut short at record 1"),
        (2, "damaged at record 1"),
    ]:
        (good,) = tfrecords.frame_records([b"abc"])
        path.write_bytes(good + struct.pack("<Q", length) + good[8:])
        with pytest.raises(UserError, match=words):
            tfrecords.scan_records(path)
    with pytest.raises(ValueError, match="more than 64 bits"):
        tfrecords.parse_example(b"\x0a" + b"\x80" * 1000)


def test_shards_of_other_tools_are_named(tmp_path):
    (tmp_path / "train.tfrecords-00000-of-00002").write_bytes(b"")
    with pytest.raises(UserError, match="not named as the official tools name them"):
        sources.open_source(str(tmp_path))
