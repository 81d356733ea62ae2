"""The page of launch/explore.py: what it draws, what it says, what it refuses."""

import asyncio
import contextlib
import io
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import explored
import numpy as np
import pytest
from PIL import Image
from stylegan_tf_launch import cli, explore

from stylegan_tf import config, figures, latents, models, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.explorer import server
from stylegan_tf.explorer.command import command_for, download_name
from stylegan_tf.explorer.engine import (
    DirectionMenu,
    Engine,
    offered_directions,
)
from stylegan_tf.explorer.latest import Latest
from stylegan_tf.explorer.state import ImageState, groups_of, plane_seeds

ROOT = Path(__file__).parents[1]
STYLEGAN2 = {"architecture": "skip"}


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return explored.saved(tmp_path_factory.mktemp("explore"))


@pytest.fixture(scope="module")
def engine(file) -> Engine:
    model = models.load(file)
    return Engine(model, str(file), offered_directions(model, count=3))


def drawn(engine: Engine, seed: int, **options) -> np.ndarray:
    [(_, picture)] = sampling.draw(engine.model, [seed], **options)
    return picture


# ---------------------------------------------------------------------------
# States


@pytest.mark.parametrize(
    ("resolution", "expected"),
    [
        (8, {"coarse": "0-1", "middle": "2-2", "fine": "3-3"}),
        (16, {"coarse": "0-1", "middle": "2-3", "fine": "4-5"}),
        (32, {"coarse": "0-3", "middle": "4-5", "fine": "6-7"}),
        (64, {"coarse": "0-3", "middle": "4-7", "fine": "8-9"}),
        (1024, {"coarse": "0-3", "middle": "4-7", "fine": "8-17"}),
    ],
)
def test_groups_of_layers_are_those_that_flags_take(resolution, expected):
    groups = groups_of(config.GeneratorConfig(), resolution)
    assert {g.name: g.text for g in groups} == expected
    together = [r for g in groups for r in g.resolutions]
    assert list(dict.fromkeys(together)) == config.levels(resolution)
    for g in groups:
        own = latents.parse_layers(g.name, 2 * len(config.levels(resolution)))
        assert own == latents.parse_layers(g.text, 20) == list(g.numbers)
    assert all(g.numbers == tuple(range(20))[g.layers] for g in groups)


def test_a_model_without_styles_has_no_groups():
    plain = config.GeneratorConfig(use_styles=False, const_input=False)
    assert groups_of(plain, 64) == ()


def test_states_are_changed_by_hand():
    state = ImageState(mixes=(None, None))
    assert state.mixed(1, 5).mixes == (None, 5)
    assert state.mixed(1, 5).mixed(1, None) == state
    assert state.edited("pca0", 9.0).edits == {"pca0": 4.0}
    assert state.edited("pca0", 0.30000000000000004).edits == {"pca0": 0.3}
    assert state.edited("pca0", 1).edited("pca0", 0) == state
    assert state.unmuted(8, False).muted == {8}
    assert state.unmuted(8, False).unmuted(8, True) == state
    there = state.walked(1, 0.5, 0).walked(1, 0.25, -1).walked(2, 1, 1)
    assert there.walk == ((1, 0.75, -1), (2, 1, 1))
    with pytest.raises(UserError, match="seed 4294967296 is not between"):
        state.mixed(0, 2**32)


def test_the_newest_request_is_answered_and_those_it_overtook_are_dropped():
    done = []

    async def work(item):
        await asyncio.sleep(0)
        done.append(item)
        if item == 0:
            for later in (1, 2, 3):
                latest.ask(later)
        if item == 3:
            raise ValueError

    async def all_of_it():
        latest.ask(0)
        for _ in range(9):
            await asyncio.sleep(0)
        latest.ask(4)  # after an error, too
        for _ in range(9):
            await asyncio.sleep(0)

    tasks = []
    latest = Latest(work, lambda c: tasks.append(asyncio.ensure_future(c)))
    asyncio.run(all_of_it())
    assert done == [0, 3, 4]
    assert isinstance(tasks[0].exception(), ValueError)


# ---------------------------------------------------------------------------
# Pictures


@pytest.mark.parametrize(
    "how",
    [
        {"psi": 1},
        {"psi": 0.7},
        {"psi": -0.5, "cutoff": 3},
        {"psi": 0.7, "noise": "random"},
        {"psi": 1.3, "noise": "none"},
    ],
    ids=str,
)
def test_pictures_are_those_of_draw_to_the_bit(engine, how):
    state = replace(engine.first(), seed=7, label=2, **how)
    expected = drawn(engine, 7, classes=[2], **how)
    np.testing.assert_array_equal(engine.picture(state), expected)


