"""A model as a folder of files: what a run leaves, and what `launch/export.py` writes.

Every file is written beside its place, run, compared with the Keras model, and only
then moved there: a file that is off never stands in the folder.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from stylegan_tf import models
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.export import card, litert, onnx, savedmodel, verify
from stylegan_tf.export import provenance as origins
from stylegan_tf.export.card import File
from stylegan_tf.export.program import Program, plain_copy
from stylegan_tf.models import KERAS_FILE, SAVED_MODEL
from stylegan_tf.networks.generator import Generator
from stylegan_tf.quiet import quiet

FORMATS = ("savedmodel", "onnx", "litert", "keras")


def save(
    generator: Generator, folder: Path | str, resolution=None, origin=None
) -> Path:
    """Writes `generator.keras`, `saved_model/` and the model card into a folder.

    Args:
        generator: any; a float32 copy is written.
        folder: created if need be.
        resolution: level to draw at; None = the highest that the model has learned.
        origin: `provenance.Origin` for the card; None = the run around the folder,
            if there is one.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    copy = grown_to(generator, resolution or generator.growth.resolution)
    copy.save(folder / KERAS_FILE)
    program = Program(copy)
    savedmodel.save(program, folder / SAVED_MODEL)
    files = [
        File(KERAS_FILE, "keras", size(folder / KERAS_FILE)),
        File(SAVED_MODEL, "savedmodel", size(folder / SAVED_MODEL)),
    ]
    if origin is None:
        origin = origins.of_new_folder(folder)
    card.write(folder, copy, origin, files, program.resolution)
    return folder


def grown_to(generator: Generator, resolution: int) -> Generator:
    """A plain copy whose growth ends at `resolution`."""
    copy = plain_copy(generator)
    copy.growth = Growth(resolution, generator.growth.alpha_at(resolution))
    return copy


def size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class Request:
    """What to write.

    Attributes:
        formats: some of FORMATS.
        batch: pictures a call of ONNX and LiteRT files; None = any number.
        precisions: of the weights of LiteRT files.
        noise: "const", "none", or, of a SavedModel, "random".
        resolution: level to draw at; None = the highest that the model has learned.
        command: the command line, for the card.
    """

    formats: Sequence[str] = ("savedmodel",)
    batch: int | None = None
    precisions: Sequence[str] = ("float32",)
    noise: str = "const"
    resolution: int | None = None
    command: str | None = None


def check(request: Request) -> None:
    """Refuses what cannot be written, before anything is loaded.

    Raises:
        UserError: says what to change.
    """
    for kind in request.formats:
        if kind not in FORMATS:
            raise UserError(f"format {kind!r}: choose among {', '.join(FORMATS)}.")
    for precision in request.precisions:
        if precision not in litert.PRECISIONS:
            known = ", ".join(litert.PRECISIONS)
            raise UserError(f"precision {precision!r}: choose among {known}.")
    if not request.formats or not request.precisions:
        raise UserError("nothing to write: name a format and a precision.")
    quantised = set(request.precisions) - {"float32"}
    if quantised and "litert" not in request.formats:
        raise UserError(
            f"precision {', '.join(sorted(quantised))} is for LiteRT files; the others "
            f"are float32. Add litert to --format."
        )
    frozen = {"onnx", "litert"} & set(request.formats)
    if request.noise == "random" and frozen:
        raise UserError(
            f"{' and '.join(sorted(frozen))} files have no random noise; use "
            f"--noise=const or --noise=none, or --format=savedmodel alone."
        )
    if "onnx" in request.formats:
        onnx.require()
    if "litert" in request.formats:
        litert.require()


