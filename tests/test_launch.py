"""The command line: manuals, refusals, and a run from its flags to its pictures."""

import contextlib
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tiny
from PIL import Image
from stylegan_tf_launch import (
    cli,
    convert,
    directions,
    evaluate,
    explore,
    figures,
    generate,
    main,
    make_dataset,
    project,
    train,
)
from stylegan_tf_launch import export as launch_export

from stylegan_tf import export, models
from stylegan_tf.config import presets
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official
from stylegan_tf.official import tf_pickles
from stylegan_tf.runs import reports, rundir, session

ROOT = Path(__file__).parents[1]
VERBS = {"train": train, "generate": generate, "make_dataset": make_dataset}
VERBS |= {"convert": convert, "figures": figures, "directions": directions}
VERBS |= {"project": project, "explore": explore, "evaluate": evaluate}
VERBS |= {"export": launch_export}
NO_TENSORFLOW = """
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    assert not {"tensorflow", "keras", "numpy"} & set(sys.modules)
"""


def call(verb: str, *flags: str) -> tuple[int, str, str]:
    """Runs a verb in this process: exit code, output, errors."""
    module, out, err = VERBS[verb], io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exit,
    ):
        cli.run(module.main, module.FLAGS, [f"{verb}.py", *flags])
    return exit.value.code or 0, out.getvalue(), err.getvalue()


def flags_of(settings: dict, **flags) -> list[str]:
    lines = [f"--set={k}={json.dumps(v)}" for k, v in settings.items()]
    return lines + [f"--{k}={v}" for k, v in flags.items()]


# 4 x 4 pixels are enough, and the classes of the faces.
FLAGS = {"resolution": 8, "labels": "auto", "batch": 4, "gamma": 10.0}
OTHERS = ("resolution", "batch", "total_kimg", "r1_gamma")  # have flags of their own
SETTINGS = {k: v for k, v in tiny.SETTINGS.items() if k.split(".")[-1] not in OTHERS}
SETTINGS |= {"schedule.stable_kimg": 1000.0, "schedule.tick_kimg": 0.04}


def train_flags(pictures, out, **flags) -> list[str]:
    return flags_of(SETTINGS, **FLAGS | {"data": pictures, "out": out} | flags)


# ---------------------------------------------------------------------------
# Manuals


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_a_manual_and_loads_nothing_large(verb):
    script = ROOT / "launch" / f"{verb}.py"
    code = f"import sys; sys.argv = [{str(script)!r}, '--help']{NO_TENSORFLOW}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python launch/{verb}.py" in done.stdout
    for name in cli._own(VERBS[verb].main, VERBS[verb].FLAGS):
        assert f"\n--{name}=" in done.stdout or f"\n--[no]{name}\n" in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 100


def test_the_manual_of_train_lists_the_presets():
    code, out, _ = call("train", "--help")
    assert code == 0
    assert all(name in out for name in presets.PRESETS)
    assert "--[no]mirror" in out and "--batch=N" in out and "--gamma=X" in out
    assert "--strategy=auto|one|mirrored|multiworker|tpu" in out
    assert "{presets}" not in out


def test_the_installed_command_has_every_verb(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["stylegan-tf"])
    main.main()
    said = capsys.readouterr().out
    assert all(verb in said for verb in main.VERBS)
    monkeypatch.setattr(sys, "argv", ["stylegan-tf", "generate", "--seeds=x"])
    with pytest.raises(SystemExit) as exit:
        main.main()
    assert exit.value.code == 1
    assert "name a model" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["stylegan-tf", "paint"])
    with pytest.raises(SystemExit) as exit:
        main.main()
    assert exit.value.code == 2
    assert "no verb 'paint'; there are train" in capsys.readouterr().err


# ---------------------------------------------------------------------------
# Refusals: a line or two, and an exit code

