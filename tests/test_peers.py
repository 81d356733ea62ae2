"""benchmarks/peers.py: the references are the network that ours is, and rows add up."""

import json
import sys

import keras
import numpy as np
import peers
import pytest
import tensorflow as tf
from workers import (
    matched,  # noqa: E402
    pairing,  # noqa: E402
    peer_keras,  # noqa: E402
)

from stylegan_tf import devices
from stylegan_tf.config import TrainConfig, update
from stylegan_tf.errors import UserError
from stylegan_tf.training.trainer import make_networks

SIZE = 8
ROW = {"peer", "resolution", "precision", "images_per_second", "ratio"}


@pytest.fixture(scope="module")
def nets():
    """Ours at 8x8, every weight drawn but those of the noise."""
    nets = make_networks(update(TrainConfig(), matched.settings(SIZE)))
    rng = np.random.default_rng(0)
    for model in (nets.generator, nets.discriminator):
        for v in model.trainable_variables:
            noise = v.path.endswith("noise/weight")
            v.assign(np.zeros(v.shape) if noise else rng.normal(size=v.shape))
    return nets


def ours(nets) -> tuple[list, list]:
    """Weights of G and D in the order in which the others make theirs.

    A block of ours lists both convolutions, then both tails of four weights; theirs
    list a convolution and its tail, twice.
    """
    g = [v.numpy() for v in nets.generator.stage_variables(SIZE, fading=False)]
    d = [v.numpy() for v in nets.discriminator.stage_variables(SIZE, fading=False)]
    mapping, rest = g[: 2 * matched.MAPPING_LAYERS], g[2 * matched.MAPPING_LAYERS :]
    order = [0, 2, 3, 4, 5, 1, 6, 7, 8, 9]
    blocks = [rest[10 * k + i] for k in range(2) for i in order]
    return mapping + blocks + rest[20:], d


@pytest.mark.parametrize("size", [4, 8, 32, 64])
def test_channels_are_ours(size):
    config = update(TrainConfig(), matched.settings(size))
    for r in matched.levels(size):
        assert matched.fmaps(r) == config.generator.fmaps(r)
        assert matched.fmaps(r) == config.discriminator.fmaps(r)
    assert matched.fmaps(2) == config.discriminator.fmaps(2)
    assert config.schedule.initial_resolution == size
    half_life = config.ema_kimg * 1000
    assert 0.5 ** (config.schedule.batch / half_life) == matched.AVERAGE
    for name in ("adam_beta1", "adam_beta2"):
        assert getattr(config, name) == matched.BETAS[int(name[-1]) - 1]
    assert config.adam_epsilon == matched.EPSILON
    assert config.generator.style_mixing_prob == matched.MIXING
    assert config.discriminator.mbstd_group == matched.GROUP


def test_defaults_are_lazy():
    config = update(TrainConfig(), matched.settings(32, "defaults"))
    assert config.loss.d_reg_interval == 16
    half = config.precision == "bfloat16"
    assert half == (devices.resolve_precision("auto") == "bfloat16")


def drawn(nets):
    """Pictures and scores of ours: w, images, scores of the images."""
    g = nets.generator
    w = tf.random.stateless_normal([matched.BATCH, matched.WIDTH], [1, 2])
    images = g.synthesis(g.broadcast(w), noise="none", resolution=SIZE)
    return w.numpy(), images.numpy(), nets.discriminator(images).numpy()


def close(expected, found):
    np.testing.assert_allclose(found, expected, 1e-3, 1e-3 * np.abs(expected).max())


def test_the_keras_reference_draws_and_scores_what_ours_does(nets):
    model = peer_keras.build(SIZE)
    for variables, values in zip(
        (model.g_variables, model.discriminator.trainable_variables),
        ours(nets),
        strict=True,
    ):
        assert [tuple(v.shape) for v in variables] == [x.shape for x in values]
        for v, x in zip(variables, values, strict=True):
            v.assign(x)
    w, images, scores = drawn(nets)
    ws = np.repeat(w[:, None], model.synthesis.input_shape[1], axis=1)
    close(images, model.synthesis(ws).numpy())
    close(scores, model.discriminator(images).numpy())
    z = np.random.default_rng(1).normal(size=w.shape).astype(np.float32)
    close(nets.generator.mapping(z).numpy(), model.mapping(z).numpy())


def test_a_keras_step_trains_both_networks():
    keras.utils.set_random_seed(0)
    model = peer_keras.build(4)
    parts = {"g": model.g_variables, "d": model.discriminator.trainable_variables}
    before = {name: [v.numpy() for v in part] for name, part in parts.items()}
    losses = model.train_step(matched.pictures(4, 1)[0])
    assert all(np.isfinite(loss) for loss in losses.values())
    for name, part in parts.items():
        moved = [
            np.any(v.numpy() != b) for v, b in zip(part, before[name], strict=True)
        ]
        # The start is a constant: behind it, the instance norm leaves nothing.
        assert np.mean(moved) > 0.7


