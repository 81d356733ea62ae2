"""benchmarks/one_step.py and modulation.py, at sizes that say nothing of speed."""

import modulation
import numpy as np
import pytest
import tiny
from workers.one_step import one_step

from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.step import METRICS

SMALL = tiny.FIXED | {"generator.mapping_layers": 1, "loss.reuse_fakes": True}
NEITHER = Regularization(False, False)


def test_the_compiled_step_scores_the_same():
    """What does not hang on latents: XLA draws numbers of its own."""
    config = tiny.config(SMALL)
    plain, compiled = (
        one_step(config, 8, 4, NEITHER, jit=jit)() for jit in (False, True)
    )
    real = METRICS.index("scores/real")
    assert compiled[real] == pytest.approx(plain[real], rel=1e-4) and plain[real] != 0
    assert np.isfinite(compiled).all()
    assert not compiled[METRICS.index("skipped/d")]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("up", [False, True])
def test_both_forms_take_some_time(up, order):
    times = modulation.measure(2, 4, 3, up, order, repeats=1)
    assert set(times) == {"maps", "kernels"}
    assert all(0 < t < 60 for t in times.values())