WRONG = [  # 2: the command line itself
    ("train", ["--color=red"], "no flag --color; see --help"),
    ("train", ["--bach=4"], "no flag --bach; did you mean --batch?"),
    ("train", ["--batch=0"], "0"),
    ("train", ["--batch=four"], "four"),
    ("train", ["--preset=F"], "preset"),
    ("train", ["demo"], "unexpected argument 'demo'; settings are given as --name"),
    ("generate", ["--noise=some"], "noise"),
    ("generate", ["--cutoff=-1"], "cutoff"),
    ("generate", ["--frames=1000000000"], "frames"),
    ("generate", ["--model="], "--model= has no value; see --help"),
    ("figures", ["--rows=1000000000"], "rows"),
]
IMPOSSIBLE = [  # 1: it cannot be done
    ("train", ["--set=seed"], "--set=seed is not NAME=VALUE"),
    ("train", ["--set=loss.gama=1"], "no setting 'gama'"),
    ("train", ["--set=generator.z_dim=many"], "z_dim='many' is not of type int"),
    ("train", ["--resolution=33"], "33x33 cannot be built.* nearest size"),
    ("train", ["--resolution=big"], "'big' is not N or HEIGHTxWIDTH"),
    ("train", ["--data=/nowhere/at/all"], "/nowhere/at/all"),
    ("train", ["--resume=/nowhere"], "/nowhere is not a run directory"),
    ("train", ["--resolution=32"], "--resolution=32"),
    ("train", ["--init=/nowhere", "--resolution=8"], "no model at /nowhere"),
    ("train", ["--accumulate=3", "--resolution=8"], "--accumulate=3 does not divide"),
    ("train", ["--strategy=tpu"], "no TPU answered"),
    ("generate", [], "name a model with --model"),
    ("generate", ["--model=/nowhere"], "no model at /nowhere"),
    ("generate", ["--model=x", "--seeds=3-1"], "runs backwards"),
    ("make_dataset", ["--source=demo"], "--dest"),
    ("convert", [], "nothing was given; use --pickle=x.pkl --out=FOLDER to read"),
    ("convert", ["--pickle=a", "--model=b"], "both --pickle and --model were given"),
    ("convert", ["--pickle=a.pkl"], "name the folder to fill with --out"),
    ("convert", ["--model=a.keras"], "name the .pkl file to write with --out"),
    ("convert", ["--pickle=a.pkl", "--out=b.pkl"], "--out=b.pkl is a file; --pickle"),
    ("convert", ["--model=runs/0", "--out=b.keras"], "--out=b.keras is no .pkl file"),
    ("convert", ["--model=/nowhere", "--out=b.pkl"], "no model at /nowhere"),
    ("convert", ["--pickle=/nowhere", "--out=b"], "/nowhere does not exist"),
]


@pytest.mark.parametrize(
    ("code", "verb", "flags", "words"),
    [(2, *case) for case in WRONG] + [(1, *case) for case in IMPOSSIBLE],
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_cannot_be_is_said_in_a_line(
    code, verb, flags, words, pictures, tmp_path, monkeypatch
):
    monkeypatch.delenv("TPU_NAME", raising=False)
    first = [f"--data={pictures}", f"--out={tmp_path}"] if verb == "train" else []
    found, _, error = call(verb, *first, *flags)
    assert found == code
    assert error.startswith("error: ") and len(error.splitlines()) <= 3
    assert re.search(words, error), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("give a folder."), 1, "error: give a folder.\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (
            FileNotFoundError(2, "No such file", "a.png"),
            1,
            "error: No such file: a.png\n",
        ),
        (
            FileExistsError(17, "File exists", "a"),
            1,
            "error: a is there already, and is no folder.\n",
        ),
        (MemoryError("of 9 GB"), 1, "error: not enough memory: of 9 GB\n"),
    ],
)
def test_errors_become_exit_codes(error, code, said, capsys):
    def fails(argv):
        raise error

    assert cli._guarded(fails, []) == code
    assert capsys.readouterr().err == said


def test_a_bug_is_not_hidden():
    def fails(argv):
        raise ValueError("ours")

    with pytest.raises(ValueError, match="ours"):
        cli._guarded(fails, [])


# ---------------------------------------------------------------------------
# --dry_run


