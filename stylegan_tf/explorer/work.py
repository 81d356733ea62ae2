"""Long work on the picture of a tab: dragging, projecting, tuning, films, sheets.

Each function is an iterator that does a part of the work for every item. `stopped` is
asked after each part; True ends the work with what there is.
"""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stylegan_tf import figures
from stylegan_tf.errors import UserError
from stylegan_tf.explorer.command import (
    FPS,
    FRAMES,
    film_ends,
    film_name,
    sheet_command,
)
from stylegan_tf.explorer.engine import Engine, offered_directions, saved_png
from stylegan_tf.explorer.state import Drag, ImageState, OwnPicture
from stylegan_tf.figures import edit_film, video
from stylegan_tf.projector import Tuner, tuning
from stylegan_tf.projector.drag import STEPS

SLICE = 0.15  # seconds of a part
PROJECTION_STEPS, TUNING_STEPS = 400, 300
ENCODED_STEPS = 150  # of a projection from an encoder's answer
SHEET = 32  # seeds

Stopped = Callable[[], bool]


@dataclass(frozen=True)
class Progress:
    """The state of some work.

    Attributes:
        share: in [0, 1].
        text: for people.
        image: uint8 [H, W, C], how the picture looks by now; or None.
        state: of the picture by now; or None.
        engine: of a new model, which draws `state`; or None.
        file: name and content of a file that was made; or None.
    """

    share: float
    text: str
    image: np.ndarray | None = None
    state: ImageState | None = None
    engine: Engine | None = None
    file: tuple[str, bytes] | None = None


def _slice(step: Callable[[], object], more: Callable[[], bool]) -> None:
    """Takes steps for a while."""
    end = time.perf_counter() + SLICE
    while more():
        step()
        if time.perf_counter() > end:
            return


def drag_on_page(
    engine: Engine,
    state: ImageState,
    points: np.ndarray,
    mask: np.ndarray | None,
    stopped: Stopped,
    steps: int = STEPS,
) -> Iterator[Progress]:
    """Drags points of a picture.

    Args:
        engine: renders it.
        state: of the picture.
        points: int [K, 2, 2], from where to where, x and y in pixels.
        mask: bool [H, W], True where it may move; None = everywhere.
        stopped: see the module.
        steps: most steps.
    """
    if state.angle or any(state.shift):
        raise UserError("set shift and rotation back before you drag points.")
    yield Progress(0, "preparing")
    dragger = engine.dragger
    before = state.drag.change if state.drag else np.float32(0)
    maps = engine.noise(state) or None
    dragger.start(engine.styles(state), points[:, 0], points[:, 1], mask, maps)

    def more() -> bool:
        return dragger.steps < steps and not dragger.arrived

    def progress() -> Progress:
        now = Drag(
            start=state,
            points=points,
            mask=mask,
            steps=dragger.steps,
            change=before + dragger.change,
            now=dragger.points,
            arrived=dragger.arrived,
        )
        left = dragger.distances.max()
        text = f"dragging, step {dragger.steps}, {left:.0f} pixels to go"
        return Progress(dragger.steps / steps, text, state=replace(state, drag=now))

    while more() and not stopped():
        _slice(dragger.step, more)
        yield progress()
    if not dragger.arrived:
        dragger.track()
        yield progress()


