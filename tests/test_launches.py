"""benchmarks/launches.py: operations of an iteration, so that they stay few."""

import launches
import pytest
import tensorflow as tf
from workers.launched import FREE, launched, narrowed

from stylegan_tf.config import presets


def test_views_constants_and_control_flow_are_free():
    variable = tf.Variable(tf.ones([4]))

    @tf.function(autograph=False)
    def step(x):
        y = tf.reshape(x, [4, 1]) * tf.reshape(variable, [1, 4])
        variable.assign(tf.reduce_sum(y, axis=0))
        return tf.identity(y)

    assert launched(lambda: step(tf.ones([4]))) == {
        "Mul": 1,
        "Sum": 1,
        "AssignVariableOp": 1,
    }


def test_narrower_networks_have_the_same_layers():
    paper = presets.make_config("paper256")
    narrow = narrowed(paper, 32)
    for r in (4, 32, 64, 256):
        assert narrow.generator.fmaps(r) == paper.generator.fmaps(r) // 32
    assert narrow.generator.mapping_layers == paper.generator.mapping_layers


@pytest.mark.parametrize(("regularized", "most"), [(True, 479), (False, 360)])
def test_an_iteration_launches_few_operations(regularized, most):
    """Counts, not times: those of the paper's network at 8 x 8."""
    launches.FLAGS(["launches"])
    found = launches.count("paper256", 8, regularized)
    assert found.total() <= most, found
    # One of each per network, however many weights it has.
    assert found["ResourceApplyAdam"] == found["L2Loss"] == 2
    assert not FREE & set(found)
