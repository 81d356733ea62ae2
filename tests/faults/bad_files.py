"""Bad inputs of every kind: what a command line, a file or a folder may hold.

`commands` and `files` write what they need below a folder, and say what is called, with
which exit code it must end and what it must say.
"""

import dataclasses
import io
import json
import os
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

GOOD = 3  # sound pictures beside the bad ones
USER, PART = (2,), (0, 2)  # refused; or used as far as it is sound
CHECK = (1, 2)  # damage found, or refused
LONG = "x" * 300


@dataclasses.dataclass
class Case:
    """One bad input.

    Attributes:
        what: the input, in words.
        argv: verb and flags.
        codes: exit codes that are right.
        says: pattern in what is printed.
        seconds: most time that it may take.
        megabytes: most memory that it may take, on top of what the process holds.
    """

    what: str
    argv: list[str]
    codes: tuple[int, ...] = USER
    says: str = r"error: \S"
    seconds: float = 20.0
    megabytes: float = 400.0


# ---------------------------------------------------------------------------
# Command lines

TRAIN = [
    ("snapshot_ticks=0", "snapshot_ticks"),
    ("image_ticks=-1", "image_ticks"),
    ("checkpoint_minutes=nan", "checkpoint_minutes"),
    ("seed=-1", "seed"),
    ("seed=4294967296", "seed"),
    ("seed=" + "9" * 5000, "seed"),
    ("kimg=inf", "kimg"),
    ("kimg=nan", "kimg"),
    ("kimg=-1", "kimg"),
    ("kimg=1e400", "kimg"),
    ("gamma=-1", "gamma"),
    ("gamma=1e300", "gamma"),
    ("batch=0", "batch"),
    ("batch=100000000000000000000", "batch"),
    ("accumulate=0", "accumulate"),
    ("metrics_every=0", "metrics_every"),
    ("metrics=fid" + "9" * 50, "there is no metric"),
    ("resolution=0", "resolution|0x0"),
    ("resolution=8x" + "9" * 5000, "resolution"),
    ("preset=F", "preset"),
    ("resume=/", "not a run"),
    ("init=/", "no model"),
    ("init=.", "no model|folder of runs"),
    ("init=" + LONG, "no model|too long"),
    ("data=demo:100000000000000000000", "demo"),
    ("data=demo:-1", "demo"),
    ("data=demo:x", "demo"),
    ("data=/", "picture|look into"),
    ("data=" + LONG, "too long|there is no"),
    ("data=tfds:", "TFDS"),
    ("labels=/nowhere.csv", "nowhere"),
]
SETTINGS = [
    "generator.z_dim=0",
    "generator.z_dim=34000000000",
    "generator.mapping_width=0",
    "generator.fmap_max=0",
    "generator.fmap_decay=NaN",
    "generator.fmap_decay=" + "9" * 5000,
    "generator.blur_filter=[0,0,0]",
    "generator.blur_filter=[1e999]",
    'generator.blur_filter="abc"',
    "generator.start_shape=[4,0]",
    "generator.start_shape=[4]",
    "generator.resolution=12",
    "generator.stylegan3.layers=1",
    "generator.style_mixing_prob=-0.1",
    "discriminator.mbstd_group=-4",
    "loss.r1_gamma=-1",
    "loss.g_loss=lsgan",
    "loss.pl_decay=2",
    "schedule.lr=-1",
    "schedule.lr=inf",
    "schedule.tick_kimg=0",
    'schedule.batch_at={"7":3}',
    'schedule.batch_at={"8":0}',
    "schedule.batch_at=" + "[" * 100_000,
    'schedule.batch_at={"8":{"8":{}}}',
    "augment.p=2",
    "augment.policy=colour",
    "adam_beta1=2",
    "adam_epsilon=-1",
    "ema_kimg=-1",
    "seed=1.5",
    "mirror=maybe",
    "data=",
    "loss=1",
    "loss.=1",
    "=1",
    "nothing",
    "no.such.thing=1",
]
GENERATE = [
    ("seeds=0-1000000000000", "above"),
    ("seeds=0-4294967295", "too many"),
    ("seeds=" + ",".join(["0-999999"] * 9), "too many"),
    ("seeds=" + "9" * 5000, "above|largest"),
    ("seeds=-1", "neither"),
    ("seeds=٣", "neither"),
    ("seeds=3-1", "backwards"),
    ("seeds=,", "neither"),
    ("psi=nan", "psi"),
    ("psi=1e999", "psi"),
    ("psi=" + ",".join(["1"] * 99), "psi"),
    ("psi_sweep=x", "psi"),
    ("cutoff=100000000000000000000", "cutoff"),
    ("classes=3", "class"),
    ("mix=1@99", "layer"),
    ("mix=@", "mix"),
    ("edit=pca0:nan", "edit"),
    ("edit=nothing:1", "nothing"),
    ("edit=pca99999999999999999999:1", "pca"),
    ("edit=pca0:1@" + "9" * 5000, "layer"),
    ("grid=/", "PNG"),
    ("grid=" + LONG + ".png", "too long"),
    ("grid=/proc/x.png", "/proc"),
    ("save_latents=x", "npz"),
    ("video=x.avi", "film|mp4"),
    ("columns=0", "columns"),
    ("model=/", "no model"),
    ("model=.", "no model|folder of runs"),
    ("model=" + LONG, "no model|too long"),
    ("model=/dev/null", "no model"),
]
MORE = [
    ("generate", ["--video=x.gif", "--fps=inf"], "fps"),
    ("generate", ["--video=x.gif", "--frames=0"], "frames"),
    ("generate", ["--video=x.gif", "--fps=51"], "second"),
    ("figures", ["--rows=0"], "rows"),
    ("figures", ["--figure=mixing", "--styles=99"], "layer"),
    ("figures", ["--figure=truncation", "--out=x.txt"], "picture"),
    ("directions", ["--count=0"], "count"),
    ("directions", ["--psi=nan"], "psi"),
    ("project", ["--images=/nowhere"], "nowhere"),
    ("project", ["--images=demo:99999999999999999999"], "demo"),
    ("project", ["--target_seeds=0", "--lr=nan"], "lr"),
    ("project", ["--target_seeds=0", "--loss=lpips:/nowhere"], "nowhere"),
    ("project", ["--target_seeds=0", "--loss=lpips:/dev/zero"], "device|file"),
    ("evaluate", ["--data=demo:16", "--metrics=fid0"], "there is no metric"),
    ("evaluate", ["--data=demo:16", "--metrics=,"], "metric"),
    ("evaluate", ["--data=demo:16", "--num=0"], "num"),
    ("evaluate", ["--data=demo:16", "--features=inception:/nowhere"], "nowhere"),
    ("evaluate", ["--data=demo:16", "--features=keras:Nothing"], "Nothing|keras"),
    ("export", ["--resolution=3"], "resolution"),
    ("export", ["--resolution=16"], "resolution|16"),
    ("export", ["--batch=0"], "batch"),
    ("export", ["--format=jpeg"], "format|jpeg"),
    ("explore", ["--port=0"], "port"),
    ("explore", ["--host=no such host"], "host"),
]


