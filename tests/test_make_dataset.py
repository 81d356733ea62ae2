"""The make_dataset script, and what all scripts share: help, errors, exit codes."""

import subprocess
import sys
import time
import types

import numpy as np
import pytest
from absl import flags
from PIL import Image
from stylegan_tf_launch import cli, make_dataset

from stylegan_tf.data.manifest import Manifest
from stylegan_tf.errors import UserError


@pytest.fixture
def pictures(tmp_path):
    """Six pictures in two classes, and one file that is none."""
    numbers = np.random.RandomState(0)
    for i in range(6):
        path = tmp_path / "in" / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(numbers.randint(0, 256, (16, 20, 3), np.uint8)).save(path)
    (tmp_path / "in" / "a" / "broken, really.png").write_text("text")
    return tmp_path / "in"


def run(*arguments, main=make_dataset.main, values=make_dataset.FLAGS) -> int:
    """The exit code of a script."""
    with pytest.raises(SystemExit) as e:
        cli.run(main, values, ["prog.py", *map(str, arguments)])
    return e.value.code


def test_conversion_check_and_what_is_said(pictures, tmp_path, capsys):
    dest = tmp_path / "new" / "out"
    assert run(f"--source={pictures}", f"--dest={dest}") == 0
    out = capsys.readouterr().out
    assert "6 pictures of 16x16, channels: 3, classes: 2 (a, b)" in out
    assert f"1 left out, listed in {dest / 'skipped.csv'}" in out
    assert "broken, really.png" in out and "not a picture" in out
    assert f"train.py --data={dest}" in out
    assert "kB on disk" in out and "as raw pixels" in out
    assert run(f"--dest={dest}", "--check") == 0
    assert "is as it was written: 6 pictures" in capsys.readouterr().out
    (dest / "0008" / "00000.tfrecords").unlink()
    assert run(f"--dest={dest}", "--check") == 1
    assert "0008/00000.tfrecords is missing" in capsys.readouterr().out


def test_every_flag_arrives(pictures, tmp_path):
    settings = tmp_path / "flags.txt"
    settings.write_text("--resolution=8x12\n--crop=pad\n--channels=4\n--labels=none\n")
    where = [f"--source={pictures}", f"--dest={tmp_path / 'out'}"]
    assert run(*where, f"--flagfile={settings}", "--max_images=4", "--workers=1") == 0
    made = Manifest.load(tmp_path / "out")
    assert (made.shape, made.crop, made.channels) == ((8, 12), "pad", 4)
    assert (made.label_size, made.count + made.skipped) == (0, 4)


def test_strict(pictures, tmp_path, capsys):
    dest = tmp_path / "out"
    assert run(f"--source={pictures}", f"--dest={dest}", "--strict") == 2
    assert "a/broken, really.png: not a picture" in capsys.readouterr().err
    assert not dest.exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "--dest=FOLDER"),
        (["--dest=x"], "--source="),
        (["--dest=x", "--check"], "x is not a finished data set"),
        (["--dest=x", "--source=nowhere"], "there is no 'nowhere'"),
        (
            ["--dest=/proc/x/y", "--source=demo:2"],
            "No such file or directory: /proc",
        ),
        (["--sorce=x"], "no flag --sorce; did you mean --source?"),
        (["--out=x"], "no flag --out; did you mean --dest?"),
        (["--unheard_of"], "no flag --unheard_of; see --help"),
        (["--crop=middle"], "center|pad|none"),
        (["--workers=none"], "--workers=none"),
        (["--max_images=0"], "--max_images=0"),
        (["demo"], "unexpected argument 'demo'"),
        (["--flagfile=nowhere"], "nowhere"),
    ],
)
def test_mistakes_take_a_line(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    said = capsys.readouterr()
    assert said.err.startswith("error: ") and message in said.err
    assert len(said.err.splitlines()) <= 2 and not said.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--help", "-h", "--helpfull"])
def test_help_is_a_manual(capsys, flag):
    assert run("--source=ignored", flag) == 0
    out = capsys.readouterr().out
    assert out.startswith(make_dataset.__doc__.strip().splitlines()[0])
    for name in make_dataset.FLAGS:
        assert f"--{name}" in out or f"--[no]{name}" in out
    assert "--crop=center|pad|none" in out and "(default: center)" in out
    assert "absl" not in out and "alsologtostderr" not in out
    assert max(map(len, out.splitlines())) <= 88


def test_help_is_immediate():
    """In a process of its own, for what it does not import."""
    code = "import sys; from stylegan_tf_launch import cli, make_dataset as m\n"
    code += "try: cli.run(m.main, m.FLAGS, ['m', '--help'])\n"
    code += "finally: assert not {'tensorflow', 'numpy', 'PIL'} & set(sys.modules)"
    begin = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begin < 5  # about 0.2 where nothing else runs


# ---------------------------------------------------------------------------
# The helper with a script of one flag


def script(body):
    """`main` and flags of a module that is made up here."""
    module = types.ModuleType("made_up")
    module.__doc__ = "Does one thing."
    values = flags.FlagValues()
    sys.modules["made_up"] = module

    def main(argv):
        return body(values, argv)

    main.__module__ = "made_up"
    flags.DEFINE_float("rate", 0.5, "How fast.", flag_values=values)
    return {"main": main, "values": values}


def raises(error):
    def body(values, argv):
        raise error

    return script(body)


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (UserError("no such seed; give --seed=1."), 2, "error: no such seed; give"),
        (KeyboardInterrupt(), 130, "\ninterrupted"),
        (OSError(28, "No space left on device", "/data"), 2, "error: No space left"),
        (PermissionError(13, "Permission denied", "/x"), 2, "error: Permission denied"),
        (OSError("no number"), 2, "error: no number"),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text"), 2, "error: a name or"),
        (MemoryError(), 1, "error: not enough memory"),
        (ZeroDivisionError("a bug"), 1, "Traceback"),
    ],
    ids=lambda x: type(x).__name__,
)
def test_errors_become_exit_codes(error, code, message, capsys):
    assert run(**raises(error)) == code
    assert capsys.readouterr().err.startswith(message)


def test_flags_start_fresh_at_every_run():
    seen = []
    made = script(lambda values, argv: seen.append((values.rate, argv)))
    assert run("--rate=2", **made) == 0
    assert run(**made) == 0
    assert seen == [(2.0, ["prog.py"]), (0.5, ["prog.py"])]
    made["main"] = script(lambda values, argv: 7)["main"]
    assert run(**made) == 7


def test_output_into_a_closed_pipe_is_no_error():
    code = "from stylegan_tf_launch import cli\n"
    code += "def main(argv):\n  for i in range(100000): print(i)\n"
    code += "cli.run(main)"
    command = f'"{sys.executable}" -c "{code}" | head -1; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.stdout, done.stderr, done.returncode) == ("0\n", "", 1)
