"""The command line: manuals, refusals, exit codes."""

import ast
import io
import re
import subprocess
import sys

import pytest
from launching import ROOT, VERBS, call
from stylegan_tf_launch import cli, main, parsing, train

import stylegan_tf
from stylegan_tf import files
from stylegan_tf.command_line import as_typed, command_words, typed_command
from stylegan_tf.config import presets
from stylegan_tf.errors import UserError
from stylegan_tf.progress import ProgressBar

NO_TENSORFLOW = """
import runpy, sys
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
finally:
    assert not {"tensorflow", "keras", "numpy"} & set(sys.modules)
"""


# ---------------------------------------------------------------------------
# Manuals


@pytest.mark.parametrize("verb", VERBS)
def test_help_is_a_manual_and_loads_nothing_large(verb):
    script = ROOT / "launch" / f"{verb}.py"
    code = f"import sys; sys.argv = [{str(script)!r}, '--help']{NO_TENSORFLOW}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"python launch/{verb}.py" in done.stdout
    for name in parsing.flag_names(VERBS[verb].main, VERBS[verb].FLAGS):
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
    assert exit.value.code == 2
    assert "name a model" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["stylegan-tf", "paint"])
    with pytest.raises(SystemExit) as exit:
        main.main()
    assert exit.value.code == 2
    assert "no verb 'paint'; there are train" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["stylegan-tf", "trian"])
    with pytest.raises(SystemExit):
        main.main()
    assert "did you mean train?" in capsys.readouterr().err
    monkeypatch.setattr(sys, "argv", ["stylegan-tf", "--version"])
    main.main()
    assert stylegan_tf.__version__ in capsys.readouterr().out


def test_commands_are_those_that_were_typed(monkeypatch, tmp_path):
    manual = "python launch/train.py trains; see make_dataset.py --help, not a/train.py"
    monkeypatch.setattr(sys, "argv", ["/usr/bin/stylegan-tf", "train"])
    assert command_words("generate") == ("stylegan-tf", "generate")
    assert typed_command() == ["stylegan-tf", "train"]  # without a user's folders
    assert as_typed(manual) == (
        "stylegan-tf train trains; see stylegan-tf make_dataset --help, not a/train.py"
    )
    _, out, _ = call("generate", "--help")
    assert "stylegan-tf generate --model=RUN" in out and "launch/" not in out
    monkeypatch.chdir(ROOT / "tests")
    monkeypatch.setattr(sys, "argv", ["../launch/train.py"])
    assert typed_command() == ["python", "../launch/train.py"]
    assert command_words("generate") == ("python", "../launch/generate.py")
    assert as_typed(manual) == manual
    monkeypatch.setattr(sys, "argv", [str(ROOT / ".path/stylegan_tf_launch/train.py")])
    assert command_words("generate") == ("stylegan-tf", "generate")
    monkeypatch.setattr(sys, "argv", ["../launch/train.py"])
    assert "see train.py" in str(UserError("see train.py"))
    monkeypatch.setattr(sys, "argv", ["notebook"])
    monkeypatch.chdir(tmp_path)
    assert command_words("train") == ("stylegan-tf", "train")
    assert str(UserError("see train.py")) == "see stylegan-tf train"
    monkeypatch.setattr(sys, "argv", ["train.py"])  # of the user's own
    assert command_words("train") == ("stylegan-tf", "train")
    monkeypatch.chdir(ROOT)
    assert command_words("train") == ("python", "launch/train.py")


def test_flags_of_train_stand_in_groups_with_their_defaults():
    grouped = [name for names in train.GROUPS.values() for name in names]
    assert sorted(grouped) == sorted(parsing.flag_names(train.main, train.FLAGS))
    _, out, _ = call("train", "--help")
    flat = " ".join(out.split())
    for text in ("(default: demo)", "(default: 15)", "(default: false)"):
        assert text in flat
    assert "(default: the preset's; demo: 32)" in flat
    assert "\nWhat is kept\n" in out


def test_every_verb_says_its_version():
    code, out, _ = call("generate", "--version")
    assert code == 0
    assert out.startswith(f"stylegan_tf {stylegan_tf.__version__}, TensorFlow 2.")


