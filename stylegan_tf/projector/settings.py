"""Settings that all optimizations share: their range, the ramps of their rate."""

import math
from collections.abc import Mapping

from stylegan_tf.errors import UserError


def check_not_negative(values: Mapping[str, float]) -> None:
    """Refuses a setting that is not finite or below 0.

    Args:
        values: name -> value.

    Raises:
        UserError: names the setting.
    """
    for name, value in values.items():
        if not (math.isfinite(value) and value >= 0):
            raise UserError(f"{name} is {value}; give a number of at least 0.")


def ramped_rate(t: float, up: float, down: float) -> float:
    """Returns the share of the learning rate at t = step / steps.

    Args:
        t: in [0, 1].
        up: share of the steps in which it rises, linearly; 0 = at once.
        down: share of the steps in which it falls, as a cosine; 0 = never.
    """
    rise = min(1.0, t / up) if up else 1.0
    left = min(1.0, (1.0 - t) / down) if down else 1.0
    return rise * (0.5 - 0.5 * math.cos(math.pi * left))
