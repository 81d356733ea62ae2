"""Pieces of the page: titled cards, sliders with their numbers, the gallery."""

import contextlib
from collections.abc import Callable, Iterator

from nicegui import ui

from stylegan_tf.explorer.state import State


@contextlib.contextmanager
def card(name: str, note: str = "") -> Iterator[ui.element]:
    """A section of the panel with its heading; yields the heading's row."""
    with ui.element("section").classes("card").props(f'aria-label="{name}"'):
        head = ui.element("div").classes("head")
        with head:
            ui.label(name).classes("name").props("role=heading aria-level=2")
        if note:
            ui.label(note).classes("note")
        yield head


def icon(name: str, hint: str, on_click: Callable, **props) -> ui.button:
    """A round button with a picture, named for those who cannot see it."""
    button = ui.button(icon=name, on_click=on_click)
    button.props(f'flat round dense size=sm aria-label="{hint}"').props(**props)
    return button.tooltip(hint)


class Slider(ui.slider):
    """A slider that keeps to the hand that moves it.

    By itself, it would be set once more to what the server last heard of, and so jump
    back where the line is slow.
    """

    LOOPBACK = False


class Dial:
    """A slider with a name and its number; a click on the number brings it back.

    Args:
        name: shown, and read out.
        low, high, step: of the slider.
        start: where a click on the number brings it.
        on_change: gets the number.
        text: how the number is written.
    """

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        step: float,
        start: float,
        on_change: Callable[[float], None],
        text: Callable[[float], str] = "{:+.2f}".format,
    ):
        self._text = text
        with ui.element("div").classes("dial"):
            ui.label(name).classes("of").tooltip(name)
            self.slider = Slider(min=low, max=high, step=step, value=start)
            self.slider.props(f'dense aria-label="{name}"').mark(name)
            self._value = ui.element("button").classes("value")
            back = f"{name} back to {text(start)}"
            self._value.props(f'type=button aria-label="{back}" title="{back}"')
            with self._value:
                self._number = ui.label(text(start))
        self.slider.on_value_change(lambda e: on_change(e.value))
        self._value.on("click", lambda: on_change(start))

    def show(self, value: float) -> None:
        """Moves the slider where it does not stand there already."""
        if abs(self.slider.value - value) > 1e-9:
            self.slider.value = value
        self._number.text = self._text(value)


class Gallery:
    """Pictures that were kept, the newest first.

    Args:
        restore: gets the state of one that was clicked.
        pixels: whether they are enlarged pixel by pixel.
    """

    def __init__(self, restore: Callable[[State], None], pixels: bool):
        self._restore, self._pixels, self._count = restore, pixels, 0
        self._box = ui.element("div").classes("gallery")
        self._box.props('role=list aria-label="kept pictures"')

    def keep(self, state: State, source: str) -> None:
        """Adds a picture: its state, and where its PNG is."""
        self._count += 1
        hint = f"back to kept picture {self._count}, seed {state.seed}"
        with self._box, ui.element("div").classes("keepsake") as box:
            box.props("role=listitem")
            button = ui.element("button").classes("open")
            button.props(f'type=button aria-label="{hint}" title="{hint}"')
            button.on("click", lambda: self._restore(state))
            with button:
                image = ui.element("img").props('alt=""')
                image.classes("pixels" if self._pixels else "")
                image.props["src"] = source
            drop = ui.element("button").classes("drop").on("click", box.delete)
            drop.props('type=button aria-label="let it go"')
            with drop:
                ui.label("\u00d7")
        box.move(target_index=0)