def test_a_folder_of_runs_is_no_model(tmp_path):
    for name in ("00000-a-demo", "00001-b-demo"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
    code, _, err = call("generate", f"--model={tmp_path}", "--seeds=0")
    assert code == 2 and "is a folder of runs" in err
    assert all(name in err for name in ("00000-a-demo", "00001-b-demo"))


NOWHERE = {verb: ["--model=/nowhere"] for verb in VERBS}
NOWHERE |= {"train": ["--init=/nowhere"], "convert": ["--pickle=/nowhere", "--out=b"]}
NOWHERE["figures"] += ["--figure=mixing"]
NOWHERE["project"] += ["--target_seeds=0"]
del NOWHERE["make_dataset"]


@pytest.mark.parametrize("verb", NOWHERE)
def test_a_model_that_is_not_there_does_not_wait_for_tensorflow(
    verb, tmp_path, monkeypatch
):
    def load():
        raise AssertionError("TensorFlow is loaded")

    monkeypatch.setattr(cli, "announce_loading", lambda: None)
    monkeypatch.setattr(cli, "_say_loading", load)  # the first step of loading it
    monkeypatch.chdir(tmp_path)
    code, _, error = call(verb, *NOWHERE[verb])
    assert code == 2 and "no model at /nowhere" in error


@pytest.mark.parametrize("flag", ["data", "resume"])
def test_a_place_that_is_not_there_does_not_wait_for_tensorflow(flag, monkeypatch):
    monkeypatch.setattr(cli, "load_tensorflow", lambda **_: 1 / 0)
    code, _, error = call("train", f"--{flag}=/nowhere")
    assert code == 2 and "/nowhere" in error


@pytest.mark.parametrize("verb", [*NOWHERE, "compare"])
def test_every_verb_that_loads_tensorflow_says_so_at_once(verb):
    tree = ast.parse((ROOT / "launch" / f"{verb}.py").read_text())
    main = next(n for n in tree.body if getattr(n, "name", "") == "main")
    assert "cli.announce_loading()" in ast.unparse(main)


# ---------------------------------------------------------------------------
# Refusals: a line or two, and an exit code

WRONG = [  # the command line itself
    ("train", ["--color=red"], "no flag --color; see --help"),
    ("train", ["--bach=4"], "no flag --bach; did you mean --batch?"),
    ("train", ["--batch=0"], "0"),
    ("train", ["--mirror=yes"], "write --mirror or --nomirror"),
    ("train", ["--batch=four"], "--batch=four: value should be a whole number"),
    ("train", ["--kimg=x"], "--kimg=x: value should be a number"),
    ("train", ["--data=my", "photos"], 'in quotes: --name="a value"'),
    ("train", ["--preset=F"], "preset"),
    ("train", ["--preset=demo-stylgan2"], "did you mean demo-stylegan2?"),
    ("train", ["demo"], "unexpected argument 'demo'; settings are given as --name"),
    ("generate", ["--noise=some"], "noise"),
    ("generate", ["--cutoff=-1"], "cutoff"),
    ("generate", ["--frames=1000000000"], "frames"),
    ("generate", ["--model="], "--model= has no value; see --help"),
    ("figures", ["--rows=1000000000"], "rows"),
]
IMPOSSIBLE = [  # it cannot be done
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
    ("convert", ["--model=a.keras"], "name the file to write with --out"),
    ("convert", ["--pickle=a.pkl", "--out=b.pkl"], "--out=b.pkl is a file; --pickle"),
    ("convert", ["--model=runs/0", "--out=b.onnx"], "let its name end in .pkl"),
    ("convert", ["--model=/nowhere", "--out=b.pkl"], "no model at /nowhere"),
    ("convert", ["--pickle=/nowhere", "--out=b"], "no model at /nowhere"),
]


@pytest.mark.parametrize(
    ("verb", "flags", "words"),
    WRONG + IMPOSSIBLE,
    ids=lambda x: " ".join(x) if isinstance(x, list) else "",
)
def test_what_cannot_be_is_said_in_a_line(
    verb, flags, words, pictures, tmp_path, monkeypatch
):
    monkeypatch.delenv("TPU_NAME", raising=False)
    first = [f"--data={pictures}", f"--out={tmp_path}"] if verb == "train" else []
    found, _, error = call(verb, *first, *flags)
    assert found == 2
    assert error.startswith("error: ") and len(error.splitlines()) <= 3
    assert re.search(words, error), error
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["a.onnx", "a.tflite", "model/saved_model.pb"])
def test_exported_files_are_for_other_programs(name, tmp_path):
    file = tmp_path / name
    file.parent.mkdir(exist_ok=True)
    file.touch()
    model = file.parent if file.suffix == ".pb" else file
    code, _, error = call("serve", f"--model={model}")
    assert code == 2 and "which other programs open; give the generator.keras" in error


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("give a folder."), 2, "error: give a folder.\n"),
        (KeyboardInterrupt(), 130, "\ninterrupted\n"),
        (
            FileNotFoundError(2, "No such file", "a.png"),
            2,
            "error: No such file: a.png\n",
        ),
        (
            FileExistsError(17, "File exists", "a"),
            2,
            "error: a is there already, and is no folder.\n",
        ),
        (
            ValueError("embedded null byte"),
            2,
            "error: a path holds a null character, which no file's name has.\n",
        ),
        (MemoryError("of 9 GB"), 1, "error: not enough memory: of 9 GB\n"),
    ],
)
def test_errors_become_exit_codes(error, code, said, capsys):
    def fails(argv):
        raise error

    assert cli._exit_code(fails, []) == code
    assert capsys.readouterr().err == said


