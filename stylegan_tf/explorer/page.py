"""The page: one large image, its controls, and the command line that draws it again.

Every tab has its own `Page` and state; engines are shared. Images are rendered in
threads, so that the page answers meanwhile.
"""

import asyncio
import base64
import html
import json
import shlex
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from nicegui import background_tasks, run, ui

from stylegan_tf.errors import UserError
from stylegan_tf.explorer import style, work
from stylegan_tf.explorer.command import (
    MASK,
    Command,
    command_for,
    download_name,
    film_ends,
    other_commands,
)
from stylegan_tf.explorer.controls import put
from stylegan_tf.explorer.direction_dials import DirectionDials
from stylegan_tf.explorer.engine import Engine, saved_png
from stylegan_tf.explorer.fields import Keys, Select
from stylegan_tf.explorer.guard import finite_pair
from stylegan_tf.explorer.hand import Hand, Overlay
from stylegan_tf.explorer.jobs import Jobs
from stylegan_tf.explorer.latest import Latest
from stylegan_tf.explorer.own_card import OwnCard, Upload
from stylegan_tf.explorer.panel import Gallery, Panel
from stylegan_tf.explorer.shelf import Shelf
from stylegan_tf.explorer.state import ImageState
from stylegan_tf.explorer.workbench import Work, Workbench
from stylegan_tf.figures import image_bytes

PIXELS = 256  # smaller images are enlarged pixel by pixel
MOVES = 0.04  # seconds between two moves of the pointer that are handled
MOST_UNDO = 50  # states that can be gone back to
STEPS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
STEP = 0.025  # of the image's width, per arrow key
HINT = (
    "drag the picture, or <kbd>arrows</kbd> on it &ensp; <kbd>R</kbd> random &ensp; "
    "<kbd>K</kbd> keep &ensp; <kbd>S</kbd> save &ensp; <kbd>C</kbd> copy command "
    "&ensp; <kbd>U</kbd> undo"
)
BINARY = "application/octet-stream"


