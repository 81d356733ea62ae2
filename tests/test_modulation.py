"""modulation.py: both forms are timed, and the clearly faster one is taken."""

import pytest

from stylegan_tf.config import GeneratorConfig
from stylegan_tf.training import modulation


@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("up", [False, True])
def test_both_forms_take_some_time(up, order):
    times = modulation.measure(2, 4, 3, up, order, repeats=1)
    assert set(times) == {"maps", "kernels"}
    assert all(0 < t < 60 for t in times.values())


@pytest.mark.parametrize(
    "maps, kernels, form", [(1.0, 0.8, "kernels"), (1.0, 0.95, "maps"), (1, 2, "maps")]
)
def test_the_unusual_form_has_to_be_worth_it(monkeypatch, maps, kernels, form):
    asked = []

    def measure(*args, **options):
        asked.append(args)
        return {"maps": maps, "kernels": kernels}

    monkeypatch.setattr(modulation, "measure", measure)
    config = GeneratorConfig(architecture="skip", resolution=32, fmap_base=256)
    assert modulation.faster(config, 4) == form
    assert asked == [(4, 8, 32)]  # up to 16 x 16, where the maps are 32
