"""The growth that a model has reached (Karras et al. 2018, figure 2)."""

import math
from typing import NamedTuple


class Growth(NamedTuple):
    """The state of progressive growing.

    Attributes:
        resolution: int, the highest resolution trained so far, a power of two.
        alpha: float in [0, 1], how far that resolution has faded in: its images are
            blended with enlarged ones of the resolution below.
    """

    resolution: int
    alpha: float = 1.0

    @classmethod
    def from_lod(cls, lod: float, final: int) -> "Growth":
        """The growth of a network that is `lod` doublings short of `final`.

        Args:
            lod: float >= 0, as the official networks count; a fraction during a fade.
            final: int, the resolution of the fully grown network.
        """
        doublings = math.floor(lod)
        return cls(final >> doublings, 1.0 - (lod - doublings))

    def lod(self, final: int) -> float:
        """Doublings short of the `final` resolution: the inverse of `from_lod`."""
        return math.log2(final // self.resolution) + 1.0 - self.alpha

    def alpha_at(self, resolution: int) -> float:
        """Returns the alpha of `resolution`; it is 1 below the highest one."""
        return self.alpha if resolution == self.resolution else 1.0
