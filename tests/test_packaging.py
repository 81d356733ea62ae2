"""The source archive, the wheel that is built from it, and the installed command."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest
from launching import SETTINGS, flags_of

import stylegan_tf

ROOT = Path(__file__).parents[1]
TOP = ("setup.py", "pyproject.toml", "requirements.txt", "README.md", "LICENSE")
TOP += ("MANIFEST.in", "CHANGELOG.md", "CITATION.cff")


def build(kind: str, folder: Path, out: Path) -> Path:
    """Calls the build backend as `python -m build --no-isolation` does."""
    call = f"build_meta.build_{kind}({str(out)!r})"
    code = f"from setuptools import build_meta; print({call})"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return out / done.stdout.split()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """The wheel, built from nothing but the source archive."""
    pytest.importorskip("setuptools")
    pytest.importorskip("wheel")
    tree, out = tmp_path_factory.mktemp("tree"), tmp_path_factory.mktemp("dist")
    leave = shutil.ignore_patterns("__pycache__")
    for name in ("stylegan_tf", "launch"):
        shutil.copytree(ROOT / name, tree / name, ignore=leave)
    for name in TOP:
        shutil.copy(ROOT / name, tree)
    with tarfile.open(build("sdist", tree, out)) as archive:
        archive.extractall(tree / "unpacked", filter="data")
    (source,) = (tree / "unpacked").iterdir()
    return build("wheel", source, out)


def test_the_wheel_has_all_modules_scripts_and_weights(wheel):
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        about = next(n for n in names if n.endswith("/METADATA"))
        metadata = archive.read(about).decode()
    expected = {
        str(path.relative_to(ROOT)).replace("launch", "stylegan_tf_launch", 1)
        if path.is_relative_to(ROOT / "launch")
        else str(path.relative_to(ROOT))
        for folder in ("stylegan_tf", "launch")
        for path in (ROOT / folder).rglob("*")
        if path.suffix in (".py", ".npz", ".typed", ".keras")
    }
    assert expected <= names
    assert not [n for n in names if n.startswith("tests/")]
    assert f"\nVersion: {stylegan_tf.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nRequires-Dist: keras" in metadata
    assert "License-Expression" in metadata or "\nLicense: " in metadata


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory):
    """An environment with the wheel in it; what it needs is borrowed from this one."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, with_pip=False, symlinks=True)
    bin = home / ("Scripts" if os.name == "nt" else "bin")
    command = [sys.executable, "-m", "pip", "--python", str(bin / "python")]
    command += ["install", "-q", "--no-index", "--no-deps", "--no-compile", str(wheel)]
    # Nothing on PYTHONPATH may count as installed already.
    subprocess.run(command, check=True, capture_output=True, env=_alone())
    (site,) = home.glob("[Ll]ib/**/site-packages")
    here = sysconfig.get_paths()
    borrowed = dict.fromkeys([here["purelib"], here["platlib"]])
    (site / "borrowed.pth").write_text("\n".join(borrowed))  # after its own
    return bin


def _alone() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


def run(bin: Path, folder: Path, *words: str) -> str:
    """What a program of the environment prints, called in another folder."""
    command = [str(bin / words[0]), *words[1:]]
    done = subprocess.run(
        command, cwd=folder, env=_alone(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_the_wheel_runs_from_another_folder(installed, tmp_path):
    for flags, words in (
        (["--version"], f"stylegan_tf {stylegan_tf.__version__}"),
        (["generate", "--help"], "stylegan-tf generate --model=RUN"),
    ):
        assert words in run(installed, tmp_path, "stylegan-tf", *flags)


# One process, as TensorFlow takes seconds to load.
VERBS = """
import sys
import stylegan_tf
from stylegan_tf_launch import main

print(stylegan_tf.__file__, main.__file__)
for line in sys.argv[1:]:
    sys.argv = ["stylegan-tf", *line.split()]
    try:
        main.main()
    except SystemExit as end:
        assert not end.code, (line, end.code)
"""


def test_the_wheel_trains_draws_and_exports(installed, tmp_path):
    settings = SETTINGS | {"schedule.total_kimg": 0.008}
    train = flags_of(settings, data="demo:8", out="runs", resolution=8, batch=4)
    model = "--model=runs/00000-demo-demo"
    lines = [
        " ".join(["train", *train]),
        f"generate {model} --seeds=0-1 --out=pictures",
        f"export {model} --format=keras --out=exported",
    ]
    out = run(installed, tmp_path, "python", "-c", VERBS, *lines)
    assert out.splitlines()[0].count(str(installed.parent)) == 2
    for file in (
        "runs/00000-demo-demo/model/generator.keras",
        "pictures/seed0001.png",
        "exported/generator.keras",
        "exported/MODEL_CARD.md",
    ):
        assert (tmp_path / file).stat().st_size > 0
