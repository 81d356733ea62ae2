"""Guards the page: who may ask for it, for what, how often and how much at a time.

A page on this machine is reached by every web site that the user opens meanwhile. A
site can make the browser ask 127.0.0.1 directly, or by a name of its own that it has
led there (DNS rebinding). So `Guard` serves requests only under the names that the
user gave, from pages that came from here. It stands before the web framework: what it
refuses builds no page.

No web library and no TensorFlow in this module; `Guard` is an ASGI application.
"""

import asyncio
import contextlib
import ipaddress
import math
import socket
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stylegan_tf.errors import UserError

MOST_SOCKETS = 128  # open at a time
MOST_MESSAGE = 100_000  # bytes
MOST_BODY = 200_000  # bytes of a request
RATE, BURST = 100.0, 200.0  # messages per second of a socket; more have to wait
SOCKETS = "/_nicegui_ws/"
FILES = "/_nicegui/"

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Trust:
    """Names under which the page is served, and the pages that may use or show it.

    Args:
        host: address that the server listens on.
        hosts: further names, such as those of a tunnel. `*.x.org` is every name below
            x.org. Pages of these names may use the page, too.
        frames: origins, such as https://notebook.org, whose pages may show it in a
            frame; none by default.

    Raises:
        UserError: a name or an origin is none.
    """

    host: str = "127.0.0.1"
    hosts: tuple[str, ...] = ()
    frames: tuple[str, ...] = ()

    def __post_init__(self):
        for name in self.hosts:
            plain = name.removeprefix("*.")
            if not plain or any(c in plain for c in "*/:@ \t") and not _address(plain):
                raise UserError(
                    f"--trusted_hosts={name} is no name of a host; give names such as "
                    f"page.example.org, without scheme and port. `*.example.org` is "
                    f"every name below it."
                )
        for origin in self.frames:
            parts = urlsplit(origin)
            well = parts.scheme in ("http", "https") and parts.hostname
            if not well or origin != f"{parts.scheme}://{parts.netloc}":
                raise UserError(
                    f"--framed_by={origin} is no origin; give one such as "
                    f"https://notebook.example.org."
                )

    def is_own(self, host: str) -> bool:
        """True if the page is served under the value of a `Host` header."""
        name = _hostname(host)
        if name is None:
            return False
        address = _address(name)
        if name == "localhost" or (address and address.is_loopback):
            return True
        if name == self.host.lower() or self.is_named(name):
            return True
        here = _address(self.host)
        if here is None or not here.is_unspecified:
            return False
        # On all addresses: an address is safe, since a site's own name is never one.
        return address is not None or name == socket.gethostname().lower()

    def is_named(self, name: str) -> bool:
        """True for a name that the user listed."""
        return any(
            name.endswith(own[1:].lower()) if own[0] == "*" else name == own.lower()
            for own in self.hosts
        )

    def is_friend(self, origin: str, host: str) -> bool:
        """True if pages of an origin may use the page that was asked for at `host`."""
        parts = _split(origin)
        if parts is None or parts.scheme not in ("http", "https"):
            return False
        default = {"http": ":80", "https": ":443"}[parts.scheme]
        same = parts.netloc.lower().removesuffix(default)
        if same == host.lower().removesuffix(default):
            return True
        return self.is_named(parts.hostname or "")


def _split(url: str):
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return None
    return parts


def _hostname(host: str) -> str | None:
    parts = _split(f"//{host}")
    if parts is None or parts.netloc != host or "@" in host:
        return None
    return parts.hostname


def _address(name: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(name)
    except ValueError:
        return None


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
        self._sockets = 0
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
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = {name for name, _ in self._headers}
                kept = [h for h in message.get("headers", []) if h[0] not in given]
                message["headers"] = [*kept, *self._headers]
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None and scope["path"] == "/" and not self.admit():
            refusal = 503, "too many pages are open here; close some of them"
        if refusal is None:
            await self.app(scope, receive, secured)
            return
        code, text = refusal
        plain = (b"content-type", b"text/plain; charset=utf-8")
        length = (b"content-length", str(len(text) + 1).encode())
        start = {"type": "http.response.start", "status": code}
        await secured(start | {"headers": [plain, length]})
        await send({"type": "http.response.body", "body": f"{text}\n".encode()})

    def _refusal(self, scope: Message) -> tuple[int, str] | None:
        """Returns status and text for a request that is not served, else None."""
        headers = _Headers(scope)
        if reason := self._stranger(headers):
            return 403, reason
        path, method = scope["path"], scope["method"]
        known = path in ("/", "/favicon.ico") or path.startswith((FILES, SOCKETS))
        if not known:
            return 404, "there is nothing here"
        posts = path.startswith(SOCKETS)
        if method not in (("GET", "POST") if posts else ("GET",)):
            return 405, "this is only read"
        size = headers.one("content-length") or "0"
        if not size.isdecimal() or int(size) > MOST_BODY:
            return 413, "too much"
        if headers.one("transfer-encoding"):
            return 411, "say how much comes"
        return None

    def _stranger(self, headers: "_Headers") -> str | None:
        """Returns a reason why a request's sender is not served, or None."""
        host, origin = headers.one("host"), headers.one("origin")
        if host is None or not self.trust.is_own(host):
            return (
                "the page is not served under this name; if it is yours, start it with "
                "--trusted_hosts=NAME"
            )
        if origin is not None and not self.trust.is_friend(origin, host):
            return "pages of other sites may not use this one"
        site = headers.one("sec-fetch-site") or "none"
        if origin is None and site not in ("none", "same-origin"):
            kind = headers.one("sec-fetch-dest")
            link = headers.one("sec-fetch-mode") == "navigate" and kind == "document"
            if not link and not (self.trust.frames and kind in ("iframe", "frame")):
                return "pages of other sites may not use this one"
        return None

    # -----------------------------------------------------------------------

    async def _socket(self, scope: Message, receive: Receive, send: Send) -> None:
        headers = _Headers(scope)
        known = scope["path"].startswith(SOCKETS)
        if not known or self._stranger(headers) or self._sockets >= MOST_SOCKETS:
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


class _Headers:
    """The headers of a request; one that is given twice counts as a wrong one."""

    def __init__(self, scope: Message):
        self._values: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            twice = key in self._values and key in ("host", "origin")
            self._values[key] = "\0" if twice else value.decode("latin-1").strip()

    def one(self, name: str) -> str | None:
        return self._values.get(name)


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
