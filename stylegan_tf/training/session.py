"""From settings to a finished model: data, run directory, trainer, export.

What `launch/train.py` calls. Validate, say everything, then run.
"""

import dataclasses
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import export, figures, presets, sampling, schedule
from stylegan_tf.config import TrainConfig
from stylegan_tf.config.networks import GROWING, STYLEGAN2
from stylegan_tf.data import convert, pipeline, records, sources
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import suite
from stylegan_tf.networks.discriminator import discriminator_of
from stylegan_tf.networks.generator import Generator
from stylegan_tf.training import (
    compiling,
    devices,
    modulation,
    planning,
    rundir,
    transfer,
)
from stylegan_tf.training.measuring import Measure
from stylegan_tf.training.reports import Log, cells, default_reports
from stylegan_tf.training.trainer import Trainer
from stylegan_tf.training.transfer import Origin

SHEET = "sheet.png"  # the last thing that a finished run leaves
SHEET_PSI = 0.7  # the other sheets are not truncated


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


def train(request: Request) -> int:
    """Trains, or continues, and leaves the model in the run directory.

    Returns:
        0 when the run is finished, 128 + signal number when it was told to stop.
    """
    strategy = devices.make_strategy(request.strategy)
    config, data = settle(request, strategy)
    run = _open_run(request, config, strategy)
    if run.config != config:
        config = _continued(run.config, config)
    if run.nimg >= config.schedule.total_kimg * 1000 and (run.path / SHEET).exists():
        _say_finished(run)
        return 0
    if config.deterministic:
        devices.make_deterministic()
    reports = _reports(config, request)
    trainer = Trainer(config, data, run.path, strategy, reports)
    if not trainer.restore() and config.init:
        report = transfer.start_from(config.init, trainer.networks)
        if trainer.chief:
            (run.path / "init.txt").write_text(f"{config.init}\n{report}\n")
            print(report)
    if trainer.chief:
        _remember(run, config, data)
        print(f"TensorBoard: tensorboard --logdir {run.path.parent}")
    reason = trainer.train()
    if reason == "interrupted":
        devices.meet(strategy)
        return 128 + 15 if trainer.stopping == "SIGTERM" else 130
    if trainer.chief:
        _finish(trainer)
    devices.meet(strategy)
    return 0


def _reports(config: TrainConfig, request: Request) -> list:
    """What is shown of the run, and its measurements if any are asked for."""
    reports = default_reports()
    if config.metrics:
        log = next(r for r in reports if isinstance(r, Log))
        reports.append(Measure(config.metrics, log.say, request.cache))
    return reports


def _finish(trainer: Trainer) -> None:
    """Exports the model, and draws a last sheet with it as `generate` would."""
    average, run = trainer.networks.average, trainer.run_dir
    average.grow(*schedule.learned_at(trainer.config, trainer.state.nimg))
    folder = export.save(average, run / "model")
    model = export.load(folder)
    size = model.config.shape(sampling.drawn_resolution(model))
    columns, rows, factor = figures.layout(*size)
    seeds, classes = cells(model.config.classes, columns, rows)
    drawn = sampling.draw(model, seeds, psi=SHEET_PSI, classes=classes)
    pictures = figures.enlarge(np.stack([p for _, p in drawn]), factor)
    sheet = figures.save(run / SHEET, figures.grid(pictures, columns))
    print(f"model: {folder}")
    print(f"more pictures: python launch/generate.py --model={run}")
    print(f"TensorBoard: tensorboard --logdir {run.parent}")
    print(f"your new pictures: {sheet}")


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
        natural = convert.choose(source, "auto", request.crop)
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


# ---------------------------------------------------------------------------
# The run directory


def _open_run(request: Request, config: TrainConfig, strategy) -> rundir.Run:
    """The run to continue, or a new one. Workers agree: the first one decides."""
    if not devices.is_chief(strategy):
        devices.meet(strategy)
        if request.resume not in ("auto", "never"):
            return rundir.read(request.resume)
        found = rundir.find(request.out, config)
        if found is None:
            raise UserError(
                f"{request.out} must be on storage that all workers see; this one "
                f"found no run in it."
            )
        return found
    run = _choose_run(request, config, strategy.num_replicas_in_sync)
    devices.meet(strategy)
    return run


def _choose_run(request: Request, config: TrainConfig, replicas: int) -> rundir.Run:
    if request.resume not in ("auto", "never"):
        run = rundir.read(request.resume)
        wanted = dataclasses.replace(config, data=run.config.data)
        rundir.check_resumable(run, wanted, request.flags)
        return run
    if request.resume == "auto":
        found = rundir.find(request.out, config)
        if found:
            return found
        _say_why_new(request.out, config)
    origin = transfer.origin(config.init) if config.init else None  # or no directory
    run = rundir.create(request.out, _timed(config, replicas), request.command)
    if origin:
        transfer.remember(run.path, origin)
    return run


