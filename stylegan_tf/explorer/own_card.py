"""The card of the user's own picture: upload, project, tune."""

import base64
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import numpy as np
from nicegui import ui

from stylegan_tf.errors import UserError
from stylegan_tf.explorer import work
from stylegan_tf.explorer.controls import card, text_button
from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.fields import Toggle
from stylegan_tf.explorer.guard import MOST_UPLOAD
from stylegan_tf.explorer.state import ImageState
from stylegan_tf.explorer.workbench import Work
from stylegan_tf.figures import image_bytes
from stylegan_tf.projector.targets import read_upload

SPACES = {"wplus": "W+, nearer", "w": "W, edits better"}


@dataclass
class Upload:
    """A picture that was sent to the page, as a file.

    Attributes:
        name: of the file.
        content: of the file; empty = none was sent yet.
    """

    name: str = ""
    content: bytes = b""


class OwnCard:
    """The card "Your picture".

    Args:
        engine: of the model.
        state: returns the tab's state.
        upload: the tab's; changed in place, so that it outlives this card.
        run: does some work, and remembers the state before it.
        in_thread: calls a function in a thread.
    """

    def __init__(
        self,
        engine: Engine,
        state: Callable[[], ImageState],
        upload: Upload,
        run: Callable[[Work], Awaitable[bool]],
        in_thread: Callable[..., Awaitable],
    ):
        self.engine, self._state, self._upload = engine, state, upload
        self._run, self._in_thread = run, in_thread
        with card("Your picture", "It stays on the machine that runs this page."):
            with ui.element("div").classes("row wrap"):
                field = ui.upload(
                    on_upload=self._sent,
                    on_rejected=self._rejected,
                    max_file_size=MOST_UPLOAD - 10_000,
                    auto_upload=True,
                ).classes("unseen own")
                field.props('accept="image/*" tabindex=-1 aria-hidden=true')
                choose = ui.button("Choose a picture", icon="upload")
                pick = f"() => getElement({field.id}).pickFiles()"
                choose.props("no-caps flat dense").on("click", js_handler=pick)
                self._thumb = ui.element("img").classes("thumb")
                self._thumb.visible = False
                self._name = ui.label().classes("note")
            self._space = Toggle(SPACES, value="wplus").mark("space")
            self._space.props("no-caps unelevated dense spread")
            with ui.element("div").classes("row wrap"):
                text_button("center_focus_strong", "Project it", self.project)
                text_button("tune", "Tune the model to it", self.tune)
            text = "Tuning starts from W and makes a model of its own."
            ui.label(text).classes("note")

    async def show(self) -> None:
        """Shows the picture as the model's shape cuts it."""
        if self._upload.content:
            with self._thumb.client:
                await self._read()

    async def _sent(self, event) -> None:
        self._upload.name = event.file.name
        self._upload.content = await event.file.read()
        event.sender.reset()
        if await self._read() is None:
            self._upload.content = b""

    def _rejected(self) -> None:
        most = MOST_UPLOAD // 1_000_000
        ui.notify(f"Choose one picture of at most {most} MB.", type="negative")

    async def _read(self) -> tuple[str, np.ndarray] | None:
        """Returns the picture's name and pixels; shows it, or why there is none."""
        c = self.engine.model.config
        shape = c.shape(self.engine.resolution)
        upload = self._upload
        try:
            if not upload.content:
                raise UserError("choose a picture first.")
            how = upload.name, upload.content, shape, c.channels
            found = await self._in_thread(read_upload, *how)
        except UserError as error:
            ui.notify(str(error), type="negative")
            return None
        if found is None:
            return None
        name, image = found
        text = base64.b64encode(image_bytes(image)).decode()
        self._thumb.props["src"] = f"data:image/png;base64,{text}"
        self._thumb.props["alt"] = name
        self._thumb.update()
        self._thumb.visible, self._name.text = True, name
        return name, image

    async def project(self) -> None:
        """Searches for the picture's styles."""
        found = await self._read()
        if found is not None:
            space = self._space.value
            photo = self._upload.name
            await self._run(
                lambda stopped: work.project_picture(
                    self.engine, *found, space, stopped, photo=photo
                )
            )

    async def tune(self) -> None:
        """Tunes the model to the picture, from its place in W on."""
        state = self._state()
        if state.picture is None or state.picture.space != "w":
            ui.notify("Choose W and project your picture first; tuning starts there.")
            return
        await self._run(lambda stopped: work.tune_picture(self.engine, state, stopped))
