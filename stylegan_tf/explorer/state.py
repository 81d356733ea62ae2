"""What a picture on the page is made of. No TensorFlow, no web library.

A `State` is all that the controls say: two tabs have two of them, the gallery keeps
them, a command line is written from one. Layers are offered in groups, as in section
3.1 of the StyleGAN paper: coarse (4 to 8 pixels), middle (16 to 32), fine (64 and up).
"""

from dataclasses import dataclass, field, replace

import numpy as np

from stylegan_tf import config
from stylegan_tf.errors import UserError
from stylegan_tf.latents import MAX_SEED, layer_groups

NOISE = ("const", "random", "none")
PSI = (-1.0, 1.5)  # the range of the slider
AMOUNT = 4.0  # a direction's slider runs from -AMOUNT to AMOUNT of its scale


@dataclass(frozen=True)
class Group:
    """Layers that are steered together.

    Attributes:
        name: "coarse", "middle" or "fine".
        first, last: layers, both included.
        resolutions: levels that they draw.
    """

    name: str
    first: int
    last: int
    resolutions: tuple[int, ...]

    @property
    def layers(self) -> slice:
        """Its rows of [num_styles, w_dim]."""
        return slice(self.first, self.last + 1)

    @property
    def numbers(self) -> tuple[int, ...]:
        """One by one."""
        return tuple(range(self.first, self.last + 1))

    @property
    def text(self) -> str:
        """As flags take it: `4-7`."""
        return f"{self.first}-{self.last}"


def groups_of(c: config.GeneratorConfig, resolution: int) -> tuple[Group, ...]:
    """Coarse, middle and fine layers of a model drawn at `resolution`.

    Those of `latents.layer_groups`, as flags take them; models without a style a layer
    have no groups.
    """
    if c.num_styles == 1:
        return ()
    levels, found = config.levels(resolution), []
    grid = [r for r in levels for _ in range(2)]
    if c.architecture == "stylegan3":
        grid = [resolution] * c.num_styles  # no layer has a size of its own
    for name, own in layer_groups(len(grid)).items():
        if own:
            reached = dict.fromkeys(grid[k] for k in own)
            found.append(Group(name, own[0], own[-1], tuple(reached)))
    return tuple(found)


@dataclass(frozen=True)
class State:
    """One picture.

    Attributes:
        seed: whose style rules where no other is named.
        psi: truncation.
        cutoff: layers that truncation reaches; None = all.
        mixes: for each group of layers, the seed that rules it; None = `seed`.
        noise: "const", "random" (drawn from the seed) or "none".
        muted: resolutions whose noise maps are zero.
        label: class number; None for a model without classes.
        edits: name of a direction -> amount, in its scale, none of them 0.
        edit_group: index of the group that edits reach; None = all layers.
        walk: steps away from the seed's w, as (plane, right, down): a plane is spanned
            by differences between seeds.
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

    def __post_init__(self):
        for seed in (self.seed, *self.mixes):
            if seed is not None and not 0 <= seed <= MAX_SEED:
                raise UserError(f"seed {seed} is not between 0 and {MAX_SEED}.")

    def mixed(self, index: int, seed: int | None) -> "State":
        """With group `index` ruled by `seed`; None gives it back to the main seed."""
        mixes = tuple(seed if i == index else s for i, s in enumerate(self.mixes))
        return replace(self, mixes=mixes)

    def edited(self, name: str, amount: float) -> "State":
        """With a direction's amount, kept within the slider's range."""
        amount = round(float(np.clip(amount, -AMOUNT, AMOUNT)), 2)
        edits = {k: v for k, v in self.edits.items() if k != name}
        return replace(self, edits=edits | ({name: amount} if amount else {}))

    def walked(self, plane: int, right: float, down: float) -> "State":
        """A step further in a plane; a new plane starts where the last one was left."""
        *before, last = self.walk or ((plane, 0.0, 0.0),)
        if last[0] != plane:
            before, last = [*before, last], (plane, 0.0, 0.0)
        step = (plane, round(last[1] + right, 4), round(last[2] + down, 4))
        return replace(self, walk=(*before, step))

    def unmuted(self, resolution: int, on: bool) -> "State":
        """With the noise of a resolution on or off."""
        muted = self.muted - {resolution} if on else self.muted | {resolution}
        return replace(self, muted=frozenset(muted))


def plane_seeds(plane: int) -> list[int]:
    """Four seeds; the differences of two pairs span the plane."""
    return np.random.RandomState(plane).randint(0, 2**31, 4).tolist()
