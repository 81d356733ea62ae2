"""The explorer's long work: dragging, the user's own picture, tuning, films, sheets."""

import asyncio
import io
import json
from dataclasses import replace
from pathlib import Path

import explored
import numpy as np
import pytest
from launching import call
from PIL import Image
from stylegan_tf_launch import explore
from test_video import read_gif

from stylegan_tf import latents, models, projector
from stylegan_tf.errors import UserError
from stylegan_tf.explorer import command, work
from stylegan_tf.explorer import jobs as explorer_jobs
from stylegan_tf.explorer.command import command_for, download_name, other_commands
from stylegan_tf.explorer.direction_dials import named_directions
from stylegan_tf.explorer.engine import Engine, offered_directions
from stylegan_tf.explorer.jobs import Jobs
from stylegan_tf.explorer.shelf import Shelf
from stylegan_tf.explorer.state import OwnPicture
from stylegan_tf.figures import edit_film
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
    check_that_it_is_tuned_again(tuned, state, own, content)
    again = tuned.tuned(
        work.Tuner(tuned.model, own.ws, own.source[None], own.noise).result(),
        "me",
        work.tuning.TuningSettings(),
    )
    assert again._base is engine
    with pytest.raises(UserError, match="tuned already"):
        Engine(engine.model).tuned(None, "me", None)


def check_that_it_is_tuned_again(tuned, state, own, content: bytes) -> None:
    """The page's command searches and tunes to the same numbers, here."""
    Image.fromarray(own.source).save("me.png")
    tuning, film = other_commands(tuned, state)
    assert "--images=me.png --space=w --steps=6 --out=out/me" in tuning.line
    assert tuning.words[-2:] == ("--tune", "--tune_steps=2") and film.words
    code, _, err = call("project", *tuning.words[2:], "--novideo")
    assert code == 0, err
    found = latents.load_latents("out/me/projected.npz", *own.ws.shape[1:])
    np.testing.assert_array_equal(found.ws, own.ws)
    with np.load("out/me/tuned.npz") as a, np.load(io.BytesIO(content)) as b:
        assert set(a.files) == set(b.files)
        for name in set(a.files) - {"about"}:
            np.testing.assert_array_equal(a[name], b[name], name)


def test_searches_that_were_stopped_are_not_repeated(engine, own):
    plain = replace(engine.first(), picture=own, psi=1.0)
    assert other_commands(engine, plain)[0].line.endswith("--steps=6 --out=out/me")
    stopped = replace(own, taken=4, photo='a, "b".png')
    [search, film] = other_commands(engine, replace(plain, picture=stopped))
    assert not search.words and "stopped at step 4 of 6" in search.title
    assert film.words[-1] == '--photo=a, "b".png'
    named = replace(stopped, taken=6, encoder="e.keras")
    [search, _] = other_commands(engine, replace(plain, picture=named))
    assert '--images="a, ""b"".png"' in search.words
    assert search.words[-1] == "--encoder=e.keras"


def test_a_projection_begins_at_the_answer_of_an_encoder(engine, own):
    encoder = projector.EncoderTrainer(engine.model, steps=1).encoder
    how = {"encoder": encoder, "encoder_file": "encoder.keras"}
    page = Engine(engine.model, engine.path, **how)
    parts = work.project_picture(page, "me", own.source, "wplus", lambda: True)
    [_, first] = list(parts)
    found = first.state.picture
    answer = projector.encode_images(encoder, own.source[None])
    np.testing.assert_array_equal(found.ws, answer)
    assert found.encoder == "encoder.keras" and found.steps < work.PROJECTION_STEPS


def test_the_encoder_beside_a_model_is_found(file, engine, tmp_path, capsys):
    assert explore._find_encoder(engine.model, str(file), None) == (None, None)
    encoder = projector.EncoderTrainer(engine.model, steps=1).encoder
    beside, model = tmp_path / "encoder.keras", str(tmp_path / "generator.keras")
    encoder.save(beside)
    for path in (model, str(tmp_path)):
        assert explore._find_encoder(engine.model, path, None)[1] == str(beside)
    other = explored.made()
    assert explore._find_encoder(other, model, None) == (None, None)
    assert "trained for another model" in capsys.readouterr().out
    with pytest.raises(UserError, match="trained for another model"):
        explore._find_encoder(other, model, str(beside))


def test_a_film_is_repeated_by_its_command(engine, own, tmp_path, monkeypatch):
    """It begins with the photo, and ends with the edit of what was drawn of it."""
    monkeypatch.chdir(tmp_path)
    for module in (command, work):
        monkeypatch.setattr(module, "film_name", lambda: "film.gif")
        monkeypatch.setattr(module, "FRAMES", 4)
    state = replace(engine.first(), picture=own, psi=1.0).edited("pca0", 3.0)
    name, content = last(work.make_film(engine, state, lambda: False)).file
    Image.fromarray(own.source).save("me.png")
    Path("me.npz").write_bytes(engine.latents(state, final=False))
    film = other_commands(engine, state)[-1]
    code, _, err = call("generate", *film.words[2:])
    assert code == 0, err
    assert Path(name).read_bytes() == content
    frames, _ = read_gif(name)
    assert len(frames) == edit_film.film_length(4, 30, photo=True)
    for frame, image in ((frames[0], own.source), (frames[-1], engine.picture(state))):
        np.testing.assert_allclose(frame[::10, ::10], image.astype(int), atol=12)
    assert not any(p.file for p in work.make_film(engine, state, lambda: True))
    walked = state.walked(1, 1, 1)
    assert "No flags make its film" in other_commands(engine, walked)[-1].title
    with pytest.raises(UserError, match="edit the picture first"):
        next(work.make_film(engine, engine.first(), lambda: False))


def test_films_and_sheets_are_files(engine):
    first, end = engine.first(), engine.first().edited("pca0", 3.0)
    name, content = last(work.make_film(engine, end, lambda: False)).file
    assert name in ("film.mp4", "film.gif") and len(content) > 1000
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
