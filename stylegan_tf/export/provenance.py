"""Where a model comes from: its data, preset, images seen, metrics and license.

Read from what stands beside the model: a run's own files, the card of an earlier
export, or the name of an official pickle. What cannot be found out is None, and the
card says so.
"""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path

from stylegan_tf import config as configs
from stylegan_tf import models
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError

CARD_JSON = "model_card.json"
METRICS = "metrics.jsonl"

OF_DATA = (
    "No license is granted here. The weights were learned from the pictures named "
    "above, and whether they may be used, sold or passed on is for those who hold the "
    "rights in these pictures to say."
)
OF_DEMO = (
    "The pictures it was trained on are drawn by stylegan_tf itself, under the Apache "
    "License 2.0; no rights of others are known to bear on the weights."
)
OF_PICKLES = (
    "An official file. NVIDIA publishes its StyleGAN networks under Creative Commons "
    "BY-NC 4.0 and its StyleGAN2 networks under the NVIDIA Source Code License-NC: not "
    "for commercial use. Other publishers' files are under the terms they came with."
)
UNKNOWN = "Not known: nothing beside the model says what it was trained on."


@dataclass(frozen=True)
class Origin:
    """Where a model comes from.

    Attributes:
        source: what was opened, by name.
        data, fingerprint, pictures, class_names: the data set: its name, a checksum of
            its pictures, how many they are, and what its classes are called.
        preset, images_seen, precision, training: how it was trained; `training` is the
            command line.
        started_from: the model that its weights started from.
        metrics: rows of a run's `metrics.jsonl`, the newest of each.
        license: of the weights.
    """

    source: str
    data: str | None = None
    fingerprint: str | None = None
    pictures: int | None = None
    class_names: list[str] = field(default_factory=list)
    preset: str | None = None
    images_seen: int | None = None
    precision: str | None = None
    training: str | None = None
    started_from: str | None = None
    metrics: list[dict] = field(default_factory=list)
    license: str = UNKNOWN


def of_model(path: Path | str) -> Origin:
    """The origin of what `models.load` opens at `path`.

    Raises:
        UserError: there is no model at `path`.
    """
    found = models.find_model(path)
    if found.kind == "pickle":
        return Origin(found.path.name, license=OF_PICKLES)
    if found.kind == "checkpoint":
        nimg = found.path.name.split("-")[-1]
        seen = int(nimg) if nimg.isdecimal() else None
        return of_run(found.run, seen, f"{found.run.name}/{found.path.name}")
    return of_folder(found.path.parent) or Origin(found.path.name)


def of_new_folder(folder: Path) -> Origin:
    """The origin of a model that is written into a folder: the run around it."""
    run = folder.resolve().parent
    return of_run(run) if (run / "config.json").is_file() else Origin(folder.name)


def of_folder(folder: Path) -> Origin | None:
    """The origin of a model in a folder: by its card, or by the run around it."""
    card = _json(folder / CARD_JSON).get("origin")
    if isinstance(card, dict):
        if "licence" in card:  # the key's spelling before version 0.2
            card = card | {"license": card["licence"]}
        names = {f.name for f in dataclasses.fields(Origin)}
        return Origin(**{"source": folder.name} | {k: card[k] for k in names & {*card}})
    run = folder.resolve().parent
    return of_run(run) if (run / "config.json").is_file() else None


def of_run(run: Path, seen: int | None = None, source: str | None = None) -> Origin:
    """The origin of a run's model.

    Args:
        run: its directory.
        seen: images seen; None = what the run's progress says.
        source: what was opened; None = the run.
    """
    try:
        config = configs.read_config(run / "config.json")
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{run}/config.json cannot be read: {error}") from error
    if seen is None:
        seen = _json(run / "progress.json").get("nimg")
    fingerprint, _, folder = _text(run / "data.txt").partition(" ")
    data = _manifest(folder)
    return Origin(
        source=source or run.name,
        data=_name(config.data),
        fingerprint=fingerprint or None,
        pictures=data.count if data else None,
        class_names=list(data.class_names) if data and config.generator.classes else [],
        preset=config.preset,
        images_seen=seen,
        precision=config.precision,
        training=_text(run / "command.txt") or None,
        started_from=Path(config.init).name if config.init else None,
        metrics=newest(_rows(run / METRICS), seen),
        license=_license(config),
    )


def _name(data: str) -> str:
    """A data set without the folders above it, which are nobody else's business."""
    if data.startswith("tfds:") or data.partition(":")[0] == "demo":
        return data
    return Path(data).name or data


def _license(config: configs.TrainConfig) -> str:
    if config.init.endswith(".pkl"):
        return f"Started from {Path(config.init).name}. {OF_PICKLES} {OF_DATA}"
    demo = config.data.partition(":")[0] == "demo" and not config.init
    return OF_DEMO if demo else OF_DATA


def newest(rows: list[dict], seen: int | None = None) -> list[dict]:
    """The last row of each metric and network, of those up to `seen` images."""
    found: dict[tuple, dict] = {}
    for row in rows:
        if seen is None or (row.get("nimg") or 0) <= seen:
            found[row["metric"], row.get("network")] = row
    return list(found.values())


def _rows(path: Path) -> list[dict]:
    """The rows of a metrics file that hold a number; one cut short is skipped."""
    rows = []
    for line in _text(path).splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "metric" in row and "value" in row:
            rows.append(row)
    return rows


def _manifest(folder: str) -> Manifest | None:
    try:
        return Manifest.load(folder) if folder else None
    except UserError:
        return None  # the data has moved


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _json(path: Path) -> dict:
    try:
        values = json.loads(_text(path) or "{}")
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}
