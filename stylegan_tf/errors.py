"""The one exception whose message is written for the person at the keyboard.

Raise `UserError` when what was asked for cannot be done and the user can mend it:
the message says what was received, what was expected and what to do. The launch
scripts print it in one or two lines, without a traceback.
"""


class UserError(ValueError):
    """Something the user asked for cannot be done; the message says what to do."""
