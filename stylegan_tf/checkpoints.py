"""The checkpoints of a run as files: their names, records, damage and removal.

    RUN/progress.json                             images seen at the last checkpoint
    RUN/checkpoints/ckpt-1000.index,
                    ckpt-1000.data-00000-of-00001 TensorFlow's files
                    ckpt-1000.json                their sizes and SHA-256, images seen,
                                                  settings, fingerprints
                    checkpoint                    for TensorFlow's own tools

TensorFlow writes into `.saving/`. Once that is read back, complete and on the disk, its
new name `.saved/` makes it a checkpoint, and links put its files in their place. So
there is a whole checkpoint after a kill at any moment, though a checkpoint is several
files. Checkpoints of earlier versions have no record.
"""

import contextlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from stylegan_tf import files

# In a run directory.
FOLDER, PROGRESS, DATA = "checkpoints", "progress.json", "data.txt"
KEEP = 2
_DRAFT, _SAVED = ".saving", ".saved"
_FILE = re.compile(r"ckpt-(0|[1-9][0-9]{0,17})\.(index|json|data-[0-9]{5}-of-[0-9]{5})")
# What killed saves of earlier versions, and of TensorFlow, leave behind.
_LEFTOVER = re.compile(
    r"ckpt-[0-9]+_temp|checkpoint\.tmp.*|ckpt-[0-9]+\..*\.tempstate[0-9]*", re.DOTALL
)


@dataclass(frozen=True)
class Checkpoint:
    """The files of one checkpoint, whole or not.

    Attributes:
        folder: where they lie.
        nimg: images seen.
    """

    folder: Path
    nimg: int

    @property
    def prefix(self) -> Path:
        """The path that TensorFlow knows the checkpoint by."""
        return self.folder / f"ckpt-{self.nimg}"

    @property
    def record_path(self) -> Path:
        """The file that describes the others."""
        return self.prefix.with_name(f"{self.prefix.name}.json")

    def record(self) -> dict:
        """Reads what the checkpoint says about itself; {} if it has no record."""
        return files.read_json_object(self.record_path)

    def paths(self) -> list[Path]:
        """Lists TensorFlow's files, the index last."""
        found = [
            name
            for name, nimg in _names(self.folder)
            if nimg == self.nimg and not name.endswith(".json")
        ]
        return [self.folder / name for name in sorted(found)]

    def damage(self, thorough: bool = True) -> str | None:
        """Compares the files with the record.

        Args:
            thorough: compare the content, too, and not the sizes alone.

        Returns:
            What is wrong, or None.
        """
        found = {path.name: path for path in self.paths()}
        expected = self.record().get("files")
        if not isinstance(expected, dict) or not expected:  # of an earlier version
            expected = {name: {} for name in _complete(self.prefix.name, found)}
        for name, facts in sorted(expected.items()):
            if name not in found:
                return f"{name} is missing"
            if not isinstance(facts, dict):
                return f"{self.record_path.name} is damaged"
            if trouble := _difference(found[name], facts, thorough):
                return f"{name} {trouble}"
        return None


def _difference(path: Path, facts: dict, thorough: bool) -> str | None:
    """Says in what a file is not the one that was saved, or None."""
    try:
        size = path.stat().st_size
        if size != facts.get("bytes", size):
            return f"has {size:,} bytes, not {facts['bytes']}"
        digest = facts.get("sha256")
        if thorough and digest and files.checksum(path) != digest:
            return "has other bytes than were saved"
    except OSError as error:  # a folder, or a link to nothing
        return f"cannot be read: {error.strerror}"
    return None


def _names(folder: Path) -> list[tuple[str, int]]:
    """Lists the files of checkpoints in a folder, with the images seen of each."""
    try:
        names = os.listdir(folder)
    except OSError:
        return []
    found = [(name, _FILE.fullmatch(name)) for name in names]
    return [(name, int(match[1])) for name, match in found if match]


def _complete(stem: str, found: Mapping[str, Path]) -> list[str]:
    """Names the files that a checkpoint must have, judging by those that it has."""
    parts = [name.rpartition("-of-")[2] for name in found if "-of-" in name]
    count = int(parts[0]) if parts else 1
    data = [f"{stem}.data-{i:05d}-of-{count:05d}" for i in range(min(count, 1000))]
    return [f"{stem}.index", *data]


# ---------------------------------------------------------------------------
# Reading


def list_checkpoints(run: Path) -> list[Checkpoint]:
    """Lists the checkpoints of a run, the newest first, damaged ones included."""
    folder = run / FOLDER
    found = [
        Checkpoint(place, nimg)
        for place in (folder / _SAVED, folder)
        for nimg in {nimg for _, nimg in _names(place)}
    ]
    return sorted(found, key=lambda c: -c.nimg)


def newest_checkpoint(run: Path) -> Checkpoint | None:
    """Finds the newest checkpoint of a run whose files are all there."""
    whole = (c for c in list_checkpoints(run) if not c.damage(thorough=False))
    return next(whole, None)


def saved_progress(run: Path) -> int | None:
    """Images seen, by `progress.json`; None if that is missing or unreadable."""
    nimg = files.read_json_object(run / PROGRESS).get("nimg")
    return nimg if type(nimg) is int and nimg >= 0 else None


