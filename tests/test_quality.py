"""benchmarks/quality.py: its clock, what it keeps, what it measures, what it says."""

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from stylegan_tf_launch import parsing

from stylegan_tf.errors import UserError

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture(autouse=True)
def beside_each_other(monkeypatch):
    """The scripts import one another."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))


@pytest.fixture
def clock():
    from workers import quality_clock

    return quality_clock


@pytest.fixture
def quality(tmp_path):
    import quality

    quality.FLAGS(["quality.py", f"--out={tmp_path}", "--num=40"])
    return quality


# ---------------------------------------------------------------------------
# The clock

BURN = """
import subprocess, sys, time
kind = sys.argv[1]
while time.process_time() < 0.3: pass
if kind == "parent":
    subprocess.run([sys.executable, __file__, "ended"], check=True)
    pipe = subprocess.PIPE
    command = [sys.executable, __file__, "alive"]
    alive = subprocess.Popen(command, stdin=pipe, stdout=pipe)
    alive.stdout.readline()
if kind != "ended":
    print(time.process_time(), flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def family(tmp_path):
    """A process, with one ended child and one alive, and what itself used, in seconds.

    Each has used at least 0.3 s.
    """
    script = tmp_path / "burn.py"
    script.write_text(BURN)
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [sys.executable, script, "parent"], stdin=pipe, stdout=pipe
    )
    yield process, float(process.stdout.readline())
    process.stdin.close()
    process.wait(timeout=30)


def test_the_clock_counts_a_process_and_all_that_it_started(clock, family):
    process, own = family
    found = clock.cpu_seconds(process.pid)
    assert found >= own + 0.6 - 0.05  # ticks of 10 ms, rounded down
    assert found <= own + 2.0  # the children's start, on any machine


def test_the_clock_stands_still_while_a_process_waits(clock, family):
    process, _ = family
    assert clock.cpu_seconds(process.pid) == clock.cpu_seconds(process.pid)
    with pytest.raises(OSError, match="there is no process"):
        clock.cpu_seconds(1 << 30)


def test_states_are_due_when_their_minute_has_come(clock, tmp_path):
    assert clock.stamps(6) == [1, 2, 3, 5, 6]
    stamps = clock.Stamps(tmp_path, 6)
    assert stamps.due(59.9) is None
    assert stamps.due(60) == 1
    assert stamps.due(185) == 3  # of those that were missed, the last
    stamps.keep(clock.Stamp(3, 3.05, 700, "a"))
    assert stamps.due(200) is None
    assert not stamps.finished


def test_a_training_that_goes_on_does_not_keep_a_minute_twice(clock, tmp_path):
    clock.Stamps(tmp_path, 6).keep(clock.Stamp(3, 3.05, 700, "a"))
    again = clock.Stamps(tmp_path, 6)
    assert again.kept == [clock.Stamp(3, 3.05, 700, "a")]
    assert again.due(200) is None
    again.keep(clock.Stamp(6, 6.0, 900, "b"))
    assert again.finished and clock.Stamps(tmp_path, 6).finished
    assert not clock.Stamps(tmp_path, 7.5).finished  # a longer one has more to do


# ---------------------------------------------------------------------------
# Ours: watched from outside


def save(folder: Path, images: int) -> None:
    """As a run saves: a checkpoint, then how far it came."""
    run = folder / "runs" / "00000-demo-demo"
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    (run / "config.json").write_text("{}")
    (run / "checkpoints" / f"ckpt-{images}.index").write_text(str(images))
    (run / "progress.json").write_text(json.dumps({"nimg": images}))


def test_the_newest_state_is_put_aside_with_its_own_time(clock, tmp_path, monkeypatch):
    from workers import quality_ours as ours

    now, stamps = [0.0], clock.Stamps(tmp_path, 5)
    monkeypatch.setattr(clock, "cpu_seconds", lambda pid: now[0])
    process = types.SimpleNamespace(pid=1)

    def look(seconds, before=0.0):
        now[0] = seconds
        ours._look(tmp_path, stamps, before, process)

    look(70)  # no state yet: nothing can stand for minute 1
    assert not stamps.kept
    save(tmp_path, 500)
    look(80)
    save(tmp_path, 1000)
    look(110)
    look(125)  # minute 2, and the newest state is 15 s old
    assert [(s.minute, s.images) for s in stamps.kept] == [(1, 500), (2, 1000)]
    assert stamps.kept[1].cpu_minutes == pytest.approx(110 / 60)
    kept = tmp_path / f"{stamps.kept[1].snapshot}.index"
    assert kept.read_text() == "1000"
    assert (kept.parents[1] / "config.json").exists()  # so that it opens as a run's
    # A run that goes on starts from the time of the state that it continues.
    assert ours._clock_of(tmp_path, ours._progress(tmp_path)) == 110
    save(tmp_path, 1500)
    look(80, before=110)
    assert stamps.kept[-1].cpu_minutes == pytest.approx(190 / 60)


