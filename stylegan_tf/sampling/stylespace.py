"""Style channels (StyleSpace; Wu et al. 2021): edits of single numbers of a style.

    edited = edit_channels(model, [Edit("s3.17", 4.0)])
    table = measure_channels(model, sampling.styles(model, range(16), psi=0.7))

Each layer reads a style through an affine layer, s = A w + b: the scales of feature
maps, in StyleGAN their shifts as well. `s3.17` is channel 17 of what style 3 becomes:
numbered through the affine layers that read it, in StyleGAN2 that of `to_rgb` before
that of the next convolution, in StyleGAN scales before shifts. A channel moves less of
the picture than a direction in w, often one thing in one place.

An edit adds AMOUNT standard deviations of a channel to it, in every picture. That is a
change of b, so the edited model is a model like any other.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np

from stylegan_tf.errors import UserError
from stylegan_tf.latents import Edit, parse_edit
from stylegan_tf.networks.generator import Generator, plain_copy
from stylegan_tf.progress import ProgressBar
from stylegan_tf.sampling import centers, renderer
from stylegan_tf.sampling.steering import affine_layers

CHANNEL = re.compile(r"s(\d{1,3})\.(\d{1,5})")
AMOUNT = 4.0  # standard deviations that a channel is moved to see what it does
Factors = dict[str, np.ndarray]


class ChannelEditor:
    """Moves channels of a model, which it changes.

    Args:
        model: the generator.

    Attributes:
        deviations: for each style the standard deviations of its channels, float32.

    Raises:
        UserError: the model has no styles.
    """

    def __init__(self, model: Generator):
        w = centers.sample_w(model).astype(np.float64)
        self.affines = affine_layers(model)
        self.deviations = [
            np.concatenate([(w @ affine.weights).std(axis=0) for affine in own])
            if own
            else np.zeros(0)
            for own in self.affines
        ]

    def move(self, name: str, amount: float) -> None:
        """Adds so many standard deviations to a channel.

        Raises:
            UserError: there is no such channel.
        """
        style, channel = self._place(name)
        change = amount * self.deviations[style][channel]
        for affine in self.affines[style]:
            count = affine.bias.shape[0]
            if channel < count:
                bias = affine.bias.numpy()
                bias[channel] += change
                affine.bias.assign(bias)
                return
            channel -= count

    def _place(self, name: str) -> tuple[int, int]:
        match, counts = CHANNEL.fullmatch(name), [len(d) for d in self.deviations]
        style, channel = (int(match[1]), int(match[2])) if match else (-1, -1)
        if not (0 <= style < len(counts) and channel < counts[style]):
            known = ", ".join(f"s{i}.0-{n - 1}" for i, n in enumerate(counts) if n)
            raise UserError(f"there is no channel {name}; the model has {known}.")
        return style, channel

    @contextmanager
    def moved(self, name: str, amount: float) -> Iterator[None]:
        """Moves a channel for a while; see `move`."""
        before = [[affine.bias.numpy() for affine in own] for own in self.affines]
        self.move(name, amount)
        try:
            yield
        finally:
            for own, values in zip(self.affines, before, strict=True):
                for affine, bias in zip(own, values, strict=True):
                    affine.bias.assign(bias)


def edit_channels(model: Generator, edits: Sequence[Edit]) -> Generator:
    """Returns a copy of a model with channels moved.

    Args:
        model: the generator.
        edits: names such as "s3.17" and amounts in standard deviations.

    Raises:
        UserError: no such channel, or layers, of which a channel has one.
    """
    copy = plain_copy(model)
    if hasattr(model, "given_labels"):
        copy.given_labels = model.given_labels
    editor = ChannelEditor(copy)
    for edit in edits:
        if edit.layers is not None:
            raise UserError(f"{edit.name} is of one layer; leave its @LAYERS out.")
        editor.move(edit.name, edit.amount)
    return copy


def split_edits(
    texts: Sequence[str], count: int, known: Sequence[str] = ()
) -> tuple[list[Edit], list[str]]:
    """Tells edits of channels from edits along directions.

    Args:
        texts: such as "s3.17:4" and "pca0:2"; see `latents.parse_edit`.
        count: number of styles.
        known: names of directions, which come first.

    Returns:
        The edits of channels, and the other texts.
    """
    own, rest = [], []
    for text in texts:
        edit = parse_edit(text, count)
        if CHANNEL.fullmatch(edit.name) and edit.name not in known:
            own.append(edit)
        else:
            rest.append(text)
    return own, rest


# ---------------------------------------------------------------------------
# What a channel moves


@dataclass(frozen=True)
class ChannelTable:
    """Changes that K channels make in the pictures of a model.

    Attributes:
        names: K names.
        strength: float [K], mean change of a pixel, of its range.
        area: float [K], the share of the picture that changes.
        row: float [K], where: 0 is the upper edge, 1 the lower one.
        column: float [K], where: 0 is the left edge, 1 the right one.
        shares: factor -> float [K], its mean squared change, of that between two
            pictures; {} = nobody was asked.
    """

    names: tuple[str, ...]
    strength: np.ndarray
    area: np.ndarray
    row: np.ndarray
    column: np.ndarray
    shares: Factors

    def best(self, count: int) -> list[int]:
        """Returns the most telling channels.

        With factors, one for each factor, then another one, and so on: of those that
        move no other factor more, the ones that move it and little else. Without, those
        with the largest change where they act.
        """
        if not self.shares:
            density = self.strength / np.maximum(self.area, 1e-9)
            return np.argsort(-density)[:count].tolist()
        shares = np.stack(list(self.shares.values()))  # [factors, K]
        own, most = shares.argmax(axis=0), shares.max(axis=0)
        score = np.minimum(most, 1) * most / np.maximum(shares.sum(axis=0), 1e-12)
        order = np.argsort(-score, kind="stable")
        turn = np.zeros(len(order), int)  # how many of its factor come before it
        for i in range(len(shares)):
            turn[own == i] = np.argsort(np.argsort(-score[own == i], kind="stable"))
        return sorted(map(int, order), key=lambda k: turn[k])[:count]

    def csv_text(self) -> str:
        """Returns a line per channel, and a heading."""
        columns = {n: getattr(self, n) for n in ("strength", "area", "row", "column")}
        columns |= self.shares
        lines = [",".join(["channel", *columns])]
        for k, name in enumerate(self.names):
            lines.append(",".join([name, *(f"{x[k]:.5g}" for x in columns.values())]))
        return "\n".join(lines) + "\n"

    def describe(self, k: int) -> str:
        """Returns what a channel moves, in words."""
        if self.shares:
            shares = {name: share[k] for name, share in self.shares.items()}
            factor = max(shares, key=shares.get)
            purity = shares[factor] / max(sum(shares.values()), 1e-12)
            return f"{factor} ({shares[factor]:.2f}, {purity:.0%} of what it moves)"
        across = ("left", "center", "right")[min(int(self.column[k] * 3), 2)]
        down = ("top", "middle", "bottom")[min(int(self.row[k] * 3), 2)]
        return f"{down} {across}, {self.area[k]:.0%} of the picture"


def measure_channels(
    model: Generator,
    ws: np.ndarray,
    judge: Callable[[np.ndarray], Factors] | None = None,
    styles: Sequence[int] = (),
    progress: bool = False,
) -> ChannelTable:
    """Moves every channel by AMOUNT deviations, and looks what changes.

    Args:
        model: the generator.
        ws: float [N, num_styles, w_dim], styles of at least two pictures.
        judge: reads factors, float [N] or [N, values] each, from uint8 pictures; None =
            look at the pixels alone.
        styles: whose channels are moved; () = all that draw.
        progress: show a bar.

    Raises:
        UserError: the model has no styles.
    """
    copy = plain_copy(model)
    editor = ChannelEditor(copy)
    render = renderer.Renderer(copy, batch=len(ws), fixed_weights=False)
    before = render(ws)
    known = judge(before) if judge else {}
    drawn = styles or range(renderer.drawn_styles(model))
    names = [f"s{i}.{k}" for i in drawn for k in range(len(editor.deviations[i]))]
    rows, shares = [], {name: [] for name in known}
    for name in ProgressBar(names, "channels", progress, unit="channel"):
        with editor.moved(name, AMOUNT):
            after = render(ws)
        rows.append(_place_of_change(before, after))
        found = judge(after) if judge else {}
        for factor, values in found.items():
            own, other = known[factor], np.roll(known[factor], 1, axis=0)
            whole = max(_squared_change(own, other), 1e-12)
            shares[factor].append(_squared_change(own, values) / whole)
    numbers = np.array(rows).T
    return ChannelTable(
        tuple(names), *numbers, {name: np.array(x) for name, x in shares.items()}
    )


def _place_of_change(before: np.ndarray, after: np.ndarray) -> tuple[float, ...]:
    """Returns strength, area, row and column of the change of [N, H, W, C]."""
    change = np.abs(after.astype(np.float64) - before).mean(axis=(0, 3)) / 255  # [H, W]
    total, (h, w) = change.sum(), change.shape
    if not total:
        return 0.0, 0.0, 0.5, 0.5
    row = (change.sum(axis=1) @ (np.arange(h) + 0.5)) / total / h
    column = (change.sum(axis=0) @ (np.arange(w) + 0.5)) / total / w
    area = total**2 / (change**2).sum() / change.size  # 1 = the same everywhere
    return change.mean(), area, row, column


def _squared_change(a: np.ndarray, b: np.ndarray) -> float:
    squares = (np.asarray(a, np.float64) - b) ** 2
    return float(squares.reshape(len(squares), -1).sum(axis=1).mean())
