"""Runs side by side: list, comparison, page, curves, sweep. No TensorFlow."""

import csv
import io
import json
import math
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from stylegan_tf_launch import compare, parsing, runs

from stylegan_tf import checkpoints, config
from stylegan_tf.config import presets
from stylegan_tf.errors import UserError
from stylegan_tf.metrics import suite
from stylegan_tf.runs import comparison, overview, rundir, sweep
from stylegan_tf.runs.comparison_page import comparison_page, thinned
from stylegan_tf.runs.curves import curves_svg, nice_ticks

LABEL = "fid100[random-v1]"


def make_run(
    out: Path, changes: dict, fids=(), nimg=48, preset="demo-ladder-f"
) -> Path:
    """A run directory as training leaves it, without a model."""
    settings = {"preset": preset, "resolution": 16} | presets.PRESETS[preset].changes(
        16, 1
    )
    made = config.update(
        config.TrainConfig(), settings | {"schedule.total_kimg": 0.048} | changes
    )
    run = rundir.create_run(out, made, ["train"]).path
    checkpoints.write_progress(run, nimg)
    rows = [
        {"metric": "fid100", "network": "random-v1", "value": v, "nimg": 1000 * (i + 1)}
        for i, v in enumerate(fids)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    stats = [{"nimg": 1000 * i, "loss/g": 1 / (i + 1), "loss/d": 0.0} for i in range(3)]
    (run / "stats.jsonl").write_text("".join(json.dumps(r) + "\n" for r in stats))
    return run


@pytest.fixture
def folder(tmp_path):
    """Two values of gamma, two seeds each."""
    for gamma, seed, fids in (
        (1, 0, (9, 4, 6)),
        (1, 1, (8,)),
        (4, 0, (3,)),
        (4, 1, ()),
    ):
        changes = {"loss.r1_gamma": float(gamma), "seed": seed}
        make_run(tmp_path / "runs", changes, fids)
    return tmp_path / "runs"


def test_a_run_at_a_glance(folder):
    paths = overview.find_run_folders([folder])
    assert [p.name[:5] for p in paths] == ["00000", "00001", "00002", "00003"]
    assert overview.find_run_folders([folder.parent]) == paths  # a level above
    first = overview.summarize_run(paths[0])
    score = first.scores[LABEL]
    assert (score.best, score.kimg, score.last) == (4, 2, 6)
    assert first.state == "stopped" and first.size == "16x16"
    other = overview.summarize_run(paths[2])  # its preset has gamma 1 at this size
    assert overview.changes_from_preset(first.run.config) == {}
    assert overview.changes_from_preset(other.run.config) == {"loss.r1_gamma": 4.0}
    table = overview.runs_table([first, other])
    assert "loss.r1_gamma=4" in table and "fid100[random-v1] 4" in table
    assert all(
        len(line) <= 60 for line in overview.runs_table([first], 60).splitlines()
    )


def test_states_of_runs(tmp_path):
    run = make_run(tmp_path, {}, nimg=0)
    read = rundir.read_run(run)
    assert overview.run_state(read) == "new"
    checkpoints.write_progress(run, 48)
    assert overview.run_state(read) == "stopped"
    (run / "log.txt").write_text(f"warning: stopped\n{rundir.DIVERGED}\n")
    assert overview.run_state(read) == "diverged"
    note = {"pid": 2**22 + 5, "host": overview.owner.socket.gethostname()}
    (run / ".owner.json").write_text(json.dumps(note))
    assert overview.run_state(read) == "killed"
    (run / ".owner.json").write_text(json.dumps(note | {"host": "elsewhere"}))
    assert overview.run_state(read) == "training on elsewhere"


def test_better_is_higher_or_lower_by_the_metric():
    assert suite.better_of("fid5k") == suite.LOWER
    assert suite.better_of("pr5k3_recall") == suite.HIGHER
    assert suite.better_of("of_another_version") == suite.LOWER


def test_mean_and_deviation_over_seeds(folder):
    compared = comparison.compare_runs([folder])
    assert compared.settings == ("loss.r1_gamma", "seed")
    assert compared.group_rows() == [
        ["loss.r1_gamma", "runs", LABEL],
        ["1", "2", "6 +- 2.8"],  # of 4 and 8
        ["4", "2", "3"],
    ]
    assert comparison.mean_text([1.0, 2.0, 3.0]) == "2 +- 1"
    table = list(csv.DictReader(io.StringIO(compared.csv_text())))
    assert [row["seed"] for row in table] == ["0", "1", "0", "1"]
    assert table[0][LABEL] == "4" and Path(table[0]["path"]).parent == folder
    with pytest.raises(UserError, match="is not there"):
        comparison.compare_runs([folder / "none"])


def test_what_both_networks_share_is_one_column(tmp_path):
    for size, own in ((8, 16), (16, 16)):
        make_run(tmp_path, {"resolution": size, "discriminator.fmap_max": own})
    make_run(tmp_path, {"discriminator.fmap_max": 32})  # not the generator's
    found = overview.differing_settings(
        list(map(overview.summarize_run, overview.find_run_folders([tmp_path])))
    )
    assert "generator.resolution" in found and "discriminator.fmap_max" in found
    assert "discriminator.resolution" not in found


class Reader(HTMLParser):
    """What a page loads, and how its elements close."""

    def __init__(self):
        super().__init__()
        self.open, self.loaded, self.text = [], [], ""

    def handle_starttag(self, tag, attrs):
        self.loaded += [v for k, v in attrs if k in ("src", "href")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_the_page_needs_nothing_else(folder):
    make_run(folder, {"preset": "<script>x</script>"})
    compared = comparison.compare_runs([folder])
    page = comparison_page(compared, {"<b>": b"png"}, "Seeds 0-7.")
    reader = Reader()
    reader.feed(page)
    assert not reader.open
    assert reader.loaded == ["data:image/png;base64,cG5n"]
    assert "<script" not in page and "<script>x</script>" in reader.text
    assert page.count("<polyline") == 1 + 5  # FID of one run, loss/g; loss/d is 0
    assert "6 +- 2.8" in reader.text and "http" not in page


def test_curves():
    assert nice_ticks(0, 10) == [0, 2, 4, 6, 8, 10]
    assert nice_ticks(0.013, 0.047) == [0.01, 0.02, 0.03, 0.04, 0.05]
    assert nice_ticks(3, 3)[0] <= 2 and nice_ticks(0, 0) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    svg = curves_svg("a & b", {"one": [(0, 0.0), (1, 1.0), (2, math.nan)]})
    assert 'points="62.0,204.0 448.0,28.0"' in svg and "a &amp; b" in svg
    assert curves_svg("none", {"one": []}) == ""
    many = thinned([(i, i) for i in range(1001)])
    assert len(many) <= 400 and many[-1] == (1000, 1000)


def test_the_scripts_take_runs_behind_their_flags(folder, tmp_path, capsys):
    argv = parsing.parse(runs.main, runs.FLAGS, ["runs", str(folder), "--wide"])
    assert runs.main(argv) == 0
    assert capsys.readouterr().out.count("00000-demo-demo") == 1
    out = tmp_path / "report"
    flags = ["compare", str(folder), "--seeds=none", f"--out={out}"]
    assert compare.main(parsing.parse(compare.main, compare.FLAGS, flags)) == 0
    assert "mean and deviation over seeds" in capsys.readouterr().out
    assert out.with_suffix(".csv").exists() and out.with_suffix(".html").exists()


# ---------------------------------------------------------------------------
# Sweep

# Stands for train: makes a finished run of the flags, or fails.
STAND_IN = """
import sys
from pathlib import Path
import test_compare
flags = dict(f.lstrip("-").split("=", 1) for f in sys.argv[1:])
gamma = flags["set"].split("=")[1]
if gamma == "99":
    sys.exit(2)
changes = {"loss.r1_gamma": float(gamma), "seed": int(flags["seed"])}
test_compare.make_run(Path(flags["out"]), changes, (float(gamma),))
"""


@pytest.fixture
def stand_in(tmp_path, monkeypatch):
    script = tmp_path / "stand_in.py"
    script.write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", ":".join(sys.path))
    monkeypatch.setattr(rundir.Run, "finished", property(lambda run: True))
    return [sys.executable, str(script)]


def test_a_sweep_trains_what_is_not_finished(stand_in, tmp_path):
    out, said = tmp_path / "sweep", []
    points = sweep.sweep_points(["loss.r1_gamma=1,4"], 1, ["--kimg=1"], str(out))
    assert [p.name for p in points] == [
        "loss.r1_gamma=1 seed=0",
        "loss.r1_gamma=4 seed=0",
    ]
    half = sweep.Sweep(points[:1], out, stand_in, 1, said.append).run()
    assert [p.name for p in half] == ["00000-demo-demo_ladder_f"]
    both = sweep.Sweep(points, out, stand_in, 2, said.append).run()
    assert [p.name for p in both] == [
        "00000-demo-demo_ladder_f",
        "00001-demo-demo_ladder_f",
    ]
    assert "1/2 loss.r1_gamma=1 seed=0: finished before" in said
    rows = comparison.compare_runs(both).group_rows()
    assert rows[1:] == [["1", "1", "1"], ["4", "1", "4"]]


def test_a_sweep_ends_where_flags_cannot_be(stand_in, tmp_path):
    points = sweep.sweep_points(["loss.r1_gamma=99,1"], 1, [], str(tmp_path / "out"))
    with pytest.raises(UserError, match="loss.r1_gamma=99 seed=0 could not begin"):
        sweep.Sweep(points, tmp_path / "out", stand_in, 1, print).run()
    assert not rundir.list_runs(tmp_path / "out")


def test_values_of_a_sweep():
    assert sweep.split_values("a=1,4, 16") == ("a", ["1", "4", "16"])
    assert sweep.split_values('b=[1,2],{"8": 4, "16": 2}') == (
        "b",
        ["[1,2]", '{"8": 4, "16": 2}'],
    )
    points = sweep.sweep_points(
        ["preset=demo,dcgan", "mirror=true"], 2, ["--kimg=3"], "o"
    )
    assert len(points) == 4
    assert points[3].command == (
        "--kimg=3",
        "--preset=dcgan",
        "--set=mirror=true",
        "--seed=1",
        "--out=o",
    )


@pytest.mark.parametrize(
    ("sets", "flags", "text"),
    [
        (["loss.r1_gama=1"], [], "there is no setting 'r1_gama'"),
        (["preset=demos"], [], "there is no preset"),
        (["mirror"], [], "is not NAME=VALUE"),
        (["mirror=true", "mirror=false"], [], "given twice"),
        (["mirror=true"], ["--out=x"], "--out=x cannot be given"),
        (["mirror=true"], ["runs"], "runs cannot be given"),
        (["seed=1"], [], "--seeds"),
        ([f"schedule.lr={','.join(['0.1'] * 2000)}"], [], "at most 1000"),
    ],
)
def test_what_a_sweep_refuses(sets, flags, text):
    with pytest.raises(UserError, match=text):
        sweep.sweep_points(sets, 1, flags, "out")


def test_the_ladder_is_one_sweep():
    names = [f"demo-ladder-{letter}" for letter in presets.LADDER]
    for letter, name in zip(presets.LADDER, names, strict=True):
        made = presets.make_config(name, 16)
        wanted = config.update(
            presets.make_config("demo-ladder-f", 16),
            presets.LADDER[letter] | {"preset": name},
        )
        assert made == wanted
