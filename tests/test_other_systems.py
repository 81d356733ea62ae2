"""Whole commands where the system lacks what only Unix has."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).parent


def test_scripts_need_nothing_of_unix(tmp_path):
    folders = [TESTS, TESTS.parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    done = subprocess.run(
        [sys.executable, str(TESTS / "other_system.py"), str(tmp_path)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, folders))},
        capture_output=True,
        text=True,
        timeout=500,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "Traceback" not in said, said
    codes = re.findall(r"== (\w+): (\d+)", done.stdout)
    verbs = ["make_dataset", "train", "train", "generate", "convert"]
    assert codes == [(verb, "0") for verb in verbs], said
    printed = re.findall(r"^-- [\w ]+: (.*)", done.stdout, re.MULTILINE)
    named = [shlex.split(line)[-1].rpartition("=")[2] for line in printed]
    assert len(named) >= 6 and all(Path(path).exists() for path in named), printed
