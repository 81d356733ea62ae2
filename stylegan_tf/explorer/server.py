"""Serves the page: one process, one port, nothing from other machines."""

import importlib.util
import socket
from typing import TYPE_CHECKING

from stylegan_tf.errors import UserError

if TYPE_CHECKING:  # the engine loads TensorFlow
    from stylegan_tf.explorer.engine import Engine

TABS = 120.0  # seconds in which a tab that lost its connection may come back


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
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except (OSError, OverflowError) as error:
        raise UserError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', error)}; "
            f"choose another with --port=8081."
        ) from error


def serve(engine: "Engine", host: str, port: int, open_browser: bool = False) -> None:
    """Serves the page until it is interrupted.

    Args:
        engine: renders the images of all tabs.
        host: address to listen on; 127.0.0.1 is reached from this machine only.
        port: of that address.
        open_browser: show the page in the user's browser.
    """
    from nicegui import app, ui

    from stylegan_tf.explorer.page import Page

    app.on_startup(lambda: print(f"http://{host}:{port}  (Ctrl-C ends)", flush=True))
    ui.run(
        lambda: Page(engine),
        host=host,
        port=port,
        title="stylegan_tf",
        favicon="\U0001f3b2",
        dark=None,
        show=open_browser,
        reload=False,
        tailwind=False,
        show_welcome_message=False,
        reconnect_timeout=TABS,
    )
