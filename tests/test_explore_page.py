"""The page of launch/explore.py in a real browser, its server in a process of its own.

Without a browser these tests are skipped, unless STYLEGAN_TF_BROWSER=required.
"""

import base64
import contextlib
import io
import os
import shutil
import urllib.parse
from pathlib import Path

import explored
import numpy as np
import pytest
from explored import PATIENCE, Server
from PIL import Image

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
playwright = pytest.importorskip("playwright.sync_api")
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ARGUMENTS += ["--disable-sync", "--disable-component-update", "--no-first-run"]
ARGUMENTS += ["--disable-quic"]


class Tab:
    """A browser's tab with the page open."""

    def __init__(self, context, host: str):
        self.page = context.new_page()
        self.faults: list[str] = []
        self.page.on("pageerror", lambda e: self.faults.append(str(e)))
        self.page.on("console", self._console)
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.goto(f"http://{host}/")
        self.page.wait_for_selector("img.picture[src^='data:']")

    def _console(self, message) -> None:
        if message.type in ("error", "warning"):
            self.faults.append(message.text)

    @property
    def source(self) -> str:
        return self.page.get_attribute("img.picture", "src")

    @property
    def picture(self) -> np.ndarray:
        return decoded(self.source)

    @property
    def command(self) -> str:
        return self.page.locator(".recipe .line").inner_text().strip()

    def after(self, act) -> np.ndarray:
        """The picture that an act changes the last one to, when all has settled."""
        before = self.source
        act()
        self.page.wait_for_function(
            "old => document.querySelector('img.picture').src !== old", arg=before
        )
        return self.settled()

    def settled(self) -> np.ndarray:
        """The picture that stays."""
        last = None
        while last != self.source:
            last = self.source
            self.page.wait_for_timeout(250)
        return self.picture

    def slide(self, name: str, key: str, times: int = 1) -> None:
        """Presses a key on a slider."""
        slider = self.page.get_by_role("slider", name=name, exact=True)
        for _ in range(times):
            slider.locator("[tabindex]").press(key)

    def fill(self, name: str, text: str) -> None:
        self.page.get_by_label(name, exact=True).fill(text)

    def press(self, name: str) -> None:
        self.page.get_by_role("button", name=name, exact=True).click()

    def drag(self, right: float, down: float, x: float = 0.5, y: float = 0.5) -> None:
        """From a place on the picture, by default its middle, in widths and heights."""
        box = self.page.locator("img.picture").bounding_box()
        places = [(x, y), (x + right, y + down)]
        start, end = (
            (box["x"] + a * box["width"], box["y"] + b * box["height"])
            for a, b in places
        )
        mouse = self.page.mouse
        mouse.move(*start)
        mouse.down()
        mouse.move(*end, steps=8)
        mouse.up()

    def wait_for_work(self) -> np.ndarray:
        """The picture when the work under way has ended."""
        bench = self.page.locator(".bench")
        bench.wait_for(state="visible")
        bench.wait_for(state="hidden", timeout=4000 * PATIENCE)
        return self.settled()

    def wait_until_idle(self) -> np.ndarray:
        """The picture when no work is under way any more."""
        bench = self.page.locator(".bench")
        bench.wait_for(state="hidden", timeout=4000 * PATIENCE)
        return self.settled()

    def choose(self, menu: str, option: str) -> None:
        """Chooses from a menu."""
        self.page.get_by_role("combobox", name=menu).click()
        self.page.get_by_role("option", name=option, exact=True).click()

    def download(self, name: str) -> tuple[str, bytes]:
        """What a button saves: its name, and the file."""
        with self.page.expect_download() as found:
            self.press(name)
        return found.value.suggested_filename, Path(found.value.path()).read_bytes()


def decoded(source: str) -> np.ndarray:
    kind, _, content = source.partition(",")
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("page"))
    yield server
    assert server.stop() == 0
    said = server.log.read_text()
    assert f"http://{server.host} " in said and "Traceback" not in said
    assert not (server.model.parent / ".nicegui").exists()


