"""Event files that do not grow without bound.

TensorBoard reads the files of a folder one after the other, in the order of their
names, and never looks back. So one file is written at a time; when it is full a new
one is begun, and the images go from files that are older than all that is kept.
"""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import tensorflow as tf

from stylegan_tf.data import pipeline
from stylegan_tf.files import atomic_write
from stylegan_tf.metrics.results import AXIS, images_per_step

FILE_BYTES = 64 << 20  # a file that has more is closed
PANEL_BYTES = 256 << 20  # of closed files, newest first, which keep their images
_SMALL = 1 << 20  # a file that is not worth looking into
_KEPT = {"reals"}  # images that are written once


class EventFiles:
    """The event files of a run directory.

    Args:
        folder: the run directory.

    Attributes:
        first: True if the folder had no event file.
        images_per_step: 1000, or 1 for a run of an earlier version.
    """

    def __init__(self, folder: Path | str):
        self.folder = Path(folder)
        before = event_files(self.folder)
        self.first = not before
        self.images_per_step = images_per_step(self.folder)
        self._writer: tf.summary.SummaryWriter | None = None
        drop_old_images(before, PANEL_BYTES)

    @contextlib.contextmanager
    def writing(self, nimg: int) -> Iterator[None]:
        """Writes all summaries of the context, at so many images seen.

        The axis of TensorBoard is in thousands of images.

        A full disk cuts the event file short, and nobody reads what would follow. So
        the next summaries go to a new file, as they do when a file has grown full.
        """
        try:
            if self._writer is None:
                self._open()
            with self._writer.as_default(step=nimg // self.images_per_step):
                yield
            self._writer.flush()
        except tf.errors.OpError:
            self._writer = None
            raise
        if os.path.getsize(self.path) > FILE_BYTES:
            self.close()
            drop_old_images(event_files(self.folder), PANEL_BYTES)

    def _open(self) -> None:
        before = set(event_files(self.folder))
        suffix = f"{AXIS}.v2" if self.images_per_step > 1 else ".v2"
        self._writer = tf.summary.create_file_writer(
            str(self.folder), filename_suffix=suffix
        )
        self._writer.flush()
        (self.path,) = set(event_files(self.folder)) - before

    def close(self) -> None:
        """Closes the file; what is written later goes to a new one."""
        if self._writer is not None:
            self._writer.close()
        self._writer = None


def event_files(folder: Path) -> list[Path]:
    """The event files of a folder, oldest first."""
    names = [n for n in os.listdir(folder) if n.startswith("events.out.tfevents.")]
    return [folder / name for name in sorted(names, key=_age)]


def _age(name: str) -> list[tuple[int, object]]:
    """Sorts by time, and within a second by the process's number of the file."""
    parts = name.split(".")
    return [(0, int(p)) if p.isdecimal() else (1, p) for p in parts]


def drop_old_images(closed: list[Path], most: int) -> None:
    """Rewrites the oldest files without their images, all numbers kept.

    Args:
        closed: event files that nobody writes, oldest first.
        most: bytes of the newest of them, which stay as they are.
    """
    total = 0
    for path in reversed(closed):
        size = os.path.getsize(path)
        total += size
        if total > most and size > _SMALL:
            _without_images(path)


def _without_images(path: Path) -> None:
    with atomic_write(path) as draft, tf.io.TFRecordWriter(str(draft)) as out:
        try:
            records = pipeline.untuned(tf.data.TFRecordDataset(str(path)))
            for record in records.as_numpy_iterator():
                event = tf.compat.v1.Event.FromString(record)
                values = list(event.summary.value)
                kept = [v for v in values if not _is_image(v) or v.tag in _KEPT]
                if len(kept) < len(values):
                    del event.summary.value[:]
                    event.summary.value.extend(kept)
                if kept or not values:
                    out.write(event.SerializeToString())
        except tf.errors.DataLossError:
            pass  # cut short by a kill: what stands before it is kept


def _is_image(value: tf.compat.v1.Summary.Value) -> bool:
    return value.metadata.plugin_data.plugin_name == "images"
