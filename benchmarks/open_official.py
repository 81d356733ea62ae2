"""Seconds and memory to open somebody else's checkpoint of 1024 x 1024 pixels.

    python benchmarks/open_official.py
    python benchmarks/open_official.py --file=stylegan2-ffhq-config-f.pkl

Without --file, files of the published sizes are made in a temporary folder first, their
weights random: a StyleGAN2's G, D and average as NVIDIA's PyTorch and TensorFlow write
them, and the average alone as .keras, .safetensors and .safetensors in rosinality's
layout. Each is opened in a process of its own. Memory is the process's peak, that of
TensorFlow itself included ("nothing").
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from stylegan_tf_launch import cli

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig

FLAGS, define = cli.flag_set()
define.paths("file", [], "Files to open instead of made ones.")
define.integer("resolution", 1024, "Of the files that are made.")

TESTS = Path(__file__).parents[1] / "tests"  # they have the writer of such pickles
SIZES = {"c_dim": 0, "img_channels": 3, "channel_base": 32768, "channel_max": 512}
OPENS = """
import json, re, sys, time
import tensorflow
from stylegan_tf import models

def peak():  # ru_maxrss would have the parent's memory in it
    status = open("/proc/self/status").read()
    return int(re.search(r"VmHWM:\\s+(\\d+)", status)[1]) / 1024

before = peak()
start = time.perf_counter()
if sys.argv[1]:
    models.load(sys.argv[1])
seconds = time.perf_counter() - start
print(json.dumps([seconds, before, peak()]))
"""


def make_files(folder: Path, resolution: int) -> list[Path]:
    """Writes a StyleGAN2 of the paper's widths in each layout."""
    from stylegan_tf import export
    from stylegan_tf.networks.discriminator import Discriminator
    from stylegan_tf.networks.generator import Generator
    from stylegan_tf.official import networks, rosinality, saving

    sizes = {"resolution": resolution, "fmap_base": 16384}
    g = Generator(GeneratorConfig(architecture="skip", **sizes))
    d = Discriminator(
        DiscriminatorConfig(architecture="residual", head_width=512, **sizes)
    )
    names = ["tensorflow.pkl", "x.safetensors", "x.keras", "editing.safetensors"]
    paths = [folder / name for name in names]
    networks.save_pickle(paths[0], g, d, g)
    torch = folder / "torch.pkl"
    torch.write_bytes(_snapshot(g.config, d.config))
    for path in paths[1:3]:
        export.save_generator(g, path)
    saving.write_safetensors(paths[3], rosinality.state_dict_of(g), {})
    return [torch, *paths]


def _snapshot(g: GeneratorConfig, d: DiscriminatorConfig) -> bytes:
    """A pickle {G, D, G_ema} of PyTorch's, with random numbers."""
    sys.path.insert(0, str(TESTS))
    import persistence

    about = SIZES | {"img_resolution": g.resolution}
    widths = {k: about[k] for k in ("channel_base", "channel_max")}
    outer = {k: v for k, v in about.items() if k not in widths}
    outer |= {"z_dim": 512, "w_dim": 512, "mapping_kwargs": {}}
    outer |= {"synthesis_kwargs": widths}
    content = {
        "G": persistence.network(g, "Generator", outer),
        "D": persistence.network(d, "Discriminator", about),
        "G_ema": persistence.network(g, "Generator", outer, seed=1),
    }
    return persistence.dumped(content)


def measure(path: Path | None) -> tuple[float, float, float]:
    """Returns seconds, and megabytes before and at the peak, of a fresh process."""
    command = [sys.executable, "-c", OPENS, str(path or "")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    seconds, before, peak = json.loads(done.stdout.splitlines()[-1])
    return seconds, before, peak


def main(argv: Sequence[str]) -> int:
    """Prints a row per file."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(name) for name in FLAGS.file]
        files = files or make_files(Path(folder), FLAGS.resolution)
        print(f"{'file':<22}{'MB':>8}{'seconds':>10}{'MB at peak':>12}{'MB more':>10}")
        for path in [None, *files]:
            size = path.stat().st_size / 2**20 if path else 0
            seconds, before, peak = measure(path)
            name = path.name if path else "nothing"
            row = f"{name:<22}{size:>8.0f}{seconds:>10.1f}{peak:>12.0f}"
            print(f"{row}{peak - before:>10.0f}", flush=True)
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS)
