"""launch/evaluate.py: from a model's name to a table of numbers."""

import contextlib
import io
import json

import pytest
import tensorflow as tf
import tiny
from PIL import Image
from stylegan_tf_launch import cli, evaluate

from stylegan_tf.metrics import results
from stylegan_tf.networks.generator import Generator


def call(*flags: str) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with (
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
        pytest.raises(SystemExit) as exit,
    ):
        cli.run(evaluate.main, evaluate.FLAGS, ["evaluate.py", *flags])
    return exit.value.code or 0, out.getvalue(), err.getvalue()


@pytest.fixture(autouse=True)
def eagerly():
    """A dozen pictures are drawn sooner than a graph is made."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def flags(pictures, tmp_path_factory):
    folder = tmp_path_factory.mktemp("evaluate")
    model = folder / "model.keras"
    tiny.noisy(Generator(tiny.config().generator)).save(model)
    places = {"model": model, "data": pictures, "out": folder, "cache": folder}
    settings = places | {"features": "random", "strategy": "one", "batch": 12}
    return {k: f"--{k}={v}" for k, v in settings.items()}, folder


def test_all_is_one_table_with_what_there_is_none_of(flags):
    given, folder = flags
    code, said, err = call(*given.values(), "--metrics=all", "--num=12")
    assert code == 0, err
    lines = said.splitlines()
    assert lines[0].startswith("108 pictures to draw, at ")  # 12, and 4 ways x 24
    rows = results.read_results(folder)
    table = [line for line in lines if line.startswith("| ")]
    assert len(rows) == 18 and len(table) == 18 + 2
    for row in rows:
        (line,) = [t for t in table if t.startswith(f"| {results.metric_label(row)} ")]
        assert f"{row['value']:.5g}" in line
    assert [t for t in lines if t.startswith("no ")] == [
        "no is12: random-v1 has no probabilities of classes; --features=builtin or "
        "inception:FILE has",
        *(
            f"no {name}12: random-v1 has no factor classifiers; --features=builtin has"
            for name in ("ls", "dci", "mig", "sap")
        ),
        *(
            f"no {name}: only StyleGAN3's input can be shifted and rotated"
            for name in ("eqt12_int", "eqt12_frac", "eqr12")
        ),
    ]
    assert lines[-1] == f"in {folder / 'metrics.jsonl'}"
    assert list(folder.glob("events.*.metrics"))
    before = (folder / "metrics.jsonl").read_text()
    sheet = folder / "nearest.png"
    more = ["--metrics=fid12,kid12", f"--nearest={sheet}", "--num=12"]
    code, said, err = call(*given.values(), *more)
    assert code == 0, err
    share = next(r["value"] for r in rows if r["metric"] == "mem12")
    assert f"{sheet}: {100 * share:.1f} % of 12 pictures are as near to a" in said
    with Image.open(sheet) as image:
        assert image.width > 6 * 8 and image.height > 8 * 8
    assert said.startswith("recorded before, not computed again: fid12, kid12")
    assert "fid12[random-v1]" in said and "pictures to draw" not in said
    assert (folder / "metrics.jsonl").read_text() == before
    assert json.loads(before.splitlines()[0])["nimg"] is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": ""}, "name a model with --model=..."),
        ({"metrics": "--metrics=fid"}, "there is no metric 'fid'; choose all, or of"),
        ({"metrics": "--metrics=fid9,is9"}, "is9 cannot be computed: random-v1 has no"),
        ({"features": "--features=vgg"}, "there is no feature network 'vgg'; choose"),
        ({"model": "--model=nowhere"}, "no model at nowhere"),
        ({"data": ""}, "name the real pictures with --data"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(flags, change, said):
    given = flags[0] | change
    code, out, err = call(*(v for v in given.values() if v))
    assert code == 2 and err.startswith(f"error: {said}"), err
    assert err.count("\n") <= 2 and not out
