"""The source archive, the wheel that is built from it, and the installed command."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

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
        if path.suffix in (".py", ".npz", ".typed")
    }
    assert expected <= names
    assert not [n for n in names if n.startswith("tests/")]
    assert f"\nVersion: {stylegan_tf.__version__}\n" in metadata
    assert "\nRequires-Python: >=3.11\n" in metadata
    assert "\nRequires-Dist: keras" in metadata
    assert "License-Expression" in metadata or "\nLicense: " in metadata


def test_the_wheel_runs_from_another_folder(wheel, tmp_path):
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"]
    command += ["--no-compile", f"--target={tmp_path / 'site'}", str(wheel)]
    subprocess.run(command, check=True, capture_output=True)
    script = tmp_path / "site" / "bin" / "stylegan-tf"
    if not script.is_file():
        pytest.skip("this pip installs no scripts into a target")
    paths = {"PYTHONPATH": str(tmp_path / "site")}
    for flags, words in (
        (["--version"], f"stylegan_tf {stylegan_tf.__version__}"),
        (["generate", "--help"], "stylegan-tf generate --model=RUN"),
    ):
        done = subprocess.run(
            [sys.executable, str(script), *flags],
            cwd=tmp_path,
            env={**os.environ, **paths},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert words in done.stdout
