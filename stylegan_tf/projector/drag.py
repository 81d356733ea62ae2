"""Drags points of an image to other places (DragGAN; Pan et al. 2023).

    dragged = drag_points(model, ws, handles=[(20, 31)], targets=[(26, 31)])
    dragged.ws          # styles whose image has the content of (20, 31) at (26, 31)

F are feature maps in the middle of the synthesis network, read between their pixels,
and F_0 those before the first step. In a step each handle p_i, which began at h_i, is
tracked (equation 2), then the styles change so that its content moves by d_i
(equation 1):

    p_i  = argmin of mean |F(q + o) - F_0(h_i + o)|  over pixels q near the last p_i
    d_i  = (t_i - p_i) / max(|t_i - p_i|, 1)
    loss = sum over i of mean |F(p_i + d_i + o) - content_i(o)|
           + mask_weight mean |(F - F_0) (1 - M)|

t_i are the targets, o the pixels around a point, and M is 1 where the image may move.
The paper's content_i(o) is F(p_i + o) without its gradient, what is there now. In small
networks that smears the content along the way: the handles arrive, and the picture has
not moved. So by default it is F_0(h_i + o), what was there at first. For the same
reason a handle is tracked by the features around it, where the paper takes its own.

Adam changes one w for all layers (W), or the styles of the first layers (W+).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stylegan_tf import sampling
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.progress import ProgressBar
from stylegan_tf.projector.adam import Adam
from stylegan_tf.projector.points import (
    features_at,
    motion_loss,
    patch_offsets,
    track_points,
)
from stylegan_tf.projector.search import SPACES, w_statistics
from stylegan_tf.projector.settings import check_not_negative

STEPS = 300
MOST_POINTS = 64
CONTENTS = ("first", "now")
STATISTICS = 2000  # latents for the standard deviation of w


@dataclass(frozen=True)
class DragSettings:
    """Settings of the optimization.

    Attributes:
        space: "w", one change for all layers, or "wplus", one for each of the first
            `layers`.
        layers: number of layers that change in W+; None = those that the feature maps
            depend on.
        lr: Adam's learning rate, in standard deviations of a component of w.
        mask_weight: weight of what shall not move.
        resolution: of the feature maps; None = half of the image's.
        content: "first" or "now": the features that are moved, see above.
        motion_radius: pixels around a handle that move with it; None = by the image's
            size.
        track_radius: pixels around a handle that are searched for it; None = by the
            image's size.
        patch_radius: pixels around a handle by whose features it is found; None = by
            the image's size.
    """

    space: str = "wplus"
    layers: int | None = None
    lr: float = 0.02
    mask_weight: float = 20.0
    resolution: int | None = None
    content: str = "first"
    motion_radius: int | None = None
    track_radius: int | None = None
    patch_radius: int | None = None

    def __post_init__(self):
        if self.space not in SPACES:
            raise UserError(f"space is {self.space!r}; choose {' or '.join(SPACES)}.")
        if self.content not in CONTENTS:
            known = " or ".join(CONTENTS)
            raise UserError(f"content is {self.content!r}; choose {known}.")
        check_not_negative({"lr": self.lr, "mask_weight": self.mask_weight})
        least = {"layers": 1, "motion_radius": 1, "track_radius": 1, "patch_radius": 0}
        for name, lowest in least.items():
            value = getattr(self, name)
            if value is not None and value < lowest:
                raise UserError(f"{name} is {value}; give at least {lowest}.")


@dataclass(frozen=True)
class Dragged:
    """The result of a drag.

    Attributes:
        ws: float32 [1, num_styles, w_dim].
        points: float32 [K, 2], x and y in pixels that the handles have come to.
        distances: float64 [K], of the points to their targets, in pixels.
        steps: taken.
        arrived: True if every point is at its target.
    """

    ws: np.ndarray
    points: np.ndarray
    distances: np.ndarray
    steps: int
    arrived: bool


# ---------------------------------------------------------------------------
# The optimization


class Dragger:
    """Drags points of one image after the other, a step at a time; compiled once.

        dragger = Dragger(model)
        dragger.start(ws, handles, targets)
        while not dragger.arrived and dragger.steps < 300:
            dragger.step()
        dragger.ws

    Args:
        model: the generator; its weights stay, and are read at every step.
        settings: see `DragSettings`.

    Attributes:
        points: float32 [K, 2], where the handles are, as last tracked.
        targets: float32 [K, 2].
        steps: taken since `start`.

    Raises:
        UserError: a model, or settings of another model, that cannot be dragged.
    """

    def __init__(self, model: Generator, settings: DragSettings | None = None):
        c = model.config
        self.model, self.settings = model, settings or DragSettings()
        s, image = self.settings, model.growth.resolution
        _check_model(model, s)
        self._shape = c.shape(image)
        self._resolution = s.resolution or max(image // 2, 4)
        side = max(self._shape)
        moved = s.motion_radius or max(2, round(side / 8))
        self._moved = patch_offsets(moved, max(1, moved // 8))
        self._searched = patch_offsets(s.track_radius or max(3, round(side * 12 / 512)))
        patch = s.patch_radius
        patch = max(1, round(side * 5 / 64)) if patch is None else patch
        self._patch = patch_offsets(patch, max(1, patch // 5))
        self._near = side / 512  # pixels from a target that do not show
        self._noise_shapes = c.noise_shapes(image)
        layers = 1 if s.space == "w" else min(s.layers or c.num_styles, c.num_styles)
        self._change = tf.Variable(tf.zeros([1, layers, c.w_dim]), trainable=False)
        self._adam = Adam([self._change])
        deviation = w_statistics(model, count=STATISTICS)[1] / math.sqrt(c.w_dim)
        self._lr = s.lr * deviation
        self._step = self._compiled()
        self.steps, self.points = 0, np.zeros((0, 2), np.float32)
        self.targets = self.points

    def start(
        self,
        ws: np.ndarray,
        handles: Sequence[Sequence[float]] | np.ndarray,
        targets: Sequence[Sequence[float]] | np.ndarray,
        mask: np.ndarray | None = None,
        noise: Sequence[np.ndarray] | None = None,
    ) -> None:
        """Begins a drag; nothing has moved yet.

        Args:
            ws: float [1, num_styles, w_dim].
            handles: K points, x and y in pixels of the image.
            targets: a point for each of them.
            mask: bool [H, W], True where the image may move; None = everywhere.
            noise: noise maps, float [1, H, W, 1] per layer; None = the model's.

        Raises:
            UserError: points outside of the image, or styles, a mask or noise maps of
                another model.
        """
        ws = np.asarray(ws, np.float32)
        handles, targets = check_points(handles, targets, self._shape)
        maps = sampling.stored_noise(self.model) if noise is None else noise
        self._check_start(ws, maps, mask)
        maps = [tf.constant(m, tf.float32) for m in maps[: len(self._noise_shapes)]]
        self._change.assign(tf.zeros_like(self._change))
        self._adam.reset()
        self._ws = tf.constant(ws)
        first = self._features(self._ws, maps)
        self._fixed = maps, first, self._held(mask, first.shape), tf.constant(handles)
        self.points, self.targets, self.steps = handles, targets, 0

    def _check_start(self, ws, maps, mask) -> None:
        c = self.model.config
        if ws.shape != (1, c.num_styles, c.w_dim):
            raise UserError(
                f"the styles are {' x '.join(map(str, ws.shape))}; give those of one "
                f"picture, 1 x {c.num_styles} x {c.w_dim}."
            )
        own = [(1, *shape, 1) for shape in self._noise_shapes]
        if [np.shape(m) for m in maps[: len(own)]] != own:
            raise UserError("the noise maps are not those of one picture of the model.")
        if mask is not None and np.shape(mask) != self._shape:
            given, expected = (
                " x ".join(map(str, s)) for s in (np.shape(mask), self._shape)
            )
            raise UserError(f"the mask is {given}; the picture is {expected}.")

    def _held(self, mask: np.ndarray | None, shape: tf.TensorShape) -> tf.Tensor:
        """Returns 1 - M on the feature maps, float [h, w, 1]."""
        h, w = shape[:2]
        if mask is None:
            return tf.zeros([h, w, 1])
        held = 1 - np.asarray(mask, np.float32)
        held = held.reshape(h, self._shape[0] // h, w, self._shape[1] // w)
        return tf.constant(held.mean(axis=(1, 3))[..., None])

    # -----------------------------------------------------------------------

    @property
    def ws(self) -> np.ndarray:
        """The styles as they are now, float32 [1, num_styles, w_dim]."""
        return self._changed(self._ws).numpy()

    @property
    def change(self) -> np.ndarray:
        """The difference of the styles from those of `start`, in their shape."""
        return self._changed(tf.zeros_like(self._ws)).numpy()

    @property
    def distances(self) -> np.ndarray:
        """Distances of the points to their targets in pixels, float64 [K]."""
        return np.linalg.norm(np.float64(self.points) - self.targets, axis=1)

    @property
    def arrived(self) -> bool:
        """True if every point is at its target."""
        return bool(np.all(self.distances <= self._near))

    def step(self) -> np.ndarray:
        """Tracks the points and takes a step, if any is not at its target.

        Returns:
            The points before the step.

        Raises:
            UserError: the loss is not finite.
        """
        self._run(self._lr)
        self.steps += not self.arrived
        return self.points

    def track(self) -> np.ndarray:
        """Returns the points of the styles as they are now."""
        self._run(0.0)
        return self.points

    def _run(self, lr: float) -> None:
        points = tf.constant(self.points), tf.constant(self.targets)
        numbers = tf.constant(self.steps + 1.0), tf.constant(lr, tf.float32)
        points, loss = self._step(self._ws, *self._fixed, *points, *numbers)
        if not math.isfinite(float(loss)):
            raise UserError(
                f"the loss is no number at step {self.steps}; a smaller learning rate "
                f"than {self.settings.lr:g} may help."
            )
        self.points = points.numpy()

    def _changed(self, ws: tf.Tensor) -> tf.Tensor:
        change = tf.convert_to_tensor(self._change)
        if self.settings.space == "wplus":
            rest = self.model.config.num_styles - change.shape[1]
            change = tf.pad(change, [[0, 0], [0, rest], [0, 0]])
        return ws + change

    def _features(self, ws: tf.Tensor, maps: Sequence[tf.Tensor]) -> tf.Tensor:
        """Returns the feature maps, float32 [h, w, C]."""
        x = self.model.synthesis.feature_maps(
            ws, self._resolution, list(maps) or "none"
        )
        return tf.cast(x[0], tf.float32)

    def _compiled(self) -> Callable:
        """Returns the step, which is traced once for any number of points."""
        c, pairs = self.model.config, tf.TensorSpec([None, 2])
        maps = [tf.TensorSpec([1, *shape, 1]) for shape in self._noise_shapes]
        cells = tf.TensorSpec([None, None, None])
        signature = [tf.TensorSpec([1, c.num_styles, c.w_dim]), maps, cells, cells]
        signature += [pairs, pairs, pairs, tf.TensorSpec([]), tf.TensorSpec([])]
        return tf.function(self._take_step, input_signature=signature, autograph=False)

    def _take_step(
        self, ws, maps, first, held, handles, points, targets, count, lr
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Tracks the points; moves them by `lr` if they are not at their targets."""
        shape, s = self._shape, self.settings
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(self._change)
            features = self._features(self._changed(ws), maps)
            content = None
            if s.content == "first":
                content = features_at(first, handles[:, None] + self._moved, shape)
            points = track_points(
                tf.stop_gradient(features),
                points,
                features_at(first, handles[:, None] + self._patch, shape),
                self._patch,
                self._searched,
                shape,
            )
            loss = motion_loss(features, points, targets, content, self._moved, shape)
            loss += s.mask_weight * tf.reduce_mean(tf.abs(features - first) * held)
        gradient = tape.gradient(loss, self._change, unconnected_gradients="zero")
        far = tf.reduce_any(tf.norm(targets - points, axis=-1) > self._near)
        lr = tf.where(far, lr, 0.0)
        self._adam.apply([gradient], lr, count)
        return points, loss


