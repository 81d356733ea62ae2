"""One figure: the distance in the built-in features rises with what is wrong.

    python benchmarks/builtin.py
    python benchmarks/builtin.py --num=5000 --size=32 --out=docs/images/builtin.png

Two sets of drawn faces, and one of them made worse in five ways, step by step: blurred,
noisy, compressed as JPEG, with fewer and fewer kinds of hair and hat, and with fewer
and fewer different faces, repeated. The Frechet distance to the other set must rise at
every step, in the shipped network and in one that learned from the same faces without
labels; what does not rise is named, and the exit code is then 1. The first time, the
second network is trained, which takes a few minutes.

The shipped network was trained to bear a little noise and blur, so that noise below a
deviation of about 8 of 255 hardly moves its distance.

Few different faces are seen as a poor covariance. A set that repeats none, but copies
what a generator was trained on, is as good as real to this and any Frechet distance.
"""

from collections.abc import Callable, Sequence
from pathlib import Path

from stylegan_tf_launch import cli

FLAGS, define = cli.flag_set()
define.integer("num", 2000, "Faces in each set.", lower_bound=200)
define.integer("size", 64, "Of the faces, in pixels.")
define.string("out", "docs/images/builtin.png", "The figure.")
define.string("cache", None, "Folder for the trained network and its data.")

SEED = 4  # of the demo: faces that neither training nor any data set has seen


def main(argv: Sequence[str]) -> int:
    """Measures, prints a table, draws the figure."""
    cli.load_tensorflow()
    from stylegan_tf.metrics.features import builtin_own

    real, _ = faces(0, FLAGS.num, FLAGS.size)
    fake, classes = faces(FLAGS.num, FLAGS.num, FLAGS.size)
    networks = [builtin_own.load_builtin(), without_labels(FLAGS.cache)]
    curves = {n.name: measure(n, real, fake, classes) for n in networks}
    print(table(curves))
    figure(curves, FLAGS.out)
    falling = [(n, way) for n, ways in curves.items() for way in falls(ways)]
    for name, way in falling:
        print(f"{name}: does not rise with {way}")
    return 1 if falling else 0


def faces(first: int, count: int, size: int):
    """Faces of the demo: uint8 [count, size, size, 3], and their classes, int [count].

    Args:
        first: index of the first face.
        count: of faces.
        size: pixels along each side.
    """
    import numpy as np

    from stylegan_tf.data import demo

    indices = range(first, first + count)
    images = np.stack([demo.draw_face(i, size, seed=SEED) for i in indices])
    return images, np.array([demo.factors(i, SEED)["class"] for i in indices])


def without_labels(cache):
    """A network of the shipped one's shape that learned from the demo's bare faces."""
    from stylegan_tf.data import records
    from stylegan_tf.data.manifest import Manifest
    from stylegan_tf.metrics.features import builtin, builtin_own
    from stylegan_tf.remote import cache_folder

    folder = records.prepare("demo", cache, labels="none", resolution=64)
    known = Manifest.load(folder)
    name = f"{builtin.NAME}-{builtin_own.fingerprint(known)[:8]}"
    path = cache_folder(cache) / "builtin" / f"{name}-demo.npz"
    if not path.exists():
        builtin.save_builtin(path, *builtin_own.train_builtin(known, progress=True))
    return builtin.read_builtin(path, name)


# ---------------------------------------------------------------------------
# What is wrong with a set: (its pictures, their classes, how much) -> pictures


def blurred(images, classes, sigma: float):
    """Gaussian, of this deviation in pixels."""
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images.astype("f"), (0, sigma, sigma, 0)).round().astype("B")


def noisy(images, classes, deviation: float):
    """Gaussian noise in 0..255."""
    import numpy as np

    rng = np.random.default_rng(0)
    noise = rng.standard_normal(images.shape, np.float32) * deviation
    return np.clip(np.round(images + noise), 0, 255).astype(np.uint8)


def compressed(images, classes, quality: int):
    """Through JPEG of this quality."""
    import io

    import numpy as np
    from PIL import Image

    def through(image):
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        return np.asarray(Image.open(file))

    return np.stack([through(image) for image in images])


def dropped(images, classes, kept: int):
    """Only the first so many classes, each face repeated to fill the set."""
    return repeated(images[classes < kept], len(images))


def memorised(images, classes, different: int):
    """Only so many different faces, repeated."""
    return repeated(images[:different], len(images))


def repeated(images, count: int):
    """In turn, until there are so many."""
    import numpy as np

    return images[np.resize(np.arange(len(images)), count)]


def ways(num: int) -> dict[str, tuple[Callable, list]]:
    """Returns fault -> its function, and its amounts, from none on."""
    shares = (1, 0.5, 0.25, 0.1, 0.05, 0.02)
    return {
        "blur": (blurred, [0, 0.5, 1, 1.5, 2, 3]),
        "noise": (noisy, [0, 12, 24, 48, 96]),
        "JPEG": (compressed, [95, 75, 50, 30, 15, 5]),
        "classes kept": (dropped, [5, 4, 3, 2, 1]),
        "different faces": (memorised, [int(share * num) for share in shares]),
    }


def measure(network, real, fake, classes) -> dict[str, tuple[list, list[float]]]:
    """Measures fault -> its amounts, and the distances to `real`.

    Args:
        network: pictures to features.
        real, fake: uint8 [N, H, W, 3].
        classes: of `fake`, int [N].
    """
    from stylegan_tf.metrics.scores.distribution import Moments, frechet_distance

    def moments(images):
        found = Moments(network.size)
        found.add(network(images))
        return found

    aim, out = moments(real), {}
    for name, (spoil, steps) in ways(len(fake)).items():
        sets = (spoil(fake, classes, step) for step in steps)
        out[name] = steps, [frechet_distance(aim, moments(images)) for images in sets]
    return out


def falls(curves: dict[str, tuple[list, list[float]]]) -> list[str]:
    """Returns the faults with which the distance does not rise at every step."""
    return [
        name
        for name, (_, values) in curves.items()
        if any(b <= a for a, b in zip(values, values[1:], strict=False))
    ]


def table(curves) -> str:
    """Every distance, in Markdown."""
    lines = ["| network | what | how much: distance |" + " |" * 5, "|---" * 8 + "|"]
    for network, found in curves.items():
        for name, (steps, values) in found.items():
            pairs = zip(steps, values, strict=True)
            cells = [f"{step}: {value:.3g}" for step, value in pairs]
            cells += [""] * (6 - len(cells))
            lines.append(f"| {network} | {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(curves, path: str) -> None:
    """A panel for each way, a line for each network."""
    from workers.plotting import load_pyplot

    pyplot = load_pyplot()

    names = list(next(iter(curves.values())))
    fig, axes = pyplot.subplots(1, len(names), figsize=(11, 2.6), sharey=True)
    for axis, name in zip(axes, names, strict=True):
        for network, found in curves.items():
            steps, values = found[name]
            axis.plot(range(len(steps)), values, "o-", markersize=3, label=network)
        axis.set_xticks(range(len(steps)), [f"{step:g}" for step in steps], fontsize=7)
        axis.set_xlabel(name)
        axis.set_yscale("log")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("Frechet distance")
    axes[0].legend(fontsize=6)
    fig.tight_layout()
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    fig.savefig(path, dpi=100)


if __name__ == "__main__":
    cli.run(main, FLAGS)