def _say_why_new(out: str, config: TrainConfig) -> None:
    """Why a run of the same pictures and preset does not go on."""
    same = (config.data, config.preset)
    near = [
        r for r in rundir.runs_under(out) if (r.config.data, r.config.preset) == same
    ]
    if near:
        names = rundir.differences(near[-1].config, config)
        shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
        print(f"A new run; {near[-1].path} has other settings: {shown}.")


def _timed(config: TrainConfig, replicas: int) -> TrainConfig:
    """What the run leaves to this machine: the faster forms of what it computes."""
    config = _modulated(config, replicas)
    if config.jit != "auto":
        return config
    batch = schedule.rows(config, replicas)[-1].phase.batch
    jit = "off"
    if replicas == 1 and not config.deterministic:
        print("Timing one step with and without XLA; compiling may take minutes.")
        jit = compiling.faster(config, batch)
    print(f"XLA: {jit}.")
    return configs.update(config, {"jit": jit})


def _modulated(config: TrainConfig, replicas: int) -> TrainConfig:
    """The form of StyleGAN2's convolutions that is faster here, if none is named."""
    g = config.generator
    if g.architecture not in STYLEGAN2 or g.modulation != "auto":
        return config
    form = "maps"  # the only one that doubles without a filter
    if g.resample_filter and not config.deterministic:  # times are not repeatable
        batch = schedule.rows(config, replicas)[-1].phase.batch
        form = modulation.faster(g, batch // replicas // config.accumulate)
        print(f"Modulated convolutions: by {form}, the faster form here.")
    return configs.update(config, {"generator.modulation": form})


def _continued(saved: TrainConfig, wanted: TrainConfig) -> TrainConfig:
    """The saved settings with what may change taken from the new ones."""
    flat = configs.flat(wanted)
    return configs.update(saved, {name: flat[name] for name in configs.RESUMABLE})


def _remember(run: rundir.Run, config: TrainConfig, data: Path) -> None:
    """Keeps the settings now in force, and refuses another data set than before."""
    level = Manifest.load(data).level(config.generator.resolution)
    fingerprint = level.fingerprint
    path = run.path / "data.txt"
    if path.exists() and path.read_text().split()[0] != fingerprint:
        raise UserError(
            f"{run.path} was trained on other pictures than {config.data} holds now; "
            f"give the old data, or --init={run.path} to start a run from its model."
        )
    rundir.write_atomically(path, f"{fingerprint} {os.path.abspath(data)}\n")
    configs.save(config, run.path / "config.json")


def _say_finished(run: rundir.Run) -> None:
    kimg = run.nimg / 1000
    sheets = [*sorted(run.path.glob("fakes-*.png")), *run.path.glob(SHEET)]
    print(f"{run.path} is finished: it has seen {kimg:g} thousand images.")
    if sheets:
        print(f"pictures: {sheets[-1]}")
    print(f"To train it longer: --kimg={2 * kimg:g}. A new run: --resume=never.")


# ---------------------------------------------------------------------------
# --dry_run


def describe(request: Request) -> str:
    """Schedule, sizes, memory and first batches of what `train` would do."""
    strategy = devices.make_strategy(request.strategy)
    base = devices.resident_bytes()
    config, data = settle(request, strategy)
    replicas = strategy.num_replicas_in_sync
    parameters = {
        "generator": Generator(config.generator).count_params(),
        "discriminator": discriminator_of(config.discriminator).count_params(),
    }
    lines = [f"data        {Manifest.load(data)}", f"devices     {replicas}", ""]
    lines += [schedule.table(config, replicas), ""]
    lines += [f"{name:<14}{n:>12,} parameters" for name, n in parameters.items()]
    lines += ["", "size        what one device must hold while training"]
    for r in configs.levels(
        config.generator.resolution, config.schedule.initial_resolution
    ):
        parts = planning.memory_bytes(config, parameters, r, replicas)
        total = sum(parts.values())
        inside = ", ".join(f"{k} {v / 1e9:.2f}" for k, v in parts.items())
        size = "x".join(map(str, config.generator.shape(r)))
        host = base + planning.program_bytes(config, r)
        resident = (total + host) / 1e9
        lines.append(
            f"{size:<11} {total / 1e9:.2f} GB ({inside}); on a CPU {resident:.2f} GB "
            f"resident"
        )
    lines.append(f"{'base':<11} {base / 1e9:.2f} GB resident of TensorFlow alone")
    return "\n".join([*lines, "", _first_batches(config, data, replicas)])


def _first_batches(config: TrainConfig, data: Path, replicas: int) -> str:
    lines = ["first batches"]
    for r in configs.levels(
        config.generator.resolution, config.schedule.initial_resolution
    ):
        row = [x for x in schedule.rows(config, replicas) if x.phase.resolution == r]
        if not row:
            continue
        batch = row[0].phase.batch
        images = next(iter(pipeline.dataset(data, r, batch, seed=config.seed)))["image"]
        values = tf.cast(images, tf.float32)
        lines.append(
            f"  {'x'.join(map(str, images.shape)):<20} {images.dtype.name} mean "
            f"{tf.reduce_mean(values):.1f} of 255, deviation "
            f"{tf.math.reduce_std(values):.1f}"
        )
    return "\n".join(lines)