def commands(room: Path) -> list[Case]:
    """Returns bad command lines; `room/in` has pictures, `room/g.keras` is a model."""
    train = ["train", f"--data={room}/in", "--resolution=8", f"--out={room}/runs"]
    train += ["--dry_run"]
    cases = [_case(train, f"--{flag}", says) for flag, says in TRAIN]
    cases += [_case(train, f"--set={text}", "") for text in SETTINGS]
    model = ["generate", f"--model={room}/g.keras", "--seeds=0"]
    cases += [_case(model, f"--{flag}", says) for flag, says in GENERATE]
    for verb, flags, says in MORE:
        words = " ".join([verb, *flags])
        cases.append(Case(words, [verb, f"--model={room}/g.keras", *flags], says=says))
    made = ["make_dataset", f"--source={room}/in"]
    for flag, says in [
        ("max_images=0", "max_images"),
        ("workers=100000", "workers"),
        ("resolution=1", "1x1"),
        ("resolution=" + "9" * 5000, "resolution"),
        ("dest=/proc/x", "/proc"),
        ("dest=" + LONG, "too long"),
        ("source=/dev/zero", "device|picture"),
        ("source=demo:0", "demo"),
        ("labels=/dev/zero", "device"),
    ]:
        cases.append(_case([*made, f"--dest={room}/made"], f"--{flag}", says))
    return cases + _flagfiles(room)


def _case(argv: list[str], flag: str, says: str) -> Case:
    shown = flag if len(flag) < 60 else f"{flag[:40]}... ({len(flag)} characters)"
    return Case(f"{argv[0]} {shown}", [*argv, flag], says=says or r"error: \S")


