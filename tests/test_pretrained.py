"""The models that come with the package."""

import json

import numpy as np
import pytest

import stylegan_tf
from stylegan_tf import models
from stylegan_tf.pretrained import FOLDER, find_pretrained, pretrained_names


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_demo_opens_by_its_name(elsewhere):
    model = stylegan_tf.load("demo")
    images = stylegan_tf.generate(model, seeds=[1, 2])
    assert images.shape == (2, 64, 64, 3) and images.std() > 20
    assert np.abs(images[0].astype(int) - images[1]).mean() > 5


def test_a_path_comes_before_a_name(elsewhere):
    assert find_pretrained("demo") == FOLDER / "demo"
    (elsewhere / "demo").mkdir()
    assert find_pretrained("demo") is None
    with pytest.raises(stylegan_tf.UserError, match="no model at demo"):
        models.find_model("demo")


def test_another_name_is_told_those_that_are_there(elsewhere):
    with pytest.raises(stylegan_tf.UserError, match="or demo, which comes with the"):
        models.find_model("dmo")


@pytest.mark.parametrize("name", pretrained_names())
def test_they_are_small_and_say_what_they_are(name):
    files = [p for p in (FOLDER / name).rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) < 3e6
    card = json.loads((FOLDER / name / "model_card.json").read_text(encoding="utf-8"))
    assert "Apache" in card["license"]["model"] and card["origin"]["data"]
