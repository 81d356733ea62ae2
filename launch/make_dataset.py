"""Makes a data set for training out of pictures, or checks one.

    python launch/make_dataset.py --source=photos/ --dest=data/photos --resolution=256
    python launch/make_dataset.py --source=photos.zip --dest=data/photos --labels=none
    python launch/make_dataset.py --source=tfds:cifar10 --dest=data/cifar10 --download
    python launch/make_dataset.py --dest=data/photos --check
    python launch/make_dataset.py --source=photos/ --dest=data/photos --layout=official

A data set is one folder: TFRecords of the pictures at every resolution from 4 up, and
a manifest. Pictures may be of any size and kind; each is turned upright, cropped,
resized and converted as asked. Those that cannot be used are left out and listed with
the reason in skipped.csv. All cores work. An interrupted conversion leaves nothing
that looks finished; the same command takes it up again.

--layout=official writes the files of the official tools instead, for programs that
want those: NAME-r02.tfrecords, NAME-r03.tfrecords, ... and NAME-rxx.labels, where NAME
is the folder's name. Pictures are then squares of a power of two. Training reads both.

Labels come from dataset.json ({"labels": [["file.png", 0], ...]}), labels.csv (columns
file,label) or the names of sub-folders, whichever is there first. Classes are numbered
from 0 in the order of their numbers or names; lists of numbers are label vectors.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from stylegan_tf_launch import cli

from stylegan_tf.command_line import command_words

if TYPE_CHECKING:
    from stylegan_tf.data.manifest import Manifest

MOST_IMAGES, MOST_WORKERS = 1_000_000_000, 256

FLAGS, define = cli.flag_set()
define.path(
    "source",
    None,
    "Where the pictures are: a folder or a zip (sub-folders may be classes), a folder "
    "of official multi-resolution TFRecords, tfds:NAME or tfds:NAME@SPLIT, demo or "
    "demo:N.",
)
define.path("dest", None, "Folder to write, new or empty; or to check.")
define.string(
    "resolution",
    "auto",
    "N for squares or HEIGHTxWIDTH; a small block, its shorter side from 4 to 7, "
    "doubled some times. auto: the largest power of two that half of the pictures "
    "reach; with --crop=none the pictures' own size.",
)
define.enum(
    "crop",
    "center",
    ["center", "pad", "none"],
    "center cuts the middle out, pad shows all of a picture between black bars, none "
    "takes only pictures that have the size already.",
)
define.enum(
    "channels",
    "auto",
    ["auto", "1", "3", "4"],
    "1 is gray, 3 RGB (transparency is laid over white), 4 RGB with transparency. auto "
    "is 1 if all pictures are gray, else 3.",
)
define.path("labels", "auto", "auto, none, or the path of a CSV or JSON file.")
define.enum(
    "layout",
    "records",
    ["records", "official"],
    "How the pictures are laid out in files: records is this package's own, official "
    "that of the official tools.",
)
define.boolean(
    "shuffle",
    True,
    "Store the pictures in a fixed random order, not in the order of their names. "
    "Training shuffles either way.",
)
define.integer(
    "max_images",
    None,
    "Take only so many pictures, chosen at random; with --noshuffle the first.",
    lower_bound=1,
    upper_bound=MOST_IMAGES,
)
define.boolean(
    "strict", False, "Fail if any picture cannot be used, instead of listing it."
)
define.boolean(
    "draft",
    False,
    "Decode JPEGs that are several times too large at a half, a quarter or an eighth "
    "of their size: faster, with pixels that differ by a shade.",
)
define.boolean("download", False, "Let TFDS download what is not there.")
define.integer(
    "workers", None, "Processes to use; one per core if not given.", 1, MOST_WORKERS
)
define.boolean(
    "check",
    False,
    "Read the data set in --dest from end to end instead, in whichever layout it is.",
)


def main(argv: Sequence[str]) -> int:
    """Converts or checks a data set; returns the exit code."""
    from stylegan_tf.errors import UserError

    if not FLAGS.dest:
        raise UserError("give the data set's folder with --dest=FOLDER.")
    if FLAGS.check:
        return _check(FLAGS.dest)
    if not FLAGS.source:
        raise UserError("say where the pictures are with --source=...; see --help.")
    return _make()


def _make() -> int:
    from stylegan_tf.data import records, sources

    source = sources.open_source(FLAGS.source, FLAGS.labels, FLAGS.download)
    source.draft = FLAGS.draft
    for note in source.notes:
        print(note)
    try:
        made = records.write_dataset(
            source,
            FLAGS.dest,
            resolution=FLAGS.resolution,
            crop=FLAGS.crop,
            channels=FLAGS.channels,
            strict=FLAGS.strict,
            max_images=FLAGS.max_images,
            workers=FLAGS.workers,
            layout=FLAGS.layout,
            shuffle=FLAGS.shuffle,
        )
    except KeyboardInterrupt:
        print("\nStopped. The same command goes on from here.")
        raise
    _report(made)
    return 0


def _report(made: "Manifest") -> None:
    from stylegan_tf.config import classes
    from stylegan_tf.data import records

    encodings = [f"{n} {level.encoding}" for n, level in made.levels.items()]
    print(f"Data set in {FLAGS.dest}: {made}")
    print(
        f"  {_size(made.bytes)} on disk, {_size(made.raw_bytes)} as raw pixels "
        f"(levels: {', '.join(encodings)})"
    )
    if made.class_names:
        print(f"  classes: {classes.numbered_names(made.class_names)}")
    if made.skipped:
        listing = made.folder / "skipped.csv"
        print(f"  {made.skipped} left out, listed in {listing}:")
        for line in records.skipped_lines(made.folder):
            print(f"    {line}")
    again = shlex.join([*command_words("train"), f"--data={FLAGS.dest}"])
    print(f"Train on it: {again}")


def _check(dest: str) -> int:
    cli.announce_loading()
    from stylegan_tf.data import records
    from stylegan_tf.data.manifest import Manifest
    from stylegan_tf.data.sources import official

    in_official_layout = official.is_official(Path(dest))
    if not in_official_layout:
        Manifest.load(dest, files=False)  # says so where there is no data set
    cli.load_tensorflow()
    problems = records.check_dataset(dest)
    for problem in problems:
        print(problem)
    if problems:
        noun = "problem" if len(problems) == 1 else "problems"
        print(f"{dest} has {len(problems)} {noun}; convert it again.")
        return 1
    good = (
        "whole, in the official layout" if in_official_layout else "as it was written"
    )
    print(f"{dest} is {good}: {records.read_manifest(dest)}")
    return 0


def _size(count: int) -> str:
    power = max(min((len(str(count)) - 1) // 3, 4), 0)
    return f"{count / 1000**power:.3g} {('bytes', 'kB', 'MB', 'GB', 'TB')[power]}"


if __name__ == "__main__":
    cli.run(main, FLAGS)
