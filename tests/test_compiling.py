"""compiling.py: the compiled step is the step, and the faster one is chosen."""

import numpy as np
import pytest
import tiny

from stylegan_tf.config import update
from stylegan_tf.errors import UserError
from stylegan_tf.runs import session, settings
from stylegan_tf.training import compiling
from stylegan_tf.training.objectives import Due
from stylegan_tf.training.step import METRICS

SMALL = tiny.FIXED | {"generator.mapping_layers": 1, "loss.reuse_fakes": True}

NEITHER = Due(False, False)


def test_the_compiled_step_scores_the_same():
    """What does not hang on latents: XLA draws numbers of its own."""
    config = tiny.config(SMALL)
    plain, compiled = (
        compiling.one_step(config, 8, 4, NEITHER, jit=jit)() for jit in (False, True)
    )
    real = METRICS.index("scores/real")
    assert compiled[real] == pytest.approx(plain[real], rel=1e-4) and plain[real] != 0
    assert np.isfinite(compiled).all()
    assert not compiled[METRICS.index("skipped/d")]


@pytest.mark.parametrize("off, on, choice", [(1.0, 2.0, "off"), (2.0, 1.0, "on")])
def test_a_run_keeps_what_was_faster(monkeypatch, off, on, choice):
    monkeypatch.setattr(compiling, "measure", lambda *_: {"off": off, "on": on})
    config = tiny.config({"jit": "auto"})
    assert session._timed(config, 1).jit == choice
    assert session._timed(config, 2).jit == "off"
    assert session._timed(update(config, {"deterministic": True}), 1).jit == "off"
    assert session._timed(update(config, {"jit": "on"}), 1).jit == "on"


def test_one_device_compiles():
    settings.check_devices(tiny.config({"jit": "on"}), 1)
    with pytest.raises(UserError, match="--strategy=one"):
        settings.check_devices(tiny.config({"jit": "on"}), 2)
