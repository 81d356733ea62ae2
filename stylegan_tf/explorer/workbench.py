"""The bar of long work under the picture: how far it is, and a button that stops it."""

from collections.abc import Callable, Iterator

from nicegui import Client, ui

from stylegan_tf.errors import UserError
from stylegan_tf.explorer.jobs import Jobs
from stylegan_tf.explorer.work import Progress, Stopped

Work = Callable[[Stopped], Iterator[Progress]]


class Workbench:
    """The work of one tab.

    Args:
        jobs: of all tabs.
        client: of the tab; work ends when it closes.
        on_progress: is given what each part has come to.
    """

    def __init__(
        self, jobs: Jobs, client: Client, on_progress: Callable[[Progress], None]
    ):
        self._jobs, self._client, self._on_progress = jobs, client, on_progress
        self.working = self._stopped = False
        with ui.element("div").classes("bench") as self._box:
            self._bar = ui.linear_progress(0.0, show_value=False)
            self._bar.props('aria-label="progress of the work" instant-feedback')
            with ui.element("div").classes("row"):
                self._text = ui.label().classes("note grow")
                self._text.props('role=status aria-live="polite"').mark("work")
                ui.button("Stop", icon="stop", on_click=self.stop).props(
                    "no-caps unelevated dense"
                )
        self._box.visible = False

    def stop(self) -> None:
        """Ends the work with what there is."""
        self._stopped = True

    async def run(self, work: Work) -> bool:
        """Does some work; returns True unless it failed or other work is in its way."""
        if self.working:
            ui.notify("Something is at work here; stop it first.", type="warning")
            return False
        self.working, self._stopped = True, False
        self._bar.value = 0.0
        self._text.text = "waiting for other tabs" if self._jobs.busy else "preparing"
        self._box.visible = True
        try:
            parts = work(lambda: self._stopped or self._gone())
            await self._jobs.run(parts, self._show, self._gone)
        except UserError as error:
            if not self._gone():
                with self._client:
                    ui.notify(str(error), type="negative", timeout=8000)
            return False
        finally:
            self.working = False
            if not self._gone():
                self._box.visible = False
        return True

    def _gone(self) -> bool:
        return self._client.is_deleted

    def _show(self, progress: Progress) -> None:
        self._bar.value = round(progress.share, 3)
        self._text.text = progress.text
        self._on_progress(progress)
