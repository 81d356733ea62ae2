"""previews.py: images of the moving average while it trains, and sheets of them."""

from types import SimpleNamespace

import numpy as np
import pytest
import reporting
import tensorflow as tf
import tiny
from PIL import Image
from reporting import at

from stylegan_tf import figures, latents
from stylegan_tf.data import pipeline
from stylegan_tf.networks.generator import Generator
from stylegan_tf.runs import previews
from stylegan_tf.sampling import lineup


@pytest.fixture
def trainer(pictures, tmp_path):
    return reporting.trainer(pictures, tmp_path)


@pytest.fixture
def conditional(pictures, tmp_path):
    return reporting.trainer(pictures, tmp_path, classes=5)


def test_preview_draws_the_average_of_this_moment_at_the_final_size(trainer):
    preview = previews.StagePreview(trainer)
    average = trainer.networks.average
    seeds = list(range(5))
    z = tf.constant(latents.z_of(seeds, 8))

    def directly(resolution, alpha):
        images = average(z, noise="const", resolution=resolution, alpha=alpha)
        return figures.to_uint8(images)

    styles = preview.styles(seeds)
    drawn = preview.render(styles)
    assert (drawn.dtype, drawn.shape) == (np.uint8, (5, 8, 8, 3))
    np.testing.assert_allclose(drawn.astype(int), directly(8, 0.5), atol=1)
    np.testing.assert_array_equal(preview.render(styles), drawn)
    assert np.abs(drawn.astype(int) - directly(8, 1.0)).max() > 1

    at(trainer, 0)
    small = preview.render(styles)
    assert small.shape == (5, 8, 8, 3)
    np.testing.assert_array_equal(small[:, ::2, ::2], small[:, 1::2, 1::2])
    np.testing.assert_allclose(small[:, ::2, ::2].astype(int), directly(4, 1.0), atol=1)


def test_preview_gives_the_seeds_every_class_in_turn(trainer):
    config = tiny.config({"classes": 3})
    average = Generator(config.generator)
    conditional = SimpleNamespace(
        config=config, networks=SimpleNamespace(average=average)
    )
    styles = previews.StagePreview(conditional).styles([7] * 7)
    for i in range(7):
        same = [np.allclose(styles[i], styles[j]) for j in range(3)]
        assert same == [j == i % 3 for j in range(3)]


@pytest.mark.parametrize(
    ("classes", "seeds", "turns"),
    [
        (0, [0, 1, 2, 3, 4, 5], []),
        (1, [0, 1, 2, 3, 4, 5], [0] * 6),
        (2, [0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1]),
        (3, [0, 1, 2, 3, 4, 5], [0, 1, 2, 0, 1, 2]),
    ],
)
def test_a_class_has_a_row_if_all_of_them_fit(classes, seeds, turns):
    assert lineup.sheet_cells(classes, columns=3, rows=2) == (seeds, turns)


def test_real_pictures_stand_in_the_row_of_their_class(trainer):
    stored = pipeline.first_images(trainer.data, 8, 24)
    kinds = pipeline.dataset_labels(trainer.data).argmax(axis=1)
    table = previews.real_images(trainer.data, 8, classes=5, columns=4, rows=6)
    assert (table.shape, table.dtype) == ((20, 8, 8, 3), np.uint8)
    white = 0
    for k, row in enumerate(table.reshape(5, 4, 8, 8, 3)):
        own = stored[kinds == k][:4]
        np.testing.assert_array_equal(row[: len(own)], own)
        assert (row[len(own) :] == 255).all()
        white += 4 - len(own)
    assert white > 0  # else the fixture does not show what it should


@pytest.mark.parametrize("classes", [0, 3, 7])
def test_real_pictures_without_such_rows_keep_their_order(trainer, classes):
    table = previews.real_images(trainer.data, 8, classes, columns=4, rows=6)
    np.testing.assert_array_equal(table, pipeline.first_images(trainer.data, 8, 24))


