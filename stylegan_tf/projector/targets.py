"""A few pictures that a user names, brought to the size that a model draws.

Files, folders, zips and `demo:N`, in any mixture. What is left out or changed is told
in `Targets.notes`.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from stylegan_tf.data import sources
from stylegan_tf.data.images import BadImage, bad_image_reasons, decode_image, fit_image
from stylegan_tf.data.sources import files
from stylegan_tf.errors import UserError

KINDS = {1: "gray", 3: "RGB", 4: "RGBA"}


class Targets(NamedTuple):
    """Pictures ready to be compared with a model's.

    Attributes:
        names: one each, all different and fit for a file's name.
        pictures: uint8 [N, H, W, C].
        notes: what a user should know: files skipped, channels converted.
    """

    names: list[str]
    pictures: np.ndarray
    notes: list[str]


def read(
    specs: Sequence[str],
    shape: tuple[int, int],
    channels: int,
    first: int | None = None,
) -> Targets:
    """Reads pictures, cuts them around their middle and resizes them.

    Args:
        specs: picture files, folders or zips of pictures, `demo:N`.
        shape: height and width to reach.
        channels: 1 (gray), 3 (RGB) or 4 (RGBA).
        first: only so many of them.

    Raises:
        UserError: nothing there, or not one picture that can be used.
    """
    found, skipped, kinds = {}, [], Counter()
    for name, open_picture in _named(specs, max(shape)):
        if len(found) == first:
            break
        try:
            image = open_picture()
            found[_unused(name, found)] = fit_image(image, shape, channels)
            kinds[_kind(image)] += 1
        except BadImage as error:
            skipped.append(f"Skipped {name}: {error.reason}.")
    if not found:
        reasons = " ".join(skipped[:3])
        raise UserError(f"no picture of {', '.join(specs)} can be used. {reasons}")
    wanted = KINDS[channels]
    turned = [
        f"{count} of {len(found)} pictures turned from {kind} to {wanted}"
        f"{', over white' * (kind == 'RGBA')}."
        for kind, count in kinds.items()
        if kind != wanted
    ]
    return Targets(list(found), np.stack(list(found.values())), skipped + turned)


def _named(specs: Sequence[str], size: int) -> Iterator[tuple[str, Callable]]:
    """Names of pictures, and what opens each."""
    for spec in specs:
        path = Path(spec).expanduser()
        if path.is_file() and path.suffix.lower() in files.IMAGE_SUFFIXES:
            yield path.name, lambda p=path: decode_image(_bytes(p))
            continue
        source = sources.open_source(spec, labels="none")
        for i in range(len(source)):
            yield source.name_of(i), lambda s=source, i=i: s.read(i, size)[0]


def _bytes(path: Path) -> bytes:
    with bad_image_reasons():
        return path.read_bytes()


def _kind(image: Image.Image | np.ndarray) -> str:
    if isinstance(image, np.ndarray):
        return KINDS[image.shape[-1]]
    if image.has_transparency_data:
        return KINDS[4]
    gray = image.mode in ("1", "L", "F") or image.mode.startswith("I")
    return KINDS[1 if gray else 3]


def _unused(name: str, used: dict) -> str:
    """`a/my cat.png` -> `my_cat`, or `my_cat-2` if there is one already.

    A projection writes `my_cat.png` and `my_cat-target.png`, beside `comparison.png`.
    """
    stem = PurePosixPath(name).stem if "." in name else name
    stem = re.sub(r"[^\w.-]+", "_", stem).strip("_.") or "picture"
    name, number = stem, 1
    taken = {"comparison", *used, *(f"{n}-target" for n in used)}
    while name in taken or f"{name}-target" in used:
        number += 1
        name = f"{stem}-{number}"
    return name
