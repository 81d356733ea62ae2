"""Scripts of `launch/`, run inside the test's process."""

import contextlib
import io
import json
from pathlib import Path

import pytest
import tiny
from stylegan_tf_launch import (
    cli,
    convert,
    directions,
    encode,
    evaluate,
    explore,
    figures,
    generate,
    make_dataset,
    project,
    serve,
    train,
)
from stylegan_tf_launch import export as launch_export

from stylegan_tf.config import Growth
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official

ROOT = Path(__file__).parents[1]
VERBS = {"train": train, "generate": generate, "make_dataset": make_dataset}
VERBS |= {"convert": convert, "figures": figures, "directions": directions}
VERBS |= {"project": project, "explore": explore, "evaluate": evaluate}
VERBS |= {"export": launch_export, "encode": encode, "serve": serve}


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


def official_pickle(path: Path) -> tuple[Generator, Discriminator]:
    """Writes an official pickle that had grown up to 4 x 4; returns its networks."""
    c = tiny.config()
    g, d = tiny.noisy(Generator(c.generator)), Discriminator(c.discriminator)
    official.save_pickle(path, Generator(c.generator), d, g, Growth(4))
    return g, d
