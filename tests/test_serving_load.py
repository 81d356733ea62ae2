"""serve.py as a process: 64 clients at once, and a signal in the middle of them."""

import io
import signal

import numpy as np
import pytest
import tiny
from PIL import Image
from test_benchmarks import script
from workers import http_load

from stylegan_tf import sampling
from stylegan_tf.networks.generator import Generator

CLIENTS, PATIENCE = 64, 60


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    made = tiny.noisy(Generator(tiny.config().generator))
    path = tmp_path_factory.mktemp("loaded") / "a.keras"
    made.save(path)
    return made, path


def check(answers, expected) -> None:
    """Every client has the picture of its seed, to the rounding of a batch."""
    for answer in answers:
        assert answer.status == 200, answer.body
        found = np.asarray(Image.open(io.BytesIO(answer.body))).astype(int)
        np.testing.assert_allclose(found, expected[answer.seed], atol=1)


def test_64_clients_get_their_own_pictures_and_a_signal_loses_none(model, tmp_path):
    made, path = model
    alone = [sampling.styles(made, [seed], 0.7) for seed in range(2 * CLIENTS)]
    expected = sampling.Renderer(made)(np.concatenate(alone))
    assert len({image.tobytes() for image in expected}) > CLIENTS
    log, flags = tmp_path / "log.txt", [f"--model={path}", "--most_waiting=16"]
    with http_load.serving(*flags, log=log) as (process, port):
        lone = {a.seed: a.body for a in http_load.ask(port, [range(8)])}
        row = script("serve").measure(port, 8, 2, lone, "psi=0.7")
        assert (row["pictures"], row["lost"], row["wrong"]) == (16, 0, 0)
        assert 1 <= row["a call"] <= sampling.BATCH and row["a second"] > 0
        pairs = [(k, k + CLIENTS) for k in range(CLIENTS)]
        answers = http_load.ask(port, pairs)
        assert sorted(a.seed for a in answers) == list(range(2 * CLIENTS))
        check(answers, expected)
        ends = http_load.ask(
            port,
            [[k] for k in range(8)],
            begun=lambda: process.send_signal(signal.SIGTERM),
        )
        assert process.wait(PATIENCE) == 128 + signal.SIGTERM
        assert len(ends) == 8
        check(ends, expected)
    text = log.read_text()
    assert "ready" in text and "stopped by SIGTERM" in text and "Traceback" not in text
