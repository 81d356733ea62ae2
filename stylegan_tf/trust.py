"""Decides whom a server on this machine answers: names, origins, sizes, and its port.

Such a server is reached by every web site that the user opens meanwhile. A site can
make the browser ask 127.0.0.1 directly, or by a name of its own that it has led there
(DNS rebinding). So the explorer and `serve` answer only under the names that the user
gave, and only to pages that came from there.

No web library and no TensorFlow in this module.
"""

import ipaddress
import socket
from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from stylegan_tf.errors import UserError

MOST_BODY = 200_000  # bytes of a request

# An ASGI application and what it is called with.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


@dataclass(frozen=True)
class Trust:
    """Names that a server answers under, and the pages that may use or show its own.

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
        """True if the value of a `Host` header is a name of the server."""
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

    def refusal(
        self, headers: "Headers", most: int = MOST_BODY
    ) -> tuple[int, str] | None:
        """Returns status and text for a request that is not served, else None.

        Args:
            headers: of the request.
            most: bytes of its body.
        """
        if reason := self.stranger(headers):
            return 403, reason
        size = headers.one("content-length") or "0"
        if not size.isdecimal() or int(size) > most:
            return 413, f"the request has a body of more than {most:,} bytes"
        if headers.one("transfer-encoding"):
            return 411, "the request does not say its length; send Content-Length"
        return None

    def stranger(self, headers: "Headers") -> str | None:
        """Returns a reason why a request's sender is not served, or None."""
        host, origin = headers.one("host"), headers.one("origin")
        if host is None or not self.is_own(host):
            return (
                "nothing is served under this name; if it is yours, start the server "
                "with --trusted_hosts=NAME"
            )
        if origin is not None and not self.is_friend(origin, host):
            return "pages of other sites may not use this one"
        site = headers.one("sec-fetch-site") or "none"
        if origin is None and site not in ("none", "same-origin"):
            kind = headers.one("sec-fetch-dest")
            link = headers.one("sec-fetch-mode") == "navigate" and kind == "document"
            if not link and not (self.frames and kind in ("iframe", "frame")):
                return "pages of other sites may not use this one"
        return None


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


class Headers:
    """The headers of a request; one that is given twice counts as a wrong one.

    Args:
        scope: the request, as an ASGI server passes it on.
    """

    def __init__(self, scope: Message):
        self._values: dict[str, str] = {}
        for name, value in scope["headers"]:
            key = name.decode("latin-1").lower()
            twice = key in self._values and key in ("host", "origin")
            self._values[key] = "\0" if twice else value.decode("latin-1").strip()

    def one(self, name: str) -> str | None:
        """Returns the value of a header, by its name in small letters, or None."""
        return self._values.get(name)


def with_headers(send: Send, headers: Sequence[tuple[bytes, bytes]]) -> Send:
    """Returns a `send` that puts headers on every answer, in place of its own."""
    given = {name for name, _ in headers}

    async def secured(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [h for h in message.get("headers", []) if h[0] not in given]
            message["headers"] = [*kept, *headers]
        await send(message)

    return secured


async def send_text(send: Send, status: int, text: str) -> None:
    """Answers a request with a line of text."""
    body = f"{text}\n".encode()
    plain = (b"content-type", b"text/plain; charset=utf-8")
    length = (b"content-length", str(len(body)).encode())
    start = {"type": "http.response.start", "status": status}
    await send(start | {"headers": [plain, length]})
    await send({"type": "http.response.body", "body": body})


def bound_socket(host: str, port: int, another: int) -> socket.socket:
    """Returns a socket that is bound to an address, and does not listen yet.

    Args:
        host: address to listen on.
        port: of that address; 0 = any that is free.
        another: a port that the error proposes.

    Raises:
        UserError: the port cannot be had.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        own = socket.socket(family, socket.SOCK_STREAM)
        try:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.bind((host, port))
        except BaseException:
            own.close()
            raise
    except (OSError, OverflowError) as error:
        raise UserError(
            f"cannot listen on {host}:{port}: {getattr(error, 'strerror', error)}; "
            f"choose another with --port={another}."
        ) from error
    return own