def as_torch(values: list) -> list:
    """Kernels [k, k, I, O] and [I, O] as PyTorch keeps them; vectors as they are."""
    turned = []
    for x in values:
        axes = {4: (3, 2, 0, 1), 2: (1, 0), 1: (0,)}[x.ndim]
        if x.shape[:3] == (1, 4, 4):  # the constant
            axes = (0, 3, 1, 2)
        turned.append(x.transpose(axes))
    return turned


def test_the_pytorch_reference_draws_and_scores_what_ours_does(nets):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from workers import peer_torch

    g, d = peer_torch.Generator(SIZE), peer_torch.Discriminator(SIZE)
    g_values, d_values = map(as_torch, ours(nets))
    maps = matched.fmaps(4)
    dense = next(i for i, x in enumerate(d_values) if x.shape[-1] == 16 * maps)
    x = d_values[dense].reshape(-1, 4, 4, maps)  # theirs is flattened map by map
    d_values[dense] = x.transpose(0, 3, 1, 2).reshape(-1, 16 * maps)
    with torch.no_grad():
        for net, values in ((g, g_values), (d, d_values)):
            parameters = list(net.parameters())
            assert [p.numel() for p in parameters] == [x.size for x in values]
            for p, x in zip(parameters, values, strict=True):
                p.copy_(torch.from_numpy(x.reshape(p.shape).copy()))
        w, images, scores = drawn(nets)
        x, w = None, torch.from_numpy(w)
        for block in g.blocks:
            x = block(x, w, w)
        found = g.to_rgb(x).movedim(1, -1)
        close(images, found.numpy())
        found = d(torch.from_numpy(images).movedim(-1, 1))
        close(scores, found.numpy())
        close(nets.generator.mapping(w.numpy()).numpy(), g.styles(w).numpy())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_pytorch_step_trains_both_networks(precision):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from workers import peer_torch

    torch.manual_seed(0)
    step = peer_torch.Step(8, precision)
    nets = (step.g, step.d, step.average)
    before = [[p.clone() for p in net.parameters()] for net in nets]
    step(torch.from_numpy(matched.pictures(8, 1)[0]).movedim(-1, 1))
    for net, old in zip(nets, before, strict=True):
        pairs = list(zip(net.parameters(), old, strict=True))
        assert all(bool(torch.isfinite(p).all()) for p, _ in pairs)
        assert np.mean([not torch.equal(p, o) for p, o in pairs]) > 0.7


def test_the_pytorch_blur_is_differentiated_twice_as_a_convolution_is():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from workers import peer_torch

    blur = peer_torch.Blur(2).double()
    x = torch.randn(1, 2, 4, 4, dtype=torch.double, requires_grad=True)
    assert torch.autograd.gradgradcheck(blur, (x,))
    plain = torch.nn.functional.conv2d(x, blur.kernel, padding=1, groups=2)
    assert torch.allclose(blur(x), plain)


# ---------------------------------------------------------------------------
# Rows


class Machine:
    """A worker that takes so many seconds a step."""

    def __init__(self, seconds, **about):
        self.seconds, self.about = seconds, about

    def run(self, steps):
        return pairing.Timed(steps * self.seconds, 0.0)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def compare(monkeypatch, machines, names, precision):
    def worker(script, arguments):
        assert "--resolution=32" in arguments
        return machines[script]

    monkeypatch.setattr(pairing, "Worker", worker)
    return peers.compare(names, 32, precision, rounds=3)


def test_a_ratio_is_ours_over_theirs(monkeypatch):
    machines = {
        "peer_ours.py": Machine(1.0, macs=10.0, cycle=16),
        "peer_torch.py": Machine(1.5),
    }
    (found,) = compare(monkeypatch, machines, ["pytorch"], "float32")
    row, rate = found
    assert set(row) == ROW
    assert (row["peer"], row["resolution"], row["precision"]) == (
        "pytorch",
        32,
        "float32",
    )
    assert row["images_per_second"] == pytest.approx(16 / 1.5)
    assert row["ratio"] == pytest.approx(1.5)
    assert rate.images == pytest.approx(16)
    assert "images/s" in peers.line(row, rate)


def test_another_architecture_is_compared_by_its_operations(monkeypatch):
    machines = {
        "peer_ours.py": Machine(1.0, macs=10.0),
        "peer_stylegan2_pytorch.py": Machine(5.0, macs=20.0, images=30),
    }
    names = ["stylegan2-pytorch"]
    ((row, rate),) = compare(monkeypatch, machines, names, "float32")
    assert row["images_per_second"] == pytest.approx(6)
    assert row["ratio"] == pytest.approx(16 * 10 / (6 * 20))
    assert "multiply-adds/s" in peers.line(row, rate)
    ((row, _),) = compare(monkeypatch, machines, names, "defaults")
    assert row["ratio"] == pytest.approx(16 / 6)
    assert compare(monkeypatch, machines, names, "bfloat16") == []


