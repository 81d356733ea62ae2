"""The exception whose message is written for the person at the keyboard.

Raise `UserError` when a request cannot be done and the user can mend it. The message
says what was received, what was expected and what to do. The launch scripts print it
in one or two lines, without a traceback.
"""


class UserError(ValueError):
    """A request that cannot be done; the message says what to do instead."""


class DiskError(UserError):
    """Something could not be written; the message says what is safe."""


class WorkerLostError(UserError):
    """One of several machines is gone; the same command on all of them goes on."""
