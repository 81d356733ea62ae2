"""Makes networks from PyTorch pickles; every tensor of a file has its place."""

import operator
from collections.abc import Sequence

import numpy as np

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import rosinality
from stylegan_tf.official.torch_arguments import (
    DEFAULT_TAPS,
    torch_discriminator_config,
    torch_generator_config,
)
from stylegan_tf.official.torch_names import Entry, entries
from stylegan_tf.official.torch_pickles import ModuleState

FILTER = "resample_filter"  # follows from the config, stored with many layers
SEPARABLE = 8  # taps from which a filter is stored as one axis
SAMPLES = 10_000  # of w, for an estimate of its mean


def checked_torch_config(state: ModuleState) -> GeneratorConfig | DiscriminatorConfig:
    """The config of a network, which agrees with every tensor of the network.

    Raises:
        UserError: a tensor is missing, of another shape, or not known.
    """
    c = _config(state)
    known = {entry.name: entry for entry in _entries(state, c)}
    source = "shapes" if _is_plain(state) else "arguments"
    for name, entry in known.items():
        found = state.tensors.get(name)
        if found is None and entry.optional:
            continue
        if found is None or found.shape != entry.shape:
            has = "missing" if found is None else list(found.shape)
            raise UserError(
                f"{state.name}'s {name} is {has}; by the file's {source} it is "
                f"{list(entry.shape)}. The file is damaged, or of a network not known "
                f"here."
            )
    left = [name for name in state.tensors if name not in known]
    filters = rosinality.state_filters(c) if _is_plain(state) else {}
    unknown = [
        name
        for name in left
        if name not in filters and (filters or name.rsplit(".", 1)[-1] != FILTER)
    ]
    if unknown:
        more = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
        raise UserError(
            f"{state.name} has {unknown[0]}{more}, which networks of StyleGAN2 and "
            f"StyleGAN3 do not have."
        )
    for name in left:
        wanted = [filters[name]] if filters else _filters(c)
        _check_filter(name, state.tensors[name], wanted)
    return c


def _is_plain(state: ModuleState) -> bool:
    """Returns True for a state dict, which has no arguments."""
    return state.repository == rosinality.REPOSITORY


def _config(state: ModuleState) -> GeneratorConfig | DiscriminatorConfig:
    if _is_plain(state):
        return rosinality.shaped_config(state)
    if state.name == "D":
        return torch_discriminator_config(state)
    return torch_generator_config(state)


def _entries(
    state: ModuleState, c: GeneratorConfig | DiscriminatorConfig
) -> Sequence[Entry]:
    return rosinality.state_entries(c) if _is_plain(state) else entries(c)


def _filters(c: GeneratorConfig | DiscriminatorConfig) -> list[np.ndarray]:
    """Filters that layers store: the config's, or the default one."""
    found = []
    for taps in (c.resample_filter, DEFAULT_TAPS):
        one = np.asarray(taps, np.float64) / np.sum(taps)
        found.append(one if len(taps) >= SEPARABLE else np.outer(one, one))
    return found


def _check_filter(name: str, found: np.ndarray, known: list[np.ndarray]) -> None:
    """Refuses a stored filter that is none of the known ones."""
    for wanted in known:
        if wanted.shape == found.shape and np.allclose(found, wanted, 1e-5, 1e-6):
            return
    raise UserError(f"{name} is another filter than the file's arguments say.")


def network_from_module(
    state: ModuleState,
) -> tuple[Generator | Discriminator, dict[str, str], list[str]]:
    """Makes a network with the weights of a file.

    Returns:
        The network; name in the file -> path of our weight, or of the setting from
        which the tensor follows; and the names that the file lacks. These weights are
        the same each time: noise maps are drawn by a seed, and `w_avg` is estimated.

    Raises:
        UserError: see `checked_torch_config`.
    """
    c = checked_torch_config(state)
    network = Discriminator(c) if state.name == "D" else Generator(c)
    mapped, absent = dict.fromkeys(state.tensors, f"config.{FILTER}"), []
    for i, entry in enumerate(_entries(state, c)):
        weight = operator.attrgetter(entry.weight)(network)
        if entry.name in state.tensors:
            weight.assign(_ours(entry, state.tensors[entry.name]))
            mapped[entry.name] = weight.path
        else:
            absent.append(entry.name)
            weight.assign(np.random.default_rng(i).normal(size=weight.shape))
    if rosinality.AVERAGE in absent:
        network.w_avg.assign(_mean_style(network))
    return network, mapped, absent


def _mean_style(g: Generator) -> np.ndarray:
    """The mean of w, of a generator whose file lacks it."""
    z = np.random.default_rng(0).normal(size=(SAMPLES, g.config.z_dim))
    return np.mean(g.mapping(z.astype(np.float32)), axis=0)


def _ours(entry: Entry, array: np.ndarray) -> np.ndarray:
    return entry.to_ours(np.asarray(array, np.float32))