@pytest.fixture(scope="module")
def context(server):
    path = next(filter(None, map(shutil.which, BROWSERS)), None)
    if path is None:
        said = f"no browser to drive the page with: none of {', '.join(BROWSERS)}"
        if os.environ.get("STYLEGAN_TF_BROWSER") == "required":
            pytest.fail(said)
        pytest.skip(said)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        context = browser.new_context(
            viewport={"width": 1280, "height": 900},
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.asked = []
        context.on("request", lambda request: context.asked.append(request.url))
        context.on(
            "page",
            lambda page: page.on("websocket", lambda w: context.asked.append(w.url)),
        )
        yield context
        browser.close()


@pytest.fixture
def tab(context, server):
    tab = Tab(context, server.host)
    yield tab
    tab.page.close()
    assert not tab.faults


def differ(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.any(a != b))


# ---------------------------------------------------------------------------


def test_psi_changes_the_picture_and_at_zero_all_seeds_are_one(tab):
    first = tab.picture
    assert differ(tab.after(lambda: tab.slide("psi", "ArrowRight", 3)), first)
    assert "--psi=0.85" in tab.command
    tab.after(lambda: tab.slide("psi", "ArrowLeft", 17))
    assert "--psi=0 " in f"{tab.command} "
    zero = tab.settled()
    tab.fill("seed", "77")
    tab.page.get_by_text("--seeds=77").wait_for()
    assert not differ(tab.settled(), zero)
    assert differ(tab.after(lambda: tab.press("psi back to 0.70")), zero)
    tab.after(lambda: tab.slide("layers that truncation reaches", "ArrowLeft", 4))
    assert "--cutoff=2" in tab.command


def test_two_tabs_do_not_disturb_each_other(tab, context, server):
    other = Tab(context, server.host)
    mine, line = other.picture, other.command
    assert not differ(mine, tab.picture)
    changed = tab.after(lambda: tab.press("next seed"))
    assert differ(changed, mine) and "--seeds=1" in tab.command
    other.page.wait_for_timeout(300)
    assert not differ(other.picture, mine) and other.command == line
    other.after(lambda: other.press("Random"))
    assert not differ(tab.settled(), changed) and "--seeds=1" in tab.command
    other.page.close()
    assert not other.faults


def test_noise_mixing_and_class_change_the_picture_and_come_back(tab):
    first = tab.picture
    box = tab.page.get_by_role("checkbox", name="noise at 8×8")
    partly = tab.after(box.click)
    assert differ(partly, first)
    assert "only some resolutions have noise" in tab.page.inner_text(".recipe .why")
    assert not differ(tab.after(lambda: tab.press("reset noise")), first)
    assert box.get_attribute("aria-checked") == "true"
    silent = tab.after(lambda: tab.press("off"))
    assert differ(silent, partly) and "--noise=none" in tab.command
    tab.after(lambda: tab.press("reset noise"))
    mixed = tab.after(lambda: tab.fill("seed of fine layers", "5"))
    assert differ(mixed, first) and "--mix=5@4-5" in tab.command
    assert not differ(tab.after(lambda: tab.press("reset style mixing")), first)
    tab.page.get_by_role("combobox", name="class").click()
    choice = tab.page.get_by_role("option", name="2", exact=True)
    assert differ(tab.after(choice.click), first) and "--classes=2" in tab.command


def test_directions_and_the_hand_on_the_picture(tab):
    first = tab.picture
    moved = tab.after(lambda: tab.slide("sefa0", "ArrowRight", 5))
    assert differ(moved, first) and "--edit=sefa0:0.5" in tab.command
    assert not differ(tab.after(lambda: tab.press("reset directions")), first)
    dragged = tab.after(lambda: tab.drag(0.25, -0.125))
    assert differ(dragged, first)
    assert "--edit=pca0:2 --edit=pca1:-1" in tab.command
    slider = tab.page.get_by_role("slider", name="pca0", exact=True)
    assert float(slider.get_attribute("aria-valuenow")) == 2
    tab.after(lambda: tab.page.keyboard.press("ArrowLeft"))  # the picture has the focus
    assert "--edit=pca0:1.8 " in tab.command
    tab.press("a random plane")
    tab.after(lambda: tab.press("reset where dragging led"))
    walked = tab.after(lambda: tab.drag(0.3, 0.3))
    assert differ(walked, first) and "--latents=seed0000.npz" in tab.command
    assert "dragged through a random plane" in tab.page.inner_text(".recipe .why")


def test_the_gallery_brings_a_picture_and_its_controls_back(tab):
    tab.after(lambda: tab.fill("seed", "31"))
    kept = tab.after(lambda: tab.slide("psi", "ArrowRight", 4))
    line = tab.command
    tab.page.locator("img.picture").focus()
    tab.page.keyboard.press("k")
    thumb = tab.page.locator(".keepsake .open img")
    assert not differ(decoded(thumb.get_attribute("src")), kept)
    assert differ(tab.after(lambda: tab.page.keyboard.press("r")), kept)
    back = tab.after(lambda: tab.press("back to kept picture 1, seed 31"))
    assert not differ(back, kept) and tab.command == line
    assert tab.page.get_by_label("seed", exact=True).input_value() == "31"
    tab.press("let it go")
    thumb.wait_for(state="detached")


def test_the_saved_file_and_the_copied_command_are_the_picture(tab, server, tmp_path):
    tab.after(lambda: tab.fill("seed", "42"))
    tab.after(lambda: tab.slide("psi", "ArrowLeft", 5))
    name, file = tab.download("Save PNG")
    assert name == "seed0042.png"
    shown = tab.settled()
    saved = Image.open(io.BytesIO(file))
    assert not differ(np.asarray(saved)[::5, ::5], shown) and saved.size == (80, 80)
    assert saved.info["Seed"] == "42" and saved.info["Psi"] == "0.45"
    tab.press("Copy command")
    tab.page.get_by_text("Command copied").wait_for()
    copied = tab.page.evaluate("navigator.clipboard.readText()")
    assert copied == tab.command and str(server.model) in copied
    assert not differ(explored.generated(copied, tmp_path / "flags"), shown)


def test_saved_styles_and_their_command_are_the_picture(tab, tmp_path, monkeypatch):
    shown = tab.after(tab.page.get_by_role("checkbox", name="noise at 16×16").click)
    name, file = tab.download("Save its styles")
    monkeypatch.chdir(tmp_path)
    Path(name).write_bytes(file)
    assert not differ(explored.generated(tab.command, tmp_path / "out"), shown)


def test_random_is_random_again_after_a_drag(tab):
    tab.after(lambda: tab.drag(0.25, -0.125))
    tab.after(lambda: tab.press("next seed"))
    assert "--edit=pca0:2" in tab.command and "--seeds=1" in tab.command
    assert "The next seed keeps edits" in tab.page.inner_text("aside")
    tab.after(lambda: tab.press("Random"))
    assert "--edit" not in tab.command
    assert "The next seed keeps" not in tab.page.inner_text("aside")


def nearest_patch(patch: np.ndarray, picture: np.ndarray) -> tuple[int, int]:
    """The middle, x and y, of what looks most like a patch [2r + 1, 2r + 1, C]."""
    windows = np.lib.stride_tricks.sliding_window_view(
        picture.astype(float), patch.shape
    )[:, :, 0]
    off = np.abs(windows - patch).sum(axis=(2, 3, 4))
    y, x = np.unravel_index(off.argmin(), off.shape)
    return int(x) + len(patch) // 2, int(y) + len(patch) // 2


def test_points_are_dragged_and_the_picture_follows(tab, server, tmp_path):
    tab.after(lambda: tab.choose("model", server.other.name))
    first = tab.settled()
    assert server.other.name in tab.page.title() and first.shape == (32, 32, 3)
    tab.press("points")
    tab.drag(5 / 32, 3 / 32, 13.5 / 32, 14.5 / 32)
    field = tab.page.get_by_label("points as numbers, X,Y:X,Y", exact=True)
    playwright.expect(field).to_have_value("13,14:18,17")
    assert tab.page.locator(".overlay svg circle").count() == 2
    assert not differ(tab.settled(), first)
    tab.press("Start")
    moved = tab.wait_for_work()
    assert differ(moved, first) and "--drag=13,14:18,17" in tab.command
    x, y = nearest_patch(first[11:18, 10:17], moved)
    assert max(abs(x - 18), abs(y - 17)) <= 2
    repeated = explored.generated(tab.command, tmp_path / "again")
    assert not differ(repeated, moved)
    assert not differ(tab.after(lambda: tab.press("Undo")), first)
    assert "--drag" not in tab.command


def test_a_drag_is_held_by_the_brush_and_stopped(tab):
    first = tab.picture
    tab.press("points")
    field = tab.page.get_by_label("points as numbers, X,Y:X,Y", exact=True)
    field.fill("4,5:12,9")
    field.press("Enter")
    tab.press("brush")
    tab.drag(0.2, 0.0, 0.3, 0.3)
    tab.page.locator("img.overlay").wait_for(state="visible")
    tab.press("Start")
    tab.page.get_by_text("pixels to go").wait_for()
    tab.press("Stop dragging")
    assert differ(tab.wait_until_idle(), first)
    assert "--drag_mask=mask.png" in tab.command and "--drag_steps=" in tab.command
    name, file = tab.download("Save the mask")
    mask = np.asarray(Image.open(io.BytesIO(file)))
    assert name == "mask.png" and mask.shape == (16, 16)
    assert mask[4, 4] == 255 and mask[15, 15] == 0


def check_tuning(tab, folder, monkeypatch) -> None:
    """The model is tuned to the picture on the page, and its file is a model."""
    tab.press("W, edits better")
    tab.press("Project it")
    projected = tab.wait_for_work()
    others = tab.page.locator(".recipe .others")
    assert "--space=w --steps=400 --out=out/my_face" in others.inner_text()
    tab.press("Tune the model to it")
    tab.page.get_by_text("tuning, step").wait_for(timeout=4000 * PATIENCE)
    with contextlib.suppress(playwright.TimeoutError):  # it may be done before
        tab.page.get_by_role("button", name="Stop", exact=True).click(timeout=3000)
    tuned = tab.wait_until_idle()
    assert differ(tuned, projected)
    playwright.expect(others).to_contain_text("--tune --tune_steps=")
    assert "--model=my_face-tuned.npz --latents=my_face.npz" in tab.command
    monkeypatch.chdir(folder)
    for button in ("Save the tuned model", "Save its styles"):
        name, file = tab.download(button)
        Path(name).write_bytes(file)
    assert not differ(explored.generated(tab.command, folder / "tuned"), tuned)


def test_a_picture_of_ones_own_is_projected_and_edited(
    tab, server, tmp_path, monkeypatch
):
    rng = np.random.default_rng(0)
    photo = rng.integers(0, 255, (40, 60, 3), np.uint8)
    Image.fromarray(photo).save(tmp_path / "my face.png")
    tab.press("Project it")
    tab.page.get_by_text("choose a picture first").wait_for()
    tab.page.set_input_files("input[type=file]", tmp_path / "my face.png")
    thumb = tab.page.locator("img.thumb")
    thumb.wait_for(state="visible")
    assert decoded(thumb.get_attribute("src")).shape == (16, 16, 3)
    first = tab.picture
    tab.press("Project it")
    tab.page.get_by_text("projecting, step").wait_for(timeout=4000 * PATIENCE)
    tab.press("Stop")
    projected = tab.wait_until_idle()
    assert differ(projected, first)
    assert "--latents=my_face.npz --psi=1" in tab.command
    assert differ(tab.after(lambda: tab.slide("pca0", "ArrowRight", 20)), projected)
    name, file = tab.download("Save its styles")
    assert name == "my_face.npz"
    (tmp_path / name).write_bytes(file)
    line = tab.command.replace(name, str(tmp_path / name))
    assert not differ(explored.generated(line, tmp_path / "out"), tab.settled())
    name, film = tab.download("Film")
    assert name.startswith("film.") and len(film) > 1000
    others = tab.page.locator(".recipe .others")
    assert "--path=edit" in others.inner_text()
    assert "which no command repeats" in others.inner_text()
    tab.press("Tune the model to it")
    tab.page.get_by_text("Choose W and project").wait_for()
    check_tuning(tab, tmp_path, monkeypatch)
    (tmp_path / "text.png").write_text("no picture")
    tab.page.set_input_files("input[type=file]", tmp_path / "text.png")
    tab.page.get_by_text("text cannot be used: not a picture").wait_for()


def test_directions_show_a_strip_and_take_a_name(tab):
    tab.press("strip and name of pca0")
    strip = tab.page.locator(".strip .open img")
    strip.nth(4).wait_for()
    shown = [decoded(img.get_attribute("src")) for img in strip.all()]
    assert len(shown) == 5 and not differ(shown[2], tab.settled())
    assert not differ(tab.after(lambda: tab.press("pca0 at +4")), shown[4])
    tab.fill("name of pca0", "smile")
    tab.page.get_by_role("slider", name="smile", exact=True).wait_for()
    assert "--edit=pca0:4" in tab.command
    name, _ = tab.download("Save your names")
    assert name == "directions.npz"


def test_a_sheet_is_saved(tab):
    name, file = tab.download("Sheet")
    assert name == "sheet.png" and Image.open(io.BytesIO(file)).info["stylegan_tf"]


def test_the_page_can_be_read_aloud(tab, server):
    """axe-core finds nothing serious, and the page says what it is."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    assert tab.page.get_attribute("html", "lang") == "en-US"
    assert tab.page.title() == f"{server.model.name} \u00b7 stylegan_tf"
    tab.press("points")
    tab.press("strip and name of pca0")
    tab.page.locator(".strip .open img").nth(4).wait_for()
    tab.page.add_style_tag(content=STILL)  # or axe takes a color on its way
    for dark in (False, True):
        tab.page.emulate_media(color_scheme="dark" if dark else "light")
        tab.settled()
        tab.page.wait_for_timeout(1000)  # a bar goes
        found = axe.Axe().run(tab.page).response["violations"]
        bad = [
            (v["id"], n["html"][:120], dark, n["any"] and n["any"][0]["message"])
            for v in found
            if v["impact"] in ("serious", "critical")
            for n in v["nodes"]
        ]
        # axe takes the page's color for that of this button, checked below.
        assert not [b for b in bad if b[:2] != ("color-contrast", RANDOM)]
        button = tab.page.get_by_role("button", name="Random", exact=True)
        colors = button.evaluate(
            "b => [getComputedStyle(b).color, getComputedStyle(b).backgroundColor]"
        )
        blue = "rgb(66, 99, 235)" if dark else "rgb(59, 91, 219)"  # 4.9:1 and 5.6:1
        assert colors == ["rgb(255, 255, 255)", blue]


RANDOM = '<span class="block">Random</span>'
STILL = "*, ::before, ::after { transition: none !important }"


def test_the_picture_stays_in_sight_on_a_phone(tab):
    tab.page.set_viewport_size({"width": 390, "height": 844})
    slider = tab.page.get_by_role("slider", name="sefa1", exact=True)
    slider.scroll_into_view_if_needed()
    tab.page.wait_for_timeout(100)
    box = tab.page.locator("img.picture").bounding_box()
    assert box["y"] >= 0 and box["y"] + box["height"] < 844 and box["width"] > 150
    assert tab.page.evaluate("document.documentElement.scrollWidth") <= 390
    at = slider.bounding_box()
    top = tab.page.evaluate(
        "([x, y]) => document.elementFromPoint(x, y).closest('.dial') !== null",
        [at["x"] + at["width"] / 2, at["y"] + at["height"] / 2],
    )
    assert top  # not under the picture


def test_nothing_is_asked_of_another_machine(tab, context, server):
    tab.settled()
    hosts = {urllib.parse.urlsplit(url).netloc for url in context.asked}
    assert server.host in hosts
    assert hosts <= {server.host, ""}  # "": pictures inside the page, data:
    assert any(url.startswith("ws://") for url in context.asked)
    outward = server.outward.read_text().splitlines()
    local = ("127.0.0.1", "localhost", "::1", "'/")
    assert [line for line in outward if not any(n in line for n in local)] == []
    assert any("socket.getaddrinfo" in line for line in outward)  # the hook is there
