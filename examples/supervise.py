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
checkpoint. Ends with 0 when all workers did, and with the code of a worker that ended
with any other. Ctrl-C and SIGTERM are passed on. Needs Python alone.
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


def free_ports(n: int) -> list[int]:
    """Returns n ports of this machine that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


def start(command: list[str], local: int) -> list[subprocess.Popen]:
    """Starts the workers of this machine."""
    if not local:
        return [subprocess.Popen(command)]
    hosts = [f"127.0.0.1:{port}" for port in free_ports(local)]
    workers = []
    for index in range(local):
        task = {"type": "worker", "index": index}
        config = json.dumps({"cluster": {"worker": hosts}, "task": task})
        workers.append(
            subprocess.Popen(command, env=os.environ | {"TF_CONFIG": config})
        )
    return workers


def stop(workers: list[subprocess.Popen], patience: float) -> None:
    """Ends the workers that still run: by TERM, and by KILL if they do not."""
    for worker in workers:
        if worker.poll() is None:
            worker.terminate()
    end = time.monotonic() + patience
    for worker in workers:
        try:
            worker.wait(max(end - time.monotonic(), 0))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()


def watch(workers: list[subprocess.Popen]) -> int:
    """Waits until all have ended with 0, or one with another code; returns the code."""
    while True:
        codes = [worker.poll() for worker in workers]
        bad = [code for code in codes if code]
        if bad:
            return bad[0]
        if None not in codes:
            return 0
        time.sleep(0.2)


def main() -> int:
    """Runs the command until it is done; returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--local", type=int, default=0, help="Workers to start here.")
    parser.add_argument("--restarts", type=int, default=20, help="At most so many.")
    parser.add_argument("command", nargs="+", help="-- and the command of a worker.")
    given = parser.parse_args()
    told: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda n, _: (told.append(n), stop(workers, PATIENCE)))
    for restarts in range(given.restarts + 1):
        workers = start(given.command, given.local)
        code = watch(workers)
        if told:
            stop(workers, PATIENCE)
            return 128 + told[0]
        if code == 0:
            return 0
        # A worker that waits for a dead one cannot save, so it need not be waited for.
        lost = code == AGAIN or code < 0
        stop(workers, 1.0 if lost else PATIENCE)
        if not lost or restarts == given.restarts:
            return code if code > 0 else 128 - code
        print(f"A worker is gone ({code}); all start again.", flush=True)
    return AGAIN


if __name__ == "__main__":
    sys.exit(main())