class Page:
    """One tab.

    Args:
        shelf: the models.
        turns: held while an image is rendered; shared by all pages, so that each gets
            its turn.
        jobs: the long work of all pages.
    """

    def __init__(self, shelf: Shelf, turns: asyncio.Lock, jobs: Jobs):
        self._shelf, self._turns, self._busy = shelf, turns, False
        self.engine = shelf.engine()
        self.state = self.engine.first()
        self._client = ui.context.client
        self._past: list[tuple[Engine, ImageState]] = []
        self._labels: dict[Engine, dict[str, str]] = {}
        self._upload = Upload()
        self._latest = Latest(self._draw, background_tasks.create)
        ui.colors(**style.COLORS)
        ui.add_css(style.CSS)
        self._build(jobs)
        self._use(self.engine, self.state)

    def _build(self, jobs: Jobs) -> None:
        with ui.element("header").classes("bar"):
            self._title = ui.label().classes("title").props("role=heading aria-level=1")
            if len(self._shelf.paths) > 1:
                self._models()
            self._time = ui.label().classes("facts").mark("facts")
        with ui.element("main").classes("desk"):
            with ui.element("section").classes("stage").props('aria-label="picture"'):
                self._picture()
                self._bench = Workbench(jobs, self._client, self._worked)
                self._tools()
                ui.html(HINT, sanitize=False).classes("hint")
                self._recipe()
                self._gallery = Gallery(self._restore)
            self._side = ui.element("aside").classes("panel")
            self._side.props('aria-label="controls"')
        Keys(on_key=self._key, repeating=False)

    def _models(self) -> None:
        menu = Select(self._shelf.names, value=self._shelf.paths[0])
        menu.props('dense outlined aria-label="model"').mark("model")
        menu.on_value_change(self._choose_model)
        self._menu = menu

    def _picture(self) -> None:
        with ui.element("div").classes("frame") as self._frame:
            self._image = ui.element("img").classes("picture")
            self._image.props('alt="the picture" tabindex=0 draggable=false')
            self._image.mark("picture")
            self._overlay = Overlay()
        how = {"js_handler": style.DRAG}
        self._image.on("pointerdown", self._press, **how)
        self._image.on("pointermove", self._move, throttle=MOVES, **how)
        self._image.on("pointerup", self._release, js_handler=style.RELEASE)
        self._image.on("keydown", self._arrow, js_handler=style.ARROWS)

    def _tools(self) -> None:
        with ui.element("div").classes("tools"):
            for name, text, act in (
                ("casino", "Random", lambda: self._panel.dice()),
                ("bookmark_add", "Keep", self.keep),
                ("download", "Save PNG", self.save),
                ("content_copy", "Copy command", self.copy),
                ("grid_on", "Sheet", self.sheet),
                ("movie", "Film", self.film),
            ):
                button = ui.button(text, icon=name, on_click=act)
                button.props(
                    "no-caps unelevated" if text == "Random" else "no-caps flat"
                )

    def _recipe(self) -> None:
        with ui.element("div").classes("recipe"):
            self._why = ui.label().classes("why")
            self._line = ui.html(sanitize=False).classes("line").mark("command")
            self._others = ui.html(sanitize=False).classes("others").mark("others")
            with ui.element("div").classes("row wrap"):
                self._files = [
                    ui.button(text, on_click=act).props(
                        "no-caps flat dense size=sm icon=download"
                    )
                    for text, act in (
                        ("Save its styles", self.save_latents),
                        ("Save the mask", self.save_mask),
                        ("Save the tuned model", self.save_model),
                    )
                ]

    # -----------------------------------------------------------------------
    # The model

    def _use(self, engine: Engine, state: ImageState) -> None:
        """Shows a model, and a picture of it."""
        with self._client:  # the button that asked for it may go with the old panel
            self._show_model(engine)
        self.change(state)

    def _show_model(self, engine: Engine) -> None:
        self.engine, c = engine, engine.model.config
        height, width = c.shape(engine.resolution)
        self._pixels = max(height, width) < PIXELS
        names = {True: "add", False: "remove"}
        self._image.classes(**{names[self._pixels]: "pixels"})
        self._frame.style(f"--aspect: {width / height:.6f}")
        name = Path(engine.path).name
        self._title.text = name
        ui.page_title(f"{name} \u00b7 stylegan_tf")
        self._facts = f"{height}\u00d7{width} \u00b7 {c.architecture}"
        self._time.text = self._facts
        self._side.clear()
        with self._side:
            self._panel = Panel(
                engine,
                lambda: self.state,
                self.change,
                self._hand_card,
                self._direction_card,
                self._own_card,
            )

    def _hand_card(self) -> Hand:
        stop, undo = self._bench.stop, self.undo
        how = self._overlay, self.do, stop, undo
        return Hand(self.engine, lambda: self.state, self.change, *how)

    def _direction_card(self) -> DirectionDials:
        labels = self._labels.setdefault(self.engine, {})
        how = labels, self._in_turn
        return DirectionDials(self.engine, lambda: self.state, self.change, *how)

    def _own_card(self) -> OwnCard:
        how = self._upload, self.do, run.io_bound
        card = OwnCard(self.engine, lambda: self.state, *how)
        if self._upload.content:
            background_tasks.create(card.show())
        return card

    async def _choose_model(self, event) -> None:
        path = event.value
        if path == self.engine.path:
            return
        self._time.text = f"opening {path} ..."
        try:
            async with self._turns:
                engine = await run.io_bound(self._shelf.engine, path)
        except UserError as error:
            ui.notify(str(error), type="negative", multi_line=True)
            engine = None
        if self._client.is_deleted:
            return
        if engine is None:
            self._time.text = self._facts
            put(self._menu, self.engine.path)
            return
        self.remember()
        self._use(engine, engine.first())

    # -----------------------------------------------------------------------
    # The state and its image

    def change(self, state: ImageState) -> None:
        """Sets the state; controls, command and, soon, the image follow."""
        self.state = state
        self._panel.show(state)
        self._show_command()
        self._latest.ask(state)

    def _show_command(self) -> None:
        found = command_for(self.engine, self.state)
        self._why.text, self._line.content = found.title, _spans(found)
        self._others.content = "".join(
            f"<p>{html.escape(c.title)}</p><div>{_spans(c)}</div>"
            for c in other_commands(self.engine, self.state)
        )
        styles, mask, model = self._files
        styles.visible = bool(found.latents or self.state.drag)
        mask.visible = found.mask is not None
        model.visible = self.engine.tuned_file is not None

    def _restore(self, engine: Engine, state: ImageState) -> None:
        """Goes back to a picture that was kept."""
        if engine is self.engine:
            self.change(state)
        else:
            self._use(engine, state)

    def remember(self) -> None:
        """Keeps the picture as it is for `undo`."""
        self._past = [*self._past, (self.engine, self.state)][-MOST_UNDO:]

    def undo(self) -> None:
        """Goes back to the picture before the last drag, projection or tuning."""
        if self._bench.working:
            self._bench.stop()
            ui.notify("Stopped; undo once more goes back.")
        elif self._past:
            self._restore(*self._past.pop())
        else:
            ui.notify("There is nothing to undo.")

    async def _in_turn(self, function: Callable, *args: object):
        """Calls a function in a thread while no other picture is drawn."""
        async with self._turns:
            if self._client.is_deleted:
                return None
            return await run.io_bound(function, *args)

    async def _draw(self, state: ImageState) -> None:
        start = time.perf_counter()
        engine = self.engine
        picture = await self._in_turn(engine.show, state)
        if picture is None or self._client.is_deleted:  # the server or the tab closes
            return
        if engine is not self.engine:
            return
        took = time.perf_counter() - start
        about = "" if engine.exact else ", preview"
        self._show(image_bytes(picture))
        self._time.text = f"{self._facts} \u00b7 {took * 1000:.0f} ms{about}"

    def _show(self, file: bytes) -> None:
        self._image.props["src"] = _url(file)
        self._image.update()

    async def _exact(self) -> tuple[ImageState, bytes, bytes]:
        """Shows the image as the command draws it.

        Returns:
            The state, its PNG, and the file that `generate` would write.
        """
        state, engine = self.state, self.engine
        picture = await self._in_turn(engine.picture, state)
        file = image_bytes(picture)
        if state == self.state:
            self._show(file)
        facts = engine.facts(command_for(engine, state).words)
        return state, file, saved_png(picture[None], facts)

    # -----------------------------------------------------------------------
    # Long work

    async def do(self, work: Work) -> bool:
        """Does some work on the picture, and remembers what was before."""
        before = self.engine, self.state
        done = await self._bench.run(work)
        if not self._client.is_deleted and before != (self.engine, self.state):
            self._past = [*self._past, before][-MOST_UNDO:]
        return done

    def _worked(self, progress: work.Progress) -> None:
        if progress.file is not None:
            with self._client:
                ui.download.content(progress.file[1], progress.file[0], BINARY)
        if progress.engine is not None:
            self._use(progress.engine, progress.state)
        elif progress.state is not None:
            self.change(progress.state)
            self._panel.hand.follow(progress.state)
        elif progress.image is not None:
            self._show(image_bytes(progress.image))

    async def film(self) -> None:
        """Downloads a film from the picture without edits to the picture."""
        engine, state = self.engine, self.state
        if film_ends(state) is None:
            ui.notify("Edit the picture first; the film goes from it to the edit.")
            return
        await self._bench.run(lambda stopped: work.make_film(engine, state, stopped))

    async def sheet(self) -> None:
        """Downloads a sheet of this seed and the next ones."""
        engine, state = self.engine, self.state
        await self._bench.run(lambda stopped: work.make_sheet(engine, state, stopped))

    # -----------------------------------------------------------------------
    # Saving images

    async def _alone(self, act: Callable[[], Awaitable[None]]) -> None:
        """Does what a button asks for, unless the last one is still at work."""
        if self._busy:
            return
        self._busy = True
        try:
            await act()
        finally:
            self._busy = False

    async def keep(self) -> None:
        """Adds the image to the gallery."""
        await self._alone(self._keep)

    async def save(self) -> None:
        """Downloads the image."""
        await self._alone(self._save)

    async def save_latents(self) -> None:
        """Downloads the image's styles and noise."""
        await self._alone(self._save_latents)

    async def copy(self) -> None:
        """Copies the command line that draws the image."""
        await self._alone(self._copy)

    async def _keep(self) -> None:
        state, file, _ = await self._exact()
        self._gallery.keep(self.engine, state, _url(file), self._pixels)

    async def _save(self) -> None:
        state, _, file = await self._exact()
        ui.download.content(file, download_name(state), "image/png")

    async def _save_latents(self) -> None:
        state, engine = self.state, self.engine
        found = command_for(engine, state)
        # Those of a drag are final: its command needs none, or the start's.
        final = bool(found.why) or state.drag is not None
        name = found.latents or download_name(state).replace(".png", ".npz")
        if state.drag is not None and not found.why:
            name = f"dragged-{name}"
        file = await self._in_turn(engine.latents, state, final)
        ui.download.content(file, name, BINARY)

    def save_mask(self) -> None:
        """Downloads the mask of the last drag."""
        drag = self.state.drag
        if drag is not None and drag.mask is not None:
            mask = drag.mask[..., None].astype("uint8") * 255
            ui.download.content(image_bytes(mask), MASK, "image/png")

    def save_model(self) -> None:
        """Downloads the model that was tuned."""
        if self.engine.tuned_file is not None:
            name, content = self.engine.tuned_file
            ui.download.content(content, name, BINARY)

    async def _copy(self) -> None:
        state, *_ = await self._exact()
        line = command_for(self.engine, state).line
        ui.run_javascript(style.COPY % json.dumps(line))
        ui.notify("Command copied", position="bottom", timeout=1500)

    # -----------------------------------------------------------------------
    # Hand and keys

    def _press(self, event) -> None:
        if place := finite_pair(event.args):
            self._panel.hand.press(*place)

    def _move(self, event) -> None:
        if place := finite_pair(event.args):
            self._panel.hand.move(*place)

    def _release(self, event) -> None:
        if place := finite_pair(event.args):
            self._panel.hand.release(*place)

    def _arrow(self, event) -> None:
        key = _first(event.args)
        if isinstance(key, str) and key in STEPS:
            right, down = STEPS[key]
            self._panel.hand.arrow(STEP * right, STEP * down)

    async def _key(self, event) -> None:
        held = event.modifiers
        if not event.action.keydown or held.ctrl or held.meta or held.alt:
            return
        if event.key == "r":
            self._panel.dice()
        if event.key == "u":
            self.undo()
        acts = {"k": self.keep, "s": self.save, "c": self.copy}
        for key, act in acts.items():
            if event.key == key:
                await act()


def _spans(command: Command) -> str:
    """Returns a command line as HTML that breaks between its words."""
    words = (html.escape(shlex.quote(word)) for word in command.words)
    return "".join(f"<span>{word}</span> " for word in words)


def _url(file: bytes) -> str:
    """Returns a PNG as a URL."""
    return f"data:image/png;base64,{base64.b64encode(file).decode()}"


def _first(args):
    """Returns the value of a handler, which comes alone or in a list."""
    return args[0] if isinstance(args, list) and args else args
