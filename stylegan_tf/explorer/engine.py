"""Renders the states of the page, without a web library.

The images are those of `sampling.draw` to the bit, so that a command line draws them
again: styles and images are computed in batches of the same size. Where such a batch
takes too long for a hand on a slider, `Engine.show` renders one image alone, which
differs by rounding at most.

One engine serves all tabs, from any thread; it renders one image at a time.
"""

import contextlib
import functools
import io
import shlex
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from stylegan_tf import config, latents, sampling
from stylegan_tf.command_line import command_words
from stylegan_tf.errors import UserError
from stylegan_tf.explorer.state import ImageState, LayerGroup, groups_of, plane_seeds
from stylegan_tf.latents import directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.stylegan3 import rotation_and_shift
from stylegan_tf.sampling import steering

LIMIT = 0.3  # seconds of an exact image, above which previews are shown
KINDS = {"pca": "PCA of w", "sefa": "SeFa"}
CACHED_STYLES = 512


Find = Callable[[str, tuple[int, ...] | None], tuple[np.ndarray, tuple[int, ...]]]


@dataclass(frozen=True)
class DirectionMenu:
    """The directions that a page offers.

    Attributes:
        sets: title -> names; no name twice.
        find: from a name, and layers or None, to float32 [w_dim], one unit of the
            slider, and the layers that it is added to.
        file: of directions that are not found in the model itself.
        from_file: their names.
    """

    sets: dict[str, list[str]] = field(default_factory=dict)
    find: Find | None = None
    file: str | None = None
    from_file: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Names of all directions, in order."""
        return [name for names in self.sets.values() for name in names]


def offered_directions(
    model: Generator, count: int = 8, path: str | None = None
) -> DirectionMenu:
    """Finds directions by PCA of w and SeFa, and reads those of a file.

    Args:
        model: the generator.
        count: most directions of each kind that is found in the model.
        path: `.npz` file of directions, or None.

    Raises:
        UserError: the file is not there, or of another model.
    """
    c = model.config
    known = directions.load_directions(path, c.num_styles, c.w_dim) if path else None
    own = list(known.names) if known else []
    find = steering.DirectionFinder(model, known)
    sets = {}
    for kind, title in KINDS.items():
        names = [f"{kind}{i}" for i in range(min(count, model.config.w_dim))]
        with contextlib.suppress(UserError):  # no mapping, or no styles, to find it in
            find(names[-1])
            sets[title] = [name for name in names if name not in own]
    if known:
        sets[Path(path).name] = own
    return DirectionMenu(sets, find, path, frozenset(own))


class Engine:
    """Renders states with one model.

    Args:
        model: the generator.
        path: the model's name on a command line.
        choice: the directions on offer.
        limit: see LIMIT.

    Attributes:
        groups: layers that are steered together.
        resolutions: those that have noise.
        exact: True if `show` renders the same image as `picture`.
        moves: True if the model can shift and rotate its pictures.
    """

    def __init__(
        self,
        model: Generator,
        path: str = "MODEL",
        choice: DirectionMenu | None = None,
        limit: float = LIMIT,
    ):
        self.model, self.path, c = model, path, model.config
        self._render = sampling.Renderer(model)
        self.resolution = self._render.resolution
        self.groups = groups_of(c, self.resolution)
        self.choice = choice or DirectionMenu()
        self.moves = c.architecture == "stylegan3"
        self._lock = threading.Lock()
        self._styles = functools.lru_cache(CACHED_STYLES)(self._style)
        self._centers = functools.lru_cache(None)(self._center)
        self._noise_resolutions = _noise_resolutions(
            c, self._render.shapes, self.resolution
        )
        self.resolutions = tuple(dict.fromkeys(self._noise_resolutions))
        self._preview = self._render
        self.exact = self._warm_up() <= limit or self._render.batch == 1
        if not self.exact:
            self._preview = sampling.Renderer(model, batch=1)
            self.show(self.first())

    def first(self) -> ImageState:
        """Returns the state in which a tab begins."""
        label = 0 if sampling.label_count(self.model) else None
        return ImageState(label=label, mixes=(None,) * len(self.groups))

    # -----------------------------------------------------------------------
    # Styles

    def styles(self, state: ImageState) -> np.ndarray:
        """Returns ws [1, num_styles, w_dim]: mixed, walked, truncated, then edited."""
        label = state.label
        ws = self._styles(state.seed, label).copy()
        for group, seed in zip(self.groups, state.mixes, strict=False):
            if seed is not None:
                ws[:, group.layers] = self._styles(seed, label)[:, group.layers]
        for plane, right, down in state.walk:
            a, b, c, d = (self._styles(seed, label) for seed in plane_seeds(plane))
            ws += ((a - b) * right + (c - d) * down) * np.float32(0.5**0.5)
        if state.psi != 1:
            psis = latents.layer_psi(state.psi, state.cutoff, ws.shape[1])
            ws = latents.truncate(ws, self._centers(label), psis)
        group = self.edit_group(state)
        for name, amount in state.edits.items():
            step, layers = self.choice.find(name, group.numbers if group else None)
            ws[:, list(layers)] += np.float32(amount) * step
        return ws

    def edit_group(self, state: ImageState) -> LayerGroup | None:
        """Returns the layers that a state's edits reach; None = all."""
        return None if state.edit_group is None else self.groups[state.edit_group]

    def _style(self, seed: int, label: int | None) -> np.ndarray:
        classes = None if label is None else [label]
        return sampling.styles(self.model, [seed], classes=classes)

    def _center(self, label: int | None) -> np.ndarray:
        if label is None:
            return self.model.w_avg.numpy()
        return sampling.class_centers(self.model, [label])

    # -----------------------------------------------------------------------
    # Noise

    def noise(self, state: ImageState) -> list[np.ndarray]:
        """Returns a noise map per layer, float32 [1, H, W, 1]; zero where it is off.

        Raises:
            UserError: random noise of a model without noise inputs.
        """
        sampling.check_noise(self.model.config, state.noise)
        if state.noise == "random":
            maps = self._render.noise_of([state.seed])
        else:
            maps = sampling.stored_noise(self.model)
        off = [
            state.noise == "none" or r in state.muted for r in self._noise_resolutions
        ]
        return [np.zeros_like(m) if o else m for m, o in zip(maps, off, strict=True)]

    # -----------------------------------------------------------------------
    # Pictures

    def picture(self, state: ImageState) -> np.ndarray:
        """Returns uint8 [H, W, C], as a command line draws it."""
        with self._lock:
            return self._draw(self._render, state)

    def show(self, state: ImageState) -> np.ndarray:
        """Returns uint8 [H, W, C] as soon as possible; see `exact`."""
        with self._lock:
            return self._draw(self._preview, state)

    def _draw(self, render: sampling.Renderer, state: ImageState) -> np.ndarray:
        transform = (
            rotation_and_shift(state.angle, *state.shift) if self.moves else None
        )
        ws, maps = self.styles(state), self.noise(state)
        return render(ws, maps, transform=transform)[0]

    def _warm_up(self) -> float:
        """Compiles all functions that a tab calls; returns the seconds of an image."""
        self.picture(self.first())
        start = time.perf_counter()
        self.picture(self.first())
        return time.perf_counter() - start

    def latents(self, state: ImageState) -> bytes:
        """Returns the bytes of an `.npz` file with the styles and noise of a state."""
        with self._lock:
            maps = self.noise(state) or None
            name = f"seed{state.seed:04d}"
            found = latents.Latents(self.styles(state), maps, (name,))
        with tempfile.TemporaryDirectory() as folder:
            return found.save(Path(folder) / "latents.npz").read_bytes()


