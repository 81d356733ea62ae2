"""Bad files that a model, its styles or its directions may be read from."""

import io
import json
import os
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
from bad_files import DEEP, PART, USER, Case


def models(room: Path) -> list[Case]:
    """Returns bad models and bad files of styles; `room/g.keras` is a sound model."""
    cases = [*_keras(room), *_pickles(room), *_runs(room), *_styles(room)]
    return [*cases, *_directions(room), *_networks(room)]


def _opened(room: Path, path: Path) -> list[str]:
    return ["generate", f"--model={path}", "--seeds=0", f"--out={room}/out"]


def _keras(room: Path) -> list[Case]:
    whole = (room / "g.keras").read_bytes()
    with zipfile.ZipFile(room / "g.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    settings = json.loads(members["config.json"])

    def with_settings(**changes) -> dict[str, bytes]:
        config = settings["config"]["config"] | changes
        content = settings | {"config": settings["config"] | {"config": config}}
        return members | {"config.json": json.dumps(content).encode()}

    contents = {
        "of 34 GB": with_settings(fmap_base=1 << 20, fmap_max=8192),
        "of 4 GB, and small": with_settings(z_dim=8192, classes=100_000),
        "of width 0": with_settings(z_dim=0),
        "of NaN": with_settings(fmap_decay=float("nan")),
        "of another class": members
        | {"config.json": json.dumps(settings | {"class_name": "Lambda"}).encode()},
        "of deep JSON": members | {"config.json": DEEP},
        "of no weights": {k: v for k, v in members.items() if "h5" not in k},
        "that climbs": members | {"../../x": b""},
    }
    cases = []
    for what, content in contents.items():
        path = room / f"{what.replace(' ', '-')}.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name, data in content.items():
                archive.writestr(name, data)
        cases.append(Case(f"a .keras {what}", _opened(room, path)))
    damaged = {"empty": b"", "text": b"no model", "cut": whole[: len(whole) // 2]}
    for place in range(0, len(whole), len(whole) // 12):
        flipped = bytearray(whole)
        flipped[place] ^= 16
        damaged[f"with byte {place} flipped"] = bytes(flipped)
    for what, data in damaged.items():
        path = room / f"{what.replace(' ', '-')}.keras"
        path.write_bytes(data)
        codes = PART if "flipped" in what else USER  # a date is no weight
        cases.append(Case(f"a .keras {what}", _opened(room, path), codes, says=""))
    return cases


class _Call:
    def __reduce__(self):
        return os.system, ("touch /tmp/it-ran",)


def _pickles(room: Path) -> list[Case]:
    laughs = b"\x80\x03" + b"]q\x00" + b"h\x00h\x00\x86" * 60 + b"."
    contents = {
        "call.pkl": pickle.dumps(_Call()),
        "empty.pkl": b"",
        "text.pkl": b"no model",
        "int.pkl": pickle.dumps(3),
        "deep.pkl": b"\x80\x03" + b"]" * 300_000 + b"a" * 299_999 + b".",
        "laughs.pkl": laughs,
        "long.pkl": b"\x80\x04\x8e" + struct.pack("<Q", 1 << 60) + b"x.",
        "digits.pkl": b"\x80\x02\x8b" + struct.pack("<i", 1 << 30) + b"x.",
        "memo.pkl": b"\x80\x02Nr\xff\xff\xff\x7f.",
        "cut.pkl": pickle.dumps({"G": list(range(1000))})[:-50],
        "zip.pt": b"PK\x03\x04" + bytes(99),
        "text.pt": b"no model",
        "int.pt": pickle.dumps(3),
        "text.safetensors": b"no model",
        "huge.safetensors": struct.pack("<Q", 1 << 60) + b"{}",
        "deep.safetensors": struct.pack("<Q", len(DEEP)) + DEEP,
        "beyond.safetensors": _safetensors([0, 1 << 40]),
        "negative.safetensors": _safetensors([-4, 0]),
    }
    cases = []
    for name, content in contents.items():
        (room / name).write_bytes(content)
        cases.append(Case(f"a model: {name}", _opened(room, room / name)))
    with open(room / "holes.pkl", "wb") as file:
        file.write(b"\x80\x02")
        file.truncate(8 << 30)
    cases.append(Case("a model: 8 GB of zeros", _opened(room, room / "holes.pkl")))
    os.mkfifo(room / "pipe.pkl")
    cases.append(Case("a model: a pipe", _opened(room, room / "pipe.pkl")))
    (room / "zero.keras").symlink_to("/dev/zero")
    cases.append(Case("a model: /dev/zero", _opened(room, room / "zero.keras")))
    return cases


def _safetensors(offsets: list[int]) -> bytes:
    tensor = {"dtype": "F32", "shape": [1 << 38], "data_offsets": offsets}
    head = json.dumps({"w": tensor}).encode()
    return struct.pack("<Q", len(head)) + head


def _runs(room: Path) -> list[Case]:
    contents = {
        "deep": DEEP,
        "binary": bytes(range(256)),
        "empty": b"",
        "list": b"[]",
        "of NaN": b'{"ema_kimg": NaN}',
        "of 34 GB": b'{"generator": {"z_dim": 34000000000}}',
        "of unknown fields": b'{"color": 1}',
        "without a checkpoint": b"{}",
    }
    cases = []
    for what, content in contents.items():
        run = room / f"run-{what.replace(' ', '-')}"
        (run / "checkpoints").mkdir(parents=True)
        (run / "config.json").write_bytes(content)
        cases.append(Case(f"a run's config.json: {what}", _opened(room, run)))
        argv = ["train", f"--resume={run}", f"--data={room}/in", "--dry_run"]
        if content != b"{}":
            cases.append(Case(f"a run to continue: {what}", argv))
    return cases


def _npz(arrays: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in arrays.items():
            archive.writestr(f"{name}.npy", data)
    return file.getvalue()


def _npy(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    return file.getvalue()


def _claim(shape: str, kind: str = "<f4") -> bytes:
    text = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}}}"
    head = text.ljust(117).encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


ARRAYS = {
    "objects": _npy(np.array([{}], dtype=object)),
    "text": _npy(np.array(["a"])),
    "NaN": _npy(np.full((1, 4, 8), np.nan, "f4")),
    "another shape": _npy(np.zeros((2, 3), "f4")),
    "no shape": _npy(np.float32(1)),
    "no rows": _npy(np.zeros((0, 4, 8), "f4")),
    "4 TB claimed": _claim("(1, 4, 274877906944)"),
    "negative": _claim("(-1, 4, 8)"),
    "no header": b"\x93NUMPY\x01\x00\xff\xff",
    "code": _claim("__import__('os').system('touch /tmp/it-ran')"),
    "4 GB claimed, 64 MB there": _claim("(1, 33554432, 32)") + bytes(1 << 26),
}


def _styles(room: Path) -> list[Case]:
    contents = {f"ws of {k}": _npz({"ws": v}) for k, v in ARRAYS.items()}
    contents |= {
        "empty": b"",
        "no zip": b"no styles",
        "cut": _npz({"ws": _npy(np.zeros((1, 4, 8), "f4"))})[:60],
        "of no array": _npz({}),
        "with a text": _npz({"ws": _npy(np.zeros((1, 4, 8), "f4"))})
        + _npz({"x": b"no array"}),
    }
    cases = []
    for i, (what, content) in enumerate(contents.items()):
        path = room / f"styles{i}.npz"
        path.write_bytes(content)
        argv = ["generate", f"--model={room}/g.keras", f"--latents={path}"]
        cases.append(Case(f"styles: {what}", [*argv, f"--out={room}/out"]))
    return cases


def _directions(room: Path) -> list[Case]:
    whole = {
        "names": np.array(["a"]),
        "vectors": np.ones((1, 8), "f4"),
        "scales": np.ones(1, "f4"),
        "quality": np.ones(1, "f4"),
        "source": np.array("by hand"),
        "layers": np.zeros(0, int),
    }
    whole, cases = {name: _npy(array) for name, array in whole.items()}, []
    for name in whole:
        for what, array in ARRAYS.items():
            path = room / f"directions{len(cases)}.npz"
            path.write_bytes(_npz(whole | {name: array}))
            argv = ["generate", f"--model={room}/g.keras", f"--directions={path}"]
            argv += ["--edit=a:1", "--seeds=0", f"--out={room}/out"]
            # A name and a source may be any text.
            any_text = name in ("names", "source")
            rules = {"codes": (0, *USER), "says": ""} if any_text else {}
            cases.append(Case(f"directions: {name}, {what}", argv, **rules))
    tables = {
        "binary": bytes(range(256)),
        "empty": b"",
        "of a field of 2 MB": b"seed,a\n0," + b"a" * 2_000_000,
        "of NaN": b"seed,a\n" + b"0,nan\n" * 30,
        "of seeds that are none": b"seed,a\n-1,2\n" * 30,
    }
    for what, content in tables.items():
        path = room / f"table-{what.replace(' ', '-')}.csv"
        path.write_bytes(content)
        argv = ["directions", f"--model={room}/g.keras", "--method=labels"]
        argv += [f"--labels={path}", f"--out={room}/found"]
        cases.append(Case(f"labels of directions: {what}", argv))
    return cases


def _networks(room: Path) -> list[Case]:
    """Published feature networks that are something else."""
    cases = []
    for what, content in {"empty": b"", "text": b"no graph" * 9}.items():
        path = room / f"network-{what}.pb"
        path.write_bytes(content)
        for kind in ("inception", "vgg16-lpips"):
            argv = ["evaluate", f"--model={room}/g.keras", f"--data={room}/in"]
            argv += ["--metrics=fid16", f"--features={kind}:{path}"]
            argv += [f"--cache={room}/cache", f"--out={room}/out"]
            cases.append(Case(f"a feature network: {kind}, {what}", argv))
    return cases
