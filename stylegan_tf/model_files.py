"""The file of a model, found by its path without reading it. No TensorFlow.

So a path that leads nowhere is refused before TensorFlow is loaded; `models.load` opens
what is found.
"""

from dataclasses import dataclass
from pathlib import Path

from stylegan_tf import checkpoints, files, hub, remote
from stylegan_tf.errors import UserError
from stylegan_tf.formats import safetensors_files, tuned_files
from stylegan_tf.pretrained import find_pretrained, pretrained_names

KERAS_FILE, SAVED_MODEL = "generator.keras", "saved_model"
MOST_NAMED = 12  # runs in a message
FOREIGN = (".pkl", ".pt", ".pth")  # checkpoints of other projects
GENERATOR_KEY = "stylegan_tf.generator"  # of our settings in .safetensors files
# What is read of a folder at an address.
_READ = (KERAS_FILE, "*.json", "data.txt", "checkpoints/*")


@dataclass(frozen=True)
class ModelFile:
    """The file that a model is read from.

    Attributes:
        kind: "keras" or "safetensors" (files of ours), "checkpoint", "pickle" (of
            another project, `.pt` and its `.safetensors` included), or "tuned".
        path: the file, or the checkpoint's prefix.
        run: the run directory of a checkpoint.
        original: of a tuned model.
    """

    kind: str
    path: Path
    run: Path | None = None
    original: "ModelFile | None" = None

    @property
    def base(self) -> "ModelFile":
        """The file with the model's settings: the original of a tuned model."""
        return self.original or self

    @property
    def nimg(self) -> int | None:
        """Images seen, from the name of a checkpoint such as `ckpt-1000`."""
        number = self.path.name.split("-")[-1]
        return int(number) if self.run and number.isdecimal() else None


def find_model(path: Path | str) -> ModelFile:
    """Finds the file that `load` reads for a path, without reading it.

    A run directory is its newest checkpoint, which the finished model is made from. The
    name of a model that comes with the package, `demo`, is its folder.

    Raises:
        UserError: there is no model at `path`, or a tuned one without its original.
    """
    if remote.is_remote(path):
        path = _fetched(str(path))
    else:
        path = find_pretrained(path) or files.home_path(path)
    if path.suffix == ".keras" and path.is_file():
        return ModelFile("keras", path)
    if path.suffix in FOREIGN and path.is_file():
        return ModelFile("pickle", path)
    if path.suffix == safetensors_files.SUFFIX and path.is_file():
        ours = GENERATOR_KEY in safetensors_files.read_metadata(path)
        return ModelFile("safetensors" if ours else "pickle", path)
    if path.suffix == tuned_files.SUFFIX and path.is_file():
        return ModelFile("tuned", path, original=_find_original(path))
    if (path / KERAS_FILE).is_file():
        return ModelFile("keras", path / KERAS_FILE)
    if (path / "config.json").is_file():
        newest = checkpoints.newest_checkpoint(path)
        if newest is None:
            for damaged in checkpoints.list_checkpoints(path):
                why = damaged.damage(thorough=False)
                raise UserError(f"{damaged.prefix} cannot be read: {why}.")
            raise UserError(f"{path} has neither a model nor a checkpoint yet.")
        return ModelFile("checkpoint", newest.prefix, path)
    if Path(f"{path}.index").is_file():
        run = path.parent.parent
        if not (run / "config.json").is_file():
            raise UserError(f"{path} is not in a run: {run} has no config.json.")
        return ModelFile("checkpoint", path, run)
    if runs := checkpoints.list_run_folders(path):
        shown = [*map(str, runs[:MOST_NAMED])] + ["..."] * (len(runs) > MOST_NAMED)
        raise UserError(f"{path} is a folder of runs; name one: {', '.join(shown)}.")
    if program := _exported(path):
        raise UserError(
            f"{path} is {program}, which other programs open; give the "
            f"{KERAS_FILE} that `export` writes beside it, or the run."
        )
    raise UserError(
        f"no model at {path}: give a run directory, a .keras or .safetensors file, a "
        f"checkpoint such as RUN/checkpoints/ckpt-1000, a tuned .npz, a .pkl or .pt "
        f"of another project, or {' or '.join(pretrained_names())}, which comes with "
        f"the package."
    )


def _exported(path: Path) -> str | None:
    """Returns what an exported file is that cannot be opened again, or None."""
    if (path / "saved_model.pb").is_file():
        return "a SavedModel"
    kinds = {".onnx": "an ONNX file", ".tflite": "a LiteRT file"}
    return kinds.get(path.suffix) if path.is_file() else None


def _find_original(path: Path) -> ModelFile:
    """Finds the model that the one in a file was tuned from."""
    places = tuned_files.read_tuned(path).originals
    for place in places:
        if place.is_file() or Path(f"{place}.index").is_file():
            found = find_model(place)
            if found.original is None:
                return found
    raise UserError(
        f"{path} was tuned from {places[-1]}, which is not there: put it back, or "
        f"beside the file as before. project.py --tune --whole needs no original."
    )


def _fetched(url: str) -> Path:
    """Copies what is read of a model at an address; returns the copy."""
    if hub.is_hub(url):
        return hub.fetch_model(url)
    run, folder, name = url.rpartition("/checkpoints/")
    if folder:  # a checkpoint's prefix, which needs its run's settings
        return remote.fetch(run, only=_READ) / "checkpoints" / name
    return remote.fetch(url, only=_READ)
