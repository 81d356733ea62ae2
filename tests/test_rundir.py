"""rundir.py: numbers, finding the run to continue, and what may not change."""

import json

import pytest
import tiny

from stylegan_tf import config as configs
from stylegan_tf import files
from stylegan_tf.errors import UserError
from stylegan_tf.runs import rundir

CONFIG = tiny.config({"data": "photos/cats.zip", "preset": "demo"})


def test_runs_are_numbered_and_named_after_data_and_preset(tmp_path):
    names = [rundir.create_run(tmp_path, CONFIG, []).path.name for _ in range(3)]
    assert names == ["00000-cats-demo", "00001-cats-demo", "00002-cats-demo"]
    (tmp_path / "00001-cats-demo").rename(tmp_path / "00041-mine")
    assert rundir.create_run(tmp_path, CONFIG, []).path.name == "00042-cats-demo"


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("demo", "demo"),
        ("demo:500", "demo"),
        ("tfds:cifar10", "cifar10"),
        ("/some where/my pictures/", "my_pictures"),
        ("/", "data"),
        ("ж/ü.zip", "_"),
    ],
)
def test_names_are_safe_in_a_file_system(data, name, tmp_path):
    run = rundir.create_run(tmp_path, tiny.config({"data": data}), [])
    assert run.path.name == f"00000-{name}-custom"


def test_a_new_run_says_how_it_was_made(tmp_path):
    run = rundir.create_run(tmp_path / "a" / "b", CONFIG, ["train.py", "--mirror"])
    assert rundir.read_run(run.path) == run
    assert (run.path / "command.txt").read_text() == "train.py --mirror\n"
    environment = json.loads((run.path / "environment.json").read_text())
    assert environment["python"][0] == "3"
    assert {"keras", "numpy"} <= set(environment["packages"])
    assert run.nimg == 0


def test_progress_is_read_from_its_file(tmp_path):
    run = rundir.create_run(tmp_path, CONFIG, [])
    (run.path / "progress.json").write_text('{"nimg": 1234, "seconds": 1}')
    assert run.nimg == 1234
    (run.path / "progress.json").write_text('{"nim')
    assert run.nimg == 0


def test_what_is_no_run_is_said(tmp_path):
    with pytest.raises(UserError, match="has no config.json"):
        rundir.read_run(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(UserError, match="config.json cannot be read"):
        rundir.read_run(tmp_path)
    (tmp_path / "config.json").write_text('{"color": "red"}')
    with pytest.raises(UserError, match="no field color"):
        rundir.read_run(tmp_path)


# ---------------------------------------------------------------------------
# Which run to continue


def test_finds_the_newest_run_with_the_same_settings(tmp_path):
    other = configs.update(CONFIG, {"loss.r1_gamma": 1.0})
    for config in (CONFIG, CONFIG, other):
        rundir.create_run(tmp_path, config, [])
    broken = rundir.create_run(tmp_path, CONFIG, [])
    (broken.path / "config.json").write_text("")
    (tmp_path / "00099-notes").mkdir()
    assert len(rundir.list_runs(tmp_path)) == 3
    assert rundir.find_run(tmp_path, CONFIG).path.name == "00001-cats-demo"
    assert rundir.find_run(tmp_path, other).path.name == "00002-cats-demo"
    new = configs.update(CONFIG, {"seed": 7})
    assert rundir.find_run(tmp_path, new) is None
    assert rundir.find_run(tmp_path / "nowhere", CONFIG) is None


@pytest.mark.parametrize(
    "changes", [{"schedule.total_kimg": 9.0}, {"snapshot_ticks": 3}, {"image_ticks": 9}]
)
def test_length_and_reporting_may_change(changes, tmp_path):
    rundir.create_run(tmp_path, CONFIG, [])
    assert rundir.find_run(tmp_path, configs.update(CONFIG, changes))


def test_every_other_setting_may_not(monkeypatch):
    """Each field on its own, whatever its type."""
    saved = configs.flat(CONFIG)
    refused = set()
    for name in saved:
        other = saved | {name: object()}
        settings = {"saved": saved, "wanted": other}
        monkeypatch.setattr(configs, "flat", settings.__getitem__)
        refused |= set(rundir.changed_settings("saved", "wanted"))
    assert set(saved) - refused == {
        "generator.modulation",  # settled by the run itself
        "generator.class_names",  # the data's
        "generator.label_examples",
        "schedule.fit_kimg",  # by the length that the run began with
        "jit",
        "generator.half_resolutions",  # the preset's, which older runs had not
        "discriminator.half_resolutions",
        "recompute",  # the same numbers
        "accumulate",
        "schedule.total_kimg",
        "snapshot_ticks",
        "checkpoint_minutes",
        "image_ticks",
        "metrics",
        "metrics_every",
        "features",
        "data",
    }


def test_a_refusal_names_each_flag_then_and_now(tmp_path):
    run = rundir.create_run(tmp_path, CONFIG, [])
    wanted = configs.update(CONFIG, {"loss.r1_gamma": 1.0, "generator.fmap_max": 9})
    with pytest.raises(UserError) as refusal:
        rundir.check_resumable(run, wanted, {"loss.r1_gamma": "--gamma"})
    text = str(refusal.value)
    assert "--gamma was 10.0 and is now 1.0" in text
    assert "--set=generator.fmap_max was 8 and is now 9" in text
    assert "--resume=never" in text and str(run.path) in text


def test_nothing_is_refused_when_only_the_length_changes(tmp_path):
    run = rundir.create_run(tmp_path, CONFIG, [])
    longer = configs.update(CONFIG, {"schedule.total_kimg": 99.0})
    rundir.check_resumable(run, longer, {})


def test_files_are_replaced_in_one_step(tmp_path):
    file = tmp_path / "a.json"
    files.write_text(file, "1")
    files.write_text(file, "2")
    assert file.read_text() == "2"
    assert list(tmp_path.iterdir()) == [file]
