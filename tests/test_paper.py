"""paper/: every cell of a figure is the picture that it says it is, from any model."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image

from stylegan_tf import figures, latents, sampling
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.figures import paper, sheets
from stylegan_tf.figures.paper import noise
from stylegan_tf.figures.paper.noise import busiest, noise_statistics
from stylegan_tf.latents import directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import renderer, steering

CELL, GAP = 32, 1
OPTIONS = paper.FigureOptions(cell=CELL)


def options(**changes) -> paper.FigureOptions:
    return paper.FigureOptions(**({"cell": CELL} | changes))


@pytest.fixture(scope="module")
def model():
    made = tiny.noisy(Generator(tiny.config().generator))
    for v in made.trainable_variables:
        if v.path.endswith("noise/weight"):
            v.assign(np.full(v.shape, 0.3))
    return made


@pytest.fixture(scope="module")
def painter(model):
    return paper.Painter(model, OPTIONS)


def draw(name, painter, **changes) -> paper.Figure:
    """A figure, with the renderer that is compiled already."""
    own = paper.Painter(painter.model, options(**changes))
    own.render = painter.render
    return paper.draw_figure(name, painter.model, own.options, own)


def cell(sheet, rows, columns, row, column, size=(CELL, CELL)) -> np.ndarray:
    """A picture in a table, whose last one stands in the lower right corner."""
    y = sheet.shape[0] - (rows - row) * (size[0] + GAP) + GAP
    x = sheet.shape[1] - (columns - column) * (size[1] + GAP) + GAP
    return sheet[y : y + size[0], x : x + size[1]]


def large(picture: np.ndarray, factor=CELL // 8) -> np.ndarray:
    return figures.enlarge(picture[None], factor)[0]


def by_model(model, ws, noise="const") -> np.ndarray:
    """Pictures without any of the code under test."""
    images = model.synthesis(tf.constant(ws), noise=noise).numpy()
    return np.clip(np.floor(images * 127.5 + 128), 0, 255).astype(np.uint8)


def check_close(found, expected) -> None:
    np.testing.assert_allclose(found.astype(int), expected.astype(int), atol=1)


# ---------------------------------------------------------------------------


def test_mixing_is_done_by_hand(model, painter):
    sheet, _ = draw("mixing", painter)
    above = sampling.styles(model, [639, 701, 687, 615, 2268], 0.7)
    below = sampling.styles(model, [888, 829, 1898, 1733, 1614, 845], 0.7)
    layers = [[0, 1]] * 3 + [[2]] * 2 + [[3]]
    ws = np.repeat(below[:, None], 5, axis=1)
    for r in range(6):
        ws[r, :, layers[r]] = above[:, layers[r]].swapaxes(0, 1)
    mixed = by_model(model, ws.reshape(30, 4, 8)).reshape(6, 5, 8, 8, 3)
    above, below = by_model(model, above), by_model(model, below)
    for r in range(6):
        check_close(
            cell(sheet, 6, 6, r, 0)[:, : CELL - 2 * GAP],  # headings stand 2 gaps apart
            large(below[r])[:, GAP : GAP + CELL - 2 * GAP],
        )
        for c in range(5):
            check_close(cell(sheet, 6, 5, r, c), large(mixed[r, c]))
    x = sheet.shape[1] - 5 * (CELL + GAP) + GAP
    for c in range(5):
        top = sheet[:CELL, x + c * (CELL + GAP) :][:, :CELL]
        check_close(top, large(above[c]))
    bands = sheet[:, : x - CELL - 4 * GAP]
    assert (bands[CELL + 2 :].min(axis=-1) < 100).sum() > 100  # words are there


def test_mixing_of_ones_own(model, painter):
    sheet, _ = draw("mixing", painter, seeds=[1, 2, 3], columns=2, layers=[1, 3], psi=1)
    a, b = sampling.styles(model, [1]), sampling.styles(model, [3])
    check_close(
        cell(sheet, 1, 2, 0, 0),
        large(by_model(model, latents.mix_styles(b, a, [1, 3]))[0]),
    )
    with pytest.raises(UserError, match="mixing takes seeds for its columns, here 3"):
        draw("mixing", painter, seeds=[1, 2, 3], columns=3)


def test_truncation_is_the_generators(model, painter):
    sheet, _ = draw("truncation", painter)
    ws = sampling.styles(model, [91, 388])
    for c, psi in enumerate((1.0, 0.7, 0.5, 0.0, -0.5, -1.0)):
        expected = by_model(model, model.truncate(tf.constant(ws), psi))
        for r in range(2):
            check_close(cell(sheet, 2, 6, r, c), large(expected[r]))
    words = sheet[: -2 * (CELL + GAP) + GAP]
    assert (words[:, -CELL:].min(axis=-1) < 100).sum() > 10
    sheet, _ = draw("truncation", painter, seeds=[5], sweep=[0.3], cutoff=2)
    ws = model.truncate(tf.constant(sampling.styles(model, [5])), 0.3, 2)
    check_close(cell(sheet, 1, 1, 0, 0), large(by_model(model, ws)[0]))


def test_w_is_computed_once_for_all_psi(model, painter, monkeypatch):
    calls = []
    mapped = renderer._compiled_mapping(model)
    monkeypatch.setattr(
        renderer,
        "_compiled_mapping",
        lambda m: lambda *a: calls.append(1) or mapped(*a),
    )
    draw("truncation", painter, seeds=[1, 2, 3], sweep=[1, 0.5, 0, -1])
    assert len(calls) == 1


def test_uncurated_pictures_halve_in_size(model, painter):
    sheet, _ = draw("uncurated", painter, rows=2, seeds=range(54), cell=16)
    sizes = [32, 16, 8, 8, 4, 4]  # pixels are averaged only where there are too few
    assert sheet.shape == (64, sum(sizes), 3)
    ws = sampling.styles(model, range(54), 0.7)
    render = sampling.Renderer(model)
    x = number = 0
    for size in sizes:
        count = 64 // size
        for row in (0, count - 1):
            i = number + row
            maps = [
                m[i % 8 : i % 8 + 1] for m in render.noise_of(range(i - i % 8, i + 8))
            ]
            picture = by_model(model, ws[i : i + 1], maps)[0]
            expected = large(picture, size // 8) if size >= 8 else None
            if expected is None:
                means = picture.reshape(4, 2, 4, 2, 3).mean(axis=(1, 3))
                expected = np.floor(means + 0.5).astype(np.uint8)
            found = sheet[row * size : (row + 1) * size, x : x + size]
            np.testing.assert_allclose(found.astype(int), expected, atol=2)
        x, number = x + size, number + count


def test_uncurated_latents_are_the_papers(model, painter):
    sheet, _ = draw("uncurated", painter, rows=1, columns=1, psi=1, cell=16)
    z = np.random.RandomState(5).randn(1, 8).astype(np.float32)
    ws = model.broadcast(model.mapping(z))
    picture = by_model(model, ws, latents.noise_of([0], painter.render.shapes))
    check_close(sheet, large(picture[0]))


def test_noise_deviates_as_numpy_says(model, painter):
    w = sampling.styles(model, [1157], 0.7)
    first, deviation = noise_statistics(painter, w[0])
    maps = latents.noise_of(range(100), painter.render.shapes)
    images = by_model(model, np.repeat(w, 100, axis=0), maps)
    check_close(first, images[:4])
    expected = images.astype(float).mean(axis=-1).std(axis=0)
    np.testing.assert_allclose(deviation, expected, atol=0.1)
    assert expected.max() > 1
    sheet, caption = draw("noise", painter, rows=1)
    gain = int(caption.split("times ")[1].rstrip("."))
    bright = np.clip(deviation * gain + 0.5, 0, 255).astype(np.uint8)
    shown = cell(sheet, 1, 3, 0, 2)
    np.testing.assert_array_equal(shown, large(np.repeat(bright[..., None], 3, -1)))
    top, left = busiest(deviation, 4, 4)
    window = large(first[0][top : top + 4, left : left + 4])
    np.testing.assert_array_equal(cell(sheet, 1, 3, 0, 1)[:15, :15], window[:15, :15])


def test_the_busiest_window():
    values = np.random.default_rng(0).random((9, 12))
    sums = {
        (y, x): values[y : y + 3, x : x + 4].sum() for y in range(7) for x in range(9)
    }
    assert busiest(values, 3, 4) == max(sums, key=sums.get)


def test_noise_is_on_the_layers_named(model, painter):
    sheet, _ = draw("noise_layers", painter)
    ws = sampling.styles(model, [1967, 1555], 0.7)
    stored = [getattr(model.synthesis, f"noise{i}").numpy() for i in range(4)]
    modes = ([0, 1, 2, 3], [], [3], [0, 1, 2])
    for c, kept in enumerate(modes):
        maps = [m * (i in kept) for i, m in enumerate(stored)]
        expected = by_model(model, ws, maps)
        for r in range(2):
            check_close(cell(sheet, 4, 4, 2 * r, c), large(expected[r]))
    np.testing.assert_array_equal(  # zeros are no noise
        by_model(model, ws, [0 * m for m in stored]), by_model(model, ws, "none")
    )


def test_interpolation_in_z_and_w(model, painter):
    sheet, _ = draw("interpolation", painter, seeds=[1, 2], psi=1, columns=5)
    z = latents.z_of([1, 2], 8)
    ws = sampling.styles(model, [1, 2])
    t = np.linspace(0, 1, 5)[:, None]
    in_z = model.broadcast(
        model.mapping(latents.slerp(z[0], z[1], t).astype(np.float32))
    )
    in_w = ws[0] + (ws[1] - ws[0]) * t[..., None].astype(np.float32)
    for r, expected in enumerate((in_z, in_w)):
        for c, picture in enumerate(by_model(model, expected)):
            check_close(cell(sheet, 2, 5, r, c), large(picture))


def test_a_film_of_the_interpolation(model):
    frames, count = paper.interpolation_frames(
        model, options(seeds=[1, 2, 3]), "cubic", 4, True
    )
    frames = list(frames)
    assert len(frames) == count == 12
    expected = by_model(model, sampling.styles(model, [1, 2, 3], 0.7))
    check_close(np.stack(frames[::4]), expected)


def test_directions_are_walked_along(model, painter):
    sheet, caption = draw("directions", painter, rows=2, columns=3, psi=0.7)
    w = sampling.sample_w(model)
    sefa = directions.sefa(steering.style_affines(model), w, 8)
    base = sampling.styles(model, [1], 0.7)
    for r, (own, name) in enumerate(
        [(directions.pca(w, 8), "pca0"), (None, None), (sefa, "sefa0"), (sefa, "sefa1")]
    ):
        for c, amount in enumerate((-2, 0, 2)):
            if own is not None:
                picture = by_model(model, base + np.float32(amount) * own.step(name))[0]
                check_close(cell(sheet, 4, 3, r, c), large(picture))
    assert "sefa of the affines of all layers" in caption
    own = directions.Directions(
        ("a",), sefa.vectors[:1], sefa.scales[:1], sefa.quality[:1], "me", (3,)
    )
    sheet, _ = draw("directions", painter, columns=2, directions=own)
    base[:, 3] += 2 * own.step("a")  # the layer where it belongs, and no other
    check_close(cell(sheet, 1, 2, 0, 1), large(by_model(model, base)[0]))


def test_styles_of_a_file_are_drawn_with_their_noise(model, painter, tmp_path):
    noise = latents.noise_of([7, 8], painter.render.shapes)
    ws = sampling.styles(model, [7, 8])
    path = latents.Latents(ws, noise, ("x", "y")).save(tmp_path / "a.npz")
    batch = sampling.StyleBatch.from_file(model, path)
    expected = by_model(model, ws, noise)
    for name, columns in (("truncation", 1), ("noise_layers", 4)):
        sheet, _ = draw(name, painter, styles=batch, psi=1, sweep=[1.0])
        rows = {"truncation": 2, "noise_layers": 4}[name]
        for r in range(2):
            found = cell(sheet, rows, columns, r * rows // 2, 0)
            check_close(found, large(expected[r]))
    sheet, _ = draw("mixing", painter, styles=batch, psi=1, seeds=[3, 4])
    mixed = latents.mix_styles(ws[1:], sampling.styles(model, [4]), [2])
    maps = [m[1:] for m in noise]
    check_close(cell(sheet, 2, 2, 1, 1), large(by_model(model, mixed, maps)[0]))
    sheet, _ = draw("interpolation", painter, styles=batch, psi=1, columns=2)
    assert sheet.shape[0] == CELL  # in W only
    check_close(cell(sheet, 1, 2, 0, 0), large(expected[0]))


def test_mixing_in_a_model_that_has_hardly_grown():
    """Two layers: there are coarse and fine ones, and nothing between."""
    small = tiny.noisy(Generator(tiny.config().generator, Growth(4)))
    sheet, _ = paper.draw_figure("mixing", small, options(rows=2, columns=1, psi=1))
    above = sampling.styles(small, [639])
    for r, layer in enumerate((0, 1)):
        below = sampling.styles(small, [(701, 687)[r]])
        mixed = sampling.Renderer(small)(latents.mix_styles(below, above, [layer]))
        check_close(cell(sheet, 2, 1, r, 0), large(mixed[0], CELL // 4))


# ---------------------------------------------------------------------------
# Every model


def other(changes: dict) -> Generator:
    return tiny.noisy(Generator(tiny.config(tiny.FIXED | changes).generator))


def flat(net: str, **settings) -> dict:
    return {f"{net}.{k}": v for k, v in settings.items()}


KINDS = {
    "dcgan": flat("generator", architecture="dcgan", mapping_layers=0)
    | flat("discriminator", architecture="dcgan"),
    "stylegan2": flat("generator", architecture="skip")
    | flat("discriminator", architecture="residual"),
    "wide gray classes": {"start_shape": (4, 6), "channels": 1, "classes": 3},
}
LACKS = {
    "dcgan": ["mixing", "noise", "noise_layers", "directions"],
    "stylegan2": [],
    "wide gray classes": [],
}


@pytest.mark.parametrize("kind", KINDS)
def test_everything_of_any_model(kind, tmp_path, monkeypatch):
    monkeypatch.setattr(noise, "NOISE_DRAWS", 9)
    monkeypatch.setattr(sheets, "COLUMN", 200)  # quick to write
    said: list[str] = []
    model = other(KINDS[kind])
    files = paper.draw_all_figures(model, options(rows=2), tmp_path, say=said.append)
    names = [n for n in paper.FIGURES if n not in LACKS[kind]]
    assert [f.name for f in files] == [f"{n}.png" for n in names] + [
        "page.png",
        "page.pdf",
    ]
    assert [line.split()[0] for line in said] == LACKS[kind]
    assert all("is left out: " in line and "\n" not in line for line in said)
    for file in files[:-1]:
        picture = np.asarray(Image.open(file))
        assert picture.ndim == 3 and np.ptp(picture) > 0
    h, w = model.config.shape(8)
    sheet = np.asarray(Image.open(tmp_path / "truncation.png"))
    found = cell(sheet, 2, 6, 0, 0, (h * 4, w * 4))
    (_, expected), *_ = sampling.draw(model, [91])
    check_close(found, large(figures.rgb(expected)))


def test_what_is_no_figure_is_said(model):
    with pytest.raises(UserError, match="no figure 'teaser'; there are uncurated"):
        paper.draw_figure("teaser", model, OPTIONS)


@pytest.mark.parametrize(
    ("shape", "cell", "expected"),
    [
        ((1024, 1024), None, (1024, 1024)),
        ((1024, 1024), 300, (340, 340)),
        ((32, 32), None, (128, 128)),
        ((256, 384), None, (256, 384)),
        ((96, 96), 256, (192, 192)),
    ],
)
def test_cells_are_even_and_of_whole_pixels(shape, cell, expected):
    from stylegan_tf.figures.paper.painter import cell_size

    assert cell_size(shape, cell) == expected
