"""Warnings while a run trains: scores that run away, and images that are all alike."""

from collections.abc import Mapping

from stylegan_tf.config import TrainConfig
from stylegan_tf.runs.reports import Report
from stylegan_tf.training.divergence import RUNAWAY
from stylegan_tf.training.trainer import Trainer

PERSISTENCE = 5  # ticks that D is saturated, or fakes alike, before it is said
REPEAT = 10  # ticks until a warning is said again; then 20, 40, ...
ALIKE = 0.05  # spread of the fakes, as a share of that of the reals
SATURATED = 0.99  # mean sign of D's scores
NO_LOSS = 0.01  # of D


class Guard(Report):
    """Warns of what rarely mends itself; judges by the stats of each tick alone."""

    def __init__(self):
        self.lasting: dict[str, int] = {}  # kind -> ticks in a row that have shown it
        self.pauses: dict[str, int] = {}  # kind -> ticks until it is said again
        self.said: dict[str, int] = {}  # kind -> times

    def tick(self, trainer: Trainer, stats: dict[str, float]) -> None:
        """Warns of each kind of trouble when it has lasted, and seldom again."""
        found = signs_of_trouble(trainer.config, stats)
        for kind, pause in self.pauses.items():
            self.pauses[kind] = max(pause - 1, 0)
        self.lasting = {kind: self.lasting.get(kind, 0) + 1 for kind in found}
        for kind, text in found.items():
            needed = 1 if kind == "runaway" else PERSISTENCE
            if self.lasting[kind] >= needed and not self.pauses.get(kind):
                times = self.said.get(kind, 0)
                self.said[kind], self.pauses[kind] = times + 1, REPEAT << times
                trainer.warn(text)


def signs_of_trouble(config: TrainConfig, stats: Mapping[str, float]) -> dict[str, str]:
    """Finds what the numbers of one tick hint at.

    Args:
        config: the run.
        stats: of a tick; those of older versions lack some.

    Returns:
        Kind -> what is seen and what to try.
    """
    found, gamma = {}, config.loss.r1_gamma
    real, fake = (stats.get(f"scores/{kind}", 0.0) for kind in ("real", "fake"))
    if max(abs(real), abs(fake)) > RUNAWAY:
        found["runaway"] = (
            f"D's scores are {real:.3g} for real and {fake:.3g} for generated pictures "
            f"and seem to run away. If they keep growing, start anew with a lower "
            f"--set=schedule.lr, or a higher --gamma than {gamma:g}."
        )
    spread = [stats.get(f"spread/{kind}", 0.0) for kind in ("real", "fake")]
    if spread[0] > 0 and spread[1] < ALIKE * spread[0]:
        found["collapse"] = (
            f"generated pictures are almost all alike: they vary by {spread[1]:.3g}, "
            f"real ones by {spread[0]:.3g}. Try a higher --gamma than {gamma:g}, a "
            f"lower --set=schedule.lr, or --set=augment.kind=ada for few pictures."
        )
    told_apart = (
        stats.get("signs/real", 0.0) > SATURATED
        and stats.get("signs/fake", 0.0) < -SATURATED
    )
    if told_apart and abs(stats.get("loss/d", 1.0)) < NO_LOSS:
        found["saturated"] = (
            f"D tells all real from all generated pictures (loss {stats['loss/d']:.2g}"
            f"), and G learns little from it. Try a higher --gamma than {gamma:g}, "
            f"--mirror or --set=augment.kind=ada for few pictures, or a lower "
            f"--set=schedule.lr."
        )
    return found
