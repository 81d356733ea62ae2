"""config/growth.py: the official level of detail, and what has faded in."""

import pytest

from stylegan_tf.config import Growth


@pytest.mark.parametrize(
    ("lod", "growth"),
    [(0.0, (16, 1.0)), (0.25, (16, 0.75)), (1.0, (8, 1.0)), (1.75, (8, 0.25))],
)
def test_the_lod_counts_missing_doublings(lod, growth):
    assert Growth.from_lod(lod, 16) == growth
    assert Growth(*growth).lod(16) == lod


def test_resolutions_below_the_highest_have_faded_in():
    assert [Growth(8, 0.3).alpha_at(r) for r in (4, 8)] == [1.0, 0.3]
    assert Growth(8) == (8, 1.0)