def export(
    path: Path | str, out: Path | str, request: Request, progress: bool = False
) -> list[File]:
    """Writes a model in the formats that were asked for, with a model card.

    Args:
        path: what `load` takes.
        out: folder, created if need be; files of the same names are replaced.
        request: what to write.
        progress: show a bar.

    Returns:
        What was written and measured, file by file.

    Raises:
        UserError: there is no model, it or its settings cannot be exported, a library
            is missing, or a file turned out not to draw what the model draws.
    """
    check(request)
    model = models.load(path)
    origin = origins.of_model(path)
    job = _Job(model, request)
    out, files = Path(out).expanduser(), []
    if out.is_file():
        raise UserError(f"{out} is a file; name a folder to write to.")
    out.mkdir(parents=True, exist_ok=True)
    tasks = job.tasks()
    bar = tqdm(tasks, unit="file", disable=None if progress else True)
    with bar, _beside(out) as work:
        for name, task in bar:
            bar.set_description(name)
            files.append(task(work / name))
            _move(work / name, out / name)
    command, level = request.command, job.program.resolution
    card.write(out, model, origin, files, level, command)
    return files


@contextlib.contextmanager
def _beside(folder: Path) -> Iterator[Path]:
    """A folder on the same disk, that is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix=".export-", dir=folder) as work:
        yield Path(work)


def _move(source: Path, to: Path) -> None:
    if to.is_dir():
        shutil.rmtree(to)
    os.replace(source, to)


class _Job:
    """The files of one request, each written and measured by a function of its path."""

    def __init__(self, model: Generator, request: Request):
        self.request = request
        self.program = Program(model, request.resolution, request.noise)
        resolution = self.program.resolution
        self.model = grown_to(model, resolution)
        self.reference = verify.Reference(model, resolution, request.noise)

    def tasks(self) -> list[tuple[str, Callable[[Path], File]]]:
        """Name and function of each file."""
        found: list[tuple[str, Callable[[Path], File]]] = []
        if "savedmodel" in self.request.formats:
            found.append((SAVED_MODEL, self._savedmodel))
        if "onnx" in self.request.formats:
            for part, name in onnx.FILES.items():
                found.append((name, lambda path, part=part: self._onnx(path, part)))
        if "litert" in self.request.formats:
            for kind in self.request.precisions:
                name = litert.file_name(kind)
                found.append((name, lambda path, kind=kind: self._litert(path, kind)))
        if "keras" in self.request.formats:
            found.append((KERAS_FILE, self._keras))
        return found

    def _savedmodel(self, path: Path) -> File:
        with quiet():
            savedmodel.save(self.program, path)
        file = File(path.name, "savedmodel", size(path), noise=self.request.noise)
        return self._measured(file, savedmodel.runner(path))

    def _onnx(self, path: Path, part: str) -> File:
        batch = self.request.batch
        with quiet():
            onnx.save(self.program, part, path, batch)
        file = File(path.name, "onnx", size(path), "float32", batch, part=part)
        file = replace(file, noise=self.request.noise)
        return self._measured(file, {part: onnx.runner(path)})

    def _litert(self, path: Path, precision: str) -> File:
        batch = self.request.batch
        with quiet():
            litert.save(self.program, path, batch, precision)
            file = File(path.name, "litert", size(path), precision, batch)
            file = replace(file, noise=self.request.noise)
            return self._measured(file, litert.runner(path))

    def _keras(self, path: Path) -> File:
        self.model.save(path)
        again = models.load(path)
        same = zip(again.weights, self.model.weights, strict=True)
        if not all(np.array_equal(a.numpy(), b.numpy()) for a, b in same):
            raise UserError(f"{path.name} did not come back as it was saved.")
        return File(path.name, "keras", size(path), max_error=0.0, mean_error=0.0)

    def _measured(self, file: File, run: dict[str, verify.Run]) -> File:
        """With the errors, and the times where it draws pictures from z."""
        errors = verify.compare(self.reference, run, file.batch)
        verify.judge(file.name, errors, file.precision)
        mapping = file.part == "map"
        file = replace(
            file,
            max_error=errors.w if mapping else errors.largest,
            mean_error=None if mapping else errors.mean,
        )
        if "generate" not in run:
            return file
        height, width, _ = self.program.picture_shape
        n = file.batch or verify.timed_batch(height * width)
        inputs = self.reference.inputs(n)
        psi = np.float32(verify.PSIS[0])
        ours, theirs = verify.paired(
            lambda: run["generate"](**inputs, psi=psi),
            lambda: self.reference.draw(**inputs),
        )
        return replace(file, ms=1000 * ours / n, keras_ms=1000 * theirs / n)
