"""Models that come with the package, by name: `demo`, drawn faces at 64x64.

Such a name stands wherever a model's path does; a file or folder of that name in the
current directory comes first. Each is a folder with its model card. No TensorFlow.
"""

from pathlib import Path

FOLDER = Path(__file__).parent


def pretrained_names() -> list[str]:
    """Returns the names of the models that come with the package."""
    return sorted(
        path.name for path in FOLDER.iterdir() if (path / "model_card.json").is_file()
    )


def find_pretrained(path: Path | str) -> Path | None:
    """Returns the folder of the model that a path names; None if it names none."""
    known = str(path) in pretrained_names() and not Path(path).exists()
    return FOLDER / str(path) if known else None
