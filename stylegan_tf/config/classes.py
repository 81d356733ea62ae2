"""The classes of a model as they are shown: each number with its name."""

from collections.abc import Sequence


def numbered_names(names: Sequence[str], most: int = 12) -> str:
    """Returns "0 = cat, 1 = dog", with the first and the last of many.

    Args:
        names: of the classes, in the order of their numbers.
        most: classes that are shown.
    """
    shown = [f"{i} = {name}" for i, name in enumerate(names)]
    if len(shown) > most:
        shown[most - 1 : -1] = ["..."]
    return ", ".join(shown)
