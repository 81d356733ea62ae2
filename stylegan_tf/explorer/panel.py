"""The controls of the page; each changes the state of its tab, and shows it."""

import contextlib
import random
from collections.abc import Callable, Iterator
from dataclasses import replace

from nicegui import ui

from stylegan_tf import sampling
from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.fields import Checkbox, Number, Select, Slider, Toggle
from stylegan_tf.explorer.state import (
    AMOUNT,
    ANGLE,
    PSI,
    SHIFT,
    ImageState,
    LayerGroup,
)
from stylegan_tf.latents import MAX_SEED

NOISE_NAMES = {"const": "stored", "random": "of the seed", "none": "off"}
MOST_KEPT = 60  # images in a gallery; older ones go
OPEN_SLIDERS = 4  # of a set of directions; the others are folded
WALK, PAIR = "a random plane", "two directions"


def any_seed() -> int:
    """Returns a random seed of at most five digits."""
    return random.randrange(100_000)


class Panel:
    """All controls of one tab.

    Args:
        engine: renders; knows classes, groups of layers, directions and noise.
        state: returns the tab's state.
        change: sets a new one.

    Attributes:
        plane: the random plane in which dragging moves.
    """

    def __init__(
        self,
        engine: Engine,
        state: Callable[[], ImageState],
        change: Callable[[ImageState], None],
    ):
        self.engine, self._state, self._change = engine, state, change
        self._showing = False
        self._shows: list[Callable[[ImageState], None]] = []  # one or more a control
        self.plane = any_seed()
        self._seed()
        if engine.model.config.classes:
            self._classes()
        if engine.groups:
            self._mixing()
        self._drag()
        if engine.choice.names:
            self._directions()
        if engine.resolutions:
            self._noise()
        if engine.moves:
            self._moves()

    def show(self, state: ImageState) -> None:
        """Sets every control to the value of the state."""
        self._showing = True
        try:
            for show in self._shows:
                show(state)
        finally:
            self._showing = False

    def _set(self, **fields) -> None:
        """Sets fields of the state, unless the panel itself moves a control."""
        if not self._showing:
            self._change(replace(self._state(), **fields))

    def _to(self, make: Callable[[ImageState], ImageState]) -> None:
        if not self._showing:
            self._change(make(self._state()))

    def _reset(self, head: ui.element, name: str, **fields) -> None:
        with head:
            icon("restart_alt", f"reset {name}", lambda: self._set(**fields))

    # -----------------------------------------------------------------------
    # Seed and truncation

    def _seed(self) -> None:
        layers = self.engine.groups[-1].last + 1 if self.engine.groups else 0
        with card("Seed and truncation") as head:
            with ui.element("div").classes("row"):
                seed = self._seed_field("seed", lambda s: self._set(seed=s))
                step = {"arrow_back": -1, "arrow_forward": 1}
                for name, by in step.items():
                    hint = "previous seed" if by < 0 else "next seed"
                    icon(name, hint, lambda by=by: self._step(by))
                icon("casino", "random seed", self.dice)
            psi = Dial(
                "psi",
                *PSI,
                0.05,
                0.7,
                lambda v: self._set(psi=round(v, 2)),
                "{:.2f}".format,
            )
            self._shows.append(lambda s: (_put(seed, s.seed), psi.show(s.psi)))
            if layers:
                self._cutoff(layers)
        self._reset(head, "truncation", psi=0.7, cutoff=None)

    def _cutoff(self, layers: int) -> None:
        def changed(value: float) -> None:
            self._set(cutoff=None if value >= layers else int(value))

        def text(value: float) -> str:
            return "all" if value >= layers else f"{value:.0f} of {layers}"

        dial = Dial("layers", 0, layers, 1, layers, changed, text)
        dial.slider.props('aria-label="layers that truncation reaches"')
        self._shows.append(
            lambda s: dial.show(layers if s.cutoff is None else s.cutoff)
        )

    def dice(self) -> None:
        """Sets a random seed."""
        self._set(seed=any_seed())

    def _step(self, by: int) -> None:
        self._to(lambda s: replace(s, seed=min(max(s.seed + by, 0), MAX_SEED)))

    def _seed_field(
        self,
        name: str,
        on_change: Callable[[int], None],
        empty: Callable[[], None] | None = None,
    ) -> Number:
        """Adds a field for a seed; `empty` is called when it is cleared."""

        def changed(event) -> None:
            if event.value is None:
                if empty:
                    empty()
            else:
                on_change(int(min(max(event.value, 0), MAX_SEED)))

        field = Number(min=0, max=MAX_SEED, precision=0, format="%d")
        field.props(f'dense outlined hide-bottom-space aria-label="{name}"')
        field.classes("grow seed").on_value_change(changed).mark(name)
        return field

    # -----------------------------------------------------------------------
    # Classes and mixing

    def _classes(self) -> None:
        model = self.engine.model
        names = dict(enumerate(model.config.class_names))
        vectors = sampling.label_table(model) is not None
        options = {
            k: f"{k} {names.get(k, '')}".strip()
            for k in range(sampling.label_count(model))
        }
        with card("Label" if vectors else "Class"):
            choice = Select(options, value=0, with_input=len(options) > 20)
            choice.props('dense outlined aria-label="class"').mark("class")
            choice.on_value_change(lambda e: self._set(label=e.value))
        self._shows.append(lambda s: _put(choice, s.label))

    def _mixing(self) -> None:
        note = "Let other seeds rule some of the layers."
        with card("Style mixing", note) as head:
            for i, group in enumerate(self.engine.groups):
                self._mix_row(i, group)
        self._reset(head, "style mixing", mixes=(None,) * len(self.engine.groups))

    def _mix_row(self, i: int, group: LayerGroup) -> None:
        def to(seed: int | None) -> None:
            self._to(lambda s: s.mixed(i, seed))

        low, high = group.resolutions[0], group.resolutions[-1]
        sizes = f"{low}" if low == high else f"{low}\u2013{high}"
        with ui.element("div").classes("row"):
            ui.html(f"{group.name} <small>{sizes} px</small>", sanitize=False).classes(
                "of"
            )
            name = f"seed of {group.name} layers"
            field = self._seed_field(name, to, lambda: to(None))
            field.props('clearable placeholder="as above"')
            icon("casino", f"random {name}", lambda: to(any_seed()))
        self._shows.append(lambda s: _put(field, s.mixes[i]))

    # -----------------------------------------------------------------------
    # Directions and dragging

    def _directions(self) -> None:
        groups = self.engine.groups
        reach = {None: "all layers"} | {i: g.name for i, g in enumerate(groups)}
        with card("Directions") as head:
            if groups:
                choice = Select(reach, value=None, label="reaching")
                choice.props("dense outlined").mark("reach")
                choice.on_value_change(lambda e: self._set(edit_group=e.value))
                self._shows.append(lambda s: _put(choice, s.edit_group))
            for title, names in self.engine.choice.sets.items():
                ui.label(title).classes("note")
                for name in names[:OPEN_SLIDERS]:
                    self._direction(name)
                if names[OPEN_SLIDERS:]:
                    with ui.expansion(f"{len(names) - OPEN_SLIDERS} more").props(
                        "dense"
                    ):
                        for name in names[OPEN_SLIDERS:]:
                            self._direction(name)
        self._reset(head, "directions", edits={}, edit_group=None)

    def _direction(self, name: str) -> None:
        def changed(amount: float) -> None:
            self._to(lambda s: s.edited(name, amount))

        dial = Dial(name, -AMOUNT, AMOUNT, 0.1, 0.0, changed)
        dial.slider.props("selection-color=transparent")
        self._shows.append(lambda s: dial.show(s.edits.get(name, 0.0)))

    def _drag(self) -> None:
        names = self.engine.choice.names
        modes = [PAIR, WALK] if len(names) > 1 else [WALK]
        with card("Drag the picture") as head:
            self._mode = Toggle(modes, value=modes[0])
            self._mode.props("no-caps unelevated dense spread").mark("drag mode")
            if PAIR in modes:
                pair = ui.element("div").classes("row")
                pair.bind_visibility_from(self._mode, "value", value=PAIR)
                with pair:
                    self._right, self._down = (
                        Select(names, value=name, label=label)
                        .props("dense outlined")
                        .classes("grow")
                        for name, label in zip(names, ("right", "down"), strict=False)
                    )
            row = ui.element("div").classes("row")
            row.bind_visibility_from(self._mode, "value", value=WALK)
            with row:
                ui.label("Towards other faces; each throw is another plane.").classes(
                    "note grow"
                )
                icon("casino", "another plane", self._other_plane)
        self._reset(head, "where dragging led", walk=(), edits={})

    def _other_plane(self) -> None:
        self.plane = any_seed()

    def drag(self, start: ImageState, right: float, down: float) -> ImageState:
        """Returns the state to which dragging over the image leads.

        Args:
            start: the state where it began.
            right: the way of the pointer, in widths of the image.
            down: the same, in heights.
        """
        if self._mode.value == WALK:
            return start.walked(self.plane, 2 * right, 2 * down)
        pairs = {self._right.value: right}
        pairs[self._down.value] = pairs.get(self._down.value, 0) + down
        for name, by in pairs.items():
            amount = start.edits.get(name, 0.0)
            start = start.edited(name, amount + 2 * AMOUNT * by)
        return start

    # -----------------------------------------------------------------------
    # Noise

    def _noise(self) -> None:
        with card("Noise") as head:
            mode = Toggle(NOISE_NAMES, value="const").mark("noise")
            mode.props("no-caps unelevated dense spread")
            mode.on_value_change(lambda e: self._set(noise=e.value))
            self._shows.append(lambda s: _put(mode, s.noise))
            with ui.element("div").classes("checks"):
                for resolution in self.engine.resolutions:
                    self._resolution(resolution)
        self._reset(head, "noise", noise="const", muted=frozenset())

    def _resolution(self, resolution: int) -> None:
        def changed(event) -> None:
            self._to(lambda s: s.unmuted(resolution, event.value))

        height, width = self.engine.model.config.shape(resolution)
        size = f"{width}\u00d7{height}"
        box = Checkbox(size, value=True, on_change=changed).mark(f"noise {resolution}")
        box.props(f'dense aria-label="noise at {size}"')
        self._shows.append(lambda s: _put(box, resolution not in s.muted))

    # -----------------------------------------------------------------------
    # StyleGAN3's input

    def _moves(self) -> None:
        def shift(axis: int, value: float) -> None:
            old = self._state().shift
            pair = [round(value, 3) if i == axis else old[i] for i in (0, 1)]
            self._set(shift=tuple(pair))

        with card("Shift and rotation") as head:
            dials = [
                Dial(n, -SHIFT, SHIFT, 0.005, 0.0, lambda v, i=i: shift(i, v))
                for i, n in enumerate(("right", "down"))
            ]
            turn = Dial(
                "rotation",
                -ANGLE,
                ANGLE,
                1,
                0.0,
                lambda v: self._set(angle=round(v, 1)),
                "{:+.0f}°".format,
            )
        for i, dial in enumerate(dials):
            self._shows.append(lambda s, i=i, dial=dial: dial.show(s.shift[i]))
        self._shows.append(lambda s: turn.show(s.angle))
        self._reset(head, "shift and rotation", shift=(0.0, 0.0), angle=0.0)


