"""hub.py: models at hf:// addresses, against a stand-in of the Hub."""

import sys

import hub_server
import numpy as np
import pytest
import tiny
from huggingface_hub import constants
from launching import call

from stylegan_tf import export, hub, models
from stylegan_tf.errors import UserError
from stylegan_tf.export import provenance
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import networks as official

README = b"---\nlicense: cc-by-nc-4.0\n---\n# Faces\n"


@pytest.fixture(scope="module")
def generator():
    return tiny.noisy(Generator(tiny.config().generator))


@pytest.fixture(scope="module")
def files(generator, tmp_path_factory):
    """Bytes of the same model as .keras and as .pkl."""
    home = tmp_path_factory.mktemp("files")
    generator.save(home / "x.keras")
    official.save_pickle(home / "x.pkl", gs=generator)
    return {suffix: (home / f"x.{suffix}").read_bytes() for suffix in ("keras", "pkl")}


@pytest.fixture
def server(tmp_path, monkeypatch):
    with hub_server.running() as running:
        monkeypatch.setenv("HF_ENDPOINT", running.url)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        hub._fetch.cache_clear()
        yield running


def same(a, b) -> None:
    for x, y in zip(a.weights, b.weights, strict=True):
        np.testing.assert_array_equal(x, y)


ADDRESSES = {
    "hf://me/faces": ("me/faces", "", None),
    "hf://me/faces/": ("me/faces", "", None),
    "hf://me/faces@v2": ("me/faces", "", "v2"),
    "hf://me/faces/a/b.pkl": ("me/faces", "a/b.pkl", None),
    "hf://me/faces/b.pkl@v2": ("me/faces", "b.pkl", "v2"),
    "hf://me/faces@v2/b.pkl": ("me/faces", "b.pkl", "v2"),
}


@pytest.mark.parametrize("url", ADDRESSES)
def test_addresses(url):
    found = hub.parse_address(url)
    assert (found.repo, found.file, found.revision) == ADDRESSES[url]
    assert hub.parse_address(str(found)) == found


@pytest.mark.parametrize("url", ["hf://", "hf://me", "hf://me/x@a@b", "hf://me//"])
def test_what_is_no_address_is_refused(url):
    with pytest.raises(UserError, match="is no address"):
        hub.parse_address(url)


def test_the_one_model_of_a_repository_is_found():
    address = hub.HubAddress("me/x")
    choose = hub.choose_model
    assert choose(address, ["README.md", "b.pkl"]) == "b.pkl"
    assert choose(address, ["a.pkl", "b.keras", "old/c.keras"]) == "b.keras"
    assert choose(address, ["generator.keras", "discriminator.keras"]).startswith("gen")
    folder = hub.HubAddress("me/x", "old")
    assert choose(folder, ["a.pkl", "old/c.pt"]) == "old/c.pt"
    for names, words in (([], "no model"), (["a.pkl", "b.pkl"], "several models: a")):
        with pytest.raises(UserError, match=words):
            choose(address, names)


def test_models_open_wherever_a_path_is_taken(server, files, generator):
    server.add("me/faces", {"x.pkl": files["pkl"], "README.md": README})
    server.add("me/faces", {"generator.keras": files["keras"]}, "v2")
    same(models.load("hf://me/faces"), generator)
    same(models.load("hf://me/faces@v2"), generator)
    assert models.find_model("hf://me/faces/x.pkl").kind == "pickle"
    assert models.find_model("hf://me/faces@v2").kind == "keras"
    assert models.growth_of("hf://me/faces") == (8, 1.0)
    assert models.load_networks("hf://me/faces")[2] is not None
    found = provenance.provenance_of_model("hf://me/faces")
    assert found.source == "hf://me/faces"
    assert "stated as: cc-by-nc-4.0" in found.license and "NVIDIA" in found.license
    whole = [line for line in server.asked if line.startswith("GET /me/faces/resolve")]
    assert sum(line.endswith("x.pkl") for line in whole) == 1  # once, for all of these


def test_a_model_that_was_fetched_opens_without_a_network(
    server, files, generator, monkeypatch
):
    server.add("me/faces", {"x.pkl": files["pkl"]})
    models.find_model("hf://me/faces")
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    same(models.load("hf://me/faces"), generator)
    same(models.load("hf://me/faces/x.pkl"), generator)
    with pytest.raises(UserError, match="hf://me/other"):
        models.load("hf://me/other")


def test_what_the_hub_refuses_is_said_in_a_line(server, files):
    server.add("me/faces", {"x.pkl": files["pkl"]})
    server.add("me/secret", {"x.pkl": files["pkl"]})
    server.add("me/data", {"README.md": README})
    server.gated.add("me/secret")
    for url, words in (
        ("hf://me/nothing", "not there, or private"),
        ("hf://me/faces@v9", "no such revision"),
        ("hf://me/faces/y.pkl", "no such file"),
        ("hf://me/secret/x.pkl", "asks for consent"),
        ("hf://me/data", "no model there"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            models.load(url)
        assert str(caught.value).startswith("hf://") and "\n" not in str(caught.value)
    code, _, error = call("generate", "--model=hf://me/nothing")
    assert code and "not there" in error


def test_the_library_is_named_where_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match="pip install"):
        models.load("hf://me/never-asked")


def test_a_pushed_model_comes_back_with_its_card(server, files, generator, tmp_path):
    (tmp_path / "x.pkl").write_bytes(files["pkl"])
    push = ["--push=hf://me/new", "--private"]
    code, said, error = call(
        "convert", f"--pickle={tmp_path}/x.pkl", f"--out={tmp_path}/out", *push
    )
    assert code == 0, error
    assert f"uploaded: {server.url}/me/new/commit/" in said
    pushed = server.repos["me/new"]["main"]
    assert set(pushed) >= {"generator.keras", "README.md", "model_card.json"}
    card = pushed["README.md"].decode()
    assert card.startswith("---\nlibrary_name: stylegan_tf\nlicense: other\n")
    assert "NVIDIA" in card and 'stylegan_tf.load("hf://me/new")' in card
    assert any(line.startswith("PUT ") for line in server.asked)  # the large ones
    same(models.load("hf://me/new"), generator)
    found = provenance.provenance_of_model("hf://me/new")
    assert (found.source, found.license) == ("x.pkl", provenance.PICKLE_LICENSE)


def test_what_is_drawn_by_us_is_free_and_the_rest_is_not(generator, tmp_path):
    for license, stated in (
        (provenance.DEMO_LICENSE, "apache-2.0"),
        (provenance.DATA_LICENSE, "other"),
        (provenance.FOREIGN_LICENSE, "other"),
    ):
        origin = export.Provenance("x", license=license)
        export.card.write_card(tmp_path, generator, origin, [], 8)
        text = export.write_readme(tmp_path, "hf://me/x").read_text()
        assert f"\nlicense: {stated}\n" in text and license in text


def test_what_cannot_be_pushed(server, files, tmp_path):
    generator = tmp_path / "g.keras"
    generator.write_bytes(files["keras"])
    server.token = "secret"
    with pytest.raises(UserError, match="hf auth login"):
        hub.push_folder(tmp_path, "hf://me/new")
    for flags, words in (
        (["--push=hf://me/new/x.pkl"], "names a file"),
        (["--push=me/new"], "is no address"),
        (["--push=hf://me/new", "--out=x.pkl"], "--out or --push"),
        (["--out=x.pkl", "--private"], "--private"),
    ):
        code, _, error = call("convert", f"--model={generator}", *flags)
        assert code and words in error, (flags, error)
