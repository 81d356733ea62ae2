"""metrics/results.py and metrics/subject.py: recorded scores, and models to measure."""

import numpy as np
import pytest
import tensorflow as tf
import tiny
from test_evaluation import CHANGES, model, strategy

from stylegan_tf import config as configs
from stylegan_tf import models
from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import results, subject

ROW = {"nimg": 5, "metric": "fid5k", "network": "toy", "value": 2.5, "model": "m"}


def test_rows_are_found_by_what_they_are_of(tmp_path):
    results.append_results(tmp_path, [ROW, ROW | {"metric": "kid5k"}])
    assert results.find_results(tmp_path, ["fid5k"], {"model": "m"}) == [ROW]
    assert results.find_results(tmp_path, ["fid5k", "is5k"], {"model": "m"}) == []
    assert results.find_results(tmp_path, ["fid5k"], {"model": "other"}) == []


def test_a_line_cut_short_harms_no_other(tmp_path):
    results.append_results(tmp_path, [ROW])
    with open(tmp_path / results.FILE, "a") as f:
        f.write('{"nimg": 6, "met')
    results.append_results(tmp_path, [ROW | {"nimg": 7}])
    assert [row["nimg"] for row in results.read_results(tmp_path)] == [5, 7]


def test_what_came_after_the_checkpoint_is_forgotten(tmp_path):
    results.forget_results(tmp_path, 5)
    results.append_results(tmp_path, [ROW | {"nimg": n} for n in (4, None, 5, 6)])
    results.forget_results(tmp_path, 5)
    assert [row["nimg"] for row in results.read_results(tmp_path)] == [4, None, 5]


def test_tensorboard_has_the_names_of_networks(tmp_path):
    results.write_summaries(tmp_path, [ROW | {"nimg": 5000}])
    (file,) = tmp_path.glob("events.*")
    found = [
        (event.step, value.tag, float(tf.make_ndarray(value.tensor)))
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]
    assert found == [(5, "metrics/fid5k[toy]", 2.5)]


def test_a_model_and_its_run(pictures, tmp_path):
    run = tmp_path / "run"
    best = run / "model" / "best"
    best.mkdir(parents=True)
    model(growth=Growth(4)).save(best / models.KERAS_FILE)
    configs.write_config(tiny.config(CHANGES | {"mirror": True}), run / "config.json")
    (run / "data.txt").write_text(f"0123abcd {pictures}\n")
    (run / "model" / "best" / subject.BEST).write_text('{"nimg": 17}')
    found = subject.open_subject(run / "model" / "best", strategy())
    assert (found.run, found.nimg, found.mirror) == (run, 17, True)
    assert found.data == pictures and found.model.growth.resolution == 4
    for mine, theirs in zip(
        found.model.weights, model(growth=Growth(4)).weights, strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)
    alone = tmp_path / "alone.keras"
    (run / "model" / "best" / models.KERAS_FILE).rename(alone)
    with pytest.raises(UserError, match="name the real pictures with --data"):
        subject.open_subject(alone, strategy())
    found = subject.open_subject(alone, strategy(), str(pictures))
    assert (found.run, found.nimg, found.mirror) == (None, None, False)