def test_bars_are_silent_without_a_terminal():
    log, terminal = io.StringIO(), io.StringIO()
    terminal.isatty = lambda: True
    for file in (log, terminal):
        assert [*ProgressBar(range(3), "title", file=file)] == [0, 1, 2]
    assert log.getvalue() == "" and "\rtitle: 100%" in terminal.getvalue()
    with ProgressBar(total=1, shown=False, file=terminal) as hidden:
        assert hidden.disable


def test_flags_of_a_file_take_its_place(tmp_path, capsys):
    inner, outer = tmp_path / "in ner", tmp_path / "outer"
    inner.write_text("# why\n\n--seed=3\n// more\n  --batch=8  \n", encoding="utf-8")
    outer.write_bytes(b"\xef\xbb\xbf" + f"--flagfile={inner}\n--seed=4\n".encode())
    argv = ["train.py", "--seed=1", "--flagfile", str(outer), "--gamma=2"]
    expected = [
        "train.py",
        "--seed=1",
        "--seed=3",
        "--batch=8",
        "--seed=4",
        "--gamma=2",
    ]
    assert parsing._with_flagfiles(argv) == expected
    assert parsing._with_flagfiles(["x", "--", "--flagfile=no"])[-1] == "--flagfile=no"
    outer.write_text(f"--flagfile={outer}\n", encoding="utf-8")
    code, _, error = call("train", f"--flagfile={outer}")
    assert code == 2 and "does one include itself" in error


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~", "HOME"),
        ("~/runs/a b", "HOME/runs/a b"),
        ("lpips:~/w.pt", "lpips:HOME/w.pt"),
        ("~no-such-user/x", "~no-such-user/x"),
        ("./~/x", "./~/x"),
        ("a~b", "a~b"),
        ("demo:12", "demo:12"),
        ("gs://bucket/~x", "gs://bucket/~x"),
    ],
)
def test_the_home_folder_in_a_path(given, expected, monkeypatch):
    monkeypatch.setenv("HOME", "/h")
    assert cli.expand_home(given) == expected.replace("HOME", "/h")
    assert str(files.home_path("~/x")) == "/h/x"
    assert str(files.home_path("~no-such-user/x")) == "~no-such-user/x"


NO_PATH = {"features", "loss", "data", "source", "labels", "resume"}  # or a path


def test_every_flag_that_names_a_path_knows_the_home_folder(monkeypatch):
    """Whatever its help says is a folder or a file is one, and so are these."""
    monkeypatch.setenv("HOME", "/h")
    for module in VERBS.values():
        for name in parsing.flag_names(module.main, module.FLAGS):
            flag = module.FLAGS[name]
            named = re.search(r"\b([Ff]olders?|[Ff]ile|\.npz)\b", flag.help or "")
            if name not in NO_PATH and not (named and flag.flag_type() == "string"):
                continue
            if name in ("push", "layout", "report", "format", "crop", "psi_sweep"):
                continue
            assert flag.parser.parse("~/x") in ("/h/x", ["/h/x"]), name


@pytest.mark.parametrize("verb", VERBS)
def test_every_number_lies_between_two_bounds(verb):
    module = VERBS[verb]
    for name in parsing.flag_names(module.main, module.FLAGS):
        kind = module.FLAGS[name].flag_type()
        if kind in ("int", "float"):
            for text in ("nan", "inf", "-1e30", "1" + "0" * 30, "9" * 5000, ""):
                code, _, error = call(verb, f"--{name}={text}")
                assert code == 2 and name in error and len(error) < 600


def test_a_bug_is_not_hidden(capsys):
    def fails(argv):
        raise ValueError("ours")

    assert cli._exit_code(fails, []) == 1
    said = capsys.readouterr().err
    assert "Traceback" in said and "ValueError: ours" in said
    assert said.splitlines()[-1].startswith("error: this is a mistake in stylegan_tf")


def test_what_keras_does_not_need_is_hidden_while_it_loads(monkeypatch):
    monkeypatch.delitem(sys.modules, "wave", raising=False)
    with cli._hide_modules(["json", "wave", "no_such_package"]):
        assert "json" in sys.modules  # loaded already
        with pytest.raises(ImportError):
            import wave
    import wave  # noqa: F811

    assert wave.open and "no_such_package" not in sys.modules
