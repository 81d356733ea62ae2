"""The explorer's long work: dragging, the user's own picture, tuning, films, sheets."""

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path

import explored
import numpy as np
import pytest
from PIL import Image
from stylegan_tf_launch import explore

from stylegan_tf import models
from stylegan_tf.errors import UserError
from stylegan_tf.explorer import jobs as explorer_jobs
from stylegan_tf.explorer import work
from stylegan_tf.explorer.command import command_for, download_name
from stylegan_tf.explorer.direction_dials import named_directions
from stylegan_tf.explorer.engine import Engine, offered_directions
from stylegan_tf.explorer.jobs import Jobs
from stylegan_tf.explorer.shelf import Shelf
from stylegan_tf.explorer.state import OwnPicture
from stylegan_tf.projector.targets import read_upload

POINTS = np.array([[[4, 5], [9, 6]]])


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return explored.saved(tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def engine(file) -> Engine:
    model = models.load(file)
    choice = offered_directions(model, count=3)
    return Engine(model, str(file), choice, describe=explore._facts, original=file)


@pytest.fixture(scope="module")
def own(engine) -> OwnPicture:
    """Somebody's picture, as the search has found it."""
    rng = np.random.default_rng(3)
    source = rng.integers(0, 255, (16, 16, 3), np.uint8)
    parts = list(work.project_picture(engine, "me", source, "w", lambda: False, 6))
    assert [round(p.share, 2) for p in parts] == [0, 0, 1]
    assert parts[-1].image.shape == source.shape
    found = parts[-1].state.picture
    np.testing.assert_array_equal(found.source, source)
    assert np.ptp(found.ws, axis=1).max() == 0 and parts[-1].state.psi == 1
    return found


def last(parts) -> work.Progress:
    return list(parts)[-1]


def dragged(engine, state, mask=None, steps=3):
    return last(work.drag_on_page(engine, state, POINTS, mask, lambda: False, steps))


def check_command(engine, state, folder, monkeypatch) -> None:
    """The command draws the picture, with the files that the page saves."""
    found, drag = command_for(engine, state), state.drag
    monkeypatch.chdir(folder)
    if found.latents:
        final = bool(found.why)
        Path(found.latents).write_bytes(engine.latents(state, final))
    if found.mask:
        Image.fromarray(drag.mask).save(found.mask)
    picture = explored.generated(found.line, folder / "out")
    np.testing.assert_array_equal(picture, engine.picture(state))


def test_a_drag_is_repeated_by_its_command(engine, tmp_path, monkeypatch):
    start = replace(engine.first(), seed=7, label=1).edited("pca0", 1.0)
    mask = np.arange(256).reshape(16, 16) % 16 > 1
    state = dragged(engine, start, mask).state
    assert state.drag.steps == 3 and not state.drag.arrived
    assert np.any(engine.picture(state) != engine.picture(start))
    found = command_for(engine, state)
    assert not found.why and found.mask == "mask.png" and found.latents is None
    assert found.words[-3:] == (
        "--drag=4,5:9,6",
        "--drag_mask=mask.png",
        "--drag_steps=3",
    )
    check_command(engine, state, tmp_path, monkeypatch)


def test_a_drag_that_was_gone_on_from_needs_its_styles(engine, tmp_path, monkeypatch):
    state = dragged(engine, engine.first()).state
    again = dragged(engine, state).state
    np.testing.assert_array_equal(
        engine.styles(again), engine.styles(engine.first()) + again.drag.change
    )
    assert "more than once" in command_for(engine, again).why
    later = state.edited("pca1", 2.0)
    assert "changed after points were dragged" in command_for(engine, later).why
    check_command(engine, later, tmp_path, monkeypatch)
    assert command_for(engine, later.reseeded(5)).why == ""
    assert later.offsets == ["edits", "dragged points"]


def test_work_stops_when_it_is_told_to(engine):
    stop = iter([False, True, True])
    parts = work.drag_on_page(engine, engine.first(), POINTS, None, lambda: next(stop))
    assert 0 < last(parts).state.drag.steps < 300
    turned = replace(engine.first(), angle=30.0)
    with pytest.raises(UserError, match="set shift and rotation back"):
        next(work.drag_on_page(engine, turned, POINTS, None, lambda: False))


def test_an_own_picture_is_edited_mixed_and_dragged(engine, own, tmp_path, monkeypatch):
    state = replace(engine.first(), picture=own, psi=0.9, noise="random", seed=4)
    state = state.edited("pca0", -1.0).mixed(2, 9)
    assert download_name(state) == "me.png"
    line = command_for(engine, state).line
    assert "--latents=me.npz --psi=0.9" in line and "--seeds" not in line
    check_command(engine, state, tmp_path, monkeypatch)
    plain = replace(engine.first(), picture=own, psi=1.0)
    assert state.original == replace(plain, psi=0.9, noise="random", seed=4)
    moved = dragged(engine, plain).state
    check_command(engine, moved, tmp_path / "..", monkeypatch)
    assert state.reseeded(3).picture is None


def test_a_model_is_tuned_and_its_file_opens(engine, own, tmp_path, monkeypatch):
    plain = replace(engine.first(), picture=own, psi=1.0)
    with pytest.raises(UserError, match="project a picture of your own first"):
        next(work.tune_picture(engine, engine.first(), lambda: False))
    found = last(work.tune_picture(engine, plain, lambda: False, steps=2))
    tuned, state = found.engine, found.state
    assert np.any(tuned.picture(state) != engine.picture(plain))
    name, content = tuned.tuned_file
    assert name == "me-tuned.npz" == tuned.path
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(content)
    check_command(tuned, state, tmp_path, monkeypatch)
    again = tuned.tuned(
        work.Tuner(tuned.model, own.ws, own.source[None], own.noise).result(),
        "me",
        work.tuning.TuningSettings(),
    )
    assert again._base is engine
    with pytest.raises(UserError, match="tuned already"):
        Engine(engine.model).tuned(None, "me", None)


def test_films_and_sheets_are_files(engine):
    first, end = engine.first(), engine.first().edited("pca0", 3.0)
    name, content = last(work.make_film(engine, first, end, lambda: False)).file
    assert name in ("film.mp4", "film.gif") and len(content) > 1000
    assert not any(p.file for p in work.make_film(engine, first, end, lambda: True))
    state = replace(first, seed=40, label=2).walked(1, 1, 1)
    name, content = last(work.make_sheet(engine, state, lambda: False)).file
    sheet = Image.open(io.BytesIO(content))
    assert name == "sheet.png" and sheet.size == (16 * 80, 2 * 80)
    pixels = np.asarray(sheet)[80:160:5, 80:160:5]
    expected = engine.picture(replace(first, seed=57, label=2))
    np.testing.assert_array_equal(pixels, expected)
    recipe = json.loads(sheet.info["stylegan_tf"])
    assert recipe["kind"] == "sheet" and recipe["flags"]["seeds"] == "40-71"


def test_directions_that_were_named_come_back(engine, tmp_path):
    labels = {"pca0": "smile", "sefa1": "age"}
    path = named_directions(engine, labels).save(tmp_path / "mine.npz")
    choice = offered_directions(engine.model, 3, str(path))
    assert choice.sets["mine.npz"] == ["smile", "age"]
    for name, label in labels.items():
        found = choice.find(label, None)[0]
        np.testing.assert_allclose(found, engine.choice.find(name, None)[0], rtol=1e-5)
    with pytest.raises(UserError, match="two directions have one name"):
        named_directions(engine, {"pca0": "x", "pca1": "x"})
    strip = engine.strip(engine.first(), "pca0", (-2.0, 0.0))
    np.testing.assert_array_equal(strip[1], engine.show(engine.first()))


def test_pictures_that_are_sent(tmp_path):
    file = io.BytesIO()
    Image.fromarray(np.full((32, 64), 90, np.uint8)).save(file, "PNG")
    name, image = read_upload("..\\x/My cat!.png", file.getvalue(), (16, 16), 3)
    assert name == "My_cat" and image.shape == (16, 16, 3) and np.all(image == 90)
    for content in (b"", b"no picture", file.getvalue()[:40]):
        with pytest.raises(UserError, match="^me cannot be used: "):
            read_upload("me.png", content, (16, 16), 3)


def test_jobs_take_turns_and_let_pictures_be_drawn():
    async def in_thread(function, *args):
        await asyncio.sleep(0)
        return function(*args)

    async def all_of_it():
        turns, seen = asyncio.Lock(), []
        jobs = Jobs(turns, in_thread)
        runs = [jobs.run(iter(text), seen.append) for text in ("ab", "cd")]
        gone = jobs.run(iter("ef"), seen.append, lambda: True)
        await asyncio.gather(*runs, gone)
        assert seen == ["a", "b", "c", "d"] and not jobs.busy

        def fails():
            yield "x"
            raise UserError("no")

        with pytest.raises(UserError, match="^no$"):
            await jobs.run(fails(), seen.append)
        many = [
            jobs.run(iter("z"), seen.append)
            for _ in range(explorer_jobs.MOST_WAITING + 1)
        ]
        results = await asyncio.gather(*many, return_exceptions=True)
        assert [r for r in results if r] and seen.count("z") == 8
        assert "too much is at work" in str(results[-1])

    asyncio.run(all_of_it())


def test_models_are_opened_when_they_are_chosen():
    opened = []

    def open_engine(path):
        opened.append(path)
        return object()

    paths = ["a/x", "b/x", "c.keras", "d", "e", "a/x"]
    shelf = Shelf(paths, open_engine)
    assert list(shelf.names.values()) == ["a/x", "b/x", "c.keras", "d", "e"]
    first = shelf.engine()
    assert shelf.engine("a/x") is first and opened == ["a/x"]
    for path in paths[1:5]:
        shelf.engine(path)
    assert shelf.engine("e") and opened == ["a/x", "b/x", "c.keras", "d", "e"]
    assert shelf.engine("a/x") is not first


def test_the_picture_goes_to_where_the_pointer_is_released(engine):
    """A busy browser may leave out the last move."""
    from nicegui import Client, ui

    from stylegan_tf.explorer.hand import Hand, Overlay

    states = [engine.first()]
    with Client(ui.page("/hand")):
        how = Overlay(), None, lambda: None, lambda: None
        hand = Hand(engine, lambda: states[-1], states.append, *how)
        hand.press(0.5, 0.5)
        hand.release(0.5, 0.5)
        assert len(states) == 1  # a click moves nothing
        hand.press(0.5, 0.5)
        hand.move(0.6, 0.5)
        hand.release(0.75, 0.375)
    assert states[-1] == hand.led(states[0], 0.25, -0.125) != states[0]