def _flagfiles(room: Path) -> list[Case]:
    contents = {
        "binary": bytes(range(256)) * 99,
        "with a null character": b"--seed=1\n\0",
        "in UTF-16": "--seed=1\n".encode("utf-16"),
        "that includes itself": f"--flagfile={room}/flags3\n".encode(),
        "of a million flags": b"--seed=1\n" * 1_000_000,
        "of two that include each other": f"--flagfile={room}/flags6\n".encode() * 9,
        "of the same two": f"--flagfile={room}/flags5\n".encode() * 9,
    }
    cases = []
    for i, (what, content) in enumerate(contents.items()):
        (room / f"flags{i}").write_bytes(content)
        argv = ["train", f"--flagfile={room}/flags{i}"]
        cases.append(Case(f"a flagfile {what}", argv, says="flagfile"))
    for path in ("/nowhere", str(room), "/dev/zero", ""):
        argv = ["train", f"--flagfile={path}"]
        cases.append(Case(f"--flagfile={path.replace(str(room), 'FOLDER')}", argv))
    return cases


# ---------------------------------------------------------------------------
# Files


def pictures(folder: Path, count: int = GOOD) -> Path:
    """Writes small sound pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    for i in range(count):
        pixels = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def files(room: Path) -> list[Case]:
    """Returns bad files of every kind that a script reads, without models."""
    return [*_labels(room), *_images(room), *_zips(room), *_manifests(room)]


def _make(room: Path, name: str, *flags: str) -> list[str]:
    return ["make_dataset", f"--dest={room}/made/{name}", "--resolution=8", *flags]


DEEP = b"[" * 200_000
LABELS = {
    "deep.json": DEEP,
    "list.json": b"[1, 2, 3]",
    "nan.json": b'{"labels": [["0.png", [NaN, 1]], ["1.png", [0, 1]]]}',
    "inf.json": b'{"labels": [["0.png", [1e999]], ["1.png", [0]], ["2.png", [0]]]}',
    "nested.json": b'{"labels": [["0.png", [[1]]], ["1.png", [[1]]]]}',
    "huge.json": b'{"labels": [["0.png", ' + b"9" * 5000 + b"]]}",
    "surrogate.json": b'{"labels": [["\\ud800.png", 1]]}',
    "binary.json": bytes(range(256)),
    "empty.json": b"",
    "field.csv": b"file,label\n0.png," + b"a" * 2_000_000 + b"\n",
    "quote.csv": b'file,label\n0.png,"a\n' + b"x\n" * 200_000,
    "null.csv": b"file,label\n0.png,\0\n",
    "utf16.csv": "file,label\n0.png,1\n".encode("utf-16"),
    "short.csv": b"file,label\n0.png\n",
    "huge.csv": b"file,label\n0.png," + b"9" * 400 + b"\n",
    "empty.csv": b"",
}


def _labels(room: Path) -> list[Case]:
    source, folder, cases = f"--source={room}/in", room / "labels", []
    folder.mkdir()
    for name, content in LABELS.items():
        (folder / name).write_bytes(content)
        argv = _make(room, f"of-{name}", source, f"--labels={folder}/{name}")
        codes = PART if name in ("quote.csv", "huge.csv", "huge.json") else USER
        cases.append(Case(f"labels: {name}", argv, codes, says=""))
        inside = pictures(room / f"with-{name}")
        known = "dataset.json" if name.endswith(".json") else "labels.csv"
        (inside / known).write_bytes(content)
        argv = _make(room, f"with-{name}", f"--source={inside}")
        cases.append(Case(f"{known} in a folder: {name}", argv, PART, says=""))
    os.mkfifo(folder / "pipe.csv")
    with open(folder / "large.json", "wb") as file:
        file.truncate(3 << 30)
    for name, says in [("pipe.csv", "pipe"), ("large.json", "at most")]:
        argv = _make(room, f"of-{name}", source, f"--labels={folder}/{name}")
        cases.append(Case(f"labels: {name}", argv, says=says))
    return cases


def png(width: int, height: int, data: bytes, extra: bytes = b"") -> bytes:
    """Returns a gray PNG that claims a size."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        crc = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc)

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + head + extra + body