def test_dry_run_says_what_would_be_and_does_nothing(pictures, tmp_path):
    file = tmp_path / "flags"
    lines = train_flags(pictures, tmp_path / "runs", kimg=3000, batch=6)
    file.write_text("\n".join([*lines, "--dry_run"]))
    code, out, _ = call("train", f"--flagfile={file}")
    assert code == 0
    for words in (
        "24 pictures of 16x16",
        "devices 1",
        "0 - 1000 4x4 6 0.001",
        "8x8 fades in",
        "parameters",
        "GB (weights",
        "6x4x4x3",
        "6x8x8x3",
    ):
        assert words in " ".join(out.split()), words
    assert not (tmp_path / "runs").exists()


# ---------------------------------------------------------------------------
# A run, start to end


def wait_for(condition, process, seconds=600) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < end
        time.sleep(0.05)


@pytest.fixture(scope="module")
def stopped(pictures, tmp_path_factory):
    """A run in a process of its own that got a SIGTERM on its way."""
    out = tmp_path_factory.mktemp("runs")
    flags = train_flags(pictures, out, kimg=900)
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "launch" / "train.py"), *flags],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    log = out / "00000-faces-demo" / "log.txt"
    wait_for(lambda: log.exists() and log.read_text().count("loss G") > 1, process)
    process.send_signal(signal.SIGTERM)
    said = process.communicate()[0]
    return out, process.returncode, said


def test_what_keras_does_not_need_is_hidden_while_it_loads():
    with cli._without(["json", "wave", "no_such_package"]):
        assert "json" in sys.modules  # loaded already
        with pytest.raises(ImportError):
            import wave
    import wave  # noqa: F811

    assert wave.open and "no_such_package" not in sys.modules


def test_sigterm_saves_and_says_so(stopped):
    out, code, said = stopped
    (run,) = rundir.runs_under(out)
    assert code == 143
    assert f"stopped by SIGTERM at {run.nimg / 1000:g} kimg; all is saved" in said
    assert "Traceback" not in said
    assert run.nimg >= 80
    checkpoint = tf.train.latest_checkpoint(run.path / "checkpoints")
    assert checkpoint == str(run.path / "checkpoints" / f"ckpt-{run.nimg}")
    for name in ("command.txt", "environment.json", "stats.jsonl", "reals.png"):
        assert (run.path / name).stat().st_size > 0, name


@pytest.fixture(scope="module")
def finished(stopped, pictures):
    """The same command again, up to four more steps: the run and what was said."""
    out, _, _ = stopped
    (run,) = rundir.runs_under(out)
    before = run.nimg
    kimg = (before + 16) / 1000
    flags = train_flags(pictures, out, kimg=kimg)
    code, said, _ = call("train", *flags)
    assert code == 0, said
    return rundir.read(run.path), before, flags, said


def test_the_same_command_goes_on_and_finishes(finished):
    run, before, _, said = finished
    assert f"continues at {before / 1000:g} kimg" in said
    assert run.nimg == before + 16
    assert run.config.schedule.total_kimg == run.nimg / 1000
    assert run.config.generator.classes == 5
    for name in ("model/generator.keras", "model/saved_model/saved_model.pb"):
        assert (run.path / name).exists()
    assert f"your new pictures: {run.path}/sheet.png" in said.splitlines()[-1]
    nimgs = [
        json.loads(line)["nimg"]
        for line in (run.path / "stats.jsonl").read_text().splitlines()
    ]
    assert nimgs == sorted(set(nimgs)) and nimgs[-1] == run.nimg


def test_a_finished_run_says_so_and_how_to_go_on(finished):
    run, _, flags, _ = finished
    code, out, _ = call("train", *flags)
    assert code == 0
    assert f"{run.path} is finished" in out
    assert "--kimg=" in out and "--resume=never" in out
    assert len(rundir.runs_under(run.path.parent)) == 1


