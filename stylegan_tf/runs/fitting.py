"""Rounds of a step by the GPU's memory, where batch and rounds are a preset's."""

import tensorflow as tf

from stylegan_tf import config as configs
from stylegan_tf import devices
from stylegan_tf.config import TrainConfig, cost, presets
from stylegan_tf.runs.request import RunRequest

GIVEN = ("schedule.batch", "schedule.batch_at", "accumulate")  # these win


def memory_to_fit(request: RunRequest, strategy: tf.distribute.Strategy) -> int | None:
    """Returns the bytes that a step must fit in; every worker must call it.

    Of several workers the first one's GPU counts, so that all make the same rounds.

    Args:
        request: of a new run, or of one that the same command finds.
        strategy: of the run.

    Returns:
        None if the run keeps the rounds that it names, or if there is no GPU.
    """
    fits = presets.find_preset(request.preset or "demo").fits_memory
    if not fits or request.names_a_run or any(n in request.changes for n in GIVEN):
        return None
    return devices.chief_value(strategy, devices.gpu_memory() or 0) or None


def fit(config: TrainConfig, memory: int, replicas: int) -> tuple[TrainConfig, str]:
    """Splits steps into rounds that fit; see `cost.fitting_rounds`.

    Returns:
        The settings, and a line that says what was done; "" if nothing was.
    """
    whole = cost.most_memory(config, replicas)
    rounds, held = cost.fitting_rounds(config, memory, replicas)
    fitted = configs.update(config, {"accumulate": rounds})
    have, share = f"{memory / 1e9:.1f} GB", f"{cost.SHARE:.0%}"
    if held > cost.SHARE * memory:
        return fitted, (
            f"memory: even in {rounds} rounds a step holds about {held / 1e9:.1f} GB, "
            f"more than {share} of the GPU's {have}; --recompute, --precision=bfloat16 "
            f"or a smaller --resolution takes less"
        )
    if rounds == 1:
        return fitted, ""
    return fitted, (
        f"memory: each step is made in {rounds} rounds, which hold about "
        f"{held / 1e9:.1f} GB; whole it holds {whole / 1e9:.1f} GB, more than {share} "
        f"of the GPU's {have} (--accumulate=1 makes it whole)"
    )
