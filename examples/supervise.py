"""Keeps the workers of a training run going on this machine.

    python examples/supervise.py --local=4 -- \\
        python launch/train.py --strategy=multiworker --data=photos/ --out=runs
    python examples/supervise.py -- \\
        python launch/train.py --strategy=multiworker --data=photos/ --out=/mnt/runs

With --local=N it starts N workers here, and tells them of each other by TF_CONFIG; else
one, with the TF_CONFIG (or Slurm's or Kubernetes' environment) that it has itself: run
one on each machine. A worker that is killed leaves the others waiting; they find out,
save nothing, and end with code 75. Then, or when a worker dies of a signal, all workers
of this machine are ended and started again, and the run goes on from its newest
checkpoint. A worker that ends with any other code, such as 2 for what you must mend or
1 for a run that diverges, ends all of them, and its code is that of this script; so
does a run that fails --restarts times. On several machines each script knows its own
workers alone: end the others by hand, or by srun --kill-on-bad-exit. Signals that ask
to end are passed on as TERM, a second one as KILL. Needs Python alone.
"""

import argparse
import json
import os
import signal
import socket
import subprocess
import sys
import time

AGAIN = 75  # the code of a worker that has lost another one
PATIENCE = 60.0  # seconds in which a worker that is told to end may save
SETTLING = 2.0  # seconds for the cause of a loss to end, which may be another worker


def free_ports(n: int) -> list[int]:
    """Returns n ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(command: list[str], local: int) -> list[subprocess.Popen]:
    """Starts the workers of this machine."""
    # In sessions of their own: a terminal's Ctrl-C would reach them twice.
    if not local:
        return [subprocess.Popen(command, start_new_session=True)]
    hosts = [f"127.0.0.1:{port}" for port in free_ports(local)]
    workers = []
    for index in range(local):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": hosts}, "task": task})
        env = os.environ | {"TF_CONFIG": config}
        workers.append(subprocess.Popen(command, env=env, start_new_session=True))
    return workers


def stop(workers: list[subprocess.Popen], patience: float, told: list[int]) -> None:
    """Ends the workers that still run: by TERM, and by KILL if they do not.

    Args:
        workers: of this machine.
        patience: seconds until KILL.
        told: signals that this process got; a new one ends the patience.
    """
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    end, before = time.monotonic() + patience, len(told)
    while time.monotonic() < end and len(told) == before:
        if all(worker.poll() is not None for worker in workers):
            return
        time.sleep(0.05)
    for worker in workers:
        worker.kill()
        worker.wait()


def is_loss(code: int) -> bool:
    """True for the exit code of a worker that was killed, or has lost another one."""
    return code == AGAIN or code < 0


def watch(workers: list[subprocess.Popen], told: list[int]) -> int:
    """Waits for the end of all workers, or for one that ends all; returns its code.

    Args:
        workers: of this machine.
        told: signals that this process got; any ends the watch, with code 0.
    """
    end = float("inf")
    while not told:
        codes = [worker.poll() for worker in workers]
        bad = [code for code in codes if code]
        for code in bad:
            if not is_loss(code):
                return code
        if bad and end == float("inf"):
            end = time.monotonic() + SETTLING
        if None not in codes or time.monotonic() > end:
            return bad[0] if bad else 0
        time.sleep(0.1)
    return 0


def main() -> int:
    """Runs the command until it is done; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--local", type=int, default=0, help="Workers to start here.")
    parser.add_argument("--restarts", type=int, default=20, help="At most so many.")
    parser.add_argument("command", nargs="+", help="-- and the command of a worker.")
    given = parser.parse_args()
    told: list[int] = []
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT"):
        if hasattr(signal, name):  # Windows lacks some
            signal.signal(getattr(signal, name), lambda n, _: told.append(n))
    for restarts in range(given.restarts + 1):
        workers = start(given.command, given.local)
        code = watch(workers, told)
        # A worker that waits for a dead one cannot save, so it need not be waited for.
        stop(workers, PATIENCE if told or not is_loss(code) else 1.0, told)
        if told:
            return 128 + told[0]
        if code == 0:
            return 0
        if not is_loss(code) or restarts == given.restarts:
            return code if code > 0 else 128 - code
        print(f"A worker is gone ({code}); all start again.", flush=True)
    return AGAIN


if __name__ == "__main__":
    sys.exit(main())
