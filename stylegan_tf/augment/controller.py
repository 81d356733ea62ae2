"""Controller of ADA's p, which follows the discriminator's overfitting. No TensorFlow.

Karras et al. 2020, "Training GANs with limited data", section 3: r_t = E[sign D(real)]
is 0 without overfitting and 1 once the discriminator has memorized the training set. p
rises while r_t is above its target and falls while it is below, at a speed that takes
it from 0 to 1 in `kimg` thousand images.
"""

import math
from collections.abc import Sequence

from stylegan_tf.errors import UserError

KINDS = ("ada", "fixed")


class Controller:
    """Probability p of every transform, and the rule that adapts it.

    Args:
        p: p at the start.
        kind: "ada", or "fixed" to keep p.
        target: the r_t to hold.
        kimg: thousands of real images in which p can change by 1.
        interval: iterations between two changes.

    Attributes:
        p: the present probability; not limited above, as in the paper.
        r: r_t at the last change, or None.
    """

    def __init__(
        self,
        p: float = 0.0,
        kind: str = "ada",
        target: float = 0.6,
        kimg: float = 500,
        interval: int = 4,
    ):
        if kind not in KINDS:
            raise UserError(
                f"Unknown kind {kind!r} of p; there are {', '.join(KINDS)}."
            )
        self.kind, self.target, self.kimg, self.interval = kind, target, kimg, interval
        self.r: float | None = None
        self.restore((p, 0, 0, 0))

    def update(self, mean_sign: float, batch: int) -> float:
        """Counts one iteration, adapts p every `interval` iterations, and returns it.

        An iteration whose mean sign is not finite does not count.

        Args:
            mean_sign: mean of sign D(x) over the iteration's real images.
            batch: number of these images, over all devices.
        """
        if not math.isfinite(mean_sign):  # a skipped step tells nothing
            return self.p
        self._sum += float(mean_sign) * batch
        self._images += batch
        self._steps += 1
        if self._steps >= self.interval:
            self._adapt()
        return self.p

    def _adapt(self) -> None:
        self.r = self._sum / self._images
        direction = (self.r > self.target) - (self.r < self.target)
        if self.kind == "ada":
            step = self._images / (1000 * self.kimg)
            self.p = max(0.0, self.p + direction * step)
        self._sum, self._steps, self._images = 0.0, 0, 0

    # -----------------------------------------------------------------------
    # Checkpoint

    def state(self) -> tuple[float, float, float, float]:
        """Returns p and, since its last change: sum of signs, iterations, images."""
        return self.p, self._sum, float(self._steps), float(self._images)

    def restore(self, state: Sequence[float]) -> None:
        """Continues from a `state()`."""
        p, total, steps, images = state
        self.p, self._sum = float(p), float(total)
        self._steps, self._images = int(steps), int(images)
