"""Several machines: whom the environment lists, and what is said when one is gone."""

import json
import os
import signal
import socket
import subprocess
import sys
import types
from pathlib import Path
from types import SimpleNamespace

import pytest
import tensorflow as tf

from stylegan_tf import cluster, devices
from stylegan_tf.errors import UserError, WorkerLostError

ROOT = Path(__file__).parents[1]


@pytest.fixture
def env(monkeypatch):
    """An environment without any cluster in it."""
    monkeypatch.setenv("TF_CONFIG", "")  # undone at the end, whoever sets it
    for name in list(os.environ):
        if name.startswith(("SLURM", "KUBERNETES", "STYLEGAN_TF_", "JOB")):
            monkeypatch.delenv(name)
    monkeypatch.delenv("POD_IP", raising=False)

    def set_all(**values):
        os.environ.pop("TF_CONFIG", None)
        for name, value in values.items():
            monkeypatch.setenv(name, value)

    set_all()
    return set_all


def config() -> tuple[list[str], int]:
    """The workers, and which one this is, after `set_cluster`."""
    cluster.set_cluster()
    found = json.loads(os.environ["TF_CONFIG"])
    assert found["task"]["type"] == "worker"
    return found["cluster"]["worker"], found["task"]["index"]


SLURM = {
    "SLURM_JOB_ID": "7",
    "SLURM_PROCID": "2",
    "SLURM_STEP_NUM_TASKS": "4",
    "SLURM_STEP_NODELIST": "n[1-2]",
    "SLURM_STEP_TASKS_PER_NODE": "2(x2)",
}


def test_slurm_tells_its_tasks(env):
    env(**SLURM, STYLEGAN_TF_PORT="900")
    assert config() == (["n1:900", "n1:901", "n2:900", "n2:901"], 2)


