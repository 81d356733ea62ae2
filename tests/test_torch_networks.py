"""official/torch_*.py, tf_pickles.py: StyleGAN2-ADA's and StyleGAN3's files draw and
score as the official programs do."""

import ada_golden
import golden
import numpy as np
import pytest
import tensorflow as tf

from stylegan_tf.networks import ops
from stylegan_tf.networks.stylegan3 import rotation_and_shift
from stylegan_tf.official import networks

TORCH = ada_golden.here(ada_golden.PICKLES)
TF = ada_golden.here(ada_golden.TF_PICKLES)
TIGHT = 2e-5  # of the reference numbers' 1e-4; measured: 2e-6


def opened(name: str):
    """The networks of a file, and the numbers that belong to it."""
    case = (ada_golden.PICKLES | ada_golden.TF_PICKLES)[name]
    return networks.load_pickle(ada_golden.FOLDER / name), ada_golden.load(case)


def check(numbers, name: str, actual, layout=golden.nchw) -> None:
    """`actual` is the array `name`, if this file of numbers has it."""
    if name in numbers.flat:
        numbers.check(name, layout(actual), TIGHT)


def check_uint8(numbers, name: str, image) -> None:
    """Finished pictures differ by one step, and hardly anywhere."""
    if name in numbers.flat:
        off = np.abs(ops.uint8_images(image).numpy().astype(int) - numbers[name])
        assert off.max() <= 1 and np.mean(off > 0) < 1e-3


def check_generator(g, numbers, net: str) -> None:
    """Everything that is kept of a PyTorch generator."""
    head = f"out/{net}/"
    z, labels = numbers["in/z"], ada_golden.labels(numbers, "in/c")
    ws = g.broadcast(g.mapping(z, labels))
    numbers.check(f"{head}ws_psi1", ws, TIGHT)
    check(numbers, f"{head}img_const", g.synthesis(ws, noise="const"))
    check(numbers, f"{head}img_none", g.synthesis(ws, noise="none"))
    for name, psi, cutoff in (("psi0.7", 0.7, None), ("psi0.5_cut3", 0.5, 3)):
        if f"{head}ws_{name}" in numbers.flat:
            truncated = g.truncate(ws, psi, cutoff)
            numbers.check(f"{head}ws_{name}", truncated, TIGHT)
            image = g(z, labels, psi=psi, cutoff=cutoff, noise="const")
            check(numbers, f"{head}img_{name}", image)
            check_uint8(numbers, f"{head}uint8_{name}", image)
    if f"{head}synthesis_free" in numbers.flat:
        free = g.synthesis(numbers["in/ws_free"], noise="const")
        check(numbers, f"{head}synthesis_free", free)
    if f"{head}img_random" in numbers.flat:
        maps = ada_golden.sorted_noise(numbers)
        check(numbers, f"{head}img_random", g(z, labels, noise=maps))
    for name in numbers.names(f"{head}img_transform/"):
        moved = g.synthesis(ws, transform=numbers[f"in/transform/{name}"])
        check(numbers, f"{head}img_transform/{name}", moved)


def check_scores(d, numbers, labels_name: str) -> None:
    """The scores of pictures, and their gradients."""
    labels = ada_golden.labels(numbers, labels_name)
    images = tf.constant(golden.nhwc(numbers["in/images"]))
    with tf.GradientTape() as tape:
        tape.watch(images)
        scores = d(images, labels)
    numbers.check("out/D/scores", scores)
    if "out/D/grad_images" in numbers.flat:
        gradient = golden.nchw(tape.gradient(scores, images))
        numbers.check_gradient("out/D/grad_images", gradient)
    if "out/D/scores_first_3" in numbers.flat:
        few = d(images[:3], None if labels is None else labels[:3])
        numbers.check("out/D/scores_first_3", few)


@pytest.mark.parametrize("name", TORCH)
def test_files_of_pytorch_draw_the_same(name):
    found, numbers = opened(name)
    for key, net in (("Gs", "G_ema"), ("G", "G")):
        g = found.networks[key]
        if g is not None and f"out/{net}/ws_psi1" in numbers.flat:
            check_generator(g, numbers, net)
    d = found.networks["D"]
    if d is not None:
        check_scores(d, numbers, "in/c_D")
        if "out/D/scores_of_fakes" in numbers.flat:
            n = len(numbers["out/D/scores_of_fakes"])
            fakes = golden.nhwc(numbers["out/G_ema/img_const"])[:n]
            labels = ada_golden.labels(numbers, "in/c")
            labels = None if labels is None else labels[:n]
            numbers.check("out/D/scores_of_fakes", d(fakes, labels))


@pytest.mark.parametrize("name", TF)
def test_files_of_tensorflow_draw_the_same(name):
    """Those that the official converter made of them, too."""
    found, numbers = opened(name)
    g, d = found.networks["Gs"], found.networks["D"]
    z, labels = numbers["in/z"], ada_golden.labels(numbers, "in/labels")
    ws = g.broadcast(g.mapping(z, labels))
    check(numbers, "out/Gs/dlatents", ws, np.asarray)
    for name, psi in (("psi_none", 1.0), ("default", 0.5), ("psi0.7", 0.7)):
        image = g(z, labels, psi=psi, noise="const")
        check(numbers, f"out/Gs/{name}", image)
    free = g.synthesis(numbers["in/dlatents_free"], noise="const")
    check(numbers, "out/Gs/synthesis_free", free)
    maps = [
        golden.nhwc(numbers[f"in/noise{i}"]) for i in range(g.config.num_layers - 1)
    ]
    check(numbers, "out/Gs/explicit_noise", g(z, labels, noise=maps))
    if d is not None:
        check_scores(d, numbers, "in/labels_D")


@pytest.mark.parametrize("name", TORCH + TF)
def test_every_tensor_is_accounted_for(name):
    """Mapped to a weight of ours, each of which gets one, or told by the settings."""
    found, _ = opened(name)
    for report in found.reports:
        network = found.networks[report.name]
        assert report.absent == [] and report.left == []
        paths = [p for p in report.mapped.values() if not p.startswith("config.")]
        assert sorted(paths) == sorted(w.path for w in network.weights)


def test_the_transform_of_the_reference_numbers():
    numbers = ada_golden.load("sg3t_r16_cond3")
    wanted = numbers["in/transform/rot_trans"]
    np.testing.assert_allclose(rotation_and_shift(30, 0.15, -0.1), wanted, atol=1e-6)
