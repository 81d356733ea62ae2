"""Multi-resolution TFRecords of the official StyleGAN tools as a source of images.

A set is a folder of NAME-r02.tfrecords, NAME-r03.tfrecords, ..., one file per level.
Each record holds `shape` [C, H, W] and the raw uint8 `data`. Labels lie beside the
files in NAME-rxx.labels, a NumPy array. `data.official_layout` writes such folders.
"""

import math
import re
from pathlib import Path

import numpy as np

from stylegan_tf.data.images import BadImage, Header, bad_image_reasons
from stylegan_tf.data.sources import labels
from stylegan_tf.data.sources.base import RecordSource
from stylegan_tf.errors import UserError
from stylegan_tf.formats.arrays import load_arrays
from stylegan_tf.formats.tfrecords import parse_example, read_record, scan_records

_CHANNELS = (1, 3, 4)
_KINDS = {b"\xff\xd8\xff": "a JPEG", b"\x89PNG": "a PNG", b"RIFF": "a WebP"}
_PACKED = tuple(_KINDS)
_OFFICIAL = re.compile(r"(?P<name>.+)-r(?P<level>\d\d)\.tfrecords")


def is_official(path: Path) -> bool:
    """Returns True for a folder with NAME-rNN.tfrecords files."""
    return path.is_dir() and any(_OFFICIAL.fullmatch(f.name) for f in path.iterdir())


def official_levels(path: Path) -> dict[int, Path]:
    """Lists the files of an official set by the side of their images, lowest first.

    Raises:
        UserError: the folder holds several sets.
    """
    matches = [m for f in path.iterdir() if (m := _OFFICIAL.fullmatch(f.name))]
    names = sorted({m["name"] for m in matches})
    if len(names) > 1:
        raise UserError(
            f"{path} holds several sets ({', '.join(names)}); "
            f"move each into a folder of its own."
        )
    matches.sort(key=lambda m: m["level"])
    return {1 << int(m["level"]): path / m[0] for m in matches}


class OfficialSource(RecordSource):
    """An official TFRecord directory.

    An image that is wanted smaller than the highest level is read from the lowest
    level that is large enough, as the official code reads it.

    Args:
        path: the folder.
        choice: of labels; "auto" reads NAME-rxx.labels, "none" leaves it.
    """

    def __init__(self, path: Path, choice: str = "auto"):
        self.levels = official_levels(path)
        self.top = max(self.levels)
        super().__init__(path.resolve().name, [self.levels[self.top]])
        self._offsets = {self.top: self.offsets}
        self._check_first()
        self.labels = self._find_labels(path, choice)
        self.notes += self.labels.notes
        self.class_names, self.label_size = self.labels.class_names, self.labels.size

    def fingerprint(self) -> str:
        """See `Source.fingerprint`."""
        stats = [file.stat() for file in self.levels.values()]
        lower = [(stat.st_size, stat.st_mtime_ns) for stat in stats[:-1]]
        return f"{super().fingerprint()} {self.labels.fingerprint()} {lower}"

    def _find_labels(self, path: Path, choice: str) -> labels.Labels:
        files = sorted(path.glob("*.labels"))
        if choice not in ("auto", "none"):
            raise UserError(
                "official TFRecords bring their labels; use --labels=auto or none."
            )
        if choice == "none" or not files:
            return labels.NONE
        rows = load_arrays(files[0]).get("")
        if rows is None or rows.dtype.kind not in "fiub" or len(rows) < len(self):
            shape = "several arrays" if rows is None else f"shape {list(rows.shape)}"
            raise UserError(
                f"{files[0]} holds labels of {shape} for {len(self)} pictures; use "
                f"--labels=none."
            )
        rows = rows[: len(self)]
        if rows.ndim == 1:  # class numbers, of other tools
            names = [self.name_of(i) for i in range(len(self))]
            return labels.from_values(rows.tolist(), names, files[0].name)
        if rows.ndim != 2 or not np.isfinite(rows.astype(np.float32)).all():
            what = "that are not finite" if rows.ndim == 2 else f"of {rows.ndim} axes"
            raise UserError(f"{files[0]} holds labels {what}; use --labels=none.")
        return labels.from_rows(rows)

    def _check_first(self) -> None:
        """Looks at the first record.

        Raises:
            UserError: another program wrote it; says what is in it.
        """
        if not len(self):
            raise UserError(
                f"{self.files[0]} is damaged: it has no records; copy it again."
            )
        try:
            record = self.record(0)
        except BadImage as e:
            raise UserError(
                f"{self.files[0]} holds records of another program: {e.reason}."
            ) from e
        problem = _other_record(record)
        if problem:
            raise UserError(
                f"{self.files[0]} holds records of another program: {problem}. Those "
                f"of the official tools have `shape`, three numbers, and `data`, the "
                f"pixels. Unpack the pictures into a folder, and give that."
            )

    def peek(self, i: int) -> Header:
        """See `Source.peek`."""
        record = self.record(i)
        with bad_image_reasons():
            channels, height, width = record["shape"]
            return Header(height, width, channels == 1)

    def read(self, i: int, size: int) -> tuple[np.ndarray, int | np.ndarray]:
        """See `Source.read`."""
        side = min((n for n in self.levels if n >= size), default=self.top)
        at = int(self._offsets_of(side)[i])
        with bad_image_reasons():
            pixels = official_pixels(read_record(self.levels[side], at))
            return np.ascontiguousarray(pixels.transpose(1, 2, 0)), self.labels[i]

    def _offsets_of(self, side: int) -> np.ndarray:
        """Finds the records of a level, when it is first read: int64 [records]."""
        if side not in self._offsets:
            found = scan_records(self.levels[side])
            if len(found) != len(self):
                raise UserError(
                    f"{self.levels[side]} has {len(found)} records and the highest "
                    f"level {len(self)}; copy or download the set again."
                )
            self._offsets[side] = found
        return self._offsets[side]


def _other_record(record: dict[str, list]) -> str:
    """Describes a record that is none of the official tools; "" if it is one."""
    shape, data = record.get("shape", []), record.get("data", [])
    whole = len(shape) == 3 and all(isinstance(n, int) and n > 0 for n in shape)
    if not whole or not (len(data) == 1 and isinstance(data[0], bytes)):
        shown = [f"`{name}` ({_kind(values)})" for name, values in record.items()]
        return ", ".join(shown[:6]) or "without any feature"
    have, wanted = len(data[0]), math.prod(shape)
    if have == 4 * wanted:
        return f"`data` has 4 bytes for each of {wanted} values, as float32 has"
    if have != wanted and data[0].startswith(_PACKED):
        return f"`data` is {_kind(data)}"
    if shape[0] not in _CHANNELS:
        return f"`shape` is {shape}, and no channels, height and width"
    return ""


def _kind(values: list) -> str:
    if len(values) == 1 and isinstance(values[0], bytes):
        kinds = [kind for start, kind in _KINDS.items() if values[0].startswith(start)]
        return kinds[0] if kinds else f"{len(values[0])} bytes"
    kind = "texts" if values and isinstance(values[0], bytes) else "numbers"
    return f"{len(values)} {kind}"


def official_pixels(data: bytes) -> np.ndarray:
    """Reads a record of an official set: uint8 [channels, height, width]."""
    record = parse_example(data)
    return np.frombuffer(record["data"][0], np.uint8).reshape(record["shape"])
