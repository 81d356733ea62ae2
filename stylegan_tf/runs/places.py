"""Images, model and run that a request names, looked for at once. No TensorFlow."""

import contextlib

from stylegan_tf import checkpoints, model_files
from stylegan_tf import config as configs
from stylegan_tf.data import records, sources
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError
from stylegan_tf.remote import is_remote
from stylegan_tf.runs import rundir
from stylegan_tf.runs.request import RunRequest


def check_places(request: RunRequest) -> None:
    """Looks for images, model and run of a request, before TensorFlow is loaded.

    Raises:
        UserError: they are not on this machine. Addresses are not looked at.
    """
    if request.names_a_run and not is_remote(request.resume):
        rundir.read_run(request.resume)
    init = str(request.changes.get("init", ""))
    if init and not is_remote(init) and not request.names_a_run:
        known = [run.config.init for run in rundir.list_runs(request.out)]
        if init not in known:  # such a run goes on, though the model may be gone
            model_files.find_model(init)
    spec, labels = str(request.changes.get("data", "demo")), "none"
    if is_remote(spec) or not sources.is_gone(spec):
        return
    labels = str(request.changes.get("labels", labels))
    if find_kept_records(spec, labels, request) is None:
        sources.open_source(spec, labels)


def find_kept_records(spec: str, labels: str, request: RunRequest) -> Manifest | None:
    """Finds the records that images were converted to before they went away.

    They are in the cache, or where a run has trained on them.
    """
    size = request.resolution
    if size:
        level, start_shape = configs.parse_resolution(size)
        size = "x".join(map(str, configs.image_shape(start_shape, level)))
    copy = records.find_copy(spec, request.cache, labels, size)
    if copy:
        return Manifest.load(copy)
    if request.names_a_run:
        runs = [rundir.read_run(request.resume)]
    else:
        runs = [run for run in rundir.list_runs(request.out) if run.config.data == spec]
    for run in reversed(runs):
        _, folder = checkpoints.known_data(run.path)
        with contextlib.suppress(UserError):
            if folder:
                return Manifest.load(folder)
    return None
