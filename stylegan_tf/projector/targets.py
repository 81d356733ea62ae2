"""Reads the images to project, cropped and resized to the model's image size; masks.

Files, folders, zips and `demo:N` may be mixed. `Targets.notes` tells which images were
skipped or converted.
"""

import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from PIL import Image

from stylegan_tf.data import sources
from stylegan_tf.data.images import (
    MOST_BYTES,
    BadImage,
    bad_image_reasons,
    decode_image,
    fit_image,
)
from stylegan_tf.data.sources import files
from stylegan_tf.errors import UserError
from stylegan_tf.files import home_path, read_regular
from stylegan_tf.networks.generator import Generator

MOST_NAME = 200  # bytes
KINDS = {1: "gray", 3: "RGB", 4: "RGBA"}


class Targets(NamedTuple):
    """Images of a model's size.

    Attributes:
        names: unique names, valid as file names.
        images: uint8 [N, H, W, C].
        notes: messages for the user: files skipped, channels converted.
    """

    names: list[str]
    images: np.ndarray
    notes: list[str]


def read_targets(
    specs: Sequence[str],
    shape: tuple[int, int],
    channels: int,
    first: int | None = None,
) -> Targets:
    """Reads images, crops them at the center and resizes them.

    Args:
        specs: image files, folders or zips of images, `demo:N`.
        shape: height and width of the result.
        channels: 1 (gray), 3 (RGB) or 4 (RGBA).
        first: largest number of images; None = all.

    Raises:
        UserError: nothing there, or no image that can be read.
    """
    images, skipped, kinds = {}, [], Counter()
    for name, open_image in _named(specs, max(shape)):
        if len(images) == first:
            break
        try:
            image = open_image()
            images[_unused(name, images)] = fit_image(image, shape, channels)
            kinds[_kind(image)] += 1
        except BadImage as error:
            skipped.append(f"Skipped {name}: {error.reason}.")
    if not images:
        reasons = " ".join(skipped[:3])
        raise UserError(f"no picture of {', '.join(specs)} can be used. {reasons}")
    target = KINDS[channels]
    converted = [
        f"{count} of {len(images)} pictures turned from {kind} to {target}"
        f"{', over white' * (kind == 'RGBA')}."
        for kind, count in kinds.items()
        if kind != target
    ]
    return Targets(list(images), np.stack(list(images.values())), skipped + converted)


def read_upload(
    name: str, content: bytes, shape: tuple[int, int], channels: int
) -> tuple[str, np.ndarray]:
    """Reads the bytes of an image file that somebody sent, as `read_targets` does.

    Args:
        name: of the file, anything.
        content: of the file.
        shape: height and width of the result.
        channels: 1 (gray), 3 (RGB) or 4 (RGBA).

    Returns:
        A name that is valid as a file name, and uint8 [H, W, C].

    Raises:
        UserError: no image that can be read.
    """
    own = _unused(re.split(r"[\\/]", name)[-1] or "picture", {})
    try:
        return own, fit_image(decode_image(content), shape, channels)
    except BadImage as error:
        raise UserError(f"{own} cannot be used: {error.reason}.") from error


def read_mask(path: Path | str, shape: tuple[int, int]) -> np.ndarray:
    """Reads an image as a mask, at any enlargement: True where it is white.

    Args:
        path: of the image.
        shape: height and width of the result.

    Returns:
        bool [H, W].

    Raises:
        UserError: no image that can be read, of another shape, or black all over.
    """
    try:
        image = decode_image(_bytes(home_path(path)))
        width, height = image.size
        if height * shape[1] != width * shape[0]:
            raise UserError(
                f"the mask {path} has {height} x {width} pixels; it must have the "
                f"picture's shape, {shape[0]} x {shape[1]}."
            )
        gray = Image.fromarray(fit_image(image, (height, width), 1)[..., 0])
    except BadImage as error:
        raise UserError(f"the mask {path} cannot be used: {error.reason}.") from error
    mask = np.asarray(gray.resize(shape[::-1], Image.Resampling.BOX)) >= 128
    if not mask.any():
        raise UserError(f"the mask {path} is black: white is what may move.")
    return mask


def _named(specs: Sequence[str], size: int) -> Iterator[tuple[str, Callable]]:
    """Yields (name, function that opens the image)."""
    for spec in specs:
        path = home_path(spec)
        if path.is_file() and path.suffix.lower() in files.IMAGE_SUFFIXES:
            yield path.name, lambda p=path: decode_image(_bytes(p))
            continue
        source = sources.open_source(spec, labels="none")
        for i in range(len(source)):
            yield source.name_of(i), lambda s=source, i=i: s.read(i, size)[0]


def _bytes(path: Path) -> bytes:
    with bad_image_reasons():
        return read_regular(path, MOST_BYTES)


def _kind(image: Image.Image | np.ndarray) -> str:
    if isinstance(image, np.ndarray):
        return KINDS[image.shape[-1]]
    if image.has_transparency_data:
        return KINDS[4]
    gray = image.mode in ("1", "L", "F") or image.mode.startswith("I")
    return KINDS[1 if gray else 3]


def _unused(name: str, used: dict) -> str:
    """Returns a unique name: `my_cat` for `a/my cat.png`, `my_cat-2` if it is taken.

    A projection writes `my_cat.png` and `my_cat-target.png`, beside `comparison.png`.
    """
    stem = PurePosixPath(name).stem if "." in name else name
    stem = _short(re.sub(r"[^\w.-]+", "_", stem).strip("_.") or "picture")
    name, number = stem, 1
    taken = {"comparison", *used, *(f"{n}-target" for n in used)}
    while name in taken or f"{name}-target" in used:
        number += 1
        name = f"{stem}-{number}"
    return name


def _short(name: str) -> str:
    """Returns a name that leaves room for suffixes: file systems take 255 bytes.

    The end of a longer one is a checksum. CON, NUL and the like are devices on Windows.
    """
    content = name.encode("utf-8", "surrogateescape")
    if len(content) > MOST_NAME:
        start = content[: MOST_NAME - 9].decode("utf-8", "ignore")
        return f"{start}-{zlib.crc32(content):08x}"
    device = re.fullmatch(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", name, re.IGNORECASE)
    return f"{name}_" if device else name


def check_targets(model: Generator, targets: np.ndarray) -> None:
    """Refuses images that are not uint8 [N, H, W, C] of the model's image size.

    Raises:
        UserError: says what they are, and what the model draws.
    """
    c = model.config
    shape = (*c.shape(model.growth.resolution), c.channels)
    if targets.dtype != np.uint8 or targets.shape[1:] != shape or not len(targets):
        given, expected = (" x ".join(map(str, s)) for s in (targets.shape, shape))
        raise UserError(
            f"the pictures are {targets.dtype} of {given}; give at least one, as uint8 "
            f"of N x {expected}, which the model draws."
        )
