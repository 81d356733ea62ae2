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

from absl import flags
from stylegan_tf_launch import cli

from stylegan_tf import presets

FLAGS = flags.FlagValues()
flags.DEFINE_integer("resolution", 16, "Size of the pictures.", flag_values=FLAGS)
flags.DEFINE_float("kimg", 32, "Thousands of images, for each.", flag_values=FLAGS)
flags.DEFINE_integer("num", 5000, "Pictures drawn with each.", flag_values=FLAGS)
flags.DEFINE_list("models", [], "Only these rows.", flag_values=FLAGS)
flags.DEFINE_string("out", "bench", "Folder of the runs.", flag_values=FLAGS)

TRAIN = Path(__file__).parents[1] / "launch" / "train.py"


def rows() -> dict[str, list[str]]:
    """Name of a row -> what it adds to the command line."""
    dcgan = ["--preset=dcgan", "--batch=16"]
    table = {"dcgan": dcgan, "cgan": [*dcgan, "--labels=auto"]}
    for letter, changes in presets.LADDER.items():
        named = [f"--set={name}={_text(value)}" for name, value in changes.items()]
        table[f"ladder-{letter}"] = ["--preset=demo", *named]
    table["stylegan2"] = ["--preset=demo-stylegan2", "--batch=8"]
    return table


def _text(value) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def train(name: str, arguments: list[str]) -> tuple[Path, float]:
    """The run of a row, trained if need be; and the seconds that training took."""
    out = Path(FLAGS.out) / name
    command = [sys.executable, str(TRAIN), f"--out={out}", f"--kimg={FLAGS.kimg:g}"]
    command += [f"--resolution={FLAGS.resolution}", *arguments]
    subprocess.run(command, check=True)
    run = sorted(out.glob("[0-9]*-*"))[-1]
    return run, json.loads((run / "progress.json").read_text())["seconds"]


def reals(network, data: Path):
    """Moments of all real pictures, and the distance of their halves."""
    from stylegan_tf.data import pipeline
    from stylegan_tf.data.manifest import Manifest
    from stylegan_tf.metrics.distribution import Moments, frechet

    count = Manifest.load(data).count
    images = pipeline.first_images(data, FLAGS.resolution, count)
    features = network(images)
    whole, *halves = (Moments(network.size) for _ in range(3))
    whole.add(features)
    halves[0].add(features[::2])
    halves[1].add(features[1::2])
    return whole, frechet(*halves)


def fakes(network, run: Path):
    """Moments of drawn pictures, untruncated, fresh noise; and G's weights."""
    from stylegan_tf import export, sampling
    from stylegan_tf.metrics.distribution import Moments
    from stylegan_tf.metrics.features import in_batches

    model = export.load(run)
    drawn = sampling.draw(model, range(FLAGS.num), noise="random")
    moments = Moments(network.size)
    for images in in_batches(picture for _, picture in drawn):
        moments.add(network(images))
    if moments.count != FLAGS.num:
        raise RuntimeError(f"{moments.count} pictures of {FLAGS.num} were measured.")
    return moments, sum(int(v.numpy().size) for v in model.trainable_weights)


def main(argv: Sequence[str]) -> int:
    """Trains, measures and prints the table."""
    cli.load_tensorflow()
    from stylegan_tf.metrics.distribution import frechet
    from stylegan_tf.metrics.features import RandomFeatures

    network, lines, real = RandomFeatures(), [], None
    for name, arguments in rows().items():
        if FLAGS.models and name not in FLAGS.models:
            continue
        run, seconds = train(name, arguments)
        if real is None:
            data = (run / "data.txt").read_text().split(maxsplit=1)[1].strip()
            real, floor = reals(network, Path(data))
            lines += [f"| real, one half against the other | | | {floor:.4f} |"]
        moments, weights = fakes(network, run)
        distance = frechet(real, moments)
        lines += [f"| {name} | {weights:,} | {seconds / 60:.1f} | {distance:.4f} |"]
        print(lines[-1], flush=True)
    head = f"| model | weights of G | minutes | FD {FLAGS.num} [{network.name}] |"
    size = f"{FLAGS.resolution}x{FLAGS.resolution}"
    print(f"\n{FLAGS.kimg:g} thousand images of {size}, {time.strftime('%Y-%m-%d')}\n")
    print("\n".join([head, "|---|---|---|---|", *lines]))
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
