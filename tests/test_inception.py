"""metrics/features/inception*.py, frozen_graph.py, files.py: Inception by its files."""

import copy
import hashlib
import http.server
import io
import json
import sys
import tarfile
import threading

import inception_reference as reference
import numpy as np
import pytest
import tensorflow as tf
import torch_files as writer
from inception_reference import pictures

from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import files, inception

GRAPH = "classify_image_graph_def.pb"
ARCHIVE = "inception-2015-12-05.tgz"
PORT = "pt_inception-2015-12-05-6726825d.pth"


# ---------------------------------------------------------------------------
# Inception


@pytest.fixture(scope="module")
def narrow(tmp_path_factory):
    """Weights of a narrow Inception and its files, in every form."""
    folder = tmp_path_factory.mktemp("inception")
    weights = reference.Weights(pictures())
    graph = reference.Graph(weights).definition.SerializeToString()
    (folder / GRAPH).write_bytes(graph)
    with tarfile.open(folder / ARCHIVE, "w:gz") as made:
        for name, data in {"LICENSE": b"free", f"./{GRAPH}": graph}.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            made.addfile(info, io.BytesIO(data))
    writer.save(folder / PORT, weights.torch())
    return weights, folder


@pytest.fixture(scope="module")
def networks(narrow):
    """The network of the graph and that of the port's file."""
    return {name: inception.load_inception(narrow[1] / name) for name in (GRAPH, PORT)}


@pytest.fixture(scope="module")
def expected(narrow):
    """The features of three pictures, and their probabilities, in float64."""
    images = pictures()
    return (
        reference.features(narrow[0], images),
        reference.probabilities(narrow[0], images),
    )


@pytest.mark.parametrize("name", [GRAPH, PORT])
def test_inception_is_the_reference(narrow, networks, expected, name):
    network, images = networks[name], pictures()
    found = network(images)
    assert found.dtype == np.float32 and found.shape == (3, network.size)
    assert np.mean(np.ptp(expected[0], 0) > 0.05) > 0.9  # they tell pictures apart
    np.testing.assert_allclose(found, expected[0], rtol=1e-4, atol=1e-4)
    odds = network.probabilities(images)
    np.testing.assert_allclose(odds, expected[1], rtol=1e-3, atol=1e-5)
    assert np.ptp(odds, 0).max() > 0.05
    checksum = hashlib.sha256((narrow[1] / name).read_bytes()).hexdigest()
    assert network.checksum == checksum
    assert network.name == f"inception-2015-like-{checksum[:8]}"


@pytest.mark.parametrize("name", [GRAPH, PORT])
def test_inception_takes_any_number_and_size(networks, expected, name, monkeypatch):
    network, images = networks[name], pictures()
    one = network(images[1:2])
    np.testing.assert_allclose(one, expected[0][1:2], rtol=1e-4, atol=1e-4)
    monkeypatch.setattr(inception, "BATCH", 2)
    np.testing.assert_allclose(network(images), expected[0], rtol=1e-4, atol=1e-4)
    assert network(images[:0]).shape == (0, network.size)
    dot = np.full((1, 1, 1, 3), 200, np.uint8)  # one pixel, and the same all over
    flat = np.full((1, 299, 299, 3), 200, np.uint8)
    np.testing.assert_allclose(network(dot), network(flat), rtol=1e-4, atol=1e-4)
    gray = pictures(1, channels=1)
    np.testing.assert_array_equal(network(gray), network(gray.repeat(3, -1)))
    for bad in (images.astype(np.float32), images[0], images[..., :2]):
        with pytest.raises(ValueError, match="uint8"):
            network(bad)


def test_the_archive_and_the_folder_have_the_graph(narrow):
    graph = (narrow[1] / GRAPH).read_bytes()
    assert inception._bytes(narrow[1] / ARCHIVE) == graph
    assert inception._within(narrow[1]) == narrow[1] / GRAPH


def test_resizing_is_that_of_tensorflow_1():
    """Pixel 0 onto pixel 0 and no antialias: neither today's default nor Pillow's."""
    images = pictures(1, 400, 13)
    want = reference.prepared(images)
    seen = []
    prepared = inception._preprocessed(lambda x: seen.append(x) or x)
    found = prepared(tf.constant(images, tf.float32))
    np.testing.assert_allclose(found, want, atol=1e-4)
    today = tf.image.resize(images, [299, 299]).numpy()
    assert np.abs((today - 128) / 128 - want).max() > 0.1


def test_the_graph_is_followed_not_assumed(narrow):
    """Its own constants count: another scale, and normalization without gamma."""
    weights, folder = narrow
    changed = reference.Graph(weights, scaled=False).definition
    path = folder / "changed.pb"
    for node in changed.node:
        if node.name == "Mul/y":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(np.float32(1 / 64)))
    path.write_bytes(changed.SerializeToString())
    bare = copy.deepcopy(weights)
    for name, value in bare.nodes.items():
        if name.endswith("gamma"):
            value[:] = 1
    images = pictures(1)
    prepared = reference.prepared(images) * 2
    want = reference.walk(reference.Numbers(bare), prepared)
    found = inception.load_inception(path)(images)
    np.testing.assert_allclose(found, want, rtol=1e-4, atol=1e-4)


def test_published_sizes_have_the_published_name():
    classes = np.zeros((2048, 1008), np.float32)
    network = inception.Inception(lambda x: x, classes, "0" * 64)
    assert network.name == "inception-2015" and network.size == 2048


def broken_graph(narrow, change):
    definition = reference.Graph(narrow[0]).definition
    nodes = {node.name: node for node in definition.node}
    change(definition, nodes)
    return definition.SerializeToString()