@pytest.mark.parametrize("changes", [STYLEGAN2, {"channels": 1}], ids=str)
def test_other_models_are_drawn_too(changes):
    model = explored.made(**changes)
    engine = Engine(model)
    state = replace(engine.first(), seed=3)
    picture = engine.picture(state)
    np.testing.assert_array_equal(picture, drawn(engine, 3, psi=0.7))
    again = np.asarray(Image.open(io.BytesIO(figures.image_bytes(picture))))
    np.testing.assert_array_equal(again.reshape(picture.shape), picture)
    muted = engine.picture(state.unmuted(4, False))
    assert np.any(muted != picture)
    assert np.any(engine.picture(state.mixed(0, 4)) != picture)


def test_a_preview_differs_by_rounding_at_most(engine):
    slow = Engine(engine.model, limit=0)
    assert engine.exact and not slow.exact
    state = replace(slow.first(), seed=5)
    shown = slow.show(state).astype(int)
    np.testing.assert_allclose(shown, engine.picture(state), atol=1)
    np.testing.assert_array_equal(slow.picture(state), engine.show(state))


def test_mixing_takes_a_groups_layers_from_another_seed(engine):
    state = replace(engine.first(), seed=1).mixed(1, 8)
    own, other = sampling.styles(engine.model, [1, 8], psi=0.7, classes=[0])
    expected = np.concatenate([own[:2], other[2:4], own[4:]])
    np.testing.assert_array_equal(engine.styles(state)[0], expected)


def test_walking_adds_differences_between_seeds_before_truncation(engine):
    state = replace(engine.first(), seed=1, psi=0.5)
    w = sampling.styles(engine.model, [1, *plane_seeds(9)], classes=[0])
    own, a, b, c, d = w.astype(np.float64)
    [center] = sampling.class_centers(engine.model, [0])
    right, down = (a - b) / np.sqrt(2), (c - d) / np.sqrt(2)
    expected = center + 0.5 * (own + 0.3 * right - 2 * down - center)
    found = engine.styles(state.walked(9, 0.3, -2))[0]
    np.testing.assert_allclose(found, expected, atol=1e-5)
    home = state.walked(9, 0.3, -2).walked(9, -0.3, 2)
    np.testing.assert_array_equal(engine.styles(home), engine.styles(state))
    still = replace(state, psi=0.0)
    far = engine.picture(still.walked(9, 1, 1))
    np.testing.assert_array_equal(far, engine.picture(still))


def test_edits_are_added_after_truncation_to_the_layers_they_reach(engine):
    step = np.linspace(-1, 1, 8, dtype=np.float32)
    asked = []

    def find(name, layers):
        asked.append((name, layers))
        return step, layers or (0, 5)

    steered = Engine(engine.model, choice=DirectionMenu({"mine": ["x"]}, find))
    state = replace(steered.first(), seed=2, psi=0.0).edited("x", 1.5)
    plain = engine.styles(replace(state, edits={}))
    change = np.zeros((6, 8))
    change[[0, 5]] = 1.5 * step
    np.testing.assert_allclose(steered.styles(state)[0] - plain[0], change, atol=1e-6)
    steered.styles(replace(state, edit_group=1))
    assert asked == [("x", None), ("x", (2, 3))]


def test_noise_is_switched_off_by_resolution(engine):
    state = replace(engine.first(), seed=4, label=1)
    stored = [engine.model.synthesis.noise0, engine.model.synthesis.noise3]
    maps = engine.noise(state.unmuted(8, False))
    np.testing.assert_array_equal(maps[0], stored[0])
    assert not np.any(maps[2]) and not np.any(maps[3]) and np.any(stored[1])
    assert [m.shape[1] for m in maps] == [4, 4, 8, 8, 16, 16]
    own = engine.noise(replace(state, noise="random").unmuted(16, False))
    np.testing.assert_array_equal(
        own[3], latents.noise_of([4], [(4, 4)] * 2 + [(8, 8)] * 2)[3]
    )
    silent = state
    for resolution in engine.resolutions:
        silent = silent.unmuted(resolution, False)
    expected = drawn(engine, 4, psi=0.7, classes=[1], noise="none")
    np.testing.assert_array_equal(engine.picture(silent), expected)


