"""metrics/published: Inception and LPIPS from files of the published structure."""

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
from numpy.lib.stride_tricks import sliding_window_view

from stylegan_tf.errors import UserError
from stylegan_tf.metrics.features import files, inception, lpips

GRAPH = "classify_image_graph_def.pb"
ARCHIVE = "inception-2015-12-05.tgz"
PORT = "pt_inception-2015-12-05-6726825d.pth"


def pictures(n=3, height=21, width=34, channels=3):
    """Soft noise: neighbors are alike, as in pictures."""
    rng = np.random.default_rng(n)
    coarse = rng.uniform(0, 255, (n, height // 4 + 2, width // 4 + 2, channels))
    fine = coarse.repeat(4, 1).repeat(4, 2)[:, :height, :width]
    return np.clip(fine + rng.normal(0, 20, fine.shape), 0, 255).astype(np.uint8)


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
# LPIPS

CHANNELS, HIDDEN = (4, 5, 6, 7, 6), 9
COUNTS = (2, 2, 3, 3, 3)


def vgg_weights(classifier=True):
    """A narrow VGG16 under torchvision's names; its fc layers see 2 x 2 pixels."""
    rng = np.random.default_rng(3)
    found, index, c = {}, 0, 3
    for count, out in zip(COUNTS, CHANNELS, strict=True):
        for _ in range(count):
            kernel = rng.normal(size=(out, c, 3, 3)) * np.sqrt(2 / (9 * c))
            found[f"features.{index}.weight"] = np.float32(kernel)
            found[f"features.{index}.bias"] = np.float32(rng.normal(size=out) * 0.1)
            index, c = index + 2, out
        index += 1
    sizes = {0: (HIDDEN, c * 4), 3: (HIDDEN + 1, HIDDEN), 6: (11, HIDDEN + 1)}
    for i, shape in sizes.items() if classifier else ():
        kernel = rng.normal(size=shape) * np.sqrt(2 / shape[1])
        found[f"classifier.{i}.weight"] = np.float32(kernel)
        found[f"classifier.{i}.bias"] = np.float32(rng.normal(size=shape[0]) * 0.1)
    return found


def linear_weights():
    rng = np.random.default_rng(4)
    return {
        f"lin{i}.model.1.weight": np.float32(rng.uniform(0, 1, (1, c, 1, 1)))
        for i, c in enumerate(CHANNELS)
    }


def activations(weights, x):
    """The five depths in float64, NCHW as PyTorch has it; x is [N, 3, H, W]."""
    index, found = 0, []
    for block, count in enumerate(COUNTS):
        if block:
            windows = sliding_window_view(x, (2, 2), (2, 3))[:, :, ::2, ::2]
            x = windows.max((-2, -1))
        for _ in range(count):
            kernel = weights[f"features.{index}.weight"].astype(np.float64)
            bias = weights[f"features.{index}.bias"].astype(np.float64)
            padded = np.pad(x, [(0, 0), (0, 0), (1, 1), (1, 1)])
            windows = sliding_window_view(padded, (3, 3), (2, 3))
            x = np.einsum("nchwij,ocij->nohw", windows, kernel, optimize=True)
            x = np.maximum(x + bias[:, None, None], 0)
            index += 2
        index += 1
        found.append(x)
    return found


def as_torch(images):
    """[N, H, W, 3] in [0, 255] as torchvision prepares it."""
    mean, deviation = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    x = (np.asarray(images, np.float64) / 255 - mean) / deviation
    return x.transpose(0, 3, 1, 2)


def lpips_reference(weights, linear, a, b):
    total = 0
    for i, (x, y) in enumerate(
        zip(
            activations(weights, as_torch(a)),
            activations(weights, as_torch(b)),
            strict=True,
        )
    ):
        x, y = (v / (np.linalg.norm(v, axis=1, keepdims=True) + 1e-10) for v in (x, y))
        w = linear[f"lin{i}.model.1.weight"].astype(np.float64).reshape(1, -1, 1, 1)
        total = total + ((x - y) ** 2 * w).sum(1).mean((1, 2))
    return total


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A folder of the two files, one of each layout."""
    folder = tmp_path_factory.mktemp("lpips")
    writer.save(folder / "vgg16-397923af.pth", vgg_weights(), old=True)
    writer.save(folder / "vgg.pth", linear_weights())
    writer.save(folder / "bare.pth", vgg_weights(classifier=False))
    return folder


def test_lpips_is_the_reference(two):
    network = lpips.load_lpips(two)
    a, b = pictures(4, 33, 50).astype(np.float32), pictures(4, 33, 50)[::-1] + 0.5
    want = lpips_reference(vgg_weights(), linear_weights(), a, b)
    found = network.distance(tf.constant(a), tf.constant(b, tf.float32)).numpy()
    assert found.shape == (4,) and want.min() > 0.01
    np.testing.assert_allclose(found, want, rtol=2e-5)
    np.testing.assert_array_equal(network.distance(a, a), 0)
    swapped = network.distance(tf.constant(b, tf.float32), tf.constant(a))
    np.testing.assert_allclose(swapped, found, rtol=1e-6)
    sums = [files.checksum(two / n) for n in ("vgg16-397923af.pth", "vgg.pth")]
    assert network.checksum == "+".join(sums)
    assert network.name == f"vgg16-lpips-0.1-like-{sums[0][:4]}{sums[1][:4]}"


def test_lpips_has_the_slope_of_its_values(two):
    network = lpips.load_lpips(two)
    a, b = (tf.constant(x, tf.float32) for x in pictures(2, 16, 17)[:, None])
    step = tf.constant(np.random.default_rng(0).normal(size=a.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(a)
        value = network.distance(a, b)
    slope = float(tf.reduce_sum(tape.gradient(value, a) * step))
    weights, linear, h = vgg_weights(), linear_weights(), 1e-4
    ends = [
        lpips_reference(weights, linear, a.numpy() + s * h * step.numpy(), b.numpy())
        for s in (np.float64(1), np.float64(-1))
    ]
    assert slope == pytest.approx(float(ends[0][0] - ends[1][0]) / (2 * h), rel=2e-2)


def test_where_nothing_is_active_the_slope_is_a_number():
    """By XLA, whose root has no guard of its own at 0."""

    @tf.function(jit_compile=True)
    def slope(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = tf.reduce_sum(lpips.unit_length(x))
        return tape.gradient(value, x)

    assert np.isfinite(slope(tf.zeros([1, 2, 2, 3]))).all()


def test_lpips_of_gray_and_of_small_pictures(two):
    network = lpips.load_lpips(two)
    a, b = pictures(2, 16, 16, 1).astype(np.float32)[:, None]
    want = network.distance(a.repeat(3, -1), b.repeat(3, -1))
    np.testing.assert_array_equal(network.distance(a, b), want)
    with pytest.raises(ValueError, match="at least 16"):
        network.distance(tf.zeros([1, 15, 16, 3]), tf.zeros([1, 15, 16, 3]))
    with pytest.raises(ValueError, match="one shape"):
        network.distance(tf.zeros([1, 16, 16, 3]), tf.zeros([1, 16, 17, 3]))


def test_lpips_inside_a_function_of_free_sizes(two):
    network = lpips.load_lpips(two)
    free = tf.TensorSpec([None, None, None, 3])
    inside = tf.function(network.distance, input_signature=[free, free])
    a, b = pictures(4, 20, 24).astype(np.float32).reshape(2, 2, 20, 24, 3)
    np.testing.assert_allclose(inside(a, b), network.distance(a, b), rtol=1e-6)


def test_features_of_the_hidden_layers(two):
    network = lpips.load_lpips(two)
    images = pictures(3, 64, 64)  # the size that two pixels a side come from
    weights = vgg_weights()
    last = activations(weights, as_torch(images))[-1]
    x = sliding_window_view(last, (2, 2), (2, 3))[:, :, ::2, ::2].max((-2, -1))
    x = x.reshape(3, -1)  # channels, rows, columns
    for i in (0, 3):
        x = x @ weights[f"classifier.{i}.weight"].T.astype(np.float64)
        x = np.maximum(x + weights[f"classifier.{i}.bias"], 0)
    found = network(images)
    assert network.side == 64 and found.shape == (3, HIDDEN + 1) == (3, network.size)
    np.testing.assert_allclose(found, x, rtol=1e-4, atol=1e-5)
    assert network(pictures(2, 7, 200, 1)).shape == (2, HIDDEN + 1)


def test_features_without_hidden_layers_are_called_so(two):
    network = lpips.load_lpips(f"{two / 'vgg.pth'},{two / 'bare.pth'}")
    assert network.name.startswith("vgg16-lpips-0.1-pooled-like-")
    images = pictures(3, 40, 24)
    want = activations(vgg_weights(), as_torch(images))[-1].mean((2, 3))
    assert network.size == CHANNELS[-1]
    np.testing.assert_allclose(network(images), want, rtol=1e-4, atol=1e-5)


def test_the_published_weights_have_the_published_name(two, monkeypatch):
    row = b"".join(w.tobytes() for w in linear_weights().values())
    monkeypatch.setattr(lpips, "PUBLISHED", CHANNELS)
    assert "like" in lpips.load_lpips(two).name  # other layers of LPIPS' own
    monkeypatch.setattr(lpips, "LINEAR", hashlib.sha256(row).hexdigest())
    assert lpips.load_lpips(two).name == "vgg16-lpips-0.1"
    bare = lpips.load_lpips(f"{two / 'bare.pth'},{two / 'vgg.pth'}")
    assert bare.name == "vgg16-lpips-0.1-pooled"


def test_pairs_that_are_no_lpips(two, tmp_path):
    vgg, linear = two / "vgg16-397923af.pth", two / "vgg.pth"
    short = linear_weights()
    short["lin2.model.1.weight"] = short["lin2.model.1.weight"][:, 1:].copy()
    writer.save(tmp_path / "short.pth", short)
    missing = vgg_weights()
    del missing["features.28.bias"]
    writer.save(tmp_path / "missing.pth", missing)
    odd = vgg_weights() | {"classifier.0.weight": np.zeros((HIDDEN, 25), "f4")}
    writer.save(tmp_path / "odd.pth", odd)
    for place, words in (
        (f"{vgg},{vgg}", "none has LPIPS' own layers"),
        (f"{linear},{linear}", "both has|both have|both"),
        (f"{vgg},{linear},{vgg}", "names 3 files"),
        (str(tmp_path), "holds 0 of the two files"),
        (str(vgg), "holds 1 of the two files"),
        (f"{vgg},{tmp_path / 'no.pth'}", "does not exist"),
        (f"{vgg},{tmp_path / 'short.pth'}", "lin2.model.1.weight has shape"),
        (f"{tmp_path / 'missing.pth'},{linear}", "features.28.bias is missing"),
        (f"{tmp_path / 'odd.pth'},{linear}", "whose classifier takes 25"),
    ):
        with pytest.raises(UserError, match=words):
            lpips.load_lpips(place)


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
