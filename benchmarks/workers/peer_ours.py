"""Worker of `peers.py`: our trainer, one step of D and one of G.

What runs is `Trainer.step` itself: its compiled iteration, its phase, its data
pipeline on a small set of drawn faces.

    python -m workers.peer_ours --resolution=64 --precision=bfloat16
"""

import tempfile
from pathlib import Path

from workers import matched

matched.before_tensorflow()


def trainer(
    resolution: int, precision: str, folder: str | Path, changes: dict | None = None
):
    """A trainer of the matched architecture on drawn faces.

    Args:
        resolution: see `matched.settings`.
        precision: see `matched.settings`.
        folder: an empty one, for its data set and its files.
        changes: further ones, by dotted name.
    """
    from stylegan_tf import config as configs
    from stylegan_tf.data import records, sources
    from stylegan_tf.training.trainer import Trainer

    wanted = matched.settings(resolution, precision) | (changes or {})
    config = configs.update(configs.TrainConfig(), wanted)
    data = Path(folder) / "faces"
    source = sources.open_source(f"demo:{matched.PICTURES}")
    records.write_dataset(source, data, resolution=max(resolution, 8), workers=1)
    return Trainer(config, data, Path(folder) / "run")


def worker(trainer):
    """Makes the function for `pairing.serve`, which counts steps by batches seen."""

    def work(steps: int) -> None:
        goal = trainer.state.nimg + steps * matched.BATCH
        while trainer.state.nimg < goal:
            metrics = trainer.step()
        metrics.numpy()

    return work


def main() -> None:
    """Builds, traces and serves."""
    from workers import pairing

    args = matched.arguments(__doc__, set="")
    changes = dict(pair.split("=", 1) for pair in args.set.split())
    with tempfile.TemporaryDirectory() as folder:
        ours = trainer(args.resolution, args.precision, folder, changes)
        work = worker(ours)
        work(2)  # the first step has the penalty, the second one may do without
        cycle = ours.config.loss.d_reg_interval
        pairing.serve(work, {"macs": macs(ours), "cycle": cycle})


def macs(trainer) -> float:
    """Multiply-adds an image, as counted from the configuration."""
    from stylegan_tf.config import cost

    return cost.iteration_macs(trainer.config, trainer.phase.resolution)


if __name__ == "__main__":
    main()