# ---------------------------------------------------------------------------
# The peer, with a stand-in for its package


class Trainer:
    """Writes down what is asked of it."""

    said: list = []  # noqa: RUF012

    def __init__(self, **settings):
        self.steps = 0
        self.said.append(("made", settings["batch_size"], settings["name"]))

    def __getattr__(self, name):
        return lambda *arguments: self.said.append((name, *arguments))

    def train(self):
        self.said.append(("train", self.steps))
        self.steps += 1


def test_the_peer_keeps_states_and_goes_on(clock, tmp_path, monkeypatch):
    from workers import quality_peer as peer

    seconds = iter(range(0, 10000, 40))
    package = types.SimpleNamespace(Trainer=Trainer)
    monkeypatch.setattr(peer, "package", lambda: package)
    monkeypatch.setattr(peer, "_told_to_stop", list)
    monkeypatch.setattr(clock, "cpu_seconds", lambda: next(seconds))
    monkeypatch.setattr(Trainer, "said", [])
    assert peer.train(tmp_path, "pictures", 2, {"batch_size": 8}) == 0
    # 0 s, 40 s, 80 s: minute 1; 120 s: minute 2, the end
    assert [s.images for s in clock.read(tmp_path)] == [24, 32]
    wanted = [("made", 8, "peer"), ("clear",), ("set_data_src", "pictures")]
    wanted += [("train", 0), ("train", 1), ("train", 2), ("save", 24)]
    assert Trainer.said == [*wanted, ("train", 3), ("save", 32)]

    seconds = iter([10, 70])  # of the next process; two minutes were used before
    Trainer.said.clear()
    assert peer.train(tmp_path, "pictures", 3, {"batch_size": 8}) == 0
    assert clock.read(tmp_path)[-1] == clock.Stamp(3, 190 / 60, 48, "48")
    assert Trainer.said[1] == ("load", 32)
    assert ("train", 4) in Trainer.said


def test_without_cuda_everything_stays_where_it_is():
    from workers import quality_peer as peer

    cuda = types.SimpleNamespace(is_available=lambda: False)
    kinds = {"Tensor": type("Tensor", (), {})}
    kinds["nn"] = types.SimpleNamespace(Module=type("Module", (), {}))
    torch = types.SimpleNamespace(cuda=cuda, **kinds)
    with peer.without_cuda(torch):
        assert torch.cuda.is_available()
    assert not torch.cuda.is_available()  # or optimizers would look for a driver
    for thing in (torch.Tensor(), torch.nn.Module()):
        assert thing.cuda(0) is thing


# ---------------------------------------------------------------------------
# Measuring


