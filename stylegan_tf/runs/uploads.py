"""Runs at an address: `--out=gs://bucket/runs` is worked on here and uploaded.

The run directory lies in the cache folder of this machine. It is pulled down when the
run goes on, and uploaded after each tick and at the end. A network that fails costs a
line in the log, never the run.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path

from stylegan_tf.errors import UserError
from stylegan_tf.mirror import Mirror, mirror_folder
from stylegan_tf.remote import Address, is_remote
from stylegan_tf.runs import rundir
from stylegan_tf.runs.reports import Report
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.training.trainer import Trainer


class Uploads(Report):
    """Uploads a run after each tick; does nothing for runs on a disk.

    Args:
        request: names the folder of the runs, or a run to continue.

    Attributes:
        request: the same, with folders of this machine.
        url: address of the runs, or None.

    Raises:
        UserError: the address cannot be read, or has no such run.
    """

    def __init__(self, request: RunRequest):
        self.request, self.url = request, None
        self._mirror: Mirror | None = None
        given = request.resume if request.names_a_run else request.out
        if not is_remote(given):
            return
        url, name = given.rstrip("/"), ""
        if request.names_a_run:
            url, _, name = url.rpartition("/")
        self.url, self._folder = url, mirror_folder(url, request.cache)
        resume = str(self._folder / name) if name else request.resume
        self.request = dataclasses.replace(
            request, out=str(self._folder), resume=resume
        )
        if not name:
            self.fetch_settings()
        elif not self._of(name).pull():
            raise UserError(f"{given} is not a run directory: there is nothing.")

    def _of(self, name: str) -> Mirror:
        return Mirror(f"{self.url}/{name}", self._folder / name)

    def fetch_settings(self) -> None:
        """Copies `config.json` of each run at the address, to find the one to continue.

        Raises:
            UserError: the address cannot be read.
        """
        if self.url is None:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        for file in sorted(Address(self.url).entries()):
            name, _, rest = file.partition("/")
            if rest == "config.json" and not (self._folder / name).exists():
                self._of(name).pull((rest,))

    def fetch_run(self, path: Path) -> None:
        """Copies a whole run from the address, if another machine has changed it.

        Raises:
            UserError: the address cannot be read.
        """
        if self.url is not None:
            self._of(path.name).pull()

    def begin(self, run: rundir.Run) -> rundir.Run:
        """Copies a run from the address, and uploads it from now on.

        The chief alone calls this.

        Returns:
            The run as it is now.

        Raises:
            UserError: the address cannot be read or written.
        """
        if self.url is None:
            return run
        self.fetch_run(run.path)
        found = rundir.read_run(run.path)
        if rundir.changed_settings(run.config, found.config):
            raise UserError(f"{self.url} got another run {run.path.name}; start again.")
        self._mirror = self._of(run.path.name)
        self._mirror.finish()
        return found

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Uploads what is new, in a thread of its own."""
        if self._mirror:
            self._mirror.push()

    @contextlib.contextmanager
    def until_the_end(self) -> Iterator[None]:
        """Uploads all that is left when the context ends, however it ends.

        Raises:
            UserError: the work was done, but could not be uploaded.
        """
        try:
            yield
        except BaseException:
            if self._mirror:
                try:
                    self._mirror.finish()
                except UserError as error:  # the work's own error is told to the user
                    print(error, file=sys.stderr)
            raise
        if self._mirror:
            self._mirror.finish()
            print(f"uploaded to {self._mirror.url}")
