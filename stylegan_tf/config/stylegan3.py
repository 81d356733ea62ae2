"""Plans StyleGAN3's layers from a few numbers (Karras et al. 2021, section 3).

Every layer has a band: a cutoff frequency, a stopband beyond which little may be left,
and the sampling rate that this asks for. All three rise geometrically from the input to
the image. The last layers are critically sampled: their cutoff is half of the sampling
rate.
"""

import math
from dataclasses import dataclass
from typing import Annotated

from stylegan_tf.config.limits import Checked, Range
from stylegan_tf.errors import UserError


@dataclass(frozen=True)
class StyleGAN3Config(Checked, section="generator.stylegan3"):
    """StyleGAN3's synthesis network; the defaults are the paper's config T.

    Config R has kernel_size=1, radial=True, and networks twice as wide.

    Attributes:
        layers: layers between the Fourier features and the image.
        critical: layers at the end that are critically sampled.
        first_cutoff: cutoff of the first layer in cycles per image.
        first_stopband: stopband of the first layer in cycles per image.
        last_stopband: stopband of the last layers over half of the resolution.
        margin: pixels around the image, at every sampling rate.
        kernel_size: side of the convolutions' kernels.
        filter_size: taps per filter, times its factor of up- or downsampling.
        upsampling: factor of the sampling rate at the activations.
        radial: use filters that are alike in all directions.
        output_scale: factor of the image.
        magnitude_beta: decay of the running mean of a layer's squared input.
    """

    layers: Annotated[int, Range(2, 64)] = 14
    critical: Annotated[int, Range(1, 63)] = 2
    first_cutoff: Annotated[float, Range(0.25, 256)] = 2.0
    first_stopband: Annotated[float, Range(0.25, 1 << 14)] = 2**2.1
    last_stopband: Annotated[float, Range(1, 8)] = 2**0.3
    margin: Annotated[int, Range(0, 64)] = 10
    kernel_size: Annotated[int, Range(1, 7)] = 3
    filter_size: Annotated[int, Range(1, 16)] = 6
    upsampling: Annotated[int, Range(1, 4)] = 2
    radial: bool = False
    output_scale: Annotated[float, Range(0, 1000, above=True)] = 0.25
    magnitude_beta: Annotated[float, Range(0, 1)] = 0.999

    def check(self) -> None:
        """Refuses more critical layers than layers, and a transition of no width."""
        if self.critical >= self.layers:
            raise UserError(
                f"{self.section}.critical={self.critical} must be less than "
                f"{self.section}.layers={self.layers}."
            )
        if not self.first_cutoff <= self.first_stopband <= 64 * self.first_cutoff:
            raise UserError(
                f"{self.section}.first_stopband={self.first_stopband:g} must be 1 to "
                f"64 times {self.section}.first_cutoff={self.first_cutoff:g}."
            )


@dataclass(frozen=True)
class Band:
    """A band of frequencies, and the maps that hold it.

    Attributes:
        size: pixels per side of the maps, the margin included.
        rate: sampling rate in samples per image.
        cutoff: cutoff frequency in cycles per image.
        half_width: half of the width of the transition around the cutoff.
    """

    size: int
    rate: int
    cutoff: float
    half_width: float


@dataclass(frozen=True)
class FilteredLayerPlan:
    """A layer: convolution, upsampling, activation, downsampling.

    Attributes:
        index: of the layer, from 0; the last one makes the image.
        to_rgb: True for the last one.
        before: band of the input.
        after: band of the output.
        in_channels: input channels.
        out_channels: output channels.
        kernel_size: side of the convolution's kernel.
        up: factor of the sampling rate before the activation.
        down: divisor of the sampling rate after it.
        up_taps: length of the first filter, 1 = none.
        down_taps: length of the second filter, 1 = none.
        radial: True if the second filter is alike in all directions.
        padding: zeros before and after the upsampled maps that the first filter
            smooths; negative = pixels cut off.
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
        """The official networks' name of the layer, such as L0_36_512."""
        return f"L{self.index}_{self.after.size}_{self.out_channels}"

    @property
    def multiplications(self) -> int:
        """Multiplications per image of the convolution and the filters around it."""
        taps = 2 * self.up_taps // self.up + 2 * self.down_taps // self.down
        if self.radial:
            taps += (self.down_taps // self.down) ** 2
        window = (self.before.size * self.kernel_size) ** 2
        fine = self.fine_size**2
        return (window * self.in_channels + fine * taps) * self.out_channels

    @property
    def fine_size(self) -> int:
        """Pixels per side of the maps at the activation."""
        return (self.after.size - 1) * self.down + self.down_taps

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
    """Plans the layers from the Fourier features to the image.

    Args:
        c: settings.
        resolution: of the image.
        channels: of the image.
        fmap_base: a layer of cutoff f has fmap_base / f feature maps.
        fmap_max: most feature maps of a layer.
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
