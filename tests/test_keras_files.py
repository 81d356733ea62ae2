"""`.keras` files of unknown origin: damaged, lying, or asking for too much."""

import io
import json
import zipfile

import h5py
import numpy as np
import pytest
import tiny

from stylegan_tf import models
from stylegan_tf.errors import UserError
from stylegan_tf.formats import keras_files
from stylegan_tf.networks.generator import Generator


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    """The members of a generator's `.keras` file."""
    path = tmp_path_factory.mktemp("keras") / "g.keras"
    tiny.noisy(Generator(tiny.config().generator)).save(path)
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def written(path, members):
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def with_settings(members, change):
    """The members with another config.json."""
    content = json.loads(members["config.json"])
    change(content)
    return members | {"config.json": json.dumps(content)}


def set_in(content, changes):
    content["config"]["config"] |= changes


SETTINGS = {
    "width 0": lambda c: set_in(c, {"z_dim": 0}),
    "34 GB": lambda c: set_in(c, {"fmap_base": 1 << 20, "fmap_max": 8192}),
    "4 GB of a small file": lambda c: set_in(c, {"z_dim": 8192, "classes": 100_000}),
    "NaN": lambda c: set_in(c, {"fmap_decay": float("nan")}),
    "a list": lambda c: c.update(config=[1]),
    "no config": lambda c: c["config"].pop("config"),
    "another class": lambda c: c.update(class_name="Sequential"),
    "another registered class": lambda c: c.update(registered_name="keras>Dense"),
    "another type": lambda c: c["config"].update(dtype={"class_name": "Lambda"}),
    "a level": lambda c: c["config"].update(level=7),
    "alpha": lambda c: c["config"].update(alpha="x"),
    "an argument": lambda c: c["config"].update(more=1),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_settings_that_cannot_be(name, members, tmp_path):
    path = written(tmp_path / "x.keras", with_settings(members, SETTINGS[name]))
    with pytest.raises(UserError, match="x.keras (cannot be read: |holds a)") as error:
        models.load(path)
    assert len(str(error.value).splitlines()) == 1 and len(str(error.value)) < 600


def weights_of(change):
    def changed(members):
        file = io.BytesIO(members["model.weights.h5"])
        with h5py.File(file, "r+") as store:
            change(store)
        return members | {"model.weights.h5": file.getvalue()}

    return changed


def claim(store):
    store.create_dataset("more", (1 << 40,), "f4", chunks=(1024,))


def link_out(store):
    store["more"] = h5py.ExternalLink("/etc/passwd", "/")


def loop(store):
    store["layers/again"] = store["layers"]


def of_a_file(store):
    store.create_dataset("more", (8,), "i1", external=[("/etc/hostname", 0, 8)])


FILES = {
    "an array of 4 TB": weights_of(claim),
    "a link to a file": weights_of(link_out),
    "an array in a file": weights_of(of_a_file),
    "groups in themselves": weights_of(loop),
    "no weights": lambda m: {k: v for k, v in m.items() if "h5" not in k},
    "half of the weights": lambda m: m | {"model.weights.h5": b"\x89HDF\r\n\x1a\n" * 9},
    "a member that climbs": lambda m: m | {"../../x": b""},
    "assets": lambda m: m | {"assets/x": b""},
    "deep JSON": lambda m: m | {"config.json": b"[" * 100_000},
    "no JSON": lambda m: m | {"config.json": b"\xff"},
    "only a list": lambda m: m | {"config.json": b"[]"},
    "nothing": lambda m: {},
}


@pytest.mark.parametrize("name", FILES)
def test_members_that_cannot_be(name, members, tmp_path):
    path = written(tmp_path / "x.keras", FILES[name](members))
    with pytest.raises(UserError, match="x.keras cannot be read: .*"):
        models.load(path)


def test_a_whole_file_opens_and_one_flipped_bit_is_found(members, tmp_path):
    path = written(tmp_path / "x.keras", members)
    assert models.load(path).count_params() > 1000
    whole = path.read_bytes()
    for place in np.linspace(0, len(whole) - 1, 40).astype(int):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(place) % 8
        path.write_bytes(damaged)
        try:
            keras_files.check_keras_weights(path, 3000)
            models.network_configs(path)
        except (UserError, OSError) as error:
            assert str(error)
