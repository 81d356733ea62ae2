"""Flags of the launch scripts: their kinds, files of flags, and the manual.

Numbers have bounds, and `~` stands for the home folder wherever a flag names a path.
"""

import contextlib
import difflib
import functools
import os
import platform
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Sequence
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

from absl import flags

import stylegan_tf
from stylegan_tf import config as configs
from stylegan_tf import files
from stylegan_tf.command_line import as_typed
from stylegan_tf.errors import UserError

_HELP = {"-h", "-help", "--help", "-?", "--helpfull", "--helpshort"}
_INDENT = " " * 6
MOST_FLAGS, MOST_FLAGFILES, MOST_BYTES = 10_000, 20, 1 << 20  # of flagfiles
SEED = 2**32 - 1  # the largest seed
# Flags that other scripts call otherwise, for hints.
ALIKE = {
    "out": ("dest",),
    "output": ("out", "dest"),
    "dest": ("out",),
    "data": ("source", "images"),
    "source": ("data", "images"),
    "images": ("data", "source"),
    "input": ("data", "source", "images", "model"),
    "run": ("model", "resume"),
    "resume": ("model",),
    "network": ("model",),
    "checkpoint": ("model", "resume"),
    "seed": ("seeds",),
    "steps": ("kimg",),
    "epochs": ("kimg",),
    "truncation": ("psi",),
    "trunc": ("psi",),
    "size": ("resolution",),
}
MOST = 1_000_000_000  # of a number without an upper bound of its own


class _Number:
    """A parser of numbers between two bounds, with an error in plain words."""

    kind: str

    def convert(self, argument: float | str) -> float:
        try:
            return super().convert(argument)
        except ValueError:
            raise ValueError(f"value should be {self.kind}") from None

    def is_outside_bounds(self, val: float) -> bool:
        return not self.lower_bound <= val <= self.upper_bound  # NaN is outside, too


class _Integer(_Number, flags.IntegerParser):
    kind = "a whole number"


class _Float(_Number, flags.FloatParser):
    kind = "a number"


class _Path(flags.ArgumentParser):
    def parse(self, argument: str) -> str:
        return expand_home(argument)


class _Paths(flags.ListParser):
    def parse(self, argument: str | list[str]) -> list[str]:
        return [expand_home(path) for path in super().parse(argument)]


def flag_set() -> tuple[flags.FlagValues, SimpleNamespace]:
    """Makes the flags of a script, defined by `define.KIND(name, default, help, ...)`.

    Kinds are those of absl's `DEFINE_KIND`, and `path` and `paths` (with commas), in
    which `~` is the home folder. An `integer` or `float` lies between two bounds, 0 and
    a billion if none are given.
    """
    flags.disclaim_key_flags()  # of this module; they are the script's
    values = flags.FlagValues()
    kinds = ("string", "bool", "boolean", "enum", "list", "multi_string")
    functions = {kind: getattr(flags, f"DEFINE_{kind}") for kind in kinds}
    bound = {k: functools.partial(f, flag_values=values) for k, f in functions.items()}

    def add(parser, serializer, name, default, help_text):
        flags.DEFINE(parser, name, default, help_text, values, serializer)

    def number(kind, name, default, help_text, lower_bound=0, upper_bound=MOST):
        parser = kind(lower_bound, upper_bound)
        add(parser, flags.ArgumentSerializer(), name, default, help_text)

    bound |= {
        "integer": functools.partial(number, _Integer),
        "float": functools.partial(number, _Float),
        "path": functools.partial(add, _Path(), flags.ArgumentSerializer()),
        "paths": functools.partial(add, _Paths(), flags.ListSerializer(",")),
    }
    return values, SimpleNamespace(**bound)


def define_address(define: SimpleNamespace, port: int) -> None:
    """Defines --port and --host of a server on this machine.

    Args:
        define: of `flag_set`.
        port: the default.
    """
    define.integer("port", port, "Port to serve on.", lower_bound=1, upper_bound=65535)
    define.string(
        "host",
        "127.0.0.1",
        "Address to serve on. Others than the default let other machines in, without "
        "asking who they are.",
    )


