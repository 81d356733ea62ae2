"""docker/: the steps of the images, checked; and the images, where docker runs."""

import ast
import json
import os
import re
import shlex
import shutil
import subprocess
import time
from fnmatch import fnmatch
from pathlib import Path

import pytest
from launching import VERBS
from test_packaging import TOP
from workers import http_load

from stylegan_tf.serving import app

ROOT = Path(__file__).parents[1]
FILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
BUILD = os.environ.get("STYLEGAN_TF_DOCKER", "")


def steps(text: str) -> list[tuple[str, str]]:
    """The instructions of a Dockerfile and their arguments, without comments."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (name.upper(), rest.strip())
        for name, _, rest in (line.partition(" ") for line in whole.splitlines())
        if name.strip()
    ]


def of(path: Path, name: str) -> list[str]:
    """The arguments of an instruction, wherever it stands."""
    return [rest for step, rest in steps(path.read_text()) if step == name]


def is_sent(source: str) -> bool:
    """True if .dockerignore lets docker have a file or folder."""
    sent = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and fnmatch(source, line.lstrip("!")):
            sent = line.startswith("!")
    return sent


def extras() -> set[str]:
    """The extras that setup.py declares."""
    for node in ast.walk(ast.parse((ROOT / "setup.py").read_text())):
        if isinstance(node, ast.keyword) and node.arg == "extras_require":
            return set(map(ast.literal_eval, node.value.keys))
    raise AssertionError("setup.py declares no extras")


def test_steps_are_found():
    assert steps("# a\nFROM x \\\n  AS y\n\nRUN a && b") == [
        ("FROM", "x    AS y"),
        ("RUN", "a && b"),
    ]
    assert not is_sent("tests") and is_sent("launch") and not is_sent("runs")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_is_copied_is_there_and_suffices(path):
    copied, stages = set(), set()
    for step, rest in steps(path.read_text()):
        words = shlex.split(rest)
        if step == "FROM" and "AS" in words:
            stages.add(words[-1])
        if step == "COPY" and words[0].startswith("--from="):
            assert words[0].removeprefix("--from=") in stages
        elif step == "COPY":
            copied |= set(words[:-1])
    for source in copied:
        assert (ROOT / source).exists() and is_sent(source), source
    assert copied >= {*TOP, "launch", "stylegan_tf"}  # the wheel is built of these


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_extras_are_declared(path):
    (install,) = [rest for rest in of(path, "RUN") if "pip install" in rest]
    assert '".[${EXTRAS}]"' in install
    given = [a for a in of(path, "ARG") if a.startswith("EXTRAS=")]
    given += re.findall(r"--build-arg (EXTRAS=[\w,]+)", path.read_text())
    assert len(given) >= 2
    for text in given:
        assert set(text.removeprefix("EXTRAS=").split(",")) <= extras()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_images_run_as_nobody_special_what_exists(path):
    text = path.read_text()
    (user,) = of(path, "USER")
    assert user not in ("root", "0") and "useradd" in text and user in text
    entry = json.loads(of(path, "ENTRYPOINT")[0])
    assert entry[0] == "stylegan-tf"
    used = re.findall(r"(?:stylegan-train (\w+)|--model)", text)
    for verb in [*entry[1:2], *filter(None, used)]:
        flags = VERBS[verb].FLAGS
        given = [w for w in [*entry, *shlex.split(text, comments=False)] if "--" in w]
        known = [w for w in given if w.partition("=")[0].lstrip("-") in flags]
        assert known
    for flag in entry[2:]:
        name, _, value = flag.removeprefix("--").partition("=")
        VERBS[entry[1]].FLAGS[name].parser.parse(value)


def test_serving_is_asked_where_it_listens():
    path = ROOT / "docker" / "serve.Dockerfile"
    (port,) = of(path, "EXPOSE")
    (check,) = of(path, "HEALTHCHECK")
    code = json.loads(check.split("CMD", 1)[1])[2]
    compile(code, "health check", "exec")
    found = re.search(r"http://127.0.0.1:(\d+)(/\w+)", code)
    assert found[1] == port and found[2] in app.PATHS
    entry = json.loads(of(path, "ENTRYPOINT")[0])
    assert f"--port={port}" in entry


# ---------------------------------------------------------------------------
# The images themselves


def docker(*words: str) -> str:
    done = subprocess.run(["docker", *words], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip()


@pytest.fixture(scope="module")
def engine():
    """Skips with the reason where no image can be built, or shall be."""
    reason = "" if shutil.which("docker") else "docker is not installed"
    if not reason:
        done = subprocess.run(["docker", "info"], capture_output=True, text=True)
        reason = done.stderr.strip() if done.returncode else ""
    if BUILD == "required":
        assert not reason, reason
    if reason or not BUILD:
        pytest.skip(reason or "images take minutes: set STYLEGAN_TF_DOCKER=1")


def test_the_images_are_built_and_run(engine):
    for path in FILES:
        name = f"stylegan-{path.stem}"
        docker("build", "-q", "-f", str(path), "-t", name, ".")
        size = int(docker("image", "inspect", "-f", "{{.Size}}", name))
        print(f"{name}: {size / 1e9:.2f} GB")
    assert "stylegan_tf" in docker("run", "--rm", "stylegan-train", "--version")
    with_model = ("--model=/runs/00000-demo-demo",)
    train = ("train", "--out=/runs", "--kimg=1", "--resolution=16")
    docker("run", "--rm", "-v", "stylegan-test:/runs", "stylegan-train", *train)
    port = http_load.free_port()
    run = ("run", "-d", "--rm", "-p", f"127.0.0.1:{port}:8000")
    volume = ("-v", "stylegan-test:/runs:ro")
    served = docker(*run, *volume, "stylegan-serve", *with_model)
    try:
        for _ in range(120):
            if http_load.is_ready(port):
                break
            time.sleep(1)
        status, body = http_load.get(port, "/v1/images?seeds=1")
        assert status == 200 and body.startswith(b"\x89PNG")
    finally:
        docker("stop", served)
