"""States to pictures: the model's side of the page, without a web library.

The pictures are those of `sampling.draw` to the bit, so that a command line draws them
again: styles and pictures are computed in batches of the same size. Where such a batch
takes too long for a hand on a slider, `preview` draws one picture alone, which differs
from it by rounding at most.

One engine serves all tabs, from any thread; pictures are drawn one at a time.
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
from stylegan_tf.errors import UserError
from stylegan_tf.explorer.state import Group, State, groups_of, plane_seeds
from stylegan_tf.latents import directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import steering

LIMIT = 0.3  # seconds that an exact picture may take before previews are drawn
KINDS = {"pca": "PCA of w", "sefa": "SeFa"}
KEPT = 512  # styles that are remembered


Find = Callable[[str, tuple[int, ...] | None], tuple[np.ndarray, tuple[int, ...]]]


@dataclass(frozen=True)
class Choice:
    """The directions that a page offers.

    Attributes:
        sets: title -> names; no name twice.
        find: a name, and layers or None, to float32 [w_dim], one unit of the slider,
            and the layers that it is added to.
        file: where those came from that the model does not have by itself.
        own: their names.
    """

    sets: dict[str, list[str]] = field(default_factory=dict)
    find: Find | None = None
    file: str | None = None
    own: frozenset[str] = frozenset()

    @property
    def names(self) -> list[str]:
        """Of all directions, in order."""
        return [name for names in self.sets.values() for name in names]


def directions_of(model: Generator, count: int = 8, path: str | None = None) -> Choice:
    """PCA of w and SeFa, and the directions of a file.

    Args:
        model: the generator.
        count: of each of the model's own kinds, at most.
        path: `.npz` of directions, or None.

    Raises:
        UserError: the file is not there, or of another model.
    """
    c = model.config
    known = directions.load(path, c.num_styles, c.w_dim) if path else None
    own = list(known.names) if known else []
    find = steering.Finder(model, known)
    sets = {}
    for kind, title in KINDS.items():
        names = [f"{kind}{i}" for i in range(min(count, model.config.w_dim))]
        with contextlib.suppress(UserError):  # no mapping, or no styles, to find it in
            find(names[-1])
            sets[title] = [name for name in names if name not in own]
    if known:
        sets[Path(path).name] = own
    return Choice(sets, find, path, frozenset(own))


class Engine:
    """Draws states with one model.

    Args:
        model: the generator.
        path: what names the model on a command line.
        choice: the directions that there are.
        limit: seconds, as LIMIT.

    Attributes:
        groups: layers that are steered together.
        resolutions: levels that take noise.
        exact: whether `show` draws what `picture` draws.
    """

    def __init__(
        self,
        model: Generator,
        path: str = "MODEL",
        choice: Choice | None = None,
        limit: float = LIMIT,
    ):
        self.model, self.path, c = model, path, model.config
        self._render = sampling.Renderer(model)
        self.resolution = self._render.resolution
        self.groups = groups_of(c, self.resolution)
        self.choice = choice or Choice()
        self._lock = threading.Lock()
        self._styles = functools.lru_cache(KEPT)(self._style)
        self._centers = functools.lru_cache(None)(self._center)
        self._levels = _noise_levels(c, self._render.shapes, self.resolution)
        self.resolutions = tuple(dict.fromkeys(self._levels))
        self._preview = self._render
        self.exact = self._warm_up() <= limit or self._render.batch == 1
        if not self.exact:
            self._preview = sampling.Renderer(model, batch=1)
            self.show(self.first())

    def first(self) -> State:
        """Where a tab begins."""
        label = 0 if self.model.config.classes else None
        return State(label=label, mixes=(None,) * len(self.groups))

    # -----------------------------------------------------------------------
    # Styles

    def styles(self, state: State) -> np.ndarray:
        """float32 [1, num_styles, w_dim]: mixed, walked, truncated, then edited."""
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

    def edit_group(self, state: State) -> Group | None:
        """The layers that a state's edits reach; None = all."""
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

    def noise(self, state: State) -> list[np.ndarray]:
        """One float32 [1, H, W, 1] a layer; zero where it is off."""
        if state.noise == "random":
            maps = self._render.noise_of([state.seed])
        else:
            maps = sampling.stored_noise(self.model)
        off = [state.noise == "none" or r in state.muted for r in self._levels]
        return [np.zeros_like(m) if o else m for m, o in zip(maps, off, strict=True)]

    # -----------------------------------------------------------------------
    # Pictures

    def picture(self, state: State) -> np.ndarray:
        """uint8 [H, W, C], as a command line draws it."""
        with self._lock:
            return self._render(self.styles(state), self.noise(state))[0]

    def show(self, state: State) -> np.ndarray:
        """Returns uint8 [H, W, C] as soon as possible: `picture`, or one rounded
        differently.
        """
        with self._lock:
            return self._preview(self.styles(state), self.noise(state))[0]

    def _warm_up(self) -> float:
        """Compiles everything that a tab will need; seconds that a picture takes."""
        self.picture(self.first())
        start = time.perf_counter()
        self.picture(self.first())
        return time.perf_counter() - start

    def latents(self, state: State) -> bytes:
        """The styles and noise of a state as an `.npz` file."""
        with self._lock:
            maps = self.noise(state) or None
            name = f"seed{state.seed:04d}"
            found = latents.Latents(self.styles(state), maps, (name,))
        with tempfile.TemporaryDirectory() as folder:
            return found.save(Path(folder) / "latents.npz").read_bytes()