@pytest.fixture
def measured(quality, clock, monkeypatch):
    """A training of the peer with two states, and stand-ins for what is slow."""
    rng = np.random.default_rng(0)
    real = rng.integers(0, 256, (60, 8, 8, 3), np.uint8)
    drawn = []

    class Mean:
        """The mean of each color, and of its square."""

        name, size = "mean", 6

        def __call__(self, images):
            x = images.reshape(len(images), -1, 3) / 255
            return np.concatenate([x.mean(axis=1), np.square(x).mean(axis=1)], axis=1)

    def draw(folder, stamp, stored):
        drawn.append(stamp.minute)
        return {"average": real // 2, "live": real[: quality.FLAGS.num]}

    from stylegan_tf.metrics.features import builtin_own

    monkeypatch.setattr(builtin_own, "load_builtin", Mean)
    monkeypatch.setattr(quality, "dataset", lambda data: Path("stored"))
    monkeypatch.setattr(quality, "reals", lambda stored: [real[:30], real[30:]])
    monkeypatch.setitem(quality.DRAW, "peer", draw)
    stamps = clock.Stamps(quality.folder_of("x/photos.zip", "peer"), 3)
    stamps.keep(clock.Stamp(1, 1.0, 10, "10"))
    stamps.keep(clock.Stamp(2, 2.0, 20, "20"))
    return drawn, stamps, real


def test_only_what_is_new_is_measured(quality, clock, measured, tmp_path):
    drawn, stamps, _ = measured
    quality.measure("x/photos.zip", "peer")
    quality.measure("x/photos.zip", "peer")
    assert drawn == [1, 2]
    stamps.keep(clock.Stamp(3, 3.0, 30, "30"))
    quality.measure("x/photos.zip", "peer")
    assert drawn == [1, 2, 3]
    rows = quality.read(tmp_path / quality.FILE)
    assert [row["minute"] for row in rows] == [1, 2, 3]
    assert {(row["data"], row["program"], row["num"]) for row in rows} == {
        ("photos", "peer", 40)
    }
    quality.FLAGS.num = 50  # another count is another measurement
    quality.measure("x/photos.zip", "peer")
    assert drawn == [1, 2, 3, 1, 2, 3]


def test_the_distance_is_to_all_real_pictures_and_the_better_generator_counts(
    quality, measured, tmp_path
):
    quality.measure("x/photos.zip", "peer")
    row = quality.read(tmp_path / quality.FILE)[0]
    assert row["distance"] == row["of"]["live"] < row["of"]["average"]
    _, _, real = measured
    from scipy.linalg import sqrtm

    x = real.reshape(60, -1, 3) / 255
    x = np.concatenate([x.mean(axis=1), np.square(x).mean(axis=1)], axis=1)
    a, b = x, x[:40]
    root = sqrtm(np.cov(a.T) @ np.cov(b.T)).real
    expected = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    expected += np.trace(np.cov(a.T) + np.cov(b.T) - 2 * root)
    np.testing.assert_allclose(row["distance"], expected, rtol=1e-6)


# ---------------------------------------------------------------------------
# What it says

THEIRS = {1: 90.0, 3: 60.0, 5: 40.0, 10: 30.0, 30: 20.0, 60: 10.0}
OURS = {1: 99.0, 3: 50.0, 5: 41.0, 10: 21.0, 30: 9.0, 60: 12.0}


def test_the_two_statements(clock, quality):
    assert clock.lower_after(OURS, THEIRS) == (2, 3)  # 10 and 30, of 10, 30, 60
    assert clock.reached(OURS, THEIRS) == (30, 0.5)
    assert clock.reached({1: 50.0}, THEIRS) is None
    assert clock.reached(OURS, {}) is None
    text = quality.statements(OURS, THEIRS)
    assert "lower at 2 of 3 minutes after the fifth" in text
    assert "at their 10 of minute 60 at minute 30: 50% of it" in text
    assert "does not reach" in quality.statements({1: 50.0}, THEIRS)


def rows(quality):
    out = [{"data": "demo", "program": "ours", "minute": 1, "num": 5, "distance": 0.0}]
    for program, curve in (("ours", OURS), ("peer", THEIRS)):
        about = {"data": "demo", "program": program, "num": 2000}
        out += [about | {"minute": m, "distance": d} for m, d in curve.items()]
    return out


def test_curves_table_and_figure(quality, tmp_path):
    found = quality.curves(rows(quality))  # without the row of another count
    assert found == {"demo": {"ours": OURS, "peer": THEIRS}}
    found["demo"]["peer"] = {m: d for m, d in THEIRS.items() if m != 3}
    lines = quality.report(found).splitlines()
    assert (
        lines[2] == "| CPU minute | stylegan_tf | stylegan2-pytorch | ours / theirs |"
    )
    assert lines[5] == "| 3 | 50 | - | - |"
    assert lines[7] == "| 10 | 21 | 30 | 0.7 |"
    quality.plot(found, tmp_path / "figures" / "x.png")
    assert (tmp_path / "figures" / "x.png").read_bytes()[:4] == b"\x89PNG"


def test_unknown_steps_are_refused(quality):
    quality.FLAGS(["quality.py", "--step=train,draw"])
    with pytest.raises(UserError, match="--step=draw: known are train, measure, plot"):
        quality.main([])


def test_help():
    import quality

    text = parsing.manual(quality.main, quality.FLAGS, "quality.py")
    assert "python benchmarks/quality.py" in text
    for name in ("data", "step", "program", "minutes", "num", "out", "figure"):
        assert f"\n--{name}=" in text
