"""figures.py: rounding to uint8, grids, files."""

import numpy as np
import pytest
from PIL import Image

from stylegan_tf import figures


def test_rounds_half_up_and_clips():
    values = np.array([-9, -1, -1 / 255, 0, 1 / 255, 0.5 / 127.5, 1, 9], np.float32)
    np.testing.assert_array_equal(
        figures.to_uint8(values), [0, 0, 127, 128, 128, 128, 255, 255]
    )
    # Pictures that were read as value / 127.5 - 1 come back as they were.
    every = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(figures.to_uint8(every / 127.5 - 1), every)


def numbered(n, h=2, w=3, c=1):
    return np.full((n, h, w, c), np.arange(n).reshape(n, 1, 1, 1), np.uint8)


def test_grid_goes_row_by_row_and_fills_up_with_white():
    sheet = figures.grid(numbered(5), columns=3)
    assert sheet.shape == (4, 9, 1)
    np.testing.assert_array_equal(sheet[::2, ::3, 0], [[0, 1, 2], [3, 4, 255]])


def test_grid_with_gaps_has_none_at_the_edge():
    sheet = figures.grid(numbered(4), columns=2, gap=1)
    assert sheet.shape == (5, 7, 1)
    assert (sheet[2] == 255).all() and (sheet[:, 3] == 255).all()
    assert (sheet[-1, -1], sheet[0, -1]) == (3, 1)


def test_enlarge_repeats_pixels():
    picture = np.arange(4, dtype=np.uint8).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(
        figures.enlarge(picture, 2)[0, :, :, 0],
        [[0, 0, 1, 1], [0, 0, 1, 1], [2, 2, 3, 3], [2, 2, 3, 3]],
    )


@pytest.mark.parametrize(
    ("size", "expected"),
    [((8, 8), (16, 10, 10)), ((64, 64), (16, 10, 1)), ((1024, 1024), (4, 2, 1))],
)
def test_layout_fills_a_screen(size, expected):
    assert figures.layout(*size) == expected


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_files_hold_every_pixel(channels, tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (5, 7, channels)).astype(np.uint8)
    path = figures.save(tmp_path / "new" / "a.png", picture)
    read = np.asarray(Image.open(path)).reshape(picture.shape)
    np.testing.assert_array_equal(read, picture)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]
