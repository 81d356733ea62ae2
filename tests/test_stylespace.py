"""Style channels: edits of biases, what they move, and how they are asked for."""

import dataclasses

import numpy as np
import pytest
import test_projector
from launching import call
from PIL import Image

from stylegan_tf import export, sampling
from stylegan_tf.errors import UserError
from stylegan_tf.latents import Edit
from stylegan_tf.networks.block import weights_fingerprint
from stylegan_tf.sampling import stylespace

KINDS = {"skip": test_projector.SMOOTH, "stylegan": test_projector.tiny.FIXED}


@pytest.fixture(scope="module", params=KINDS)
def model(request):
    return test_projector.generator(KINDS[request.param])


def style(model, number, w):
    """What style `number` becomes of w, from the layers themselves."""
    synthesis = model.synthesis
    if model.config.architecture == "stylegan":
        block = getattr(synthesis, f"block{4 << number // 2}")
        return getattr(block, f"epilogue{number % 2}").style.affine(w).numpy()
    layers = {
        0: [synthesis.block4.conv1.conv],
        1: [synthesis.to_rgb4, synthesis.block8.conv0.conv],
    }
    return np.concatenate([x.affine(w).numpy() for x in layers[number]], axis=1)


def test_an_edit_adds_deviations_to_one_channel_of_a_style(model):
    w, before = sampling.sample_w(model), weights_fingerprint(model)
    edits = [Edit("s1.9", 3.0), Edit("s0.2", -1.5)]
    edited = stylespace.edit_channels(model, edits)
    for number, channel, amount in ((1, 9, 3.0), (0, 2, -1.5)):
        plain, moved = (style(m, number, w) for m in (model, edited))
        change = np.zeros(plain.shape[1])
        change[channel] = amount * plain[:, channel].std()
        np.testing.assert_allclose(
            (moved - plain)[:5], change[None].repeat(5, 0), atol=1e-5
        )
    assert weights_fingerprint(model) == before != weights_fingerprint(edited)


def test_what_a_channel_moves_is_measured_and_put_back(model):
    ws = sampling.styles(model, range(4), psi=0.7)
    table = stylespace.measure_channels(model, ws, styles=[2, 3])
    own = stylespace.ChannelEditor(model)
    assert len(table.names) == sum(len(own.deviations[i]) for i in (2, 3))
    k = 5
    edited = stylespace.edit_channels(model, [Edit(table.names[k], stylespace.AMOUNT)])
    a, b = (sampling.Renderer(m)(ws).astype(float) for m in (model, edited))
    assert table.strength[k] == pytest.approx(np.abs(b - a).mean() / 255)
    assert np.all((table.area >= 0) & (table.area <= 1 + 1e-9))
    assert table.strength[table.best(1)[0]] > 0
    assert table.csv_text().count("\n") == len(table.names) + 1


def test_the_place_of_a_change():
    before = np.zeros((2, 4, 8, 3), np.uint8)
    after = before.copy()
    after[:, 1, 6:] = 51
    found = stylespace._place_of_change(before, after)
    assert found == pytest.approx((0.2 * 2 / 32, 2 / 32, 1.5 / 4, 7 / 8))
    assert stylespace._place_of_change(before, before) == (0, 0, 0.5, 0.5)


def test_the_most_telling_channels():
    numbers = [np.array([0.1, 0.3, 0.2, 0.2])] * 4
    shares = {
        "smile": np.array([0.9, 0.1, 0.5, 0.2]),
        "hair": np.array([0.1, 0.2, 0, 0.6]),
    }
    table = stylespace.ChannelTable(("a", "b", "c", "d"), *numbers, shares)
    assert table.best(3) == [0, 3, 2]  # smile, hair, smile
    assert table.describe(0) == "smile (0.90, 90% of what it moves)"
    blind = dataclasses.replace(table, shares={}, area=np.array([0.5, 0.5, 0.5, 0.01]))
    assert blind.best(2) == [3, 1]
    assert blind.describe(1) == "top left, 50% of the picture"


def test_channels_are_listed_and_edited_by_name(tmp_path):
    model = test_projector.generator(KINDS["skip"])
    export.plain_copy(model).save(tmp_path / "model.keras")
    flags = [f"--model={tmp_path}/model.keras", f"--out={tmp_path}/channels"]
    listed = [*flags, "--method=stylespace", "--count=2", "--layers=3"]
    code, out, err = call("directions", *listed)
    assert code == 0, err
    lines = out.splitlines()
    assert lines[0] == f"{tmp_path}/channels/channels.csv"
    name = lines[2].split()[0]
    assert name.startswith("s3.") and len(lines) == 4
    Image.open(tmp_path / "channels/strips.png").verify()
    flags = [flags[0], "--seeds=5", "--psi=0.6", "--enlarge=1", f"--out={tmp_path}"]
    assert call("generate", *flags, f"--edit={name}:2.5", "--edit=pca0:1")[0] == 0
    edited = stylespace.edit_channels(model, [Edit(name, 2.5)])
    step = sampling.steering.DirectionFinder(model)("pca0")[0]
    expected = sampling.Renderer(edited)(sampling.styles(model, [5], 0.6) + step)[0]
    np.testing.assert_array_equal(Image.open(tmp_path / "seed0005.png"), expected)
    for edit, words in [
        ("s3.99:1", "no channel s3.99"),
        (f"{name}:1@2", "leave its @"),
    ]:
        code, _, err = call("generate", *flags, f"--edit={edit}")
        assert code == 2 and words in err and err.count("\n") == 1


def test_a_direction_of_that_name_comes_first():
    split = stylespace.split_edits(["s1.2:1", "pca0:2", "s1.3:1"], 4, ["s1.2"])
    assert [e.name for e in split[0]] == ["s1.3"] and split[1] == ["s1.2:1", "pca0:2"]


def test_a_model_without_styles_has_no_channels():
    model = test_projector.generator(test_projector.BARE)
    with pytest.raises(UserError, match="has no style per layer"):
        stylespace.ChannelEditor(model)
    code, _, err = call("directions", "--model=x", "--method=stylespace", "--labels=a")
    assert code == 2 and "takes --labels=demo" in err
