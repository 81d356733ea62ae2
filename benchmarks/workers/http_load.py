"""Clients of `serve.py` for a load test, and the server's process."""

import contextlib
import http.client
import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "launch" / "serve.py"
PATIENCE = 300  # seconds to load a model


@dataclass(frozen=True)
class Answer:
    """What a client got.

    Attributes:
        seed: that it asked for.
        status: of HTTP.
        body: the picture.
        seconds: from the question to the answer.
        refusals: answers with 429 before, after each of which it waited as told.
    """

    seed: int
    status: int
    body: bytes
    seconds: float
    refusals: int = 0


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextlib.contextmanager
def serving(*flags: str, log: Path) -> Iterator[tuple[subprocess.Popen, int]]:
    """The process of `serve.py`, ready, and its port."""
    port = free_port()
    with open(log, "w", encoding="utf-8") as file:
        process = subprocess.Popen(
            [sys.executable, str(SCRIPT), f"--port={port}", *flags],
            stdout=file,
            stderr=file,
        )
    try:
        end = time.monotonic() + PATIENCE
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(log.read_text(encoding="utf-8"))
            time.sleep(0.1)
        yield process, port
    finally:
        process.kill()
        process.wait()


def is_ready(port: int) -> bool:
    """True if the model is loaded."""
    with contextlib.suppress(OSError):
        status, _ = get(port, "/healthz")
        return status == 200
    return False


def get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of an answer."""
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as line:
        line.request("GET", path)
        answer = line.getresponse()
        return answer.status, answer.read()


def ask(
    port: int,
    clients: Sequence[Sequence[int]],
    query: str = "psi=0.7",
    begun: Callable[[], object] = lambda: None,
) -> list[Answer]:
    """Lets clients ask at the same time, each for its seeds one after the other.

    Args:
        port: of the server.
        clients: the seeds of each.
        query: further parameters.
        begun: called when all have sent their first question.
    """
    answers: list[Answer] = []
    start = threading.Barrier(len(clients) + 1)
    sent = threading.Barrier(len(clients) + 1)

    def client(seeds: Sequence[int]) -> None:
        line = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
        line.connect()
        start.wait()
        with contextlib.closing(line):
            for number, seed in enumerate(seeds):
                wait = sent.wait if number == 0 else lambda: None
                answers.append(_ask_once(line, seed, query, wait))

    threads = [threading.Thread(target=client, args=(seeds,)) for seeds in clients]
    for thread in threads:
        thread.start()
    start.wait()
    sent.wait()
    begun()
    for thread in threads:
        thread.join()
    return answers


def _ask_once(
    line: http.client.HTTPConnection, seed: int, query: str, sent: Callable
) -> Answer:
    for refusals in range(1000):
        begin = time.perf_counter()
        line.request("GET", f"/v1/images?seeds={seed}&{query}")
        if refusals == 0:
            sent()
        answer = line.getresponse()
        body, seconds = answer.read(), time.perf_counter() - begin
        if answer.status != 429:
            return Answer(seed, answer.status, body, seconds, refusals)
        time.sleep(int(answer.headers["Retry-After"]))
    raise RuntimeError(json.dumps({"seed": seed, "refused": refusals}))
