"""Control of factors by layers: StyleGAN's coarse and fine styles, measured.

Karras et al. 2019, section 3.1, mix styles and look: those of coarse layers bring pose
and face shape, those of fine layers colors. Here two pictures a and b are drawn, and
a once more with the style of one layer taken from b. How much of a factor came along
is said by the factor network.

    share(factor, layer) = mean |f(a with the layer's style of b) - f(a)|^2
                           / mean |f(b) - f(a)|^2

f is a continuous factor's value, or a categorical one's vector of probabilities. The
numerator is that of Sobol's total effect of an input (Jansen 1999, Analysis of variance
designs for model output). 0: the layer does not matter to the factor. 1: its style
changes the factor as much as all styles together. The shares of all layers need not
add up to 1: to more, where one layer can spoil what another does; to less, where
several layers have to change together.

The network errs, and may take a change of one factor for one of another. `own_error` is
the same share where the truth is 0: drawn faces that agree in the factor, and in
nothing else. A share below it may be the network's confusion.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.config import GeneratorConfig, levels
from stylegan_tf.data import demo
from stylegan_tf.errors import UserError

SHAPE = ("yaw", "tilt", "width", "jaw", "class", "fringe", "eye_size", "brows")
SHAPE += ("smile", "open", "glasses")  # pose and shape
COLOR = ("skin", "hair", "eyes", "clothes", "background")
OWN_ERROR_SEED = 3  # of the demo; its pictures belong to no other set


@dataclass(frozen=True)
class LayerTable:
    """Shares, factor by layer.

    Attributes:
        factors: names of the rows.
        layers: names of the columns: single layers, then the groups.
        share: float [factors, layers], as of the module's docstring.
        error: standard errors of them, over pairs.
        own_error: float [factors], a share that the network's confusion alone can
            make; nan where it is not known.
        singles: how many of the columns are single layers.
        resolutions: of the single layers.
        pairs: that were drawn.
    """

    factors: tuple[str, ...]
    layers: tuple[str, ...]
    share: np.ndarray
    error: np.ndarray
    own_error: np.ndarray
    singles: int
    resolutions: tuple[int, ...]
    pairs: int

    def center(self) -> np.ndarray:
        """Returns the log2 of resolution that controls each factor: float [factors].

        The mean over single layers, weighted by their shares.
        """
        shares = self.share[:, : self.singles]
        return shares @ np.log2(self.resolutions) / shares.sum(axis=1)


@dataclass
class _Sums:
    """Squared changes of one factor: all styles exchanged, and some."""

    whole: np.ndarray
    parts: list[np.ndarray] = field(default_factory=list)

    def shares(self) -> tuple[np.ndarray, np.ndarray]:
        """Ratios of the means, and their standard errors by the delta method."""
        whole, parts = self.whole, np.stack(self.parts)
        mean = max(whole.mean(), 1e-12)
        share = parts.mean(axis=1) / mean
        left = parts - share[:, None] * whole
        return share, left.std(axis=1, ddof=1) / np.sqrt(len(whole)) / mean


def layer_table(
    model,
    network,
    pairs: int = 500,
    groups: Sequence[Sequence[int]] | None = None,
    seed: int = 0,
    own_error: bool = True,
    progress: bool = False,
) -> LayerTable:
    """Measures what each layer's style controls.

    Args:
        model: a `Generator` with styles, of either kind; not truncated, and the noise
            is the stored maps, the same in every picture.
        network: a `Builtin` with heads.
        pairs: of seeds; 2 x pairs seeds from `seed` on.
        groups: layers whose styles are exchanged together; None = those of each
            resolution.
        seed: the first seed.
        own_error: measure the network's confusion too, on faces of the demo.
        progress: show a bar.

    Raises:
        UserError: the model has one style for all layers, a group names a layer that
            it does not have, or there are too few pairs for a standard error.
    """
    from tqdm import tqdm

    if pairs < 2:
        raise UserError(f"{pairs} pairs; a standard error needs at least 2.")
    at = layer_resolutions(model)
    groups = _by_resolution(at) if groups is None else [list(g) for g in groups]
    if unknown := {i for group in groups for i in group} - set(range(len(at))):
        raise UserError(f"layer {unknown.pop()} of a group; the model has {len(at)}.")
    exchanged = [*([i] for i in range(len(at))), *groups]
    ws = sampling.styles(model, range(seed, seed + 2 * pairs))
    a, b = ws[0::2], ws[1::2]
    render = sampling.Renderer(model)
    before, after = (network.factors(render(styles)) for styles in (a, b))
    sums = {name: _Sums(change(before[name], after[name])) for name in before}
    off = None if progress else True
    for group in tqdm(exchanged, "exchanging styles", unit="layer", disable=off):
        mixed = a.copy()
        mixed[:, group] = b[:, group]
        said = network.factors(render(mixed))
        for name, total in sums.items():
            total.parts.append(change(before[name], said[name]))
    rows = [total.shares() for total in sums.values()]
    share, error = (np.stack([row[i] for row in rows]) for i in range(2))
    names = [*layer_names(model.config, at), *(_name(group, at) for group in groups)]
    size = model.config.shape(at[-1])[0]
    own = confusion(network, size, pairs) if own_error else {}
    own = np.array([own.get(name, np.nan) for name in sums])
    return LayerTable(
        tuple(sums), tuple(names), share, error, own, len(at), tuple(at), pairs
    )


def change(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """The squared change of a factor, float64 [N], of [N] or of [N, values]."""
    squares = np.square(np.asarray(after, np.float64) - before)
    return squares.sum(axis=1) if squares.ndim == 2 else squares


def layer_resolutions(model) -> list[int]:
    """The resolution that each layer's style is used at first.

    Raises:
        UserError: one style for all layers.
    """
    c: GeneratorConfig = model.config
    if c.num_styles == 1:
        raise UserError(
            "this model has one style for all layers, so no layer has one of its own; "
            "StyleGAN from ladder D on, and StyleGAN2, have."
        )
    at = [r for r in levels(model.growth.resolution) for _ in range(2)]
    # StyleGAN2's first block has one layer; its last style serves the picture alone.
    return at if c.architecture == "stylegan" else [*at[1:], at[-1]]


def layer_names(c: GeneratorConfig, at: Sequence[int]) -> list[str]:
    """`4 a`, `4 b`, `8 a` and so on; `rgb` for a style that makes the picture only."""
    counts: dict[int, int] = {}
    names = []
    for r in at:
        names.append(f"{r} {'abc'[counts.get(r, 0)]}")
        counts[r] = counts.get(r, 0) + 1
    if c.architecture != "stylegan":
        names[-1] = f"{at[-1]} rgb"
    return names


def _by_resolution(at: Sequence[int]) -> list[list[int]]:
    return [[i for i, r in enumerate(at) if r == own] for own in sorted(set(at))]


def _name(group: Sequence[int], at: Sequence[int]) -> str:
    low, high = min(at[i] for i in group), max(at[i] for i in group)
    return f"all {low}" if low == high else f"{low} to {high}"


def confusion(network, size: int, pairs: int) -> dict[str, float]:
    """Measures the share of its change that the network sees in an unchanged factor.

    Faces of the demo in pairs that agree in one factor and in nothing else, against
    pairs that agree in nothing.

    Args:
        network: with the demo's factors among its heads; others are left out.
        size: of the pictures, drawn at least at the demo's smallest.
        pairs: for each factor.

    Returns:
        By factor of the demo, 0 = none.
    """
    size = int(np.clip(size, *demo.SIZES))
    first, second = (
        [demo.factors(i, OWN_ERROR_SEED) for i in range(n * pairs, (n + 1) * pairs)]
        for n in range(2)
    )

    def seen(faces, detail: int):
        drawn = [demo.draw_face(f, size, detail + i) for i, f in enumerate(faces)]
        return network.factors(np.stack(drawn))

    before, after, found = seen(first, 0), seen(second, pairs), {}
    for name in demo.FACTORS:
        if name not in before:
            continue
        held = [g | {name: f[name]} for f, g in zip(first, second, strict=True)]
        false = change(before[name], seen(held, pairs)[name]).mean()
        found[name] = float(false / change(before[name], after[name]).mean())
    return found
