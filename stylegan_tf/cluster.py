"""The workers of a run on several machines, and the loss of one of them.

TensorFlow's TF_CONFIG lists the workers. Where it is not set, it is made from what
Slurm or Kubernetes tell each process, by TensorFlow's cluster resolvers.
"""

import contextlib
import json
import os
import re
import socket
from collections.abc import Iterator

import tensorflow as tf

from stylegan_tf.errors import UserError, WorkerLostError

CONFIG = "TF_CONFIG"
COUNT, PODS, PORT = "STYLEGAN_TF_WORKERS", "STYLEGAN_TF_PODS", "STYLEGAN_TF_PORT"
FIRST_PORT = 12321
SLURM = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_STEP_NODELIST")
SLURM += ("SLURM_STEP_TASKS_PER_NODE",)


def worker_addresses() -> list[str]:
    """Returns host:port of all workers in TF_CONFIG, the chief first; [] without it.

    Raises:
        UserError: TF_CONFIG is not what TensorFlow describes.
    """
    return _addresses(_read_config())


def set_cluster() -> None:
    """Sets TF_CONFIG from Slurm's or Kubernetes' environment, if it is not set.

    Raises:
        UserError: there is neither, or something is missing in it.
    """
    if worker_addresses():
        return
    if "SLURM_PROCID" in os.environ or "SLURM_JOB_ID" in os.environ:
        addresses, index = _slurm()
    elif "KUBERNETES_SERVICE_HOST" in os.environ:
        addresses, index = _kubernetes()
    else:
        raise UserError(
            "strategy=multiworker needs TF_CONFIG with the cluster's workers and this "
            "one's task, or srun, or a pod of Kubernetes; see docs/devices.md."
        )
    task = {"type": "worker", "index": index}
    config = {"cluster": {"worker": addresses}, "task": task}
    os.environ[CONFIG] = json.dumps(config)


def _read_config() -> dict:
    text = os.environ.get(CONFIG) or "{}"
    try:
        config = json.loads(text)
    except ValueError as error:
        raise UserError(f"{CONFIG} is not JSON: {error}") from error
    try:
        found = _addresses(config)
        task = config["task"] if found else {"type": "worker", "index": 0}
        own = config["cluster"][task["type"]] if found else [""]
        well = all(isinstance(address, str) for address in found)
        well = well and own[int(task["index"])] is not None and int(task["index"]) >= 0
    except (LookupError, TypeError, ValueError, AttributeError):
        well = False
    if not well:
        raise UserError(
            f'{CONFIG} needs {{"cluster": {{"worker": ["HOST:PORT", ...]}}, "task": '
            f'{{"type": "worker", "index": N}}}}, where N is below the number of '
            f"workers; it is {text[:200]}"
        )
    return config


def _addresses(config: dict) -> list[str]:
    jobs = config.get("cluster", {})
    return [*jobs.get("chief", []), *jobs.get("worker", [])]


def _port() -> int:
    text = os.environ.get(PORT, str(FIRST_PORT))
    if not text.isdecimal() or not 0 < int(text) < 1 << 16:
        raise UserError(f"{PORT} is {text!r}; give a port between 1 and 65535.")
    return int(text)


# ---------------------------------------------------------------------------


def _slurm() -> tuple[list[str], int]:
    """Returns all addresses and the index of this process, one per task of `srun`."""
    missing = [name for name in SLURM if not os.environ.get(name)]
    if missing:
        raise UserError(
            f"this is a job of Slurm without {', '.join(missing)}: start the workers "
            f"by srun, as in docs/devices.md, or set {CONFIG}."
        )
    resolver = tf.distribute.cluster_resolver.SlurmClusterResolver
    try:
        # Slurm gives each task its GPUs; the resolver needs numbers that fit.
        most = int(os.environ["SLURM_STEP_NUM_TASKS"])
        found = resolver(
            port_base=_port(), gpus_per_node=most, gpus_per_task=1, auto_set_gpu=False
        )
        addresses = found.cluster_spec().job_tasks("worker")
        rank = int(os.environ["SLURM_PROCID"])
    except (RuntimeError, ValueError, OSError, LookupError) as error:
        raise UserError(
            f"Slurm's environment cannot be read ({error}); set {CONFIG} instead, see "
            f"docs/devices.md."
        ) from error
    # The resolver sorts the hosts by name, Slurm numbers the tasks by its own list.
    host, local = (os.environ.get(f"SLURM{n}") for n in ("D_NODENAME", "_LOCALID"))
    own = f"{host}:{_port() + int(local or 0)}"
    return addresses, addresses.index(own) if own in addresses else rank


