"""Start, errors and exit codes of all launch scripts; their flags are in `parsing`.

A script is its docstring, its flags and a `main`:

    FLAGS, define = cli.flag_set()
    define.integer("rows", 4, "Rows of the figure.", lower_bound=1, upper_bound=64)

    def main(argv):
        ...

    if __name__ == "__main__":
        cli.run(main, FLAGS)

`--help` prints the docstring and the script's own flags, without importing anything
large: scripts import what they need inside `main`. Numbers have bounds, and `~` stands
for the home folder wherever a flag names a path. What goes wrong is said in a line or
two, without a traceback. Exit codes: 0 done; 2 what you can mend, a flag, a file or a
full disk; 1 anything else, such as a check that found damage or too little memory; 75
another worker is gone, and the same command goes on; 128 + n ended by signal n: 130 is
Ctrl-C, 143 SIGTERM.
"""

import contextlib
import os
import re
import sys
import tempfile
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import IO

from absl import app, flags, logging

os.environ.setdefault("STYLEGAN_TF_LAZY", "1")  # a quick --help; before the package

from stylegan_tf_launch import outputs, parsing
from stylegan_tf_launch.parsing import (
    MOST,
    SEED,
    bounds,
    define_address,
    expand_home,
    flag_set,
    refuse_flags,
)

from stylegan_tf import signals
from stylegan_tf.command_line import as_typed
from stylegan_tf.errors import UserError, WorkerLostError
from stylegan_tf.files import home_path
from stylegan_tf.remote import is_remote

__all__ = [
    "AGAIN",
    "MODEL",
    "MOST",
    "SEED",
    "announce_loading",
    "bounds",
    "check_model",
    "define_address",
    "expand_home",
    "find_encoder",
    "find_models",
    "flag_set",
    "load_tensorflow",
    "make_folder",
    "refuse_flags",
    "run",
]

# Keras imports these where they are installed, for wrappers and plots that no script
# here uses; they take longer to load than the rest of Keras.
_UNUSED_BY_KERAS = ("sklearn", "matplotlib", "pandas", "IPython")
# Help of --model, the same in every script.
MODEL = (
    "A run's folder, a .keras or .safetensors file, a checkpoint such as "
    "RUN/checkpoints/ckpt-1000, a tuned .npz of project.py, or a .pkl or .pt of "
    "another project; its address, such as hf://user/name; or demo, the model that "
    "comes with the package."
)
ENCODER = "encoder.keras"  # of a model, beside it
AGAIN = 75  # exit code: the same command goes on (EX_TEMPFAIL of sysexits.h)
MOST_WORDS = 4000  # characters of a message
SOON = 0.1  # seconds, see `announce_loading`


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
        if parsing.asks_for_help(argv):
            print(parsing.manual(main, flag_values, argv[0]), flush=True)
            sys.exit(0)
        if "--version" in argv[1:]:
            print(parsing.version_text(), flush=True)
            sys.exit(0)
        try:
            rest = parsing.parse(main, flag_values, argv)
        except UserError as error:
            sys.exit(_fail(str(error), 2))
        if flag_values is not flags.FLAGS:
            flags.FLAGS.mark_as_parsed()  # absl.app insists
        return rest

    def work(rest: Sequence[str]) -> int | None:
        with outputs.outputs_at_addresses(flag_values):
            return main(rest)

    try:
        app.run(lambda rest: _exit_code(work, rest), argv, flags_parser=parse)
    except KeyboardInterrupt as e:
        sys.exit(_interrupted(e))
    except OSError as e:  # the reader of our output went away, such as `| head`; or a
        _drop_output()  # full disk has taken none of it
        if isinstance(e, BrokenPipeError):
            sys.exit(1)
        sys.exit(_fail(f"the output cannot be written: {e.strerror}", 2))


