"""The package is typed: public names have hints, and no bare Any is among them.

`pyright` reads `tests/typed_names.py`, see pyproject.toml. TensorFlow and Keras ship
hints for some of their names only: `tf.distribute.Strategy`, for one, is unknown to a
checker whatever we write. So what is ours to hint is inspected here. The methods that
Keras calls, with arguments that it defines, need none.
"""

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import pytest

import stylegan_tf

TYPED_NAMES = Path(__file__).with_name("typed_names.py")
CONTAINERS = (dict, list, tuple, set, Callable, Iterable, Iterator, Mapping, Sequence)
# The contract of a Keras layer, see keras.layers.Layer.
OF_KERAS = {"build", "call", "compute_output_shape", "get_config", "from_config"}


def functions(name: str) -> Iterator[tuple[str, Callable]]:
    """A public function, or the public methods that our classes define for a class."""
    public = getattr(stylegan_tf, name)
    if inspect.isfunction(public):
        yield name, public
    if not inspect.isclass(public):
        return
    ours = [c for c in public.__mro__ if c.__module__.startswith("stylegan_tf")]
    for cls in ours:
        for method, value in vars(cls).items():
            if isinstance(value, property):
                value = value.fget
            value = inspect.unwrap(getattr(value, "__func__", value))
            shown = not method.startswith("_") or method == "__init__"
            if inspect.isfunction(value) and shown and method not in OF_KERAS:
                yield f"{cls.__name__}.{method}", value


def is_unknown(hint: object) -> bool:
    """True for Any, a container of unknown items, and all that is made of these."""
    bare = hint in CONTAINERS or hint is typing.Any
    return bare or any(map(is_unknown, typing.get_args(hint)))


def missing(name: str, function: Callable) -> list[str]:
    """The parameters, and the result, that a function says nothing about."""
    hints = inspect.get_annotations(function)
    parameters = inspect.signature(function).parameters.values()
    wanted = [
        p.name
        for p in parameters
        if p.name not in ("self", "cls") and p.kind != p.VAR_KEYWORD
    ]
    if not name.endswith("__init__"):
        wanted.append("return")
    bare = [w for w in wanted if w not in hints]
    return bare + [f"{w}: {hints[w]}" for w in hints if is_unknown(hints[w])]


@pytest.mark.parametrize("name", stylegan_tf.__all__)
def test_public_names_have_hints(name):
    found = {shown: missing(shown, f) for shown, f in functions(name)}
    assert not {shown: names for shown, names in found.items() if names}


def test_a_missing_hint_is_found():
    def bare(a, b: int, *, c: list[typing.Any], d: dict | None = None):
        pass

    found = ["a", "return", "c: list[typing.Any]", "d: dict | None"]
    assert missing("bare", bare) == found


@pytest.mark.parametrize("name", stylegan_tf.__all__)
def test_the_checker_sees_every_public_name(name):
    assert re.search(rf"\bsg\.{name}\b", TYPED_NAMES.read_text())


def test_the_names_stand_in_three_lists_alike():
    """What checkers see, what `import *` gives and where it is found when used."""
    assert sorted(stylegan_tf._WHERE) == sorted(stylegan_tf.__all__)
    text = Path(stylegan_tf.__file__).read_text()
    seen = text[text.index("if TYPE_CHECKING") : text.index("__version__")]
    for name, room in stylegan_tf._WHERE.items():
        block = re.search(rf"from stylegan_tf\.{room} import (\([^)]*\)|.*)", seen)
        assert block and re.search(rf"\b{name}\b", block[1]), name
    assert (Path(stylegan_tf.__file__).parent / "py.typed").exists()
