"""The settings of a run: preset, model that it starts from, data, flags."""

from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from stylegan_tf import config as configs
from stylegan_tf import devices
from stylegan_tf.config import TrainConfig
from stylegan_tf.config import presets
from stylegan_tf.config import schedule
from stylegan_tf.config.networks import GROWING
from stylegan_tf.data import convert
from stylegan_tf.data import records
from stylegan_tf.data import sources
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import suite
from stylegan_tf.runs import rundir
from stylegan_tf.runs import transfer
from stylegan_tf.runs.transfer import Origin
import tensorflow as tf


@dataclass(frozen=True)
class Request:
    """What the user asked for.

    Attributes:
        preset: name in `presets.PRESETS`; None = "demo".
        changes: dotted setting -> value, on top of the preset; only what was given.
        resolution: "N" or "HEIGHTxWIDTH", or None = as the data and preset say.
        crop: how pictures are fitted, if they must be converted.
        out: folder of the runs.
        resume: "auto", "never" or a run directory.
        strategy: name for `devices.make_strategy`.
        cache: folder of converted data, or None for the default.
        download: let TFDS download.
        command: the command line, for the record.
        flags: dotted setting -> the flag that sets it, for messages.
    """

    preset: str | None = None
    changes: dict = field(default_factory=dict)
    resolution: str | None = None
    crop: str = "center"
    out: str = "runs"
    resume: str = "auto"
    strategy: str = "auto"
    cache: str | None = None
    download: bool = False
    command: list[str] = field(default_factory=list)
    flags: dict[str, str] = field(default_factory=dict)


# ---------------------------------------------------------------------------
# Settings: the preset, then the model that is started from, then what the data says,
# then what the user says


def settle(
    request: Request, strategy: tf.distribute.Strategy
) -> tuple[TrainConfig, Path]:
    """The final settings and the folder of records that they train on."""
    saved = None
    if request.resume not in ("auto", "never"):
        saved = rundir.read(request.resume).config
    base = saved or presets.make(request.preset or "demo")
    spec = request.changes.get("data", base.data)
    labels = request.changes.get("labels", base.labels)
    wanted = _resolution(request, saved, spec, labels)
    folder = _prepare(request, spec, labels, wanted, strategy)
    manifest = Manifest.load(folder)
    level, start_shape = _fitting(manifest, wanted)
    if labels != "none" and not manifest.label_size:
        raise UserError(
            f"--labels={labels} asks for classes, but {spec} has no labels; "
            f"see make_dataset.py --help for how to give them."
        )
    if not saved:
        base = presets.make(base.preset, level, strategy.num_replicas_in_sync)
    shape = {"resolution": level, "start_shape": tuple(start_shape)}
    shape |= {"channels": manifest.channels, "labels": labels, "data": spec}
    shape["classes"] = manifest.label_size if labels != "none" else 0
    if request.preset:
        shape["preset"] = request.preset
    init = request.changes.get("init", base.init)
    if init and not saved:
        config = _from_model(request, init, base, shape)
    else:
        config = _combined(request, base, shape)
    _check_devices(config, strategy.num_replicas_in_sync)
    if config.metrics:
        suite.parse(config.metrics)
    return config, folder


def _combined(
    request: Request, base: TrainConfig, shape: dict, origin: Origin | None = None
) -> TrainConfig:
    """The preset, then the model that is started from, the data, and the user."""
    brought = _brought(request, origin, shape["resolution"]) if origin else {}
    flat = configs.flat(base) | brought | request.changes
    if not int(flat["generator.mapping_layers"]):  # w is what goes into the mapping
        twice = 2 if shape["classes"] else 1
        brought["generator.w_dim"] = int(flat["generator.z_dim"]) * twice
    config = configs.update(base, brought | shape | request.changes)
    precision = devices.settled(config.precision)
    return configs.update(config, {"precision": precision})


def _brought(request: Request, origin: Origin, level: int) -> dict:
    """The model's networks, which go on growing from the level that it has learned."""
    start = min(origin.resolution, level)
    kinds = [f"{network}.architecture" for network in presets.NETWORKS]
    if any((origin.settings | request.changes)[kind] not in GROWING for kind in kinds):
        start = level
    return origin.settings | {"schedule.initial_resolution": start}


def _from_model(
    request: Request, init: str, base: TrainConfig, shape: dict
) -> TrainConfig:
    """The settings of a run that starts from a model.

    A run that has begun is settled with what the model was then, so that the same
    command finds it, though the model may have been trained on since, or be gone.
    """
    runs = rundir.runs_under(request.out) if request.resume == "auto" else []
    for run in reversed([run for run in runs if run.config.init == init]):
        origin = transfer.remembered(run.path)
        if origin:
            config = _combined(request, base, shape, origin)
            if not rundir.differences(run.config, config):
                return config
    return _combined(request, base, shape, transfer.origin(init))


def _resolution(request: Request, saved, spec: str, labels: str) -> str:
    """HEIGHTxWIDTH to convert to: asked for, saved, the preset's, or the data's."""
    if request.resolution:
        level, start_shape = configs.parse_resolution(request.resolution)
        return _text(configs.picture_shape(start_shape, level))
    if saved:
        return _text(saved.generator.shape(saved.generator.resolution))
    preset = presets.PRESETS[request.preset or "demo"]
    if spec.split(":")[0] == "demo":
        return _text((preset.resolution, preset.resolution))
    if (Path(spec).expanduser() / "manifest.json").exists():
        natural = Manifest.load(Path(spec).expanduser())
    else:
        source = sources.open_source(spec, labels, request.download)
        natural = convert.choose_layout(source, "auto", request.crop)
    level = min(natural.resolution, preset.max_auto)
    return _text(configs.picture_shape(natural.start_shape, level))


def _text(shape: tuple[int, int]) -> str:
    return f"{shape[0]}x{shape[1]}"


def _prepare(request: Request, spec, labels, wanted, strategy) -> Path:
    """The records of `spec`; on several workers the first one converts."""

    def convert_once():
        return records.prepare(
            spec,
            request.cache,
            labels=labels,
            download=request.download,
            resolution=wanted,
            crop=request.crop,
        )

    if not devices.is_chief(strategy):
        devices.meet(strategy)
        return convert_once()
    folder = convert_once()
    devices.meet(strategy)
    return folder


def _fitting(manifest: Manifest, wanted: str) -> tuple[int, tuple[int, int]]:
    level, start_shape = configs.parse_resolution(wanted)
    have = manifest.resolution, tuple(manifest.start_shape)
    if level > have[0] or start_shape != have[1]:
        h, w = manifest.shape
        raise UserError(
            f"--resolution={wanted} was asked for, but {manifest.name} holds pictures "
            f"of {h}x{w}; convert the originals again, or ask for a power of two less."
        )
    return level, start_shape


def _check_devices(config: TrainConfig, replicas: int) -> None:
    architectures = config.generator.architecture, config.discriminator.architecture
    if "dcgan" in architectures and config.accumulate > 1:
        raise UserError(
            "DCGAN's batch statistics are over the whole batch, which rounds would "
            "split; use --accumulate=1."
        )
    if config.jit == "on" and replicas > 1:
        raise UserError(
            f"--jit=on compiles the step of one device, but there are {replicas}; use "
            f"--strategy=one or leave it off."
        )
    for row in schedule.rows(config, replicas):
        share = row.phase.batch // replicas
        if share % config.accumulate:
            raise UserError(
                f"at {row.phase.resolution}x{row.phase.resolution} each device gets "
                f"{share} pictures, which --accumulate={config.accumulate} does not "
                f"divide."
            )
