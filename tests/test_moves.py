"""StyleGAN3's input transform: flags, pictures, films, the explorer's sliders."""

import dataclasses
import types

import explored
import numpy as np
import pytest
import tensorflow as tf
import tiny
from launching import call
from test_video import read_gif

from stylegan_tf import latents, sampling
from stylegan_tf.config.stylegan3 import StyleGAN3Config
from stylegan_tf.errors import UserError
from stylegan_tf.explorer.command import command_for
from stylegan_tf.explorer.engine import Engine
from stylegan_tf.explorer.state import ImageState
from stylegan_tf.figures.outputs import ImageWriter
from stylegan_tf.networks.generator import Generator
from stylegan_tf.networks.stylegan3 import rotation_and_shift

BANDS = StyleGAN3Config(layers=2, critical=1, margin=2)


@pytest.fixture(autouse=True)
def eagerly():
    """Nothing is worth compiling here."""
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def model():
    c = dataclasses.replace(
        tiny.config(tiny.FIXED).generator, architecture="stylegan3", stylegan3=BANDS
    )
    g = Generator(c)
    for layer in (g.synthesis.layer0, g.synthesis.layer2):
        layer.magnitude.assign(0.2)  # enough contrast to see
    return g


@pytest.mark.parametrize(
    ("translate", "rotate", "expected"),
    [
        (None, None, None),
        ("0.25,-1", None, [[0.25, -1, 0]]),
        (None, "0:90", [[0, 0, 0], [0, 0, 90]]),
        ("1,2", "0:-90:5", [[1, 2, 0], [1, 2, -90], [1, 2, 5]]),
        ("0,0:1,0", "1:2", [[0, 0, 1], [1, 0, 2]]),
    ],
)
def test_moves_are_parsed(translate, rotate, expected):
    found = latents.parse_moves(translate, rotate)
    assert found is None if expected is None else found.tolist() == expected


@pytest.mark.parametrize(
    ("translate", "rotate", "message"),
    [
        ("0.25", None, "--translate='?0.25'? is not like 0.25,0, or"),
        ("1,2,3", None, "is not like 0.25,0"),
        ("nan,0", None, "is not like 0.25,0"),
        (None, "x", "--rotate='?x'? is not like 90, or 90:90 in a film"),
        (None, "1e9", "up to 36000"),
        (None, "", "--rotate='?'? is not"),
        ("0,0:1,1", "1:2:3", "--translate has 2 places and --rotate 3"),
    ],
)
def test_no_moves(translate, rotate, message):
    with pytest.raises(UserError, match=message):
        latents.parse_moves(translate, rotate)


def test_pictures_sheets_and_kept_styles_move_alike(model, tmp_path):
    moves = latents.parse_moves("0.25,0.125", "30")
    transform = rotation_and_shift(30, 0.25, 0.125)
    [(_, expected)] = sampling.draw(model, [3], psi=0.7, transform=transform)
    [(_, still)] = sampling.draw(model, [3], psi=0.7)
    assert np.any(expected != still)
    writer = ImageWriter(model, seeds=[3], moves=moves)
    np.testing.assert_array_equal(next(writer.images()), expected)
    file = ImageWriter(model, seeds=[3]).write_latents(tmp_path / "w.npz")
    again = ImageWriter(model, latents_file=file, moves=moves)
    np.testing.assert_array_equal(next(again.images()), expected)


def test_a_film_passes_all_places(model, tmp_path):
    moves = latents.parse_moves("0,0:0.5,0", "0")
    film = ImageWriter(model, seeds=[3], moves=moves)
    path = film.write_film(tmp_path / "a.gif", frames=3, fps=20)
    ws = sampling.styles(model, [3], psi=0.7)
    transforms = np.stack([rotation_and_shift(0, x) for x in (0, 0.25, 0.5)])
    expected = sampling.Renderer(model)(np.repeat(ws, 3, axis=0), transform=transforms)
    shown, _ = read_gif(path)
    assert len(shown) == 3
    for image, frame in zip(expected, shown, strict=True):
        factor = len(frame) // len(image)
        small = np.asarray(frame)[::factor, ::factor].astype(int)
        assert np.abs(small - image).mean() < 12  # a palette a frame
    walk = ImageWriter(model, seeds=[3, 4], moves=moves)
    shown, _ = read_gif(walk.write_film(tmp_path / "b.gif", frames=2, fps=20))
    assert len(shown) == 4


def test_other_networks_refuse_to_move(tmp_path):
    other = Generator(tiny.config().generator)
    moves = latents.parse_moves("0.1,0", None)
    message = "only StyleGAN3's pictures can be shifted .* architecture is stylegan[.]"
    for write in ("write_images", "write_film"):
        with pytest.raises(UserError, match=message):
            getattr(ImageWriter(other, seeds=[1], moves=moves), write)(
                tmp_path / "a.gif"
            )
    with pytest.raises(UserError, match=message):
        list(sampling.draw(other, [1], transform=np.eye(3)))


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--rotate=0:90"], "several places of --translate or --rotate are of a film"),
        (["--psi_sweep=0,1", "--rotate=9"], "--rotate is not drawn in a sweep"),
        (["--translate=a,b"], "--translate="),
    ],
)
def test_flags_are_checked_before_the_model(flags, words):
    code, _, error = call("generate", "--model=/nowhere", *flags)
    assert code == 2 and words in error, error


def test_the_command_of_the_page_draws_the_moved_picture(model, tmp_path):
    model.save(tmp_path / "a.keras")
    engine = Engine(model, str(tmp_path / "a.keras"))
    state = ImageState(seed=5, mixes=engine.first().mixes, shift=(0.1, -0.2), angle=40)
    line = command_for(engine, state).line
    assert line.endswith("--translate=0.1,-0.2 --rotate=40")
    picture = explored.generated(line, tmp_path / "out")
    np.testing.assert_array_equal(picture, engine.picture(state))
    still = dataclasses.replace(state, shift=(0.0, 0.0), angle=0.0)
    assert np.any(engine.picture(still) != picture)
    assert "--translate" not in command_for(engine, still).line
    walked = command_for(engine, state.walked(3, 0.5, 0.5))
    assert walked.latents and walked.line.endswith("--rotate=40")


def test_the_page_has_sliders_for_stylegan3_alone(model):
    from nicegui import Client, ui

    from stylegan_tf.explorer.panel import Panel

    def sliders(generator) -> tuple:
        engine = Engine(generator)
        states = [engine.first()]
        with Client(ui.page("/moves")) as client:
            card = types.SimpleNamespace(head=ui.row(), show=lambda state: None)
            cards = [lambda: card] * 3  # dragging, directions, one's own picture
            panel = Panel(engine, lambda: states[-1], states.append, *cards)
        found = [e for e in client.elements.values() if isinstance(e, ui.slider)]
        named = {next(iter(slider._markers), ""): slider for slider in found}
        return named, states, panel

    named, states, panel = sliders(model)
    named["right"].value = 0.25
    named["down"].value = -0.5
    named["rotation"].value = 30
    assert (states[-1].shift, states[-1].angle) == ((0.25, -0.5), 30)
    panel.show(states[0])
    assert named["right"].value == named["rotation"].value == 0
    assert "rotation" not in sliders(Generator(tiny.config().generator))[0]
