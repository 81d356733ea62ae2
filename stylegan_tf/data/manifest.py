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

A manifest is read with suspicion: every field has its type and its range, every file is
inside the folder and as long as the manifest says (`make_dataset.py --check` reads them
all and compares their CRC32s).
"""

import dataclasses
import json
import os
import stat
import zlib
from dataclasses import dataclass, field
from pathlib import Path

from stylegan_tf import config
from stylegan_tf.data.fields import Fields
from stylegan_tf.errors import UserError
from stylegan_tf.files import parse_json, read_regular_text, write_text

FILE = "manifest.json"
SKIPPED = "skipped.csv"
FORMAT = "stylegan_tf records"
VERSION = 1
ENCODINGS = ("raw", "png")
AGAIN = "copy it again, or delete it and convert again with make_dataset.py"
_MOST_COUNT = 1 << 40  # images, bytes of a file
_MOST_LABELS = 1 << 20


class DamagedDataError(UserError):
    """A data set that is not as it was written.

    Args:
        problem: what is wrong with it; the remedy is added.
    """

    def __init__(self, problem: str):
        super().__init__(f"{problem}; {AGAIN}.")
        self.problem = problem


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
    def load(cls, folder: str | os.PathLike, files: bool = True) -> "Manifest":
        """Reads the manifest of a data set.

        Args:
            folder: of the data set.
            files: look for its files, too.

        Raises:
            UserError: no data set is there, this version cannot read it, or it is
                damaged.
        """
        path = Path(folder) / FILE
        try:
            manifest = dataclasses.replace(_checked(_read(path)), folder=Path(folder))
        except (FileNotFoundError, NotADirectoryError) as e:
            raise UserError(
                f"{folder} is not a finished data set (it has no {FILE}); "
                f"make one with make_dataset.py --source=... --dest={folder}"
            ) from e
        except OSError as e:
            raise UserError(f"{path} cannot be read: {e.strerror}.") from e
        except ValueError as e:
            raise DamagedDataError(f"{path} is damaged: {e}") from e
        if files:
            manifest.check_files()
        return manifest

    def check_files(self) -> None:
        """Looks for every file.

        Raises:
            DamagedDataError: some are missing, of another size, or outside the folder.
        """
        wrong = []
        for level in self.levels.values():
            for name, size in zip(level.files, level.sizes, strict=True):
                problem = file_problem(self.folder, name, size)
                wrong += [f"{name} {problem}"] if problem else []
        if wrong:
            more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
            raise DamagedDataError(
                f"the data set {self.folder} is damaged: {wrong[0]}{more}"
            )

    def save(self, folder: Path) -> None:
        """Writes the manifest into `folder` in one step."""
        values = {"format": FORMAT, "version": VERSION} | dataclasses.asdict(self)
        del values["folder"]
        write_text(folder / FILE, json.dumps(values, indent=1))

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


def is_dataset(folder: Path) -> bool:
    """Returns True for the folder of a data set, be it damaged.

    A web page's manifest.json, for one, is another file of that name.
    """
    if not (folder / FILE).exists():
        return False
    try:
        values = parse_json(read_regular_text(folder / FILE))
    except (OSError, ValueError):
        values = None
    if isinstance(values, dict) and values.get("format") == FORMAT:
        return True
    return any(folder.glob("[0-9][0-9][0-9][0-9]/*.tfrecords"))


# ---------------------------------------------------------------------------
# Checks


def _read(path: Path) -> dict:
    """Reads the fields of a manifest but for format and version.

    Raises:
        ValueError: it is no manifest, or of another version.
    """
    values = parse_json(read_regular_text(path))
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ValueError(f'it has no "format": "{FORMAT}"')
    version = values.get("version")
    if type(version) is not int or version != VERSION:
        raise ValueError(f"it is of version {version!r:.20}, and {VERSION} is read")
    return {k: v for k, v in values.items() if k not in ("format", "version")}


def _checked(values: dict) -> Manifest:
    """Makes a manifest of its fields.

    Raises:
        ValueError: one is missing, of another type, out of range, or does not fit the
            others.
    """
    fields = Fields(values)
    count = fields.number("count", 1, _MOST_COUNT)
    resolution = fields.number("resolution", 4, config.MAX_RESOLUTION)
    start_shape = fields.numbers("start_shape", 4, config.MAX_RESOLUTION)
    if len(start_shape) != 2 or resolution & (resolution - 1):
        raise ValueError("'resolution' and 'start_shape' are no size that is stored")
    names = fields.texts("class_names")
    label_size = fields.number("label_size", 0, _MOST_LABELS)
    if names and len(names) != label_size:
        raise ValueError(f"'class_names' names {len(names)} of {label_size} classes")
    counts = fields.numbers("shard_counts", 1, _MOST_COUNT)
    if sum(counts) != count:
        raise ValueError(f"'shard_counts' add up to {sum(counts)}, not {count}")
    shape = (start_shape[0], start_shape[1])
    levels = _checked_levels(fields.take("levels"), resolution, shape, len(counts))
    made = Manifest(
        name=fields.text("name"),
        count=count,
        resolution=resolution,
        start_shape=shape,
        channels=fields.number("channels", 1, 4),
        crop=fields.text("crop"),
        class_names=names,
        label_size=label_size,
        shard_counts=counts,
        skipped=fields.number("skipped", 0, _MOST_COUNT),
        plan=fields.text("plan"),
        levels=levels,
    )
    fields.finish()
    return made


def _checked_levels(
    values: object, resolution: int, start_shape: tuple[int, int], shards: int
) -> dict[int, Level]:
    wanted = config.levels(resolution)
    if not isinstance(values, dict) or list(values) != [str(n) for n in wanted]:
        raise ValueError(f"'levels' are not {', '.join(map(str, wanted))}")
    levels = {}
    for n in wanted:
        fields = Fields(values[str(n)], f"level {n}: ")
        level = Level(
            height=fields.number("height", 4, config.MAX_RESOLUTION),
            width=fields.number("width", 4, config.MAX_RESOLUTION),
            encoding=fields.text("encoding", ENCODINGS),
            files=fields.texts("files"),
            sizes=fields.numbers("sizes", 1, _MOST_COUNT),
            crc32=fields.numbers("crc32", 0, (1 << 32) - 1),
        )
        fields.finish()
        if (level.height, level.width) != config.image_shape(start_shape, n):
            raise ValueError(f"level {n} is {level.height}x{level.width}")
        if {len(level.files), len(level.sizes), len(level.crc32)} != {shards}:
            raise ValueError(f"level {n} does not list {shards} files")
        for name in level.files:
            if not _is_inside(name):
                raise ValueError(f"level {n} names the file {name[:60]!r}")
        levels[n] = level
    return levels


def _is_inside(name: str) -> bool:
    """Returns True for a plain relative path."""
    parts = name.split("/")
    odd = any(c in name for c in "\\:\0")
    return not odd and not {"", ".", ".."} & {*parts} and len(name) < 200


def file_problem(folder: Path, name: str, size: int) -> str:
    """Says what is wrong with a file of a data set, "" if nothing is seen from outside.

    Args:
        folder: of the data set.
        name: of the file in it.
        size: bytes that it should have.
    """
    root = os.path.realpath(folder)
    path = os.path.join(root, name)
    if os.path.commonpath([root, os.path.realpath(path)]) != root:
        return "is a link out of the folder"
    try:
        found = os.stat(path)
    except OSError as e:
        missing = isinstance(e, FileNotFoundError)
        return "is missing" if missing else f"cannot be read: {e.strerror}"
    if not stat.S_ISREG(found.st_mode):
        return "is no file"
    if found.st_size != size:
        return f"has {found.st_size} bytes instead of {size}"
    return ""
