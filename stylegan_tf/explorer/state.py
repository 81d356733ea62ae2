"""The state of an image on the page. No TensorFlow, no web library.

An `ImageState` holds the values of all controls: two tabs have two of them, the gallery
keeps them, and a command line is written from one. Layers are steered in groups, as in
section 3.1 of the StyleGAN paper: coarse (4 to 8 pixels), middle (16 to 32), fine (64
and up).
"""

import math
import random
from dataclasses import dataclass, field, replace

import numpy as np

from stylegan_tf import config
from stylegan_tf.errors import UserError
from stylegan_tf.latents import MAX_SEED, layer_groups

NOISE = ("const", "random", "none")
PSI = (-1.0, 1.5)  # the range of the slider
MOST_PLANES, FAR = 50, 100.0  # of a walk
SHIFT, ANGLE = 0.5, 180.0  # ends of the sliders of StyleGAN3's input
AMOUNT = 4.0  # a direction's slider runs from -AMOUNT to AMOUNT of its scale


@dataclass(frozen=True)
class LayerGroup:
    """Layers that are steered together.

    Attributes:
        name: "coarse", "middle" or "fine".
        first, last: layers, both included.
        resolutions: those that the layers draw.
    """

    name: str
    first: int
    last: int
    resolutions: tuple[int, ...]

    @property
    def layers(self) -> slice:
        """The group's rows of [num_styles, w_dim]."""
        return slice(self.first, self.last + 1)

    @property
    def numbers(self) -> tuple[int, ...]:
        """The layers one by one."""
        return tuple(range(self.first, self.last + 1))

    @property
    def text(self) -> str:
        """The layers as flags take them: `4-7`."""
        return f"{self.first}-{self.last}"


def groups_of(c: config.GeneratorConfig, resolution: int) -> tuple[LayerGroup, ...]:
    """Returns the groups of `latents.layer_groups` of a model drawn at `resolution`.

    Models with one style for all layers have no groups.
    """
    if c.num_styles == 1:
        return ()
    reached_by = [r for r in config.levels(resolution) for _ in range(2)]
    if c.architecture == "stylegan3":  # no layer has a resolution of its own
        reached_by = [resolution] * c.num_styles
    groups = []
    for name, own in layer_groups(len(reached_by)).items():
        if own:
            reached = dict.fromkeys(reached_by[k] for k in own)
            groups.append(LayerGroup(name, own[0], own[-1], tuple(reached)))
    return tuple(groups)


@dataclass(frozen=True, eq=False)
class OwnPicture:
    """A picture of the user's own, and the styles with which a model draws it.

    Attributes:
        name: valid as a file name.
        source: uint8 [H, W, C], as the user gave it.
        ws: float32 [1, num_styles, w_dim].
        noise: the noise maps that go with it, [1, H, W, 1] each; None = the model's.
        space: "w" or "wplus", where the styles were found.
        photo: name of the user's file.
        model: path of the model that draws it.
        encoder: path of the encoder that the search began with; None = the mean.
        steps: of the whole search.
        taken: of these, before the search was stopped.
    """

    name: str
    source: np.ndarray
    ws: np.ndarray
    noise: list[np.ndarray] | None = None
    space: str = "wplus"
    photo: str = ""
    model: str = ""
    encoder: str | None = None
    steps: int = 0
    taken: int = 0

    @property
    def file(self) -> str:
        """The name of the file of its styles."""
        return f"{self.name}.npz"


@dataclass(frozen=True, eq=False)
class Drag:
    """Points of an image that were dragged, and what that did to the styles.

    Attributes:
        start: the image that they were points of.
        points: int [K, 2, 2], from where to where, x and y in pixels.
        mask: bool [H, W], True where the image may move; None = everywhere.
        steps: taken.
        change: float32 [1, num_styles, w_dim], added to the styles of `start` without
            any drag; earlier drags included.
        now: float [K, 2], where the points have come to.
        arrived: True if they are at their targets.
    """

    start: "ImageState"
    points: np.ndarray
    mask: np.ndarray | None
    steps: int
    change: np.ndarray
    now: np.ndarray
    arrived: bool


