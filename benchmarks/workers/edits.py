"""Edits of projected faces, judged by the factor network."""

from collections.abc import Callable, Sequence

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.data import demo
from stylegan_tf.latents.directions import label_directions

EDITED = ("smile", "glasses", "hair", "yaw")
AMOUNT = 2.0  # deviations of an edit
SEEDS = 3000  # that directions are found in


class Judge:
    """Edits along the directions of labels, and what they did.

    Args:
        model: whose samples the directions are found in.
        network: the factor network.
    """

    def __init__(self, model, network):
        self.network, seeds = network, range(SEEDS)
        images = np.stack([image for _, image in sampling.draw(model, seeds)])
        w = sampling.styles(model, seeds)[:, 0]
        found = label_directions(w, network.factors(images))
        names = [name for name in found.names if name.split(".")[0] in EDITED]
        self.steps = {name: AMOUNT * found.step(name) for name in names}

    def row(
        self,
        draw: Callable[[np.ndarray], np.ndarray],
        ws: np.ndarray,
        targets: np.ndarray | None = None,
    ) -> tuple[dict[str, float], np.ndarray]:
        """Returns what the edits did, and the images of the first edit.

        Args:
            draw: draws styles [N, num_styles, w_dim].
            ws: of the pictures.
            targets: that these shall look like, uint8 [N, H, W, C].

        Returns:
            "moved": how far the edited factor moves; "kept": the share of the others
            that stay; "right" and "right after": the share of factors that are the
            target's, before the edit, and of those not edited after it.
        """
        plain, first = self.network.factors(draw(ws)), None
        true = None if targets is None else self.network.factors(targets)
        found: dict[str, list[float]] = {"moved": [], "kept": [], "right after": []}
        for name, step in self.steps.items():
            images = draw(ws + step)
            first = images if first is None else first
            moved, factor = self.network.factors(images), name.split(".")[0]
            found["moved"].append(shift(name, plain, moved))
            found["kept"].append(kept(plain, moved, factor))
            if true is not None:
                found["right after"].append(kept(true, moved, factor))
        row = {name: float(np.mean(values)) for name, values in found.items() if values}
        if true is not None:
            row["right"] = kept(true, plain, "")
        return row, first


def shift(name: str, before: dict, after: dict) -> float:
    """Returns how far an edit moves its factor: a probability, or a part of a range."""
    factor, _, value = name.partition(".")
    a, b = before[factor], after[factor]
    if a.ndim == 2:
        column = int(value or 1)
        return float((b[:, column] - a[:, column]).mean())
    return float((b - a).mean() / (1 - demo.FACTORS[factor].low))


def kept(before: dict, after: dict, but: str) -> float:
    """Returns the share of the other factors with a choice that stay what they are."""
    same = [
        (before[name].argmax(axis=1) == after[name].argmax(axis=1)).mean()
        for name in before
        if name != but and before[name].ndim == 2
    ]
    return float(np.mean(same))


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def draw_rows(images: dict[str, np.ndarray], path: str, count: int = 8) -> None:
    """Draws a row of images for each name, and prints the names."""
    from stylegan_tf import figures

    first = next(iter(images.values()))
    count = min(count, len(first))
    factor = figures.sheets.factor_to(*first.shape[1:3], 64)
    rows = [figures.enlarge(x[:count], factor) for x in images.values()]
    print("rows of the figure:", "; ".join(images))
    figures.save_image(path, figures.image_grid(np.concatenate(rows), count, 4))
