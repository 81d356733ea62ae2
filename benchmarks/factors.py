"""Factors of the demo: the layers that control them, the latents that hold them.

    python benchmarks/factors.py --models=runs/00000-demo-demo
    python benchmarks/factors.py --models=RUN,RUN2 --out=docs/images/factors.png
    python benchmarks/factors.py --models=bench/ladder-f,bench/ladder-b --scores=only

For models of the built-in faces. The figure has a panel for each model with styles by
layer: the share of every factor that one layer's style brings along when it is taken
from another picture (`workers/layer_control.py` says what exactly), gray
where it is no more than the feature network's own confusion. The factors of pose and
shape are above the line, colors below.

Two tables follow: where each factor is controlled, and DCI, MIG and SAP of z and w
(`stylegan_tf/metrics/factors.py`). A folder with several runs stands for its last one.
"""

from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.list("models", [], "Runs or models, with commas.")
define.integer("pairs", 1000, "Pairs of seeds.", lower_bound=2)
define.integer("num", 4000, "Pictures for the scores.", lower_bound=100)
define.enum(
    "scores",
    "yes",
    ["yes", "no", "only"],
    "Compute DCI, MIG and SAP: beside the figure, not, or nothing else.",
)
define.string("out", "docs/images/factors.png", "The figure.")


def main(argv: Sequence[str]) -> int:
    """Measures, prints, draws."""
    from stylegan_tf.errors import UserError

    if not FLAGS.models:
        raise UserError("name models of the built-in faces with --models=RUN,RUN2.")
    cli.load_tensorflow()
    from workers import layer_control

    from stylegan_tf import models
    from stylegan_tf.metrics.features import builtin_own
    from stylegan_tf.metrics.scores import disentanglement

    network, tables, scores = builtin_own.load_builtin(), {}, {}
    for name in FLAGS.models:
        model = models.load(run_in(name))
        if FLAGS.scores != "only" and model.config.num_styles > 1:
            tables[name] = layer_control.layer_table(
                model, network, FLAGS.pairs, progress=True
            )
        if FLAGS.scores != "no":
            spaces = ("z", "w", "w_pca")
            scores[name] = disentanglement.measure_disentanglement(
                model, network, FLAGS.num, spaces, progress=True
            )
    if tables:
        print(where_table(tables, network.name))
        figure(tables, network.name, FLAGS.out)
    if scores:
        print(score_table(scores, network.name))
    return 0


def run_in(folder: str) -> Path:
    """A model's path: as given, or the last run in a folder of runs."""
    runs = sorted(Path(folder).glob("[0-9]*-*"))
    return runs[-1] if runs else Path(folder)


def ordered(table) -> tuple[list[int], int]:
    """Rows, pose and shape first; and how many those are."""
    from workers.layer_control import COLOR, SHAPE

    names = list(table.factors)
    shape = [names.index(name) for name in SHAPE if name in names]
    return shape + [names.index(name) for name in COLOR if name in names], len(shape)


def where_table(tables: dict, network: str) -> str:
    """By factor: the layer with the largest share, and the center, in Markdown."""
    head = [f"factor [{network}]", *(Path(name).name for name in tables)]
    lines = [head, ["---"] * len(head)]
    first = next(iter(tables.values()))
    for row in ordered(first)[0]:
        cells = [first.factors[row]]
        for t in tables.values():
            best = int(t.share[row, : t.singles].argmax())
            share, error = t.share[row, best], t.error[row, best]
            doubt = "" if share > t.own_error[row] else "?"
            found = f"{t.layers[best]}: {share:.2f} ± {error:.2f}{doubt}"
            cells.append(f"{found}, around {2 ** t.center()[row]:.0f}")
        lines.append(cells)
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def score_table(scores: dict, network: str) -> str:
    """A row for each model and space, in Markdown."""
    columns = {"dci_d": "D", "dci_c": "C", "dci_i": "I", "mig": "MIG", "sap": "SAP"}
    lines = [["model", f"space [{network}]", *columns.values()]]
    lines.append(["---"] * len(lines[0]))
    for name, found in scores.items():
        for space in ("z", "w", "w_pca"):
            values = [f"{found[f'{column}_{space}']:.3f}" for column in columns]
            lines.append([Path(name).name, space, *values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def figure(tables: dict, network: str, path: str) -> None:
    """Heat maps side by side."""
    from workers.plotting import load_pyplot

    pyplot = load_pyplot()

    widths = [len(t.layers) + 1 for t in tables.values()]
    fig, axes = pyplot.subplots(
        1,
        len(tables),
        figsize=(1.9 + 0.42 * sum(widths), 6.2),
        width_ratios=widths,
        squeeze=False,
    )
    for axis, (name, t) in zip(axes[0], tables.items(), strict=True):
        panel(axis, t, Path(name).name, named=axis is axes[0, 0])
    fig.suptitle(
        f"share of a factor that a layer's style brings along [{network}]; "
        "gray: within the network's own error (in brackets)",
        fontsize=11,
    )
    fig.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=100)


def panel(axis, t, title: str, named: bool) -> None:
    """One model's heat map, numbers in the cells, its rows named or not."""
    import numpy as np

    rows, shapes = ordered(t)
    share, own = t.share[rows], t.own_error[rows, None]
    axis.imshow(np.clip(share, 0, 1), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (i, j), value in np.ndenumerate(share):
        sure = not value < own[i, 0]
        color = ("white" if value > 0.6 else "black") if sure else "darkgray"
        axis.text(
            j, i, f"{value:.2f}"[-3 if value < 1 else 0 :], ha="center", va="center",
            fontsize=10, color=color,
        )  # fmt: skip
    names = [f"{t.factors[r]} ({t.own_error[r]:.2f})" for r in rows]
    axis.set_yticks(range(len(rows)), names if named else [], fontsize=11)
    axis.set_xticks(range(len(t.layers)), t.layers, fontsize=11, rotation=90)
    axis.axhline(shapes - 0.5, color="black", linewidth=1.2)
    axis.axvline(t.singles - 0.5, color="black", linewidth=1.2)
    axis.set_title(title, fontsize=11)


if __name__ == "__main__":
    cli.run(main, FLAGS)