def _noise_levels(c: config.GeneratorConfig, shapes, resolution: int) -> list[int]:
    """The resolution that each layer's noise belongs to."""
    known = {c.shape(r): r for r in config.levels(resolution)}
    return [known[shape] for shape in shapes]


def png(picture: np.ndarray) -> bytes:
    """One uint8 [H, W, C] picture as a PNG file."""
    file = io.BytesIO()
    flat = picture[..., 0] if picture.shape[-1] == 1 else picture
    Image.fromarray(flat).save(file, format="PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Command:
    """How a picture is drawn outside the page.

    Attributes:
        words: for a shell, in the folder that the page was started in.
        why: what no flag says about the state, so that it needs the file
            `latents`; empty where flags are enough.
        latents: name of that file, or None.
    """

    words: tuple[str, ...]
    why: str = ""
    latents: str | None = None

    @property
    def line(self) -> str:
        """In one line, quoted where a shell needs it."""
        return shlex.join(self.words)


def command(engine: Engine, state: State) -> Command:
    """The command line of a state."""
    why = _beyond_flags(engine, state)
    if not why:
        return Command(_words(engine, *_flags(engine, state)))
    file = f"seed{state.seed:04d}.npz"
    return Command(_words(engine, f"--latents={file}"), why, file)


def file_name(state: State) -> str:
    """What a picture is called where it is saved; the name that `generate` gives."""
    return f"seed{state.seed:04d}.png"


def _words(engine: Engine, *flags: str) -> tuple[str, ...]:
    return ("python", "launch/generate.py", f"--model={engine.path}", *flags)


def _beyond_flags(engine: Engine, state: State) -> str:
    """What flags cannot say, as a clause; empty if there is nothing."""
    partly = state.noise != "none" and state.muted & set(engine.resolutions)
    reasons = []
    if any(right or down for _, right, down in state.walk):
        reasons.append("it was dragged through a random plane")
    if partly and not _silent(engine, state):
        reasons.append("only some resolutions have noise")
    return " and ".join(reasons)


def _silent(engine: Engine, state: State) -> bool:
    """Whether no layer has noise."""
    return state.noise == "none" or set(engine.resolutions) <= state.muted


def _flags(engine: Engine, state: State) -> list[str]:
    flags = [f"--seeds={state.seed}", f"--psi={state.psi:g}"]
    if state.cutoff is not None:
        flags.append(f"--cutoff={state.cutoff}")
    if engine.resolutions and (_silent(engine, state) or state.noise != "const"):
        flags.append(f"--noise={'none' if _silent(engine, state) else state.noise}")
    if state.label is not None:
        flags.append(f"--classes={state.label}")
    for group, seed in zip(engine.groups, state.mixes, strict=False):
        if seed is not None:
            flags.append(f"--mix={seed}@{group.text}")
    group = engine.edit_group(state)
    reach = f"@{group.text}" if group else ""
    flags += [f"--edit={name}:{a:g}{reach}" for name, a in state.edits.items()]
    if engine.choice.own & set(state.edits):
        flags.append(f"--directions={engine.choice.file}")
    return flags
