"""A run before it begins: its data resolved, then its settings, nothing trained.

`launch/train.py` trains the plan, and prints it under `--dry_run`.
"""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf

from stylegan_tf import checkpoints, devices
from stylegan_tf import config as configs
from stylegan_tf.config import TrainConfig, presets
from stylegan_tf.data import convert, pipeline, records, sources
from stylegan_tf.data.manifest import Manifest, is_dataset
from stylegan_tf.data.sources.base import Source
from stylegan_tf.data.sources.memory import STREAM, is_stream
from stylegan_tf.data.stream import SAMPLE, ImageStream
from stylegan_tf.errors import UserError
from stylegan_tf.files import home_path
from stylegan_tf.remote import fetch, is_remote
from stylegan_tf.runs import fitting, rundir, transfer
from stylegan_tf.runs.places import find_kept_records
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.runs.settings import StartingPoint, settings


@dataclass(frozen=True)
class Plan:
    """All that a run consists of.

    Attributes:
        config: every setting.
        data: the records to train on, in `data.folder`.
        origin: the model that the run starts from; None is random weights.
        stream: what is trained on in place of the records, which are a sample of it.
        note: what was chosen by the device's memory, in words.
    """

    config: TrainConfig
    data: Manifest
    origin: StartingPoint | None = None
    stream: ImageStream | None = None
    note: str = ""


def plan_run(request: RunRequest, strategy: tf.distribute.Strategy) -> Plan:
    """Resolves the data of a run, then its settings.

    A run that started from a model is planned with what the model was then. So the
    same command finds it, even if the model was trained on since, or deleted.

    Raises:
        UserError: there are no such data, model or settings, or they do not fit.
    """
    saved = rundir.read_run(request.resume).config if request.names_a_run else None
    streams = streamed(request, saved)
    if streams and request.changes.get("metrics"):
        raise UserError(
            "metrics compare with all real pictures, which a stream does not count; "
            "leave metrics out, and measure with evaluate --data=... when it is done."
        )
    data = resolve_data(request, saved, strategy)
    stream = ImageStream(request.dataset, data) if streams else None
    preset = saved or request.preset or "demo"
    changes = {"preset": request.preset} if request.preset else {}
    changes |= request.changes
    if request.images:  # objects have no name to be found by; their records do
        changes = {"labels": "auto" if data.label_size else "none"} | changes
        changes["data"] = STREAM + _short(data) if streams else str(data.folder)
    replicas = strategy.num_replicas_in_sync
    memory = None if saved else fitting.memory_to_fit(request, strategy)

    def planned(origin: StartingPoint | None) -> Plan:
        config = settings(
            preset,
            origin,
            data,
            changes,
            request.resolution,
            replicas,
            request.grows,
        )
        if config.generator.classes and not data.class_names:  # vectors of numbers
            pipeline.dataset_labels(data)  # refuses what is not finite
        config, note = for_this_machine(config, replicas), ""
        if memory:
            config, note = fitting.fit(config, memory, replicas)
        return Plan(config, data, origin, stream, note)

    init = str(changes.get("init", ""))
    if saved or not init:
        return planned(None)
    runs = rundir.list_runs(request.out) if request.resume == "auto" else []
    for run in reversed([run for run in runs if run.config.init == init]):
        origin = transfer.load_starting_point(run.path)
        if origin:
            plan = planned(origin)
            if not rundir.changed_settings(run.config, plan.config):
                return plan
    return planned(transfer.read_starting_point(init))


def streamed(request: RunRequest, saved: TrainConfig | None) -> bool:
    """True if a run is trained straight from the dataset of the request."""
    asked = request.streams or (saved is not None and is_stream(saved.data))
    return asked and request.dataset is not None


def _short(data: Manifest) -> str:
    return data.level(data.resolution).fingerprint


