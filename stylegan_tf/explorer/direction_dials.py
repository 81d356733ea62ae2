"""The card of the directions: a dial each, a strip of what it does, and its name."""

import base64
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from nicegui import ui

from stylegan_tf.errors import UserError
from stylegan_tf.explorer.controls import Dial, card, icon, put, text_button
from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.fields import Select, Text
from stylegan_tf.explorer.state import AMOUNT, ImageState
from stylegan_tf.figures import image_bytes
from stylegan_tf.latents.directions import Directions

OPEN_DIALS = 4  # of a set of directions; the others are folded
STRIP = (-4.0, -2.0, 0.0, 2.0, 4.0)
LONGEST = 40  # characters of a name


class DirectionDials:
    """The card "Directions".

    Args:
        engine: knows the directions, and renders strips.
        state: returns the tab's state.
        change: sets a new one.
        labels: name of a direction -> what the user calls it; changed in place.
        in_turn: calls a function in a thread while no other picture is drawn.

    Attributes:
        head: the heading of the card.
    """

    def __init__(
        self,
        engine: Engine,
        state: Callable[[], ImageState],
        change: Callable[[ImageState], None],
        labels: dict[str, str],
        in_turn: Callable[..., Awaitable],
    ):
        self.engine, self._state, self._change = engine, state, change
        self._labels, self._in_turn = labels, in_turn
        self._showing = False
        self._dials: dict[str, Dial] = {}
        reach = {None: "all layers"} | {i: g.name for i, g in enumerate(engine.groups)}
        with card("Directions") as self.head:
            if engine.groups:
                self._reach = Select(reach, value=None, label="reaching")
                self._reach.props("dense outlined").mark("reach")
                self._reach.on_value_change(self._reached)
            for title, names in engine.choice.sets.items():
                ui.label(title).classes("note")
                for name in names[:OPEN_DIALS]:
                    self._dial(name)
                if names[OPEN_DIALS:]:
                    more = f"{len(names) - OPEN_DIALS} more"
                    with ui.expansion(more).props("dense"):
                        for name in names[OPEN_DIALS:]:
                            self._dial(name)
            self._save = text_button("download", "Save your names", self._save_names)
            self._save.visible = bool(labels)

    def show(self, state: ImageState) -> None:
        """Sets every dial to the value of the state."""
        self._showing = True
        try:
            if self.engine.groups:
                put(self._reach, state.edit_group)
            for name, dial in self._dials.items():
                dial.show(state.edits.get(name, 0.0))
        finally:
            self._showing = False

    def _reached(self, event) -> None:
        if not self._showing:
            self._change(replace(self._state(), edit_group=event.value))

    def _set(self, name: str, amount: float) -> None:
        if not self._showing:
            self._change(self._state().edited(name, amount))

    def _dial(self, name: str) -> None:
        dial = Dial(
            self._labels.get(name, name),
            -AMOUNT,
            AMOUNT,
            0.1,
            0.0,
            lambda v: self._set(name, v),
        )
        dial.slider.props("selection-color=transparent").mark(name)
        self._dials[name] = dial
        more = ui.element("div").classes("more")
        more.visible = False
        with more:
            strip = ui.element("div").classes("strip").props("role=group")
            strip.props(f'aria-label="what {name} does"')
            field = Text(value=self._labels.get(name, name))
            field.props(
                f'dense outlined maxlength={LONGEST} aria-label="name of {name}"'
            )
            field.on_value_change(lambda e: self._rename(name, e.value))

        async def unfold() -> None:
            more.visible = not more.visible
            if more.visible:
                await self._fill(strip, name)

        with dial.row:
            icon("more_horiz", f"strip and name of {name}", unfold)

    async def _fill(self, strip: ui.element, name: str) -> None:
        """Draws what a direction does to the picture as it is."""
        state = self._state()
        images = await self._in_turn(self.engine.strip, state, name, STRIP)
        if images is None or strip.is_deleted:
            return
        strip.clear()
        with strip:
            for amount, image in zip(STRIP, images, strict=True):
                hint = f"{name} at {amount:+g}"
                button = ui.element("button").classes("open")
                button.props(f'type=button aria-label="{hint}" title="{hint}"')
                button.on("click", lambda a=amount: self._set(name, a))
                with button:
                    text = base64.b64encode(image_bytes(image)).decode()
                    shown = ui.element("img").props('alt=""')
                    shown.props["src"] = f"data:image/png;base64,{text}"

    def _rename(self, name: str, text: str | None) -> None:
        text = " ".join((text or "").split())[:LONGEST]
        if text and text != name:
            self._labels[name] = text
        else:
            self._labels.pop(name, None)
        self._dials[name].rename(self._labels.get(name, name))
        self._save.visible = bool(self._labels)

    def _save_names(self) -> None:
        """Downloads the directions that have names, for --directions."""
        try:
            named = named_directions(self.engine, self._labels)
        except UserError as error:
            ui.notify(str(error), type="negative")
            return
        with tempfile.TemporaryDirectory() as folder:
            file = named.save(Path(folder) / "x.npz").read_bytes()
        ui.download.content(file, "directions.npz", "application/octet-stream")
        ui.notify("They come back with --directions=directions.npz.")


def named_directions(engine: Engine, labels: dict[str, str]) -> Directions:
    """Returns directions under the names that a user gave them.

    Args:
        engine: finds them.
        labels: name of a direction -> what the user calls it.

    Raises:
        UserError: two of one name, or some that edit different layers, which a file
            cannot hold.
    """
    if len(set(labels.values())) < len(labels):
        raise UserError("two directions have one name; rename one of them.")
    found = [engine.choice.find(name, None) for name in labels]
    layers = {tuple(own) for _, own in found}
    if len(layers) > 1:
        raise UserError(
            "these directions edit different layers, which one file cannot hold; take "
            "the names of some of them back."
        )
    steps = np.stack([step for step, _ in found])
    scales = np.linalg.norm(steps, axis=1)
    vectors = steps / np.maximum(scales, 1e-12)[:, None]
    quality, source = np.zeros_like(scales), "named in the explorer"
    names = tuple(labels.values())
    return Directions(names, vectors, scales, quality, source, layers.pop())