def _check_model(model: Generator, settings: DragSettings) -> None:
    c, image = model.config, model.growth.resolution
    if not hasattr(model.synthesis, "feature_maps"):
        raise UserError(
            f"this model ({c.network or c.architecture}) does not show its feature "
            f"maps, by which points are dragged; use a StyleGAN."
        )
    r = settings.resolution
    if r is not None and (not 4 <= r <= image or r & (r - 1)):
        raise UserError(
            f"resolution is {r}; the model's feature maps have a power of two from 4 "
            f"to {image} pixels."
        )


def check_points(
    handles: Sequence[Sequence[float]] | np.ndarray,
    targets: Sequence[Sequence[float]] | np.ndarray,
    shape: tuple[int, int],
) -> tuple[np.ndarray, np.ndarray]:
    """Returns handles and targets as float32 [K, 2].

    Args:
        handles: K points, x and y in pixels.
        targets: a point for each.
        shape: height and width of the image.

    Raises:
        UserError: none, too many or unequal numbers of points, points outside of the
            image, or two targets of one point.
    """
    pairs = [np.asarray(p, np.float32).reshape(-1, 2) for p in (handles, targets)]
    if len(pairs[0]) != len(pairs[1]) or not 1 <= len(pairs[0]) <= MOST_POINTS:
        raise UserError(
            f"{len(pairs[0])} points and {len(pairs[1])} targets were given; give one "
            f"to {MOST_POINTS} points, and a target for each."
        )
    height, width = shape
    for x, y in np.concatenate(pairs):
        if not (0 <= x <= width - 1 and 0 <= y <= height - 1):
            raise UserError(
                f"the point {x:g},{y:g} is outside of the picture, where x is 0 to "
                f"{width - 1} and y is 0 to {height - 1}."
            )
    if len(np.unique(pairs[0], axis=0)) < len(pairs[0]):
        raise UserError("a point cannot be dragged to two places; give it one target.")
    return pairs[0], pairs[1]


