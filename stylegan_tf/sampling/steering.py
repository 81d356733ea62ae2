"""What is done to styles on their way to pictures: truncation, mixing, editing, walks.

    who = of_seeds(model, [3, 7])                    # w is computed here, and only here
    ws = who.truncated(psi=0.7)                      # [2, num_styles, w_dim]
    steer = Steering(model, edits=[parse_edit("pca0:2@0-3", layers)])
    pictures = Renderer(model)(steer(ws, who.turns))

Order: truncation first, then mixing (each of the two truncated), then editing. An edit
adds AMOUNT standard deviations along a direction to some layers, and nothing else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stylegan_tf import latents
from stylegan_tf.errors import UserError
from stylegan_tf.latents import Edit, Mix, directions
from stylegan_tf.latents.directions import Directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import renderer


@dataclass(frozen=True)
class Subjects:
    """Pictures to be drawn: their styles before truncation, and what belongs to them.

    Attributes:
        ws: float32 [N, num_styles, w_dim].
        centers: float32 [N, 1, w_dim], what truncation pulls each towards.
        names: one a picture.
        turns: int [N], its class; [0] without classes.
        noise: its own maps, one [N or 1, H, W, 1] a layer; None = the model's.
        z: float [N, z_dim], where the styles come from; None = from somewhere else.
    """

    ws: np.ndarray
    centers: np.ndarray
    names: tuple[str, ...]
    turns: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    noise: list[np.ndarray] | None = None
    z: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ws)

    def __getitem__(self, rows) -> "Subjects":
        """Some of them, in this order: a list of numbers, or a slice."""
        rows = np.arange(len(self))[rows]
        noise = self.noise
        if noise is not None:
            noise = [m[rows] if len(m) > 1 else m for m in noise]
        names = tuple(self.names[i] for i in rows)
        turns = self.turns[rows] if len(self.turns) else self.turns
        z = None if self.z is None else self.z[rows]
        return Subjects(self.ws[rows], self.centers[rows], names, turns, noise, z)

    def truncated(self, psi=1.0, cutoff: int | None = None) -> np.ndarray:
        """Styles [N, num_styles, w_dim] at psi, a number or one a layer."""
        psis = latents.layer_psi(psi, cutoff, self.ws.shape[1])
        return latents.truncate(self.ws, self.centers, psis)

    def maps(self, row: int) -> list[np.ndarray] | None:
        """One picture's own noise, [1, H, W, 1] each; None if it has none."""
        if self.noise is None:
            return None
        return [m[row : row + 1] if len(m) > 1 else m for m in self.noise]


def of_seeds(
    model: Generator,
    seeds: Sequence[int],
    classes: Sequence[int] | None = None,
    psi_center: str | None = None,
    progress: bool = False,
) -> Subjects:
    """The pictures of seeds; classes take turns, as in `sampling.draw`."""
    seeds = list(seeds)
    ws = renderer.styles(model, seeds, classes=classes)
    asked = renderer.classes_of(model, classes)
    turns = np.resize(np.asarray(asked, int), len(seeds) if asked else 0)
    names = tuple(f"seed {s}" for s in seeds)
    z = latents.z_of(seeds, model.config.z_dim)
    return _subjects(model, ws, names, turns, psi_center, progress, z)


def of_latents(model: Generator, z: np.ndarray, classes=None) -> Subjects:
    """The pictures of latents z, float [N, z_dim], with numbers for names."""
    asked = renderer.classes_of(model, classes)
    turns = np.resize(np.asarray(asked, int), len(z) if asked else 0)
    w = renderer.mapped(model, z, turns)
    ws = np.repeat(w[:, None], model.config.num_styles, axis=1)
    return _subjects(model, ws, tuple(map(str, range(len(z)))), turns, None, False, z)


