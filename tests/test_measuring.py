"""measuring.py: metrics while a model trains, and the best one of them all."""

import json
import shutil
import signal
from types import SimpleNamespace

import numpy as np
import pytest
import reference
import tensorflow as tf
import tiny

from stylegan_tf import config as configs
from stylegan_tf import devices, export, figures, latents, models, sampling
from stylegan_tf.config import RESUMABLE
from stylegan_tf.errors import UserError
from stylegan_tf.export import savedmodel
from stylegan_tf.metrics import results, subject, suite
from stylegan_tf.metrics.evaluation import Evaluation, StoppedError
from stylegan_tf.metrics.features import open_network
from stylegan_tf.metrics.tables import Table
from stylegan_tf.runs import measuring, rundir, session
from stylegan_tf.runs.measuring import Measure
from stylegan_tf.runs.plan import plan_run
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.training.step import METRICS
from stylegan_tf.training.trainer import Trainer, make_networks

MEASURES = {"metrics": ("fid30", "pr303"), "metrics_every": 0.02, "features": "random"}


@pytest.fixture(scope="module")
def networks():
    return make_networks(tiny.config())


@pytest.fixture
def trainer(networks, pictures, tmp_path):
    """What the report sees of a trainer."""
    config = tiny.config(MEASURES)
    return SimpleNamespace(
        config=config,
        data=pictures,
        networks=networks,
        strategy=devices.make_strategy("one"),
        run_dir=tmp_path,
        state=SimpleNamespace(nimg=0),
        stopping=None,
        total=100,
    )


@pytest.fixture
def numbers(monkeypatch):
    """Values that are given out in turn in place of measured ones; and who asked."""
    given, asked = [], []

    def run(self, requests):
        asked.append(
            (self.nimg, self.model.growth.resolution, [r.name for r in requests])
        )
        value = given.pop(0)
        if value is None:
            raise StoppedError
        rows = [
            {"nimg": self.nimg, "metric": r.name + s, "network": self.network.name}
            | {"value": value, "seconds": 1.0, "num": r.num}
            for r in requests
            for s in r.metric.values
        ]
        results.append_results(self.out, rows)
        return rows

    monkeypatch.setattr(Evaluation, "run", run)
    monkeypatch.setattr(export, "save_model", fake_save)
    return SimpleNamespace(given=given, asked=asked)


def fake_save(generator, folder):
    folder.mkdir(parents=True)
    resolution, alpha = generator.growth
    value = f"{generator.w_avg.numpy()[0]:g} at {resolution}, {alpha:g}"
    (folder / "what").write_text(value)


def measure(trainer, names=None, **settings) -> Measure:
    made = Measure(names or trainer.config.metrics, lambda text: None, **settings)
    made.start(trainer)
    return made


def ticks(report, trainer, *moments) -> None:
    for nimg in moments:
        trainer.state.nimg = nimg
        trainer.networks.average.w_avg.assign(np.full(8, nimg))
        report.tick(trainer, {})


def best(trainer) -> tuple[str, dict]:
    folder = trainer.run_dir / measuring.BEST
    return (folder / "what").read_text(), json.loads(
        (folder / subject.BEST).read_text()
    )


def test_it_measures_every_so_often_and_at_the_end(trainer, numbers):
    numbers.given += [3, 2, 1]
    ticks(measure(trainer), trainer, 8, 16, 24, 32, 48, 50, 56, 100)
    assert [nimg for nimg, *_ in numbers.asked] == [24, 48, 100]
    assert numbers.asked[0][2] == ["fid30", "pr303"]


def test_the_best_model_is_kept(trainer, numbers):
    numbers.given += [3, 2, 2.5, 2]
    report = measure(trainer)
    ticks(report, trainer, 20, 40, 60, 80)
    text, row = best(trainer)
    assert text == "40 at 8, 1"
    assert (row["nimg"], row["metric"], row["value"]) == (40, "fid30", 2)
    assert report.best == 2
    assert [p.name for p in (trainer.run_dir / "model").iterdir()] == ["best"]


def test_higher_may_be_better(trainer, numbers):
    numbers.given += [0.5, 0.7, 0.6]
    report = measure(trainer, ("pr303", "fid30"))
    assert report.first == "pr303_precision"
    ticks(report, trainer, 20, 40, 60)
    assert best(trainer)[1]["value"] == 0.7


