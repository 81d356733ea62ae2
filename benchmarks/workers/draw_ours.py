"""This package's sampling for `benchmarks/sampling.py`: the parts of `draw`.

    python -m workers.draw_ours --resolution=64 --batch=8

Everything that drawing takes, seeds to finished pictures, from a generator of the
official widths with random weights.
"""

import argparse
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np

from stylegan_tf import sampling
from stylegan_tf.config import GeneratorConfig
from stylegan_tf.networks.generator import Generator
from workers import pairing


def main() -> None:
    """Draws as often as it is told to."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--resolution", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8, help="seeds a call")
    args = parser.parse_args()
    model = Generator(GeneratorConfig(resolution=args.resolution))
    render, rng = sampling.Renderer(model), np.random.default_rng(0)

    def work(times: int) -> None:
        for _ in range(times):
            seeds = rng.integers(0, 1 << 32, args.batch).tolist()
            for start in range(0, args.batch, sampling.BATCH):
                render(sampling.styles(model, seeds[start:][: sampling.BATCH], psi=0.7))

    work(2)
    pairing.serve(work, {"pictures": args.batch})


if __name__ == "__main__":
    main()
