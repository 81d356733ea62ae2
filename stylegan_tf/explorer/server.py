"""Serves the page: one process, one port, behind the guard of `guard`."""

import asyncio
import importlib.util
import inspect
import logging
import urllib.parse
from collections.abc import Callable
from typing import TYPE_CHECKING

from stylegan_tf.errors import UserError
from stylegan_tf.explorer.guard import (
    MOST_MESSAGE,
    Guard,
    is_event,
    is_handshake,
    is_receipt,
)
from stylegan_tf.trust import Trust, bound_socket

if TYPE_CHECKING:  # the engine loads TensorFlow
    from stylegan_tf.explorer.shelf import Shelf

TABS = 120.0  # seconds in which a tab that lost its connection may come back
MOST_PAGES = 64  # open at a time
MOST_CONNECTIONS = 500  # of all pages; more are told that the server is busy
HISTORY = 50  # messages, with images in them, that a lost connection gets again


def check_server(host: str, port: int) -> None:
    """Checks that the server can start, before a model is loaded.

    Args:
        host: address to listen on.
        port: of that address.

    Raises:
        UserError: nicegui is missing, or the port cannot be had.
    """
    if importlib.util.find_spec("nicegui") is None:
        raise UserError(
            'the page needs the package nicegui: pip install "stylegan_tf[explore]"'
        )
    bound_socket(host, port, 8081).close()


def serve(
    shelf: "Shelf",
    host: str,
    port: int,
    open_browser: bool = False,
    trust: Trust | None = None,
) -> None:
    """Serves the page until it is interrupted.

    Args:
        shelf: the models of all tabs.
        host: address to listen on; 127.0.0.1 is reached from this machine only.
        port: of that address.
        open_browser: show the page in the user's browser.
        trust: names to serve under, and other sites that may use the page; by default
            those of `host`, and none.
    """
    from nicegui import app, run, ui

    from stylegan_tf.explorer.jobs import Jobs
    from stylegan_tf.explorer.page import Page

    turns = asyncio.Lock()  # its waiters are served in the order in which they came
    jobs = Jobs(turns, run.io_bound)
    app.add_middleware(Guard, trust=trust or Trust(host), admit=admit_page)
    app.add_exception_handler(404, _nothing_here)
    _check_messages()
    app.on_startup(lambda: print(f"http://{host}:{port}  (Ctrl-C ends)", flush=True))
    ui.page("/")(lambda: Page(shelf, turns, jobs))
    ui.run(
        host=host,
        port=port,
        title="stylegan_tf",
        language="en-US",
        favicon="\U0001f3b2",
        dark=None,
        show=open_browser,
        reload=False,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=TABS,
        message_history_length=HISTORY,
        ws_max_size=MOST_MESSAGE,
        limit_concurrency=MOST_CONNECTIONS,
        server_header=False,
    )


def admit_page() -> bool:
    """Makes room for one more page; False if `MOST_PAGES` are in use.

    Pages that nobody looks at go first: a program that only reads the address leaves
    one behind each time.
    """
    from nicegui import Client

    pages = Client.instances
    unseen = [page for page in pages.values() if not page.has_socket_connection]
    for page in sorted(unseen, key=lambda page: page.created):
        if len(pages) < MOST_PAGES:
            break
        page.delete()
    return len(pages) < MOST_PAGES


def _nothing_here(request: object, error: Exception):
    """Answers 404 without building a page, which the web framework would do."""
    from starlette.responses import PlainTextResponse

    return PlainTextResponse("there is nothing here\n", status_code=404)


def _check_messages() -> None:
    """Puts checks before the handlers of a page's messages; what fails is ignored."""
    from nicegui import core, json

    sio = core.sio
    sio.eio.max_http_buffer_size = MOST_MESSAGE
    checks = {
        "event": lambda message: is_event(message, json.loads),
        "handshake": is_handshake,
        "ack": is_receipt,
        "javascript_response": lambda message: False,  # the page asks for none
        "log": lambda message: False,  # a stranger's lines in the log
    }
    for name, check in checks.items():
        sio.on(name, _checked(sio.handlers["/"][name], check))
    connect = sio.handlers["/"]["connect"]

    async def connect_checked(sid: str, environ: dict, auth: object = None) -> object:
        query = urllib.parse.parse_qs(environ.get("QUERY_STRING", ""))
        if not is_handshake({name: values[0] for name, values in query.items()}):
            return False
        return await connect(sid, environ, auth)

    sio.on("connect", connect_checked)
    # Frames that are no Socket.IO are dropped; their tracebacks tell nothing.
    for name in ("engineio.server", "socketio.server"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("nicegui").addFilter(OnceEach())


def _checked(handler: Callable, check: Callable[[object], bool]) -> Callable:
    async def checked(sid: str, message: object = None, *rest: object) -> object:
        if rest or not check(message):
            return False
        try:
            found = handler(sid, message)
            return await found if inspect.isawaitable(found) else found
        except (LookupError, TypeError, ValueError):  # of a control that is not there
            return False

    return checked


class OnceEach(logging.Filter):
    """Lets a traceback through once for each place that it comes from."""

    def __init__(self):
        super().__init__()
        self._seen: set[tuple[str, int]] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Returns False for a traceback that has been shown."""
        trace = record.exc_info[2] if record.exc_info else None
        if trace is None:
            return True
        while trace.tb_next:
            trace = trace.tb_next
        place = trace.tb_frame.f_code.co_filename, trace.tb_lineno
        if place in self._seen:
            return False
        self._seen.add(place)
        return True
