"""The pointer on the picture: steer by it, drag points, paint a mask."""

import base64
import io
from collections.abc import Awaitable, Callable

import numpy as np
from nicegui import ui
from PIL import Image

from stylegan_tf import latents
from stylegan_tf.errors import UserError
from stylegan_tf.explorer import work
from stylegan_tf.explorer.controls import Dial, card, icon, text_button
from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.fields import Select, Text, Toggle
from stylegan_tf.explorer.state import AMOUNT, ImageState, any_seed
from stylegan_tf.explorer.workbench import Work

WALK, PAIR, POINTS = "a random plane", "two directions", "points"
MARK, BRUSH = "mark points", "brush"
CLICK = 2  # pixels that a pointer may move in a click
Pixel = tuple[int, int]


class Overlay:
    """Marks on the picture: points with their targets, and what may move."""

    def __init__(self):
        self._mask = ui.element("img").classes("overlay").props('alt=""')
        self._mask.visible = False
        self._marks = ui.html(sanitize=False).classes("overlay").mark("marks")

    def show_points(
        self,
        shape: tuple[int, int],
        pairs: list[tuple[Pixel, Pixel]],
        pending: Pixel | None = None,
    ) -> None:
        """Shows points, with arrows to their targets.

        Args:
            shape: height and width of the picture in pixels.
            pairs: of points and targets.
            pending: a point that has no target yet.
        """
        height, width = shape
        radius = 0.014 * max(shape)
        parts = []
        for (x0, y0), (x1, y1) in pairs:
            parts.append(
                f'<line x1="{x0 + 0.5:g}" y1="{y0 + 0.5:g}" x2="{x1 + 0.5:g}" '
                f'y2="{y1 + 0.5:g}"/>'
            )
            parts.append(_circle("handle", x0, y0, radius))
            parts.append(_circle("target", x1, y1, radius))
        if pending is not None:
            parts.append(_circle("handle", *pending, radius))
        self._marks.content = (
            f'<svg viewBox="0 0 {width} {height}" preserveAspectRatio="none" '
            f'aria-hidden="true">{"".join(parts)}</svg>'
            if parts
            else ""
        )

    def show_mask(self, mask: np.ndarray | None) -> None:
        """Shades what is held; bool [H, W], True where the picture may move."""
        self._mask.visible = mask is not None
        if mask is None:
            return
        shade = np.zeros((*mask.shape, 4), np.uint8)
        shade[~mask] = (20, 24, 60, 120)
        file = io.BytesIO()
        Image.fromarray(shade).save(file, format="PNG")
        text = base64.b64encode(file.getvalue()).decode()
        self._mask.props["src"] = f"data:image/png;base64,{text}"
        self._mask.update()


def _circle(kind: str, x: float, y: float, radius: float) -> str:
    return f'<circle class="{kind}" cx="{x + 0.5:g}" cy="{y + 0.5:g}" r="{radius:g}"/>'