def _images(room: Path) -> list[Case]:
    sound = io.BytesIO()
    Image.new("RGB", (16, 16)).save(sound, "PNG")
    text = zlib.compress(b"a" * (64 << 20))
    body = b"key\0\0" + text
    bomb = struct.pack(">I", len(body)) + b"zTXt" + body
    bomb += struct.pack(">I", zlib.crc32(b"zTXt" + body))
    contents = {
        "empty.png": b"",
        "text.png": b"no picture",
        "cut.png": sound.getvalue()[:40],
        "flipped.png": sound.getvalue()[:45] + b"\xff" + sound.getvalue()[46:],
        "wide.png": png(60_000, 60_000, b""),
        "bomb.png": png(30_000, 30_000, bytes(90_000_000)),
        "texts.png": png(16, 16, bytes(17 * 16), bomb),
        "zero.png": png(0, 0, b""),
    }
    cases = []
    for name, content in contents.items():
        folder = pictures(room / f"picture-{name}")
        (folder / name).write_bytes(content)
        argv = _make(room, f"picture-{name}", f"--source={folder}")
        cases.append(Case(f"a picture: {name}", argv, PART, says=""))
    folder = pictures(room / "special")
    os.mkfifo(folder / "pipe.png")
    (folder / "device.png").symlink_to("/dev/zero")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "below").symlink_to("..")
    argv = _make(room, "special", f"--source={folder}")
    cases.append(Case("a pipe, a device and loops among pictures", argv, PART, says=""))
    return cases


def _zips(room: Path) -> list[Case]:
    good = room / "good.zip"
    with zipfile.ZipFile(good, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted((room / "in").iterdir()):
            archive.write(path, path.name)
    whole = good.read_bytes()
    bomb, climbing = room / "bomb.zip", room / "climbing.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(room / "in" / "0.png", "0.png")
        with archive.open("1.png", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(16 << 20))
    with zipfile.ZipFile(climbing, "w") as archive:
        archive.write(room / "in" / "0.png", "../../../0.png")
    contents = {
        "empty.zip": b"",
        "text.zip": b"no zip",
        "cut.zip": whole[: len(whole) // 2],
        "flipped.zip": whole[:60] + b"\xff" * 9 + whole[69:],
        "directory.zip": whole[:-40] + b"\xff" * 18 + whole[-22:],
    }
    for name, content in contents.items():
        (room / name).write_bytes(content)
    names = {**dict.fromkeys(contents, USER), "bomb.zip": PART, "climbing.zip": PART}
    names |= {"flipped.zip": PART, "directory.zip": PART}
    return [
        Case(
            f"a zip: {name}",
            _make(room, name, f"--source={room}/{name}"),
            codes,
            says="",
        )
        for name, codes in names.items()
    ]


MANIFESTS = {
    "deep": DEEP,
    "binary": bytes(range(256)),
    "empty": b"",
    "list": b"[]",
    "NaN": b'{"version": NaN}',
    "another program's": json.dumps({"name": "app", "start_url": "/"}).encode(),
}


def _manifests(room: Path) -> list[Case]:
    cases = []
    for name, content in MANIFESTS.items():
        folder = room / f"manifest-{name}"
        folder.mkdir()
        (folder / "manifest.json").write_bytes(content)
        argv = ["make_dataset", f"--dest={folder}", "--check"]
        cases.append(Case(f"manifest.json: {name}", argv, CHECK, says=""))
    return cases


def edited_manifests(room: Path, dataset: Path) -> list[Case]:
    """Returns a sound data set's manifest with one value after the other replaced."""
    text = (dataset / "manifest.json").read_text(encoding="utf-8")
    cases, values = [], (None, -1, 1e999, 10**30, "../../etc/passwd", [], {}, [[]])
    for place in _places(json.loads(text)):
        for value in values:
            content = json.loads(text)
            inner = content
            for key in place[:-1]:
                inner = inner[key]
            inner[place[-1]] = value
            folder = room / f"edited{len(cases)}"
            folder.mkdir()
            for path in dataset.iterdir():
                if path.is_file() and path.name != "manifest.json":
                    (folder / path.name).symlink_to(path)
            (folder / "manifest.json").write_text(json.dumps(content), "utf-8")
            what = f"manifest.json with {'.'.join(map(str, place))}={value!r}"
            argv = ["make_dataset", f"--dest={folder}", "--check"]
            cases.append(Case(what, argv, (0, *CHECK), says=""))
    return cases


def _places(content: object, at: tuple = ()) -> list[tuple]:
    """Returns the paths to values of nested JSON, one item of each list."""
    if isinstance(content, dict):
        found = [p for k, v in content.items() for p in _places(v, (*at, k))]
    elif isinstance(content, list):
        found = _places(content[0], (*at, 0)) if content else []
    else:
        found = []
    return ([at] if at else []) + found
