"""Runs the web server beside the model.

The main thread owns the model: it loads it, draws batches, and gets the signals. The
web server has a thread of its own and answers from the first second: `/healthz` says
that the model is loading.
"""

import contextlib
import importlib.util
import math
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from stylegan_tf import signals
from stylegan_tf.errors import UserError
from stylegan_tf.trust import Trust, bound_socket

if TYPE_CHECKING:  # these load TensorFlow and the web framework
    import uvicorn

    from stylegan_tf.serving.drawing import BatchDrawer
    from stylegan_tf.serving.service import Service

NEEDED = ("fastapi", "uvicorn", "prometheus_client")
MOST_CONNECTIONS = 1000  # open at a time; more are told that the server is busy
KEEP = 65  # seconds of an idle connection: longer than proxies keep theirs
TURN = 0.1  # seconds that the model waits for an image before it looks around
LINGER = 1.0  # seconds after a signal in which requests on their way are taken


def check_serving() -> None:
    """Raises `UserError` if a package that serving needs is missing."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f'serving needs the package {missing[0]}: pip install "stylegan_tf[serve]"'
        )


def run_server(
    load: Callable[[], "BatchDrawer"],
    service: "Service",
    host: str,
    port: int,
    trust: Trust | None = None,
    grace: float = 30,
) -> None:
    """Serves until a signal, or `service.stopping`; accepted requests are answered.

    Args:
        load: loads the model.
        service: what requests are answered from.
        host: address to listen on; 127.0.0.1 is reached from this machine only.
        port: of that address; 0 = any that is free.
        trust: names to serve under; by default those of `host`.
        grace: seconds, after the signal, that requests may take.

    Raises:
        UserError: the port cannot be had.
        signals.Stopped: a signal ended it.
    """
    with (
        contextlib.closing(bound_socket(host, port, 8001)) as own,
        _listening(own, service, trust or Trust(host), grace) as (server, thread),
    ):
        name = f"[{host}]" if ":" in host else host
        place = f"http://{name}:{own.getsockname()[1]}"
        print(f"{place}  loading the model ... (Ctrl-C ends)", flush=True)
        drawer = load()
        drawer.warm_up()
        service.facts = drawer.facts
        print(f"{place}  ready; {place}/docs tells how to ask", flush=True)
        number = _draw_until_stopped(drawer, service, server, thread)
    if number is not None:
        raise signals.Stopped(number)


@contextlib.contextmanager
def _listening(
    own: socket.socket, service: "Service", trust: Trust, grace: float
) -> Iterator[tuple["uvicorn.Server", threading.Thread]]:
    """Lets the web server listen, and ends it."""
    import uvicorn

    from stylegan_tf.serving.app import PATHS, make_app
    from stylegan_tf.serving.guard import ServingGuard

    guarded = ServingGuard(make_app(service), trust, service.metrics, PATHS)
    settings = uvicorn.Config(
        guarded,
        lifespan="off",
        log_level="error",
        access_log=False,
        server_header=False,
        ws="none",
        limit_concurrency=MOST_CONNECTIONS,
        timeout_keep_alive=KEEP,
        timeout_graceful_shutdown=max(1, round(grace)),
    )
    server = uvicorn.Server(settings)
    thread = threading.Thread(
        target=server.run, kwargs={"sockets": [own]}, name="web server", daemon=True
    )
    thread.start()
    while thread.is_alive() and not server.started:
        time.sleep(0.01)
    try:
        yield server, thread
    finally:
        service.stopping = server.should_exit = True
        server.force_exit = thread.is_alive()  # nobody draws any more
        thread.join(5)


def _draw_until_stopped(
    drawer: "BatchDrawer",
    service: "Service",
    server: "uvicorn.Server",
    thread: threading.Thread,
) -> int | None:
    """Draws until it is told to stop, and the web server has answered what it has.

    Returns:
        The signal that told it, or None.

    Raises:
        RuntimeError: the web server has ended by itself.
    """
    stopped: list[int] = []

    def stop(number: int, frame: object) -> None:
        if stopped:  # a second signal does not wait
            raise signals.Stopped(number)
        stopped.append(number)
        service.stopping = True

    end = math.inf
    with signals.handled(stop):
        while thread.is_alive():
            if service.stopping:
                end = min(end, time.monotonic() + LINGER)
            server.should_exit = time.monotonic() > end
            service.draw_next(drawer, TURN)
    if not service.stopping:
        raise RuntimeError("the web server has ended by itself")
    return stopped[0] if stopped else None