class Hand:
    """The card "Drag the picture", and the pointer.

    Args:
        engine: renders the picture.
        state: returns the tab's state.
        change: sets a new one.
        overlay: of the picture.
        run: does some work, and remembers the state before it.
        stop: ends the work.
        undo: goes back to the state before it.

    Attributes:
        head: the heading of the card.
    """

    def __init__(
        self,
        engine: Engine,
        state: Callable[[], ImageState],
        change: Callable[[ImageState], None],
        overlay: Overlay,
        run: Callable[[Work], Awaitable[bool]],
        stop: Callable[[], None],
        undo: Callable[[], None],
    ):
        self.engine, self._state, self._change = engine, state, change
        self._overlay, self._run, self._stop, self._undo = overlay, run, stop, undo
        self._shape = engine.model.config.shape(engine.resolution)
        self.plane = any_seed()
        self._hold: tuple[ImageState, float, float] | None = None  # where it began
        self._pairs: list[tuple[Pixel, Pixel]] = []
        self._pending: Pixel | None = None
        self._fresh = False  # the pending point was set by the press under way
        self.mask: np.ndarray | None = None
        names = engine.choice.names
        modes = [PAIR, WALK] if len(names) > 1 else [WALK]
        modes += [POINTS] if engine.drags else []
        with card("Drag the picture") as self.head:
            self._mode = Toggle(modes, value=modes[0])
            self._mode.props("no-caps unelevated dense spread").mark("drag mode")
            self._mode.on_value_change(lambda: self._show())
            if PAIR in modes:
                self._pair(names)
            self._walk()
            if engine.drags:
                self._points()
        self._show()

    def _shown_in(self, mode: str, classes: str = "row") -> ui.element:
        row = ui.element("div").classes(classes)
        row.bind_visibility_from(self._mode, "value", value=mode)
        return row

    def _pair(self, names: list[str]) -> None:
        with self._shown_in(PAIR):
            self._right, self._down = (
                Select(names, value=name, label=label)
                .props("dense outlined")
                .classes("grow")
                for name, label in zip(names, ("right", "down"), strict=False)
            )

    def _walk(self) -> None:
        with self._shown_in(WALK):
            text = "Towards other faces; each throw is another plane."
            ui.label(text).classes("note grow")
            icon("casino", "another plane", self._other_plane)

    def _points(self) -> None:
        with self._shown_in(POINTS, "stack"):
            text = (
                "Press on a point and let go at its target; or click both. A point "
                "that stays where it is holds the picture there. Then start."
            )
            ui.label(text).classes("note")
            self._tool = Toggle([MARK, BRUSH], value=MARK)
            self._tool.props("no-caps unelevated dense spread").mark("drag tool")
            self._size = Dial("brush size", 1, max(self._shape) // 4, 1, 4, self._sized)
            brush = self._size.row
            brush.bind_visibility_from(self._tool, "value", value=BRUSH)
            self._numbers = Text().props('dense outlined placeholder="20,31:26,31"')
            self._numbers.props('aria-label="points as numbers, X,Y:X,Y"')
            self._numbers.on("keydown.enter", self._typed).on("blur", self._typed)
            with ui.element("div").classes("row wrap"):
                start = ui.button("Start", icon="play_arrow", on_click=self.start)
                start.props("no-caps unelevated dense")
                text_button("stop", "Stop dragging", self._stop)
                text_button("undo", "Undo", self._undo)
                text_button("backspace", "Clear points", self.clear)
                text_button("layers_clear", "Clear brush", self._clear_mask)

    def _sized(self, value: float) -> None:
        self._size.show(value)

    def _other_plane(self) -> None:
        self.plane = any_seed()

    # -----------------------------------------------------------------------
    # The pointer; places are in widths and heights of the picture

    def press(self, x: float, y: float) -> None:
        """The pointer went down."""
        self._hold = (self._state(), x, y)
        if self._mode.value != POINTS:
            return
        at = self._pixel(x, y)
        if self._tool.value == BRUSH:
            self._paint(at)
        elif self._pending is None:
            self._pending, self._fresh = at, True
        else:
            self._pair_up(at)
        self._show()

    def move(self, x: float, y: float) -> None:
        """The pointer moved while it was down."""
        if self._hold is None:
            return
        start, x0, y0 = self._hold
        if self._mode.value != POINTS:
            self._change(self.led(start, x - x0, y - y0))
        elif self._tool.value == BRUSH:
            self._paint(self._pixel(x, y))

    def release(self, x: float, y: float) -> None:
        """The pointer went up: here, though the last move may have been left out."""
        if self._hold is not None and self._hold[1:] != (x, y):
            self.move(x, y)
        self._hold = None
        if self._mode.value == POINTS and self._pending is not None and self._fresh:
            at, (a, b) = self._pixel(x, y), self._pending
            if max(abs(at[0] - a), abs(at[1] - b)) > CLICK * max(self._shape) / 256:
                self._pair_up(at)
                self._show()
        self._fresh = False

    def arrow(self, right: float, down: float) -> None:
        """An arrow key was pressed on the picture."""
        if self._mode.value != POINTS:
            self._change(self.led(self._state(), right, down))

    def led(self, start: ImageState, right: float, down: float) -> ImageState:
        """Returns the state to which dragging over the picture leads.

        Args:
            start: the state where it began.
            right: the way of the pointer, in widths of the picture.
            down: the same, in heights.
        """
        if self._mode.value == WALK:
            return start.walked(self.plane, 2 * right, 2 * down)
        pairs = {self._right.value: right}
        pairs[self._down.value] = pairs.get(self._down.value, 0) + down
        for name, by in pairs.items():
            amount = start.edits.get(name, 0.0)
            start = start.edited(name, amount + 2 * AMOUNT * by)
        return start

    def _pixel(self, x: float, y: float) -> Pixel:
        height, width = self._shape
        at = int(np.floor(x * width)), int(np.floor(y * height))
        return min(max(at[0], 0), width - 1), min(max(at[1], 0), height - 1)

    def _pair_up(self, target: Pixel) -> None:
        assert self._pending is not None
        kept = [pair for pair in self._pairs if pair[0] != self._pending]
        self._pairs, self._pending = [*kept, (self._pending, target)], None

    def _paint(self, at: Pixel) -> None:
        if self.mask is None:
            self.mask = np.zeros(self._shape, bool)
        y, x = np.ogrid[: self._shape[0], : self._shape[1]]
        near = (x - at[0]) ** 2 + (y - at[1]) ** 2 <= self._size.slider.value**2
        self.mask = self.mask | near
        self._show()

    # -----------------------------------------------------------------------
    # Points

    def _typed(self) -> None:
        words = (self._numbers.value or "").split()
        try:
            points = latents.parse_drags(words) if words else np.zeros((0, 2, 2), int)
        except UserError as error:
            ui.notify(str(error), type="negative")
            return
        self._pairs = [(tuple(a), tuple(b)) for a, b in points.tolist()]
        self._pending = None
        self._show()

    def clear(self) -> None:
        """Takes all points away."""
        self._pairs, self._pending = [], None
        self._show()

    def _clear_mask(self) -> None:
        self.mask = None
        self._show()

    def _show(self) -> None:
        on = self._mode.value == POINTS
        pairs, pending = (self._pairs, self._pending) if on else ([], None)
        self._overlay.show_points(self._shape, pairs, pending)
        self._overlay.show_mask(self.mask if on else None)
        if on:
            text = " ".join(f"{a},{b}:{c},{d}" for (a, b), (c, d) in pairs)
            if self._numbers.value != text:
                self._numbers.value = text

    def follow(self, state: ImageState) -> None:
        """Shows where the points have come to."""
        drag = state.drag
        if drag is not None and self._mode.value == POINTS:
            targets = map(tuple, drag.points[:, 1].tolist())
            now = map(tuple, drag.now.tolist())
            pairs = list(zip(now, targets, strict=True))
            self._overlay.show_points(self._shape, pairs)

    async def start(self) -> None:
        """Drags the points."""
        if not self._pairs:
            ui.notify("Mark a point and its target on the picture first.")
            return
        points, mask = np.array(self._pairs, int), self.mask
        state = self._state()

        def drag(stopped):
            return work.drag_on_page(self.engine, state, points, mask, stopped)

        if not await self._run(drag):
            self._show()
            return
        found = self._state().drag
        if found is not None and found.start is state:
            ends = zip(found.now.tolist(), found.points[:, 1].tolist(), strict=True)
            pairs = [((int(x), int(y)), tuple(to)) for (x, y), to in ends]
            self._pairs = [] if found.arrived else pairs
        self._show()
