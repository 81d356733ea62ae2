"""The controls of the page; each changes the state of its tab, and shows it."""

from collections.abc import Callable
from dataclasses import replace

from nicegui import ui

from stylegan_tf import sampling
from stylegan_tf.explorer.controls import Dial, card, icon, put
from stylegan_tf.explorer.direction_dials import DirectionDials
from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.fields import Checkbox, Number, Select, Toggle
from stylegan_tf.explorer.hand import Hand
from stylegan_tf.explorer.state import (
    ANGLE,
    PSI,
    SHIFT,
    ImageState,
    LayerGroup,
    any_seed,
)
from stylegan_tf.latents import MAX_SEED

NOISE_NAMES = {"const": "stored", "random": "of the seed", "none": "off"}
MOST_KEPT = 60  # images in a gallery; older ones go


class Panel:
    """All controls of one tab.

    Args:
        engine: renders; knows classes, groups of layers, directions and noise.
        state: returns the tab's state.
        change: sets a new one.
        hand: adds the card of the pointer on the picture.
        directions: adds the card of the directions.
        own: adds the card of the user's own picture.
    """

    def __init__(
        self,
        engine: Engine,
        state: Callable[[], ImageState],
        change: Callable[[ImageState], None],
        hand: Callable[[], Hand],
        directions: Callable[[], DirectionDials],
        own: Callable[[], object],
    ):
        self.engine, self._state, self._change = engine, state, change
        self._showing = False
        self._shows: list[Callable[[ImageState], None]] = []  # one or more a control
        self._seed()
        if engine.model.config.classes:
            self._classes()
        if engine.groups:
            self._mixing()
        self.hand = hand()
        self._reset(self.hand.head, "where dragging led", walk=(), edits={}, drag=None)
        if engine.choice.names:
            self.directions = directions()
            self._shows.append(self.directions.show)
            head = self.directions.head
            self._reset(head, "directions", edits={}, edit_group=None)
        own()
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
                seed = self._seed_field("seed", self._to_seed)
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
            kept = ui.label().classes("note").mark("kept")
            self._shows.append(lambda s: (put(seed, s.seed), psi.show(s.psi)))
            self._shows.append(lambda s: _say_kept(kept, s))
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
        """Sets a random seed, and takes back what a hand did to the last picture."""
        self._to(lambda s: s.reseeded(any_seed()))

    def _to_seed(self, seed: int) -> None:
        self._set(seed=seed, picture=None, drag=None)

    def _step(self, by: int) -> None:
        self._to_seed(min(max(self._state().seed + by, 0), MAX_SEED))

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
        self._shows.append(lambda s: put(choice, s.label))

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
        self._shows.append(lambda s: put(field, s.mixes[i]))

    # -----------------------------------------------------------------------
    # Noise

    def _noise(self) -> None:
        with card("Noise") as head:
            mode = Toggle(NOISE_NAMES, value="const").mark("noise")
            mode.props("no-caps unelevated dense spread")
            mode.on_value_change(lambda e: self._set(noise=e.value))
            self._shows.append(lambda s: put(mode, s.noise))
            with ui.element("div").classes("checks"):
                for resolution in self.engine.resolutions:
                    self._resolution(resolution)
        self._reset(head, "noise", noise="const", muted=frozenset())

    def _resolution(self, resolution: int) -> None:
        def changed(event) -> None:
            self._to(lambda s: s.unmuted(resolution, event.value))

        height, width = self.engine.model.config.shape(resolution)
        size = f"{height}\u00d7{width}"
        box = Checkbox(size, value=True, on_change=changed).mark(f"noise {resolution}")
        box.props(f'dense aria-label="noise at {size}"')
        self._shows.append(lambda s: put(box, resolution not in s.muted))

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


def _say_kept(label: ui.label, state: ImageState) -> None:
    """Says what the next seed keeps of this picture."""
    kept = [name for name in state.offsets if name != "dragged points"]
    text = f"The next seed keeps {' and '.join(kept)}; Random does not."
    label.text = text if kept else ""
    label.visible = bool(kept)


class Gallery:
    """Images that were kept, the newest first.

    Args:
        restore: is given the engine and the state of an image that is clicked.
    """

    def __init__(self, restore: Callable[[Engine, ImageState], None]):
        self._restore, self._count = restore, 0
        self._box = ui.element("div").classes("gallery")
        self._box.props('role=list aria-label="kept pictures"')

    def keep(
        self, engine: Engine, state: ImageState, source: str, pixels: bool
    ) -> None:
        """Adds an image.

        Args:
            engine: that renders it.
            state: of the image.
            source: URL of its PNG.
            pixels: enlarge it pixel by pixel.
        """
        self._count += 1
        name = state.picture.name if state.picture else f"seed {state.seed}"
        hint = f"back to kept picture {self._count}, {name}"
        with self._box, ui.element("div").classes("keepsake") as box:
            box.props("role=listitem")
            button = ui.element("button").classes("open")
            button.props(f'type=button aria-label="{hint}" title="{hint}"')
            button.on("click", lambda: self._restore(engine, state))
            with button:
                image = ui.element("img").props('alt=""')
                image.classes("pixels" if pixels else "")
                image.props["src"] = source
            drop = ui.element("button").classes("drop").on("click", box.delete)
            drop.props('type=button aria-label="let it go"')
            with drop:
                ui.label("\u00d7")
        box.move(target_index=0)
        for old in self._box.default_slot.children[MOST_KEPT:]:
            old.delete()
