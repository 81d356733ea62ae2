"""data/targets.py: what a user names, at the size and in the colors of a model."""

import numpy as np
import pytest
from PIL import Image

from stylegan_tf.data import demo
from stylegan_tf.data.images import fit_image
from stylegan_tf.errors import UserError
from stylegan_tf.projector import targets


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "more").mkdir()
    face = Image.fromarray(demo.draw_face(0, 32))
    face.save(folder / "a face.png")
    face.convert("L").save(folder / "more" / "a face.png")
    wide = Image.new("RGB", (60, 20), "red")
    wide.paste("blue", (20, 0, 40, 20))
    wide.save(folder / "wide.png")
    Image.new("RGBA", (16, 16), (0, 0, 0, 0)).save(folder / "clear.png")
    (folder / "broken.png").write_bytes(b"no picture")
    Image.new("RGB", (3, 3)).save(folder / "tiny.png")
    return folder


def test_a_folder(folder):
    found = targets.read_targets([str(folder)], (16, 16), 3)
    assert found.names == ["a_face", "clear", "a_face-2", "wide"]
    assert (found.images.shape, found.images.dtype) == ((4, 16, 16, 3), np.uint8)
    expected = fit_image(demo.draw_face(0, 32), (16, 16), 3)
    np.testing.assert_array_equal(found.images[0], expected)
    assert np.all(found.images[1] == 255)  # nothing, over white
    assert np.all(np.ptp(found.images[2], axis=-1) == 0)
    np.testing.assert_array_equal(found.images[3], np.full((16, 16, 3), (0, 0, 255)))
    assert found.notes == [
        "Skipped broken.png: not a picture in a known format.",
        "Skipped tiny.png: is 3x3, too small for 16x16 (it would be enlarged 5.3 "
        "times).",
        "1 of 4 pictures turned from RGBA to RGB, over white.",
        "1 of 4 pictures turned from gray to RGB.",
    ]


def test_a_mixture_for_a_gray_model_that_is_not_square(folder):
    specs = ["demo:2", str(folder / "wide.png"), str(folder / "wide.png")]
    found = targets.read_targets(specs, (8, 16), 1)
    assert found.names == ["demo_0", "demo_1", "wide", "wide-2"]
    assert found.images.shape == (4, 8, 16, 1)
    assert found.notes == ["4 of 4 pictures turned from RGB to gray."]
    first = targets.read_targets(specs, (8, 16), 1, first=3)
    np.testing.assert_array_equal(first.images, found.images[:3])


def test_no_file_of_a_projection_is_written_twice(tmp_path):
    names = ("a-target", "comparison", "a", "a.b", "b", "b-target")
    for i, name in enumerate(names):
        Image.fromarray(demo.draw_face(i, 16)).save(tmp_path / f"{name}.png")
    specs = [str(tmp_path / f"{name}.png") for name in names]
    found = targets.read_targets(specs, (16, 16), 3).names
    files = [*found, *(f"{name}-target" for name in found), "comparison"]
    assert len(set(files)) == 2 * len(names) + 1


def test_what_is_not_there_is_said(folder):
    with pytest.raises(UserError, match="there is no 'nothing.png'"):
        targets.read_targets(["nothing.png"], (8, 8), 3)
    with pytest.raises(UserError, match="no picture of .* Skipped broken.png: not a"):
        targets.read_targets([str(folder / "broken.png")], (8, 8), 3)


@pytest.mark.parametrize("letter", ["a", "\u3072"])
def test_long_names_leave_room_for_suffixes(letter):
    """Names of 255 bytes are legal; a projection adds -target.png to each."""
    long = letter * (250 // len(letter.encode()))
    names: dict = {}
    for name in (f"{long}b.png", f"{long}c.png", "con.png", "NUL.tar.png"):
        names[targets._unused(name, names)] = None
    assert all(len(f"{name}-target.png".encode()) <= 255 for name in names)
    assert [*names][2:] == ["con_", "NUL.tar_"]
