"""The official widths, for generators that know nothing of this package."""


def fmaps(resolution: int, base: int = 8192, most: int = 512) -> dict[int, int]:
    """Feature maps by resolution: {4: 512, 8: 512, ..., 1024: 16}."""
    sides = [1 << k for k in range(2, resolution.bit_length())]
    return {side: min(base * 2 // side, most) for side in sides}