def test_a_setting_that_cannot_change_is_refused_by_its_flag(finished):
    run, *_ = finished
    code, _, error = call("train", f"--resume={run.path}", "--gamma=3", "--batch=8")
    assert code == 1
    assert "--gamma was 10.0 and is now 3.0" in error
    assert "--batch was 4 and is now 8" in error
    assert "--resume=never" in error


def test_other_pictures_are_refused(finished, tmp_path):
    run, *_ = finished
    other = tmp_path / "other"
    code, *_ = call(
        "make_dataset", "--source=demo:30", f"--dest={other}", "--resolution=8"
    )
    assert code == 0
    code, _, error = call(
        "train", f"--resume={run.path}", f"--data={other}", "--kimg=9"
    )
    assert code == 1
    assert "was trained on other pictures" in error and "--init=" in error


def test_generate_draws_the_run(finished, tmp_path):
    run, *_ = finished
    files = tmp_path / "out"
    flags = [f"--model={run.path}", "--psi=0.5"]
    code, out, _ = call("generate", *flags, "--seeds=0-2,100", f"--out={files}")
    assert code == 0 and f"4 pictures in {files}" in out
    turns = [(0, 0), (1, 1), (2, 2), (100, 3)]
    names = [f"seed{seed:04d}-class{k}.png" for seed, k in turns]
    assert sorted(p.name for p in files.iterdir()) == names

    grid = tmp_path / "grid.png"
    code, *_ = call("generate", *flags, "--seeds=2,1", f"--grid={grid}", "--columns=1")
    assert code == 0
    sheet = np.asarray(Image.open(grid))
    assert sheet.shape == (8, 4, 3)  # the run is at 4 x 4; classes 0 and 1
    code, *_ = call(
        "generate", *flags, "--seeds=2", "--classes=0", f"--out={tmp_path / 'one'}"
    )
    one = np.asarray(Image.open(tmp_path / "one" / "seed0002.png"))
    np.testing.assert_array_equal(sheet[:4], one)

    code, _, error = call("generate", *flags, "--seeds=1", "--classes=9")
    assert code == 1 and "class 9 was asked for; the model has 0 to 4" in error


# ---------------------------------------------------------------------------
# Official pickles


@pytest.fixture(scope="module")
def pickle(tmp_path_factory):
    """An official pickle that had grown up to 4 x 4, and its networks."""
    path, c = tmp_path_factory.mktemp("pickles") / "x.pkl", tiny.config()
    g, d = tiny.noisy(Generator(c.generator)), Discriminator(c.discriminator)
    official.save_pickle(path, Generator(c.generator), d, g, resolution=4)
    return path, g, d


def check_same(a, b) -> None:
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy(), x.path)


def test_convert_makes_our_files_of_a_pickle(pickle, tmp_path):
    path, g, d = pickle
    out = tmp_path / "new" / "model"
    code, said, error = call("convert", f"--pickle={path}", f"--out={out}")
    assert code == 0, error
    for name in ("G (G_style)", "D (D_basic)", "Gs (G_style)"):
        assert f"{name}: " in said
    assert "grown up to lod 1" in said and "generate.py --model=" in said
    assert "block8" not in said and "block8" in (out / "report.txt").read_text()
    check_same(models.load(out), g)
    check_same(tf.keras.models.load_model(out / "discriminator.keras"), d)
    drawn = tf.saved_model.load(out / "saved_model").signatures["generate"]
    z = np.zeros([1, 8], "f4")
    assert drawn(z=tf.constant(z), psi=tf.constant(0.5))["images"].shape[1] == 4
    code, said, _ = call("convert", f"--pickle={path}", f"--out={out}", "--report")
    assert code == 0 and "block8" in said


def test_convert_writes_what_a_model_has(pickle, finished, tmp_path):
    path, g, _ = pickle
    run, *_ = finished
    out = tmp_path / "new" / "y.pkl"
    code, said, error = call("convert", f"--model={run.path}", f"--out={out}")
    assert code == 0, error
    assert said == f"{out}: G, D, Gs\n"
    check_same(official.load_generator(out), models.load(run.path))
    assert official.growth(out) == (4, 1.0)
    model = export.save_model(g, tmp_path / "model")
    code, said, _ = call("convert", f"--model={model}", f"--out={out}")
    assert code == 0 and said == f"{out}: Gs\n"
    check_same(official.load_generator(out), g)
    code, said, _ = call("convert", f"--model={path}", f"--out={out}")
    assert code == 0 and said == f"{out}: G, D, Gs\n"
    assert out.read_bytes() == path.read_bytes()


