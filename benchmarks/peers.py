"""Our training step against others of the same architecture, in turns.

    python benchmarks/peers.py --resolutions=32 --precisions=float32
    python benchmarks/peers.py --peers=pytorch,keras --json=peers.json
    python benchmarks/peers.py --peers=stylegan2-pytorch --precisions=float32,defaults
    python benchmarks/peers.py --same_work

A peer is a program of its own; one works at a time, and what counts are medians of
turns. `pytorch` and `keras` are a plain PyTorch and a plain Keras StyleGAN, written for
this comparison (`peer_torch.py`, `peer_keras.py`): the same networks (z and w 128 wide,
up to 128 maps, batch 16), logistic loss with R1 in every step of D, one step of D and
one of G. Ours generates the images of a step once, for D and for G (`loss.reuse_fakes`,
as the preset demo does). With --same_work it generates them twice, as the others do.
`stylegan2-pytorch` is the package of that name at its own architecture, which is
another: its ratio is that of multiply-adds a second, each by what it executes, but in
`defaults` that of images a second.

Precisions: float32, bfloat16, and `defaults`, what each would choose. Ours is then
bfloat16 where the processor has it, with R1 every 16 steps; the plain ones are float32
with R1 in every step; stylegan2-pytorch has its command line's batches of 5, six rounds
per step. The peers need packages: pip install -e ".[peers]".
"""

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

from stylegan_tf_launch import cli
from workers import matched, pairing

from stylegan_tf.errors import UserError

FLAGS, define = cli.flag_set()
define.list("resolutions", ["32", "64"], "Sizes.")
define.list(
    "precisions", ["float32", "bfloat16", "defaults"], "float32, bfloat16, defaults."
)
define.list("peers", ["pytorch", "keras", "stylegan2-pytorch"], "Who is compared.")
define.integer("rounds", 5, "Turns of each.", lower_bound=1)
define.bool("same_work", False, "Ours generates images for each step, too.")
define.multi_string("set", [], "A setting of ours, as in launch/train.py.")
define.string("json", None, "File for the rows.")

OURS = "ours"
SHARED = ("loss.reuse_fakes=true",)  # one pass of G for both steps
SECONDS = 2.0  # a turn, about
COLUMNS = ("peer", "size", "precision", "its images/s", "ours", "ratio", "by")


class Peer(NamedTuple):
    """A program to compare with.

    Attributes:
        script: worker in this folder.
        needs: packages.
        precisions: that it has.
        arguments: of the worker, by precision.
        own: whether its architecture is its own.
    """

    script: str
    needs: tuple[str, ...]
    precisions: tuple[str, ...]
    arguments: dict[str, tuple[str, ...]]
    own: bool = False


PLAIN = {
    "float32": ("--precision=float32",),
    "bfloat16": ("--precision=bfloat16",),
    "defaults": ("--precision=float32",),
}
BOX = {
    "float32": ("--batch=16", "--accumulate=1"),
    "defaults": ("--batch=5", "--accumulate=6"),
}
PEERS = {
    "pytorch": Peer("peer_torch.py", ("torch",), tuple(PLAIN), PLAIN),
    "keras": Peer("peer_keras.py", ("keras",), tuple(PLAIN), PLAIN),
    "stylegan2-pytorch": Peer(
        "peer_stylegan2_pytorch.py",
        ("torch", "stylegan2_pytorch"),
        tuple(BOX),
        BOX,
        own=True,
    ),
}


class Rate(NamedTuple):
    """Images a second, and multiply-adds an image where they are known."""

    images: float
    macs: float | None


def row(name: str, size: int, precision: str, ours: Rate, theirs: Rate) -> dict:
    """One comparison, as `--json` writes it: `ratio` is ours over theirs."""
    ratio = ours.images / theirs.images
    if by_operations(name, precision):
        ratio *= ours.macs / theirs.macs
    return {
        "peer": name,
        "resolution": size,
        "precision": precision,
        "images_per_second": theirs.images,
        "ratio": ratio,
    }


def by_operations(name: str, precision: str) -> bool:
    """Returns True if multiply-adds are compared, as the networks differ."""
    return name in PEERS and PEERS[name].own and precision != "defaults"