def _noise_resolutions(
    c: config.GeneratorConfig, shapes: list[tuple[int, int]], resolution: int
) -> list[int]:
    """Returns the resolution of each layer's noise map."""
    known = {c.shape(r): r for r in config.levels(resolution)}
    return [known[shape] for shape in shapes]


def png_bytes(picture: np.ndarray) -> bytes:
    """Returns the bytes of one uint8 [H, W, C] image as a PNG file."""
    file = io.BytesIO()
    flat = picture[..., 0] if picture.shape[-1] == 1 else picture
    Image.fromarray(flat).save(file, format="PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Command:
    """A command line that draws the image of a state.

    Attributes:
        words: for a shell, in the folder that the page was started in.
        why: the reason why flags do not suffice and the file `latents` is needed, as a
            clause; empty where they do.
        latents: name of that file, or None.
    """

    words: tuple[str, ...]
    why: str = ""
    latents: str | None = None

    @property
    def line(self) -> str:
        """The words in one line, quoted where a shell needs it."""
        return shlex.join(self.words)


def command_for(engine: Engine, state: ImageState) -> Command:
    """Returns the command line of a state."""
    why = _beyond_flags(engine, state)
    if not why:
        return Command(_words(engine, *_flags(engine, state)))
    file = f"seed{state.seed:04d}.npz"
    moves = _moves(engine, state)
    return Command(_words(engine, f"--latents={file}", *moves), why, file)


def download_name(state: ImageState) -> str:
    """Returns the name of a saved image, the same that `generate` gives."""
    return f"seed{state.seed:04d}.png"


def _words(engine: Engine, *flags: str) -> tuple[str, ...]:
    return (*command_words("generate"), f"--model={engine.path}", *flags)


def _beyond_flags(engine: Engine, state: ImageState) -> str:
    """Returns the parts of a state that no flag can express, as a clause, or ""."""
    partly = state.noise != "none" and state.muted & set(engine.resolutions)
    reasons = []
    if any(right or down for _, right, down in state.walk):
        reasons.append("it was dragged through a random plane")
    if partly and not _is_silent(engine, state):
        reasons.append("only some resolutions have noise")
    return " and ".join(reasons)


def _is_silent(engine: Engine, state: ImageState) -> bool:
    """True if no layer has noise."""
    return state.noise == "none" or set(engine.resolutions) <= state.muted


def _flags(engine: Engine, state: ImageState) -> list[str]:
    flags = [f"--seeds={state.seed}", f"--psi={state.psi:g}"]
    if state.cutoff is not None:
        flags.append(f"--cutoff={state.cutoff}")
    if engine.resolutions and (_is_silent(engine, state) or state.noise != "const"):
        flags.append(f"--noise={'none' if _is_silent(engine, state) else state.noise}")
    if state.label is not None:
        flags.append(f"--classes={state.label}")
    for group, seed in zip(engine.groups, state.mixes, strict=False):
        if seed is not None:
            flags.append(f"--mix={seed}@{group.text}")
    group = engine.edit_group(state)
    reach = f"@{group.text}" if group else ""
    flags += [f"--edit={name}:{a:g}{reach}" for name, a in state.edits.items()]
    if engine.choice.from_file & set(state.edits):
        flags.append(f"--directions={engine.choice.file}")
    return flags + _moves(engine, state)


def _moves(engine: Engine, state: ImageState) -> list[str]:
    """Returns the flags that shift and rotate the picture."""
    flags, (x, y) = [], state.shift
    if engine.moves and (x or y):
        flags.append(f"--translate={x:g},{y:g}")
    if engine.moves and state.angle:
        flags.append(f"--rotate={state.angle:g}")
    return flags
