"""One file of each kind of other projects, through what people do with a model."""

import io

import ada_golden
import numpy as np
import persistence
import pytest
import tensorflow as tf
import test_rosinality
import test_torch_pickles
import torch_files
from launching import call
from PIL import Image

from stylegan_tf import config, figures, models, projector, sampling
from stylegan_tf.explorer.command import command_for
from stylegan_tf.explorer.engine import Engine, offered_directions
from stylegan_tf.sampling import renderer

OBLONG = {"start_shape": (4, 7), "channels": 4}
KINDS = {
    "StyleGAN2-ADA, TensorFlow": "adatf_r16_cond3_G_D_Gs.pkl",
    "StyleGAN2-ADA, gray": "adapt_r16_origG_skipD.pkl",
    "StyleGAN3-T": "sg3t_r16_cond3.pkl",
    "StyleGAN3-R": "sg3r_r32_torch2.pkl",
    "rosinality": "r.pt",
    "a fork, oblong and transparent": "fork.pkl",
}


@pytest.fixture(autouse=True)
def eagerly(monkeypatch):
    """Nothing is worth compiling here, or drawing by the batch."""
    monkeypatch.setattr(renderer, "batch_size", lambda model, resolution: 1)
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Holds the files that are made here."""
    made = tmp_path_factory.mktemp("foreign")
    states = {"g_ema": test_rosinality.state_of(test_rosinality.G, 1)}
    content = test_rosinality.checkpoint((states, np.zeros(10, "f4")))
    (made / "r.pt").write_bytes(torch_files.archive(content))
    c = config.update(test_torch_pickles.G, OBLONG)
    arguments = test_torch_pickles.ADA | {"img_channels": 4}
    fork = test_torch_pickles.generator(arguments, c)
    (made / "fork.pkl").write_bytes(persistence.dumped(fork, 3, "fork.src."))
    return made


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_steered_and_projected(kind, folder):
    name = KINDS[kind]
    path = folder / name if (folder / name).exists() else ada_golden.FOLDER / name
    model = models.load(path)
    c = model.config
    shape = (*c.shape(c.resolution), c.channels)
    engine = Engine(model, str(path), offered_directions(model, count=2))
    assert set(engine.choice.names) == {"pca0", "pca1", "sefa0", "sefa1"}
    assert bool(engine.resolutions) == (c.architecture != "stylegan3")
    assert engine.moves == (c.architecture == "stylegan3")
    state = engine.first().edited("pca0", 1.0).edited("sefa1", -1.0)
    picture = engine.picture(state)
    assert picture.shape == shape and (picture != engine.picture(engine.first())).any()
    read = np.asarray(Image.open(io.BytesIO(figures.image_bytes(picture))))
    np.testing.assert_array_equal(read.reshape(shape), picture)
    assert f"--model={path}" in command_for(engine, state).line
    if c.architecture == "stylegan3" and c.stylegan3.radial:
        return  # T is projected
    targets = np.stack([image for _, image in sampling.draw(model, [0])])
    classes = [0] if c.classes else None
    found = projector.project(model, targets, steps=1, classes=classes, batch=1)
    assert found.images.shape == targets.shape
    kept = found.latents.noise
    assert len(kept or []) == len(c.noise_shapes(c.resolution))


UNWRITTEN = {
    "adatf_r16_cond3_G_D_Gs.pkl": "StyleGAN2-ADA's labels, normalized on their own",
    "sg3t_r16_cond3.pkl": "architecture=stylegan3",
    "r.pt": "",  # config F's network is StyleGAN2's
}


@pytest.mark.parametrize("name", UNWRITTEN)
def test_what_is_not_written_as_a_pickle_says_why(name, folder):
    path = folder / name if (folder / name).exists() else ada_golden.FOLDER / name
    code, out, error = call(
        "convert", f"--model={path}", f"--out={folder / 'out' / 'x.pkl'}"
    )
    if UNWRITTEN[name]:
        words = f"these do not know {UNWRITTEN[name]}; keep the model as .keras"
        assert code == 2 and words in error and len(error.splitlines()) == 1
    else:
        assert code == 0 and "Gs" in out