def resolve_data(
    request: RunRequest, saved: TrainConfig | None, strategy: tf.distribute.Strategy
) -> Manifest:
    """Finds the records that a run trains on, or converts the images to some.

    Args:
        request: names the images.
        saved: settings of the run that goes on, if one was named.
        strategy: the first of several workers converts, the others wait for it.

    Returns:
        The manifest of the records; they are in its `folder`.

    Raises:
        UserError: there are no such images, or they cannot be converted.
    """
    if request.images:
        return _convert_images(request, saved, strategy)
    if saved and "data" not in request.changes and (known := _known_data(request)):
        return known
    base = saved or presets.make_config(request.preset or "demo")
    spec = str(request.changes.get("data", base.data))
    if is_remote(spec):
        spec = str(fetch(spec, request.cache))
    labels = str(request.changes.get("labels", base.labels))
    if is_dataset(home_path(spec)):
        return Manifest.load(home_path(spec))
    if sources.is_gone(spec) and (copy := find_kept_records(spec, labels, request)):
        print(f"{spec} is not there; training goes on with its copy in {copy.folder}")
        return copy
    first = devices.is_chief(strategy)
    if not first:
        devices.barrier(strategy)
    folder = records.prepare(
        spec,
        request.cache,
        labels=labels,
        download=request.download,
        labeled=labels != "none",
        resolution=_stored_size(request, saved, spec, labels),
        crop=request.crop,
    )
    if first:
        devices.barrier(strategy)
    return Manifest.load(folder)


def _known_data(request: RunRequest) -> Manifest | None:
    """Returns the records of the run that goes on; None: they are converted anew."""
    with contextlib.suppress(UserError):
        _, folder = checkpoints.known_data(Path(request.resume))
        if folder and is_dataset(folder):
            return Manifest.load(folder)
    return None


def _convert_images(
    request: RunRequest, saved: TrainConfig | None, strategy: tf.distribute.Strategy
) -> Manifest:
    """Converts the images that a program holds; see `resolve_data`."""
    assert request.images
    most = SAMPLE if streamed(request, saved) else None
    if most and saved and (known := _known_data(request)):
        return known  # the sample of the run's beginning
    first = devices.is_chief(strategy)
    if not first:
        devices.barrier(strategy)
    with request.images(most=most) as source:
        folder = records.prepare(
            source.name,
            request.cache,
            labels=str(request.changes.get("labels", "none")),
            labeled=request.changes.get("labels", "none") != "none",
            source=source,
            resolution=_stored_size(request, saved, source=source),
            crop=request.crop,
        )
    if first:
        devices.barrier(strategy)
    return Manifest.load(folder)


def _stored_size(
    request: RunRequest,
    saved: TrainConfig | None,
    spec: str = "",
    labels: str = "auto",
    source: Source | None = None,
) -> str:
    """HEIGHTxWIDTH to convert to: asked for, saved, the preset's, or the images'."""
    preset = presets.find_preset(request.preset or "demo")
    if request.resolution:
        level, start_shape = configs.parse_resolution(request.resolution)
    elif saved:
        level, start_shape = saved.generator.resolution, saved.generator.start_shape
    elif spec.split(":")[0] == "demo":
        level, start_shape = preset.resolution, (4, 4)
    else:
        source = source or sources.open_source(spec, labels, request.download)
        natural = convert.choose_layout(source, "auto", request.crop)
        level = min(natural.resolution, preset.max_auto)
        start_shape = natural.start_shape
    return "x".join(map(str, configs.image_shape(start_shape, level)))


def for_this_machine(config: TrainConfig, replicas: int) -> TrainConfig:
    """Replaces "auto" by what the devices compute best, see `devices`."""
    form = devices.resolve_modulation(config.generator.modulation)
    kind, repeatable = devices.device_kind(), config.deterministic
    separable = replicas == 1 or not config.is_dcgan
    changes = {
        "precision": devices.resolve_precision(config.precision),
        "jit": devices.resolve_jit(config.jit, kind, repeatable, separable),
        "generator.modulation": form,
    }
    return configs.update(config, changes)
