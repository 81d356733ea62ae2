"""A folder of pictures into a data set, against a plain loop over Pillow.

    python benchmarks/convert.py
    python benchmarks/convert.py --source=photos/ --resolution=256

The loop is what one writes in ten minutes: open, convert to RGB, crop, resize with
Lanczos, save as PNG, write a record; one process, one size. `make_dataset.py` uses all
cores and writes every level from 4x4 up. Both are processes from their start to their
end, in turns; ours takes up to a second to begin, so a folder of a few files says
little. Without --source, four folders are made: drawn pictures under a texture of
noise, which is as hard to pack as a photograph.
"""

import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from stylegan_tf_launch import cli
from workers.pairing import Results, Timed, in_turns

FLAGS, define = cli.flag_set()
define.string("source", None, "A folder of pictures.")
define.integer("resolution", 256, "For --source.")
define.integer("rounds", 3, "Turns of each.")
define.float("scale", 1.0, "More or fewer pictures.")
define.string("json", None, "Also write the rows here.")

MAKE = Path(__file__).parents[1] / "launch" / "make_dataset.py"
LOOP = """
import io, pathlib, struct, sys, zlib
from PIL import Image
source, dest, size = sys.argv[1], sys.argv[2], int(sys.argv[3])
with open(dest, "wb") as out:
    for path in sorted(pathlib.Path(source).iterdir()):
        image = Image.open(path).convert("RGB")
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
        if side != size:
            image = image.resize((size, size), Image.Resampling.LANCZOS)
        file = io.BytesIO()
        image.save(file, "PNG")
        data = file.getvalue()
        out.write(struct.pack("<QI", len(data), zlib.crc32(data)) + data)
"""


class Folder(NamedTuple):
    """Pictures to convert."""

    name: str
    kind: str  # suffix of the files
    count: int
    size: tuple[int, int]  # width, height
    resolution: int  # to convert to


FOLDERS = (
    Folder("small PNGs", ".png", 8000, (64, 64), 64),
    Folder("large PNGs", ".png", 80, (1024, 1024), 1024),
    Folder("JPEGs of 1 megapixel", ".jpg", 1500, (1152, 864), 256),
    Folder("JPEGs of 12 megapixels", ".jpg", 64, (4000, 3000), 256),
)
DRAFT = "JPEGs of 12 megapixels"  # converted with --draft too


def main(argv: Sequence[str]) -> int:
    """Converts, times and prints the table."""
    columns = ["folder", "pictures", "to", "loop, a second", "ours, a second", "ratio"]
    results = Results(columns, FLAGS.json)

    def compare(*what) -> None:
        row = _compare(*what)
        results.add(list(row.values())[:6], row)

    with tempfile.TemporaryDirectory() as scratch:
        if FLAGS.source:
            source = Path(FLAGS.source)
            count = sum(1 for _ in source.iterdir())
            compare(source.name, source, count, FLAGS.resolution, scratch)
        for folder in () if FLAGS.source else FOLDERS:
            count = max(int(folder.count * FLAGS.scale), 2)
            source = Path(scratch) / f"{folder.name} in"
            paint(folder._replace(count=count), source)
            what = source, count, folder.resolution, scratch
            compare(folder.name, *what)
            if folder.name == DRAFT:
                compare(f"{DRAFT}, --draft", *what, "--draft")
            shutil.rmtree(source)
    return 0


def _compare(
    name: str, source: Path, count: int, resolution: int, scratch, *more
) -> dict:
    """Pictures a second of both, and the ratio."""
    dest = Path(scratch) / "out"
    loop = [sys.executable, "-c", LOOP, source, Path(scratch) / "loop", resolution]
    make = [sys.executable, MAKE, f"--source={source}", f"--dest={dest}"]
    make += [f"--resolution={resolution}", "--labels=none", *more]

    def ours() -> Timed:
        shutil.rmtree(dest, ignore_errors=True)
        return _timed(make)

    times = in_turns({"loop": lambda: _timed(loop), "ours": ours}, FLAGS.rounds)
    return {
        "folder": name,
        "pictures": count,
        "to": resolution,
        "loop": count / times["loop"].wall,
        "ours": count / times["ours"].wall,
        "ratio": times["loop"].wall / times["ours"].wall,
        "cpu_ratio": times["loop"].cpu / times["ours"].cpu,
    }


def _timed(command: list) -> Timed:
    """Seconds of a process and of those that it starts."""
    wall, cpu = time.perf_counter(), _cpu_of_children()
    subprocess.run([str(c) for c in command], check=True, capture_output=True)
    return Timed(time.perf_counter() - wall, _cpu_of_children() - cpu)


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def paint(folder: Folder, where: Path) -> None:
    """Draws a folder of textured pictures."""
    from PIL import Image

    where.mkdir(parents=True)
    tiles = [textured(i, folder.size) for i in range(min(folder.count, 32))]
    for i in range(folder.count):
        image = tiles[i % len(tiles)]
        if i >= len(tiles):  # the same again, turned: drawing takes longer than packing
            image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        options = {"quality": 92} if folder.kind == ".jpg" else {"compress_level": 1}
        image.save(where / f"{i:05d}{folder.kind}", **options)


def textured(i: int, size: tuple[int, int]):
    """Picture number i: a face of the demo under noise of two pixels' grain."""
    import numpy as np
    from PIL import Image

    from stylegan_tf.data import demo

    filter_ = Image.Resampling.BICUBIC
    side = min(max(size), demo.SIZES[1])
    face = Image.fromarray(demo.draw_face(i, side)).resize(size, filter_)
    shape = (-(-size[1] // 2), -(-size[0] // 2), 3)
    noise = np.random.RandomState(i).randint(0, 256, shape).astype(np.uint8)
    return Image.blend(face, Image.fromarray(noise).resize(size, filter_), 0.12)


if __name__ == "__main__":
    cli.run(main, FLAGS)
