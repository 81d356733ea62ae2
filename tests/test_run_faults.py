"""A run under faults: two processes, full disks, odd files, unfinished exports."""

import contextlib
import errno
import json
import os
import subprocess
import sys

import pytest
import tiny

from stylegan_tf import checkpoints, devices, figures, files
from stylegan_tf import config as configs
from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import DiskError, UserError
from stylegan_tf.export.card import mark_unfinished
from stylegan_tf.runs import owner, reports, rundir, session
from stylegan_tf.runs.event_files import EventFiles
from stylegan_tf.runs.plan import Plan, resolve_data
from stylegan_tf.runs.request import RunRequest
from stylegan_tf.training.trainer import Trainer

CONFIG = tiny.config({"data": "photos", "preset": "demo"})


def full(*_args, **_kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture
def run(tmp_path):
    return rundir.create_run(tmp_path, CONFIG, ["train.py", "--out=a b"])


def save(run: rundir.Run, nimg: int, **facts) -> None:
    """Files of a checkpoint that nobody restores."""
    draft = checkpoints.new_draft(run.path, nimg)
    for part in ("data-00000-of-00001", "index"):
        (draft.folder / f"ckpt-{nimg}.{part}").write_text("weights")
    settings = configs.to_dict(run.config)
    checkpoints.keep_draft(run.path, draft, {"settings": settings} | facts)
    checkpoints.write_progress(run.path, nimg)


# ---------------------------------------------------------------------------
# One owner


def test_a_second_process_is_refused_by_name(run):
    with owner.own_run(run.path):
        pid = os.getpid()
        with (
            pytest.raises(UserError, match=rf"process {pid} on .* \(since 2"),
            owner.own_run(run.path),
        ):
            pass
        assert (run.path / owner.OWNER).exists()  # still the first one's
    with owner.own_run(run.path):
        pass
    assert not (run.path / owner.OWNER).exists()


HOLDER = """
import pathlib, sys, time
from stylegan_tf.runs import owner

with owner.own_run(pathlib.Path(sys.argv[1])):
    print("owned", flush=True)
    time.sleep(60)
"""


def test_a_process_that_was_killed_owns_nothing(run, capfd):
    (run.path / ".data.0badcafe.1.tmp.txt").touch()
    lazy = os.environ | {"STYLEGAN_TF_LAZY": "1"}
    command = [sys.executable, "-c", HOLDER, run.path]
    holder = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=lazy)
    assert holder.stdout.readline() == "owned\n"
    with (
        pytest.raises(UserError, match=f"process {holder.pid} "),
        owner.own_run(run.path),
    ):
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with owner.own_run(run.path):
        told = capfd.readouterr().out
        assert f"process {holder.pid} on " in told and "takes over" in told
        assert not list(run.path.glob(".*.tmp*"))


def test_without_locks_a_living_process_on_this_machine_counts(run, monkeypatch):
    import filelock

    def no_locks(*_args, **_kwargs):
        raise OSError(errno.ENOLCK, "no locks")

    monkeypatch.setattr(filelock.FileLock, "acquire", no_locks)
    with owner.own_run(run.path):
        note = json.loads((run.path / owner.OWNER).read_text())
    files.write_text(run.path / owner.OWNER, json.dumps(note | {"pid": os.getppid()}))
    with pytest.raises(UserError, match="is being trained by"), owner.own_run(run.path):
        pass
    for odd in ("", "[]", '{"pid": "x"}', json.dumps(note | {"host": "elsewhere"})):
        files.write_text(run.path / owner.OWNER, odd)
        with owner.own_run(run.path):
            pass


def test_the_same_command_twice_is_one_run(pictures, tmp_path):
    plan = Plan(tiny.config({"data": str(pictures)}), Manifest.load(pictures))
    request, strategy = RunRequest(out=str(tmp_path)), devices.make_strategy("one")
    with contextlib.ExitStack() as held:
        first = session.open_run(request, plan, strategy, held=held)
        with pytest.raises(UserError, match="is being trained by"):
            session.open_run(request, plan, strategy, held=contextlib.ExitStack())
        assert rundir.list_runs(tmp_path) == [first]
    with contextlib.ExitStack() as held:
        assert session.open_run(request, plan, strategy, held=held) == first