def test_convert_keeps_how_far_a_level_has_faded_in(tmp_path):
    g = Generator(tiny.config().generator, None, 0.25)
    g.save(tmp_path / "g.keras")
    official.save_pickle(
        tmp_path / "x.pkl", g, Discriminator(tiny.config().discriminator), g
    )
    for model in ("g.keras", "x.pkl"):
        out = tmp_path / "out.pkl"
        code, _, error = call("convert", f"--model={tmp_path / model}", f"--out={out}")
        assert code == 0, error
        assert models.growth(out) == (None, 0.25)
    states = tf_pickles.read_pickle(out)
    assert {float(states[k].collect()["lod"]) for k in ("G", "D", "Gs")} == {0.75}
    code, said, error = call("convert", f"--pickle={out}", f"--out={tmp_path / 'new'}")
    assert code == 0, error
    assert "grown up to lod 0.75" in said
    assert models.growth(tmp_path / "new") == (None, 0.25)


def test_convert_refuses_what_has_no_counterpart(tmp_path):
    c = tiny.config({"start_shape": (4, 6)}).generator
    Generator(c).save(tmp_path / "wide.keras")
    out = tmp_path / "x.pkl"
    code, _, error = call("convert", f"--model={tmp_path}/wide.keras", f"--out={out}")
    assert code == 1 and "do not know pictures that are not square" in error
    assert not out.exists()


def test_convert_takes_a_discriminator_alone(pickle, tmp_path):
    official.save_pickle(tmp_path / "d.pkl", d=pickle[2])
    out = tmp_path / "model"
    code, _, error = call("convert", f"--pickle={tmp_path}/d.pkl", f"--out={out}")
    assert code == 0, error
    names = sorted(p.name for p in out.iterdir())
    assert names == ["discriminator.keras", "report.txt"]


def test_generate_draws_a_pickle(pickle, tmp_path):
    path, _, _ = pickle
    made = tmp_path / "model"
    call("convert", f"--pickle={path}", f"--out={made}")
    for model, out in ((path, "a"), (made, "b")):
        flags = [f"--model={model}", "--seeds=0-1", f"--out={tmp_path / out}"]
        code, _, error = call("generate", *flags)
        assert code == 0, error
    a, b = (np.asarray(Image.open(tmp_path / k / "seed0001.png")) for k in "ab")
    assert a.shape == (4, 4, 3)  # what it had learned
    np.testing.assert_array_equal(a, b)


def test_dry_run_shows_where_a_pickle_goes_on(pickle, pictures, tmp_path):
    path, _, _ = pickle
    flags = [f"--data={pictures}", f"--out={tmp_path}", f"--init={path}", "--dry_run"]
    code, said, error = call("train", *flags)
    assert code == 0, error
    assert "16x16 fades in" in said and "4x4" in said.split("fades in")[0]
    count = Generator(tiny.config({"resolution": 16}).generator).count_params()
    assert f"generator {count:,} parameters" in " ".join(said.split())


def test_ctrl_c_is_130(pictures, tmp_path, monkeypatch):
    class Interrupt(reports.Report):
        def step(self, trainer):
            os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr(
        session, "default_reports", lambda: [reports.Log(), Interrupt()]
    )
    tf.config.run_functions_eagerly(True)
    try:
        code, out, _ = call("train", *train_flags(pictures, tmp_path, kimg=1))
    finally:
        tf.config.run_functions_eagerly(False)
    assert code == 130
    assert "stopped by SIGINT at 0.004 kimg" in out
    (run,) = rundir.runs_under(tmp_path)
    assert run.nimg == 4


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    """Models with 3 classes, with 101, and without any."""
    folder = tmp_path_factory.mktemp("models")
    for name, classes in (("three", 3), ("none", 0), ("many", 101)):
        config = tiny.config({"classes": classes}).generator
        tiny.noisy(Generator(config)).save(folder / f"{name}.keras")
    return folder