def drag_points(
    model: Generator,
    ws: np.ndarray,
    handles: Sequence[Sequence[float]] | np.ndarray,
    targets: Sequence[Sequence[float]] | np.ndarray,
    mask: np.ndarray | None = None,
    noise: Sequence[np.ndarray] | None = None,
    steps: int = STEPS,
    settings: DragSettings | None = None,
    progress: bool = False,
    watch: Callable[[Dragger], bool | None] | None = None,
    dragger: Dragger | None = None,
) -> Dragged:
    """Changes the styles of an image so that points of it come to other places.

    Args:
        model: the generator.
        ws: styles of the image, float [1, num_styles, w_dim].
        handles: K points, x and y in pixels of the image.
        targets: a point for each of them.
        mask: bool [H, W], True where the image may move; None = everywhere.
        noise: noise maps, float [1, H, W, 1] per layer; None = the model's.
        steps: most steps.
        settings: of the optimization.
        progress: show a bar.
        watch: called after every step; True stops the drag.
        dragger: of this model and these settings, to be used again.

    Raises:
        UserError: see `Dragger`.
    """
    dragger = dragger or Dragger(model, settings)
    dragger.start(ws, handles, targets, mask, noise)
    with ProgressBar(title="dragging", shown=progress, total=steps, unit="step") as bar:
        while dragger.steps < steps and not dragger.arrived:
            dragger.step()
            bar.set_postfix(pixels=f"{dragger.distances.max():.1f}", refresh=False)
            bar.update()
            if watch is not None and watch(dragger):
                break
    if not dragger.arrived:
        dragger.track()
    return Dragged(
        ws=dragger.ws,
        points=dragger.points,
        distances=dragger.distances,
        steps=dragger.steps,
        arrived=dragger.arrived,
    )
