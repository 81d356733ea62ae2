"""Settings of a projection, and what all optimizations share: ranges and ramps."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from stylegan_tf.errors import UserError

OFFICIAL_WEIGHT, OFFICIAL_PIXELS = 1e5, 1024**2


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


@dataclass(frozen=True)
class ProjectionSettings:
    """Settings of the optimization; the defaults are the official projector's.

    The noise penalty of a white noise map falls with its area. At 1024 x 1024, for
    which the official weight of 1e5 was chosen, the largest map costs 0.2, a fraction
    of the loss. With the same weight a map of 32 x 32 costs 200. Adam's second moments
    then stay large and the maps hardly move, so the styles compensate for wrong noise.
    The default weight is therefore 1e5 x pixels / 1024^2, which costs 0.2 at any size.

    Attributes:
        lr: highest learning rate.
        ramp_up: share of the steps in which the learning rate rises.
        ramp_down: share of the steps in which the learning rate falls.
        w_noise: standard deviation of the noise on w at the start, in deviations of w.
        w_noise_ramp: share of the steps after which the noise on w is 0.
        noise_weight: of the penalty on noise maps; None = by the size of the image.
    """

    lr: float = 0.1
    ramp_up: float = 0.05
    ramp_down: float = 0.25
    w_noise: float = 0.05
    w_noise_ramp: float = 0.75
    noise_weight: float | None = None

    def __post_init__(self):
        given = {k: v for k, v in vars(self).items() if v is not None}
        check_not_negative(given)

    def learning_rate(self, t: float) -> float:
        """Returns the learning rate at t = step / steps: linear up, cosine down."""
        return self.lr * ramped_rate(t, self.ramp_up, self.ramp_down)

    def penalty_weight(self, pixels: int) -> float:
        """Returns the weight of the noise penalty for images of so many pixels."""
        if self.noise_weight is not None:
            return self.noise_weight
        return OFFICIAL_WEIGHT * min(1.0, pixels / OFFICIAL_PIXELS)

    def noise_on_w(self, t: float) -> float:
        """Returns the noise on w at t = step / steps, in deviations of w."""
        ramp = self.w_noise_ramp
        return self.w_noise * max(0.0, 1.0 - t / ramp) ** 2 if ramp else 0.0


def default_settings(from_answer: bool = False) -> ProjectionSettings:
    """Returns the settings of a search from the mean w, or from an encoder's answer.

    Near an answer, noise on w would throw it away.
    """
    return ProjectionSettings(w_noise=0.0) if from_answer else ProjectionSettings()
