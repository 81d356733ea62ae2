"""What a report sees of a trainer, for the tests of reports, sheets and TensorBoard."""

import functools
from types import SimpleNamespace

import numpy as np
import tiny

from stylegan_tf.config.schedule import phase_at
from stylegan_tf.training.step import METRICS
from stylegan_tf.training.trainer import make_networks

STATS = dict.fromkeys(METRICS, 0.0) | {
    "loss/g": 0.71234567,
    "loss/d": 1.5,
    "scores/real": 0.25,
    "scores/fake": -0.5,
    "penalty/r1": 0.0625,
    "progress/kimg": 0.024,
    "progress/alpha": 0.25,
    "progress/batch": 4,
    "timing/images_per_second": 12.34,
    "timing/total_seconds": 3723.0,
    "memory/cpu_gb": 1.26,
}


@functools.cache
def networks(classes: int = 0):
    """Networks with random weights, and a w_avg that is not 0."""
    nets = make_networks(tiny.config({"classes": classes} if classes else {}))
    tiny.shake(nets)
    nets.average.w_avg.assign(np.linspace(-1, 1, 8))
    return nets


def trainer(data, run_dir, classes: int = 0) -> SimpleNamespace:
    """A trainer half-way into 8 x 8, after 24 images."""
    settings = {"image_ticks": 1, "classes": classes} if classes else {"image_ticks": 2}
    config = tiny.config(settings)
    return SimpleNamespace(
        config=config,
        data=data,
        networks=networks(classes),
        phase=phase_at(config.schedule, 8, 24),
        replicas=1,
        run_dir=run_dir,
        state=SimpleNamespace(nimg=24, skipped=0, notices=[], shown_facts=dict),
        stopping=None,
        total=48,
    )


def at(trainer: SimpleNamespace, nimg: int) -> SimpleNamespace:
    """The trainer after so many images."""
    trainer.state.nimg = nimg
    trainer.phase = phase_at(trainer.config.schedule, 8, nimg)
    return trainer
