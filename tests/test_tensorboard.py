"""tensorboard.py and event_files.py: numbers, panels, and files of bounded size."""

import io
import json

import numpy as np
import pytest
import reporting
import tensorflow as tf
from PIL import Image
from reporting import STATS, at

from stylegan_tf import config as configs
from stylegan_tf import figures
from stylegan_tf.data import pipeline
from stylegan_tf.runs import event_files, previews, tensorboard
from stylegan_tf.runs.event_files import EventFiles


@pytest.fixture
def trainer(pictures, tmp_path):
    return reporting.trainer(pictures, tmp_path)


@pytest.fixture
def conditional(pictures, tmp_path):
    return reporting.trainer(pictures, tmp_path, classes=5)


def run_board(trainer):
    trainer.total = 48_000
    report = tensorboard.TensorBoard(lambda: ["fid5k[toy]", "fid5k[other]"])
    report.start(at(trainer, 0))
    for nimg in (8000, 16000):
        report.record(at(trainer, nimg), STATS)
        report.tick(trainer, STATS)
    report.end(trainer, "finished")
    return report


@pytest.fixture
def board(trainer):
    return run_board(trainer)


def events(folder) -> list:
    """(step, tag, value) of everything in the event files."""
    found = []
    for path in folder.glob("events.*"):
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            found += [(event.step, v.tag, v) for v in event.summary.value]
    return found


def test_event_file_has_every_number_and_the_settings(board, trainer):
    found = events(trainer.run_dir)
    for kimg in (8, 16):  # the axis is in thousands of images
        scalars = {
            tag: float(tf.make_ndarray(value.tensor))
            for step, tag, value in found
            if step == kimg and value.metadata.plugin_data.plugin_name == "scalars"
        }
        assert scalars == pytest.approx({k: v for k, v in STATS.items() if v})
    (text,) = [value for _, tag, value in found if tag == "config"]
    written = tf.make_ndarray(text.tensor).item().decode().strip("`\n")
    assert json.loads(written) == configs.to_dict(trainer.config)
    (hparams,) = [v for _, tag, v in found if tag == "_hparams_/session_start_info"]
    assert b"loss.r1_gamma" in hparams.metadata.plugin_data.content
    (table,) = [v for _, tag, v in found if tag == "_hparams_/experiment"]
    columns = table.metadata.plugin_data.content
    places = [columns.index(t) for t in (b"fid5k[toy]", b"fid5k[other]", b"loss/g")]
    assert places == sorted(places)
    described = {tag for _, tag, v in found if v.metadata.summary_description}
    assert {tag for _, tag, _ in found} - described == {
        "_hparams_/experiment",
        "_hparams_/session_start_info",
    }


def test_every_number_of_a_tick_has_a_description():
    assert not set(STATS) - set(tensorboard.DESCRIPTIONS)


def test_a_run_of_an_earlier_version_keeps_its_axis(tmp_path):
    (tmp_path / "events.out.tfevents.1.host.1.0.v2").touch()
    files = EventFiles(tmp_path)
    with files.writing(8000):
        tf.summary.scalar("loss/g", 1.0)
    files.close()
    assert [step for step, tag, _ in events(tmp_path) if tag] == [8000]


def test_a_number_that_was_0_comes_when_it_is_not(trainer):
    report = tensorboard.TensorBoard()
    report.start(at(trainer, 0))
    for i, value in enumerate((0.0, 1.0, 0.0)):
        report.record(at(trainer, 1000 * i), {"penalty/r2": value})
    report.end(trainer, "finished")
    found = [s for s, tag, _ in events(trainer.run_dir) if tag == "penalty/r2"]
    assert found == [1, 2]


def panels_of(folder) -> dict[tuple[int, str], np.ndarray]:
    panels = {}
    for step, tag, value in events(folder):
        if value.metadata.plugin_data.plugin_name == "images":
            *_, png = tf.make_ndarray(value.tensor)
            panels[step, tag] = np.asarray(Image.open(io.BytesIO(png)))
    return panels


