"""Holds back what the C++ libraries behind converters and runtimes print.

They write to the process's own stderr, below Python and its log levels. What was held
back is shown if the work fails.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Nothing that is written to file descriptor 2 in here is seen, unless it fails."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as held:
        kept = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            _show(held, kept)
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)


def _show(held, to: int) -> None:
    sys.stderr.flush()
    held.seek(0)
    os.write(to, held.read())
