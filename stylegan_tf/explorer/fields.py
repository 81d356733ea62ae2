"""Controls that take only values that they can have.

A page's messages come from anybody who can open it, so a control may be told anything.
What it cannot hold leaves it as it is.
"""

import math
from typing import Any

from nicegui import ui
from nicegui.events import GenericEventArguments

LONGEST = 1000  # characters


class Checked:
    """A control whose value from the page is checked by `accepts`."""

    value: Any

    def accepts(self, value: Any) -> bool:
        """Returns True for a value that the control can have."""
        raise NotImplementedError

    def _event_args_to_value(self, e: GenericEventArguments) -> Any:
        try:
            value = super()._event_args_to_value(e)  # type: ignore[misc]
            return value if self.accepts(value) else self.value
        except (LookupError, TypeError, ValueError, OverflowError):
            return self.value


class Slider(Checked, ui.slider):
    """A slider whose value the server does not send back while it is moved.

    On a slow line it would jump back to the value that the server heard of last.
    """

    LOOPBACK = False

    def accepts(self, value: Any) -> bool:
        """Returns True for a number within the slider."""
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return self._props["min"] <= value <= self._props["max"]


class Number(Checked, ui.number):
    """A field for a number, or none."""

    def accepts(self, value: Any) -> bool:
        """Returns True for None and finite numbers; `ui.number` holds the limits."""
        return value is None or math.isfinite(value)


class Text(Checked, ui.input):
    """A short line of text."""

    def accepts(self, value: Any) -> bool:
        """Returns True for a text of at most `LONGEST` characters, or None."""
        return value is None or (isinstance(value, str) and len(value) <= LONGEST)


class Select(Checked, ui.select):
    """A choice from a list."""

    def accepts(self, value: Any) -> bool:
        """Returns True for one of the options."""
        return value in self._values


class Toggle(Checked, ui.toggle):
    """A choice from a few buttons."""

    def accepts(self, value: Any) -> bool:
        """Returns True for one of the options."""
        return value in self._values


class Checkbox(Checked, ui.checkbox):
    """A box that is on or off."""

    def accepts(self, value: Any) -> bool:
        """Returns True for True and False."""
        return isinstance(value, bool)


class Keys(ui.keyboard):
    """Keys pressed anywhere on the page; what is no key is ignored."""

    def _handle_key(self, e: GenericEventArguments) -> None:
        names = ("action", "key", "code")
        flags = ("repeat", "altKey", "ctrlKey", "metaKey", "shiftKey")
        args = e.args if isinstance(e.args, dict) else {}
        texts = all(isinstance(args.get(name), str) for name in names)
        if texts and all(isinstance(args.get(name), bool) for name in flags):
            super()._handle_key(e)
