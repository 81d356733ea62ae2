"""Flags, help, errors and exit codes of all launch scripts.

A script is its docstring, its flags and a `main`:

    FLAGS, define = cli.flag_set()
    define.integer("rows", 4, "Rows of the figure.")

    def main(argv):
        ...

    if __name__ == "__main__":
        cli.run(main, FLAGS)

`--help` prints the docstring and the script's own flags, without importing anything
large: scripts import what they need inside `main`. A `UserError` is printed in one or
two lines, without a traceback. Exit codes: 0 done, 1 it cannot be done, 2 the command
line is wrong, 128 + n ended by signal n: 130 is Ctrl-C, 143 SIGTERM.
"""

import contextlib
import difflib
import functools
import os
import shutil
import sys
import tempfile
import textwrap
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO

from absl import app, flags, logging

os.environ.setdefault("STYLEGAN_TF_LAZY", "1")  # a quick --help; before the package

from stylegan_tf import signals
from stylegan_tf.errors import UserError

# Keras imports these where they are installed, for wrappers and plots that no script
# here uses; they take longer to load than the rest of Keras.
_UNUSED_BY_KERAS = ("sklearn", "matplotlib", "pandas", "IPython")
_HELP = {"-h", "-help", "--help", "-?", "--helpfull", "--helpshort"}
_INDENT = " " * 6
# Help of --model, the same in every script.
MODEL = (
    "A run's folder, a .keras file, a checkpoint such as RUN/checkpoints/ckpt-1000, or "
    "a .pkl or .pt of another project."
)


def flag_set() -> tuple[flags.FlagValues, SimpleNamespace]:
    """Makes the flags of a script; `define.x` is absl's `DEFINE_x` for them."""
    values = flags.FlagValues()
    kinds = ("string", "integer", "float", "bool", "boolean", "enum", "list")
    kinds += ("multi_string", "multi_integer", "multi_float", "multi_enum")
    functions = {kind: getattr(flags, f"DEFINE_{kind}") for kind in kinds}
    bound = {k: functools.partial(f, flag_values=values) for k, f in functions.items()}
    return values, SimpleNamespace(**bound)


def run(
    main: Callable[[Sequence[str]], int | None],
    flag_values: flags.FlagValues = flags.FLAGS,
    argv: Sequence[str] | None = None,
) -> None:
    """Parses the command line, runs `main` and exits the process.

    Args:
        main: gets the program's name in a list; its module's docstring is the manual.
        flag_values: where the script defined its flags.
        argv: program and arguments, `sys.argv` if not given.
    """
    argv = list(sys.argv if argv is None else argv)
    _set_environment()

    def parse(argv: list[str]) -> list[str]:
        rest = _parse(main, flag_values, argv)
        if flag_values is not flags.FLAGS:
            flags.FLAGS.mark_as_parsed()  # absl.app insists
        return rest

    try:
        app.run(lambda rest: _exit_code(main, rest), argv, flags_parser=parse)
    except BrokenPipeError:  # the reader of our output went away, such as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


def _set_environment() -> None:
    """Sets the variables that TensorFlow reads while loading, if the user has not."""
    # The optimizer of graphs reports a fusion that it gives up as an error; level 3
    # is needed to keep that from the screen.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # On by default only for processors with AVX-512; without it the gradients of
    # convolutions run several times slower on the others.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    logging.set_verbosity(logging.WARNING)


def load_tensorflow(exact: bool = False) -> None:
    """Imports TensorFlow without the lines that its libraries print while loading.

    The lines come from C++, before any log level is in force. They are printed if the
    import fails.

    Args:
        exact: True turns TF32 off on GPUs, so that every script draws the same image
            of a seed; training prefers the speed of TF32 (see `stylegan_tf.devices`).
    """
    sys.stderr.flush()
    with (
        tempfile.TemporaryFile() as hidden,
        _stderr_to(hidden),
        _hide_modules(_UNUSED_BY_KERAS),
    ):
        try:
            import tensorflow as tf

            if "TF_CONFIG" not in os.environ:  # a cluster must be set up first
                tf.config.list_logical_devices()
            if exact:
                tf.config.experimental.enable_tensor_float_32_execution(False)
        except BaseException:
            hidden.seek(0)
            sys.stdout.write(hidden.read().decode(errors="replace"))
            raise