def test_directions_are_the_models_own_and_a_files(engine, tmp_path):
    assert engine.choice.sets == {
        "PCA of w": ["pca0", "pca1", "pca2"],
        "SeFa": ["sefa0", "sefa1", "sefa2"],
    }
    from stylegan_tf.latents.directions import Directions

    ones = np.ones(2, np.float32)
    vectors = np.eye(2, 8, dtype=np.float32)
    path = Directions(("smile", "pca1"), vectors, 3 * ones, ones, "test", (4,)).save(
        tmp_path / "own.npz"
    )
    choice = offered_directions(engine.model, 3, str(path))
    assert choice.names == ["pca0", "pca2", "sefa0", "sefa1", "sefa2", "smile", "pca1"]
    step, layers = choice.find("smile", None)
    assert (step.tolist(), tuple(layers)) == ([3.0] + [0.0] * 7, (4,))
    both = Engine(engine.model, "m.keras", choice)
    plain = both.first()
    words = command_for(both, plain.edited("smile", 1)).words
    assert words[-2:] == ("--edit=smile:1", f"--directions={path}")
    assert "--directions" not in command_for(both, plain.edited("pca0", 1)).line
    with pytest.raises(UserError, match="none.npz"):
        offered_directions(engine.model, 3, str(tmp_path / "none.npz"))


# ---------------------------------------------------------------------------
# Command lines

SAID = {  # what flags can say
    "seed": {"seed": 11, "psi": 0.55},
    "cutoff": {"seed": 3, "psi": -0.5, "cutoff": 2, "label": 2},
    "random": {"seed": 3, "noise": "random", "psi": 1.0},
    "none": {"seed": 3, "noise": "none", "muted": frozenset({8})},
    "silent": {"muted": frozenset({4, 8, 16}), "noise": "random"},
    "mixes": {"seed": 1, "mixes": (9, None, 123), "psi": 0.5, "cutoff": 4},
    "edits": {"edits": {"pca0": -1.37, "sefa1": 2.0}, "label": 1},
    "reach": {"edits": {"pca1": 3.0, "sefa0": -4.0}, "edit_group": 1},
}
MORE = {  # what they cannot
    "partly": ({"seed": 6, "muted": frozenset({8})}, "only some resolutions"),
    "walk": ({"walk": ((5, 0.3, -0.2),), "psi": 0.6}, "dragged through a random plane"),
}


@pytest.mark.parametrize("name", SAID)
def test_the_command_line_draws_the_same_picture(engine, tmp_path, name):
    state = replace(engine.first(), **SAID[name])
    found = command_for(engine, state)
    assert not found.why and found.latents is None
    np.testing.assert_array_equal(
        explored.generated(found.line, tmp_path), engine.picture(state)
    )


@pytest.mark.parametrize("name", MORE)
def test_what_flags_cannot_say_is_said_and_put_into_a_file(
    engine, tmp_path, monkeypatch, name
):
    changes, why = MORE[name]
    state = replace(engine.first(), **changes)
    found = command_for(engine, state)
    assert why in found.why
    monkeypatch.chdir(tmp_path)
    Path(found.latents).write_bytes(engine.latents(state))
    picture = explored.generated(found.line, tmp_path / "out")
    np.testing.assert_array_equal(picture, engine.picture(state))


def test_a_walk_that_came_home_needs_no_file(engine):
    state = engine.first().walked(3, 1, 0).walked(3, -1, 0)
    assert command_for(engine, state) == command_for(engine, engine.first())
    assert download_name(replace(state, seed=12)) == "seed0012.png"


# ---------------------------------------------------------------------------
# The script


def test_help_loads_nothing_large():
    script = ROOT / "launch" / "explore.py"
    code = (
        f"import runpy, sys; sys.argv = [{str(script)!r}, '--help']\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: assert not {'tensorflow', 'numpy', 'nicegui'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "python launch/explore.py --model=" in done.stdout
    for flag in ("--model=", "--port=", "--host=", "--directions=", "--[no]open"):
        assert f"\n{flag}" in done.stdout


def refused(*flags: str) -> str:
    """The line that the script ends with."""
    with (
        contextlib.redirect_stderr(io.StringIO()) as errors,
        pytest.raises(SystemExit) as exit,
    ):
        cli.run(explore.main, explore.FLAGS, ["explore.py", *flags])
    assert exit.value.code == 2
    [line] = errors.getvalue().splitlines()
    return line


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_what_stops_the_page_is_said_in_a_line(file, monkeypatch):
    assert "name a model with --model" in refused()
    port = f"--port={free_port()}"
    assert "no model at /nowhere" in refused("--model=/nowhere", port)
    assert "nothing.npz" in refused(f"--model={file}", port, "--directions=nothing.npz")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        line = refused(f"--model={file}", f"--port={number}")
        assert f"cannot listen on 127.0.0.1:{number}" in line and "--port=" in line
    monkeypatch.setattr(server.importlib.util, "find_spec", lambda name: None)
    assert 'pip install "stylegan_tf[explore]"' in refused(f"--model={file}")