@dataclass(frozen=True)
class ImageState:
    """The state of one image.

    Attributes:
        seed: of the styles that no other seed in `mixes` gives.
        psi: truncation.
        cutoff: number of layers to truncate; None = all.
        mixes: for each group of layers, the seed of its styles; None = `seed`.
        noise: "const", "random" (drawn from the seed) or "none".
        muted: resolutions whose noise maps are zero.
        label: class number; None for an unconditional model.
        edits: name of a direction -> amount in its standard deviations, never 0.
        edit_group: index of the group that edits reach; None = all layers.
        walk: steps away from the seed's w, as (plane, right, down), where differences
            between seeds span a plane.
        shift: of StyleGAN3's picture, in widths to the right and heights down.
        angle: its rotation in degrees, counterclockwise.
        picture: in place of the seed's styles; None = those of the seed.
        drag: changes the styles that all others give; None = nothing was dragged.
    """

    seed: int = 0
    psi: float = 0.7
    cutoff: int | None = None
    mixes: tuple[int | None, ...] = ()
    noise: str = "const"
    muted: frozenset[int] = frozenset()
    label: int | None = None
    edits: dict[str, float] = field(default_factory=dict)
    edit_group: int | None = None
    walk: tuple[tuple[int, float, float], ...] = ()
    shift: tuple[float, float] = (0.0, 0.0)
    angle: float = 0.0
    picture: OwnPicture | None = None
    drag: Drag | None = None

    def __post_init__(self):
        for seed in (self.seed, *self.mixes):
            if seed is not None and not 0 <= seed <= MAX_SEED:
                raise UserError(f"seed {seed} is not between 0 and {MAX_SEED}.")
        numbers = (self.psi, *self.edits.values(), *sum(self.walk, ()))
        numbers += (*self.shift, self.angle)
        if not all(map(math.isfinite, numbers)):
            raise UserError("a number of the picture is not finite.")
        if self.noise not in NOISE:
            raise UserError(f"noise is {self.noise!r}; choose one of {NOISE}.")

    def mixed(self, index: int, seed: int | None) -> "ImageState":
        """Returns the state with group `index` from `seed`; None = the main seed."""
        mixes = tuple(seed if i == index else s for i, s in enumerate(self.mixes))
        return replace(self, mixes=mixes)

    def edited(self, name: str, amount: float) -> "ImageState":
        """Returns the state with a direction's amount, within the slider's range."""
        amount = round(float(np.clip(amount, -AMOUNT, AMOUNT)), 2)
        edits = {k: v for k, v in self.edits.items() if k != name}
        return replace(self, edits=edits | ({name: amount} if amount else {}))

    def walked(self, plane: int, right: float, down: float) -> "ImageState":
        """Returns the state a step further; a new plane starts at the present one.

        At most `MOST_PLANES`, and at most `FAR` in each.
        """
        *before, last = self.walk or ((plane, 0.0, 0.0),)
        if last[0] != plane:
            if len(before) + 1 >= MOST_PLANES:
                return self
            before, last = [*before, last], (plane, 0.0, 0.0)
        right, down = np.clip([last[1] + right, last[2] + down], -FAR, FAR)
        step = (plane, round(float(right), 4), round(float(down), 4))
        return replace(self, walk=(*before, step))

    def reseeded(self, seed: int) -> "ImageState":
        """Returns the state with another seed, and nothing that a hand did to the last.

        Truncation, mixing, class and noise stay; edits, walks, drags and a picture of
        the user's own go.
        """
        gone = {"edits": {}, "walk": (), "drag": None, "picture": None}
        return replace(self, seed=seed, **gone)

    @property
    def offsets(self) -> list[str]:
        """Names of the edits that a change of the seed alone keeps."""
        parts = {
            "edits": self.edits,
            "a walk through random planes": self.walk,
            "dragged points": self.drag,
        }
        return [name for name, value in parts.items() if value]

    @property
    def original(self) -> "ImageState":
        """The state before edits, walks, drags and mixing."""
        mixes = (None,) * len(self.mixes)
        return replace(self, edits={}, walk=(), drag=None, mixes=mixes)

    def unmuted(self, resolution: int, on: bool) -> "ImageState":
        """Returns the state with the noise of a resolution on or off."""
        muted = self.muted - {resolution} if on else self.muted | {resolution}
        return replace(self, muted=frozenset(muted))


def any_seed() -> int:
    """Returns a random seed of at most five digits."""
    return random.randrange(100_000)


def plane_seeds(plane: int) -> list[int]:
    """Returns four seeds; the differences of two pairs span the plane."""
    return np.random.RandomState(plane).randint(0, 2**31, 4).tolist()
