"""Two replicas, two processes, and the strategies by name.

The same global batch gives the same update however it is shared: with noise switched
off nothing else is drawn by a device alone, and the groups of the minibatch statistic
stay inside a replica.
"""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
import tiny

from stylegan_tf import devices
from stylegan_tf.errors import UserError
from stylegan_tf.runs import rundir, transfer
from stylegan_tf.runs.plan import plan_run
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.training.step import METRICS
from stylegan_tf.training.trainer import Trainer

ROOT = Path(__file__).parents[1]
# Adam's epsilon is large so that rounding of a gradient stays rounding in its step.
SAME = {
    "generator.use_noise": False,
    "schedule.stable_kimg": 1.0,  # 4 x 4 pixels all the time
    "adam_epsilon": 0.1,
    "schedule.lr": 0.1,
    "schedule.batch": 8,
}
STEPS = 3


@pytest.fixture
def eagerly():
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


REUSED = SAME | {"loss.reuse_fakes": True}


@pytest.fixture(scope="module", params=[SAME, REUSED], ids=["two passes", "one pass"])
def mirrored(request, pictures, tmp_path_factory):
    """A trainer on two replicas after some steps, and how it started."""
    strategy = devices.make_strategy("mirrored")
    folder = tmp_path_factory.mktemp("mirrored")
    trainer = Trainer(tiny.config(request.param), pictures, folder, strategy)
    tiny.shake(trainer.networks)
    start = tiny.state(trainer.networks)
    metrics = [trainer.step().numpy() for _ in range(STEPS)]
    trainer.state.save()
    return trainer, start, metrics


def check_metrics(found, expected) -> None:
    """The same, but for the spread, which is that of each replica's own images."""
    spread = [i for i, name in enumerate(METRICS) if name.startswith("spread/")]
    np.testing.assert_allclose(found.numpy()[spread], expected[spread], rtol=0.4)
    found, expected = (np.delete(x, spread) for x in (found, expected))
    np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)


def test_two_replicas_are_one_device_with_the_same_batch(
    mirrored, pictures, tmp_path, eagerly
):
    trainer, start, metrics = mirrored
    assert trainer.replicas == 2
    alone = Trainer(trainer.config, pictures, tmp_path)
    tiny.restore(alone.networks, start)
    for expected in metrics:
        check_metrics(alone.step(), expected)
    expected, found = tiny.state(alone.networks), tiny.state(trainer.networks)
    tiny.check_close(start, expected, found, 1e-2)
    assert np.any(found["generator/w_avg"])


def test_every_weight_slot_and_average_is_equal_on_all_replicas(mirrored):
    trainer, start, _ = mirrored
    found = tiny.variables(trainer.networks)
    assert len(found) > 100
    for name, variable in found.items():
        first, second = tiny.on_each(variable)
        np.testing.assert_array_equal(first, second, name)
    for name in ("generator/w_avg", "average/w_avg", "average/mapping/dense0/bias"):
        assert np.any(found[name].numpy() != start[name])


def test_what_two_replicas_saved_goes_on_on_one_device(mirrored, pictures):
    trainer, _, _ = mirrored
    alone = Trainer(trainer.config, pictures, trainer.run_dir)
    assert alone.restore()
    assert alone.state.nimg == trainer.state.nimg == 8 * STEPS
    tiny.check_equal(tiny.state(trainer.networks), tiny.state(alone.networks))


DCGAN = SAME | {
    "generator.architecture": "dcgan",
    "discriminator.architecture": "dcgan",
    "generator.mapping_layers": 0,
    "generator.style_mixing_prob": 0.0,
    "loss.r1_gamma": 0.0,
    "schedule.initial_resolution": 8,
}


def test_batch_norm_is_over_all_replicas(pictures, tmp_path):
    """DCGAN's statistics, and the averages of them that pictures are drawn with."""
    config = tiny.config(DCGAN)
    trainer = Trainer(config, pictures, tmp_path, devices.make_strategy("mirrored"))
    start = tiny.state(trainer.networks)
    metrics = [trainer.step().numpy() for _ in range(STEPS - 1)]
    drawn_with = tiny.state(trainer.networks)
    metrics.append(trainer.step().numpy())
    found = tiny.state(trainer.networks)
    alone = Trainer(config, pictures, tmp_path)
    tiny.restore(alone.networks, start)
    for expected in metrics:
        check_metrics(alone.step(), expected)
    tiny.check_close(start, tiny.state(alone.networks), found, 1e-2)
    for name, variable in tiny.variables(trainer.networks).items():
        np.testing.assert_array_equal(*tiny.on_each(variable), name)
    means = [n for n in found if "/moving_" in n and n.startswith("average")]
    assert len(means) == 2
    for name in means:
        own = drawn_with[name.replace("average", "generator", 1)]
        np.testing.assert_array_equal(found[name], own)
        assert np.any(found[name] != start[name])


@pytest.mark.parametrize("strategy", ["one", "mirrored"])
def test_batch_norm_allows_no_rounds(strategy, pictures):
    """They would split its batch, and on several devices crash: said at once."""
    request = RunRequest("dcgan", {"data": str(pictures), "accumulate": 2})
    with pytest.raises(UserError, match="whole batch.* use --accumulate=1"):
        plan_run(request, devices.make_strategy(strategy))


