"""Allowed values of a config's fields, declared with the field and checked at once.

    class LossConfig(Checked, section="loss"):
        r1_gamma: Annotated[float, Range(0, 1e9)] = 10.0

    LossConfig(r1_gamma=-1)    # loss.r1_gamma=-1 must be at least 0.

A field without a limit is held to its type alone, but text has no null character.
"""

import dataclasses
import functools
import numbers
import typing
from collections.abc import Sequence
from typing import Any

from stylegan_tf.config.custom import PREFIX, is_custom_name
from stylegan_tf.errors import UserError

MAX_RESOLUTION = 1024
MOST_TEXT = 10_000  # characters of a text field
MOST_ITEMS = 1000  # of a field with several values
SHOWN = 80  # characters of a value in a message


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `least` to `most`, either of them left out if `open` names it.

    Attributes:
        least: the lower bound.
        most: the upper bound.
        above: True if the lower bound itself is not allowed.
        below: True if the upper bound itself is not allowed.
    """

    least: float
    most: float
    above: bool = False
    below: bool = False

    def problem(self, value: float) -> str:
        """Returns what the value must be instead, or ""."""
        if value != value:
            return "must be a number"
        if value < self.least or (self.above and value == self.least):
            return f"must be {'above' if self.above else 'at least'} {self.least:.12g}"
        if value > self.most or (self.below and value == self.most):
            return f"must be {'below' if self.below else 'at most'} {self.most:.12g}"
        return ""

    def __str__(self) -> str:
        low = f"above {self.least:.12g}" if self.above else f"{self.least:.12g}"
        high = f"below {self.most:.12g}" if self.below else f"{self.most:.12g}"
        return f"{low} to {high}"


@dataclasses.dataclass(frozen=True)
class PowerOfTwo:
    """Powers of two from `least` to `most`."""

    least: int
    most: int = MAX_RESOLUTION

    def problem(self, value: int) -> str:
        """Returns what the value must be instead, or ""."""
        if value > 0 and not value & (value - 1) and self.least <= value <= self.most:
            return ""
        return f"is not allowed; use a power of two from {self.least} to {self.most}"

    def __str__(self) -> str:
        return f"power of two, {self.least} to {self.most}"


@dataclasses.dataclass(frozen=True)
class Text:
    """Text that may be part of a file's name; of every text field without a limit.

    Attributes:
        least: fewest characters.
    """

    least: int = 0

    def problem(self, value: str) -> str:
        """Returns what the value must be instead, or ""."""
        if len(value) < self.least:
            return "must not be empty"
        if "\0" not in value and len(value) <= MOST_TEXT:
            return ""
        return f"must have at most {MOST_TEXT} characters, none of them null"

    def __str__(self) -> str:
        return "not empty" if self.least else ""


class Choice:
    """One of several values."""

    def __init__(self, choices: Sequence[object]) -> None:
        self.choices = tuple(choices)

    def problem(self, value: object) -> str:
        """Returns what the value must be instead, or ""."""
        if value in self.choices:
            return ""
        return f"is not allowed; choose one of {', '.join(map(str, self.choices))}"

    def __str__(self) -> str:
        return "one of " + ", ".join(map(str, self.choices))


class ChoiceOrCustom(Choice):
    """One of several values, or a part of the user's own, see `config.custom`."""

    def problem(self, value: object) -> str:
        """Returns what the value must be instead, or ""."""
        if isinstance(value, str) and is_custom_name(value):
            return ""
        return super().problem(value)

    def __str__(self) -> str:
        shown = ", ".join(choice for choice in self.choices if choice)
        return f"{'one of ' if shown else ''}{shown or 'empty'} or {PREFIX}NAME"