def test_turns_hold_whole_cycles_of_the_penalty():
    assert [peers._whole(n, 16) for n in (1, 16, 17)] == [16, 16, 32]


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch, capsys):
    lacking = peers.PEERS["pytorch"]._replace(needs=("nothing_of_this_name",))
    monkeypatch.setitem(peers.PEERS, "pytorch", lacking)
    assert peers.check(["pytorch", "keras"], ["float32"]) == ["keras"]
    said = capsys.readouterr().err
    assert "nothing_of_this_name is not installed" in said
    assert 'pip install -e ".[peers]"' in said
    with pytest.raises(UserError, match=r'pip install -e "\.\[peers\]"'):
        peers.check(["pytorch"], ["float32"])


def test_unknown_names_are_refused():
    with pytest.raises(UserError, match="no peer 'jax'; use pytorch, keras"):
        peers.check(["jax"], ["float32"])
    with pytest.raises(UserError, match="no precision 'float16'"):
        peers.check(["keras"], ["float16"])


def test_ours_draws_once_unless_the_work_shall_be_the_same():
    once = "loss.reuse_fakes=true"
    assert peers.own_changes(False, ["seed=3"]) == [once, "seed=3"]
    assert peers.own_changes(False, []) == [once]
    assert peers.own_changes(True, ["seed=3"]) == ["seed=3"]


def test_the_script_writes_its_rows(monkeypatch, tmp_path, capsys):
    machines = {"peer_ours.py": Machine(1.0), "peer_keras.py": Machine(2.0)}

    def worker(script, arguments):
        shares = "--set=loss.reuse_fakes=true" in arguments
        assert shares == (script == "peer_ours.py")
        return machines[script]

    monkeypatch.setattr(pairing, "Worker", worker)
    path = tmp_path / "rows.json"
    arguments = ["--peers=keras", "--resolutions=32,64", "--precisions=float32"]
    peers.FLAGS(["peers.py", *arguments, f"--json={path}"])
    assert peers.main([]) == 0
    rows = json.loads(path.read_text())
    assert [row["resolution"] for row in rows] == [32, 64]
    assert all(set(row) == ROW and row["ratio"] == 2.0 for row in rows)
    assert "| keras | 64x64 | float32 | 8 | 16 | 2.00 | images/s |" in (
        capsys.readouterr().out
    )


def test_early_compares_the_loops_at_each_width(monkeypatch, tmp_path, capsys):
    import early

    def worker(script, arguments):
        wide = "--maps=128" in arguments
        assert "--resolution=8" in arguments
        assert ("--fit=1" in arguments) == (script == "peer_keras.py")
        if script == "peer_ours.py":
            assert "--set=loss.reuse_fakes=true seed=3" in arguments
        return Machine((4.0 if wide else 1.0) * (1 + 4 * (script == "peer_keras.py")))

    monkeypatch.setattr(pairing, "Worker", worker)
    path = tmp_path / "rows.json"
    settings = ["--set=seed=3"]
    early.FLAGS(["early.py", "--resolutions=8", f"--json={path}", *settings])
    assert early.main([]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == ["| 8x8 | 64 | 3.2 | 16 | 5 |", "| 8x8 | 128 | 0.8 | 4 | 5 |"]
    assert [set(row) for row in json.loads(path.read_text())] == [ROW, ROW]


def test_a_worker_may_be_narrower(monkeypatch):
    monkeypatch.setattr(matched, "FMAP_MAX", matched.FMAP_MAX)  # put back afterwards
    monkeypatch.setattr(matched, "WIDTH", matched.WIDTH)
    monkeypatch.setattr(sys, "argv", ["worker", "--resolution=8", "--maps=32"])
    args = matched.arguments("A worker.", fit=0)
    assert (args.resolution, args.precision, args.fit) == (8, "float32", 0)
    config = update(TrainConfig(), matched.settings(8))
    assert config.generator.fmaps(8) == config.generator.w_dim == matched.fmaps(8) == 32


def test_operations_of_a_step_are_counted_with_the_penalty():
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from workers import peer_stylegan2_pytorch, peer_torch

    step = peer_torch.Step(8)
    images = torch.from_numpy(matched.pictures(8, 1)[0]).movedim(-1, 1)

    class Made:
        def train(self):
            step(images)

    counted = peer_stylegan2_pytorch.macs(Made(), matched.BATCH)
    # Two 3 x 3 convolutions at 8 x 8 and one at 4 x 4, and D's dense layer; not fused.
    # D's step passes G once and D nine times, G's step G three times and D twice.
    maps = matched.fmaps(8)
    g = 9 * maps**2 * (2 * 64 + 16)
    d = g + 16 * maps * maps
    assert counted == pytest.approx(4 * g + 11 * d, rel=0.05)


@pytest.mark.parametrize("transposed", [False, True])
def test_operations_of_groups_are_those_of_their_maps(transposed):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    from workers import peer_stylegan2_pytorch

    conv = getattr(torch.nn, "ConvTranspose2d" if transposed else "Conv2d")
    layer = conv(8, 8, 3, stride=2, padding=1, groups=4)
    x = torch.randn(2, 8, 8, 8, requires_grad=True)
    with peer_stylegan2_pytorch.Operations() as counted:
        y = layer(x)
        y.sum().backward()
    pixels = 2 * (x if transposed else y)[0, 0].numel()
    assert counted.total == 3 * pixels * 8 * 9 * 8 // 4  # forward, and two gradients
