"""A training run as the user asks for it, on the command line or in Python."""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:  # it loads NumPy, for which --help does not wait
    from stylegan_tf.data.sources.base import Source

# Flag of launch/train.py, which is also a keyword of `train` -> the setting it changes.
FLAGS = {
    "data": "data",
    "kimg": "schedule.total_kimg",
    "batch": "schedule.batch",
    "accumulate": "accumulate",
    "recompute": "recompute",
    "gamma": "loss.r1_gamma",
    "labels": "labels",
    "init": "init",
    "mirror": "mirror",
    "precision": "precision",
    "jit": "jit",
    "seed": "seed",
    "deterministic": "deterministic",
    "snapshot_ticks": "snapshot_ticks",
    "checkpoint_minutes": "checkpoint_minutes",
    "image_ticks": "image_ticks",
    "metrics": "metrics",
    "metrics_every": "metrics_every",
    "features": "features",
}
# Setting -> the flag to name in a message. These flags change several settings.
FLAG_NAMES = {setting: flag for flag, setting in FLAGS.items()} | {"preset": "preset"}
for _network in ("generator", "discriminator"):
    for _name in ("resolution", "start_shape"):
        FLAG_NAMES[f"{_network}.{_name}"] = "resolution"
    FLAG_NAMES[f"{_network}.classes"] = "labels"
    FLAG_NAMES[f"{_network}.channels"] = "data"
SURROUNDINGS = ("crop", "strategy", "cache", "download", "command")  # no settings
PLACES = ("data", "labels", "init", "features")  # settings that may name a path


class TrainFlags(TypedDict, total=False):
    """Further keywords of `train`, the flags of launch/train.py without their `--`.

    Attributes:
        batch: images per step at every resolution, over all devices.
        accumulate: rounds that each step is split into.
        recompute: compute activations again instead of keeping them.
        gamma: weight of the R1 penalty.
        init: model that the weights start from.
        mirror: flip half of the real images.
        precision: "float32", "bfloat16" or "auto".
        jit: "off", "on" or "auto".
        seed: random seed for weights, data order and latents.
        deterministic: repeatable to the bit on a GPU too.
        snapshot_ticks: log lines between checkpoints.
        checkpoint_minutes: minutes after which a checkpoint is due; 0 = never.
        image_ticks: log lines between sheets of images.
        metrics: names as in launch/evaluate.py; the first one picks the best model.
        metrics_every: thousands of images between two measurements.
        features: feature network of the metrics.
        crop: "center", "pad" or "none", how images of another shape are fitted.
        strategy: "auto", "one", "mirrored", "multiworker" or "tpu".
        cache: folder that keeps converted images.
        download: let TFDS download.
        command: the command line, for the record.
    """

    batch: int
    accumulate: int
    recompute: bool
    gamma: float
    init: str
    mirror: bool
    precision: str
    jit: str
    seed: int
    deterministic: bool
    snapshot_ticks: int
    checkpoint_minutes: float
    image_ticks: int
    metrics: Sequence[str]
    metrics_every: float
    features: str
    crop: str
    strategy: str
    cache: str | None
    download: bool
    command: Sequence[str]


@dataclass(frozen=True)
class RunRequest:
    """The user's wishes for a training run.

    Attributes:
        preset: name in `presets.PRESETS`; None is "demo".
        changes: dotted setting -> value, on top of the preset; only what was given.
        resolution: "N" or "HEIGHTxWIDTH"; None is what the data and the preset say.
        crop: how images are fitted if they must be converted, see `data.convert`.
        out: folder of the runs.
        resume: "auto", "never" or a run directory.
        strategy: name for `devices.make_strategy`.
        cache: folder of converted data; None is the default.
        download: True lets TFDS download.
        command: the command line, for the record.
        flags: dotted setting -> the flag that sets it, for messages.
        images: opens images that a program holds, in place of `changes["data"]`; of a
            dataset the given number of them.
        dataset: the `tf.data.Dataset` that `images` opens, if it is one.
        streams: True to train on `dataset` without converting it.
        grows: False for networks of the user's own that cannot grow.
        asks: True if a person at a terminal may be asked about a run of hours.
    """

    preset: str | None = None
    changes: dict[str, object] = field(default_factory=dict)
    resolution: str | None = None
    crop: str = "center"
    out: str = "runs"
    resume: str = "auto"
    strategy: str = "auto"
    cache: str | None = None
    download: bool = False
    command: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)
    images: Callable[..., AbstractContextManager["Source"]] | None = None
    dataset: object = None
    streams: bool = False
    grows: bool = True
    asks: bool = False

    @property
    def names_a_run(self) -> bool:
        """True if `resume` is a run directory, which then must go on."""
        return self.resume not in ("auto", "never")


def changes_of(flags: Mapping[str, object]) -> dict[str, object]:
    """Returns the changes of settings that flags ask for, by dotted name.

    Args:
        flags: keys of `FLAGS` -> value, only those that were given.
    """
    changes = {FLAGS[flag]: value for flag, value in flags.items()}
    if "schedule.batch" in changes:
        changes["schedule.batch_at"] = {}
    for place in PLACES:
        if changes.get(place) not in (None, ""):
            changes[place] = os.path.expanduser(str(changes[place]))
    return changes
