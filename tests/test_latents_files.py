"""latents/files.py: styles of our own files and of other tools', or a refusal."""

import numpy as np
import pytest
import torch_files

from stylegan_tf import latents
from stylegan_tf.errors import UserError

LAYERS, WIDTH = 6, 8  # of the model


def numbers(*shape: int, kind: str = "f4") -> np.ndarray:
    return (np.arange(np.prod(shape)).reshape(shape) / 7).astype(kind)


def tensor(array: np.ndarray, key: str = "0") -> torch_files.Tensor:
    return torch_files.Tensor(torch_files.Storage(key, array), array.shape)


def load(folder, content, suffix: str = ".npy") -> latents.Latents:
    """Writes a file as NumPy or PyTorch would, and reads it."""
    path = folder / f"x{suffix}"
    if suffix == ".pt":
        path.write_bytes(torch_files.archive(content))
    elif suffix == ".old.pt":
        path.write_bytes(torch_files.legacy(content))
    elif isinstance(content, dict):
        np.savez(path, **content)
    else:
        np.save(path, content, allow_pickle=True)
    return latents.load_latents(path, LAYERS, WIDTH)


FULL = numbers(2, LAYERS, WIDTH)
ONE = numbers(2, WIDTH)
EACH = np.repeat(ONE[:, None], LAYERS, axis=1)
PLAIN = [
    # what a tool saves, and the styles that it means
    (FULL, FULL),
    (FULL[:1], FULL[:1]),
    (FULL[None], FULL),
    (FULL[:, None], FULL),
    (FULL[None, :1], FULL[:1]),
    (FULL[None, None], FULL),
    (ONE, EACH),
    (ONE[:, None], EACH),
    (ONE[0], EACH[:1]),
    (ONE[:1], EACH[:1]),
    (np.asfortranarray(FULL), FULL),
    (FULL.astype("f8"), FULL),
    (FULL.astype(">f4"), FULL),
    (FULL.astype("f2"), FULL.astype("f2")),
    (FULL.astype("i8"), FULL.astype("i8")),
    (FULL.astype("u1"), FULL.astype("u1")),
]
UNCLEAR = [
    # what may mean two things, or nothing, and what is said
    (numbers(LAYERS, WIDTH), "one for each layer of one picture, or of 6 pictures"),
    (numbers(1, 3, WIDTH), "styles of 1 x 3 x 8; the model takes N x 6 x 8"),
    (numbers(2, 3, LAYERS, WIDTH), "styles of 2 x 3 x 6 x 8; the model takes"),
    (numbers(2, WIDTH, LAYERS), "another model"),
    (numbers(9), "styles of 9; the model takes"),
    (np.float32(1), "styles of a single number"),
    (FULL * np.nan, "its array has numbers that are not finite"),
    (np.full((1, WIDTH), 1e300), "its array has numbers that are not finite"),
    (FULL.astype("c8"), "its array holds complex64, no numbers"),
    (FULL.astype("U"), "its array holds <U.*, no numbers"),
    (np.zeros(2, "M8[s]"), "holds datetime64"),
    (np.zeros(2, [("a", "f4")]), "no numbers"),
    (np.array([FULL, None], object), "Python objects, which are not read"),
]


@pytest.mark.parametrize(("saved", "meant"), PLAIN)
def test_arrays_that_mean_one_thing(saved, meant, tmp_path):
    found = load(tmp_path, saved)
    assert found.ws.dtype == np.float32 and found.noise is None
    np.testing.assert_array_equal(found.ws, meant.astype("f4"))
    assert found.names == tuple(f"{i:04d}" for i in range(len(meant)))


@pytest.mark.parametrize(("saved", "said"), UNCLEAR)
def test_arrays_that_do_not(saved, said, tmp_path):
    with pytest.raises(UserError, match=said) as error:
        load(tmp_path, saved)
    assert "\n" not in str(error.value)


