"""Latency and throughput of `serve.py` under load.

    python benchmarks/serve.py --model=runs/00000-demo-demo
    python benchmarks/serve.py --model=generator.keras --clients=64 --batch_sizes=1,8

Clients ask at the same time, each for one picture after the other over a connection of
its own; a client that is refused with 429 waits as long as it is told. Every answer
must be the picture of its seed, as a lone client got it; a pixel may round to the next
of 255 steps. Server and clients share the machine. "a call" is the pictures of one call
of the network, "of the time" the share in which it is at work.
"""

import io
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from stylegan_tf_launch import cli
from workers import http_load, pairing

FLAGS, define = cli.flag_set()
define.string("model", None, cli.MODEL)
define.list("clients", ["1", "8", "64"], "Numbers of clients that ask together.")
define.integer("requests", 16, "Pictures of each client.", lower_bound=1)
define.string("query", "psi=0.7", "Further parameters of each request.")
define.string("batch_sizes", None, "Of serve.py.")
define.string("json", None, "Write the rows to this file.")

COLUMNS = ("clients", "pictures", "lost", "wrong", "refused", "a second")
COLUMNS += ("median ms", "95% ms", "99% ms", "a call", "of the time")
SEEDS = 64  # different pictures


def main(argv: Sequence[str]) -> int:
    """Asks, checks and prints the table; returns the exit code."""
    cli.check_model(FLAGS.model)
    flags = [f"--model={FLAGS.model}", "--most_waiting=64"]
    if FLAGS.batch_sizes:
        flags.append(f"--batch_sizes={FLAGS.batch_sizes}")
    results, bad = pairing.Results(COLUMNS, FLAGS.json), 0
    with (
        tempfile.TemporaryDirectory() as folder,
        http_load.serving(*flags, log=Path(folder) / "log.txt") as (_, port),
    ):
        lone = http_load.ask(port, [range(SEEDS)], FLAGS.query)
        expected = {answer.seed: answer.body for answer in lone}
        for clients in map(int, FLAGS.clients):
            row = measure(port, clients, FLAGS.requests, expected, FLAGS.query)
            results.add([_shown(value) for value in row.values()], row)
            bad += row["lost"] + row["wrong"]
    return 1 if bad else 0


def measure(
    port: int, clients: int, count: int, expected: dict[int, bytes], query: str
) -> dict:
    """A row: what clients got, how fast, and what the server counted.

    Args:
        port: of the server.
        clients: that ask at the same time.
        count: pictures of each.
        expected: the picture of each seed.
        query: further parameters.
    """
    seeds = [
        [(k * count + i) % len(expected) for i in range(count)] for k in range(clients)
    ]
    before = counters(port)
    answers = http_load.ask(port, seeds, query)
    after = {name: value - before[name] for name, value in counters(port).items()}
    seconds = np.array([answer.seconds for answer in answers]) * 1000
    good = [answer for answer in answers if answer.status == 200]
    wall = after["wall"]
    median, most, nearly_all = np.percentile(seconds, [50, 95, 99])
    return {
        "clients": clients,
        "pictures": len(good),
        "lost": clients * count - len(good),
        "wrong": sum(differ(answer.body, expected[answer.seed]) for answer in good),
        "refused": sum(answer.refusals for answer in answers),
        "a second": len(good) / wall,
        "median ms": median,
        "95% ms": most,
        "99% ms": nearly_all,
        "a call": after["batch_images_sum"] / after["batch_images_count"],
        "of the time": after["draw_seconds_sum"] / wall,
    }


def differ(body: bytes, expected: bytes) -> bool:
    """True if two files show other pictures, beyond rounding."""
    if body == expected:
        return False
    a, b = (np.asarray(Image.open(io.BytesIO(x)), int) for x in (body, expected))
    return bool(np.abs(a - b).max() > 1)


def counters(port: int) -> dict[str, float]:
    """The server's sums and counts, without labels, and the time."""
    found = {"wall": time.perf_counter()}
    for line in http_load.get(port, "/metrics")[1].decode().splitlines():
        name, _, value = line.partition(" ")
        if name.startswith("stylegan_tf_") and "{" not in name:
            found[name.removeprefix("stylegan_tf_")] = float(value)
    return found


def _shown(value: float) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    cli.run(main, FLAGS)