def test_a_resumed_run_knows_the_best_so_far(trainer, numbers):
    """Also by rows alone; and what came after the checkpoint is dropped."""
    numbers.given += [3, 2, 5]
    ticks(measure(trainer), trainer, 20, 40, 60)
    trainer.state.nimg = 44
    report = measure(trainer)
    rows = results.read_results(trainer.run_dir)
    assert {row["nimg"] for row in rows} == {20, 40}
    assert (report.best, report.last) == (2, 40)
    numbers.given += [2.5, 1]
    ticks(report, trainer, 52, 60, 80)
    assert [nimg for nimg, *_ in numbers.asked][3:] == [60, 80]
    assert best(trainer)[1]["nimg"] == 80
    # The row of the model in model/best is gone, the model and its number are not.
    trainer.state.nimg = 60
    assert measure(trainer).best == 1
    (trainer.run_dir / measuring.BEST / subject.BEST).unlink()
    assert measure(trainer).best == 2
    assert measure(trainer, ("kid30", "fid30")).best is None


def test_numbers_in_another_network_are_no_rivals(trainer, numbers):
    row = {"nimg": 0, "metric": "fid30", "network": "other-v1", "value": 0.1}
    results.append_results(trainer.run_dir, [row])
    assert measure(trainer).best is None


def test_a_signal_ends_a_measurement_and_it_is_made_up_for(trainer, numbers):
    numbers.given += [None, 3]
    report = measure(trainer)
    ticks(report, trainer, 24)
    assert report.best is None and results.read_results(trainer.run_dir) == []
    ticks(report, trainer, 32, 39)
    assert [nimg for nimg, *_ in numbers.asked] == [24, 32]
    trainer.stopping = "SIGTERM"
    ticks(report, trainer, 100)
    assert len(numbers.asked) == 2


def test_while_it_grows_the_model_is_measured_as_far_as_it_has(trainer, numbers):
    numbers.given += [4, 3, 2]
    trainer.config = tiny.config(MEASURES | {"metrics_every": 0.008})
    report = measure(trainer)
    for nimg, resolution, text in (
        (16, 4, "16 at 4, 1"),
        (24, 8, "24 at 8, 0.5"),  # 8 x 8 is fading in
        (32, 8, "32 at 8, 1"),
    ):
        ticks(report, trainer, nimg)
        assert numbers.asked[-1][1] == resolution and best(trainer)[0] == text


def test_what_cannot_be_measured_is_refused_at_once(trainer, pictures):
    with pytest.raises(UserError, match="--metrics=ls5k cannot be had: random-v1 has"):
        measure(trainer, ("fid5k", "ls5k"))
    request = RunRequest(changes={"data": str(pictures), "metrics": "fid"})
    with pytest.raises(UserError, match="there is no metric 'fid'"):
        plan_run(request, devices.make_strategy("one"))


# ---------------------------------------------------------------------------
# With a real trainer


def blank(self, phase, due, *_):
    """A step that only moves a weight of the average: training is tested elsewhere."""

    def step(images, labels, clock):
        last = self.networks.average.trainable_variables[-1]
        last.assign_add(tf.ones(last.shape))
        return np.zeros(len(METRICS))

    return step


@pytest.fixture(scope="module")
def run(pictures, tmp_path_factory):
    """A run that was told to stop in its second measurement: what it left, said and
    is; then the rest of it."""
    folder, said = tmp_path_factory.mktemp("run"), []
    config = tiny.config(tiny.FIXED | MEASURES | {"metrics": ("fid30",)})
    report = Measure(config.metrics, said.append, str(folder / "cache"))
    trainer = Trainer(config, pictures, folder, reports=[report])
    real = trainer.step

    def step():
        if trainer.state.nimg == 36:  # the next step ends in a measurement
            patch.setattr(Table, "fill", signalled)
        return real()

    fill = Table.fill

    def signalled(*args, **how):
        signal.raise_signal(signal.SIGTERM)
        return fill(*args, **how)

    tf.config.run_functions_eagerly(True)  # sooner than making graphs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_compiled_step", blank)
        patch.setattr(savedmodel, "save_savedmodel", lambda _, path: path.mkdir())
        patch.setattr(trainer, "step", step)
        first = trainer.train(), trainer.stopping, trainer.state.nimg
        left = (
            results.read_results(folder),
            list(said),
            sorted(p.name for p in folder.iterdir()),
        )
    best = tmp_path_factory.mktemp("best") / "best"
    shutil.copytree(folder / measuring.BEST, best)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "_compiled_step", blank)
        patch.setattr(savedmodel, "save_savedmodel", lambda _, path: path.mkdir())
        trainer.stopping = None
        assert trainer.restore() and trainer.train() == "finished"
    tf.config.run_functions_eagerly(False)
    return SimpleNamespace(
        folder=folder, report=report, first=first, left=left, best=best
    )