# ---------------------------------------------------------------------------
# Files of any content


@pytest.mark.parametrize("content", ["", "{", "\0\0", "[" * 9999, None])
def test_settings_that_are_gone_are_those_of_the_checkpoint(content, run, capsys):
    file = run.path / "config.json"
    file.unlink() if content is None else file.write_text(content)
    if content is not None:
        with pytest.raises(UserError, match=r"config\.json cannot be read"):
            rundir.read_run(run.path)
    save(run, 100)
    assert rundir.read_run(run.path) == run
    rundir._write_config(run)
    assert configs.read_config(file) == CONFIG
    assert "settings are those of a checkpoint" in capsys.readouterr().out


def test_settings_changed_by_hand_are_not_replaced(run):
    save(run, 100)
    (run.path / "config.json").write_text('{"color": "red"}')
    with pytest.raises(UserError, match="no field color"):
        rundir.read_run(run.path)


def test_an_unreadable_run_is_named_and_not_begun_anew(run, tmp_path, capsys):
    (run.path / "config.json").write_text("")
    with pytest.raises(UserError, match="00000-photos-demo may be the run to"):
        rundir.check_unreadable(tmp_path, CONFIG, None)
    other = configs.update(CONFIG, {"data": "cats"})
    rundir.check_unreadable(tmp_path, other, None)
    assert "00000-photos-demo is left out" in capsys.readouterr().err
    newer = rundir.create_run(tmp_path, CONFIG, [])
    rundir.check_unreadable(tmp_path, CONFIG, newer)


def test_a_run_that_lost_everything_but_its_log_is_not_begun_anew(run):
    rundir.check_started(run)
    (run.path / "stats.jsonl").write_text('{"nimg": 8}\n')
    rundir.check_started(run)  # killed before its first checkpoint
    (run.path / "progress.json").write_text("{")
    with pytest.raises(UserError, match=r"neither a checkpoint nor .* stats\.jsonl"):
        rundir.check_started(run)
    save(run, 8)
    rundir.check_started(run)


@pytest.mark.parametrize("content", [b"", b"\0\0", b"\xff\xfe", b"0badcafe\0 /a", None])
def test_which_data_it_was_is_read_from_the_checkpoint_too(content, run):
    file = run.path / "data.txt"
    if content is not None:
        file.write_bytes(content)
    assert checkpoints.known_data(run.path) == (None, None)
    save(run, 100, data="0badcafe")
    assert checkpoints.known_data(run.path) == ("0badcafe", None)


def test_a_run_with_a_relative_folder_goes_on_from_elsewhere(
    pictures, tmp_path, monkeypatch
):
    config = tiny.config({"data": "in"})
    run = rundir.create_run(tmp_path / "runs", config, [])
    rundir.record_settings(run, Manifest.load(pictures))
    monkeypatch.chdir(tmp_path)
    request = RunRequest(resume=str(run.path))
    found = resolve_data(request, config, devices.make_strategy("one"))
    assert found.folder == pictures


def test_folders_of_people_stand_beside_runs(tmp_path):
    for name in ("2nd-try", "20261129-notes", "1-", "٣٣٣٣٣-x", "00007-mine"):
        (tmp_path / name).mkdir()
    made = rundir.create_run(tmp_path, CONFIG, ["train.py", "--out=a b"])
    assert made.path.name == "00008-photos-demo"
    assert (made.path / "command.txt").read_text() == "train.py '--out=a b'\n"
    (tmp_path / ".photos-demo.17.new").mkdir()
    rundir.remove_unfinished(tmp_path)
    assert not list(tmp_path.glob(".*"))


# ---------------------------------------------------------------------------
# A finished run


def export(run: rundir.Run, nimg: int, **origin) -> None:
    model = run.path / "model" / "generator.keras"
    files.write_text(model, "weights")
    about = {"name": model.name, "bytes": 7}
    origin = {"images_seen": nimg, **origin}
    files.write_text(
        run.path / rundir.CARD, json.dumps({"origin": origin, "files": [about]})
    )


def draw_sheet(run: rundir.Run, nimg: int) -> None:
    image = figures.image_grid(tiny.np.zeros([1, 8, 8, 3], "uint8"), 1)
    figures.save_image(run.path / rundir.SHEET, image, {"nimg": str(nimg)})


