"""Draws waiting images in batches: the same pixels as `sampling.draw` gives a seed.

Images of several requests share one call of the synthesis network. Batches have few
sizes, each of which is compiled once; a batch that is not full is padded. The size of
`sampling.batch_size`, the default, is the one that generate.py draws with: equal sizes
round equally, but for a rare pixel that rounds by its place in the batch.
"""

import contextlib
import functools
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stylegan_tf import latents, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.latents.directions import load_directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.stylegan3 import rotation_and_shift
from stylegan_tf.sampling.steering import DirectionFinder, Steering
from stylegan_tf.serving.queue import WaitingImage
from stylegan_tf.serving.requests import Label, ModelFacts

CENTERS, STYLES = 256, 512  # of labels, and of seeds and labels, that are kept


class BatchDrawer:
    """Draws with one model, in one thread.

    Args:
        model: the generator.
        name: the model on a command line.
        directions_file: `.npz` of named directions, or None.
        sizes: images per call of the network; None = as generate.py draws.

    Attributes:
        facts: of the model.
        sizes: ascending.

    Raises:
        UserError: no such file of directions, or one of another model.
    """

    def __init__(
        self,
        model: Generator,
        name: str,
        directions_file: Path | str | None = None,
        sizes: Sequence[int] | None = None,
    ):
        self.model, c = model, model.config
        self.sizes = tuple(sorted(set(sizes or [sampling.batch_size(model)])))
        known = None
        if directions_file:
            known = load_directions(directions_file, c.num_styles, c.w_dim)
        self._find = DirectionFinder(model, known)
        self.facts = ModelFacts(
            name,
            c,
            (*c.shape(model.growth.resolution), c.channels),
            sampling.drawn_styles(model),
            sampling.label_count(model),
            sampling.label_table(model) is not None,
            bool(c.noise_shapes(c.resolution)),
            str(directions_file) if directions_file else None,
            tuple(known.names) if known else (),
        )
        self._renderer = functools.lru_cache(None)(self._make_renderer)
        self._styles = functools.lru_cache(STYLES)(self._map)
        self._center = functools.lru_cache(CENTERS)(self._find_center)

    def warm_up(self) -> None:
        """Computes once what a plain request or an edit waits for, in each size."""
        c = self.model.config
        label: Label = 0 if self.facts.labels else None
        self._styles(0, label)
        self._center(label)
        for size in self.sizes:
            ws = np.zeros((size, c.num_styles, c.w_dim), np.float32)
            self._renderer("const", size)(ws)
        for name in ("pca0", "sefa0"):
            with contextlib.suppress(UserError):  # no mapping or no styles to find it
                self._find(name)

    # -----------------------------------------------------------------------

    def draw_batch(
        self, images: Sequence[WaitingImage]
    ) -> list[np.ndarray | UserError]:
        """Draws images of one kind.

        Args:
            images: at most as many as the largest of `sizes`.

        Returns:
            uint8 [H, W, C] of each image, or why it cannot be drawn.
        """
        found: list[np.ndarray | UserError] = []
        for image in images:
            try:
                found.append(self._steered(image))
            except UserError as error:
                found.append(error)
        good = [i for i, ws in enumerate(found) if not isinstance(ws, UserError)]
        if good:
            ws = np.stack([np.asarray(found[i]) for i in good])
            pictures = self._render(ws, [images[i] for i in good])
            for i, picture in zip(good, pictures, strict=True):
                found[i] = picture
        return found

    @contextlib.contextmanager
    def _numbered(self, label: Label) -> Iterator[list[int] | None]:
        """Gives the number by which the model knows a label, in a list, or None."""
        if isinstance(label, tuple):
            with sampling.labels_given(self.model, np.array([label], np.float32)):
                yield [0]
        else:
            yield None if label is None else [label]

    def _map(self, seed: int, label: Label) -> np.ndarray:
        """Returns a seed's styles before truncation, [num_styles, w_dim].

        Each is mapped alone, as generate.py maps a single seed: a matrix product may
        round a row of a batch by its place.
        """
        with self._numbered(label) as numbers:
            return sampling.styles(self.model, [seed], classes=numbers)[0]

    def _find_center(self, label: Label) -> np.ndarray:
        """Returns the mean w of a label, or of all images, [w_dim]."""
        if label is None:
            return self.model.w_avg.numpy()
        with self._numbered(label) as numbers:
            return sampling.class_centers(self.model, numbers)[0]

    def _steered(self, image: WaitingImage) -> np.ndarray:
        """Returns truncated, mixed and edited styles, [num_styles, w_dim]."""
        request, label = image.request, image.label

        def truncated(seed: int) -> np.ndarray:
            ws = self._styles(seed, label)
            if np.all(request.psi == 1):
                return ws
            center = self._center(label if request.center == "class" else None)
            return latents.truncate(ws, center, request.psi)

        ws = truncated(image.seed)
        for mix in request.mixes:
            ws = latents.mix_styles(ws, truncated(mix.seed), list(mix.layers))
        edit = Steering(self.model, edits=request.edits, find=self._find)
        return edit(ws[None], np.zeros(0, int))[0]

    def _render(self, ws: np.ndarray, images: Sequence[WaitingImage]) -> np.ndarray:
        """Returns uint8 [N, H, W, C]; `images` say noise and moves."""
        size = next((s for s in self.sizes if s >= len(ws)), self.sizes[-1])
        render = self._renderer(images[0].request.noise, size)
        maps, moves = None, [i.request.move for i in images]
        if images[0].request.noise == "random":
            maps = render.noise_of([image.seed for image in images])
        transforms = [rotation_and_shift(m[2], m[0], m[1]) for m in moves if m]
        return render(ws, maps, transform=np.stack(transforms) if transforms else None)

    def _make_renderer(self, noise: str, size: int) -> sampling.Renderer:
        return sampling.Renderer(self.model, noise, batch=size)