NAMED = [{"ws": FULL}, {"w": FULL}, {"projected_w": FULL}, {"latent": FULL}]
NAMED += [{"arr_0": FULL}, {"dlatents": FULL, "seed": np.array(3)}]
NAMED += [{"ws": FULL, "w": FULL[None].astype("f8")}, {"w": FULL, "z": numbers(2, 8)}]


@pytest.mark.parametrize("saved", NAMED)
def test_archives_that_mean_one_thing(saved, tmp_path):
    np.testing.assert_array_equal(load(tmp_path, saved, ".npz").ws, FULL)


@pytest.mark.parametrize(
    ("saved", "said"),
    [
        ({"ws": FULL, "w": ONE}, "different styles as ws and w; save those"),
        ({"w": FULL, "latent": 2 * FULL}, "different styles as w and latent"),
        ({"ws": FULL, "w": ONE[:, :3]}, "styles of 2 x 3"),
        ({"arr_0": FULL, "arr_1": FULL}, "holds arr_0, arr_1, and no styles"),
        ({"z": FULL}, "holds z, and no styles"),
        ({}, "holds nothing, and no styles"),
        ({"ws": np.array([{}], object)}, "cannot be read as .npz"),
    ],
)
def test_archives_that_do_not(saved, said, tmp_path):
    with pytest.raises(UserError, match=said):
        load(tmp_path, saved, ".npz")


@pytest.mark.parametrize("suffix", [".pt", ".old.pt"])
def test_files_of_pytorch(suffix, tmp_path):
    def found(content):
        return load(tmp_path, content, suffix)

    rows = [tensor(row, str(i)) for i, row in enumerate(FULL)]
    for content in (
        tensor(FULL),
        tensor(FULL.astype("f8")),
        {"latent": tensor(FULL)},
        {"w": tensor(FULL), "step": 3, "name": "x"},
        rows,
        tuple(rows),
    ):
        np.testing.assert_array_equal(found(content).ws, FULL)
    other = tensor(numbers(3), "9")
    pictures = {
        "in/cat.png": {"latent": rows[0], "noise": [other], "img": other},
        "in\\dog.jpg": {"latent": rows[1], "noise": [other], "img": other},
    }
    np.testing.assert_array_equal(found(pictures).ws, FULL)
    assert found(pictures).names == ("cat", "dog")
    many = {str(i): {"w": tensor(numbers(WIDTH), str(i))} for i in range(LAYERS)}
    assert found(many).ws.shape == (LAYERS, LAYERS, WIDTH)  # each is of one picture
    for content, said in (
        ({"z": tensor(FULL)}, "holds z, and no styles"),
        ([], "list of 0 things"),
        ([rows[0], other], "list of 2 things, and no tensors of one shape"),
        (3, "holds no tensor"),
        ({"a": {"z": other}}, "holds no styles for a picture"),
        ({"a": {"w": rows[0], "ws": rows[1]}}, "holds 2 styles for a picture"),
        ([[[[[]]]]], "only tensors are read"),
        (tensor(numbers(LAYERS, WIDTH)), "one for each layer of one picture, or"),
    ):
        with pytest.raises(UserError, match=said):
            found(content)


def test_no_list_of_lists_unfolds_without_end(tmp_path):
    row: list = []
    for _ in range(2):
        row = [row] * 2000
    with pytest.raises(UserError, match="unfolds to far more"):
        load(tmp_path, row, ".pt")


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


@pytest.mark.parametrize(
    "arrays",
    [
        {"names": np.array(["a", "b"])},
        {"names": np.array("abc")},
        {"noise0": np.zeros((2, 4, 4, 1))},
        {"noise0": np.zeros((4, 4))},
    ],
)
def test_names_and_noise_are_of_as_many_pictures(tmp_path, arrays):
    np.savez(tmp_path / "x.npz", ws=np.zeros((3, 6, 8)), **arrays)
    with pytest.raises(UserError, match="damaged: it holds 3 styles"):
        latents.load_latents(tmp_path / "x.npz", 6, 8)
