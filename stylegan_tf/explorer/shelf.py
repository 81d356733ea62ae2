"""The models that the page offers, opened when they are first chosen."""

import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from stylegan_tf.explorer.engine import Engine

MOST_OPEN = 4  # models in memory; the one that was not used for longest goes


class Shelf:
    """Engines by the paths of their models.

    Args:
        paths: of the models, the first of which a tab begins with.
        open_engine: makes the engine of a path.
    """

    def __init__(self, paths: Sequence[str], open_engine: Callable[[str], Engine]):
        self.paths = list(dict.fromkeys(paths))
        self._open_engine, self._lock = open_engine, threading.Lock()
        self._open: dict[str, Engine] = {}

    @property
    def names(self) -> dict[str, str]:
        """Path -> what a menu calls it: the end of the path, or all of it."""
        ends = [Path(path).name for path in self.paths]
        return {
            path: end if ends.count(end) == 1 else path
            for path, end in zip(self.paths, ends, strict=True)
        }

    def engine(self, path: str | None = None) -> Engine:
        """Returns the engine of a model, by default of the first.

        Raises:
            UserError: the model cannot be opened.
        """
        path = self.paths[0] if path is None else path
        with self._lock:
            engine = self._open.pop(path, None) or self._open_engine(path)
            self._open[path] = engine  # the last one used
            for old in list(self._open)[:-MOST_OPEN]:
                del self._open[old]
        return engine
