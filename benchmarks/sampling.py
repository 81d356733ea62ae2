"""Speed of sampling, beside a plain PyTorch and a plain Keras generator.

    pip install torch
    python benchmarks/sampling.py
    python benchmarks/sampling.py --resolutions=64 --rounds=9 --json=sampling.json

The official generator (8192 feature maps halved at each doubling, at most 512) draws
finished uint8 pictures from z, with psi 0.7 and stored noise, in float32; the programs
take turns. Several are drawn at once (8 at 64, 4 at 256; ours draws them one by one),
and then a single one. PyTorch runs channels last and compiled, Keras compiled by
`tf.function`; then each as its users would begin, PyTorch plain and eager, Keras by
`model.predict`.
"times" is how often ours draws while the other program draws once.
"""

import contextlib
from collections.abc import Sequence

from stylegan_tf_launch import cli
from workers import pairing

FLAGS, define = cli.flag_set()
define.list("resolutions", ["64", "256", "1024"], "Sides.")
define.integer("rounds", 5, "Turns of each program.")
define.bool("plain", True, "Also as users begin.")
define.string("json", None, "Write the rows to this file.")

BATCH = {64: 8, 256: 4, 1024: 1}
PROGRAMS = {
    "ours": ("draw_ours.py",),
    "PyTorch": ("draw_torch.py", "--compile"),
    "Keras": ("draw_keras.py",),
}
PLAIN = {
    "PyTorch, as users begin": ("draw_torch.py", "--plain"),
    "Keras, as users begin": ("draw_keras.py", "--predict"),
}


def main(argv: Sequence[str]) -> int:
    """Times and prints the table."""
    columns = ["resolution", "drawn at once", "program", "pictures a second"]
    columns += ["seconds a picture", "times"]
    results = pairing.Results(columns, FLAGS.json)
    for resolution in map(int, FLAGS.resolutions):
        for batch in dict.fromkeys((_batch(resolution), 1)):
            for row in measure(resolution, batch):
                results.add(row.values(), row)
    return 0


def _batch(resolution: int) -> int:
    return BATCH[max(r for r in BATCH if r <= max(resolution, 64))]


def measure(resolution: int, batch: int) -> list[dict]:
    """A row a program: name, pictures a second, seconds a picture, ours over theirs."""
    programs = PROGRAMS | (PLAIN if FLAGS.plain else {})
    with contextlib.ExitStack() as open_:
        turns = {}
        for name, (script, *more) in programs.items():
            size = [f"--resolution={resolution}", f"--batch={batch}"]
            worker = open_.enter_context(pairing.Worker(script, [*size, *more]))
            turns[name] = lambda worker=worker: worker.run(1)
        seconds = pairing.in_turns(turns, FLAGS.rounds)
    return [
        {
            "resolution": resolution,
            "drawn_at_once": batch,
            "program": name,
            "pictures_per_second": batch / timed.wall,
            "seconds_per_picture": timed.wall / batch,
            "ratio": timed.wall / seconds["ours"].wall,
        }
        for name, timed in seconds.items()
    ]


if __name__ == "__main__":
    cli.run(main, FLAGS)
