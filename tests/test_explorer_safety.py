"""The page before strangers: names, origins, sizes, and messages of no page."""

import asyncio
import contextlib
import json
import math
import random
import re
import urllib.error
import urllib.request
from dataclasses import replace
from types import SimpleNamespace

import explored
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from stylegan_tf.errors import UserError
from stylegan_tf.explorer import guard
from stylegan_tf.explorer.guard import Guard
from stylegan_tf.explorer.server import MOST_PAGES
from stylegan_tf.explorer.state import FAR, MOST_PLANES, ImageState
from stylegan_tf.trust import Trust

HERE = "127.0.0.1:8080"


def scope(path: str = "/", kind: str = "http", method: str = "GET", **headers) -> dict:
    """A request as an ASGI server passes it on; `host` is this machine's."""
    named = {"host": HERE} | {k.replace("_", "-"): v for k, v in headers.items()}
    pairs = [(k.encode(), v.encode()) for k, v in named.items() if v is not None]
    return {"type": kind, "path": path, "method": method, "headers": pairs}


class App:
    """An application that counts what reaches it."""

    def __init__(self):
        self.paths = []

    async def __call__(self, scope, receive, send):
        self.paths.append(scope["path"])
        if scope["type"] == "http":
            own = [(b"content-type", b"text/html"), (b"x-frame-options", b"ALLOW")]
            await send({"type": "http.response.start", "status": 200, "headers": own})
            await send({"type": "http.response.body", "body": b"page"})
        else:
            while (await receive())["type"] != "websocket.disconnect":
                pass


def answer(found: dict, trust: Trust | None = None, **options) -> tuple[int, dict]:
    """Status and headers of the guard's answer; 403 for a socket that is refused."""
    sent, app = [], App()

    async def receive():
        return {"type": "websocket.disconnect"}

    async def send(message):
        sent.append(message)

    asyncio.run(Guard(app, trust or Trust(), **options)(found, receive, send))
    if found["type"] == "websocket":
        return (200 if app.paths else 403), {}
    assert (sent[0]["status"] == 200) == bool(app.paths)
    return sent[0]["status"], dict(sent[0]["headers"])


# ---------------------------------------------------------------------------
# Names and origins


@pytest.mark.parametrize(
    "host", [HERE, "localhost:9000", "LOCALHOST", "127.0.0.2", "[::1]:8080"]
)
def test_this_machines_names_are_served(host):
    assert answer(scope(host=host))[0] == 200
    assert answer(scope("/_nicegui_ws/socket.io/", "websocket", host=host))[0] == 200


STRANGE = [
    "evil.example",
    "evil.example:8080",
    "127.0.0.1.evil.example",
    "localhost.evil.example",
    "192.168.1.5:8080",
    "127.0.0.1@evil.example",
    "evil.example#127.0.0.1",
    "127.0.0.1:80:80",
    "",
    None,
]


@pytest.mark.parametrize("host", STRANGE)
def test_other_names_are_refused(host):
    """A site that lets its name point here (DNS rebinding) is served under it."""
    assert answer(scope(host=host))[0] == 403
    assert answer(scope("/_nicegui_ws/socket.io/", "websocket", host=host))[0] == 403


def test_two_hosts_are_none():
    found = scope()
    found["headers"].append((b"host", b"evil.example"))
    assert answer(found)[0] == 403


def test_listed_names_and_addresses_are_served():
    trust = Trust(hosts=("page.example.org", "*.tunnel.example"))
    for host in ("page.example.org", "x.tunnel.example:443", HERE):
        assert answer(scope(host=host), trust)[0] == 200
    for host in ("example.org", "tunnel.example", "xtunnel.example"):
        assert answer(scope(host=host), trust)[0] == 403
    everywhere, one = Trust("0.0.0.0"), Trust("192.168.1.5")
    assert answer(scope(host="192.168.1.5:8080"), everywhere)[0] == 200
    assert answer(scope(host="evil.example"), everywhere)[0] == 403
    assert answer(scope(host="192.168.1.5"), one)[0] == 200
    assert answer(scope(host="192.168.1.6"), one)[0] == 403


