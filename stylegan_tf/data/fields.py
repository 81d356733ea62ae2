"""Takes fields out of a JSON object of unknown origin, each with its type and range.

    fields = Fields(values)
    count = fields.number("count", 1, 1000)
    name = fields.text("name")
    fields.finish()                      # nothing is left

Every fault is a ValueError that names the field, what it holds and what it should hold.
"""

import json


class Fields:
    """The fields of a JSON object, to be taken once each.

    Args:
        values: the object.
        place: put before a field's name in messages, such as "levels 64: ".

    Raises:
        ValueError: it is no object.
    """

    def __init__(self, values: object, place: str = ""):
        self.place = place
        if not isinstance(values, dict):
            raise ValueError(f"{place or 'it '}holds {_shown(values)}, not an object")
        self._values = dict(values)

    def take(self, name: str) -> object:
        """Returns a field of any type."""
        if name not in self._values:
            raise ValueError(f"{self.place}{name!r} is missing")
        return self._values.pop(name)

    def number(self, name: str, low: int, high: int) -> int:
        """Returns a whole number from `low` to `high`."""
        return self._checked(name, self.take(name), low, high)

    def numbers(self, name: str, low: int, high: int) -> list[int]:
        """Returns a list of whole numbers from `low` to `high`."""
        values = self._list(name)
        return [self._checked(name, value, low, high) for value in values]

    def text(self, name: str, choices: tuple[str, ...] = ()) -> str:
        """Returns a text, one of `choices` if there are any."""
        value = self.take(name)
        if not isinstance(value, str) or (choices and value not in choices):
            raise self._wrong(name, value, " or ".join(choices) or "a text")
        return value

    def texts(self, name: str) -> list[str]:
        """Returns a list of texts, no two of them equal."""
        values = self._list(name)
        for value in values:
            if not isinstance(value, str):
                raise self._wrong(name, value, "a text")
        if len({*values}) < len(values):
            raise ValueError(f"{self.place}{name!r} holds one text twice")
        return values

    def finish(self) -> None:
        """Raises ValueError if any field is left."""
        for name in self._values:
            raise ValueError(f"{self.place}{name[:40]!r} is no field of it")

    def _list(self, name: str) -> list:
        value = self.take(name)
        if not isinstance(value, list):
            raise self._wrong(name, value, "a list")
        return value

    def _checked(self, name: str, value: object, low: int, high: int) -> int:
        if type(value) is not int or not low <= value <= high:
            raise self._wrong(name, value, f"a whole number from {low} to {high}")
        return value

    def _wrong(self, name: str, value: object, wanted: str) -> ValueError:
        return ValueError(f"{self.place}{name!r} is {_shown(value)}, not {wanted}")


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 40 else f"{text[:40]}..."