def of_file(model: Generator, path: Path | str) -> Subjects:
    """The styles in an `.npz` file, and their noise, if they have noise of their own.

    Raises:
        UserError: as `latents.load_latents`, or noise maps that do not fit.
    """
    c = model.config
    kept = latents.load_latents(path, c.num_styles, c.w_dim)
    shapes = c.noise_shapes(renderer.drawn_resolution(model))
    if kept.noise is not None:
        fits = [
            m.shape[1:] == (*s, 1) for m, s in zip(kept.noise, shapes, strict=False)
        ]
        if len(kept.noise) < len(shapes) or not all(fits):
            raise UserError(f"{path} has noise maps that the model has no layers for.")
    if not len(kept.ws):
        raise UserError(f"{path} holds no picture.")
    noise = kept.noise[: len(shapes)] if kept.noise else None
    who = _subjects(model, kept.ws, kept.names, np.zeros(0, int), "global", False)
    return replace(who, noise=noise)


def _subjects(model, ws, names, turns, psi_center, progress, z=None) -> Subjects:
    centers = renderer.centers(model, turns, psi_center, progress)
    centers = np.broadcast_to(centers, (len(ws), *centers.shape[1:]))
    return Subjects(ws, centers, names, turns, z=z)


class Finder:
    """Directions by name: of a file, or `pca0`, `sefa3`, found in the model at once.

    Args:
        model: the generator.
        known: directions of a file; they come first.
    """

    def __init__(self, model: Generator, known: Directions | None = None):
        self.model, self.known = model, known
        self._w: np.ndarray | None = None
        self._found: dict = {}

    def __call__(
        self, name: str, layers: tuple[int, ...] | None = None
    ) -> tuple[np.ndarray, tuple[int, ...]]:
        """One standard deviation [w_dim], and the layers that the edit belongs to.

        A `sefa` direction is that of the affines of the layers asked for.

        Raises:
            UserError: there is no such direction.
        """
        every = tuple(range(self.model.config.num_styles))
        if self.known is not None and name in self.known.names:
            return self.known.step(name), layers or self.known.layers or every
        kind, number = name.rstrip("0123456789"), name[len(name.rstrip("0123456789")) :]
        if kind not in ("pca", "sefa") or not number:
            known = ", ".join(self.known.names) + ", " if self.known else ""
            raise UserError(
                f"there is no direction {name!r}; there are {known}pca0, pca1, ..., "
                f"sefa0, ..., and those of a file, with --directions=FILE.npz."
            )
        return self._all(kind, layers or ()).step(name), layers or every

    def _all(self, kind: str, layers: tuple[int, ...]) -> Directions:
        key = (kind, layers if kind == "sefa" else ())
        if key not in self._found:
            self._found[key] = find(self.model, kind, layers=layers, w=self.sample())
        return self._found[key]

    def sample(self) -> np.ndarray:
        """w of fixed random latents, mapped once."""
        if self._w is None:
            self._w = renderer.sample_w(self.model)
        return self._w


def find(
    model: Generator,
    kind: str,
    count: int | None = None,
    layers: tuple[int, ...] = (),
    w: np.ndarray | None = None,
) -> Directions:
    """The directions of a model that need no labels.

    Args:
        model: the generator.
        kind: "pca" or "sefa".
        count: how many; None = all.
        layers: of `directions.sefa`; for pca, where an edit belongs.
        w: samples of w; None = `sampling.sample_w`.

    Raises:
        UserError: the model has no mapping, or no styles, to find them in.
    """
    c = model.config
    if kind == "pca" and c.mapping_layers == 0:
        raise UserError(
            "the model has no mapping network: w is z, which has no main axes."
        )
    weights = directions.affines(model) if kind == "sefa" else []
    w = renderer.sample_w(model) if w is None else w
    count = count or c.w_dim
    if kind == "sefa":
        drawn = tuple(range(renderer.drawn_styles(model)))
        grown = () if len(drawn) == len(weights) else drawn
        return directions.sefa(weights, w, count, layers or grown)
    found = directions.pca(w, count)
    numbers = found.vectors, found.scales, found.quality
    return Directions(found.names, *numbers, found.source, layers)