@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        (f"http://{HERE}", 200),
        ("http://127.0.0.1", 403),
        ("http://127.0.0.1:8888", 403),  # another program of this machine
        ("https://evil.example", 403),
        ("http://evil.example:8080", 403),
        ("null", 403),
        (f"file://{HERE}", 403),
        ("http://[", 403),
        ("https://page.example.org", 200),
        ("https://x.tunnel.example", 200),
    ],
)
def test_only_its_own_pages_and_listed_ones_use_it(origin, expected):
    trust = Trust(hosts=("page.example.org", "*.tunnel.example"))
    path = "/_nicegui_ws/socket.io/"
    assert answer(scope(path, "websocket", origin=origin), trust)[0] == expected
    for method in ("GET", "POST"):
        assert answer(scope(path, method=method, origin=origin), trust)[0] == expected


def test_a_link_opens_the_page_and_an_image_of_another_site_does_not():
    link = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    assert answer(scope(**link, sec_fetch_dest="document"))[0] == 200
    assert answer(scope(**link, sec_fetch_dest="iframe"))[0] == 403
    image = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "no-cors"}
    assert answer(scope(**image, sec_fetch_dest="image"))[0] == 403
    assert answer(scope(sec_fetch_site="same-origin"))[0] == 200


def test_frames_are_refused_unless_a_site_is_named():
    _, headers = answer(scope())
    assert headers[b"x-frame-options"] == b"DENY"
    assert b"frame-ancestors 'none'" in headers[b"content-security-policy"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    _, headers = answer(scope(host="evil.example"))
    assert headers[b"x-frame-options"] == b"DENY"
    trust = Trust(frames=("https://notebook.example",))
    frame = {"sec_fetch_site": "cross-site", "sec_fetch_mode": "navigate"}
    code, headers = answer(scope(**frame, sec_fetch_dest="iframe"), trust)
    assert code == 200 and headers[b"x-frame-options"] == b"ALLOW"  # the application's
    policy = headers[b"content-security-policy"]
    assert b"frame-ancestors https://notebook.example" in policy


@pytest.mark.parametrize("name", ["*", "*.", "https://x.org", "x.org:80", "a/b", ""])
def test_a_name_that_is_none_is_said(name):
    with pytest.raises(UserError, match="--trusted_hosts="):
        Trust(hosts=(name,))
    with pytest.raises(UserError, match="--framed_by="):
        Trust(frames=(f"{name}/x",))


# ---------------------------------------------------------------------------
# What is asked for, and how much


@pytest.mark.parametrize(
    ("path", "method", "expected"),
    [
        ("/", "GET", 200),
        ("/favicon.ico", "GET", 200),
        ("/_nicegui/3/static/nicegui.js", "GET", 200),
        ("/nothing", "GET", 404),
        ("/index.html", "GET", 404),
        ("//", "GET", 404),
        ("/docs", "GET", 404),
        ("/_niceguix", "GET", 404),
        ("/", "POST", 405),
        ("/", "HEAD", 405),
        ("/_nicegui/x", "PUT", 405),
        ("/_nicegui_ws/socket.io/", "DELETE", 405),
    ],
)
def test_unknown_urls_build_no_page(path, method, expected):
    assert answer(scope(path, method=method))[0] == expected


def test_sizes_are_bounded():
    path = "/_nicegui_ws/socket.io/"
    for size, code in (("10", 200), ("999999999", 413), ("-1", 413), ("1e9", 413)):
        assert answer(scope(path, method="POST", content_length=size))[0] == code
    assert answer(scope(path, method="POST", transfer_encoding="chunked"))[0] == 411


def test_a_picture_may_be_sent_to_its_field_alone():
    path = "/_nicegui/client/0f3a-11/upload/42"
    own = {"origin": f"http://{HERE}", "content_length": "19000000"}
    assert answer(scope(path, method="POST", **own))[0] == 200
    assert answer(scope(path, method="POST", content_length="20000001"))[0] == 413
    strange = own | {"origin": "https://evil.example"}
    assert answer(scope(path, method="POST", **strange))[0] == 403
    assert answer(scope(path, method="POST", transfer_encoding="chunked"))[0] == 411
    for other in ("/_nicegui/client/a/upload/", "/_nicegui/client/../upload/1"):
        assert answer(scope(other, method="POST", **own))[0] == 405


def test_pictures_that_come_at_once_are_counted():
    codes, gate = [], asyncio.Event()

    async def slow(scope, receive, send):
        await gate.wait()
        await App()(scope, receive, send)

    async def send(message):
        if message["type"] == "http.response.start":
            codes.append(message["status"])

    async def receive():
        return {"type": "http.disconnect"}

    async def all_of_it():
        guarded = Guard(slow, Trust())
        found = scope("/_nicegui/client/a/upload/1", method="POST")
        tasks = [asyncio.ensure_future(guarded(found, receive, send)) for _ in range(6)]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        await guarded(found, receive, send)

    asyncio.run(all_of_it())
    assert codes == [503, 503, 200, 200, 200, 200, 200]


def test_no_more_pages_than_admitted_are_built():
    assert answer(scope(), admit=lambda: False)[0] == 503
    assert answer(scope("/favicon.ico"), admit=lambda: False)[0] == 200


def test_a_sockets_messages_wait_if_they_are_many_and_large_ones_end_it():
    waits, now = [], [0.0]

    async def wait(seconds):
        waits.append(seconds)
        now[0] += seconds

    async def flood(n, size):
        messages = iter([{"type": "websocket.receive", "text": "x" * size}] * n)

        async def receive():
            return next(messages)

        strict = Guard(App(), Trust(), clock=lambda: now[0], wait=wait)
        paced = strict._paced(receive)
        return [(await paced())["type"] for _ in range(n)]

    assert set(asyncio.run(flood(500, 10))) == {"websocket.receive"}
    assert sum(waits) == pytest.approx((500 - guard.BURST) / guard.RATE, rel=0.05)
    assert asyncio.run(flood(1, guard.MOST_MESSAGE + 1)) == ["websocket.disconnect"]


def test_sockets_are_counted(monkeypatch):
    monkeypatch.setattr(guard, "MOST_SOCKETS", 2)
    path, sent = "/_nicegui_ws/socket.io/", []

    async def many():
        gate, free = asyncio.Event(), Guard(App(), Trust())

        async def receive():
            await gate.wait()
            return {"type": "websocket.disconnect"}

        async def send(message):
            sent.append(message)

        tasks = [
            asyncio.create_task(free(scope(path, "websocket"), receive, send))
            for _ in range(3)
        ]
        await asyncio.sleep(0)
        gate.set()
        await asyncio.gather(*tasks)
        assert free._sockets == 0

    asyncio.run(many())
    assert sent == [{"type": "websocket.close", "code": 1008}]


def test_a_frame_that_cannot_be_read_ends_its_socket_alone():
    sent = []

    async def fails(scope, receive, send):
        raise ValueError("invalid literal for int()")

    async def send(message):
        sent.append(message)

    free = Guard(fails, Trust())
    asyncio.run(free(scope("/_nicegui_ws/socket.io/", "websocket"), None, send))
    assert sent == [{"type": "websocket.close", "code": 1003}] and free._sockets == 0


# ---------------------------------------------------------------------------
# Messages


GOOD = {"client_id": "c", "id": 3, "listener_id": "l", "args": ["1", None, '"a"']}
BAD = [
    None,
    [],
    "text",
    {},
    GOOD | {"client_id": 3},
    GOOD | {"client_id": "c" * 65},
    GOOD | {"id": "3"},
    GOOD | {"listener_id": None},
    GOOD | {"args": "1"},
    GOOD | {"args": [1]},
    GOOD | {"args": ["{"]},
    GOOD | {"args": ["NaN"]},
    GOOD | {"args": ["1e999"]},
    GOOD | {"args": [str(10**30)]},
    GOOD | {"args": ["1"] * 17},
    GOOD | {"args": ['"' + "x" * 2000 + '"']},
    GOOD | {"args": ["[" * 5000 + "]" * 5000]},
    GOOD | {"args": [json.dumps([0] * 100)]},
]


def test_events_are_told_from_what_no_control_sends():
    assert guard.is_event(GOOD, json.loads)
    assert guard.is_event({k: v for k, v in GOOD.items() if k != "args"}, json.loads)
    for message in BAD:
        assert not guard.is_event(message, json.loads), message


def test_handshakes_and_receipts():
    good = {"client_id": "c", "tab_id": "t", "document_id": "d"}
    assert guard.is_handshake(good | {"next_message_id": "12", "old_tab_id": None})
    for wrong in (None, {}, good | {"tab_id": 3}, good | {"next_message_id": "-1"}):
        assert not guard.is_handshake(wrong)
    assert guard.is_receipt({"client_id": "c", "next_message_id": 3})
    for number in (None, "3", 1.5, True):
        assert not guard.is_receipt({"client_id": "c", "next_message_id": number})


def test_pairs_of_the_pointer():
    assert guard.finite_pair([0.5, -1]) == (0.5, -1.0)
    assert guard.finite_pair([1e30, -1e30]) == (100.0, -100.0)
    for wrong in (None, [], [1], [1, 2, 3], ["1", 2], [math.nan, 1], {"a": 1}, "ab"):
        assert guard.finite_pair(wrong) is None


def test_states_stay_finite_and_small():
    state = ImageState()
    for wrong in ({"psi": math.nan}, {"walk": ((1, math.inf, 0.0),)}, {"noise": "x"}):
        with pytest.raises(UserError):
            replace(state, **wrong)
    for plane in range(2 * MOST_PLANES):
        state = state.walked(plane, 1e9, -1e9)
    assert len(state.walk) == MOST_PLANES
    assert state.walk[-1][1:] == (FAR, -FAR)


def test_a_traceback_is_shown_once():
    from stylegan_tf.explorer.server import OnceEach

    once = OnceEach()
    for expected in (True, False):
        try:
            raise ValueError("the same place")
        except ValueError as error:
            info = (ValueError, error, error.__traceback__)
            assert once.filter(SimpleNamespace(exc_info=info)) == expected
    assert once.filter(SimpleNamespace(exc_info=None))


# ---------------------------------------------------------------------------
# The page itself, in a process of its own


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = explored.Server(tmp_path_factory.mktemp("server"))
    yield server
    assert server.stop() == 0
    assert "Traceback" not in server.log.read_text()


def get(server, path: str = "/", **headers) -> tuple[int, str]:
    url = f"http://{server.host}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, None, headers)) as got:
            return got.status, got.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class Socket:
    """A page without a browser: its HTML, and a socket that has said hello."""

    def __init__(self, server, number: int = 0):
        code, text = get(server)
        assert code == 200
        found = re.search(r"'client_id': '([0-9a-f-]{36})'", text)
        assert found
        self.client, self.text = found[1], text
        ids = f"client_id={self.client}&tab_id=t{number}&document_id=d{number}"
        url = f"ws://{server.host}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
        ids += "&next_message_id=0&implicit_handshake=true"
        self.line = connect(f"{url}&{ids}", max_size=None, close_timeout=1)
        assert self.line.recv().startswith("0{")
        self.line.send("40")

    def send(self, text: str) -> None:
        self.line.send(text)

    def event(self, **message) -> None:
        self.send("42" + json.dumps(["event", {"client_id": self.client} | message]))

    def control(self, label: str) -> dict:
        """Number and listener of the value of a control with a label."""
        elements = json.loads(
            re.search(r"String.raw`(.*?)`", self.text, re.S)[1]
            .replace("&lt;", "<")
            .replace("&gt;", ">")
            .replace("&#96;", "`")
            .replace("&#36;", "$")
            .replace("&amp;", "&")
        )
        for number, element in elements.items():
            if element.get("props", {}).get("aria-label") == label:
                for event in element["events"]:
                    if event["type"].startswith("update:"):
                        return {"id": int(number), "listener_id": event["listener_id"]}
        raise AssertionError(label)

    def command_after(self, value: float) -> None:
        """Moves the slider of psi, and waits for the command line that shows it."""
        self.event(**self.control("psi"), args=[json.dumps(value)])
        while f"--psi={value:g}" not in str(self.line.recv(explored.PATIENCE)):
            pass


def test_strangers_get_no_page_and_no_socket(server):
    assert get(server)[0] == 200
    for host in ("evil.example", "evil.example:80"):
        assert get(server, Host=host)[0] == 403
    for path in ("/x", "/_nicegui/x", "/_nicegui_ws/x", "/_nicegui/auto/static/x"):
        code, text = get(server, path)
        assert code == 404 and "<html" not in text, path
    url = f"ws://{server.host}/_nicegui_ws/socket.io/?EIO=4&transport=websocket"
    with pytest.raises(InvalidStatus, match="403"):
        connect(url, origin="https://evil.example")
    with connect(url, origin=f"http://{server.host}") as line:
        assert line.recv().startswith("0{")


def noise(rng: random.Random, page: Socket) -> str:
    """A frame that no page sends."""
    value = rng.choice(
        ["NaN", "1e999", '"x"', "[]", "{}", "null", "-5", "true", "1" * 400, "[[[1]]]"]
    )
    control = page.control(rng.choice(["psi", "seed", "class", "noise at 16×16"]))
    event = {"client_id": page.client} | control | {"args": [value]}
    wrong = rng.choice([None, 3, "x", [], {}, {"client_id": page.client}])
    frames = [
        "42" + json.dumps(["event", event]),
        "42" + json.dumps(["event", event | {"id": rng.choice([-1, 10**6, "x"])}]),
        "42" + json.dumps(["event", event | {"listener_id": "none"}]),
        "42" + json.dumps(["event", event | {"args": [value] * 3}]),
        "42" + json.dumps([rng.choice(["event", "ack", "handshake", "log"]), wrong]),
        "42" + json.dumps(rng.choice([{}, [], ["event"], ["event", 1, 2], [None]])),
        "42" + rng.choice(["", "[", '["event"', "[" * 900, "\x00"]),
        rng.choice(["5", "6", "43[]", "3", "451-[", "41/x", "zzz", "42/a,[]"]),
    ]
    return rng.choice(frames)


def test_a_page_goes_on_after_messages_of_no_page(server):
    rng, page = random.Random(0), Socket(server)
    for _ in range(400):
        with contextlib.suppress(ConnectionClosed):
            page.send(noise(rng, page))
    page = Socket(server, 1)
    for value in ("NaN", '"x"', "1e999", "[]", "99", "true"):
        page.event(**page.control("psi"), args=[value])
    page.command_after(0.5)
    with pytest.raises(ConnectionClosed):
        page.send("42" + json.dumps(["event", "x" * 2 * guard.MOST_MESSAGE]))
        for _ in range(1000):
            page.line.recv(explored.PATIENCE)
    assert get(server)[0] == 200


def test_twenty_tabs_are_served_and_a_flood_of_pages_is_not(server):
    tabs = [Socket(server, number) for number in range(2, 22)]
    for tab in tabs:
        for step in range(5):
            tab.event(**tab.control("psi"), args=[json.dumps(step / 10)])
    for number, tab in enumerate(tabs):
        tab.command_after(round(0.55 + number / 100, 2))
    codes = [get(server)[0] for _ in range(MOST_PAGES)]  # nobody looks at these
    assert codes == [200] * MOST_PAGES
    tabs[0].command_after(1.25)
    for tab in tabs:
        tab.line.close()
