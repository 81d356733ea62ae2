"""The manifest: one JSON file that describes a data set on disk.

A data set is a folder:

    manifest.json          counts, sizes, class names, and the CRC32 of every shard
    skipped.csv            the images that were left out, with the reason (if any)
    0004/00000.tfrecords   one folder per level, one file per shard
    ...
    0064/00007.tfrecords

Every level holds the same images in the same order and the same shards, so that
training reads small files while it works on small images. That costs disk: the pixels
of all levels are a third more than those of the highest; as files they are about 40 %
more (textured images of 1024x1024: 1.66 MB the highest level, the rest 0.68 MB). A
record is a `tf.train.Example` with the features

    image          bytes    uint8 pixels [height, width, channels], or a PNG of them
    encoding       bytes    "raw" or "png", the same throughout a level
    height, width, channels   int64
    label          int64    class index; -1 without classes
    label_vector   float    only if labels are vectors
    index          int64    number of the image in its source

The order of the records is a seeded shuffle of the source. The manifest is written
last: a folder without one is no data set.
"""

import dataclasses
import json
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from stylegan_tf import config
from stylegan_tf.errors import UserError

FILE = "manifest.json"
SKIPPED = "skipped.csv"
FORMAT = "stylegan_tf records"
VERSION = 1


@dataclass(frozen=True)
class Level:
    """One resolution of a data set: the size of its images and its shard files."""

    height: int
    width: int
    encoding: str  # "raw" or "png"
    files: list[str]  # relative to the data set's folder, one per shard
    sizes: list[int]  # bytes of each file
    crc32: list[int]  # of each file, as zlib.crc32 computes it

    @property
    def fingerprint(self) -> str:
        """Eight hexadecimal digits that change with any byte of the files."""
        return f"{zlib.crc32(str(self.crc32).encode()):08x}"


@dataclass(frozen=True)
class Manifest:
    """Description of a data set; `Manifest.load(folder)` reads it."""

    name: str
    count: int
    resolution: int  # highest level
    start_shape: tuple[int, int]
    channels: int
    crop: str
    class_names: list[str]
    label_size: int  # width of the labels: classes, or length of the vectors; 0 = none
    shard_counts: list[int]  # records in each shard, the same at every level
    skipped: int
    plan: str  # hash of the source's listing and the settings
    levels: dict[int, Level]
    folder: Path = field(default=Path(), compare=False)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> "Manifest":
        """Reads the manifest of a data set.

        Raises:
            UserError: no data set is there, or this version cannot read it.
        """
        folder = Path(folder)
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            known = values.pop("format") == FORMAT and values.pop("version") == VERSION
            levels = {int(n): Level(**v) for n, v in values.pop("levels").items()}
            start_shape = tuple(values.pop("start_shape"))
            manifest = cls(
                **values, levels=levels, start_shape=start_shape, folder=folder
            )
        except FileNotFoundError as e:
            raise UserError(
                f"{folder} is not a finished data set (it has no {FILE}); "
                f"make one with make_dataset.py --source=... --dest={folder}"
            ) from e
        except (ValueError, KeyError, TypeError, AttributeError) as e:
            raise UserError(
                f"{folder / FILE} is damaged or of another version; convert again."
            ) from e
        if not known:
            raise UserError(f"{folder / FILE} is of another version; convert again.")
        return manifest

    def save(self, folder: Path) -> None:
        """Writes the manifest into `folder` in one step."""
        values = {"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)
        del values["folder"]
        draft = folder / f".{FILE}"
        with open(draft, "w", encoding="utf-8") as f:
            json.dump(values, f, indent=1)
            f.flush()
            os.fsync(f.fileno())
        os.replace(draft, folder / FILE)

    def level(self, resolution: int) -> Level:
        """Returns the level of a resolution.

        Raises:
            UserError: the data set has no such level.
        """
        if resolution not in self.levels:
            raise UserError(
                f"the data set {self.folder} has no level {resolution}; it has "
                f"{', '.join(map(str, self.levels))}. Convert again with --resolution."
            )
        return self.levels[resolution]

    def paths(self, resolution: int) -> list[str]:
        """Lists the shard files of a level."""
        return [str(self.folder / file) for file in self.level(resolution).files]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width of the images at the highest level."""
        return config.image_shape(self.start_shape, self.resolution)

    @property
    def bytes(self) -> int:
        """Size of all shards on disk."""
        return sum(sum(level.sizes) for level in self.levels.values())

    @property
    def raw_bytes(self) -> int:
        """Bytes that the pixels of all levels would take uncompressed."""
        pixels = sum(level.height * level.width for level in self.levels.values())
        return pixels * self.channels * self.count

    def __str__(self) -> str:
        height, width = self.shape
        text = f"{self.count} pictures of {height}x{width}, channels: {self.channels}"
        if self.class_names:
            names = ", ".join(self.class_names[:8])
            more = ", ..." if len(self.class_names) > 8 else ""
            text += f", classes: {len(self.class_names)} ({names}{more})"
        elif self.label_size:
            text += f", label vectors of {self.label_size}"
        return text