def test_finished_is_what_has_exported_its_last_state(run):
    save(run, 48)
    assert not run.finished
    export(run, 40, settings="1")
    draw_sheet(run, 40)
    assert not run.finished  # longer than it was, and killed
    export(run, 48, settings="1")
    assert not run.finished  # killed before its sheet
    draw_sheet(run, 48)
    assert run.finished
    card = (run.path / rundir.CARD).read_text()
    (run.path / rundir.CARD).unlink()  # killed while the files were exchanged
    assert not run.finished
    (run.path / rundir.CARD).write_text(card)
    assert run.finished
    (run.path / "model" / "generator.keras").write_text("weig")
    assert not run.finished
    longer = configs.update(CONFIG, {"schedule.total_kimg": 1.0})
    assert not rundir.Run(run.path, longer).finished


def test_finished_runs_of_earlier_versions_stay_so(run):
    save(run, 48)
    export(run, 48)
    (run.path / rundir.SHEET).write_text("a sheet without facts")
    assert run.finished
    mark_unfinished(run.path / "model")  # lengthened by this version, and killed
    assert not run.finished
    (run.path / rundir.CARD).unlink()
    assert run.finished
    (run.path / rundir.SHEET).unlink()
    assert not run.finished


# ---------------------------------------------------------------------------
# Full disks


class Failing(reports.Report):
    """A report that cannot write between two moments."""

    def __init__(self):
        self.done = []

    def tick(self, trainer, stats):
        if 16 <= trainer.state.nimg < 32:
            full()
        self.done.append(trainer.state.nimg)


@pytest.fixture
def trainer(pictures, tmp_path, monkeypatch):
    """Trains nothing, and counts images."""
    config = tiny.config({"data": str(pictures), "snapshot_ticks": 2})
    made = rundir.create_run(tmp_path, config, [])
    trainer = Trainer(config, pictures, made.path)
    trainer.reports = [log := reports.Log(), Failing()]
    monkeypatch.setattr(log, "_line", lambda trainer, stats: "a line")

    def step():
        trainer.state.nimg += 4

    monkeypatch.setattr(trainer, "step", step)
    return trainer


def test_a_full_disk_ends_nothing_and_is_told_once(trainer, monkeypatch, capsys):
    saves, write = [], trainer.state._write

    def sometimes():
        saves.append(trainer.state.nimg)
        full() if 16 <= trainer.state.nimg < 32 else write()

    monkeypatch.setattr(trainer.state, "_write", sometimes)
    assert trainer.train() == "finished"
    assert saves == [0, 16, 24, 32, 48]  # again at the next tick
    told = capsys.readouterr().out
    assert told.count("Failing could not be written: No space left on device") == 1
    assert "the checkpoint at 16 images could not be written: No space left" in told
    assert "ckpt-0 is whole. Training goes on" in told
    assert told == (trainer.run_dir / "log.txt").read_text()
    rows = (trainer.run_dir / "stats.jsonl").read_text().splitlines()
    assert [json.loads(row)["nimg"] for row in rows] == [8, 16, 24, 32, 40, 48]
    assert trainer.reports[1].done == [8, 32, 40, 48]
    kept = checkpoints.list_checkpoints(trainer.run_dir)
    assert [c.nimg for c in kept] == [48, 32]


class LateStarter(reports.Report):
    """A report that cannot begin at once; anything else would fail before it has."""

    def start(self, trainer):
        if trainer.state.nimg < 20:
            full()
        self.done = []

    def warn(self, trainer, text):
        self.done.append(text)

    def tick(self, trainer, stats):
        self.done.append(trainer.state.nimg)


def test_a_report_that_cannot_start_starts_later(trainer, capsys):
    trainer.reports = [late := LateStarter(), *trainer.reports[:1], LateStarter()]
    assert trainer.train() == "finished"
    told = capsys.readouterr().out
    assert told.count("LateStarter could not be written: No space left") == 2
    assert told.index("starts at 0 kimg") < told.index("LateStarter")
    assert late.done == [24, 32, 40, 48] == trainer.reports[-1].done


