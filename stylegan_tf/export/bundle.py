"""Writes a model as a folder of files, for a run and for `launch/export.py`.

Every file is written to a temporary folder, run and compared with the Keras model. Only
then it is moved to its place, so a wrong file never reaches the folder.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stylegan_tf import files, models
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.export import card, litert, onnx, savedmodel, verify
from stylegan_tf.export.card import ExportedFile
from stylegan_tf.export.program import Program
from stylegan_tf.export.provenance import (
    Provenance,
    provenance_of_model,
    provenance_of_run,
)
from stylegan_tf.models import KERAS_FILE, SAVED_MODEL
from stylegan_tf.networks.generator import Generator, plain_copy
from stylegan_tf.progress import ProgressBar
from stylegan_tf.quiet import quiet

_DRAFT = ".export-"  # begins the name of a temporary folder
FORMATS = ("savedmodel", "onnx", "litert", "keras")


def save_model(
    generator: Generator,
    folder: Path | str,
    resolution: int | None = None,
    origin: Provenance | None = None,
) -> Path:
    """Writes `generator.keras`, `saved_model/` and the model card into a folder.

    What was there is replaced when all is written, and the card's JSON last: it says
    what the folder holds, whenever the program is killed.

    Args:
        generator: any; a float32 copy is written.
        folder: created if need be.
        resolution: of the images; None = the highest that the model has learned.
        origin: for the card; None = the run around the folder, if there is one.

    Returns:
        The folder.
    """
    folder = Path(folder)
    copy = copy_at_resolution(generator, resolution or generator.growth.resolution)
    if origin is None:
        origin = provenance_of_run(folder)
    with _draft_folder(folder) as draft:
        copy.save(draft / KERAS_FILE)
        program = Program(copy)
        savedmodel.save_savedmodel(program, draft / SAVED_MODEL)
        exported = [
            ExportedFile(KERAS_FILE, "keras", total_bytes(draft / KERAS_FILE)),
            ExportedFile(SAVED_MODEL, "savedmodel", total_bytes(draft / SAVED_MODEL)),
        ]
        files.sync_all(draft)
        card.mark_unfinished(folder)
        for name in (KERAS_FILE, SAVED_MODEL):
            _move_in(draft / name, folder)
        card.write_card(folder, copy, origin, exported, program.resolution)
    return folder


@contextlib.contextmanager
def _draft_folder(folder: Path) -> Iterator[Path]:
    """Yields a temporary folder inside one, on the same disk, to move files from.

    What killed programs have left there goes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob(f"{_DRAFT}*"):
        shutil.rmtree(old, ignore_errors=True)
    files.remove_drafts(folder)
    with tempfile.TemporaryDirectory(
        prefix=_DRAFT, dir=folder, ignore_cleanup_errors=True
    ) as draft:
        yield Path(draft)


def _move_in(path: Path, folder: Path) -> None:
    """Moves a file or folder out of a draft folder, in place of another."""
    if (folder / path.name).is_dir():
        (folder / path.name).rename(path.with_name(f"{path.name}.old"))
    os.replace(path, folder / path.name)


def copy_at_resolution(generator: Generator, resolution: int) -> Generator:
    """Returns a float32 copy whose growth is the given resolution."""
    copy = plain_copy(generator)
    copy.growth = Growth(resolution, generator.growth.alpha_at(resolution))
    return copy


def total_bytes(path: Path) -> int:
    """Returns the bytes of a file, or of all files of a folder."""
    if path.is_file():
        return path.stat().st_size
    return sum(p.stat().st_size for p in path.rglob("*") if p.is_file())


# ---------------------------------------------------------------------------


@dataclass(frozen=True)
class ExportRequest:
    """The files to write.

    Attributes:
        formats: some of FORMATS.
        batch: images per call of ONNX and LiteRT files; None = any number.
        precisions: of the weights of LiteRT files.
        noise: "const", "none", or "random" (SavedModel only).
        resolution: of the images; None = the highest that the model has learned.
        command: the command line, for the card.
    """

    formats: Sequence[str] = ("savedmodel",)
    batch: int | None = None
    precisions: Sequence[str] = ("float32",)
    noise: str = "const"
    resolution: int | None = None
    command: str | None = None