def test_event_file_has_the_panels(board, trainer):
    panels = panels_of(trainer.run_dir)
    assert set(panels) == {
        (0, "reals"),
        (16, "samples"),  # every second tick
        (16, "mixing"),
        (16, "truncation"),
    }
    cells = {
        tag: (p.shape[0] // 64, p.shape[1] // 64) for (_, tag), p in panels.items()
    }
    assert cells == {
        "reals": (3, 8),
        "samples": (4, 8),
        "mixing": (5, 6),
        "truncation": (4, 6),
    }
    first = pipeline.first_images(trainer.data, 8, 1)[0]
    np.testing.assert_array_equal(panels[0, "reals"][:64:8, :64:8], first)
    table = panels[16, "truncation"]
    average = table[:64, 192:256]  # psi = 0
    np.testing.assert_array_equal(average, table[64:128, 192:256])
    assert np.any(table[:64, :64] != table[64:128, :64])


def test_panels_of_a_conditional_model_have_a_row_a_class(conditional):
    run_board(conditional)
    panels = panels_of(conditional.run_dir)
    reals = previews.real_images(conditional.data, 8, 5, 8, 5)
    np.testing.assert_array_equal(
        panels[0, "reals"][::8, ::8], figures.image_grid(reals, 8)
    )
    cells = {
        tag: (p.shape[0] // 64, p.shape[1] // 64) for (_, tag), p in panels.items()
    }
    rows = {"reals": (5, 8), "samples": (5, 8), "mixing": (5, 6), "truncation": (5, 6)}
    assert cells == rows
    middle = panels[16, "truncation"][:, 192:256]  # psi = 0: the mean of each class
    kinds = {middle[i : i + 64].tobytes() for i in range(0, 320, 64)}
    assert len(kinds) == 5


@pytest.mark.parametrize(
    ("shape", "expected"),
    [((8, 8), 1), ((256, 256), 1), ((512, 320), 2), ((768, 512), 4), ((1024, 1024), 4)],
)
def test_panels_are_of_256_pixels_at_most(shape, expected):
    factor = tensorboard.shrinkage(*shape)
    assert factor == expected and max(shape) / factor <= 256


def test_a_large_picture_is_shrunk_in_a_panel(tmp_path, monkeypatch):
    monkeypatch.setattr(tensorboard, "PANEL_SIDE", 64)
    files = EventFiles(tmp_path)
    images = np.full((3, 128, 256, 3), 100, np.uint8)
    with files.writing(1000):
        tensorboard.TensorBoard._panel("samples", images, 2)
    files.close()
    (panel,) = panels_of(tmp_path).values()
    assert panel.shape == (64, 128, 3)


def test_event_files_are_of_bounded_size_and_keep_every_number(tmp_path, monkeypatch):
    monkeypatch.setattr(event_files, "FILE_BYTES", 50_000)
    monkeypatch.setattr(event_files, "PANEL_BYTES", 130_000)
    monkeypatch.setattr(event_files, "_SMALL", 0)
    noise = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 3), np.uint8)
    files = EventFiles(tmp_path)
    assert files.first
    for step in range(20):
        with files.writing(1000 * step):
            tf.summary.image("reals" if step == 0 else "samples", noise)
            tf.summary.scalar("loss/g", step)
    files.close()
    found = events(tmp_path)
    assert sorted(s for s, tag, _ in found if tag == "loss/g") == list(range(20))
    pictures = sorted(panels_of(tmp_path))
    assert pictures[0] == (0, "reals")
    steps = [step for step, _ in pictures[1:]]
    assert steps == list(range(steps[0], 20)) and 5 < len(steps) < 15
    paths = event_files.event_files(tmp_path)
    assert len(paths) > 4
    assert all(p.stat().st_size < 70_000 for p in paths)
    assert not EventFiles(tmp_path).first


def test_an_event_file_that_a_kill_cut_short_keeps_what_is_whole(tmp_path):
    files = EventFiles(tmp_path)
    for step in range(3):
        with files.writing(1000 * step):
            tf.summary.scalar("loss/g", step)
    files.close()
    path = files.path
    path.write_bytes(path.read_bytes()[:-9])
    event_files._without_images(path)
    assert [step for step, tag, _ in events(tmp_path) if tag] == [0, 1]


def test_mixing_table_has_coarse_rows_and_fine_columns(trainer):
    board = tensorboard.TensorBoard()
    board.preview = previews.StagePreview(trainer)
    styles = board.preview.styles(list(range(9)))
    rows, columns = styles[:4], styles[4:]
    table = board.mixing()
    assert table.shape == (5, 6, 4, 8)
    np.testing.assert_array_equal(table[0, 1:], columns)
    np.testing.assert_array_equal(table[1:, 0], rows)
    np.testing.assert_array_equal(table[3, 4, :2], rows[2, :2])
    np.testing.assert_array_equal(table[3, 4, 2:], columns[3, 2:])


def test_truncation_row_goes_from_the_picture_to_its_opposite(trainer):
    board = tensorboard.TensorBoard()
    board.preview = previews.StagePreview(trainer)
    styles = board.preview.styles(list(range(4)))
    table = board.sweep()
    assert table.shape == (4, 6, 4, 8)
    np.testing.assert_array_equal(table[:, 0], styles)
    w_avg = trainer.networks.average.w_avg.numpy()
    np.testing.assert_allclose(table[2, 3, 1], w_avg, atol=1e-6)
    np.testing.assert_allclose(table[2, 0] + table[2, 5], 2 * table[2, 3], atol=1e-5)