def _put(field, value) -> None:
    if field.value != value:
        field.value = value


@contextlib.contextmanager
def card(name: str, note: str = "") -> Iterator[ui.element]:
    """Adds a section to the panel; yields the row of its heading."""
    with ui.element("section").classes("card").props(f'aria-label="{name}"'):
        head = ui.element("div").classes("head")
        with head:
            ui.label(name).classes("name").props("role=heading aria-level=2")
        if note:
            ui.label(note).classes("note")
        yield head


def icon(
    name: str, hint: str, on_click: Callable[[], object], **props: str
) -> ui.button:
    """Adds a round button with an icon, and a name for screen readers."""
    button = ui.button(icon=name, on_click=on_click)
    button.props(f'flat round dense size=sm aria-label="{hint}"').props(**props)
    return button.tooltip(hint)


class Dial:
    """A slider with a name and its value; a click on the value resets it.

    Args:
        name: shown, and read by screen readers.
        low, high, step: of the slider.
        start: the value after a reset.
        on_change: is given the value.
        text: formats the value.
    """

    def __init__(
        self,
        name: str,
        low: float,
        high: float,
        step: float,
        start: float,
        on_change: Callable[[float], None],
        text: Callable[[float], str] = "{:+.2f}".format,
    ):
        self._text = text
        with ui.element("div").classes("dial"):
            ui.label(name).classes("of").tooltip(name)
            self.slider = Slider(min=low, max=high, step=step, value=start)
            self.slider.props(f'dense aria-label="{name}"').mark(name)
            self._value = ui.element("button").classes("value")
            back = f"{name} back to {text(start)}"
            self._value.props(f'type=button aria-label="{back}" title="{back}"')
            with self._value:
                self._number = ui.label(text(start))
        self.slider.on_value_change(lambda e: on_change(e.value))
        self._value.on("click", lambda: on_change(start))

    def show(self, value: float) -> None:
        """Sets the slider, unless it has the value already."""
        if abs(self.slider.value - value) > 1e-9:
            self.slider.value = value
        self._number.text = self._text(value)