def _rename(name):
    def change(definition, nodes):
        nodes[name].name = "other"

    return change


def _operation(name, op):
    def change(definition, nodes):
        nodes[name].op = op

    return change


def _huge(definition, nodes):
    tensor = nodes["conv/conv2d_params"].attr["value"].tensor
    tensor.tensor_shape.dim[0].size = 2**40


def _cut_off(definition, nodes):
    nodes["ResizeBilinear"].input[0] = "Mul/y"


@pytest.mark.parametrize(
    "change, words",
    [
        (_rename("softmax/weights"), "no constant 'softmax/weights'"),
        (_rename("pool_3"), "no node 'pool_3'"),
        (_rename("conv_4/Conv2D"), "no node 'conv_4/Conv2D'"),
        (_rename("ResizeBilinear"), "no node 'ResizeBilinear'"),
        (_operation("mixed_4/conv", "WriteFile"), "'WriteFile'"),
        (_operation("pool", "PyFunc"), "'PyFunc'"),
        (_huge, "damaged constant"),
        (_cut_off, "nothing leads"),
    ],
)
def test_other_graphs_are_refused(narrow, tmp_path, change, words):
    path = tmp_path / "g.pb"
    path.write_bytes(broken_graph(narrow, change))
    with pytest.raises(UserError, match=words) as caught:
        inception.load_inception(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_files_that_hold_no_inception(narrow, tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        inception.load_inception(tmp_path / "no.pb")
    with pytest.raises(UserError, match="neither classify_image"):
        inception.load_inception(tmp_path)
    for data, words in (
        (b"", "without nodes"),
        (b"\xff" * 100, "no frozen TensorFlow graph"),
        ((narrow[1] / GRAPH).read_bytes()[:-1000], "no frozen|no node|no constant"),
        ((narrow[1] / ARCHIVE).read_bytes()[:3000], "cut short|no"),
    ):
        path = tmp_path / "file"
        path.write_bytes(data)
        with pytest.raises(UserError, match=words):
            inception.load_inception(path)


@pytest.mark.parametrize(
    "name, change, words",
    [
        ("fc.weight", None, "fc.weight is missing"),
        ("Mixed_7c.branch_pool.bn.bias", None, "branch_pool.bn.bias is missing"),
        ("Mixed_5b.branch1x1.conv.weight", lambda w: w[0], "has shape"),
        ("Mixed_6a.branch3x3.conv.weight", lambda w: w[:, :1], "do not fit"),
        ("fc.weight", lambda w: w[:, 1:], "fc.weight takes"),
    ],
)
def test_other_weights_are_refused(narrow, tmp_path, name, change, words):
    weights = narrow[0].torch()
    value = weights.pop(name)
    if change:
        weights[name] = change(value).copy()
    with pytest.raises(UserError, match=words):
        inception.load_inception(writer.save(tmp_path / "w.pth", weights))


# ---------------------------------------------------------------------------
# Downloads


@pytest.fixture
def server(narrow):
    """A web server of the narrow files, with a list of what it was asked for."""
    asked = []
    content = {
        f"/{ARCHIVE}": (narrow[1] / ARCHIVE).read_bytes(),
        "/w-00000000.pth": b"not what its name says",
    }

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            data = content.get(self.path.split("?")[0].replace("/cut", ""))
            self.send_response(200 if data else 404)
            self.send_header("Content-Length", len(data or b""))
            self.end_headers()
            self.wfile.write((data or b"")[: 999 if "/cut" in self.path else None])

        def log_message(self, *args):
            pass

    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{served.server_port}", asked
    served.shutdown()
    served.server_close()


class Terminal(io.StringIO):
    """Where a bar is shown."""

    def isatty(self):
        return True


def test_a_url_is_fetched_once(server, networks, tmp_path, monkeypatch):
    url, asked = f"{server[0]}/{ARCHIVE}", server[1]
    monkeypatch.setattr(sys, "stderr", Terminal())
    network = inception.load_inception(url, tmp_path)
    assert ARCHIVE in sys.stderr.getvalue() and "100%" in sys.stderr.getvalue()
    images = pictures(1)
    np.testing.assert_array_equal(network(images), networks[GRAPH](images))
    path = files.fetch_file(url, tmp_path)
    assert len(asked) == 1 and path.parent == tmp_path / "networks"
    notes = json.loads((path.parent / f"{path.name}.json").read_text())
    size = path.stat().st_size
    assert notes == {"url": url, "bytes": size, "sha256": network.checksum}
    path.write_bytes(b"damaged since")
    assert files.checksum(files.fetch_file(url, tmp_path)) == network.checksum
    assert len(asked) == 2
    other = files.fetch_file(f"{url}?v=2", tmp_path)  # another address, another file
    assert other != path and len(asked) == 3


@pytest.mark.parametrize(
    "place, words",
    [
        (f"/cut/{ARCHIVE}", "connection ended after 999 of"),
        ("/w-00000000.pth", "not the file that its name promises"),
        ("/nothing.pb", "could not be downloaded.*Not Found"),
    ],
)
def test_failed_downloads_leave_nothing(server, tmp_path, place, words):
    with pytest.raises(UserError, match=words):
        files.fetch_file(server[0] + place, tmp_path)
    assert not list((tmp_path / "networks").iterdir())


def test_no_network_is_said_plainly(tmp_path):
    with pytest.raises(UserError, match="give the file's path instead of its URL"):
        inception.load_inception("http://127.0.0.1:9/g.pb", tmp_path)


def test_downloads_lie_where_the_cache_is(server, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TF_CACHE", str(tmp_path / "mine"))
    path = files.fetch_file(f"{server[0]}/{ARCHIVE}")
    assert path.is_relative_to(tmp_path / "mine" / "networks")
