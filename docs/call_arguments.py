"""A Griffe extension: "Call arguments:" in a layer's docstring becomes a list.

Keras documents what `call` takes in the class docstring, under a heading that Google's
convention does not have.
"""

import re

import griffe

HEADING = "Call arguments:"


def as_list(text: str) -> str:
    """Returns a docstring with the entries of its "Call arguments:" as a list."""
    head, found, rest = text.partition(f"\n{HEADING}\n")
    if not found:
        return text
    section, *after = re.split(r"\n(?=\S)", rest, maxsplit=1)
    entries = re.sub(r"^ {4}(\w[\w, ]*): ", r"    - `\1`: ", section, flags=re.M)
    entries = re.sub(r"^ {8}", " " * 6, entries, flags=re.M)
    return "\n".join([head, HEADING, entries, *after])


class CallArguments(griffe.Extension):
    """Rewrites the docstring of every class that is collected."""

    def on_class(self, *, cls: griffe.Class, **_) -> None:
        """Called by Griffe with each class."""
        if cls.docstring:
            cls.docstring.value = as_list(cls.docstring.value)