class Rows(reports.Report):
    """The images of the last row on the disk, at the end of every tick."""

    def __init__(self):
        self.last = []

    def tick(self, trainer, stats):
        rows = (trainer.run_dir / "stats.jsonl").read_text().splitlines()
        self.last.append(json.loads(rows[-1])["nimg"])


def test_a_row_waits_for_room_no_longer_than_its_checkpoint(trainer, monkeypatch):
    write, save, room = reports.files.append_text, trainer._save, [False]
    trainer.reports = [trainer.reports[0], rows := Rows()]

    def full_until_saved(file, text):
        whole = file.name != "stats.jsonl" or trainer.state.nimg != 48 or room[0]
        write(file, text) if whole else full()

    monkeypatch.setattr(reports.files, "append_text", full_until_saved)
    monkeypatch.setattr(trainer, "_save", lambda: (save(), room.__setitem__(0, True)))
    step = trainer.step
    monkeypatch.setattr(trainer, "step", lambda: (step(), room.__setitem__(0, False)))
    assert trainer.train() == "finished"
    assert rows.last == [8, 16, 24, 32, 40, 48]


def test_a_tick_that_a_signal_cuts_short_has_its_row(trainer, monkeypatch):
    step = trainer.step

    def told_at_20():
        step()
        trainer.stopping = "SIGTERM" if trainer.state.nimg == 20 else None

    monkeypatch.setattr(trainer, "step", told_at_20)
    assert trainer.train() == "interrupted"
    rows = (trainer.run_dir / "stats.jsonl").read_text().splitlines()
    assert [json.loads(row)["nimg"] for row in rows] == [8, 16, 20]
    assert trainer.reports[1].done == [8]  # 16 fails, 20 is no whole tick
    assert (trainer.run_dir / "log.txt").read_text().count("a line") == 3
    monkeypatch.setattr(trainer, "stopping", "SIGTERM")  # between two ticks: no row
    assert trainer.train() == "interrupted"
    assert (trainer.run_dir / "stats.jsonl").read_text().splitlines() == rows


def test_the_last_checkpoint_must_be_written(trainer, monkeypatch):
    trainer.state.nimg = 40
    monkeypatch.setattr(trainer.state, "_write", full)
    with pytest.raises(DiskError, match="checkpoint at 48 images could not"):
        trainer.train()


def test_a_line_is_kept_until_there_is_room(tmp_path, monkeypatch, capsys):
    log = reports.Log()
    log.path = tmp_path
    log.say("one")
    with monkeypatch.context() as patch:
        patch.setattr(files, "append_text", full)
        log.say("two")
    with open(tmp_path / "log.txt", "a") as file:
        file.write("cut sho")  # by a kill
    log.say("three")
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert lines == ["one", "cut sho", "two", "three"]


def test_half_a_line_is_taken_back(tmp_path, monkeypatch):
    resource = pytest.importorskip("resource")
    signal = pytest.importorskip("signal")
    file = tmp_path / "log.txt"
    file.write_text("x" * 1000 + "\n")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1010, limits[1]))
    try:
        with pytest.raises(OSError, match="too large") as told:
            files.append_text(file, "y" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
    assert files.disk_trouble(told.value) == "File too large"
    assert file.stat().st_size == 1001


def test_event_files_go_on_after_a_full_disk(tmp_path):
    import tensorflow as tf

    written = EventFiles(tmp_path)
    with written.writing(0):
        pass
    with pytest.raises(tf.errors.ResourceExhaustedError), written.writing(1):
        raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
    with written.writing(2):
        tf.summary.scalar("a", 1.0)
    written.close()
    assert len(list(tmp_path.glob("events.*"))) == 2


def test_odd_rows_of_statistics_are_no_reason_to_stop(tmp_path):
    file = tmp_path / "stats.jsonl"
    rows = [b'{"nimg": 8}', b"[]", b'{"nimg": "8"}', b"\0\0", b"\xff", b"[" * 9999]
    file.write_bytes(b"\n".join([*rows, b'{"nimg": 16}', b'{"nimg": 24}', b""]))
    log = reports.Log()
    log.path = tmp_path
    log._drop_after(16)
    assert file.read_bytes() == b'{"nimg": 8}\n{"nimg": 16}\n'