def test_a_stopped_run_has_the_numbers_of_whole_measurements(run):
    assert run.first == ("interrupted", "SIGTERM", 40)
    ((row,), (line,), names) = run.left
    assert (row["metric"], row["network"], row["nimg"]) == ("fid30", "random-v1", 24)
    assert "fid30[random-v1]" in line and line.endswith("(best so far)")
    assert sum(name.endswith(".metrics") for name in names) == 1
    assert measuring.WORK in names


def test_the_number_is_that_of_the_exported_model(run, pictures, tmp_path):
    ((row,), *_) = run.left
    assert json.loads((run.best / subject.BEST).read_text()) == row
    strategy = devices.make_strategy("one")
    opened = subject.open_subject(run.best, strategy, str(pictures))
    assert opened.nimg == 24
    how = open_network("random"), strategy, tmp_path
    e = Evaluation(opened.model, opened.data, *how, cache=tmp_path)
    (again,) = e.run(suite.parse_metrics("fid30"))
    assert again["value"] == pytest.approx(row["value"], rel=1e-6)
    assert again["model"] == row["model"]


def test_it_goes_on_and_finishes(run):
    found = {row["nimg"]: row["value"] for row in results.read_results(run.folder)}
    assert list(found) == [24, 48] and found[24] != found[48]
    assert run.report.best == min(found.values())
    assert not (run.folder / measuring.WORK).exists()


def test_a_run_that_ends_in_a_fade_is_one_model_wherever_it_is(
    pictures, tmp_path, monkeypatch, capsys
):
    """Half of 8 x 8 has faded in: its checkpoint, its export, and what was measured."""
    config = tiny.config(
        MEASURES | {"schedule.total_kimg": 0.024, "metrics": ("fid30",)}
    )
    configs.write_config(config, tmp_path / "config.json")
    report = Measure(config.metrics, lambda text: None, str(tmp_path / "cache"))
    trainer = Trainer(config, pictures, tmp_path, reports=[report])
    monkeypatch.setattr(Trainer, "_compiled_step", blank)
    assert trainer.train() == "finished"
    session.export_model(trainer)
    (row,) = results.read_results(tmp_path)
    average = trainer.networks.average
    ws = average.broadcast(average.mapping(latents.z_of([3, 4], 8)))
    below, new = (
        average.synthesis(ws, noise="const", resolution=r, alpha=1.0).numpy()
        for r in (4, 8)
    )
    expected = figures.to_uint8(reference.faded(below, new, 0.5)).astype(int)
    for path in ("checkpoints/ckpt-24", "model", measuring.BEST):
        model = models.load(tmp_path / path)
        assert model.growth == (8, 0.5)
        found = np.stack([p for _, p in sampling.draw(model, [3, 4])]).astype(int)
        np.testing.assert_allclose(found, expected, atol=1)
        strategy = devices.make_strategy("one")
        opened = subject.open_subject(tmp_path / path, strategy, str(pictures))
        how = open_network("random"), strategy, tmp_path / "again"
        e = Evaluation(opened.model, pictures, *how, cache=tmp_path / "cache")
        (again,) = e.run(suite.parse_metrics("fid30"))
        assert again["value"] == pytest.approx(row["value"], rel=1e-6)
    assert "50% faded in" in (tmp_path / "model" / export.CARD).read_text()


def test_measuring_may_change_when_a_run_goes_on():
    names = ("metrics", "metrics_every", "features")
    assert set(names) <= set(RESUMABLE)
    a, b = tiny.config(), tiny.config(MEASURES)
    assert rundir.changed_settings(a, b) == []
    assert rundir.continued_config(a, b).metrics == ("fid30", "pr303")


def test_a_run_measures_if_it_is_told_to():
    request = RunRequest()
    kinds = [type(r) for r in session.make_reports(tiny.config(), request.cache)]
    assert Measure not in kinds
    reports = session.make_reports(tiny.config(MEASURES), request.cache)
    assert [type(r) for r in reports] == [*kinds, Measure]
    assert reports[-1].requests == suite.parse_metrics("fid30,pr303")
    assert reports[-1].say == reports[0].say