def bounds(setting: str) -> dict[str, float]:
    """Returns the bounds of a flag that changes a setting, given by its dotted name."""
    limit = configs.setting_limit(setting)
    return {"lower_bound": limit.least, "upper_bound": limit.most}


def expand_home(text: str) -> str:
    """Returns a path with the home folder in place of a leading `~` or `~name`.

    A shell does so only at the start of a word, which `--out=~/runs` is not. `KIND:~/x`
    is expanded as well.
    """
    return re.sub(
        r"^([\w-]+:)?(~[^/\\]*)",
        lambda match: (match[1] or "") + os.path.expanduser(match[2]),
        text,
    )


def refuse_flags(values: flags.FlagValues, names: Sequence[str], why: str) -> None:
    """Refuses flags that were given but would change nothing.

    Args:
        values: the script's flags.
        names: flags that must not be given.
        why: end of the message, after the flag's name.

    Raises:
        UserError: one of the flags was given.
    """
    for name in names:
        if values[name].present:
            raise UserError(f"--{name} {why}")


# ---------------------------------------------------------------------------
# The command line


def asks_for_help(argv: Sequence[str]) -> bool:
    """True if the command line asks for the manual."""
    return bool(_HELP & {arg.partition("=")[0] for arg in argv[1:]})


def parse(main: Callable, values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Sets the flags of a script from its command line.

    Args:
        main: the script's function; the flags are those of its module.
        values: the flags.
        argv: program and arguments.

    Returns:
        The program, and arguments without a name for a script that has `ARGUMENTS`.

    Raises:
        UserError: an unknown flag, or a value that is none.
    """
    for name in values:
        values[name].unparse()  # a process may run a script twice
    values.set_gnu_getopt(bool(arguments_of(main)))  # flags behind them, too
    try:
        rest = values(_with_flagfiles(argv))
    except flags.UnrecognizedFlagError as e:
        names = flag_names(main, values)
        near = [name for name in ALIKE.get(e.flagname, ()) if name in names]
        near = near or difflib.get_close_matches(e.flagname, names)
        hint = f"did you mean --{near[0]}?" if near else "see --help."
        raise UserError(f"there is no flag --{e.flagname}; {hint}") from e
    except flags.Error as e:
        text = str(e).strip()
        switch = re.match(r"flag --(\w+)=(.*): \('Non-boolean", text, re.DOTALL)
        if switch:  # --mirror=yes
            name = switch[1]
            raise UserError(
                f"--{name} is on or off, not {switch[2]!r}; "
                f"write --{name} or --no{name}."
            ) from e
        raise UserError(f"{text}; {_near_choice(text, values) or 'see --help.'}") from e
    for name in flag_names(main, values):  # --seeds=$SEEDS, and there is no SEEDS
        flag = values[name]
        if flag.present and flag.value == "" and flag.default != "":
            raise UserError(f"--{name}= has no value; see --help.")
    if len(rest) > 1 and not arguments_of(main):
        raise UserError(
            f"unexpected argument {rest[1]!r}; settings are given as --name=value, "
            'those with spaces in quotes: --name="a value".'
        )
    return rest


def _near_choice(text: str, values: flags.FlagValues) -> str:
    """Returns a hint at the choice closest to a value that absl refused, or ""."""
    wrong = re.match(r"flag --(\w+)=(.*): value should be one of", text)
    if not wrong:
        return ""
    choices = getattr(values[wrong[1]].parser, "enum_values", ())
    near = difflib.get_close_matches(wrong[2], choices, 1)
    return f"did you mean {near[0]}?" if near else ""


def version_text() -> str:
    """Returns the versions of this package and of what it runs on, in a line."""
    parts = [f"stylegan_tf {stylegan_tf.__version__}"]
    for name, package in (("TensorFlow", "tensorflow"), ("Keras", "keras")):
        with contextlib.suppress(metadata.PackageNotFoundError):
            parts.append(f"{name} {metadata.version(package)}")
    return f"{', '.join(parts)}, Python {platform.python_version()}"


def _with_flagfiles(argv: Sequence[str]) -> list[str]:
    """Puts the lines of each --flagfile in its place, files inside of files included.

    Empty lines and lines that begin with # or // are left out.

    Raises:
        UserError: a file cannot be read, is no text, or includes itself.
    """
    out, left, read = [], list(argv), 0
    while left:
        arg = left.pop(0)
        if arg == "--":
            return [*out, arg, *left]
        flag = re.fullmatch(r"--?flagfile(=.*)?", arg, re.DOTALL)
        if not flag:
            out.append(arg)
            continue
        read += 1
        if read > MOST_FLAGFILES:
            raise UserError(
                f"{arg}: more than {MOST_FLAGFILES} flagfiles; does one include itself?"
            )
        name = flag[1][1:] if flag[1] else (left.pop(0) if left else "")
        left[:0] = _flagfile(expand_home(name))
        if len(left) > MOST_FLAGS:
            raise UserError(f"{arg} has more than {MOST_FLAGS} lines.")
    return out


def _flagfile(path: str) -> list[str]:
    try:
        text = files.read_regular_text(path, MOST_BYTES)
    except OSError as e:
        raise UserError(f"--flagfile={path} cannot be read: {e.strerror}.") from e
    except ValueError as e:  # no UTF-8, or a null character in the name
        raise UserError(f"--flagfile={path} is no text file of flags.") from e
    if "\0" in text:
        raise UserError(f"--flagfile={path} is no text file of flags.")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "//"))]


# ---------------------------------------------------------------------------
# The manual


def manual(main: Callable, values: flags.FlagValues, program: str) -> str:
    """The help text: the docstring of `main`'s module, then its flags."""
    width = min(shutil.get_terminal_size().columns, 88)
    module = sys.modules[main.__module__]
    names = flag_names(main, values)
    defaults = getattr(module, "default_texts", dict)()
    groups = getattr(module, "GROUPS", {"": names})
    shown = []
    for title, members in groups.items():
        shown += [f"{title}\n"] if title else []
        shown += [_describe(values[n], width, defaults.get(n, "")) for n in members]
        shown += [""] if title else []
    more = "--flagfile=FILE\n" + _INDENT + "Read flags from a file, one per line."
    doc = (module.__doc__ or "").strip()
    usage = f" {arguments_of(main)}" if arguments_of(main) else ""
    head = f"{doc}\n\nFlags of {Path(program).name}{usage}:\n"
    return as_typed("\n".join([head, *shown, more]))


def _describe(flag: flags.Flag, width: int, default: str = "") -> str:
    text = " ".join((flag.help or "").split())
    choices = "|".join(getattr(flag.parser, "enum_values", ()))
    text = text.removeprefix(f"<{choices}>: ")  # absl adds this, and the next
    text = text.removesuffix("; repeat this option to specify a list of values")
    if len(choices) > width // 2:
        text += f" One of {choices.replace('|', ', ')}."
        choices = "NAME"
    kind = {"int": "N", "float": "X"}.get(flag.flag_type(), "...")
    name = f"--{flag.name}={choices or kind}"
    if flag.boolean:
        name = f"--[no]{flag.name}"
    if flag.default not in (None, "", False, []):
        default = flag.default_as_str.strip("'")
    elif flag.boolean and flag.default is False:
        default = "false"
    text += f" (default: {default})" if default else ""
    lines = textwrap.wrap(
        text,
        width,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_on_hyphens=False,
    )
    return "\n".join([name, *lines])


def arguments_of(main: Callable) -> str:
    """Describes the arguments without a name that a script takes; "" = none."""
    return getattr(sys.modules[main.__module__], "ARGUMENTS", "")


def flag_names(main: Callable, values: flags.FlagValues) -> list[str]:
    """Flags that `main`'s module defines, in their order there."""
    module = sys.modules[main.__module__]
    defined = values.flags_by_module_id_dict().get(id(module), [])
    return [flag.name for flag in defined]
