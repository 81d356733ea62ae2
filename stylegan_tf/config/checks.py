"""Checks of single values, with the message that a user gets."""

from stylegan_tf.config.sizes import MAX_RESOLUTION
from stylegan_tf.errors import UserError


def check_power(value: int, name: str, least: int) -> None:
    """`UserError` unless the value is a power of two of a size that we have."""
    if value & (value - 1) or not least <= value <= MAX_RESOLUTION:
        raise UserError(
            f"{name} is {value}; use a power of two from {least} to {MAX_RESOLUTION}."
        )


def check_range(name: str, value, least, most) -> None:
    """`UserError` unless least <= value <= most."""
    if not least <= value <= most:
        raise UserError(f"{name} is {value}; it must lie between {least} and {most}.")


def check_choice(name: str, value, choices) -> None:
    """`UserError` unless the value is one of the choices."""
    if value not in choices:
        raise UserError(f"{name} is {value!r}; choose one of {', '.join(choices)}.")
