"""serving: requests, their queue and batches, and the web server in this process."""

import base64
import concurrent.futures
import contextlib
import http.client
import io
import json
import socket
import threading
import time
import urllib.error
import urllib.request

import explored
import numpy as np
import pytest
import tiny
from launching import call
from PIL import Image
from workers import http_load

from stylegan_tf import latents, models, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.export import examples
from stylegan_tf.figures.facts import KEY
from stylegan_tf.latents import directions
from stylegan_tf.networks.stylegan3 import rotation_and_shift
from stylegan_tf.sampling import steering
from stylegan_tf.serving import drawing, requests, server
from stylegan_tf.serving.queue import ImageQueue, QueueFullError, WaitingImage
from stylegan_tf.serving.requests import ModelFacts, flag_texts, read_request
from stylegan_tf.serving.service import Service
from stylegan_tf.trust import Trust

PATIENCE = 20


def until(condition) -> None:
    """Waits."""
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def lowered(headers) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


class Served:
    """A server of a tiny model, in threads of this process.

    Attributes:
        gate: while it is cleared, nothing is drawn.
        busy: set when images are taken to be drawn.
        loaded: the model is loading until it is set.
    """

    def __init__(self, drawer: drawing.BatchDrawer, **options):
        self.port, self.service = http_load.free_port(), Service(**options)
        self.gate, self.loaded = threading.Event(), threading.Event()
        self.gate.set()
        self.busy = threading.Event()
        self.fault: Exception | None = None
        draw = drawer.draw_batch

        def gated(images):
            self.busy.set()
            assert self.gate.wait(PATIENCE)
            if self.fault:
                raise self.fault
            return draw(images)

        def load():
            assert self.loaded.wait(PATIENCE)
            return drawer

        drawer.draw_batch = gated
        trust = Trust(hosts=("app.example",))
        run = (load, self.service, "127.0.0.1", self.port, trust)
        self.thread = threading.Thread(target=server.run_server, args=run, daemon=True)
        self.thread.start()
        until(self._listens)

    def _listens(self) -> bool:
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port)).close()
            return True
        return False

    def get(self, path: str, body=None, **headers) -> tuple[int, bytes, dict]:
        """Status, body and headers; `body` is posted, as JSON unless it is bytes."""
        url, data = f"http://127.0.0.1:{self.port}{path}", body
        if body is not None and not isinstance(body, bytes):
            data = json.dumps(body).encode()
        if data is not None:
            headers = {"Content-Type": "application/json"} | headers
        try:
            with urllib.request.urlopen(
                urllib.request.Request(url, data, headers), timeout=PATIENCE
            ) as got:
                return got.status, got.read(), lowered(got.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), lowered(error.headers)

    def said(self, path: str, body=None, **headers) -> tuple[int, str]:
        """Status and sentence of an error."""
        status, text, _ = self.get(path, body, **headers)
        assert b"Traceback" not in text
        return status, json.loads(text)["detail"]

    def hold(self) -> None:
        """Lets the next image wait for the gate."""
        self.gate.clear()
        self.busy.clear()

    def ready(self) -> "Served":
        self.loaded.set()
        until(lambda: self.get("/healthz")[0] == 200)
        return self

    def stop(self) -> None:
        self.gate.set()
        self.loaded.set()
        self.service.stopping = True
        self.thread.join(PATIENCE)
        assert not self.thread.is_alive()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A conditional model of 16 x 16 pixels, and named directions."""
    folder = tmp_path_factory.mktemp("serving")
    explored.saved(folder)
    vectors = np.eye(2, 8, dtype=np.float32)
    ones, names = np.ones(2, np.float32), ("smile", "age")
    known = directions.Directions(names, vectors, ones, ones, "test")
    known.save(folder / "d.npz")
    return folder


@pytest.fixture(scope="module")
def model(folder):
    return models.load(folder / "generator.keras")


@pytest.fixture(scope="module")
def served(folder, model):
    drawer = drawing.BatchDrawer(
        model, str(folder / "generator.keras"), folder / "d.npz"
    )
    served = Served(drawer)
    wait = served.get("/v1/images")
    assert wait[0] == 503 and wait[2]["retry-after"]
    assert served.get("/healthz")[:2] == (503, b'{"status":"loading"}')
    assert served.get("/v1/model")[0] == 503
    yield served.ready()
    served.stop()


def pixels(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)))


def recipe(file) -> dict:
    return json.loads(Image.open(file).info[KEY])["flags"]


# ---------------------------------------------------------------------------
# The same pictures as generate.py's


OPTIONS = [
    {},
    {"psi": "0.5,1", "cutoff": 4, "noise": "random"},
    {"psi_center": "global", "noise": "none", "classes": "2,1", "mix": ["9@coarse"]},
    {"edit": ["sefa1:1.5", "smile:2@0-3"], "mix": ["7@0", "8@4-5"], "psi": "0.3"},
    {"label": ["0.2,0.3,0.5", "1.0,0.0,0.0"], "psi": "0.4"},
]


def as_generate_draws(model, find, seed: int, number: int, options: dict):
    """Styles of one seed, by the functions behind generate.py."""
    classes = latents.parse_numbers(options.get("classes", "0-2"))
    psi = latents.parse_psi(options.get("psi", "0.7"), 6)
    how = psi, options.get("cutoff"), options.get("psi_center")
    mixes = [latents.parse_mix(text, 6) for text in options.get("mix", ())]
    edits = [latents.parse_edit(text, 6) for text in options.get("edit", ())]
    steer = steering.Steering(model, mixes, edits, find, *how)
    rows = [[float(x) for x in t.split(",")] for t in options.get("label", ())]
    with sampling.labels_given(model, rows) if rows else contextlib.nullcontext():
        own = [number % 2] if rows else [classes[number % len(classes)]]
        return sampling.styles(model, [seed], how[0], how[1], own, how[2], steer)


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options))
def test_a_picture_is_that_of_generate(served, model, folder, options):
    """In requests that share batches, where a place may round a pixel differently."""
    seeds, known = range(3, 12), directions.load_directions(folder / "d.npz", 6, 8)
    find = steering.DirectionFinder(model, known)
    render = sampling.Renderer(model, options.get("noise", "const"))
    expected = []
    for number, seed in enumerate(seeds):
        ws = as_generate_draws(model, find, seed, number, options)
        maps = render.noise_of([seed]) if options.get("noise") == "random" else None
        expected.append(render(ws, maps)[0])
    body = {"seeds": "3-11"} | options
    with concurrent.futures.ThreadPoolExecutor() as pool:
        answers = list(pool.map(lambda _: served.get("/v1/images", body), range(3)))
    for status, text, _ in answers:
        assert status == 200, text
        rows = json.loads(text)["images"]
        assert [row["seed"] for row in rows] == list(seeds)
        for row, image in zip(rows, expected, strict=True):
            found = pixels(base64.b64decode(row["png"])).astype(int)
            np.testing.assert_allclose(found, image, atol=1)
            assert np.mean(found != image) < 0.01


def test_a_served_picture_is_drawn_again_by_generate(served, tmp_path):
    """To the bit: it was alone in its batch."""
    status, file, headers = served.get(
        "/v1/images?seeds=5&psi=0.6&edit=age:1&mix=3@fine&classes=1&cutoff=4&enlarge=2"
    )
    assert status == 200 and headers["content-type"] == "image/png"
    assert "seed0005.png" in headers["content-disposition"]
    (tmp_path / "a.png").write_bytes(file)
    flags = (f"--from={tmp_path / 'a.png'}", f"--out={tmp_path / 'again'}")
    code, _, error = call("generate", *flags)
    assert code == 0, error
    (again,) = (tmp_path / "again").glob("*.png")
    np.testing.assert_array_equal(pixels(again.read_bytes()), pixels(file))
    assert recipe(again) == recipe(tmp_path / "a.png")
    assert Image.open(again).info["Seed"] == "5"


def test_the_example_of_a_model_card_runs(served):
    label = {"classes": 3, "label_example": None}
    (code,) = examples.rest_example(label).split("```python")[1:]
    space = {}
    exec(code.split("```")[0].replace(":8000", f":{served.port}"), space)
    expected = served.get("/v1/images?seeds=7&classes=0")[1]
    np.testing.assert_array_equal(np.asarray(space["picture"]), pixels(expected))


def test_formats(served):
    png = served.get("/v1/images?seeds=2&enlarge=8")[1]
    status, file, headers = served.get("/v1/images?seeds=2&format=jpeg&enlarge=8")
    assert status == 200 and headers["content-type"] == "image/jpeg"
    assert Image.open(io.BytesIO(file)).format == "JPEG"
    off = np.abs(pixels(file).astype(int) - pixels(png)[..., :3])
    assert pixels(file).shape == (128, 128, 3) and off.mean() < 3
    values = json.loads(served.get("/v1/images?seeds=2&format=json")[1])
    assert (values["height"], values["width"], values["channels"]) == (16, 16, 3)
    assert values["images"][0]["class"] == 0
    assert values["model"].endswith("generator.keras")


def test_other_batch_sizes_round_alike_up_to_one(model):
    """Batches that are not full are padded; a size is the smallest that suffices."""
    drawer = drawing.BatchDrawer(model, "m", sizes=[4, 1])
    assert drawer.sizes == (1, 4)
    asked = read_request({"seeds": "0-3"}, drawer.facts, 8)
    expected = dict(sampling.draw(model, range(4), 0.7))
    for count in (1, 3):
        images = [WaitingImage(asked, k) for k in range(count)]
        for image, found in zip(images, drawer.draw_batch(images), strict=True):
            np.testing.assert_allclose(found.astype(int), expected[image.seed], atol=1)


def test_pictures_of_stylegan3_are_moved_as_by_generate():
    model = explored.shifting()
    drawer = drawing.BatchDrawer(model, "m", sizes=[2])
    places = [("0.25,-0.1", "30"), ("0,0.5", None), (None, "-90")]
    flags = [flag_texts({"translate": at, "rotate": turn}) for at, turn in places]
    asked = [read_request({"seeds": "3"} | f, drawer.facts, 8) for f in flags]
    waiting = [WaitingImage(request, 0) for request in asked]
    found = drawer.draw_batch(waiting[:2]) + drawer.draw_batch(waiting[2:])
    for f, request, image in zip(flags, asked, found, strict=True):
        moves = latents.parse_moves(f.get("translate"), f.get("rotate"))
        [(x, y, degrees)] = moves.tolist()
        transform = rotation_and_shift(degrees, x, y)
        [(_, expected)] = sampling.draw(model, [3], 0.7, transform=transform)
        np.testing.assert_allclose(image.astype(int), expected, atol=1)
        assert f.items() <= request.recipe(0, drawer.facts).items()
    assert np.abs(found[0].astype(int) - found[1]).max() > 10
    plain = WaitingImage(read_request({"seeds": "3"}, drawer.facts, 8), 0)
    assert plain.kind != waiting[0].kind == waiting[2].kind


# ---------------------------------------------------------------------------
# Requests that are wrong


WRONG = [
    ("seeds=x", 400, "seeds 'x'"),
    ("seeds=", 400, "neither a number nor a range"),
    ("seeds=-1", 400, "neither a number"),
    ("seeds=0-64", 400, "65 seeds were given; an answer has 64 at most"),
    ("seeds=0-999999999", 400, "too many"),
    ("seeds=4294967296", 400, "above 4294967295"),
    ("seeds=1&seeds=2", 400, "seeds is given 2 times"),
    ("seeds=0-1&format=png", 400, "ask for format=json"),
    ("seed=1", 422, "there is no parameter 'seed'; there are seeds, psi"),
    ("psi=nan", 400, "no number to truncate by"),
    ("psi=1,1,1,1,1,1,1", 400, "7 numbers; the model has 6 layers"),
    ("cutoff=-1", 400, "whole number from 0"),
    ("psi_center=all", 400, "psi_center is 'all'; it is class or global"),
    ("noise=loud", 400, "const or random or none"),
    ("classes=3", 400, "class 3 was asked for; the model has 0 to 2"),
    ("label=0.1", 400, "no vector of 3 numbers"),
    ("label=nan,0,0", 400, "no vector of 3 numbers"),
    ("label=1,0,0&classes=1", 400, "label takes the place of classes"),
    ("mix=639", 400, "mix=639 is not SEED@LAYERS"),
    ("mix=1@9", 400, "above 5"),
    ("&".join(["mix=1@0"] * 17), 400, "17 values of mix were given; the most are 16"),
    ("edit=smile", 400, "edit=smile is not DIRECTION:AMOUNT"),
    ("edit=frown:1", 400, "there is no direction 'frown'; there are smile, age, pca0"),
    ("edit=pca99:1", 400, "there is no direction 'pca99'"),
    ("translate=1,1", 400, "only StyleGAN3's pictures"),
    ("translate=1,1:2,2", 400, "one place"),
    ("rotate=round", 400, "rotate='round' is not like 90"),
    ("enlarge=0", 400, "from 1 to 256"),
    ("enlarge=1e9", 400, "from 1 to 256"),
    ("seeds=0-63&enlarge=256", 400, "more than the 67,108,864 pixels"),
    ("format=gif", 400, "png or jpeg or json"),
    ("psi=" + "1" * 3000, 422, "it takes a number"),
]


@pytest.mark.parametrize(("query", "status", "words"), WRONG, ids=lambda v: str(v)[:30])
def test_a_wrong_request_is_told_why(served, query, status, words):
    found, sentence = served.said(f"/v1/images?{query}")
    assert found == status and words in sentence and len(sentence) < 600
    assert "--" not in sentence


BODIES = [
    (b"{", 422, "the body is no JSON"),
    (b"[" * 90_000, 400, "no JSON"),
    (b"[1]", 422, "send one such as"),
    (b"\xff", 400, "no JSON"),
    ({"seeds": True}, 422, "seeds: True was given; it takes numbers and ranges"),
    ({"seeds": 1.5}, 422, "seeds: 1.5 was given"),
    ({"seeds": [[1]]}, 422, "seeds: "),
    ({"seeds": []}, 400, "seeds ''"),
    ({"seeds": -1}, 400, "seeds '-1'"),
    ({"psi": [0.5, "x"]}, 422, "psi: "),
    ({"psi": float("nan")}, 400, "no number"),
    ({"cutoff": 2**70}, 400, "cutoff"),
    ({"\ud800": 1}, 422, "not Unicode"),
    ({"seed": 1}, 422, "there is no parameter 'seed'"),
    ({"edit": ["\ud800:1"]}, 422, "edit: "),
    ({"mix": {"a": 1}}, 422, "mix: "),
    ({"label": [[1, 0]]}, 400, "no vector of 3"),
    ({"format": None, "mix": None}, 200, ""),
]


@pytest.mark.parametrize(("body", "status", "words"), BODIES, ids=lambda v: str(v)[:30])
def test_a_wrong_body_is_told_why(served, body, status, words):
    if status == 200:
        assert served.get("/v1/images", body)[0] == 200
        return
    found, sentence = served.said("/v1/images", body)
    assert found == status and words in sentence and len(sentence) < 600


def test_bodies_take_numbers_and_lists(served):
    text = {"seeds": "3", "psi": "0.5,1.0", "label": "0.5,0.5,0.0", "mix": "4@0"}
    listed = {"seeds": 3, "psi": [0.5, 1], "label": [0.5, 0.5, 0], "mix": ["4@0"]}
    nested = listed | {"seeds": [3], "label": [[0.5, 0.5, 0]]}
    drawn = {served.get("/v1/images", body)[1] for body in (text, listed, nested)}
    assert len({pixels(file).tobytes() for file in drawn}) == 1


def test_a_wrong_image_does_not_spoil_its_batch(served):
    served.hold()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        paths = ["seeds=1", "seeds=2&edit=none:1", "seeds=3", "seeds=4"]
        asked = [pool.submit(served.get, f"/v1/images?{p}") for p in paths]
        served.gate.set()
        assert [a.result()[0] for a in asked] == [200, 400, 200, 200]


def test_what_fails_is_said_and_the_next_request_is_answered(served, capfd):
    served.fault = RuntimeError("a kernel failed")
    try:
        assert served.said("/v1/images?seeds=1") == (
            500,
            "this is a mistake of the server's; its log says more.",
        )
    finally:
        served.fault = None
    assert "a kernel failed" in capfd.readouterr().err
    assert served.get("/v1/images?seeds=1")[0] == 200


# ---------------------------------------------------------------------------
# Paths, names, sizes


def test_paths(served):
    facts = json.loads(served.get("/v1/model")[1])
    assert facts["height"] == 16 and facts["labels"] == 3 and facts["most_seeds"] == 64
    assert facts["directions"][-2:] == ["smile", "age"]
    api = json.loads(served.get("/openapi.json")[1])
    assert set(api["paths"]) == {"/v1/images", "/v1/model", "/healthz", "/metrics"}
    status, page, headers = served.get("/docs")
    assert status == 200 and headers["x-frame-options"] == "DENY"
    assert all(f'name="{name}"'.encode() in page for name in ("seeds", "psi", "edit"))
    assert b"//" not in page.replace(b"http://", b"").split(b"<script>")[0]
    assert served.get("/")[1] == page
    assert served.said("/nothing") == (
        404,
        "there is nothing at '/nothing'; see /docs.",
    )
    status, sentence = served.said("/healthz", {})
    assert status == 405 and "does not take POST" in sentence


def test_counts(served):
    served.get("/v1/images?seeds=0-2")
    served.get("/v1/imagesx")
    text = served.get("/metrics")[1].decode()
    for words in (
        'stylegan_tf_requests_total{path="/v1/images",status="200"}',
        'stylegan_tf_requests_total{path="other",status="404"}',
        'stylegan_tf_request_seconds_bucket{le="0.005",path="/healthz"}',
        "stylegan_tf_images_total",
        "stylegan_tf_batch_images_sum",
        "stylegan_tf_draw_seconds_count",
        "stylegan_tf_waiting_images 0.0",
        "stylegan_tf_ready 1.0",
    ):
        assert words in text, words


def test_strangers_are_refused(served):
    here = f"127.0.0.1:{served.port}"
    path = "/v1/images?seeds=1"
    status, sentence = served.said(path, Host="evil.example")
    assert status == 403 and "--trusted_hosts=NAME" in sentence
    assert served.get(path, Origin="https://evil.example")[0] == 403
    assert served.get(path, **{"Sec-Fetch-Site": "cross-site"})[0] == 403
    assert served.get(path, Origin=f"http://{here}")[0] == 200
    assert served.get(path, Host="app.example")[0] == 200
    status, _, headers = served.get(path, Origin="https://app.example")
    assert status == 200
    assert headers["access-control-allow-origin"] == "https://app.example"
    status, sentence = served.said("/v1/images", b"x" * 300_000)
    assert status == 413 and "more than 200,000 bytes" in sentence
    line = http.client.HTTPConnection(here, timeout=PATIENCE)
    line.request("OPTIONS", path, headers={"Origin": "https://app.example"})
    answer = line.getresponse()
    assert answer.status == 200 and answer.read() == b"GET, POST\n"
    line.request("POST", path, iter([b"x"]), encode_chunked=True)
    assert line.getresponse().status == 411
    line.close()


# ---------------------------------------------------------------------------
# The queue, and the end


def waiting(seeds: str, **flags) -> list[WaitingImage]:
    facts = ModelFacts("m", tiny.config().generator, (8, 8, 3), 4)
    asked = read_request({"seeds": seeds, "format": "json"} | flags, facts, 64)
    return [WaitingImage(asked, k) for k in range(len(asked.seeds))]


def seeds_of(images) -> list[int]:
    return [image.seed for image in images]


def test_images_of_a_kind_are_drawn_together_oldest_first():
    queue = ImageQueue(9)
    queue.put(waiting("0-2"))
    queue.put(waiting("3-4", noise="random"))
    queue.put(waiting("5-6"))
    assert len(queue) == 7
    assert seeds_of(queue.take(4, 0)) == [0, 1, 2, 5]
    gone = waiting("7")
    queue.put(gone)
    assert gone[0].future.cancel()  # the client has left
    assert seeds_of(queue.take(4, 0)) == [3, 4]
    assert seeds_of(queue.take(4, 0)) == [6]
    assert queue.take(4, 0) == [] and len(queue) == 0


def test_a_full_queue_says_when_there_is_room():
    queue = ImageQueue(8)
    queue.put(waiting("0-5"))
    with pytest.raises(QueueFullError, match="6 pictures are waiting") as full:
        queue.put(waiting("0-2"))
    assert full.value.seconds == 1 and len(queue) == 6
    queue.note_speed(2, 4)  # two seconds each
    with pytest.raises(QueueFullError) as full:
        queue.put(waiting("0-2"))
    assert full.value.seconds == 12
    queue.note_speed(1, 1e9)
    queue.put(waiting("0-1"))


def test_requests_beyond_the_queue_are_refused_and_the_others_answered(model):
    """Then the server is told to end, and answers what it has accepted."""
    served = Served(drawing.BatchDrawer(model, "m"), most_waiting=2).ready()
    served.hold()
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(served.get, "/v1/images?seeds=0")
        assert served.busy.wait(PATIENCE)
        asked = [pool.submit(served.get, f"/v1/images?seeds={k}") for k in (1, 2)]
        until(lambda: len(served.service.queue) == 2)
        status, text, headers = served.get("/v1/images?seeds=3")
        assert status == 429 and b"2 pictures are waiting" in text
        assert int(headers["retry-after"]) >= 1
        assert b"stylegan_tf_refused_total 1.0" in served.get("/metrics")[1]
        assert served.said("/v1/images?seeds=0-2")[0] == 400  # never in this queue
        served.service.stopping = True
        assert served.get("/healthz")[0] == 503
        served.gate.set()
        assert {a.result()[0] for a in [first, *asked]} == {200}
    served.stop()
    with pytest.raises(OSError):
        served.get("/healthz")


def test_a_client_that_leaves_is_not_drawn_for(model, monkeypatch):
    from stylegan_tf.serving import app

    monkeypatch.setattr(app, "CHECK_CLIENT", 0.01)
    served = Served(drawing.BatchDrawer(model, "m")).ready()
    served.hold()
    lines = [http.client.HTTPConnection("127.0.0.1", served.port) for _ in range(2)]
    lines[0].request("GET", "/v1/images?seeds=0")
    assert served.busy.wait(PATIENCE)
    lines[1].request("GET", "/v1/images?seeds=1")
    until(lambda: len(served.service.queue) == 1)
    lines[1].close()
    image = served.service.queue._images[0]
    until(image.future.cancelled)
    served.gate.set()
    assert lines[0].getresponse().status == 200
    lines[0].close()
    served.stop()
    assert b"stylegan_tf_images_total 1.0" in served.service.metrics.text()


# ---------------------------------------------------------------------------
# Before the model is loaded


def test_a_missing_package_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr(server, "NEEDED", ("fastapi", "not_there"))
    with pytest.raises(
        UserError, match=r'not_there: pip install "stylegan_tf\[serve\]"'
    ):
        server.check_serving()


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ((), "name a model with --model"),
        (("--model=demo", "--batch_sizes=0"), "write numbers from 1 to 256"),
        (("--model=demo", "--batch_sizes=a,2"), "write numbers"),
        (("--model=demo", "--trusted_hosts=https://a"), "no name of a host"),
        (("--model=demo", "--host=256.0.0.1"), "cannot listen on 256.0.0.1:8000"),
    ],
)
def test_wrong_flags_are_told_before_anything_is_loaded(flags, words):
    code, _, error = call("serve", *flags)
    assert code == 2 and words in error


def test_parameters_are_the_flags_of_generate():
    assert flag_texts({"seeds": [0, 3], "psi": 0.5, "mix": "1@0", "edit": []}) == {
        "seeds": "0,3",
        "psi": "0.5",
        "mix": ["1@0"],
    }
    assert flag_texts({"label": [0.5, 1]}) == {"label": ["0.5,1"]}
    assert requests.MOST_PIXELS >= requests.MOST_SIDE**2
