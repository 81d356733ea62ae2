"""Renders the states of the page, without a web library.

The images are those of `sampling.draw` to the bit, so that a command line (`command`)
draws them again: styles and images are computed in batches of the same size. Where such
a batch takes too long for a hand on a slider, `Engine.show` renders one image alone,
which differs by rounding at most.

One engine serves all tabs, from any thread; it renders one image at a time.
"""

import contextlib
import functools
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stylegan_tf import config, figures, latents, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.explorer.state import (
    ImageState,
    LayerGroup,
    OwnPicture,
    groups_of,
    plane_seeds,
)
from stylegan_tf.formats.tuned_files import write_tuned
from stylegan_tf.latents import directions
from stylegan_tf.networks.block import weights_fingerprint
from stylegan_tf.networks.encoder import Encoder
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.stylegan3 import rotation_and_shift
from stylegan_tf.projector import (
    Dragger,
    Tuning,
    TuningSettings,
    default_settings,
    encode_images,
    search,
)
from stylegan_tf.projector.tuning import weight_differences
from stylegan_tf.sampling import steering

LIMIT = 0.3  # seconds of an exact image, above which previews are shown
KINDS = {"pca": "PCA of w", "sefa": "SeFa"}
CACHED_STYLES = 512


Describe = Callable[[Sequence[str]], Mapping[str, str]]
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
        describe: from the words of a command line to the texts that a PNG carries.
        original: the model's own file, which a tuned model's file names; None = the
            model cannot be tuned.
        encoder: of the model, at whose answers projections begin; None = at the mean.
        encoder_file: its path.

    Attributes:
        groups: layers that are steered together.
        resolutions: those that have noise.
        exact: True if `show` renders the same image as `picture`.
        moves: True if the model can shift and rotate its pictures.
        tuned_file: name and content of the file of a model that was tuned here.
        tuned_to: the picture that it was tuned to, and the steps that took.
    """

    def __init__(
        self,
        model: Generator,
        path: str = "MODEL",
        choice: DirectionMenu | None = None,
        limit: float = LIMIT,
        describe: Describe | None = None,
        original: Path | None = None,
        encoder: Encoder | None = None,
        encoder_file: str | None = None,
    ):
        self.model, self.path, c = model, path, model.config
        self.original, self._describe = original, describe
        self.encoder, self.encoder_file = encoder, encoder_file
        self.tuned_file: tuple[str, bytes] | None = None
        self.tuned_to: tuple[OwnPicture, int] | None = None
        self._base: Engine | None = None  # of a tuned model: that of the original
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
        """Returns ws [1, num_styles, w_dim]: mixed, walked, truncated, then edited.

        What dragged points have changed comes last.
        """
        own, label = state.picture, self._label(state)
        ws = (own.ws if own else self._styles(state.seed, label)).copy()
        for group, seed in zip(self.groups, state.mixes, strict=False):
            if seed is not None:
                ws[:, group.layers] = self._styles(seed, label)[:, group.layers]
        for plane, right, down in state.walk:
            a, b, c, d = (self._styles(seed, label) for seed in plane_seeds(plane))
            ws += ((a - b) * right + (c - d) * down) * np.float32(0.5**0.5)
        if state.psi != 1:
            psis = latents.layer_psi(state.psi, state.cutoff, ws.shape[1])
            center = self._centers(None if own else label)
            ws = latents.truncate(ws, center, psis)
        group = self.edit_group(state)
        for name, amount in state.edits.items():
            step, layers = self.choice.find(name, group.numbers if group else None)
            ws[:, list(layers)] += np.float32(amount) * step
        return ws if state.drag is None else ws + state.drag.change

    def _label(self, state: ImageState) -> int | None:
        """Returns the class of the seeds; that of a file's pictures is the first."""
        return 0 if state.picture and state.label is not None else state.label

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
            maps = self._render.noise_of([0 if state.picture else state.seed])
        elif state.picture is not None and state.picture.noise:
            maps = state.picture.noise
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
        ws, maps = self.styles(state), self.noise(state)
        return render(ws, maps, transform=self._transform(state))[0]

    def _transform(self, state: ImageState) -> np.ndarray | None:
        if not self.moves:
            return None
        return rotation_and_shift(state.angle, *state.shift)

    def _warm_up(self) -> float:
        """Compiles all functions that a tab calls; returns the seconds of an image."""
        self.picture(self.first())
        start = time.perf_counter()
        self.picture(self.first())
        return time.perf_counter() - start

    def latents(self, state: ImageState, final: bool = True) -> bytes:
        """Returns the bytes of an `.npz` file with the styles and noise of a state.

        Args:
            state: of the image.
            final: False for those of the user's own picture alone, before it was
                edited.
        """
        own = state.picture
        if final or own is None:
            with self._lock:
                ws, maps = self.styles(state), self.noise(state)
        else:
            ws, maps = own.ws, own.noise or []
        name = own.name if own else f"seed{state.seed:04d}"
        found = latents.Latents(ws, maps or None, (name,))
        with tempfile.TemporaryDirectory() as folder:
            return found.save(Path(folder) / "latents.npz").read_bytes()

    @property
    def batch(self) -> int:
        """Images that are computed at once."""
        return self._render.batch

    def render(
        self, ws: np.ndarray, maps: list[np.ndarray], state: ImageState
    ) -> np.ndarray:
        """Returns the images of styles, uint8 [N, H, W, C], moved as a state says."""
        with self._lock:
            return self._render(ws, maps, transform=self._transform(state))

    def facts(self, words: Sequence[str]) -> Mapping[str, str]:
        """Returns the texts of a PNG that a command line draws."""
        return self._describe(words) if self._describe else {}

    def strip(
        self, state: ImageState, name: str, amounts: Sequence[float]
    ) -> list[np.ndarray]:
        """Returns a state's images at several amounts of a direction."""
        plain = replace(state, drag=None)
        return [self.show(plain.edited(name, amount)) for amount in amounts]

    # -----------------------------------------------------------------------
    # Gradient descent; see `work`

    @property
    def drags(self) -> bool:
        """True if points of the model's pictures can be dragged."""
        return hasattr(self.model.synthesis, "feature_maps")

    @functools.cached_property
    def dragger(self) -> Dragger:
        """Drags points of one picture after the other."""
        return Dragger(self.model)

    @functools.cached_property
    def w_statistics(self) -> tuple[np.ndarray, float]:
        """The mean of w and its standard deviation."""
        return search.w_statistics(self.model)

    def search_start(self, image: np.ndarray, space: str) -> np.ndarray:
        """Returns the styles that the projection of uint8 [H, W, C] begins with."""
        if self.encoder is None:
            return self.w_statistics[0][None, None]
        return encode_images(self.encoder, image[None], space)

    @functools.cached_property
    def projector(self) -> Callable[[str, int], search.Projector]:
        """Returns the search in a space with a number of steps, compiled once."""
        settings = default_settings(self.encoder is not None)

        def make(space: str, steps: int) -> search.Projector:
            how = {"steps": steps, "settings": settings}
            return search.Projector(self.model, 1, space, **how)

        return functools.lru_cache(2)(make)

    def tuned(self, tuning: Tuning, name: str, settings: TuningSettings) -> "Engine":
        """Returns the engine of a model that was tuned to a picture, and its file.

        Raises:
            UserError: the original is no file that a tuned one could name.
        """
        base = self._base or self
        if base.original is None:
            raise UserError("this model is tuned already; open its original to tune.")
        differences = weight_differences(tuning.generator, base.model)
        about = {"pictures": [name], "steps": tuning.steps} | vars(settings)
        file = f"{name}-tuned.npz"
        fingerprint = weights_fingerprint(base.model)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / file
            write_tuned(path, base.original, fingerprint, differences, about)
            content = path.read_bytes()
        how = {"describe": self._describe, "original": base.original}
        made = Engine(tuning.generator, file, **how)
        made.tuned_file, made._base = (file, content), base
        return made


def _noise_resolutions(
    c: config.GeneratorConfig, shapes: list[tuple[int, int]], resolution: int
) -> list[int]:
    """Returns the resolution of each layer's noise map."""
    known = {c.shape(r): r for r in config.levels(resolution)}
    return [known[shape] for shape in shapes]


def saved_png(
    images: np.ndarray, facts: Mapping[str, str] | None = None, columns: int = 1
) -> bytes:
    """Returns the bytes of a PNG as `generate` saves it: enlarged, with its recipe.

    Args:
        images: uint8 [N, H, W, C]; several are a sheet.
        facts: texts that the file carries.
        columns: of a sheet.
    """
    factor = figures.sheet_layout(*images.shape[1:3])[2]
    large = figures.image_grid(figures.enlarge(images, factor), columns)
    return figures.image_bytes(large, facts=facts)