class Gallery:
    """Images that were kept, the newest first.

    Args:
        restore: is given the state of an image that is clicked.
        pixels: enlarge the images pixel by pixel.
    """

    def __init__(self, restore: Callable[[ImageState], None], pixels: bool):
        self._restore, self._pixels, self._count = restore, pixels, 0
        self._box = ui.element("div").classes("gallery")
        self._box.props('role=list aria-label="kept pictures"')

    def keep(self, state: ImageState, source: str) -> None:
        """Adds an image: its state, and the URL of its PNG."""
        self._count += 1
        hint = f"back to kept picture {self._count}, seed {state.seed}"
        with self._box, ui.element("div").classes("keepsake") as box:
            box.props("role=listitem")
            button = ui.element("button").classes("open")
            button.props(f'type=button aria-label="{hint}" title="{hint}"')
            button.on("click", lambda: self._restore(state))
            with button:
                image = ui.element("img").props('alt=""')
                image.classes("pixels" if self._pixels else "")
                image.props["src"] = source
            drop = ui.element("button").classes("drop").on("click", box.delete)
            drop.props('type=button aria-label="let it go"')
            with drop:
                ui.label("\u00d7")
        box.move(target_index=0)
        for old in self._box.default_slot.children[MOST_KEPT:]:
            old.delete()