@dataclasses.dataclass(frozen=True)
class Each:
    """Several values, each with the same limits.

    Attributes:
        limit: of each value, in a dict of each value behind its key.
        key: of each key of a dict.
        least: fewest values.
        most: most values.
    """

    limit: Any = None
    key: Any = None
    least: int = 0
    most: int = MOST_ITEMS

    def problem(self, values: Sequence | dict) -> str:
        """Returns what the values must be instead, or ""."""
        if not self.least <= len(values) <= self.most:
            return f"must have {self._count()}, and has {len(values)}"
        keys = values if isinstance(values, dict) else ()
        items = values.values() if isinstance(values, dict) else values
        pairs = [(k, self.key) for k in keys] + [(v, self.limit) for v in items]
        for value, limit in pairs:
            problem = limit.problem(value) if limit else ""
            if problem:
                return f"has {shortened(value)}, which {problem}"
        return ""

    def _count(self) -> str:
        if self.least == self.most:
            return f"{self.least} values"
        return f"{self.least} to {self.most} values"

    def __str__(self) -> str:
        shown = [f"{self.key} ->"] if self.key else []
        shown += [f"each {self.limit}"] if self.limit else []
        count = self._count() if (self.least, self.most) != (0, MOST_ITEMS) else ""
        return ": ".join(part for part in (count, " ".join(shown)) if part)


class Filter(Each):
    """Taps of a filter, which is divided by their sum."""

    def problem(self, values: Sequence | dict) -> str:
        """Returns what the values must be instead, or ""."""
        found = super().problem(values)
        if found or not values or sum(values):
            return found
        return "is not allowed: a filter is divided by the sum of its taps, here 0"


class Checked:
    """Base of the configs: holds every field to its type and its limits.

    A subclass is a frozen dataclass. `section` is the dotted name in front of its
    fields, as `--set` takes it; what several fields must have in common is checked in
    `check`, after the fields.
    """

    section = ""  # no annotation: it is no field

    def __init_subclass__(cls, section: str = "", **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        cls.section = section

    def __post_init__(self) -> None:
        for name in declared_types(type(self)):
            check_field(type(self), name, getattr(self, name))
        self.check()

    def check(self) -> None:
        """Checks what several fields must have in common.

        Raises:
            UserError: they contradict each other.
        """


@functools.cache
def declared_types(cls: type) -> dict[str, object]:
    """Returns each field's type, with its limit in `Annotated` if it has one."""
    hints = typing.get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls)}


def limit_of(cls: type, name: str) -> Any:
    """Returns the limit of a config's field, None if it has none."""
    return getattr(declared_types(cls)[name], "__metadata__", (None,))[0]


def check_field(cls: type[Checked], name: str, value: object) -> None:
    """Holds one value to its field's type and limits.

    Raises:
        UserError: names the field, the value and what it must be.
    """
    problem = _problem(declared_types(cls)[name], value)
    if problem:
        dotted = f"{cls.section}.{name}" if cls.section else name
        raise UserError(f"{dotted}={shortened(value)} {problem}.")


def _problem(declared: Any, value: Any) -> str:
    """Returns what a field's value must be instead, or ""."""
    limits = getattr(declared, "__metadata__", ())
    plain = typing.get_args(declared)[0] if limits else declared
    if not _is_of_type(value, plain):
        return f"is not of type {_type_name(plain)}"
    if not limits:
        limits = (Text(),) if plain is str else ()
        limits = (Each(Text()),) if isinstance(value, tuple) else limits
    return next((p for p in (limit.problem(value) for limit in limits) if p), "")


def _is_of_type(value: Any, declared: Any) -> bool:
    """True if a value is of a field's type; an int is a float, too."""
    origin, items = typing.get_origin(declared), typing.get_args(declared)
    if origin is tuple:
        return isinstance(value, tuple) and all(_is_of_type(v, items[0]) for v in value)
    if origin is dict:
        return isinstance(value, dict) and all(
            _is_of_type(k, items[0]) and _is_of_type(v, items[1])
            for k, v in value.items()
        )
    if declared in (int, float):
        kind = numbers.Integral if declared is int else numbers.Real
        return isinstance(value, kind) and not isinstance(value, bool)
    return isinstance(value, declared)


def _type_name(declared: Any) -> str:
    return (typing.get_origin(declared) or declared).__name__


def shortened(value: object) -> str:
    """Returns a value for a message, however large or deep it is."""
    try:
        text = repr(value)
    except ValueError:  # Python writes out 4,300 digits at most
        return "(a number of thousands of digits)"
    except RecursionError:
        return "(lists in lists without end)"
    return text if len(text) <= SHOWN else text[: SHOWN - 3] + "..."
