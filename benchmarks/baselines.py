"""One table: DCGAN, conditional GAN, the ladder A to F and StyleGAN2.

    python benchmarks/baselines.py --kimg=32 --resolution=16 --out=bench

Every model is trained by launch/train.py on the built-in faces, at one size, for the
same number of images, all but DCGAN's with the widths and the rates of the preset
`demo`. The table gives the weights of the generator, the time taken, and the Frechet
distance between drawn and real pictures in the features of the network that heads the
column. The first row is the distance between two halves of the real pictures: nothing
can be expected below it. A run that is there already is measured and not trained again.
"""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

from stylegan_tf.config import presets

FLAGS, define = cli.flag_set()
define.integer("resolution", 16, "Size of the pictures.")
define.float("kimg", 32, "Thousands of images, for each.")
define.integer("num", 5000, "Pictures drawn with each.")
define.list("models", [], "Only these rows.")
define.string("out", "bench", "Folder of the runs.")

TRAIN = Path(__file__).parents[1] / "launch" / "train.py"


def rows() -> dict[str, list[str]]:
    """Name of a row -> what it adds to the command line."""
    dcgan = ["--preset=dcgan", "--batch=16"]
    table = {"dcgan": dcgan, "cgan": [*dcgan, "--labels=auto"]}
    for letter in presets.LADDER:
        table[f"ladder-{letter}"] = [f"--preset=demo-ladder-{letter}"]
    table["stylegan2"] = ["--preset=demo-stylegan2", "--batch=8"]
    return table


def train(name: str, arguments: list[str]) -> tuple[Path, float]:
    """The run of a row, trained if need be; and the seconds that training took."""
    out = Path(FLAGS.out) / name
    command = [sys.executable, str(TRAIN), f"--out={out}", f"--kimg={FLAGS.kimg:g}"]
    command += [f"--resolution={FLAGS.resolution}", *arguments]
    subprocess.run(command, check=True)
    run = sorted(out.glob("[0-9]*-*"))[-1]
    return run, json.loads((run / "progress.json").read_text(encoding="utf-8"))[
        "seconds"
    ]


def evaluation(network, run: Path):
    """Makes the evaluation of a run's model beside its training data."""
    from stylegan_tf import devices
    from stylegan_tf.metrics import subject
    from stylegan_tf.metrics.evaluation import Evaluation

    strategy = devices.make_strategy("one")
    found = subject.open_subject(run, strategy)
    how = {"nimg": found.nimg, "progress": True}
    return Evaluation(found.model, found.data, network, strategy, run, **how)


def floor(measured) -> float:
    """The distance between two halves of the real pictures."""
    from stylegan_tf.metrics.scores.distribution import Moments, frechet_distance

    features = measured.reals("features", measured.manifest.count, mirror=False)
    halves = [Moments(measured.network.size) for _ in range(2)]
    for k, half in enumerate(halves):
        half.add(features[k::2])
    return frechet_distance(*halves)


def main(argv: Sequence[str]) -> int:
    """Trains, measures and prints the table."""
    cli.load_tensorflow()
    from stylegan_tf.metrics import features, results, suite

    network, lines = features.open_network("random"), []
    (request,) = suite.parse_metrics("fid50k_full", FLAGS.num)
    for name, arguments in rows().items():
        if FLAGS.models and name not in FLAGS.models:
            continue
        run, seconds = train(name, arguments)
        measured = evaluation(network, run)
        if not lines:
            real = f"{floor(measured):.4f}"
            lines += [f"| real, one half against the other | | | {real} |"]
        (row,) = measured.run([request])
        weights = sum(v.shape.num_elements() for v in measured.model.trainable_weights)
        cells = name, f"{weights:,}", f"{seconds / 60:.1f}", f"{row['value']:.4f}"
        lines += [f"| {' | '.join(cells)} |"]
        print(lines[-1], flush=True)
    label = results.metric_label({"metric": request.name, "network": network.name})
    size = f"{FLAGS.resolution}x{FLAGS.resolution}"
    print(f"\n{FLAGS.kimg:g} thousand images of {size}, {time.strftime('%Y-%m-%d')}\n")
    head = f"| model | weights of G | minutes | {label} |"
    print("\n".join([head, "|---|---|---|---|", *lines]))
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
