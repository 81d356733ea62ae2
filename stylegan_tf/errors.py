"""The exception whose message is written for the person at the keyboard.

Raise `UserError` when a request cannot be done and the user can mend it. The message
says what was received, what was expected and what to do. The launch scripts print it
in one or two lines, without a traceback.
"""

from stylegan_tf.command_line import as_typed

MOST_SHOWN = 300  # characters of another error in a message


class UserError(ValueError):
    """A request that cannot be done; the message says what to do instead.

    Scripts that it names are those that the user can type, see `command_line`.
    """

    def __str__(self) -> str:
        return as_typed(super().__str__())


class DiskError(UserError):
    """Something could not be written; the message says what is safe."""


class WorkerLostError(UserError):
    """One of several machines is gone; the same command on all of them goes on."""


def one_line(error: Exception) -> str:
    """Returns the first line of an error for a message, printable and not too long.

    Errors repeat what is in a file, which may hold control characters or no line end.
    """
    lines = str(error).splitlines() or [type(error).__name__]
    line = "".join(c if c.isprintable() else "?" for c in lines[0][: MOST_SHOWN + 1])
    return line if len(line) <= MOST_SHOWN else f"{line[: MOST_SHOWN - 3]}..."
