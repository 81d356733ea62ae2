"""Writes images, sheets, psi sweeps, films and latents, a call each.

writer = ImageWriter(model, seeds=range(8), mixes=["639@coarse"], edits=["pca0:2"])
writer.write_images("out")                           # seed0000.png, ...
writer.write_sheet("sheet.png")
writer.write_psi_sweep("sweep.png", [-1, 0, 0.5, 1])
writer.write_film("walk.mp4", frames=30)
writer.write_edit_film("smile.mp4", frames=60)
writer.write_latents("w.npz")
"""

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from stylegan_tf import latents, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.figures import edit_film, paper, sheets, video
from stylegan_tf.figures.paper.truncation import psi_sweep, psi_table
from stylegan_tf.latents.directions import Directions, load_directions
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.stylegan3 import rotation_and_shift
from stylegan_tf.sampling import StyleBatch, stylespace
from stylegan_tf.sampling.lineup import Lineup, arrange_images, safe_file_names
from stylegan_tf.sampling.steering import DirectionFinder, Steering

Describe = Callable[[Sequence[int], Sequence[int] | None], Mapping[str, str]]


@dataclass(frozen=True, eq=False)
class ImageWriter:
    """Images to render, and how their styles are truncated, mixed and edited.

    Attributes:
        model: the generator.
        seeds: one per image.
        classes: class numbers that the seeds take in turn; None = all of the model's.
        each_class: render every seed in every class.
        latents_file: `.npz` file of styles, in place of seeds and classes.
        psi: truncation, a number or one per layer; None = 0.7, and 1 for a file.
        cutoff: number of layers to truncate, from the coarsest; None = all.
        psi_center: "class", "global" or None; see `sampling.draw`.
        noise: "const", "none", or "random" (from the seed, or the number in the file).
        mixes: texts such as "639@0-3"; see `latents.parse_mix`.
        edits: texts such as "pca0:2@0-3"; see `latents.parse_edit`.
        directions_file: `.npz` file of directions that `edits` name.
        moves: float [K, 3], x, y and degrees of StyleGAN3's pictures, see
            `latents.parse_moves`; a film passes all K. None = where they are.
        sheet: lay several classes out in rows; see `sampling.lineup`.
        columns: of a sheet; None = as many as fill a screen.
        enlarge: how many times each pixel is repeated in PNGs; None = as on a sheet
            that fills a screen, see `sheets.sheet_layout`.
        describe: the texts that a PNG carries, of its seeds and classes.
        revise: changes the steered styles before they are drawn, as a drag does; not
            of films from picture to picture and sweeps of psi.
        progress: show bars.
        edits_model: True if some of `edits` were style channels, which change a copy
            of the model.
    """

    model: Generator
    seeds: Sequence[int] = tuple(range(32))
    classes: Sequence[int] | None = None
    each_class: bool = False
    latents_file: Path | str | None = None
    psi: float | Sequence[float] | None = None
    cutoff: int | None = None
    psi_center: str | None = None
    noise: str = "const"
    mixes: Sequence[str] = ()
    edits: Sequence[str] = ()
    directions_file: Path | str | None = None
    moves: np.ndarray | None = None
    sheet: bool = False
    columns: int | None = None
    enlarge: int | None = 1
    describe: Describe | None = None
    revise: Callable[[latents.Latents], latents.Latents] | None = None
    progress: bool = False
    edits_model: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        sampling.check_noise(self.model.config, self.noise)
        count = sampling.drawn_styles(self.model)
        known = self._known.names if self._known else ()
        channels, rest = stylespace.split_edits(self.edits, count, known)
        if channels:
            edited = stylespace.edit_channels(self.model, channels)
            object.__setattr__(self, "model", edited)
            object.__setattr__(self, "edits_model", True)
            object.__setattr__(self, "edits", rest)

    @functools.cached_property
    def _known(self) -> Directions | None:
        """Directions of the file, if edits may name them."""
        c = self.model.config
        if not self.directions_file or not self.edits:
            return None
        return load_directions(self.directions_file, c.num_styles, c.w_dim)

    # -----------------------------------------------------------------------
    # Outputs

    def write_images(self, folder: Path | str) -> list[Path]:
        """Writes one PNG per image, named for its seed and class, or as in the file.

        Returns:
            The files; a seed that is given twice is one file.
        """
        files = [Path(folder) / f"{name}.png" for name in self.names]
        for i, image in enumerate(self.images()):
            sheets.save_image(files[i], self._enlarged(image[None])[0], self._facts(i))
        return list(dict.fromkeys(files))

    def write_sheet(self, path: Path | str) -> Path:
        """Writes all images as one sheet: a row per class, if there are several."""
        if not self.sheet:
            return replace(self, sheet=True).write_sheet(path)
        images = self._enlarged(np.stack(list(self.images())))
        columns = self.columns if self.latents_file else self.lineup.columns
        columns = columns or sheets.sheet_layout(*images.shape[1:3])[0]
        sheet = sheets.image_grid(images, min(columns, len(images)))
        return sheets.save_image(path, sheet, self._facts())

    def _enlarged(self, images: np.ndarray) -> np.ndarray:
        factor = self.enlarge or sheets.sheet_layout(*images.shape[1:3])[2]
        return sheets.enlarge(images, factor)

    def _facts(self, number: int | None = None) -> Mapping[str, str]:
        """Returns the texts of one image, or of all of them on a sheet."""
        if self.describe is None:
            return {}
        if self.latents_file:
            return self.describe([], None)
        seeds, classes = self.lineup.seeds, self.lineup.classes
        which = slice(None) if number is None else slice(number, number + 1)
        return self.describe(seeds[which], classes[which] if classes else None)

    def write_psi_sweep(self, path: Path | str, psis: Sequence[float]) -> Path:
        """Writes a sheet with a row per image and a column per psi."""
        options = paper.FigureOptions(progress=self.progress)
        painter = paper.Painter(self.model, options, self.noise)
        batch = replace(self.styles, noise=self._noise_maps())
        edit = self._steering(mix=False)
        rows = psi_sweep(batch, psis, self.cutoff, painter.cells, edit)
        table = psi_table(rows, psis, batch.names)
        return sheets.save_image(path, table, self._facts())

    def write_film(
        self,
        path: Path | str,
        kind: str = "cubic",
        frames: int = 30,
        fps: float = 30,
        loop: bool = True,
    ) -> Path:
        """Writes a film from image to image, `.mp4` or `.gif`.

        One image is a film of `frames` frames if it moves.

        Args:
            path: of the film.
            kind: "z", "linear" or "cubic"; see `latents.interpolate`.
            frames: steps from an image to the next.
            loop: continue from the last image to the first.
            fps: frames per second.
        """
        if len(self.unmixed) == 1 and self.moves is not None:
            way = self.unmixed[[0] * frames]
        else:
            options = kind, frames, loop
            way = sampling.interpolate_styles(self.model, self.unmixed, *options)
        ws = self._edited(self._mixed(way))
        render = sampling.Renderer(self.model, self.noise)
        maps = self.unmixed.noise_of(0) if self.noise == "const" else None
        if self.noise == "random":
            maps = render.noise_of([0])
        images = render.stream(ws, maps, transform=self._transforms(len(ws)))
        return video.write_video(path, images, fps, len(ws), progress=self.progress)

    def write_edit_film(
        self,
        path: Path | str,
        frames: int = 60,
        fps: float = 30,
        loop: bool = True,
        photo: np.ndarray | None = None,
    ) -> Path:
        """Writes a film from each image as it is to its mixes, edits and revision.

        Args:
            path: of the film, `.mp4` or `.gif`.
            frames: steps from end to end.
            fps: frames per second.
            loop: go back to each image.
            photo: that an image alone is of, uint8 [H, W, C]: the film begins with it.

        Raises:
            UserError: a photo of several images, or edits of style channels.
        """
        if self.edits_model:
            raise UserError(
                "a film to an edit takes directions such as pca0; style channels such "
                "as s3.17 are edits of the model."
            )
        plain = replace(self, mixes=(), edits=(), revise=None).final_latents
        edited = self.final_latents
        count, render = len(edited.ws), sampling.Renderer(self.model)
        if photo is not None and count > 1:
            raise UserError(f"a film of {count} pictures has no photo to begin with.")
        way = self._transforms(1) if self.moves is not None else None

        def images() -> Iterator[np.ndarray]:
            for i in range(count):
                rows = slice(i, i + 1)
                maps = [m[rows] if len(m) > 1 else m for m in edited.noise or []]

                def draw(ws: np.ndarray, maps=maps) -> np.ndarray:
                    return render(ws, maps or None, transform=way)

                ends = plain.ws[rows], edited.ws[rows]
                options = frames, fps, loop, photo, render.batch
                yield from edit_film.edit_frames(draw, *ends, *options)

        total = count * edit_film.film_length(frames, fps, loop, photo is not None)
        return video.write_video(path, images(), fps, total, progress=self.progress)

    def write_latents(self, path: Path | str) -> Path:
        """Writes `final_latents` as `.npz`."""
        return self.final_latents.save(path)

    @functools.cached_property
    def final_latents(self) -> latents.Latents:
        """Truncated, mixed, edited and revised styles, and the images' noise.

        Rendered with the stored noise of the model, they give the same images.
        """
        noise = self._noise_maps()
        if self.noise == "none":
            noise = [np.zeros((1, *s, 1), np.float32) for s in self._noise_shapes]
        ws = self._edited(self.styles)
        found = latents.Latents(ws, noise or None, tuple(self.names))
        return self.revise(found) if self.revise else found

    def images(self) -> Iterator[np.ndarray]:
        """Yields uint8 [H, W, C], holding no more than a batch of images."""
        if self.revise:
            final = self.final_latents
            return sampling.Renderer(self.model).stream(final.ws, final.noise)
        if self.latents_file:
            render, maps = sampling.Renderer(self.model, self.noise), None
            seeds = self._noise_seeds if self.noise == "random" else None
            if self.noise == "const":
                maps = self.styles.noise
            ws = self._edited(self.styles)
            return render.stream(ws, maps, seeds, self._transforms(len(ws)))
        drawn = sampling.draw(
            self.model,
            self.lineup.seeds,
            self._psi,
            self.cutoff,
            self.noise,
            self.lineup.classes,
            progress=self.progress,
            psi_center=self.psi_center,
            steer=self._steering(truncated=True),
            transform=None if self.moves is None else self._transforms(1)[0],
        )
        return (image for _, image in drawn)

    def _transforms(self, count: int) -> np.ndarray | None:
        """Returns the input transforms of images or frames, float32 [count, 3, 3]."""
        if self.moves is None:
            return None
        sampling.check_transforms(self.model.config)
        at = np.linspace(0, len(self.moves) - 1, count)
        places = [np.interp(at, range(len(self.moves)), v) for v in self.moves.T]
        return np.stack(
            [
                rotation_and_shift(angle, x, y)
                for x, y, angle in zip(*places, strict=True)
            ]
        )

    # -----------------------------------------------------------------------
    # Styles

    @functools.cached_property
    def lineup(self) -> Lineup:
        """Seeds and classes of the images, in order."""
        classes = None if self.classes is None else list(self.classes)
        layout = self.each_class, self.sheet, self.columns
        return arrange_images(self.model, list(self.seeds), classes, *layout)

    @functools.cached_property
    def names(self) -> list[str]:
        """Names of the images' files, without suffix."""
        if self.latents_file:
            return safe_file_names(self.styles.names)
        return self.lineup.names

    @functools.cached_property
    def unmixed(self) -> StyleBatch:
        """Styles of the file or of the seeds, before mixing and truncation."""
        if self.latents_file:
            return StyleBatch.from_file(self.model, self.latents_file)
        plan, more = self.lineup, (self.psi_center, self.progress)
        return StyleBatch.from_seeds(self.model, plan.seeds, plan.classes, *more)

    @functools.cached_property
    def styles(self) -> StyleBatch:
        """Styles after mixing, before truncation and editing."""
        return self._mixed(self.unmixed)

    def _mixed(self, batch: StyleBatch) -> StyleBatch:
        mix = self._steering(edit=False)
        return replace(batch, ws=mix(batch.ws, batch.class_ids)) if mix else batch

    def _edited(self, batch: StyleBatch) -> np.ndarray:
        """Returns truncated and edited styles, float32 [N, num_styles, w_dim]."""
        edit, ws = self._steering(mix=False), batch.truncated(self._psi, self.cutoff)
        return edit(ws, batch.class_ids) if edit else ws

    @property
    def _psi(self) -> float | Sequence[float]:
        default = 1.0 if self.latents_file else 0.7
        return default if self.psi is None else self.psi

    def _steering(
        self, mix: bool = True, edit: bool = True, truncated: bool = False
    ) -> Steering | None:
        """Returns the `Steering` of `mixes` and `edits`; None if there are none."""
        count = sampling.drawn_styles(self.model)
        mixes = [latents.parse_mix(t, count) for t in self.mixes] if mix else []
        edits = [latents.parse_edit(t, count) for t in self.edits] if edit else []
        if not mixes and not edits:
            return None
        find = DirectionFinder(self.model, self._known)
        truncation = (self._psi, self.cutoff, self.psi_center) if truncated else ()
        return Steering(self.model, mixes, edits, find, *truncation)

    # -----------------------------------------------------------------------
    # Noise

    @property
    def _noise_seeds(self) -> list[int]:
        if self.latents_file:
            return list(range(len(self.styles)))
        return self.lineup.seeds

    @property
    def _noise_shapes(self) -> list[tuple[int, int]]:
        resolution = self.model.growth.resolution
        return self.model.config.noise_shapes(resolution)

    def _noise_maps(self) -> list[np.ndarray] | None:
        """Returns the images' own noise maps; None = whatever `noise` names."""
        if self.noise == "random":
            return latents.noise_of(self._noise_seeds, self._noise_shapes) or None
        return self.styles.noise if self.noise == "const" else None
