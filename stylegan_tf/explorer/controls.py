"""Controls that the cards of the panel are made of."""

import contextlib
from collections.abc import Callable, Iterator

from nicegui import ui

from stylegan_tf.explorer.fields import Slider


@contextlib.contextmanager
def card(name: str, note: str = "") -> Iterator[ui.element]:
    """Adds a section to the panel; yields the row of its heading."""
    with ui.element("section").classes("card").props(f'aria-label="{name}"'):
        head = ui.element("div").classes("head")
        with head:
            ui.label(name).classes("name").props("role=heading aria-level=2")
        if note:
            ui.label(note).classes("note")
        yield head


def icon(
    name: str, hint: str, on_click: Callable[[], object], **props: str
) -> ui.button:
    """Adds a round button with an icon, and a name for screen readers."""
    button = ui.button(icon=name, on_click=on_click)
    button.props(f'flat round dense size=sm aria-label="{hint}"').props(**props)
    return button.tooltip(hint)


def text_button(name: str, text: str, on_click: Callable[[], object]) -> ui.button:
    """Adds a button with an icon and a text."""
    button = ui.button(text, icon=name, on_click=on_click)
    return button.props("no-caps flat dense")


def put(field, value) -> None:
    """Sets a control, unless it has the value already."""
    if field.value != value:
        field.value = value


class Dial:
    """A slider with a name and its value; a click on the value resets it.

    Args:
        name: shown, and read by screen readers.
        low, high, step: of the slider.
        start: the value after a reset.
        on_change: is given the value.
        text: formats the value.
    """

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        step: float,
        start: float,
        on_change: Callable[[float], object],
        text: Callable[[float], str] = "{:+.2f}".format,
    ):
        self._text, self._start = text, start
        with ui.element("div").classes("dial") as self.row:
            self._label = ui.label().classes("of")
            self.slider = Slider(min=low, max=high, step=step, value=start)
            self.slider.props("dense").mark(name)
            self._value = ui.element("button").classes("value")
            with self._value:
                self._number = ui.label(text(start))
        self.rename(name)
        self.slider.on_value_change(lambda e: on_change(e.value))
        self._value.on("click", lambda: on_change(start))

    def rename(self, name: str) -> None:
        """Sets the name that is shown and read."""
        self._label.text = name
        self._label.props["title"] = name
        self.slider.props["aria-label"] = name
        back = f"{name} back to {self._text(self._start)}"
        self._value.props["type"] = "button"
        self._value.props["aria-label"] = self._value.props["title"] = back

    def show(self, value: float) -> None:
        """Sets the slider, unless it has the value already."""
        if abs(self.slider.value - value) > 1e-9:
            self.slider.value = value
        self._number.text = self._text(value)
