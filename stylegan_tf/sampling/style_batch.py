"""Styles before truncation, with each image's center, name, class and noise.

    batch = StyleBatch.from_seeds(model, [3, 7])     # w is computed here, and only here
    ws = batch.truncated(psi=0.7)                    # [2, num_styles, w_dim]
    frames = interpolate_styles(model, batch, "cubic", frames=30)

Truncation moves each style towards its center (Karras et al. 2019, appendix B), so a
batch can be drawn at several psi without being mapped again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stylegan_tf import latents
from stylegan_tf.errors import UserError
from stylegan_tf.networks.generator import Generator
from stylegan_tf.sampling import centers, renderer


@dataclass(frozen=True)
class StyleBatch:
    """Styles of N images before truncation, and what belongs to each image.

    Attributes:
        ws: float32 [N, num_styles, w_dim].
        centers: float32 [N, 1, w_dim], the w that truncation moves each image towards.
        names: N names.
        class_ids: int [N]; [0] of an unconditional model.
        noise: the images' own noise maps, one [N or 1, H, W, 1] per layer; None = the
            model's.
        z: float [N, z_dim], the latents of the styles; None = they come from elsewhere.
    """

    ws: np.ndarray
    centers: np.ndarray
    names: tuple[str, ...]
    class_ids: np.ndarray = field(default_factory=lambda: np.zeros(0, int))
    noise: list[np.ndarray] | None = None
    z: np.ndarray | None = None

    @classmethod
    def from_seeds(
        cls,
        model: Generator,
        seeds: Iterable[int],
        classes: Sequence[int] | None = None,
        psi_center: str | None = None,
        progress: bool = False,
    ) -> "StyleBatch":
        """Returns the styles of seeds.

        Args:
            model: the generator.
            seeds: one per image.
            classes: class numbers that the seeds take in turn; None = all of them.
            psi_center: "class", "global" or None; see `sampling.draw`.
            progress: show a bar.
        """
        seeds = list(seeds)
        class_ids = centers.class_ids_of(model, len(seeds), classes)
        return cls(
            renderer.styles(model, seeds, classes=classes),
            _centers(model, class_ids, len(seeds), psi_center, progress),
            tuple(f"seed {s}" for s in seeds),
            class_ids,
            z=latents.z_of(seeds, model.config.z_dim),
        )

    @classmethod
    def from_z(
        cls, model: Generator, z: np.ndarray, classes: Sequence[int] | None = None
    ) -> "StyleBatch":
        """Returns the styles of latents, named by number.

        Args:
            model: the generator.
            z: float [N, z_dim].
            classes: see `sampling.draw`.
        """
        class_ids = centers.class_ids_of(model, len(z), classes)
        w = centers.map_latents(model, z, class_ids)
        ws = np.repeat(w[:, None], model.config.num_styles, axis=1)
        names = tuple(map(str, range(len(z))))
        return cls(ws, _centers(model, class_ids, len(z)), names, class_ids, z=z)

    @classmethod
    def from_file(cls, model: Generator, path: Path | str) -> "StyleBatch":
        """Returns the styles of an `.npz` file, and the noise maps that it holds.

        Raises:
            UserError: see `latents.load_latents`; or noise maps of another model.
        """
        c = model.config
        stored = latents.load_latents(path, c.num_styles, c.w_dim)
        noise, used = stored.noise, None
        if noise is not None:
            shapes = c.noise_shapes(model.growth.resolution)
            used = noise[: len(shapes)]
            same = [m.shape[1:] for m in used] == [(*s, 1) for s in shapes]
            if not same or (noise and not shapes):
                raise UserError(
                    f"{path} has noise maps that the model has no layers for."
                )
        if not len(stored.ws):
            raise UserError(f"{path} holds no picture.")
        middle = _centers(model, np.zeros(0, int), len(stored.ws), "global")
        return cls(stored.ws, middle, stored.names, noise=used or None)

    def __len__(self) -> int:
        return len(self.ws)

    def __getitem__(self, rows: slice | Sequence[int]) -> "StyleBatch":
        """Returns some of the images, in the order of `rows`."""
        chosen = np.arange(len(self))[rows]
        noise = self.noise
        if noise is not None:
            noise = [m[chosen] if len(m) > 1 else m for m in noise]
        names = tuple(self.names[i] for i in chosen)
        class_ids = self.class_ids[chosen] if len(self.class_ids) else self.class_ids
        z = None if self.z is None else self.z[chosen]
        return StyleBatch(
            self.ws[chosen], self.centers[chosen], names, class_ids, noise, z
        )

    def truncated(
        self, psi: float | Sequence[float] = 1.0, cutoff: int | None = None
    ) -> np.ndarray:
        """Returns truncated styles, float32 [N, num_styles, w_dim].

        Args:
            psi: a number, or one per layer.
            cutoff: number of layers to truncate, from the coarsest; None = all.
        """
        psis = latents.layer_psi(psi, cutoff, self.ws.shape[1])
        return latents.truncate(self.ws, self.centers, psis)

    def noise_of(self, row: int) -> list[np.ndarray] | None:
        """Returns one image's own noise maps, [1, H, W, 1] each, or None."""
        if self.noise is None:
            return None
        return [m[row : row + 1] if len(m) > 1 else m for m in self.noise]


def _centers(
    model: Generator,
    class_ids: np.ndarray,
    count: int,
    psi_center: str | None = None,
    progress: bool = False,
) -> np.ndarray:
    """Returns the truncation centers of `count` images, float32 [count, 1, w_dim]."""
    own = centers.truncation_centers(model, class_ids, psi_center, progress)
    return np.broadcast_to(own, (count, *own.shape[1:]))


def interpolate_styles(
    model: Generator,
    batch: StyleBatch,
    kind: str,
    frames: int,
    loop: bool = True,
) -> StyleBatch:
    """Returns the frames of a film from image to image, before truncation.

    Args:
        model: the generator.
        batch: the images that the film passes.
        kind: "z", "linear" or "cubic"; see `latents.interpolate`.
        frames: steps from an image to the next.
        loop: continue from the last image to the first.

    Raises:
        UserError: images without z, or of several classes, on a path in z.
    """
    if kind != "z":
        ws = latents.interpolate(batch.ws, kind, frames, loop)
        own = latents.interpolate(batch.centers, "linear", frames, loop)
        class_ids = np.repeat(batch.class_ids, frames)[: len(ws)]
    else:
        if batch.z is None:
            raise UserError("styles of a file have no z; use --path=linear or cubic.")
        if len(set(map(int, batch.class_ids))) > 1:
            raise UserError(
                "a path in z stays in one class; name it with --classes=K, or use "
                "--path=linear or cubic."
            )
        z = latents.interpolate(batch.z, "z", frames, loop)
        class_ids = np.resize(batch.class_ids, len(z) if len(batch.class_ids) else 0)
        w = centers.map_latents(model, z, class_ids)
        ws = np.repeat(w[:, None], model.config.num_styles, axis=1)
        own = np.repeat(batch.centers[:1], len(z), axis=0)
    return StyleBatch(ws, own, tuple(map(str, range(len(ws)))), class_ids)
