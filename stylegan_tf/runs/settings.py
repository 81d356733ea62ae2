"""The settings of a run, as a function of what the user names. No TensorFlow.

`settings` reads no disk and asks neither devices nor clock. The data are resolved
before, see `runs.plan`; what depends on the machine ("auto") is settled after.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from stylegan_tf import config as configs
from stylegan_tf.config import TrainConfig, presets, schedule
from stylegan_tf.config.networks import GROWING, MOST_CLASS_NAMES
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.data.sources.labels import no_labels
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import suite

LABEL_EXAMPLES = 160  # one for each picture on a sheet
LABEL_NUMBERS = 1 << 20  # of all examples together


@dataclass(frozen=True)
class StartingPoint:
    """The settings that a run takes over from the model that it starts from.

    Attributes:
        settings: dotted network setting -> value, without those that the data decide.
        resolution: resolution at which the run begins, fully faded in.
        augment_p: probability of ADA that the model's training had reached, if known.
    """

    settings: dict[str, object]
    resolution: int
    augment_p: float | None = None


def settings(
    preset: str | TrainConfig,
    origin: StartingPoint | None,
    manifest: Manifest,
    changes: Mapping[str, object],
    resolution: str | None = None,
    replicas: int = 1,
    grows: bool = True,
) -> TrainConfig:
    """Combines recipe, starting point, data and the user's changes; the later win.

    Args:
        preset: name of a recipe, or the saved settings of a run that goes on.
        origin: the model that the run starts from, if any.
        manifest: the data set.
        changes: dotted setting -> value; values may be text, as on a command line.
        resolution: "N" or "HEIGHTxWIDTH". None is the saved run's, or the data's up to
            the preset's limit.
        replicas: devices that share the batch.
        grows: False begins at the final resolution, for networks that cannot grow.

    Returns:
        All settings; "auto" is left as it is.

    Raises:
        UserError: no such preset, setting or value; the data have not the resolution
            or the labels that are asked for; a batch that the devices cannot share.
    """
    level, start_shape = _resolution(preset, manifest, resolution)
    if isinstance(preset, TrainConfig):
        base = preset
    else:
        base = presets.make_config(preset, level, replicas)
    labels = changes.get("labels", base.labels)
    if labels != "none" and not manifest.label_size:
        raise no_labels(str(labels), str(changes.get("data", base.data)))
    images = {"resolution": level, "start_shape": start_shape}
    images |= _image_facts(manifest, labeled=labels != "none")
    if not grows:
        images["schedule.initial_resolution"] = level
    networks = _networks(origin, changes, level) if origin else {}
    if origin and not isinstance(preset, TrainConfig):
        networks |= presets.find_preset(preset).fine_tuning
        networks |= _reached(origin, configs.flat(base) | dict(changes))
    values = configs.flat(base) | networks | changes
    if str(values["generator.mapping_layers"]) == "0":  # w is the mapping's input
        parts = 2 if images["classes"] else 1  # z, and the embedded label
        if str(values["generator.z_dim"]).isdecimal():
            networks["generator.w_dim"] = int(str(values["generator.z_dim"])) * parts
    config = configs.update(base, networks | images | dict(changes))
    if not isinstance(preset, TrainConfig):
        config = _fit_growth(config, changes)
    check_devices(config, replicas)
    if config.metrics:
        suite.parse_metrics(config.metrics)
    return config


def _image_facts(manifest: Manifest, labeled: bool) -> dict[str, object]:
    """Settings that follow from the images: channels, and labels if they count."""
    classes = manifest.label_size if labeled else 0
    facts: dict[str, object] = {"channels": manifest.channels, "classes": classes}
    return facts | (_label_facts(manifest) if labeled else {})


def _label_facts(manifest: Manifest) -> dict[str, object]:
    """Settings by which a model knows its labels: class names, or examples."""
    names, size = manifest.class_names, manifest.label_size
    if size and not names:
        most = max(min(LABEL_EXAMPLES, LABEL_NUMBERS // size), 1)
        return {"generator.label_examples": min(manifest.count, most)}
    numbered = names == [str(i) for i in range(len(names))]
    shown = len(names) <= MOST_CLASS_NAMES and max(map(len, names), default=0) <= 200
    return {"generator.class_names": tuple(names) if shown and not numbered else ()}


def _resolution(
    preset: str | TrainConfig, manifest: Manifest, asked: str | None
) -> tuple[int, tuple[int, int]]:
    """The run's final resolution and start block, which the data must have."""
    have, start_shape = manifest.resolution, manifest.start_shape
    if asked:
        level, start_shape = configs.parse_resolution(asked)
    elif isinstance(preset, TrainConfig):
        level, start_shape = preset.generator.resolution, preset.generator.start_shape
    else:
        level = min(have, presets.find_preset(preset).max_auto)
    if level > have or start_shape != manifest.start_shape:
        wanted = "x".join(map(str, configs.image_shape(start_shape, level)))
        height, width = manifest.shape
        raise UserError(
            f"--resolution={wanted} was asked for, but {manifest.name} holds pictures "
            f"of {height}x{width}; convert the originals again, or ask for a power of "
            f"two less."
        )
    return level, start_shape


def _networks(
    origin: StartingPoint, changes: Mapping[str, object], level: int
) -> dict[str, object]:
    """The model's networks, which go on growing from where it stopped."""
    values = origin.settings | dict(changes)
    kinds = [values[f"{network}.architecture"] for network in presets.NETWORKS]
    grow = all(kind in GROWING for kind in kinds)
    start = min(origin.resolution, level) if grow else level
    return origin.settings | {"schedule.initial_resolution": start}


def _reached(origin: StartingPoint, values: Mapping[str, object]) -> dict[str, object]:
    """The probability from which the model's ADA goes on, if the run uses ADA."""
    goes_on = origin.augment_p and values["augment.kind"] == "ada"
    return {"augment.p": origin.augment_p} if goes_on else {}


def _fit_growth(config: TrainConfig, changes: Mapping[str, object]) -> TrainConfig:
    """Shortens growth to a length that the user asks for, unless phases are given."""
    own = ("schedule.stable_kimg", "schedule.fade_kimg", "schedule.fit_kimg")
    if "schedule.total_kimg" not in changes or any(name in changes for name in own):
        return config
    s, final = config.schedule, config.generator.resolution
    grows = s.initial_resolution < final
    if not grows or s.total_kimg >= schedule.full_kimg(s, final):
        return config
    return configs.update(config, {"schedule.fit_kimg": s.total_kimg})


def check_devices(config: TrainConfig, replicas: int) -> None:
    """Refuses settings that so many devices cannot train with.

    Raises:
        UserError: says which flag to change.
    """
    if config.is_dcgan and config.accumulate > 1:
        raise UserError(
            "DCGAN's batch statistics are over the whole batch, which rounds would "
            "split; use --accumulate=1."
        )
    if config.jit == "on" and replicas > 1 and config.is_dcgan:
        raise UserError(
            f"--jit=on cannot compile DCGAN's batch statistics, which are over all "
            f"{replicas} devices; use --strategy=one or leave it off."
        )
    for row in schedule.schedule_rows(config, replicas):
        share = row.phase.batch // replicas
        if share % config.accumulate:
            raise UserError(
                f"at {row.phase.resolution}x{row.phase.resolution} each device gets "
                f"{share} pictures, which --accumulate={config.accumulate} does not "
                f"divide."
            )
