"""The names of files in a folder or a zip, and what they tell about them.

Names come from Windows with backslashes, from macOS with letters in two parts, from
tools that write "./" before each. `portable_name` and `label_key` make them comparable.
"""

import re
import unicodedata
from collections.abc import Sequence
from pathlib import PurePosixPath

_SPLIT = re.compile(
    r"(train|test|val|valid|dev|eval)(ing|idation|uation)?"
    r"([-_ ]?(set|split|data|images?|\d{4}))?",
    re.IGNORECASE,
)
TRAINING = re.compile(r"train(ing)?([-_ ].*|\d{4}|set)?", re.IGNORECASE)
# Folders that systems and programs make beside pictures.
_SYSTEM = frozenset(
    ("__macosx", "@eadir", "$recycle.bin", "system volume information", "lost+found")
    + ("__pycache__", "thumbnails", "thumbs", "thumbnail", "thumb")
)
# Folders of pictures that belong to other pictures, unless they are classes.
_BESIDE = frozenset(
    ("mask", "masks", "annotation", "annotations", "segmentation", "segmentations")
    + ("label", "labels", "depth", "preview", "previews", "groundtruth", "gt")
)
# What this package writes beside its pictures: a run, an export, a projection.
_OWN_OUTPUT = (
    ("config.json", "command.txt", "environment.json"),
    ("model_card.json", "MODEL_CARD.md"),
    ("projection.json", "projected.npz"),
)


def portable_name(name: str) -> str:
    """Returns a path with forward slashes, and without a drive, "./" or a root."""
    name = re.sub(r"^[A-Za-z]:(?=[\\/])", "", name).replace("\\", "/")
    return "/".join(part for part in name.split("/") if part not in ("", "."))


def label_key(name: str) -> str:
    """Returns the form of a name under which label files and pictures meet."""
    return unicodedata.normalize("NFC", portable_name(name.strip()))


def common_folder(names: Sequence[str]) -> str:
    """Returns the folder that all names share, with a slash at the end, or ""."""
    parents = {PurePosixPath(name).parent.parts for name in names}
    shared = []
    for parts in zip(*parents, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return "".join(f"{part}/" for part in shared)


def is_hidden(name: str) -> bool:
    """Returns True for a name that begins with a dot, or lies in such a folder."""
    return any(part.startswith(".") for part in name.split("/"))


def in_system_folder(name: str) -> bool:
    """Returns True for a file in a folder that systems make, such as thumbnails/."""
    return any(part.lower() in _SYSTEM for part in name.split("/")[:-1])


def own_output(names: Sequence[str]) -> set[str]:
    """Finds folders that this package wrote, such as runs, each ending in a slash.

    `--data=.` with `--out=runs` would else train on its own sheets the next time.

    Args:
        names: of all files; the folder of all of them is not among the folders.
    """
    inside: dict[str, set[str]] = {}
    marks = {mark for kind in _OWN_OUTPUT for mark in kind}
    for name in names:
        folder, _, file = name.rpartition("/")
        if folder and file in marks:
            inside.setdefault(f"{folder}/", set()).add(file)
    kinds = [set(kind) for kind in _OWN_OUTPUT]
    return {f for f, files in inside.items() if any(kind <= files for kind in kinds)}


def split_of(folder: str) -> str:
    """Returns "train" or "other" for the name of a split, else ""."""
    if TRAINING.fullmatch(folder):
        return "train"
    return "other" if _SPLIT.fullmatch(folder) else ""


def side_folders(names: Sequence[str]) -> set[str]:
    """Finds folders at the top whose pictures belong to others, such as masks/.

    Their name says so, and the pictures there have the names of pictures elsewhere, or
    only one other folder is left.

    Args:
        names: paths of images, below the folder that all share.
    """
    stems: dict[str, set[str]] = {}
    for name in names:
        head, slash, rest = name.partition("/")
        place = rest if slash else head
        stem = str(PurePosixPath(place).with_suffix("")) if place else ""
        stems.setdefault(head if slash else "", set()).add(stem)
    beside = {head for head in stems if head.lower() in _BESIDE}
    rest = [own for head, own in stems.items() if head not in beside]
    if not rest:
        return set()
    known = set().union(*rest)
    return {head for head in beside if len(rest) == 1 or stems[head] <= known}
