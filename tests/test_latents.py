"""latents.py: the syntax of seeds, and what a seed stands for."""

import numpy as np
import pytest

from stylegan_tf import latents
from stylegan_tf.errors import UserError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("7", [7]),
        ("0-3,100", [0, 1, 2, 3, 100]),
        (" 5 - 6 , 2,2", [5, 6, 2, 2]),
        ("4294967295", [2**32 - 1]),
    ],
)
def test_numbers_and_ranges(text, numbers):
    assert latents.parse_numbers(text) == numbers


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "'' is neither a number nor a range"),
        ("1,,2", "'' is neither"),
        ("-3", "'-3' is neither"),
        ("1.5", "'1.5' is neither"),
        ("a-b", "'a-b' is neither"),
        ("9-3", "the range 9-3 runs backwards"),
        ("4294967296", "4294967296 is above 4294967295"),
        ("0-4000000000", "too many at once"),
    ],
)
def test_what_is_no_seed_is_said(text, words):
    with pytest.raises(UserError, match=words):
        latents.parse_numbers(text)


def test_errors_name_what_was_asked_for():
    with pytest.raises(UserError, match="classes '7': 7 is above 4"):
        latents.parse_numbers("7", "classes", top=4)


def test_z_is_that_of_the_official_releases():
    z = latents.z_of([5, 888], 512)
    assert (z.dtype, z.shape) == (np.float32, (2, 512))
    # np.random.RandomState(5).randn(512), as every published seed is meant.
    np.testing.assert_allclose(z[0, :3], [0.44122749, -0.33087015, 2.43077119], 1e-6)
    np.testing.assert_array_equal(z[1:], latents.z_of([888], 512))
    np.testing.assert_array_equal(z[1:, :8], latents.z_of([888], 8))


def test_noise_is_a_function_of_the_seed():
    shapes = [(4, 6), (8, 12)]
    maps = latents.noise_of([3, 4], shapes)
    assert [m.shape for m in maps] == [(2, 4, 6, 1), (2, 8, 12, 1)]
    assert {m.dtype for m in maps} == {np.dtype(np.float32)}
    alone = latents.noise_of([4], shapes)
    for together, one in zip(maps, alone, strict=True):
        np.testing.assert_array_equal(together[1:], one)
        assert np.all(together[0] != together[1])
    values = np.concatenate([m.ravel() for m in latents.noise_of(range(50), shapes)])
    assert abs(values.mean()) < 0.05 and abs(values.std() - 1) < 0.05


def test_one_hot():
    found = latents.one_hot([2, 0], 3)
    np.testing.assert_array_equal(found, [[0, 0, 1], [1, 0, 0]])
    assert found.dtype == np.float32


def test_latents_survive_a_file(tmp_path):
    rng = np.random.default_rng(0)
    noise = [rng.normal(size=(2, 4, 4, 1)).astype(np.float32) for _ in range(11)]
    ws = rng.normal(size=(2, 6, 8)).astype(np.float32)
    kept = latents.Latents(ws, noise, ("cat", "dog"))
    found = latents.load_latents(kept.save(tmp_path / "new" / "a.npz"), 6, 8)
    np.testing.assert_array_equal(found.ws, ws)
    assert found.names == ("cat", "dog")
    for a, b in zip(found.noise, noise, strict=True):  # noise10 comes after noise9
        np.testing.assert_array_equal(a, b)
    bare = latents.load_latents(latents.Latents(ws).save(tmp_path / "b.npz"), 6, 8)
    assert bare.noise is None and bare.names == ("0000", "0001")


def test_one_style_serves_all_layers(tmp_path):
    w = np.arange(16, dtype=np.float32).reshape(2, 8)
    np.savez(tmp_path / "w.npz", w=w)
    found = latents.load_latents(tmp_path / "w.npz", 6, 8)
    np.testing.assert_array_equal(found.ws, np.repeat(w[:, None], 6, axis=1))


@pytest.mark.parametrize(
    "arrays, message",
    [
        ({"ws": np.zeros((1, 5, 8))}, "styles of 1 x 5 x 8; the model takes N x 6 x 8"),
        ({"ws": np.zeros((1, 6, 9))}, "another model"),
        ({"images": np.zeros(3)}, "holds images, and no styles"),
        ({"ws": np.array([{}], object)}, "cannot be read as .npz"),
    ],
)
def test_other_files_are_refused(tmp_path, arrays, message):
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(UserError, match=message):
        latents.load_latents(tmp_path / "x.npz", 6, 8)


def test_files_that_are_no_npz_are_refused(tmp_path):
    (tmp_path / "x.npz").write_text("hello")
    for name in ("x.npz", "none.npz"):
        with pytest.raises(UserError, match="cannot be read"):
            latents.load_latents(tmp_path / name, 6, 8)