def compare(
    names: Sequence[str],
    size: int,
    precision: str,
    rounds: int,
    changes: Sequence[str] = (),
) -> list:
    """Rows of the table, and of the JSON file, of one size and precision.

    Args:
        names: keys of `PEERS`.
        size: of the pictures.
        precision: float32, bfloat16 or defaults.
        rounds: turns of each.
        changes: of our settings, name=value.
    """
    names = [name for name in names if precision in PEERS[name].precisions]
    if not names:
        return []
    with ExitStack() as stack:
        own = f"--precision={precision}", f"--set={' '.join(changes)}"
        workers = {OURS: ("peer_ours.py", own)}
        workers |= {n: (PEERS[n].script, PEERS[n].arguments[precision]) for n in names}
        for name, (script, arguments) in workers.items():
            print(f"{name}, {size}x{size}, {precision} ...", file=sys.stderr)
            arguments = (f"--resolution={size}", *arguments)
            workers[name] = stack.enter_context(pairing.Worker(script, arguments))
        rates = measure(workers, rounds)
    return [
        (row(name, size, precision, rates[OURS], rates[name]), rates[OURS])
        for name in names
    ]


def measure(workers: dict[str, pairing.Worker], rounds: int) -> dict[str, Rate]:
    """Images a second of workers that take turns of about two seconds."""
    steps = {n: max(round(SECONDS / w.run(1).wall), 1) for n, w in workers.items()}
    # The penalty that comes every 16 steps costs its share in every turn.
    steps = {n: _whole(steps[n], w.about.get("cycle", 1)) for n, w in workers.items()}
    turns = {n: lambda n=n, w=w: w.run(steps[n]) for n, w in workers.items()}
    times = pairing.in_turns(turns, rounds)
    images = {n: w.about.get("images", matched.BATCH) for n, w in workers.items()}
    return {
        n: Rate(steps[n] * images[n] / times[n].wall, w.about.get("macs"))
        for n, w in workers.items()
    }


def _whole(steps: int, cycle: int) -> int:
    return -(-steps // cycle) * cycle


def own_changes(same_work: bool, given: Sequence[str]) -> list[str]:
    """Settings of ours: one pass of G for both steps, unless the work is to be the
    same, and the settings that are given."""
    return [*([] if same_work else SHARED), *given]


def line(row: dict, ours: Rate) -> tuple:
    """A row of the printed table."""
    size, name, precision = row["resolution"], row["peer"], row["precision"]
    what = "multiply-adds/s" if by_operations(name, precision) else "images/s"
    theirs = row["images_per_second"]
    head = name, f"{size}x{size}", precision
    return *head, theirs, ours.images, f"{row['ratio']:.2f}", what


def check(names: Sequence[str], precisions: Sequence[str]) -> list[str]:
    """The peers that can run here; says of others what they lack.

    Raises:
        UserError: an unknown peer or precision, or not one that can run.
    """
    for kind, given, known in (
        ("peer", names, tuple(PEERS)),
        ("precision", precisions, tuple(PLAIN)),
    ):
        for name in set(given) - set(known):
            raise UserError(f"there is no {kind} {name!r}; use {', '.join(known)}.")
    able = []
    for name in names:
        problem = matched.missing(PEERS[name].needs)
        if problem:
            print(f"{name} is left out: {problem}", file=sys.stderr)
        else:
            able.append(name)
    if not able:
        raise UserError(f"no peer can run here; {matched.PEERS_EXTRA} brings them.")
    return able


def main(argv: Sequence[str]) -> int:
    """Measures, prints the table and writes the rows."""
    names = check(FLAGS.peers, FLAGS.precisions)
    results = pairing.Results(COLUMNS, FLAGS.json)
    for size in map(int, FLAGS.resolutions):
        for precision in FLAGS.precisions:
            changes = own_changes(FLAGS.same_work, FLAGS.set)
            # Three programs at a time: they hold their memory while they wait.
            for some in (
                [n for n in names if not PEERS[n].own],
                [n for n in names if PEERS[n].own],
            ):
                for row, ours in compare(some, size, precision, FLAGS.rounds, changes):
                    results.add(line(row, ours), row)
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
