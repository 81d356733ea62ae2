"""reports.py: log lines, stats, sheets, event files, and the progress bar."""

import io
import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image

from stylegan_tf import config as configs
from stylegan_tf import figures, latents
from stylegan_tf.config.schedule import phase_at
from stylegan_tf.data import pipeline
from stylegan_tf.networks.generator import Generator
from stylegan_tf.runs import event_files, previews, reports, session, tensorboard
from stylegan_tf.runs.event_files import EventFiles
from stylegan_tf.sampling import lineup
from stylegan_tf.training.step import METRICS
from stylegan_tf.training.trainer import make_networks

STATS = dict.fromkeys(METRICS, 0.0) | {
    "loss/g": 0.71234567,
    "loss/d": 1.5,
    "scores/real": 0.25,
    "scores/fake": -0.5,
    "penalty/r1": 0.0625,
    "progress/kimg": 0.024,
    "progress/alpha": 0.25,
    "progress/batch": 4,
    "timing/images_per_second": 12.34,
    "timing/total_seconds": 3723.0,
    "memory/cpu_gb": 1.26,
}


@pytest.fixture(scope="module")
def networks():
    nets = make_networks(tiny.config())
    tiny.shake(nets)
    nets.average.w_avg.assign(np.linspace(-1, 1, 8))
    return nets


@pytest.fixture
def trainer(networks, pictures, tmp_path):
    """What a report sees of a trainer: half-way into 8 x 8, after 24 images."""
    config = tiny.config({"image_ticks": 2})
    return SimpleNamespace(
        config=config,
        data=pictures,
        networks=networks,
        phase=phase_at(config.schedule, 8, 24),
        replicas=1,
        run_dir=tmp_path,
        state=SimpleNamespace(nimg=24, skipped=0, notices=[], shown_facts=dict),
        stopping=None,
        total=48,
    )


def at(trainer, nimg: int):
    trainer.state.nimg = nimg
    trainer.phase = phase_at(trainer.config.schedule, 8, nimg)
    return trainer


# ---------------------------------------------------------------------------
# Log


def test_log_has_a_line_a_tick_and_every_number(trainer, tmp_path, capsys):
    log = reports.Log()
    log.start(at(trainer, 0))
    log.record(at(trainer, 24), STATS)
    trainer.state.skipped = 2
    log.end(trainer, "finished")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert capsys.readouterr().out.splitlines() == lines
    assert lines[0] == f"{tmp_path} starts at 0 kimg, ends at 0.048"
    assert " ".join(lines[1].split()) == (
        "kimg 0.0 8x8 alpha 0.25 batch 4 loss G 0.712 D 1.500 scores +0.25 -0.50 "
        "r1 0.062 12.3 img/s 1h 02m 1.3 GB"
    )
    assert lines[2:] == [
        "finished at 0.024 kimg",
        "2 steps had a gradient that was not finite",
    ]
    (row,) = map(json.loads, (tmp_path / "stats.jsonl").read_text().splitlines())
    assert row.pop("nimg") == 24
    assert set(row) == set(STATS)
    log.record(trainer, STATS | {"loss/g": float("nan"), "progress/skipped_in_tick": 3})
    last = (tmp_path / "stats.jsonl").read_text().splitlines()[-1]
    assert json.loads(last, parse_constant=pytest.fail)["loss/g"] is None
    assert "r1 0.062  skipped 3  12.3" in (tmp_path / "log.txt").read_text()
    assert row["loss/g"] == 0.712346


def test_log_shows_how_strongly_pictures_are_augmented(trainer):
    line = reports.Log._line(at(trainer, 24), STATS | {"augment/p": 0.1234})
    assert " ".join(line.split()).endswith("r1 0.062 p 0.123 12.3 img/s 1h 02m 1.3 GB")


def test_log_says_who_stopped_it_and_how_to_go_on(trainer, capsys):
    log = reports.Log()
    log.start(trainer)
    trainer.stopping = "SIGTERM"
    log.end(trainer, "interrupted")
    said = capsys.readouterr().out
    assert "continues at 0.024 kimg" in said
    assert "stopped by SIGTERM at 0.024 kimg" in said
    assert "the same command continues" in said
    assert "not finite" not in said


def test_log_forgets_what_came_after_the_checkpoint(trainer, tmp_path):
    file = tmp_path / "stats.jsonl"
    rows = [json.dumps({"nimg": n, "loss/g": 1.0}) for n in (8, 16, 24, 32)]
    file.write_text("\n".join([*rows, '{"nimg": 4']) + "\n")
    log = reports.Log()
    log.start(trainer)
    log.record(at(trainer, 32), STATS)
    found = [json.loads(line)["nimg"] for line in file.read_text().splitlines()]
    assert found == [8, 16, 24, 32]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0m 00s"),
        (61.9, "1m 01s"),
        (3600, "1h 00m"),
        (86399, "23h 59m"),
        (90000, "1d 01h"),
    ],
)
def test_clock(seconds, text):
    assert reports.clock(seconds) == text


# ---------------------------------------------------------------------------
# Pictures


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


@pytest.fixture(scope="module")
def conditional_networks():
    nets = make_networks(tiny.config({"classes": 5}))
    tiny.shake(nets)
    return nets


@pytest.fixture
def conditional(trainer, conditional_networks):
    trainer.config = tiny.config({"image_ticks": 1, "classes": 5})
    trainer.networks = conditional_networks
    return trainer


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


# ---------------------------------------------------------------------------
# TensorBoard


def run_board(trainer):
    report = tensorboard.TensorBoard()
    report.start(at(trainer, 0))
    for nimg in (8, 16):
        report.tick(at(trainer, nimg), STATS)
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
    for nimg in (8, 16):
        scalars = {
            tag: float(tf.make_ndarray(value.tensor))
            for step, tag, value in found
            if step == nimg and value.metadata.plugin_data.plugin_name == "scalars"
        }
        assert scalars == pytest.approx(STATS)
    (text,) = [value for _, tag, value in found if tag == "config"]
    written = tf.make_ndarray(text.tensor).item().decode().strip("`\n")
    assert json.loads(written) == configs.to_dict(trainer.config)
    (hparams,) = [v for _, tag, v in found if tag == "_hparams_/session_start_info"]
    assert b"loss.r1_gamma" in hparams.metadata.plugin_data.content


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
    with files.writing(1):
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
        with files.writing(step):
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
        with files.writing(step):
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


# ---------------------------------------------------------------------------
# Progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_bar_in_a_terminal(trainer, monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    bar = reports.Progress()
    bar.start(at(trainer, 0))
    for nimg in (20, 48):
        bar.step(at(trainer, nimg))
        bar.bar.refresh()
    bar.end(trainer, "finished")
    text = terminal.getvalue()
    assert "0.0/0.048 kimg" in text
    assert "8x8 alpha 0.25" in text and "left" in text
    assert "100%" in text


def test_no_progress_bar_in_a_file(trainer, monkeypatch):
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    bar = reports.Progress()
    bar.start(trainer)
    bar.step(trainer)
    bar.end(trainer, "finished")
    assert file.getvalue() == ""


def test_train_shows_all_of_them():
    kinds = {type(report).__name__ for report in session.default_reports()}
    assert kinds == {"Log", "Sheets", "TensorBoard", "Guard", "Progress"}
