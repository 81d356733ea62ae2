"""The controller by hand: its steps, its floor, its memory."""

import json

import numpy as np
import pytest

from stylegan_tf.augment.controller import Controller
from stylegan_tf.errors import UserError


def test_p_moves_every_interval_by_the_images_seen():
    c = Controller(kimg=1, interval=2)
    assert [c.update(1.0, 10) for _ in range(5)] == [0, 0.02, 0.02, 0.04, 0.04]


@pytest.mark.parametrize(
    "sign, expected", [(1.0, 0.54), (0.7, 0.54), (0.6, 0.5), (0.5, 0.46), (-1, 0.46)]
)
def test_direction(sign, expected):
    c = Controller(p=0.5, kimg=1)
    for _ in range(4):
        c.update(sign, 10)
    assert c.p == pytest.approx(expected)
    assert c.r == pytest.approx(sign)


def test_r_is_the_mean_over_all_images():
    c = Controller(interval=2)
    c.update(1.0, 30)
    assert c.r is None
    c.update(-1.0, 10)
    assert c.r == 0.5
    assert c.p == 0  # below the target


def test_p_stays_above_zero_and_may_exceed_one():
    c = Controller(p=0.01, kimg=1, interval=1)
    assert c.update(-1.0, 64) == 0
    c = Controller(p=0.99, kimg=1, interval=1)
    assert c.update(1.0, 64) == pytest.approx(1.054)


def test_from_zero_to_one_in_kimg():
    c = Controller(kimg=500)
    steps = 500_000 // 64
    for _ in range(steps):
        c.update(1.0, 64)
    assert c.p == pytest.approx(steps // 4 * 4 * 64 / 500_000)
    assert c.p == pytest.approx(1, abs=1e-3)


def test_fixed_p_stays_and_r_is_still_reported():
    c = Controller(p=0.2, kind="fixed", interval=1)
    assert [c.update(1.0, 1000) for _ in range(3)] == [0.2] * 3
    assert c.r == 1


@pytest.mark.parametrize("stop", [0, 1, 5, 8, 11])
def test_going_on_where_it_stopped(stop):
    signs = np.random.default_rng(0).uniform(0, 1.2, size=20)
    whole, first, second = Controller(0.1), Controller(0.1), Controller(0.7)
    trajectory = [whole.update(s, 33) for s in signs]
    parts = [first.update(s, 33) for s in signs[:stop]]
    second.restore(json.loads(json.dumps(first.state())))
    parts += [second.update(s, 33) for s in signs[stop:]]
    assert parts == trajectory
    assert second.state() == whole.state()
    assert all(type(number) is float for number in whole.state())


def test_unknown_kind():
    with pytest.raises(UserError, match="ada, fixed"):
        Controller(kind="none")