class Steering:
    """Mixing and editing as a function of styles, what `sampling.draw` calls `steer`.

    Args:
        model: the generator.
        mixes: in turn; a seed is drawn in the class of the picture that it goes into.
        edits: in turn.
        find: where directions come from.
        psi, cutoff, psi_center: truncation of the seeds that are mixed in.

    Call arguments:
        ws: float32 [N, num_styles, w_dim], truncated.
        turns: int [N], classes; [0] without.

    Returns:
        float32 [N, num_styles, w_dim].
    """

    def __init__(
        self,
        model: Generator,
        mixes: Sequence[Mix] = (),
        edits: Sequence[Edit] = (),
        find: Finder | None = None,
        psi: float | Sequence[float] = 1.0,
        cutoff: int | None = None,
        psi_center: str | None = None,
    ):
        self.model, self.mixes = model, list(mixes)
        self.how = {"psi": psi, "cutoff": cutoff, "psi_center": psi_center}
        find = find or Finder(model)
        self.steps = []
        for edit in edits:
            step, layers = find(edit.name, edit.layers)
            self.steps.append((np.float32(edit.amount) * step, list(layers)))
        self._kept: dict[tuple, np.ndarray] = {}

    def __call__(self, ws: np.ndarray, turns: np.ndarray) -> np.ndarray:
        ws = np.array(ws, np.float32)
        for mix in self.mixes:
            other = self._styles(mix.seed, turns)
            ws = latents.mix(ws, other, list(mix.layers))
        for step, layers in self.steps:
            ws[:, layers] += step
        return ws

    def _styles(self, seed: int, turns: np.ndarray) -> np.ndarray:
        """A seed's styles in these classes, [N or 1, num_styles, w_dim]."""
        classes = sorted(set(map(int, turns))) or [None]
        for k in classes:
            if (seed, k) not in self._kept:
                own = None if k is None else [k]
                ws = renderer.styles(self.model, [seed], classes=own, **self.how)
                self._kept[seed, k] = ws[0]
        rows = [
            self._kept[seed, k] for k in (map(int, turns) if len(turns) else [None])
        ]
        return np.stack(rows)


# ---------------------------------------------------------------------------
# Walks


def walk(
    model: Generator,
    who: Subjects,
    kind: str,
    frames: int,
    loop: bool = True,
) -> Subjects:
    """The frames of a film from picture to picture, before truncation.

    Args:
        model: the generator.
        who: the pictures passed.
        kind, frames, loop: as in `latents.path`.

    Raises:
        UserError: pictures without z, or of several classes, on a path in z.
    """
    if kind != "z":
        ws = latents.path(who.ws, kind, frames, loop)
        centers = latents.path(who.centers, "linear", frames, loop)
        turns = np.repeat(who.turns, frames)[: len(ws)]
    else:
        if who.z is None:
            raise UserError("styles of a file have no z; use --path=linear or cubic.")
        if len(set(map(int, who.turns))) > 1:
            raise UserError(
                "a path in z stays in one class; name it with --classes=K, or use "
                "--path=linear or cubic."
            )
        zs = latents.path(who.z, "z", frames, loop)
        turns = np.resize(who.turns, len(zs) if len(who.turns) else 0)
        w = renderer.mapped(model, zs, turns)
        ws = np.repeat(w[:, None], model.config.num_styles, axis=1)
        centers = np.repeat(who.centers[:1], len(zs), axis=0)
    return Subjects(ws, centers, tuple(map(str, range(len(ws)))), turns)


def render(
    draw: renderer.Renderer,
    ws: np.ndarray,
    maps: list[np.ndarray] | None = None,
    seeds: Sequence[int] | None = None,
) -> Iterator[np.ndarray]:
    """Pictures one after the other, no more of them held than a batch.

    Args:
        draw: makes them.
        ws: float [N, num_styles, w_dim].
        maps: noise of their own, one [N or 1, H, W, 1] a layer.
        seeds: or one a picture, that its noise is drawn from.
    """
    for start in range(0, len(ws), renderer.BATCH):
        rows = slice(start, start + renderer.BATCH)
        own = [m[rows] if len(m) > 1 else m for m in maps] if maps else None
        own = draw.noise_of(seeds[rows]) if seeds is not None else own
        yield from draw(ws[rows], own)