def test_real_pictures_without_labels_keep_their_order(trainer, monkeypatch):
    for labels in (np.zeros((24, 0)), np.ones((24, 5)), np.full((24, 5), 0.2)):
        monkeypatch.setattr(
            pipeline, "dataset_labels", lambda data, found=labels: found
        )
        table = previews.real_images(trainer.data, 8, classes=5, columns=4, rows=6)
        np.testing.assert_array_equal(table, pipeline.first_images(trainer.data, 8, 24))


def test_sheets_of_a_conditional_model_have_a_row_a_class(
    conditional, tmp_path, monkeypatch
):
    monkeypatch.setattr(figures, "sheet_layout", lambda h, w: (4, 9, 1))
    sheets = previews.Sheets()
    sheets.start(at(conditional, 0))
    sheets.tick(at(conditional, 48), {})
    reals = np.asarray(Image.open(tmp_path / "reals.png"))
    table = previews.real_images(conditional.data, 8, 5, 4, 9)
    np.testing.assert_array_equal(reals, figures.image_grid(table, 4))
    fakes = np.asarray(Image.open(sheets.latest))
    z = latents.z_of([0, 1, 2, 3] * 5, 8)
    labels = latents.one_hot(np.repeat(range(5), 4).tolist(), 5)
    drawn = conditional.networks.average(z, labels, noise="const")
    expected = figures.image_grid(figures.to_uint8(drawn), 4)
    np.testing.assert_allclose(fakes.astype(int), expected, atol=1)


def test_sheets_are_written_every_few_ticks(trainer, tmp_path, monkeypatch):
    columns, rows, factor = 4, 2, 3
    monkeypatch.setattr(figures, "sheet_layout", lambda h, w: (columns, rows, factor))
    sheets = previews.Sheets()
    sheets.start(at(trainer, 0))
    for nimg in (8, 16, 24, 32, 40, 48):
        at(trainer, nimg).state.nimg = nimg * 1000  # names count thousands
        trainer.total = 48000
        sheets.tick(trainer, {})
    written = sorted(p.name for p in tmp_path.iterdir())
    fakes = [f"fakes-0000{n}.png" for n in ("00", "16", "32", "48")]
    assert written == [*fakes, "reals.png"]
    assert sheets.latest == tmp_path / "fakes-000048.png"

    reals = np.asarray(Image.open(tmp_path / "reals.png"))
    cells = figures.enlarge(pipeline.first_images(trainer.data, 8, 24), factor)
    np.testing.assert_array_equal(reals[: 8 * factor, : 8 * factor], cells[0])
    size = Image.open(sheets.latest).size
    assert size == (columns * 8 * factor, rows * 8 * factor)


def test_sheets_of_a_resumed_run_add_to_those_there_are(trainer, tmp_path):
    (tmp_path / "reals.png").write_text("kept")
    sheets = previews.Sheets()
    sheets.start(trainer)
    assert [p.name for p in tmp_path.iterdir()] == ["reals.png"]
    assert (tmp_path / "reals.png").read_text() == "kept"


def test_sheets_are_thinned_to_the_last_ten_and_every_doubling():
    every = range(0, 1004, 4)
    kept = previews.sheets_to_keep(every)
    last = set(range(964, 1004, 4))
    assert kept == last | {0, 4, 8, 16, 32, 64, 128, 256, 512}
    there: set[int] = set()
    for kimg in every:  # one by one, as a run does
        there = previews.sheets_to_keep(there | {kimg})
        assert kimg in there
    assert there == kept
    assert previews.sheets_to_keep([]) == set()


def test_only_sheets_of_the_run_are_thinned(trainer, tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "sheet_layout", lambda h, w: (1, 1, 1))
    for name in (*(f"fakes-{k:06d}.png" for k in range(1, 30)), "fakes-000003 (1).png"):
        (tmp_path / name).write_text("")
    sheets = previews.Sheets()
    sheets.start(at(trainer, 0))
    names = {p.name for p in tmp_path.glob("fakes*")}
    kept = {0, 1, 2, 4, 8, 16, *range(20, 30)}
    assert names == {f"fakes-{k:06d}.png" for k in kept} | {"fakes-000003 (1).png"}
