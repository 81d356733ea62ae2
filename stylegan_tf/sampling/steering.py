"""Steers styles on their way to the image: mixing (StyleGAN, section 3.1) and editing.

    batch = StyleBatch.from_seeds(model, [3, 7])
    steer = Steering(model, edits=[parse_edit("pca0:2@0-3", layers)])
    images = Renderer(model)(steer(batch.truncated(0.7), batch.class_ids))

Order: truncation first, then mixing (each of the two styles truncated), then editing.
An edit adds AMOUNT standard deviations along a direction to some layers, and nothing
else.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import keras
import numpy as np

from stylegan_tf import latents
from stylegan_tf.errors import UserError
from stylegan_tf.latents import Edit, Mix, directions
from stylegan_tf.latents.directions import Directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.layers import EqualizedDense
from stylegan_tf.sampling import centers, renderer

MOST_FOUND = 64  # sets of directions that are kept; those of 512 numbers take 2 MB


class DirectionFinder:
    """Finds directions by name: those of a file, or `pca0`, `sefa3` of the model.

    Args:
        model: the generator.
        known: directions of a file, which come first; None = no file.
    """

    def __init__(self, model: Generator, known: Directions | None = None):
        self.model, self.known = model, known
        self._w: np.ndarray | None = None
        self._found: dict[tuple, Directions] = {}

    def __call__(
        self, name: str, layers: tuple[int, ...] | None = None
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """Returns one standard deviation, float32 [w_dim], and the layers to edit.

        Args:
            name: of the direction.
            layers: to edit; None = the direction's own. A `sefa` direction is computed
                from the affine layers of these.

        Raises:
            UserError: there is no such direction.
        """
        every = tuple(range(self.model.config.num_styles))
        if self.known is not None and name in self.known.names:
            return self.known.step(name), layers or self.known.layers or every
        kind = name.rstrip("0123456789")
        if kind not in ("pca", "sefa") or kind == name:
            known = ", ".join(self.known.names) + ", " if self.known else ""
            raise UserError(
                f"there is no direction {name!r}; there are {known}pca0, pca1, ..., "
                f"sefa0, ..., and those of a file, with --directions=FILE.npz."
            )
        key = (kind, (layers or ()) if kind == "sefa" else ())
        if key not in self._found:
            if self._w is None:
                self._w = centers.sample_w(self.model)
            found = find_directions(self.model, kind, layers=key[1], w=self._w)
            if len(self._found) >= MOST_FOUND:
                del self._found[next(iter(self._found))]
            self._found[key] = found
        return self._found[key].step(name), layers or every


def find_directions(
    model: Generator,
    kind: str,
    count: int | None = None,
    layers: tuple[int, ...] = (),
    w: np.ndarray | None = None,
) -> Directions:
    """Finds directions that need no labels: `directions.pca` or `directions.sefa`.

    Args:
        model: the generator.
        kind: "pca" or "sefa".
        count: number of directions; None = all.
        layers: to edit; `sefa` looks at the affine layers of these. () = all.
        w: float [N, w_dim], samples of w; None = `sampling.sample_w`.

    Raises:
        UserError: the model has no mapping, or no styles, to find them in.
    """
    c = model.config
    if kind == "pca" and c.mapping_layers == 0:
        raise UserError(
            "the model has no mapping network: w is z, which has no main axes."
        )
    weights = style_affines(model) if kind == "sefa" else []
    w = centers.sample_w(model) if w is None else w
    count = count or c.w_dim
    if kind == "sefa":
        drawn = tuple(range(renderer.drawn_styles(model)))
        learned = () if len(drawn) == len(weights) else drawn
        return directions.sefa(weights, w, count, layers or learned)
    return replace(directions.pca(w, count), layers=layers)


class Affine(NamedTuple):
    """An affine layer that reads a style.

    Attributes:
        weights: float64 [w_dim, outputs], as they are applied.
        bias: the variable that holds its bias, [outputs].
    """

    weights: np.ndarray
    bias: keras.Variable


def style_affines(model: Generator) -> list[list[np.ndarray]]:
    """Returns the weights of the affine layers that read each style.

    Args:
        model: a generator of an architecture with a style per layer.

    Returns:
        For each of the num_styles styles the weights, float64 [w_dim, outputs] each,
        of AdaIN's scales and shifts, or of the modulations of convolutions and of
        `to_rgb`.

    Raises:
        UserError: the model has no styles.
    """
    return [[affine.weights for affine in own] for own in affine_layers(model)]


def affine_layers(model: Generator) -> list[list[Affine]]:
    """Returns the affine layers that read each style; see `style_affines`."""
    c = model.config
    if not c.has_styles:
        raise UserError(
            f"the model (architecture {c.architecture}) has no style per layer, so no "
            f"affines to factorize; use pca."
        )
    try:
        return _affine_layers(model)
    except AttributeError as error:
        if not c.network:
            raise
        raise UserError(
            f"the model draws by a network of your own ({c.network}), whose affines "
            f"are not known here; use pca."
        ) from error


def _affine_layers(model: Generator) -> list[list[Affine]]:
    c = model.config
    if c.architecture == "stylegan3":
        layers = [getattr(model.synthesis, f"layer{i}") for i in range(c.num_layers)]
        features = model.synthesis.input_features
        first = Affine(features.affine_weights(), features.affine_bias)
        return [[first], *([_affine(layer.affine)] for layer in layers)]
    found: list[list[EqualizedDense]] = [[] for _ in range(c.num_styles)]
    resolutions = [4 << i for i in range(c.num_layers // 2)]
    for i, r in enumerate(resolutions):
        block = getattr(model.synthesis, f"block{r}")
        if c.architecture == "stylegan":
            for j in range(2):
                found[2 * i + j].append(getattr(block, f"epilogue{j}").style.affine)
            continue
        if r > 4:
            found[2 * i - 1].append(block.conv0.conv.affine)
        found[2 * i].append(block.conv1.conv.affine)
        if hasattr(model.synthesis, f"to_rgb{r}"):
            found[2 * i + 1].append(getattr(model.synthesis, f"to_rgb{r}").affine)
    return [[_affine(dense) for dense in own] for own in found]


def _affine(dense: EqualizedDense) -> Affine:
    """Takes the equalized learning rate into account."""
    weights = np.asarray(dense.kernel.numpy(), np.float64) * dense.runtime_coef
    return Affine(weights, dense.bias)


class Steering:
    """Mixes and edits styles; a `steer` for `sampling.draw`.

    Args:
        model: the generator.
        mixes: applied in order. A seed is mapped with the class of the image that its
            styles go into.
        edits: applied in order.
        find: finds directions by name; None = those of the model.
        psi, cutoff, psi_center: truncation of the mixed-in styles; see `sampling.draw`.
    """

    def __init__(
        self,
        model: Generator,
        mixes: Sequence[Mix] = (),
        edits: Sequence[Edit] = (),
        find: DirectionFinder | None = None,
        psi: float | Sequence[float] = 1.0,
        cutoff: int | None = None,
        psi_center: str | None = None,
    ):
        self.model, self.mixes = model, list(mixes)
        self.truncation = {"psi": psi, "cutoff": cutoff, "psi_center": psi_center}
        find = find or DirectionFinder(model)
        self.steps = []
        for edit in edits:
            step, layers = find(edit.name, edit.layers)
            self.steps.append((np.float32(edit.amount) * step, list(layers)))
        self._styles: dict[tuple[int, int | None], np.ndarray] = {}  # by seed and class

    def __call__(self, ws: np.ndarray, class_ids: np.ndarray) -> np.ndarray:
        """Returns mixed and edited styles, float32 [N, num_styles, w_dim].

        Args:
            ws: float32 [N, num_styles, w_dim], truncated.
            class_ids: int [N]; [0] for an unconditional model.
        """
        ws = np.array(ws, np.float32)
        for mix in self.mixes:
            other = self._styles_of(mix.seed, class_ids)
            ws = latents.mix_styles(ws, other, list(mix.layers))
        for step, layers in self.steps:
            ws[:, layers] += step
        return ws

    def _styles_of(self, seed: int, class_ids: np.ndarray) -> np.ndarray:
        """Returns a seed's styles in these classes, [N or 1, num_styles, w_dim]."""
        classes = [int(k) for k in class_ids] or [None]
        for k in dict.fromkeys(classes):
            if (seed, k) not in self._styles:
                own = None if k is None else [k]
                ws = renderer.styles(self.model, [seed], classes=own, **self.truncation)
                self._styles[seed, k] = ws[0]
        return np.stack([self._styles[seed, k] for k in classes])
