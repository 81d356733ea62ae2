"""Guards the page: who may ask for it, for what, how often and how much at a time.

`Guard` serves requests only under the names that the user gave, from pages that came
from here; `trust` says why. It stands before the web framework: what it refuses builds
no page.

No web library and no TensorFlow in this module; `Guard` is an ASGI application.
"""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence

from stylegan_tf.trust import (
    App,
    Headers,
    Message,
    Receive,
    Send,
    Trust,
    send_text,
    with_headers,
)

MOST_SOCKETS = 128  # open at a time
MOST_MESSAGE = 100_000  # bytes
RATE, BURST = 100.0, 200.0  # messages per second of a socket; more have to wait
MOST_UPLOAD, MOST_UPLOADS = 20_000_000, 4  # bytes of a picture; at a time
UPLOAD = re.compile(r"/_nicegui/client/[\w-]{1,64}/upload/\d{1,9}")
SOCKETS = "/_nicegui_ws/"
FILES = "/_nicegui/"


class Guard:
    """An ASGI application that stands before the one of the page.

    Args:
        app: serves what is let in.
        trust: who is let in.
        admit: called before a page is built; False if there are too many.
        clock, wait: seconds, and an awaitable pause; for tests.
    """

    def __init__(
        self,
        app: App,
        trust: Trust,
        admit: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ):
        self.app, self.trust, self.admit = app, trust, admit
        self._clock, self._wait = clock, wait
        self._sockets = self._uploads = 0
        self._headers = _headers(trust.frames)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serves a request, a socket or the server's own start and end."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._socket(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        secured = with_headers(send, self._headers)
        refusal = self._refusal(scope)
        if refusal is None and scope["path"] == "/" and not self.admit():
            refusal = 503, "too many pages are open here; close some of them"
        uploads = refusal is None and _is_upload(scope)
        if uploads and self._uploads >= MOST_UPLOADS:
            refusal = 503, "too many pictures come at once; try again"
        if refusal is not None:
            await send_text(secured, *refusal)
            return
        self._uploads += uploads
        try:
            await self.app(scope, receive, secured)
        finally:
            self._uploads -= uploads

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        """Returns status and text for a request that is not served, else None."""
        headers = Headers(scope)
        if reason := self.trust.stranger(headers):
            return 403, reason
        path, method = scope["path"], scope["method"]
        known = path in ("/", "/favicon.ico") or path.startswith((FILES, SOCKETS))
        if not known:
            return 404, "there is nothing here"
        if _is_upload(scope):
            return self.trust.refusal(headers, MOST_UPLOAD)
        posts = path.startswith(SOCKETS)
        if method not in (("GET", "POST") if posts else ("GET",)):
            return 405, "this is only read"
        return self.trust.refusal(headers)

    # -----------------------------------------------------------------------

    async def _socket(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = Headers(scope)
        known = scope["path"].startswith(SOCKETS)
        if not known or self.trust.stranger(headers) or self._sockets >= MOST_SOCKETS:
            await receive()  # the request to connect
            await send({"type": "websocket.close", "code": 1008})  # answered with 403
            return
        self._sockets += 1
        try:
            await self.app(scope, self._paced(receive), send)
        except Exception:  # a frame that the libraries cannot read ends this socket
            with contextlib.suppress(Exception):  # which may be closed already
                await send({"type": "websocket.close", "code": 1003})
        finally:
            self._sockets -= 1

    def _paced(self, receive: Receive) -> Receive:
        """Returns a `receive` that lets a socket's messages wait if they are many."""
        left, last = BURST, self._clock()

        async def paced() -> Message:
            nonlocal left, last
            message = await receive()
            now = self._clock()
            left, last = min(left + (now - last) * RATE, BURST) - 1, now
            if left < 0:
                await self._wait(-left / RATE)
            size = len(message.get("text") or message.get("bytes") or "")
            if message["type"] == "websocket.receive" and size > MOST_MESSAGE:
                return {"type": "websocket.disconnect", "code": 1009}
            return message

        return paced


def _is_upload(scope: Message) -> bool:
    """True for a picture that a page sends to its own field for it."""
    return scope["method"] == "POST" and bool(UPLOAD.fullmatch(scope["path"]))


def _headers(frames: Sequence[str]) -> list[tuple[bytes, bytes]]:
    """Returns the headers of every answer. The page's scripts are compiled in it."""
    policy = {
        "default-src": "'self'",
        "script-src": "'self' 'unsafe-inline' 'unsafe-eval'",
        "style-src": "'self' 'unsafe-inline'",
        "img-src": "'self' data: blob:",
        "font-src": "'self' data:",
        "connect-src": "'self' ws: wss:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": " ".join(frames) or "'none'",
    }
    lines = {
        "content-security-policy": "; ".join(f"{k} {v}" for k, v in policy.items()),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-opener-policy": "same-origin",
        "permissions-policy": "camera=(), microphone=(), geolocation=()",
    }
    if not frames:
        lines["x-frame-options"] = "DENY"
        lines["cross-origin-resource-policy"] = "same-origin"
    return [(name.encode(), value.encode()) for name, value in lines.items()]


# ---------------------------------------------------------------------------
# Messages of the page


def is_event(message: object, parse: Callable[[str], object]) -> bool:
    """True for a message that a control of the page can have sent.

    Args:
        message: decoded; an event has `client_id`, `id`, `listener_id` and `args`,
            a list of JSON texts.
        parse: reads a JSON text, as the page's library will; raises `ValueError`.
    """
    if not isinstance(message, dict):
        return False
    args = message.get("args", [])
    texts = isinstance(args, list) and len(args) <= 16
    if not texts or not isinstance(message.get("id"), int):
        return False
    if not all(_is_short(message.get(name)) for name in ("client_id", "listener_id")):
        return False
    if not all(arg is None or isinstance(arg, str) for arg in args):
        return False
    try:
        return all(_is_small(parse(arg)) for arg in args if arg is not None)
    except (ValueError, RecursionError):
        return False


def is_handshake(message: object) -> bool:
    """True for a message, or a query, by which a page can connect."""
    if not isinstance(message, dict):
        return False
    names = ("client_id", "tab_id", "document_id")
    number = message.get("next_message_id", 0)
    good = isinstance(number, int) or (isinstance(number, str) and number.isdecimal())
    old = message.get("old_tab_id")
    return (
        all(_is_short(message.get(name)) for name in names)
        and (old is None or _is_short(old))
        and good
        and len(str(number)) < 12
    )


def is_receipt(message: object) -> bool:
    """True for a page's word on how much it has got."""
    if not isinstance(message, dict) or not _is_short(message.get("client_id")):
        return False
    number = message.get("next_message_id")
    return isinstance(number, int) and not isinstance(number, bool)


def _is_short(text: object) -> bool:
    return isinstance(text, str) and len(text) <= 64


def _is_small(value: object, depth: int = 3) -> bool:
    """True for finite numbers, short texts, and a few of them."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, int):
        return abs(value) < 1 << 53
    if isinstance(value, str):
        return len(value) <= 1000
    if isinstance(value, list | dict):
        inner: Iterable = value.values() if isinstance(value, dict) else value
        few = len(value) <= 64 and depth > 0
        return few and all(_is_small(v, depth - 1) for v in inner)
    return value is None


def finite_pair(value: object, most: float = 100.0) -> tuple[float, float] | None:
    """Returns two finite numbers of a message, clipped to [-most, most], or None."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    if not all(isinstance(v, int | float) and math.isfinite(v) for v in value):
        return None
    x, y = (min(max(float(v), -most), most) for v in value)
    return x, y