def known_data(run: Path) -> tuple[str | None, Path | None]:
    """Fingerprint and folder of the records that a run was trained on, if known.

    By `data.txt`, or else the newest checkpoint.
    """
    try:
        text = files.read_regular(run / DATA, 1 << 16)
    except OSError:
        text = b""
    fingerprint, _, folder = os.fsdecode(text).strip().partition(" ")
    if re.fullmatch("[0-9a-f]{8}", fingerprint) and "\0" not in folder:
        return fingerprint, Path(folder) if folder else None
    for checkpoint in list_checkpoints(run):
        if isinstance(fingerprint := checkpoint.record().get("data"), str):
            return fingerprint, None
    return None, None


# ---------------------------------------------------------------------------
# Writing


def write_progress(run: Path, nimg: int, seconds: float = 0.0) -> None:
    """Writes `progress.json`."""
    progress = {"nimg": nimg, "seconds": round(seconds, 1)}
    files.write_text(run / PROGRESS, json.dumps(progress) + "\n")


def new_draft(run: Path, nimg: int) -> Checkpoint:
    """Makes the folder in which TensorFlow writes the next checkpoint."""
    folder = run / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    place_saved(run)
    drop_draft(run)
    (folder / _DRAFT).mkdir()
    return Checkpoint(folder / _DRAFT, nimg)


def drop_draft(run: Path) -> None:
    """Removes what an unfinished save has written, so that it takes no space."""
    shutil.rmtree(run / FOLDER / _DRAFT, ignore_errors=True)


def keep_draft(run: Path, draft: Checkpoint, facts: Mapping[str, object]) -> None:
    """Makes a draft that was read back the newest checkpoint; older ones go.

    The newest `KEEP` remain, and none that is newer than this one: the run has gone
    back behind it.

    Args:
        run: the run directory.
        draft: from `new_draft`, written.
        facts: JSON values to record.

    Raises:
        OSError: the disk is full or broken; the checkpoints before are as they were.
    """
    described = {
        path.name: {"bytes": path.stat().st_size, "sha256": files.checksum(path)}
        for path in draft.paths()
    }
    record = {"nimg": draft.nimg, **facts, "files": described}
    files.write_text(draft.record_path, json.dumps(record, indent=1) + "\n")
    files.sync_all(draft.folder)
    os.rename(draft.folder, run / FOLDER / _SAVED)
    files.sync(run / FOLDER)
    place_saved(run)
    found = list_checkpoints(run)
    older = [c for c in found if c.nimg <= draft.nimg and not c.damage(thorough=False)]
    for checkpoint in found:
        if checkpoint not in older[:KEEP]:
            _remove(checkpoint)
    with contextlib.suppress(OSError):  # nothing here depends on it
        _write_index(run, older[:KEEP])


def place_saved(run: Path) -> None:
    """Puts the files of a finished save in their place, all or, after a kill, again."""
    folder = run / FOLDER
    saved = folder / _SAVED
    if not saved.is_dir():
        return
    for checkpoint in {Checkpoint(saved, nimg) for _, nimg in _names(saved)}:
        if checkpoint.damage(thorough=False):
            continue
        placed = Checkpoint(folder, checkpoint.nimg)
        _clear(placed.record_path)  # of other files of that name
        for path in [*checkpoint.paths(), checkpoint.record_path]:
            draft = folder / f".{path.name}.{os.getpid()}.tmp"
            _link(path, draft)
            if (folder / path.name).is_dir():
                _clear(folder / path.name)
            os.replace(draft, folder / path.name)
    files.sync(folder)
    drop_draft(run)
    os.rename(saved, folder / _DRAFT)  # in one step: half a `.saved` would be damaged
    drop_draft(run)


def _link(path: Path, to: Path) -> None:
    to.unlink(missing_ok=True)
    files.link_or_copy(path, to)
    files.sync(to)


def _remove(checkpoint: Checkpoint) -> None:
    """Removes the files of a checkpoint, each by its exact name."""
    for path in [*reversed(checkpoint.paths()), checkpoint.record_path]:
        _clear(path)


def _clear(path: Path) -> None:
    """Removes what has the name of a file, even if it is a folder."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _write_index(run: Path, kept: list[Checkpoint]) -> None:
    """Writes the list that `tf.train.latest_checkpoint` reads; nothing here does."""
    names = [c.prefix.name for c in reversed(kept)]
    lines = [f'model_checkpoint_path: "{names[-1]}"']
    lines += [f'all_model_checkpoint_paths: "{name}"' for name in names]
    files.write_text(run / FOLDER / "checkpoint", "\n".join(lines) + "\n")


def tidy(run: Path) -> None:
    """Finishes and removes what killed processes left. For the run's owner alone."""
    folder = run / FOLDER
    files.remove_drafts(run)
    if not folder.is_dir():
        return
    place_saved(run)
    drop_draft(run)
    files.remove_drafts(folder)
    for path in folder.iterdir():
        if _LEFTOVER.fullmatch(path.name):
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


def list_run_folders(folder: Path) -> list[Path]:
    """Returns the run directories in a folder, the newest first; none if unreadable."""
    with contextlib.suppress(OSError):
        runs = [path for path in folder.iterdir() if (path / "config.json").is_file()]
        return sorted(runs, key=lambda run: run.stat().st_mtime, reverse=True)
    return []
