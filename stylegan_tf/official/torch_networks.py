"""Makes networks from PyTorch pickles; every tensor of a file has its place."""

import operator

import numpy as np

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.errors import UserError
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official.torch_arguments import (
    DEFAULT_TAPS,
    torch_discriminator_config,
    torch_generator_config,
)
from stylegan_tf.official.torch_names import Entry, entries
from stylegan_tf.official.torch_pickles import ModuleState

FILTER = "resample_filter"  # follows from the config, stored with many layers
SEPARABLE = 8  # taps from which a filter is stored as one axis


def checked_torch_config(state: ModuleState) -> GeneratorConfig | DiscriminatorConfig:
    """The config of a network, which agrees with every tensor of the network.

    Raises:
        UserError: a tensor is missing, of another shape, or not known.
    """
    c = (
        torch_discriminator_config(state)
        if state.name == "D"
        else torch_generator_config(state)
    )
    known = {entry.name: entry for entry in entries(c)}
    for name, entry in known.items():
        found = state.tensors.get(name)
        if found is None or found.shape != entry.shape:
            has = "missing" if found is None else list(found.shape)
            raise UserError(
                f"{state.name}'s {name} is {has}; by the file's arguments it is "
                f"{list(entry.shape)}. The file is damaged, or of a network not known "
                f"here."
            )
    left = [name for name in state.tensors if name not in known]
    unknown = [name for name in left if name.rsplit(".", 1)[-1] != FILTER]
    if unknown:
        more = f" and {len(unknown) - 1} others" if len(unknown) > 1 else ""
        raise UserError(
            f"{state.name} has {unknown[0]}{more}, which networks of StyleGAN2 and "
            f"StyleGAN3 do not have."
        )
    for name in left:
        _check_filter(c, name, state.tensors[name])
    return c


def _check_filter(c, name: str, found: np.ndarray) -> None:
    """Refuses a stored filter that is neither the config's nor the default one."""
    for taps in (getattr(c, FILTER), DEFAULT_TAPS):
        one = np.asarray(taps, np.float64) / np.sum(taps)
        wanted = one if len(taps) >= SEPARABLE else np.outer(one, one)
        if wanted.shape == found.shape and np.allclose(found, wanted, 1e-5, 1e-6):
            return
    raise UserError(f"{name} is another filter than the file's arguments say.")


def network_from_module(
    state: ModuleState,
) -> tuple[Generator | Discriminator, dict[str, str]]:
    """Makes a network with the weights of a file.

    Returns:
        The network; and name in the file -> path of our weight, or of the setting
        from which the tensor follows.

    Raises:
        UserError: see `checked_torch_config`.
    """
    c = checked_torch_config(state)
    network = Discriminator(c) if state.name == "D" else Generator(c)
    mapped = dict.fromkeys(state.tensors, f"config.{FILTER}")
    for entry in entries(c):
        weight = operator.attrgetter(entry.weight)(network)
        weight.assign(_ours(entry, state.tensors[entry.name]))
        mapped[entry.name] = weight.path
    return network, mapped


def _ours(entry: Entry, array: np.ndarray) -> np.ndarray:
    return entry.to_ours(np.asarray(array, np.float32))
