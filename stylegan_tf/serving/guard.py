"""Stands before the web framework: lets in whom `trust` lets in, and counts answers."""

import time
from collections.abc import Collection

from stylegan_tf.serving.app import problem
from stylegan_tf.serving.metrics import ServingMetrics
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

# Of every answer. The page of `/docs` has its own style and script inside.
SECURITY = [
    (
        b"content-security-policy",
        b"default-src 'self'; script-src 'self' 'unsafe-inline'; "
        b"style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        b"object-src 'none'; base-uri 'none'; frame-ancestors 'none'",
    ),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
]


class ServingGuard:
    """An ASGI application that stands before the one that answers.

    Args:
        app: answers what is let in.
        trust: who is let in.
        metrics: counts answers.
        paths: those that are counted by their names.
    """

    def __init__(
        self, app: App, trust: Trust, metrics: ServingMetrics, paths: Collection[str]
    ):
        self.app, self.trust, self.metrics = app, trust, metrics
        self.paths = frozenset(paths)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answers a request; sockets are closed."""
        if scope["type"] == "http":
            await self._request(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()  # the request to connect
            await send({"type": "websocket.close", "code": 1008})
        else:
            await self.app(scope, receive, send)

    async def _request(self, scope: Message, receive: Receive, send: Send) -> None:
        headers, start = Headers(scope), time.perf_counter()
        path = scope["path"] if scope["path"] in self.paths else "other"

        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self.metrics.requests.labels(path, str(message["status"])).inc()
                seconds = time.perf_counter() - start
                self.metrics.latency.labels(path).observe(seconds)
            await send(message)

        origin = headers.one("origin")
        shared = SECURITY if origin is None else [*SECURITY, *_shared_with(origin)]
        secured = with_headers(counted, shared)
        if refusal := self.trust.refusal(headers):
            status, reason = refusal
            answer = problem(status, f"{reason}.")
            await answer(scope, receive, with_headers(counted, SECURITY))
        elif scope["method"] == "OPTIONS" and origin is not None:  # may the page ask?
            await send_text(secured, 200, "GET, POST")
        else:
            await self.app(scope, receive, secured)


def _shared_with(origin: str) -> list[tuple[bytes, bytes]]:
    """Returns the headers by which a page of a trusted site reads answers (CORS)."""
    return [
        (b"access-control-allow-origin", origin.encode("latin-1")),
        (b"access-control-allow-methods", b"GET, POST"),
        (b"access-control-allow-headers", b"content-type"),
        (b"vary", b"origin"),
    ]