@contextlib.contextmanager
def _hide_modules(names: Sequence[str]) -> Iterator[None]:
    """Makes packages that are not loaded yet look as if they were not installed.

    None in `sys.modules` makes an import fail (the import system's reference, 5.3.1).
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


@contextlib.contextmanager
def _stderr_to(file: IO[bytes]) -> Iterator[None]:
    stderr = os.dup(2)
    os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)


def _exit_code(main: Callable[[Sequence[str]], int | None], argv: Sequence[str]) -> int:
    """Runs `main`; prints an error that the user can mend in a line."""
    try:
        with signals.handled(signals.stop_at_once):
            code = main(argv) or 0
        sys.stdout.flush()
        return code
    except KeyboardInterrupt as e:
        name = str(e) if isinstance(e, signals.Stopped) else "SIGINT"
        text = "interrupted" if name == "SIGINT" else f"stopped by {name}"
        print(f"\n{text}", file=sys.stderr)
        return signals.exit_code(name)
    except BrokenPipeError:
        raise
    except UserError as e:
        return _fail(str(e))
    except MemoryError as e:
        return _fail(f"not enough memory: {e or 'fewer or smaller pictures may do'}")
    except FileExistsError as e:
        return _fail(f"{e.filename} is there already, and is no folder.")
    except OSError as e:
        if not e.strerror:
            raise
        return _fail(f"{e.strerror}: {e.filename}" if e.filename else e.strerror)


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


def make_folder(path: Path | str) -> None:
    """Creates a folder, before the work whose files it is for begins.

    Raises:
        OSError: the folder cannot be created, or written to.
    """
    Path(path).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass


def _fail(message: str, code: int = 1) -> int:
    sys.stdout.flush()
    print(f"error: {message}", file=sys.stderr)
    return code


def check_model(path: str | None) -> None:
    """Raises `UserError` if --model was not given."""
    if not path:
        raise UserError("name a model with --model=..., such as a folder in runs/.")


# ---------------------------------------------------------------------------
# The command line


def _parse(main: Callable, values: flags.FlagValues, argv: list[str]) -> list[str]:
    """Parses `argv`; after the manual or an error message it exits."""
    if _HELP & {arg.partition("=")[0] for arg in argv[1:]}:
        print(manual(main, values, argv[0]), flush=True)
        sys.exit(0)
    for name in values:
        values[name].unparse()  # a process may run a script twice
    try:
        rest = values(argv)
    except flags.UnrecognizedFlagError as e:
        near = difflib.get_close_matches(e.flagname, _flag_names(main, values))
        hint = f"did you mean --{near[0]}?" if near else "see --help."
        sys.exit(_fail(f"there is no flag --{e.flagname}; {hint}", 2))
    except flags.Error as e:
        sys.exit(_fail(f"{str(e).strip()}; see --help.", 2))
    for name in _flag_names(main, values):  # --seeds=$SEEDS, and there is no SEEDS
        flag = values[name]
        if flag.present and flag.default is None and flag.value == "":
            sys.exit(_fail(f"--{name}= has no value; see --help.", 2))
    if len(rest) > 1:
        message = (
            f"unexpected argument {rest[1]!r}; settings are given as --name=value."
        )
        sys.exit(_fail(message, 2))
    return rest


def manual(main: Callable, values: flags.FlagValues, program: str) -> str:
    """The help text: the docstring of `main`'s module, then its flags."""
    width = min(shutil.get_terminal_size().columns, 88)
    names = _flag_names(main, values)
    shown = [_describe(values[name], width) for name in names]
    more = "--flagfile=FILE\n" + _INDENT + "Read flags from a file, one per line."
    doc = (sys.modules[main.__module__].__doc__ or "").strip()
    head = f"{doc}\n\nFlags of {Path(program).name}:\n"
    return "\n".join([head, *shown, more])


def _describe(flag: flags.Flag, width: int) -> str:
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
        text += f" (default: {flag.default_as_str.strip(chr(39))})"
    lines = textwrap.wrap(
        text, width, initial_indent=_INDENT, subsequent_indent=_INDENT
    )
    return "\n".join([name, *lines])


def _flag_names(main: Callable, values: flags.FlagValues) -> list[str]:
    """Flags that `main`'s module defines, in their order there."""
    module = sys.modules[main.__module__]
    defined = values.flags_by_module_id_dict().get(id(module), [])
    return [flag.name for flag in defined]