def check_request(request: ExportRequest) -> None:
    """Checks a request before the model is loaded.

    Raises:
        UserError: the request cannot be met; the message says what to change.
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
    quantized = set(request.precisions) - {"float32"}
    if quantized and "litert" not in request.formats:
        raise UserError(
            f"precision {', '.join(sorted(quantized))} is for LiteRT files; the others "
            f"are float32. Add litert to --format."
        )
    frozen = {"onnx", "litert"} & set(request.formats)
    if request.noise == "random" and frozen:
        raise UserError(
            f"{' and '.join(sorted(frozen))} files have no random noise; use "
            f"--noise=const or --noise=none, or --format=savedmodel alone."
        )
    if "onnx" in request.formats:
        onnx.require_onnx()
    if "litert" in request.formats:
        litert.require_litert()


def export(
    path: Path | str, out: Path | str, request: ExportRequest, progress: bool = False
) -> list[ExportedFile]:
    """Writes a model in the requested formats, with a model card.

    Args:
        path: see `models.load`.
        out: folder, created if need be; files of the same names are replaced.
        request: the files to write.
        progress: show a bar.

    Returns:
        The files with their errors and times.

    Raises:
        UserError: there is no model, it or its settings cannot be exported, a library
            is missing, or a file differs from the model.
    """
    check_request(request)
    model = models.load(path)
    origin = provenance_of_model(path)
    job = _Job(model, request)
    out, exported = files.home_path(out), []
    if out.is_file():
        raise UserError(f"{out} is a file; name a folder to write to.")
    tasks = job.tasks()
    bar = ProgressBar(tasks, shown=progress, unit="file")
    with bar, _draft_folder(out) as work:
        for name, task in bar:
            bar.set_description(name)
            exported.append(task(work / name))
            files.sync_all(work)
            _move_in(work / name, out)
    resolution = job.program.resolution
    card.write_card(out, model, origin, exported, resolution, request.command)
    return exported


class _Job:
    """The files of a request; a function per file writes and measures it."""

    def __init__(self, model: Generator, request: ExportRequest):
        self.request = request
        self.program = Program(model, request.resolution, request.noise)
        resolution = self.program.resolution
        self.model = copy_at_resolution(model, resolution)
        self.reference = verify.Reference(model, resolution, request.noise)

    def tasks(self) -> list[tuple[str, Callable[[Path], ExportedFile]]]:
        """Returns the name and the function of each file."""
        tasks: list[tuple[str, Callable[[Path], ExportedFile]]] = []
        if "savedmodel" in self.request.formats:
            tasks.append((SAVED_MODEL, self._savedmodel))
        if "onnx" in self.request.formats:
            for part, name in onnx.FILES.items():
                tasks.append((name, lambda path, part=part: self._onnx(path, part)))
        if "litert" in self.request.formats:
            for kind in self.request.precisions:
                name = litert.litert_file_name(kind)
                tasks.append((name, lambda path, kind=kind: self._litert(path, kind)))
        if "keras" in self.request.formats:
            tasks.append((KERAS_FILE, self._keras))
        return tasks

    def _savedmodel(self, path: Path) -> ExportedFile:
        with quiet():
            savedmodel.save_savedmodel(self.program, path)
        file = ExportedFile(
            path.name, "savedmodel", total_bytes(path), noise=self.request.noise
        )
        return self._measured(file, savedmodel.savedmodel_runner(path))

    def _onnx(self, path: Path, part: str) -> ExportedFile:
        batch = self.request.batch
        with quiet():
            onnx.save_onnx(self.program, part, path, batch)
        file = ExportedFile(
            path.name, "onnx", total_bytes(path), "float32", batch, part=part
        )
        file = replace(file, noise=self.request.noise)
        return self._measured(file, {part: onnx.onnx_runner(path)})

    def _litert(self, path: Path, precision: str) -> ExportedFile:
        batch = self.request.batch
        with quiet():
            litert.save_litert(self.program, path, batch, precision)
            file = ExportedFile(
                path.name, "litert", total_bytes(path), precision, batch
            )
            file = replace(file, noise=self.request.noise)
            return self._measured(file, litert.litert_runner(path))

    def _keras(self, path: Path) -> ExportedFile:
        self.model.save(path)
        reloaded = models.load(path)
        same = zip(reloaded.weights, self.model.weights, strict=True)
        if not all(np.array_equal(a.numpy(), b.numpy()) for a, b in same):
            raise UserError(f"{path.name} did not come back as it was saved.")
        return ExportedFile(
            path.name, "keras", total_bytes(path), max_error=0.0, mean_error=0.0
        )

    def _measured(self, file: ExportedFile, run: dict[str, verify.Run]) -> ExportedFile:
        """Adds the errors, and the times of a file that generates from z."""
        errors = verify.compare_with_keras(self.reference, run, file.batch)
        verify.require_close(file.name, errors, file.precision)
        mapping = file.part == "map"
        file = replace(
            file,
            max_error=errors.w if mapping else errors.largest,
            mean_error=None if mapping else errors.mean,
        )
        if "generate" not in run:
            return file
        height, width, _ = self.program.image_shape
        n = file.batch or verify.timed_batch(height * width)
        inputs = self.reference.inputs(n)
        psi = np.float32(verify.PSIS[0])
        ours, theirs = verify.paired_seconds(
            lambda: run["generate"](**inputs, psi=psi),
            lambda: self.reference.draw(**inputs),
        )
        return replace(file, ms=1000 * ours / n, keras_ms=1000 * theirs / n)
