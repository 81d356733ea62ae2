"""The page: one large image, its controls, and the command line that draws it again.

Every tab has its own `Page` and state; the engine is shared. Images are rendered in
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

from stylegan_tf.explorer import style
from stylegan_tf.explorer.engine import Engine, command_for, download_name, png_bytes
from stylegan_tf.explorer.fields import Keys
from stylegan_tf.explorer.guard import finite_pair
from stylegan_tf.explorer.latest import Latest
from stylegan_tf.explorer.panel import Gallery, Panel
from stylegan_tf.explorer.state import ImageState

PIXELS = 256  # smaller images are enlarged pixel by pixel
MOVES = 0.04  # seconds between two moves of the pointer that are handled
STEPS = {"Left": (-1, 0), "Right": (1, 0), "Up": (0, -1), "Down": (0, 1)}
STEP = 0.025  # of the image's width, per arrow key
HINT = (
    "drag the picture, or <kbd>arrows</kbd> on it &ensp; <kbd>R</kbd> random &ensp; "
    "<kbd>K</kbd> keep &ensp; <kbd>S</kbd> save &ensp; <kbd>C</kbd> copy command"
)


class Page:
    """One tab.

    Args:
        engine: renders the images.
        turns: held while an image is rendered; shared by all pages, so that each gets
            its turn.
    """

    def __init__(self, engine: Engine, turns: asyncio.Lock):
        self.engine, self.state = engine, engine.first()
        self._turns, self._busy = turns, False
        self._client = ui.context.client
        self._hold: tuple[ImageState, float, float] | None = None  # where a drag began
        self._latest = Latest(self._draw, background_tasks.create)
        ui.colors(**style.COLORS)
        ui.add_css(style.CSS)
        self._build()
        self.change(self.state)

    def _build(self) -> None:
        c = self.engine.model.config
        height, width = c.shape(self.engine.resolution)
        self._pixels = "pixels" if max(height, width) < PIXELS else ""
        self._header(f"{width}\u00d7{height} \u00b7 {c.architecture}")
        with ui.element("main").classes("desk"):
            with ui.element("section").classes("stage").props('aria-label="picture"'):
                self._picture(width / height)
                self._tools()
                ui.html(HINT, sanitize=False).classes("hint")
                self._recipe()
                self._gallery = Gallery(self.change, bool(self._pixels))
            with ui.element("aside").classes("panel").props('aria-label="controls"'):
                self._panel = Panel(self.engine, lambda: self.state, self.change)
        Keys(on_key=self._key, repeating=False)

    def _header(self, facts: str) -> None:
        with ui.element("header").classes("bar"):
            ui.label(Path(self.engine.path).name).classes("title")
            self._time = ui.label(facts).classes("facts").mark("facts")
        self._facts = facts

    def _picture(self, aspect: float) -> None:
        self._image = ui.element("img").classes(f"picture {self._pixels}")
        self._image.props('alt="the picture" tabindex=0 draggable=false')
        self._image.style(f"--aspect: {aspect:.6f}").mark("picture")
        how = {"js_handler": style.DRAG}
        self._image.on("pointerdown", self._grab, **how)
        self._image.on("pointermove", self._move, throttle=MOVES, **how)
        self._image.on("keydown", self._arrow, js_handler=style.ARROWS)

    def _tools(self) -> None:
        with ui.element("div").classes("tools"):
            for name, text, act in (
                ("casino", "Random", lambda: self._panel.dice()),
                ("bookmark_add", "Keep", self.keep),
                ("download", "Save PNG", self.save),
                ("content_copy", "Copy command", self.copy),
            ):
                button = ui.button(text, icon=name, on_click=act)
                button.props(
                    "no-caps unelevated" if text == "Random" else "no-caps flat"
                )

    def _recipe(self) -> None:
        with ui.element("div").classes("recipe"):
            self._why = ui.label().classes("why")
            self._line = ui.html(sanitize=False).classes("line").mark("command")
            self._file = ui.button("Save its styles", on_click=self.save_latents)
            self._file.props("no-caps flat dense size=sm icon=download")

    # -----------------------------------------------------------------------
    # The state and its image

    def change(self, state: ImageState) -> None:
        """Sets the state; controls, command and, soon, the image follow."""
        self.state = state
        self._panel.show(state)
        found = command_for(self.engine, state)
        words = (html.escape(shlex.quote(word)) for word in found.words)
        self._line.content = "".join(f"<span>{word}</span> " for word in words)
        why = f"No flags draw this alone: {found.why}. With its styles saved:"
        self._why.text = why if found.why else "The same picture, to the bit:"
        self._file.visible = found.latents is not None
        self._latest.ask(state)

    async def _draw(self, state: ImageState) -> None:
        async with self._turns:
            if self._client.is_deleted:
                return
            start = time.perf_counter()
            picture = await run.io_bound(self.engine.show, state)
        if picture is None or self._client.is_deleted:  # the server or the tab closes
            return
        took = time.perf_counter() - start
        about = "" if self.engine.exact else ", preview"
        self._show(png_bytes(picture))
        self._time.text = f"{self._facts} \u00b7 {took * 1000:.0f} ms{about}"

    def _show(self, file: bytes) -> None:
        text = base64.b64encode(file).decode()
        self._image.props["src"] = f"data:image/png;base64,{text}"
        self._image.update()

    async def _exact(self) -> tuple[ImageState, bytes]:
        """Shows the image as the command draws it; returns the state and its PNG."""
        state = self.state
        async with self._turns:
            picture = await run.io_bound(self.engine.picture, state)
        file = png_bytes(picture)
        if state == self.state:
            self._show(file)
        return state, file

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
        state, file = await self._exact()
        text = base64.b64encode(file).decode()
        self._gallery.keep(state, f"data:image/png;base64,{text}")

    async def _save(self) -> None:
        state, file = await self._exact()
        ui.download.content(file, download_name(state), "image/png")

    async def _save_latents(self) -> None:
        state = self.state
        found = command_for(self.engine, state)
        if found.latents:
            async with self._turns:
                file = await run.io_bound(self.engine.latents, state)
            ui.download.content(file, found.latents, "application/octet-stream")

    async def _copy(self) -> None:
        state, _ = await self._exact()
        line = command_for(self.engine, state).line
        ui.run_javascript(style.COPY % json.dumps(line))
        ui.notify("Command copied", position="bottom", timeout=1500)

    # -----------------------------------------------------------------------
    # Hand and keys

    def _grab(self, event) -> None:
        place = finite_pair(event.args)
        self._hold = (self.state, *place) if place else None

    def _move(self, event) -> None:
        place = finite_pair(event.args)
        if self._hold and place:
            start, x, y = self._hold
            self.change(self._panel.drag(start, place[0] - x, place[1] - y))

    def _arrow(self, event) -> None:
        key = _first(event.args)
        if isinstance(key, str) and key in STEPS:
            right, down = STEPS[key]
            self.change(self._panel.drag(self.state, STEP * right, STEP * down))

    async def _key(self, event) -> None:
        held = event.modifiers
        if not event.action.keydown or held.ctrl or held.meta or held.alt:
            return
        if event.key == "r":
            self._panel.dice()
        acts = {"k": self.keep, "s": self.save, "c": self.copy}
        for key, act in acts.items():
            if event.key == key:
                await act()


def _first(args):
    """Returns the value of a handler, which comes alone or in a list."""
    return args[0] if isinstance(args, list) and args else args
