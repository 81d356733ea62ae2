"""compilation.py: what XLA compiled for a stage has one name in all processes."""

import pytest
import tensorflow as tf

from stylegan_tf.training import compilation


@pytest.mark.parametrize("made_before", [1, 50])
def test_a_stage_has_its_numbers_whatever_was_made_before(made_before, monkeypatch):
    monkeypatch.setattr(compilation, "SPACING", 1 << 15)
    monkeypatch.setattr(compilation, "CHUNK", 1 << 13)
    stage = compilation._number() // compilation.SPACING + 1
    numbers = []
    for i in range(2):
        [tf.zeros([]) + 1 for _ in range(made_before * (i + 1))]
        assert compilation.number_from(stage + i)
        numbers.append(compilation._number())
    assert numbers[1] - numbers[0] == compilation.SPACING
    assert not compilation.number_from(stage - 1)