def _kubernetes() -> tuple[list[str], int]:
    """Returns all addresses and the index of this pod."""
    if selector := os.environ.get(PODS):
        return _selected_pods(selector)
    name, _, domain = socket.getfqdn().partition(".")
    stem, _, end = name.rpartition("-")
    index = os.environ.get("JOB_COMPLETION_INDEX") or end
    count = os.environ.get(COUNT, "")
    missing = []
    if not count.isdecimal() or not int(count):
        missing.append(f"{COUNT}, the number of workers")
    if not index.isdecimal():
        missing.append("JOB_COMPLETION_INDEX, or a host name such as train-0")
    if not domain:
        missing.append("a headless service that names the pods (`subdomain`)")
    if missing:
        raise UserError(
            f"this pod of Kubernetes lacks {' and '.join(missing)}: run the workers "
            f"as an indexed Job or a StatefulSet, as in docs/devices.md, or set {PODS} "
            f"to their label, or {CONFIG}."
        )
    if int(index) >= int(count):
        raise UserError(f"this is pod {index}, and {COUNT} is {count}.")
    stem = stem if end.isdecimal() else name
    hosts = [f"{stem}-{i}.{domain}:{_port()}" for i in range(int(count))]
    return hosts, int(index)


def _selected_pods(selector: str) -> tuple[list[str], int]:
    """Asks Kubernetes for the pods with a label; needs the right to list pods."""
    try:
        from kubernetes import client, config
    except ImportError as error:
        raise UserError(f"{PODS} needs: pip install kubernetes") from error
    resolver = tf.distribute.cluster_resolver.KubernetesClusterResolver
    try:
        config.load_incluster_config()
        pods = _PodAddresses(client.CoreV1Api())
        found = resolver({"worker": [selector]}, _port(), override_client=pods)
        addresses = found.cluster_spec().job_tasks("worker")
    except Exception as error:  # the client has exceptions of its own
        raise UserError(
            f"Kubernetes does not tell the pods with {selector!r}: {error}"
        ) from error
    own = f"{os.environ.get('POD_IP') or socket.gethostbyname(socket.gethostname())}"
    if f"{own}:{_port()}" not in addresses:
        raise UserError(f"this pod, {own}, is not among {', '.join(addresses)}.")
    return addresses, addresses.index(f"{own}:{_port()}")


class _PodAddresses:
    """A client whose pods have their own address where the resolver reads a host's."""

    def __init__(self, client):
        self._client = client

    def list_pod_for_all_namespaces(self, label_selector: str):
        found = self._client.list_pod_for_all_namespaces(label_selector=label_selector)
        for pod in found.items:
            pod.status.host_ip = pod.status.pod_ip
        return found


# ---------------------------------------------------------------------------


@contextlib.contextmanager
def watch_workers(strategy: tf.distribute.Strategy) -> Iterator[None]:
    """Turns TensorFlow's errors about a worker that is gone into `WorkerLostError`.

    Args:
        strategy: of the run; without several workers, nothing is changed.
    """
    try:
        yield
    except tf.errors.OpError as error:
        several = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
        if not several or isinstance(error, tf.errors.ResourceExhaustedError):
            raise
        text = str(error)
        if not _GONE.search(text):
            raise
        raise WorkerLostError(_loss(text)) from error


_GONE = re.compile(
    r"heartbeat|health|connect|unavailable|socket closed|reset by peer|recv|aborted"
    r"|timed out|deadline|shutdown|collective ops",
    re.IGNORECASE,
)
_TASK = re.compile(r"/job:(chief|worker)/(?:replica:\d+/)?task:(\d+)")


def _loss(text: str) -> str:
    """Returns a sentence about a worker that TensorFlow's message names, if it does."""
    addresses, config = worker_addresses(), _read_config()
    own = config["task"]["type"], int(config["task"]["index"])
    tasks = {(job, int(number)) for job, number in _TASK.findall(text)} - {own}
    names = []
    for job, number in sorted(tasks):
        hosts = config["cluster"].get(job, [])
        names.append(
            f"{job} {number} ({hosts[number]})" if number < len(hosts) else job
        )
    who = names[0] if len(names) == 1 else f"one of {len(addresses)} workers"
    if len(names) > 1:  # those that ended because of the first are named as well
        who = f"one of {', '.join(names)}"
    return (
        f"{who} is gone: it ended, or cannot be reached. {own[0].title()} "
        f"{own[1]}, this one, cannot go on alone. Start all workers again with the "
        f"same command: the run goes on from its newest checkpoint."
    )
