"""Reads a model's provenance: its data, preset, images seen, metrics and license.

The sources are a run's own files, the card of an earlier export, or the name of an
official pickle. Facts that none of them holds are None, and the card says so.
"""

import dataclasses
import json
import re
from dataclasses import dataclass, field
from pathlib import Path

from stylegan_tf import checkpoints, models, remote
from stylegan_tf import config as configs
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.data.sources.memory import is_stream
from stylegan_tf.errors import UserError
from stylegan_tf.files import read_json_object

CARD_JSON = "model_card.json"
METRICS = "metrics.jsonl"

DATA_LICENSE = (
    "No license is granted here. The weights were learned from the pictures named "
    "above, and whether they may be used, sold or passed on is for those who hold the "
    "rights in these pictures to say."
)
DEMO_LICENSE = (
    "The pictures it was trained on are drawn by stylegan_tf itself, under the Apache "
    "License 2.0; no rights of others are known to bear on the weights."
)
PICKLE_LICENSE = (
    "An official file. NVIDIA publishes its StyleGAN networks under Creative Commons "
    "BY-NC 4.0 and its StyleGAN2 networks under the NVIDIA Source Code License-NC: not "
    "for commercial use. Its StyleGAN2-ADA and StyleGAN3 networks and other "
    "publishers' files are under the terms they came with."
)
FOREIGN_LICENSE = (
    "The weights are another project's, and converting a file does not change whose "
    "they are: they stay under the terms that they came with. Weights that were made "
    "from NVIDIA's networks are, like these, not for commercial use."
)
UNKNOWN_LICENSE = "Not known: nothing beside the model says what it was trained on."


@dataclass(frozen=True)
class Provenance:
    """The provenance of a model.

    Attributes:
        source: name of the model's file or run.
        data: name of the data set.
        fingerprint: checksum of its images.
        settings: fingerprint of the training run's settings.
        pictures: number of its images.
        class_names: names of its classes.
        preset: of the training run.
        images_seen: in training.
        precision: of the training run.
        training: command line of the training run.
        started_from: the model whose weights training started from.
        metrics: the newest row of each metric in the run's `metrics.jsonl`.
        license: of the weights.
    """

    source: str
    data: str | None = None
    fingerprint: str | None = None
    settings: str | None = None
    pictures: int | None = None
    class_names: list[str] = field(default_factory=list)
    preset: str | None = None
    images_seen: int | None = None
    precision: str | None = None
    training: str | None = None
    started_from: str | None = None
    metrics: list[dict] = field(default_factory=list)
    license: str = UNKNOWN_LICENSE


def provenance_of_model(path: Path | str) -> Provenance:
    """Returns the provenance of the model that `models.load` opens at `path`.

    Raises:
        UserError: there is no model at `path`.
    """
    found = models.find_model(path)
    name = str(path) if remote.is_remote(path) else found.path.name
    if found.kind == "pickle":
        return Provenance(name, license=_foreign_license(found.path))
    if found.kind == "checkpoint":
        nimg = found.path.name.split("-")[-1]
        seen = int(nimg) if nimg.isdecimal() else None
        return provenance_from_run(
            found.run, seen, f"{found.run.name}/{found.path.name}"
        )
    if found.original:
        known = provenance_of_model(found.original.path)
        return dataclasses.replace(known, source=f"{name}, tuned from {known.source}")
    known = provenance_from_folder(found.path.parent)
    return known or Provenance(name, license=_stated(found.path) or UNKNOWN_LICENSE)


def _foreign_license(path: Path) -> str:
    kind = PICKLE_LICENSE if path.suffix == ".pkl" else FOREIGN_LICENSE
    return " ".join(filter(None, [_stated(path), kind]))


def _stated(path: Path) -> str:
    """The license that the head of the README beside a file states; "" if none does."""
    head = re.match(r"---\n(.*?)\n---", _text(path.with_name("README.md")), re.DOTALL)
    found = re.search(r"^license: *(\S.*)$", head[1], re.MULTILINE) if head else None
    name = found[1].strip("\"' ")[:100] if found else ""
    return f"Where it was published, its license is stated as: {name}." if name else ""


def provenance_of_run(folder: Path) -> Provenance:
    """Returns the provenance of a model in `folder`: the run around it, if any."""
    run = folder.resolve().parent
    return (
        provenance_from_run(run)
        if (run / "config.json").is_file()
        else Provenance(folder.name)
    )


def provenance_from_folder(folder: Path) -> Provenance | None:
    """Returns the provenance of a model in a folder, by its card or its run."""
    card = read_json_object(folder / CARD_JSON).get("origin")
    if isinstance(card, dict):
        if "licence" in card:  # the key's spelling before version 0.2
            card = card | {"license": card["licence"]}
        names = {f.name for f in dataclasses.fields(Provenance)}
        return Provenance(
            **{"source": folder.name} | {k: card[k] for k in names & {*card}}
        )
    run = folder.resolve().parent
    return provenance_from_run(run) if (run / "config.json").is_file() else None


def provenance_from_run(
    run: Path, seen: int | None = None, source: str | None = None
) -> Provenance:
    """Returns the provenance of a run's model.

    Args:
        run: the run directory.
        seen: images seen; None = by the run's progress.
        source: name of the model; None = the run's.
    """
    config = models.run_config(run)
    if seen is None:
        seen = checkpoints.saved_progress(run)
    fingerprint, folder = checkpoints.known_data(run)
    data = _manifest(folder)
    return Provenance(
        source=source or run.name,
        data=_name(config.data),
        fingerprint=fingerprint,
        settings=configs.settings_fingerprint(config),
        pictures=data.count if data and not is_stream(config.data) else None,
        class_names=_class_names(data, config.generator),
        preset=config.preset,
        images_seen=seen,
        precision=config.precision,
        training=_text(run / "command.txt") or None,
        started_from=Path(config.init).name if config.init else None,
        metrics=newest_rows(_rows(run / METRICS), seen),
        license=_license(config),
    )


def _class_names(data: Manifest | None, g: configs.GeneratorConfig) -> list[str]:
    names = data.class_names if data else g.class_names
    return list(names) if g.classes else []


def _name(data: str) -> str:
    """Returns a data set's name without its parent folders, which are private."""
    if data.startswith("tfds:") or data.partition(":")[0] == "demo":
        return data
    return Path(data).name or data


def _license(config: configs.TrainConfig) -> str:
    if remote.is_remote(config.init):
        return f"Started from {config.init}, whose terms hold here too. {DATA_LICENSE}"
    init = Path(config.init)
    if init.suffix in models.FOREIGN:
        terms = PICKLE_LICENSE if init.suffix == ".pkl" else FOREIGN_LICENSE
        return f"Started from {init.name}. {terms} {DATA_LICENSE}"
    demo = config.data.partition(":")[0] == "demo" and not config.init
    return DEMO_LICENSE if demo else DATA_LICENSE


def newest_rows(rows: list[dict], seen: int | None = None) -> list[dict]:
    """Returns the last row of each metric and network, up to `seen` images."""
    newest: dict[tuple, dict] = {}
    for row in rows:
        if seen is None or (row.get("nimg") or 0) <= seen:
            newest[row["metric"], row.get("network")] = row
    return list(newest.values())


def _rows(path: Path) -> list[dict]:
    """Reads the complete rows of a metrics file; skips a line cut short."""
    rows = []
    for line in _text(path).splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, dict) and "metric" in row and "value" in row:
            rows.append(row)
    return rows


def _manifest(folder: Path | None) -> Manifest | None:
    try:
        return Manifest.load(folder) if folder else None
    except UserError:
        return None  # the data has moved


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