def sheet_of(model, file, *flags) -> np.ndarray:
    code, _, error = call("generate", f"--model={model}", f"--grid={file}", *flags)
    assert code == 0, error
    return np.asarray(Image.open(file))


def test_a_sheet_of_classes_has_a_row_each(model_files, tmp_path):
    model, seeds = model_files / "three.keras", "--seeds=7,5"
    sheet = sheet_of(model, tmp_path / "a.png", seeds)
    assert sheet.shape == (24, 16, 3)
    one = sheet_of(model, tmp_path / "b.png", seeds, "--classes=2")
    assert one.shape == (8, 16, 3)
    np.testing.assert_array_equal(sheet[16:], one)
    some = sheet_of(model, tmp_path / "c.png", seeds, "--classes=2,0")
    np.testing.assert_array_equal(some, np.concatenate([sheet[16:], sheet[:8]]))
    turns = sheet_of(model, tmp_path / "d.png", seeds, "--columns=2")
    np.testing.assert_array_equal(turns[:, :8], sheet[:8, :8])
    np.testing.assert_array_equal(turns[:, 8:], sheet[8:16, 8:])
    every = ("--columns=3", "--each_class")
    assert sheet_of(model, tmp_path / "e.png", seeds, *every).shape == (16, 24, 3)
    plain = sheet_of(model_files / "none.keras", tmp_path / "f.png", "--seeds=0-2")
    assert plain.shape == (8, 24, 3)


def test_files_say_their_class(model_files, tmp_path):
    flags = [
        f"--model={model_files / 'three.keras'}",
        f"--out={tmp_path}",
        "--seeds=4,9",
    ]
    code, out, _ = call("generate", *flags, "--classes=2,0", "--each_class")
    assert code == 0 and "4 pictures" in out
    names = {f"seed000{seed}-class{k}.png" for seed in (4, 9) for k in (0, 2)}
    assert {p.name for p in tmp_path.iterdir()} == names
    each = {name: np.asarray(Image.open(tmp_path / name)) for name in names}
    code, *_ = call("generate", *flags, "--classes=2")
    assert code == 0
    alone = np.asarray(Image.open(tmp_path / "seed0009.png"))
    np.testing.assert_array_equal(alone, each["seed0009-class2.png"])


def test_psi_center_is_the_class_unless_said_otherwise(model_files, tmp_path):
    model, flags = model_files / "three.keras", ("--psi=0", "--seeds=3")
    sheets = [
        sheet_of(model, tmp_path / f"{i}.png", *flags, *more).reshape(3, -1)
        for i, more in enumerate(
            [(), ("--psi_center=class",), ("--psi_center=global",)]
        )
    ]
    np.testing.assert_array_equal(sheets[0], sheets[1])
    assert [len(np.unique(sheet, axis=0)) for sheet in sheets] == [3, 3, 1]


@pytest.mark.parametrize(
    ("model", "flags", "words"),
    [
        ("none", ["--psi_center=class"], "no classes.*use --psi_center=global"),
        ("none", ["--each_class"], "no classes; leave --each_class out"),
        ("none", ["--classes=0"], "no classes; leave --classes out"),
        ("many", ["--grid=a.png"], "101 classes are too many rows.*--classes=0-9"),
    ],
)
def test_what_a_model_has_no_classes_for(
    model_files, model, flags, words, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    code, _, error = call("generate", f"--model={model_files / model}.keras", *flags)
    assert code == 1 and len(error.splitlines()) == 1
    assert re.search(words, error), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "flag, message", [("--psi=nan", "no number"), ("--grid=a.txt", "name it x.png")]
)
def test_generate_refuses_what_it_could_not_draw(flag, message):
    code, _, error = call("generate", "--model=a.keras", flag)
    assert code == 1 and message in error
