"""How strongly ADA augments: p follows the discriminator's overfitting. No TensorFlow.

Karras et al. 2020, "Training GANs with limited data", section 3: r_t = E[sign D(real)]
is 0 while the discriminator cannot tell real pictures of the training set from others
and 1 once it knows them by heart. p goes up where r_t is above its target and down
where it is below, at a speed that takes it from 0 to 1 in `kimg` thousand pictures.
"""

from collections.abc import Sequence

from stylegan_tf.errors import UserError

KINDS = ("ada", "fixed")


class Controller:
    """The probability p of every transform, and the rule that moves it.

    Args:
        p: float, where it starts.
        kind: "ada", or "fixed" to leave p where it is.
        target: float, the r_t to hold.
        kimg: float, thousands of real pictures in which p can move by 1.
        interval: int, iterations between two moves.

    Attributes:
        p: float, the present probability; not limited above, as in the paper.
        r: float or None, r_t at the last move.
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
        """Takes note of an iteration, moves p if it is time, and returns it.

        Args:
            mean_sign: mean of sign D(x) over the iteration's real pictures.
            batch: how many these were, on all devices.
        """
        self._sum += float(mean_sign) * batch
        self._images += batch
        self._steps += 1
        if self._steps >= self.interval:
            self._move()
        return self.p

    def _move(self) -> None:
        self.r = self._sum / self._images
        direction = (self.r > self.target) - (self.r < self.target)
        if self.kind == "ada":
            step = self._images / (1000 * self.kimg)
            self.p = max(0.0, self.p + direction * step)
        self._sum, self._steps, self._images = 0.0, 0, 0

    # -----------------------------------------------------------------------
    # For the checkpoint

    def state(self) -> tuple[float, float, float, float]:
        """p; and since its last move: sum of signs, iterations, images."""
        return self.p, self._sum, float(self._steps), float(self._images)

    def restore(self, state: Sequence[float]) -> None:
        """Goes on exactly where `state()` was taken."""
        p, total, steps, images = state
        self.p, self._sum = float(p), float(total)
        self._steps, self._images = int(steps), int(images)
