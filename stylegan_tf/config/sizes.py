"""Sizes of images: resolutions, start blocks, and sizes as users write them.

An image is a start block of h x w (4 x 4 by default) doubled n times. `resolution` is
always 4 * 2^n, whatever the start block: a start block of 4 x 6 at resolution 512 is an
image of 512 x 768.
"""

import re

from stylegan_tf.config.limits import MAX_RESOLUTION, shortened
from stylegan_tf.errors import UserError


def levels(resolution: int, first: int = 4) -> list[int]:
    """Returns the resolutions from `first` to `resolution`: 4, 8, 16, ..."""
    return [1 << k for k in range(first.bit_length() - 1, resolution.bit_length())]


def image_shape(start_shape: tuple[int, int], resolution: int) -> tuple[int, int]:
    """Returns height and width at `resolution` of a model with that start block."""
    return start_shape[0] * resolution // 4, start_shape[1] * resolution // 4


def split_shape(height: int, width: int) -> tuple[int, tuple[int, int]]:
    """Returns the resolution and start block of images of height x width.

    The shorter side is halved down to between 4 and 7 pixels: 64 x 64 is resolution 64
    of 4 x 4, 512 x 768 is 512 of 4 x 6, 96 x 96 is 64 of 6 x 6.

    Raises:
        UserError: the sides cannot be halved that often without a remainder.
    """
    doublings = max(min(height, width).bit_length() - 3, 0)
    unit = 1 << doublings
    if min(height, width) < 8 or height % unit or width % unit:
        near = _nearest(height, width)
        raise UserError(
            f"pictures of {height}x{width} cannot be built by doubling a small start "
            f"block; the nearest size that can is {near[0]}x{near[1]}."
        )
    return 4 * unit, (height // unit, width // unit)


def _nearest(height: int, width: int) -> tuple[int, int]:
    """Returns the possible size that differs least."""
    found = []
    for unit in levels(MAX_RESOLUTION // 4, first=2):
        h, w = (max(round(side / unit), 4) for side in (height, width))
        if min(h, w) <= 7:
            found.append((h * unit, w * unit))
    return min(found, key=lambda s: abs(s[0] - height) + abs(s[1] - width))


def parse_resolution(text: str) -> tuple[int, tuple[int, int]]:
    """Parses `"64"` or `"512x768"` (height x width) to resolution and start block.

    Raises:
        UserError: not a size, or one that no start block doubles to.
    """
    sides = str(text).lower().split("x")
    numbers = [re.fullmatch(r"\s*[0-9]{1,6}\s*", side) for side in sides]
    if len(sides) > 2 or not all(numbers):
        raise UserError(
            f"resolution {shortened(str(text))} is not N or HEIGHTxWIDTH, such as 64."
        )
    height, width = int(sides[0]), int(sides[-1])
    return split_shape(height, width)
