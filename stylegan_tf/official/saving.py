"""Writes our networks in the layouts of others; keeps what comes back the same.

A draft is read again by this package's own readers. Its weights must be ours, and its
images and scores too, where a layout lacks a setting such as a clamp.
"""

from pathlib import Path

import numpy as np

from stylegan_tf.config import Growth
from stylegan_tf.errors import UserError
from stylegan_tf.files import atomic_write
from stylegan_tf.formats.safetensors_files import write_safetensors
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator, plain_copy
from stylegan_tf.networks.layers import ScaledNoise
from stylegan_tf.official import networks, rosinality

Network = Generator | Discriminator
ROUNDING = 1e-6  # of a weight that is stored with one added
CLOSE = 1e-3  # of images, and of scores over the largest one


def save_checked_pickle(
    path: Path | str,
    g: Generator | None,
    d: Discriminator | None,
    gs: Generator | None,
    growth: Growth | None = None,
) -> None:
    """Writes an official TensorFlow pickle, see `networks.save_pickle`.

    Raises:
        UserError: a network has no official counterpart, or comes back as another.
    """
    g, gs = _with_plain_noise(g), _with_plain_noise(gs)
    with atomic_write(path) as draft:
        networks.save_pickle(draft, g, d, gs, growth)
        _require_same(path, draft, {"G": g, "D": d, "Gs": gs})


def save_state_dicts(
    path: Path | str, generator: Generator, discriminator: Discriminator | None = None
) -> list[Path]:
    """Writes networks in rosinality's layout, as `.safetensors`.

    Args:
        path: of the generator's file. Its tensors are the generator's state dict, and
            `latent_avg`. The discriminator's file is named like it.
        generator: the moving average.
        discriminator: None = write none.

    Returns:
        The files.

    Raises:
        UserError: a network has no counterpart there, or comes back as another.
    """
    path = Path(path)
    files = {path: ("Gs", _with_plain_noise(generator))}
    if discriminator is not None:
        files[path.with_stem(f"{path.stem}-discriminator")] = ("D", discriminator)
    for name, (key, network) in files.items():
        state = rosinality.state_dict_of(network)
        about = {"layout": "rosinality/stylegan2-pytorch", "network": key.lower()}
        with atomic_write(name) as draft:
            write_safetensors(draft, state, about | _arguments(network))
            _require_same(name, draft, {key: network})
    return list(files)


def _with_plain_noise(generator: Generator | None) -> Generator | None:
    """A generator whose noise strengths are stored as they are used.

    No layout of others has a learning rate multiplier for them.
    """
    if generator is None or generator.config.noise_lrmul == 1:
        return generator
    copy = plain_copy(generator, noise_lrmul=1.0)
    for layer in copy._flatten_layers():
        if isinstance(layer, ScaledNoise):
            layer.weight.assign(layer.weight * generator.config.noise_lrmul)
    return copy


def _arguments(network: Network) -> dict[str, str]:
    """Arguments of the class of the layout's program."""
    c = network.config
    found = {"size": c.resolution, "channel_multiplier": c.fmap_base / 8192}
    if isinstance(network, Generator):
        found |= {"style_dim": c.w_dim, "n_mlp": c.mapping_layers}
    return {name: f"{value:g}" for name, value in found.items()}


def _require_same(path, draft: Path, wanted: dict[str, Network | None]) -> None:
    """Refuses a draft whose networks are not the ones that were written."""
    found = networks.load_pickle(draft).networks
    for name, ours in wanted.items():
        theirs = found[name]
        same = (theirs is None) == (ours is None)
        if same and ours is not None and theirs is not None:
            same = _same_weights(ours, theirs) and _same_outputs(ours, theirs)
        if not same:
            raise UserError(
                f"{path} is not written: its {name} would not be the model's, because "
                f"of a setting that the layout does not have. Keep the model as .keras."
            )


def _same_weights(ours: Network, theirs: Network) -> bool:
    both = [(a.numpy(), b.numpy()) for a, b in _pairs(ours, theirs)]
    return len(ours.weights) == len(theirs.weights) and all(
        a.shape == b.shape and np.allclose(a, b, ROUNDING, ROUNDING) for a, b in both
    )


def _pairs(ours: Network, theirs: Network):
    return zip(ours.weights, theirs.weights, strict=False)


def _same_outputs(ours: Network, theirs: Network) -> bool:
    if ours.config == theirs.config:
        return True
    rng, c = np.random.default_rng(0), ours.config
    labels = np.eye(max(c.classes, 1), dtype=np.float32)
    labels = labels[np.arange(4) % max(c.classes, 1)] if c.classes else None
    if isinstance(ours, Generator):
        z = rng.normal(size=(4, c.z_dim)).astype(np.float32)
        a, b = (g(z, labels, noise="const").numpy() for g in (ours, theirs))
        return bool(np.abs(a - b).max() <= CLOSE)
    images = rng.normal(size=(4, *c.shape(c.resolution), c.channels)).clip(-1, 1)
    a, b = (d(images.astype(np.float32), labels).numpy() for d in (ours, theirs))
    return bool(np.abs(a - b).max() <= CLOSE * max(1, np.abs(a).max()))
