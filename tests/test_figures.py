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
    sheet = figures.image_grid(numbered(5), columns=3)
    assert sheet.shape == (4, 9, 1)
    np.testing.assert_array_equal(sheet[::2, ::3, 0], [[0, 1, 2], [3, 4, 255]])


def test_grid_with_gaps_has_none_at_the_edge():
    sheet = figures.image_grid(numbered(4), columns=2, gap=1)
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
    assert figures.sheet_layout(*size) == expected


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_files_hold_every_pixel(channels, tmp_path):
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (5, 7, channels)).astype(np.uint8)
    path = figures.save_image(tmp_path / "new" / "a.png", picture)
    read = np.asarray(Image.open(path)).reshape(picture.shape)
    np.testing.assert_array_equal(read, picture)
    assert [p.name for p in path.parent.iterdir()] == ["a.png"]


# ---------------------------------------------------------------------------
# Colors, sizes, words


def test_gray_and_transparent_pictures_in_color():
    gray = np.full((2, 2, 1), 7, np.uint8)
    np.testing.assert_array_equal(figures.rgb(gray), np.full((2, 2, 3), 7))
    alpha = np.array(
        [[[10, 20, 30, 255], [10, 20, 30, 0], [0, 100, 200, 51]]], np.uint8
    )
    expected = [[[10, 20, 30], [255, 255, 255], [204, 224, 244]]]
    np.testing.assert_array_equal(figures.rgb(alpha), expected)


def test_pictures_shrink_by_means_and_grow_by_pixels():
    picture = np.arange(64, dtype=np.uint8).reshape(4, 8, 2)
    means = picture.reshape(2, 2, 4, 2, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(figures.shrink_pixels(picture, 2), means, atol=0.51)
    larger = figures.resize_pixels(picture, 12, 24)
    np.testing.assert_array_equal(larger, figures.enlarge(picture[None], 3)[0])
    assert figures.resize_pixels(picture, 5, 9).shape == (5, 9, 2)
    assert figures.shrink_pixels(picture, 100).shape == (1, 1, 2)


def test_windows_stay_inside():
    picture = np.arange(48).reshape(6, 8, 1)
    window = figures.crop(picture, 5, -3, 2, 3)
    np.testing.assert_array_equal(window, picture[4:6, :3])


def ink(picture: np.ndarray) -> int:
    return int((picture.min(axis=-1) < 100).sum())


def test_words_are_black_on_white_and_break_where_they_must():
    short = figures.text_image("psi = 0.7", 20)
    assert short.dtype == np.uint8 and ink(short) > 50
    assert (short[0] == 255).all() and ink(figures.text_image("", 20)) == 0
    line = figures.text_image("one two three four five six", 20)
    broken = figures.text_image("one two three four five six", 20, width=100)
    assert broken.shape[1] <= 102 < line.shape[1]
    assert broken.shape[0] > 2 * line.shape[0]
    assert abs(ink(broken) - ink(line)) < 0.1 * ink(line)  # not a word is lost


# ---------------------------------------------------------------------------
# Tables and pages


def cells(rows, columns, h=64, w=96):
    shape = (rows, columns, h, w, 3)
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def test_a_table_without_headings_is_a_grid():
    own = cells(2, 3)
    sheet = figures.image_table(own, gap=4)
    np.testing.assert_array_equal(
        sheet, figures.image_grid(own.reshape(6, 64, 96, 3), columns=3, gap=4)
    )


def test_words_stand_above_and_before_the_cells():
    own = cells(2, 3)
    sheet = figures.image_table(own, ["a", "b", ""], ["row 1", ""], gap=4)
    bare = figures.image_table(own, gap=4)
    h, w, _ = bare.shape
    np.testing.assert_array_equal(sheet[-h:, -w:], bare)
    above, before = sheet[:-h, -w:], sheet[-h:, :-w]
    assert ink(above[:, :96]) > 10 and ink(above[:, 100:196]) > 10
    assert ink(above[:, 200:]) == 0
    assert ink(before[:64]) > 30 and ink(before[68:]) == 0
    assert ink(sheet[:-h, :-w]) == 0


def test_pictures_stand_above_and_before_the_cells():
    own, top, left = cells(2, 3), cells(1, 3)[0] // 2, cells(1, 2)[0] // 3
    sheet = figures.image_table(own, top, left, [("Both", 2)], gap=4, apart=10)
    h, w = 2 * 64 + 4, 3 * 96 + 2 * 4
    np.testing.assert_array_equal(sheet[:64, -96:], top[2])
    np.testing.assert_array_equal(sheet[-64:, -w - 106 : -w - 10], left[1])
    np.testing.assert_array_equal(sheet[-h : -h + 64, -w : -w + 96], own[0, 0])
    assert sheet.shape[0] == 64 + 10 + h
    band = sheet[-h:, : sheet.shape[1] - w - 106]
    assert ink(band) > 30 and (sheet[: -h - 10, : band.shape[1]] == 255).all()


def test_tables_may_have_holes():
    own = [list(row) for row in cells(2, 2)]
    own[1][1] = None
    sheet = figures.image_table(own, gap=2)
    assert (sheet[-64:, -96:] == 255).all()
    np.testing.assert_array_equal(sheet[-64:, :96], own[1][0])


def test_a_page_has_every_figure_once_and_its_words():
    colors = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 0, 250)]
    heights = [900, 300, 300, 300]
    parts = [
        (f"Figure {i}.", np.full((h, 930, 3), c, np.uint8))
        for i, (h, c) in enumerate(zip(heights, colors, strict=True))
    ]
    page = figures.figure_page(parts, "A title")
    for height, color in zip(heights, colors, strict=True):
        same = (page == np.array(color, np.uint8)).all(axis=-1)
        assert same.sum() == height * 930
    first = np.argwhere((page == np.array(colors[0])).all(axis=-1))
    assert first[:, 1].max() < 1100  # the others share the right column
    assert page.shape[0] < 1500
    assert ink(page[: first[0, 0]]) > 100  # the title
    assert ink(page[first[-1, 0] + 1 :, :1000]) > 50  # a caption


@pytest.mark.parametrize("kind", ["png", "pdf"])
def test_pages_are_saved(kind, tmp_path):
    path = figures.save_image(tmp_path / f"a.{kind}", cells(1, 1)[0, 0])
    start = {"png": b"\x89PNG", "pdf": b"%PDF"}[kind]
    assert path.read_bytes()[:4] == start