def project_picture(
    engine: Engine,
    name: str,
    image: np.ndarray,
    space: str,
    stopped: Stopped,
    steps: int | None = None,
    photo: str = "",
) -> Iterator[Progress]:
    """Searches for the styles that draw a picture of the user's own.

    Args:
        engine: of the model.
        name: of the picture.
        image: uint8 [H, W, C] of the model's size.
        space: "w" or "wplus".
        stopped: see the module.
        steps: of the search; None = by where it begins.
        photo: name of the user's file.
    """
    if steps is None:
        steps = PROJECTION_STEPS if engine.encoder is None else ENCODED_STEPS
    yield Progress(0, "preparing", image=image)
    search = engine.projector(space, steps)
    _, deviation = engine.w_statistics
    pixels = image.shape[0] * image.shape[1]
    every = int(np.clip(10 * 64**2 // pixels, 1, 20))
    deviations = np.array([deviation], np.float32)
    start = engine.search_start(image, space)
    found = {"photo": photo or f"{name}.png", "model": engine.path, "steps": steps}
    found |= {"encoder": engine.encoder_file}
    for shown in search.run(image[None], start, deviations, every):
        ws, *maps = search.result()
        how = found | {"taken": shown.step}
        own = OwnPicture(name, image, ws, maps or None, space, **how)
        yield Progress(
            shown.step / steps,
            f"projecting, step {shown.step} of {steps}",
            shown.images[0],
            replace(engine.first(), picture=own, psi=1.0),
        )
        if stopped():
            return


def tune_picture(
    engine: Engine, state: ImageState, stopped: Stopped, steps: int = TUNING_STEPS
) -> Iterator[Progress]:
    """Tunes the model to a picture of the user's own; ends with a new engine.

    Args:
        engine: of the model.
        state: of the projected picture.
        stopped: see the module.
        steps: most steps.
    """
    own = state.picture
    if own is None:
        raise UserError("project a picture of your own first, in W.")
    yield Progress(0, "preparing")
    settings = tuning.TuningSettings()
    tuner = Tuner(engine.model, own.ws, own.source[None], own.noise, settings=settings)
    while not tuner.finished(steps) and not stopped():
        _slice(tuner.step, lambda: not tuner.finished(steps))
        text = f"tuning, step {tuner.steps} of {steps}"
        yield Progress(tuner.steps / steps, text, tuner.images()[0])
    yield Progress(1, "preparing the tuned model")
    tuned = engine.tuned(tuner.result(), own.name, settings)
    if own.model == engine.path:
        tuned.tuned_to = own, tuner.steps
    tuned.choice = offered_directions(tuned.model, path=engine.choice.file)
    first = replace(tuned.first(), picture=own, psi=1.0)
    yield Progress(1, "tuned", state=first, engine=tuned)


def make_film(
    engine: Engine, state: ImageState, stopped: Stopped
) -> Iterator[Progress]:
    """Makes a film from a picture without edits to the picture, on a line in W.

    That of a user's own picture begins with the photo.

    Args:
        engine: renders it.
        state: of the picture that it ends with; its noise is that of all frames.
        stopped: see the module; True ends the work without a film.
    """
    ends = film_ends(state)
    if ends is None:
        raise UserError("edit the picture first; the film goes from it to the edit.")
    maps, frames = engine.noise(state), []
    photo = state.picture.source if state.picture else None
    total = edit_film.film_length(FRAMES, FPS, photo=photo is not None)
    for frame in edit_film.edit_frames(
        lambda ws: engine.render(ws, maps, state),
        *map(engine.styles, ends),
        FRAMES,
        FPS,
        photo=photo,
        batch=engine.batch,
    ):
        frames.append(frame)
        if len(frames) % engine.batch == 0:
            share = len(frames) / total
            yield Progress(share, f"film, frame {len(frames)} of {total}")
        if stopped():
            return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / film_name()
        content = video.write_video(path, frames, FPS).read_bytes()
    yield Progress(1, "film", file=(path.name, content))


def make_sheet(
    engine: Engine, state: ImageState, stopped: Stopped
) -> Iterator[Progress]:
    """Makes a sheet of the seeds from a state's own on, with its settings.

    Args:
        engine: renders it.
        state: of the first picture; what a hand dragged is left out.
        stopped: see the module; True ends the work without a sheet.
    """
    plain = replace(state, walk=(), drag=None, picture=None)
    images = []
    for i in range(SHEET):
        images.append(engine.picture(replace(plain, seed=plain.seed + i)))
        if i % 4 == 3:
            yield Progress(i / SHEET, f"sheet, picture {i + 1} of {SHEET}")
        if stopped():
            return
    columns = figures.sheet_layout(*images[0].shape[:2])[0]
    facts = engine.facts(sheet_command(engine, plain, SHEET).words)
    sheet = saved_png(np.stack(images), facts, columns)
    yield Progress(1, "sheet", file=("sheet.png", sheet))
