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


def test_the_compiled_step_is_the_same_step():
    """Latents, noise and all; `tests/faults/compiled_steps.py` has every network."""
    config = tiny.config(SMALL)
    plain, compiled = (
        one_step(config, 8, 4, NEITHER, jit=jit)() for jit in (False, True)
    )
    np.testing.assert_allclose(compiled, plain, rtol=1e-3, atol=1e-5)
    assert plain[METRICS.index("scores/fake")] and plain[METRICS.index("grad_norm/g")]


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("up", [False, True])
def test_both_forms_take_some_time(up, order):
    times = modulation.measure(2, 4, 3, up, order, repeats=1)
    assert set(times) == {"maps", "kernels"}
    assert all(0 < t < 60 for t in times.values())