def test_workers_are_numbered_alike_though_slurm_lists_its_nodes_otherwise(env):
    """The resolver sorts n10 before n2; Slurm's rank 0 runs on n2."""
    one = SLURM | {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_TASKS_PER_NODE": "1(x2)"}
    one |= {"SLURM_STEP_NODELIST": "n[2,10]", "SLURM_LOCALID": "0"}
    env(**one | {"SLURM_PROCID": "0", "SLURMD_NODENAME": "n2"})
    addresses, index = config()
    assert addresses[index].startswith("n2:")
    env(**one | {"SLURM_PROCID": "1", "SLURMD_NODENAME": "n10"})
    assert config() == (addresses, 1 - index)


@pytest.mark.parametrize("missing", ["SLURM_STEP_NODELIST", "SLURM_PROCID"])
def test_what_slurm_does_not_tell_is_named(env, missing):
    env(**{k: v for k, v in SLURM.items() if k != missing})
    with pytest.raises(UserError, match=f"without {missing}: start the workers by sru"):
        cluster.set_cluster()
    env(**SLURM | {"SLURM_STEP_NUM_TASKS": "3"})
    with pytest.raises(UserError, match="Slurm's environment cannot be read"):
        cluster.set_cluster()


def test_an_indexed_job_and_a_stateful_set_of_kubernetes(env, monkeypatch):
    monkeypatch.setattr(socket, "getfqdn", lambda: "train-1.gan.default.svc")
    env(KUBERNETES_SERVICE_HOST="10.0.0.1", STYLEGAN_TF_WORKERS="3")
    hosts = [f"train-{i}.gan.default.svc:12321" for i in range(3)]
    assert config() == (hosts, 1)
    env(JOB_COMPLETION_INDEX="2")
    assert config() == (hosts, 2)
    env(JOB_COMPLETION_INDEX="3")
    with pytest.raises(UserError, match="this is pod 3, and STYLEGAN_TF_WORKERS is 3"):
        cluster.set_cluster()


def test_what_kubernetes_does_not_tell_is_named(env, monkeypatch):
    monkeypatch.setattr(socket, "getfqdn", lambda: "pod")
    env(KUBERNETES_SERVICE_HOST="10.0.0.1")
    with pytest.raises(UserError) as error:
        cluster.set_cluster()
    for words in ("STYLEGAN_TF_WORKERS", "JOB_COMPLETION_INDEX", "headless service"):
        assert words in str(error.value)


def test_pods_with_a_label_are_asked_for(env, monkeypatch):
    def pod(name, ip, phase="Running"):
        status = SimpleNamespace(host_ip="of the host", pod_ip=ip, phase=phase)
        return SimpleNamespace(metadata=SimpleNamespace(name=name), status=status)

    pods = [pod("b", "10.0.0.2"), pod("a", "10.0.0.1")]
    api = SimpleNamespace(
        list_pod_for_all_namespaces=lambda label_selector: SimpleNamespace(
            items=pods if label_selector == "app=gan" else []
        )
    )
    package = types.ModuleType("kubernetes")
    package.client = SimpleNamespace(CoreV1Api=lambda: api)
    package.config = SimpleNamespace(load_incluster_config=lambda: None)
    env(
        KUBERNETES_SERVICE_HOST="10.0.0.1",
        STYLEGAN_TF_PODS="app=gan",
        POD_IP="10.0.0.2",
    )
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(UserError, match="pip install kubernetes"):
        cluster.set_cluster()
    monkeypatch.setitem(sys.modules, "kubernetes", package)
    assert config() == (["10.0.0.1:12321", "10.0.0.2:12321"], 1)
    env(POD_IP="10.9.9.9")
    with pytest.raises(UserError, match="this pod, 10.9.9.9, is not among 10.0.0.1"):
        cluster.set_cluster()
    pods.append(pod("c", "10.0.0.3", "Pending"))
    with pytest.raises(UserError, match='"c" is not running'):
        cluster.set_cluster()


def test_without_any_it_is_said_what_can_be_given(env):
    env()
    with pytest.raises(UserError, match="needs TF_CONFIG .* or srun, or a pod"):
        devices.make_strategy("multiworker")
    env(**SLURM, STYLEGAN_TF_PORT="http")
    with pytest.raises(UserError, match="STYLEGAN_TF_PORT is 'http'"):
        cluster.set_cluster()


TWO = {"worker": ["a:1", "b:2"]}
FIRST = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    "wrong",
    [
        "{",
        "[]",
        '{"cluster": 3}',
        json.dumps({"cluster": TWO}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": 2}}),
        json.dumps({"cluster": TWO, "task": {"type": "worker", "index": -1}}),
        json.dumps({"cluster": TWO, "task": {"type": "ps", "index": 0}}),
        json.dumps({"cluster": {"worker": [1]}, "task": FIRST}),
    ],
)
def test_a_config_that_is_none_is_said(env, wrong):
    env(TF_CONFIG=wrong)
    with pytest.raises(UserError, match="TF_CONFIG (is not JSON|needs)"):
        cluster.set_cluster()


# ---------------------------------------------------------------------------


def lost(message: str, kind=tf.errors.UnavailableError) -> Exception:
    strategy = object.__new__(tf.distribute.MultiWorkerMirroredStrategy)
    with pytest.raises(Exception) as caught, cluster.watch_workers(strategy):
        raise kind(None, None, message)
    return caught.value


def test_a_worker_that_is_gone_is_named(env):
    own = {"cluster": TWO, "task": {"type": "worker", "index": 0}}
    env(TF_CONFIG=json.dumps(own))
    error = lost(
        "Collective ops is aborted by: /job:worker/replica:0/task:1 is not healthy. "
        "The error could be from /job:worker/task:0"
    )
    assert isinstance(error, WorkerLostError)
    assert "worker 1 (b:2) is gone" in str(error)
    assert "Start all workers again with the same command" in str(error)
    three = {"worker": ["a:1", "b:2", "c:3"]}
    env(TF_CONFIG=json.dumps({"cluster": three, "task": FIRST}))
    named = "aborted: from /job:worker/replica:0/task:2, /job:worker/task:1"
    assert "one of worker 1 (b:2), worker 2 (c:3) is gone" in str(lost(named))
    env(TF_CONFIG=json.dumps(own))
    error = lost("failed to connect to all addresses")
    assert "one of 2 workers is gone" in str(error)
    for other in (lost("NaN"), lost("heartbeat", tf.errors.ResourceExhaustedError)):
        assert not isinstance(other, WorkerLostError)


def test_on_one_machine_an_error_stays_what_it_is():
    strategy = devices.make_strategy("one")
    with pytest.raises(tf.errors.OpError), cluster.watch_workers(strategy):
        raise tf.errors.UnavailableError(None, None, "socket closed")


@pytest.mark.parametrize("value", [-1, 0, 5, (1 << 20) - 1, 25_000_000, (1 << 39) + 7])
def test_all_workers_get_the_chiefs_number(monkeypatch, value):
    """Exact, though it is summed in float32 over workers of two replicas each."""
    strategy = SimpleNamespace(num_replicas_in_sync=4)
    monkeypatch.setattr(devices, "num_workers", lambda _: 2)
    parts: list[float] = []

    def total(_, part):
        parts.append(part)
        return float(tf.reduce_sum(tf.constant([part, part], tf.float32)))

    monkeypatch.setattr(devices, "sum_over_replicas", total)
    monkeypatch.setattr(devices, "is_chief", lambda _: True)
    assert devices.chief_value(strategy, value) == value
    assert len(parts) == 2
    monkeypatch.setattr(devices, "is_chief", lambda _: False)
    parts.clear()
    devices.chief_value(strategy, value)
    assert parts == [0, 0]


# ---------------------------------------------------------------------------
# examples/supervise.py

WORKER = """
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[1])
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
done = folder / f"started{index}"
first = not done.exists()
done.touch()
if first and index == 1:
    while not (folder / "started0").exists(): time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGKILL)
if first: time.sleep(60)
sys.exit(int(sys.argv[2]))
"""
BOTH = """
import json, os, sys, time
index = json.loads(os.environ["TF_CONFIG"])["task"]["index"]
time.sleep(index / 5)
sys.exit(int(sys.argv[1 + index]))
"""
WAITS = """
import json, os, signal, time
def save(number, frame):
    signal.signal(signal.SIGTERM, lambda *_: print("told twice", flush=True))
    time.sleep(0.5)
    os._exit(143)
signal.signal(signal.SIGTERM, save)
if json.loads(os.environ["TF_CONFIG"])["task"]["index"]:
    time.sleep(0.5)
    os.kill(os.getppid(), signal.SIGHUP)
time.sleep(60)
"""


def supervise(program: str, *arguments: str) -> subprocess.CompletedProcess:
    script = [sys.executable, str(ROOT / "examples" / "supervise.py"), "--local=2"]
    worker = [sys.executable, "-S", "-c", program, *arguments]
    return subprocess.run(
        [*script, "--restarts=2", "--", *worker],
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("code", [0, 2])
def test_all_start_again_when_one_was_killed(tmp_path, code):
    done = supervise(WORKER, str(tmp_path), str(code))
    assert done.returncode == code, done.stderr
    assert done.stdout.count("A worker is gone (-9); all start again.") == 1


@pytest.mark.parametrize("codes", ["75 2", "2 75", "1 0", "0 1", "75 143"])
def test_a_worker_that_cannot_go_on_ends_all(codes):
    """The first to end may be one that has lost the other, which tells the cause."""
    done = supervise(BOTH, *codes.split())
    assert str(done.returncode) in codes.split() and done.returncode not in (0, 75)
    assert not done.stdout + done.stderr


def test_a_run_that_fails_again_and_again_ends():
    done = supervise(BOTH, "75", "75")
    assert done.returncode == 75
    assert done.stdout.count("all start again") == 2


def test_a_signal_to_all_is_passed_on_once():
    done = supervise(WAITS)
    assert done.returncode == 128 + signal.SIGHUP, done.stderr
    assert not done.stdout + done.stderr