def test_replicas_share_one_set_of_inputs_and_make_their_own_noise():
    strategy = devices.make_strategy("mirrored")
    config, table = tiny.config(SAME | {"classes": 3}), np.eye(3, dtype="f4")
    step = tiny.make_step(None, config, 8, 8, table)
    nimg = tf.constant(8, tf.int64)
    whole = step.sample(nimg, 1, None)
    per_replica = strategy.run(lambda: vars(step.sample(nimg, 1, None)))
    local = {k: strategy.experimental_local_results(v) for k, v in per_replica.items()}
    for name in ("z", "z_mix", "labels"):
        for replica in (0, 1):
            mine = getattr(whole, name)[replica::2]
            np.testing.assert_array_equal(local[name][replica], mine)
    assert local["cutoff"][0] == local["cutoff"][1] == whole.cutoff
    assert np.any(local["seed"][0] != local["seed"][1])


# ---------------------------------------------------------------------------
# Two processes


def free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


# What a process changes on the disk, as far as Python does it.
HOOK = """
import sys

LOG = {path!r}

def changed(event, args):
    if event == "open":
        path, mode, flags = args
        writes = path != LOG and (set(mode) & set("wax+") if mode else flags & 3)
    else:
        writes = event in ("os.mkdir", "os.rename", "os.remove", "os.rmdir")
    if writes:
        with open(LOG, "a") as file:
            print(event, args[0], file=file)

sys.addaudithook(changed)
"""


def launch(task: int, ports: list[int], flags: list[str], log: Path):
    """Starts a worker that lists in `log` what it changes on the disk."""
    hook = log.with_suffix("")
    hook.mkdir()
    (hook / "sitecustomize.py").write_text(HOOK.format(path=str(log)))
    cluster = {"worker": [f"127.0.0.1:{port}" for port in ports]}
    own = {"cluster": cluster, "task": {"type": "worker", "index": task}}
    paths = [str(hook), os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {
        "TF_CONFIG": json.dumps(own),
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    return subprocess.Popen(
        [sys.executable, str(ROOT / "launch" / "train.py"), *flags],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_two_workers_are_one_process(pictures, tmp_path, eagerly):
    """Through the command line, from a given generator; the first worker writes."""
    config = tiny.config(SAME)
    init = tmp_path / "init.keras"
    trainer = Trainer(config, pictures, tmp_path)
    tiny.shake(trainer.networks)
    trainer.networks.generator.save(init)

    out = tmp_path / "runs"
    settings = tiny.SETTINGS | SAME | {"schedule.total_kimg": 0.016}
    settings = {k: v for k, v in settings.items() if not k.endswith(".resolution")}
    flags = [f"--set={k}={json.dumps(v)}" for k, v in settings.items()]
    flags += [f"--data={pictures}", f"--out={out}", "--resolution=8", f"--init={init}"]
    flags += ["--precision=float32"]  # what is compared is the sums of two workers
    ports = free_ports(2)
    logs = [tmp_path / f"changes{i}.txt" for i in range(2)]
    workers = [launch(i, ports, flags, log) for i, log in enumerate(logs)]
    said = [worker.communicate(timeout=900)[0] for worker in workers]
    assert [worker.returncode for worker in workers] == [0, 0], "\n".join(said)

    chief, other = (log.read_text() if log.exists() else "" for log in logs)
    assert str(out) in chief and str(out) not in other  # only the chief writes
    (run,) = rundir.list_runs(out)
    assert run.nimg == 16
    alone = Trainer(run.config, pictures, tmp_path / "alone")
    transfer.copy_matching_weights(init, alone.networks)
    start = tiny.state(alone.networks)
    alone.step()
    alone.step()
    together = Trainer(run.config, pictures, run.path)
    assert together.restore()
    expected, found = tiny.state(alone.networks), tiny.state(together.networks)
    tiny.check_close(start, expected, found, 1e-2)

    for words in ("finished at", "weights taken", "model:", "kimg 0.0"):
        assert words in said[0] and words not in said[1]
    assert len(list(run.path.glob("events.*"))) == 1
    assert (run.path / "log.txt").read_text().count("finished at") == 1
    assert (run.path / "model" / "generator.keras").exists()
    seen = {p.name for p in run.path.parent.iterdir() if p.name[0] != "."}
    assert seen == {run.path.name}


def test_total_is_over_all_replicas():
    for name, expected in (("one", 3.0), ("mirrored", 6.0)):
        assert devices.sum_over_replicas(devices.make_strategy(name), 3.0) == expected


def test_a_worker_that_is_not_the_chief_saves_nothing(pictures, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "is_chief", lambda strategy: False)
    told = SimpleNamespace(start=None)
    trainer = Trainer(tiny.config(), pictures, tmp_path / "run", reports=[told])
    trainer.state.save()
    assert not trainer.reports
    assert not (tmp_path / "run").exists()


def test_a_run_settles_its_precision(pictures, monkeypatch):
    monkeypatch.setattr(devices, "_multiplies_in_bfloat16", lambda: True)
    request = RunRequest(changes={"data": str(pictures)}, preset="demo")
    config = plan_run(request, devices.make_strategy("one")).config
    assert config.precision == "bfloat16"
    asked = {"data": str(pictures), "precision": "float32"}
    request = RunRequest(changes=asked, preset="demo")
    assert plan_run(request, devices.make_strategy("one")).config.precision == (
        "float32"
    )
