"""The architecture that the training steps of `peers.py` and `early.py` share.

StyleGAN with z, w and mapping 128 wide, min(2048 / 2^s, 128) feature maps at stage s,
batch 16, logistic loss with R1 in every step of D, Adam, a moving average of G. At full
resolution: nothing grows. Standard library only: workers without TensorFlow read it.
"""

import argparse
import importlib.util
import os

BATCH = 16
WIDTH = 128  # z, w and the layers of the mapping
MAPPING_LAYERS, MAPPING_LRMUL = 8, 0.01
FMAP_BASE, FMAP_MAX = 2048, 128
R1_GAMMA = 10.0
LR, BETAS, EPSILON = 0.001, (0.0, 0.99), 1e-8
MIXING = 0.9  # probability that two latents share a picture
GROUP = 4  # of the minibatch standard deviation
AVERAGE = 0.5 ** (BATCH / 10_000)  # of G, a half-life of 10 thousand images
PICTURES = 64  # different real ones

PEERS_EXTRA = 'pip install -e ".[peers]"'


def fmaps(resolution: int) -> int:
    """Feature maps of the blocks at `resolution`; of D's dense layer, at 2."""
    return min(FMAP_BASE >> (resolution.bit_length() - 2), FMAP_MAX)


def levels(resolution: int, first: int = 4) -> list[int]:
    """4, 8, ..., resolution."""
    return [1 << k for k in range(first.bit_length() - 1, resolution.bit_length())]


def networks() -> dict:
    """The widths of G and D, at any resolution, as changes of `TrainConfig`."""
    changes = {"generator.mapping_layers": MAPPING_LAYERS}
    for name in ("z_dim", "w_dim", "mapping_width"):
        changes[f"generator.{name}"] = WIDTH
    for network in ("generator", "discriminator"):
        changes[f"{network}.fmap_base"] = FMAP_BASE
        changes[f"{network}.fmap_max"] = FMAP_MAX
    return changes


def settings(resolution: int, precision: str = "float32") -> dict:
    """The matched architecture as changes of `TrainConfig`, by dotted name.

    Args:
        resolution: of the pictures; nothing grows.
        precision: "float32" or "bfloat16"; or "defaults", what we would choose:
            bfloat16 where the processor computes in it, the penalty every 16 steps.
    """
    changes = {
        "resolution": max(resolution, 8),  # the smallest model stays at 4x4
        "schedule.stable_kimg": 1e6,
        "loss.r1_gamma": R1_GAMMA,
        "loss.d_reg_interval": 1,
        "schedule.initial_resolution": resolution,
        "schedule.batch": BATCH,
        "schedule.lr": LR,
        "schedule.total_kimg": 1e6,
        "schedule.tick_kimg": 1e6,
        "precision": precision,
    } | networks()
    if precision == "defaults":
        from stylegan_tf import devices  # our worker has TensorFlow

        changes["precision"] = devices.resolve_precision("auto")
        changes["loss.d_reg_interval"] = 16
    return changes


def arguments(description: str, **more) -> argparse.Namespace:
    """The command line of a worker: --resolution, --precision, --maps, what it adds.

    --maps makes the networks of this process narrower than `FMAP_MAX` and `WIDTH`.

    Args:
        description: of the script.
        more: option -> its default.
    """
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--resolution", type=int, default=32)
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--maps", type=int, default=FMAP_MAX)
    for name, default in more.items():
        parser.add_argument(f"--{name}", type=type(default), default=default)
    args = parser.parse_args()
    narrow(args.maps)
    return args


def narrow(maps: int) -> None:
    """Makes z, w, the mapping and the widest blocks of this process `maps` wide."""
    global FMAP_MAX, WIDTH
    FMAP_MAX = WIDTH = maps


def missing(packages: tuple[str, ...]) -> str | None:
    """Says how to install missing packages; None if there is none."""
    gone = [name for name in packages if importlib.util.find_spec(name) is None]
    if not gone:
        return None
    return f"{', '.join(gone)} is not installed here; {PEERS_EXTRA} brings it."


def before_tensorflow() -> None:
    """Sets variables that TensorFlow reads when loaded, unless the user has."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")


def pictures(resolution: int, batches: int, seed: int = 0):
    """Batches of stand-ins for real pictures: uint8 [batches, 16, R, R, 3]."""
    import numpy as np

    shape = (batches, BATCH, resolution, resolution, 3)
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)