def _drop_output() -> None:
    """Sends what is left of standard output nowhere: it would fail again at exit."""
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _set_environment() -> None:
    """Makes any name printable, and sets what TensorFlow reads while loading.

    A console or a log may know fewer characters than a file's name has; what it does
    not know is printed as an escape. Variables that the user has set stay.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed by who started this process
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
        if hasattr(getattr(sys, name), "reconfigure"):
            getattr(sys, name).reconfigure(errors="backslashreplace")
    # The optimizer of graphs reports a fusion that it gives up as an error; level 3
    # is needed to keep that from the screen.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    logging.set_verbosity(logging.WARNING)


_said_loading = threading.Event()


def announce_loading() -> None:
    """Lets `load_tensorflow` be announced soon, though other imports come before it.

    A message about wrong flags, which comes at once, stays alone.
    """
    timer = threading.Timer(SOON, _say_loading)
    timer.daemon = True
    timer.start()


def _say_loading() -> None:
    if not _said_loading.is_set() and "tensorflow" not in sys.modules:
        _said_loading.set()
        print("loading TensorFlow ...", file=sys.stderr, flush=True)


def load_tensorflow(
    exact: bool = False, cluster: bool = False, models: Sequence[str | None] = ()
) -> None:
    """Imports TensorFlow without the lines that its libraries print while loading.

    The lines come from C++, before any log level is in force. They are printed if the
    import fails. Since it takes seconds, it is announced.

    Args:
        exact: True turns TF32 off on GPUs, so that every script draws the same image
            of a seed; training prefers the speed of TF32 (see `stylegan_tf.devices`).
        cluster: True for one of several workers, which must be set up before any device
            is used.
        models: paths of models to be opened, for which TensorFlow is loaded.

    Raises:
        UserError: there is no model at a path; at an address it is not looked for yet.
    """
    find_models(models)
    _say_loading()
    sys.stderr.flush()
    with (
        tempfile.TemporaryFile() as hidden,
        _stderr_to(hidden),
        _hide_modules(_UNUSED_BY_KERAS),
    ):
        try:
            import tensorflow as tf

            if not cluster and "TF_CONFIG" not in os.environ:
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
        return _interrupted(e)
    except BrokenPipeError:
        raise
    except Exception as error:
        sentence = _sentence(error)
        if sentence:
            return _fail(*sentence)
        traceback.print_exc()
        return _fail(
            "this is a mistake in stylegan_tf, not yours. Please report it with the "
            "lines above and the command; what was saved before is safe."
        )


def _sentence(error: Exception) -> tuple[str, int] | None:
    """Returns the message and exit code of an error; None if it is a mistake of ours.

    Errors without a message of their own are those of the system: files, folders,
    disks, encodings, memory.
    """
    if isinstance(error, WorkerLostError):
        return str(error), AGAIN
    if isinstance(error, UserError):
        return str(error), 2
    if isinstance(error, MemoryError):
        return f"not enough memory: {error or 'fewer or smaller pictures may do'}", 1
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's
        reason = str(error).splitlines()[0][:200]
        advice = "a smaller --batch, or --accumulate in training, may do"
        return f"not enough memory: {reason}; {advice}.", 1
    if isinstance(error, FileExistsError):
        return f"{error.filename} is there already, and is no folder.", 2
    if isinstance(error, OSError):
        reason = error.strerror or (str(error).splitlines() or ["a file failed"])[0]
        return f"{reason}: {error.filename}" if error.filename else reason, 2
    if isinstance(error, UnicodeError):
        return f"a name or a text is not UTF-8: {error}", 2
    if isinstance(error, ValueError) and str(error).startswith("embedded null"):
        return "a path holds a null character, which no file's name has.", 2
    return None


def _interrupted(error: KeyboardInterrupt) -> int:
    name = str(error) if isinstance(error, signals.Stopped) else "SIGINT"
    text = "interrupted" if name == "SIGINT" else f"stopped by {name}"
    print(f"\n{text}", file=sys.stderr)
    return signals.exit_code(name)


def make_folder(path: Path | str) -> None:
    """Creates a folder, before the work whose files it is for begins.

    Raises:
        OSError: the folder cannot be created, or written to.
    """
    Path(path).mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=path):
        pass


def _fail(message: str, code: int = 1) -> int:
    _said_loading.set()  # no longer
    try:
        sys.stdout.flush()
    except OSError:
        _drop_output()
    message = re.sub(r"\S{1000,}", lambda m: f"{m[0][:200]}...{m[0][-50:]}", message)
    print(f"error: {as_typed(message[:MOST_WORDS])}", file=sys.stderr)
    return code


def find_models(paths: Sequence[str | None]) -> None:
    """Looks for models, before the work that they are opened for begins.

    Raises:
        UserError: there is no model at a path. Those at addresses are not looked for.
    """
    from stylegan_tf import model_files

    for path in paths:
        if path and not is_remote(path):
            model_files.find_model(path)


def check_model(path: str | None) -> None:
    """Raises `UserError` if --model was not given."""
    if not path:
        raise UserError("name a model with --model=..., such as a folder in runs/.")


def find_encoder(model: str) -> str | None:
    """Returns the encoder's file in a run directory, or beside a model's file.

    Of a model that comes with the package it is in the current folder, where encode.py
    writes it.
    """
    if is_remote(model):
        return None
    path = home_path(model)
    file = (path if path.is_dir() else path.parent) / ENCODER
    return str(file) if file.is_file() else None
