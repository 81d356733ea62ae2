"""StyleGAN3's layers, worked out from a few numbers (Karras et al. 2021, section 3).

Every layer has a band: a cutoff frequency, a stopband beyond which nothing may be left,
and the sampling rate that this asks for. They rise geometrically from the input to the
picture; the last layers are critically sampled, where the picture's own band ends.
"""

import math
from dataclasses import dataclass

from stylegan_tf.config.sizes import check_range


@dataclass(frozen=True)
class StyleGAN3Config:
    """What StyleGAN3 has and the others have not; the defaults are config T.

    Config R takes kernel_size=1, radial=True, and networks twice as wide.
    """

    layers: int = 14  # besides the Fourier features and the picture
    critical: int = 2  # layers at the end that are critically sampled
    first_cutoff: float = 2.0  # cycles a picture
    first_stopband: float = 2**2.1
    last_stopband: float = 2**0.3  # times half of the resolution
    margin: int = 10  # pixels around the picture, at every rate
    kernel_size: int = 3
    filter_size: int = 6  # taps a filter, at the rate that it is designed for
    upsampling: int = 2  # of the maps that a leaky ReLU bends
    radial: bool = False  # filters that do not favor the axes
    output_scale: float = 0.25
    magnitude_beta: float = 0.999  # of the running mean of a layer's squared input

    def __post_init__(self):
        check_range("stylegan3.layers", self.layers, 2, 64)
        check_range("stylegan3.critical", self.critical, 1, self.layers - 1)
        check_range("stylegan3.first_cutoff", self.first_cutoff, 0.25, 256)
        highest = 64 * self.first_cutoff
        check_range(
            "stylegan3.first_stopband", self.first_stopband, self.first_cutoff, highest
        )
        check_range("stylegan3.last_stopband", self.last_stopband, 1, 8)
        check_range("stylegan3.margin", self.margin, 0, 64)
        check_range("stylegan3.kernel_size", self.kernel_size, 1, 7)
        check_range("stylegan3.filter_size", self.filter_size, 1, 16)
        check_range("stylegan3.upsampling", self.upsampling, 1, 4)
        check_range("stylegan3.magnitude_beta", self.magnitude_beta, 0, 1)


@dataclass(frozen=True)
class Band:
    """What one place in the network can hold.

    Attributes:
        size: pixels a side of its maps, the margin included.
        rate: sampling rate, in samples a picture.
        cutoff: of its band, in cycles a picture.
        half_width: of the transition from the cutoff to the stopband.
    """

    size: int
    rate: int
    cutoff: float
    half_width: float


@dataclass(frozen=True)
class FilteredLayerPlan:
    """One layer: convolution, up-sampling, activation, down-sampling.

    Attributes:
        index: of the layer, from 0; the last one makes the picture.
        to_rgb: whether it does.
        before, after: the bands at its input and output.
        in_channels, out_channels: feature maps.
        kernel_size: of the convolution.
        up, down: factors of the rates around the activation.
        up_taps, down_taps: lengths of the two filters, 1 = none.
        radial: whether the second filter is.
        padding: zeros (pixels cut off, if negative) before and after the maps whose
            zeros between pixels the first filter fills.
    """

    index: int
    to_rgb: bool
    before: Band
    after: Band
    in_channels: int
    out_channels: int
    kernel_size: int
    up: int
    down: int
    up_taps: int
    down_taps: int
    radial: bool
    padding: tuple[int, int]

    @property
    def name(self) -> str:
        """As the official networks call it: L0_36_512."""
        return f"L{self.index}_{self.after.size}_{self.out_channels}"

    @property
    def rate(self) -> int:
        """Sampling rate at the activation."""
        return self.before.rate * self.up


def _band(c: StyleGAN3Config, resolution: int, index: int) -> Band:
    e = min(index / (c.layers - c.critical), 1)
    half = resolution / 2
    cutoff = c.first_cutoff * (half / c.first_cutoff) ** e
    top = half * c.last_stopband
    stopband = c.first_stopband * (top / c.first_stopband) ** e
    rate = 2 ** math.ceil(math.log2(min(2 * stopband, resolution)))
    half_width = max(stopband, rate / 2) - cutoff
    size = resolution if index >= c.layers - 1 else rate + 2 * c.margin
    return Band(size, rate, cutoff, half_width)


def layer_plans(
    c: StyleGAN3Config, resolution: int, channels: int, fmap_base: int, fmap_max: int
) -> list[FilteredLayerPlan]:
    """The layers from the input's maps to the picture.

    Args:
        c: settings.
        resolution: of the picture.
        channels: of the picture.
        fmap_base: maps of a layer of cutoff 1; a layer of cutoff f has 1 / f of it.
        fmap_max: most maps of a layer.
    """
    bands = [_band(c, resolution, i) for i in range(c.layers + 1)]
    maps = [round(min(fmap_base / band.cutoff, fmap_max)) for band in bands]
    maps[-1] = channels
    plans = []
    for i, after in enumerate(bands):
        j, last = max(i - 1, 0), i == c.layers
        before = bands[j]
        kernel = 1 if last else c.kernel_size
        rate = max(before.rate, after.rate) * (1 if last else c.upsampling)
        up, down = rate // before.rate, rate // after.rate
        up_taps = c.filter_size * up if up > 1 and not last else 1
        down_taps = c.filter_size * down if down > 1 and not last else 1
        total = (after.size - 1) * down + 1 - (before.size + kernel - 1) * up
        total += up_taps + down_taps - 2
        low = (total + up) // 2
        critical = i >= c.layers - c.critical
        plans.append(
            FilteredLayerPlan(
                index=i,
                to_rgb=last,
                before=before,
                after=after,
                in_channels=maps[j],
                out_channels=maps[i],
                kernel_size=kernel,
                up=up,
                down=down,
                up_taps=up_taps,
                down_taps=down_taps,
                radial=c.radial and not critical and down_taps > 1,
                padding=(low, total - low),
            )
        )
    return plans
