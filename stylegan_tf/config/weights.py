"""Number of a network's weights, and its largest feature maps, before it is made.

A config is a few numbers and may come from anywhere. What it asks for is counted here
first, and refused if no machine should be asked for it.
"""

from stylegan_tf.config.networks import (
    STYLEGAN2,
    DiscriminatorConfig,
    GeneratorConfig,
    Network,
)
from stylegan_tf.config.sizes import levels
from stylegan_tf.errors import UserError

MOST_WEIGHTS = 1 << 30  # 4 GB; the paper's generator at 1024 x 1024 has 29 million
MOST_VALUES = 1 << 29  # of one layer's feature maps, 2 GB an image; the paper's 2^24
BYTES = 4  # float32


def check_size(c: Network) -> None:
    """Refuses a network that is too large, before anything is allocated for it.

    Raises:
        UserError: says how large it would be, and which settings make it so.
    """
    weights, values = count_weights(c), largest_maps(c)
    name = c.section
    widths = f"{name}.fmap_base={c.fmap_base} and {name}.fmap_max={c.fmap_max}"
    if weights > MOST_WEIGHTS:
        dense = "z_dim", "w_dim", "mapping_width", "classes", "head_width"
        given = {n: getattr(c, n) for n in dense if hasattr(c, n)}
        shown = ", ".join(f"{name}.{n}={v}" for n, v in given.items() if v)
        raise UserError(
            f"the {name} would have {weights:,} weights, {_gigabytes(weights)}; the "
            f"limit is {MOST_WEIGHTS:,}. Lower {widths}{', ' if shown else ''}{shown}."
        )
    if values > MOST_VALUES:
        height, width = c.shape(c.resolution)
        raise UserError(
            f"the {name}'s largest layer would take {_gigabytes(values)} for one image "
            f"of {height}x{width}; the limit is {_gigabytes(MOST_VALUES)}. Lower "
            f"{widths}, or the resolution."
        )


def _gigabytes(values: int) -> str:
    return f"{values * BYTES / 1e9:.3g} GB"


def largest_maps(c: Network) -> int:
    """Returns the values per image of the layer with the largest feature maps."""
    if c.architecture == "stylegan3":
        assert isinstance(c, GeneratorConfig)
        plans = c.filtered_layers
        return max(p.before.size**2 * max(p.in_channels, p.out_channels) for p in plans)
    sizes = [(c.shape(r), max(c.fmaps(r), c.channels)) for r in levels(c.resolution)]
    return max(height * width * maps for (height, width), maps in sizes)


def count_weights(c: Network) -> int:
    """Returns the number of weights, w_avg and noise maps included.

    Exact but for small vectors: biases of images, running means.
    """
    if isinstance(c, DiscriminatorConfig):
        return _convolutions(c) + _head(c)
    total = _mapping(c) + c.w_dim
    if c.network:  # the user's own class, whose weights only it knows
        return total
    if c.architecture == "stylegan3":
        for p in c.filtered_layers:
            taps = p.kernel_size**2
            total += (p.in_channels * taps + 1) * p.out_channels
            total += c.w_dim * p.in_channels
        return total + c.filtered_layers[0].in_channels ** 2
    total += sum(height * width for height, width in c.noise_shapes(c.resolution))
    height, width = c.start_shape
    area = height * width * c.fmaps(4)
    dense = c.architecture == "dcgan" or not (
        c.const_input or c.architecture in STYLEGAN2
    )
    return total + _convolutions(c) + area * (c.w_dim if dense else 1)


def _convolutions(c: Network) -> int:
    """Returns the weights of the convolutions and of the styles of their layers."""
    if c.architecture == "dcgan":
        planes = c.classes if isinstance(c, DiscriminatorConfig) else 0
        ends = [
            c.channels + planes if r == c.resolution else c.fmaps(r)
            for r in levels(c.resolution)
        ]
        return sum(25 * a * b for a, b in zip(ends, ends[1:], strict=False))
    total = 0
    for r in levels(c.resolution):
        maps, below = c.fmaps(r), c.fmaps(r // 2) if r > 4 else 0
        total += 9 * maps * (maps + below) + 3 * maps
        total += c.channels * maps  # to or from the image
        if c.architecture == "residual":
            total += maps * below
        if isinstance(c, GeneratorConfig) and c.has_styles:
            modulated = c.architecture in STYLEGAN2
            total += c.w_dim * (2 * maps + below if modulated else 4 * maps)
    return total


def _mapping(c: GeneratorConfig) -> int:
    embedded = c.classes * c.embedding_dim
    widths = [c.mapping_input_dim] + [c.mapping_width] * (c.mapping_layers - 1)
    widths += [c.w_dim] if c.mapping_layers else []
    dense = zip(widths, widths[1:], strict=False)
    return embedded + sum((a + 1) * b for a, b in dense)


def _head(c: DiscriminatorConfig) -> int:
    """Returns the weights of the dense layers at the end, and of the label's."""
    height, width = c.start_shape
    if c.architecture == "dcgan":
        return height * width * c.fmaps(4)
    hidden = c.head_width or c.fmaps(2)
    total = height * width * c.fmaps(4) * hidden
    if not c.classes or c.conditioning != "projection":
        return total + hidden * max(c.classes, 1)
    projected = c.projection_width or hidden
    embedded = c.label_width or projected
    inner = c.mapping_width or projected
    layers = max(c.mapping_layers - 1, 0) * inner * (inner + 1) + inner * projected
    return total + hidden * projected + c.classes * embedded + layers
