"""Reads the reference numbers of `goldens/` (its README says what they are).

With `STYLEGAN_TF_GOLDENS` naming a folder of the full files, those are read instead:
the same tests then look at every value.
"""

import functools
import json
import os
from pathlib import Path

import numpy as np

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import names

FOLDER = Path(
    os.environ.get("STYLEGAN_TF_GOLDENS") or Path(__file__).parent / "goldens"
)


class Golden:
    """One file: named arrays, in the official layouts, some of them thinned out."""

    def __init__(self, path: Path):
        with np.load(path) as file:
            arrays = {name: file[name] for name in file.files}
        if "index" not in arrays:
            self.meta = json.loads(str(arrays.pop("meta/json")))
            flat = {n: (a.ravel(), a.shape, 1) for n, a in arrays.items()}
        else:
            content = json.loads(str(arrays["index"]))
            self.meta, values = content["meta"], _values(arrays["planes"])
            flat = {n: _entry(values, *e) for n, e in content["tensors"].items()}
        self.flat = flat

    def names(self, prefix: str) -> list[str]:
        """The names under `prefix` that have values, without it."""
        found = [n for n, (v, *_) in self.flat.items() if v is not None]
        return [n[len(prefix) :] for n in found if n.startswith(prefix)]

    def __getitem__(self, name: str) -> np.ndarray:
        values, shape, step = self.flat[name]
        if values is None or step != 1:
            raise KeyError(f"{name} is not kept whole in this file")
        return values.reshape(shape)

    def variables(self, net: str) -> dict[str, np.ndarray]:
        """All variables of a network, NaN where no kept output depends on them."""
        prefix = f"vars/{net}/"
        named = [(n, e) for n, e in self.flat.items() if n.startswith(prefix)]
        return {
            n[len(prefix) :]: np.full(s, np.nan, "f4") if v is None else v.reshape(s)
            for n, (v, s, _) in named
        }

    def pair(self, name: str, actual) -> tuple[np.ndarray, np.ndarray]:
        """The kept values of `name`, and `actual` at the same places."""
        values, shape, step = self.flat[name]
        actual = np.asarray(actual)
        assert actual.shape == tuple(shape), f"{name}: {actual.shape}, not {shape}"
        return actual.ravel()[::step], values

    def check(self, name: str, actual, tolerance: float = 1e-4) -> None:
        """`actual` is `name` up to tolerance x (its size + the root mean square)."""
        close(*self.pair(name, actual), tolerance, name)

    def check_gradient(self, name: str, actual) -> None:
        """As `check`, in the norm of the whole tensor."""
        actual, desired = self.pair(name, actual)
        off, size = np.linalg.norm(actual - desired), np.linalg.norm(desired)
        assert off <= 1e-3 * size + 1e-6, f"{name}: off by {off:.3g} of {size:.3g}"


def close(actual, desired, tolerance: float = 1e-4, name: str = "") -> None:
    """The comparison of the reference numbers' README."""
    desired = np.asarray(desired)
    scale = np.sqrt(np.mean(np.square(desired.astype(np.float64))))
    atol = tolerance * scale
    np.testing.assert_allclose(actual, desired, tolerance, atol, err_msg=name)


def _values(planes: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(planes.T).view(np.float32).ravel()


def _entry(values, offset, shape, step):
    size = -(-int(np.prod(shape)) // step)
    kept = None if offset is None else values[offset : offset + size]
    return kept, tuple(shape), step


def cases(prefix: str) -> list[str]:
    """The files whose names start with `prefix`."""
    found = sorted(p.stem for p in FOLDER.glob(f"{prefix}*.npz"))
    assert found, f"no reference file {prefix}*.npz in {FOLDER}"
    return found


@functools.cache
def load(case: str) -> Golden:
    return Golden(FOLDER / f"{case}.npz")


def nhwc(x: np.ndarray) -> np.ndarray:
    return np.transpose(x, [0, 2, 3, 1])


def nchw(x) -> np.ndarray:
    return np.transpose(x, [0, 3, 1, 2])


def stage(resolution: int, lod: float) -> tuple[int, float]:
    """The official `lod` as a resolution and an alpha."""
    return resolution >> int(lod), 1 - (lod - int(lod))


# ---------------------------------------------------------------------------
# The networks that the numbers belong to

SAME = {"resolution", "fmap_base", "fmap_max", "mapping_layers", "use_styles"}
SAME |= {"use_noise", "use_pixel_norm", "use_instance_norm", "style_mixing_prob"}
RENAMED = {
    "num_channels": "channels",
    "label_size": "classes",
    "latent_size": "z_dim",
    "dlatent_size": "w_dim",
    "mapping_fmaps": "mapping_width",
    "const_input_layer": "const_input",
    "mbstd_group_size": "mbstd_group",
}


def kwargs_of(golden: Golden, net: str) -> dict:
    """The arguments that the official network was built with."""
    meta = golden.meta
    own = meta.get(f"{net}_kwargs", {})
    return meta.get("static_kwargs") or meta["net_kwargs"] | own


def ours(kwargs: dict) -> dict:
    """Official arguments under our names."""
    out = {k: v for k, v in kwargs.items() if k in SAME}
    out |= {RENAMED[k]: v for k, v in kwargs.items() if k in RENAMED}
    return out | ({"blur_filter": ()} if "blur_filter" in kwargs else {})


@functools.cache
def generator(case: str) -> Generator:
    kwargs = kwargs_of(load(case), "G")
    g = Generator(GeneratorConfig(**ours(kwargs)))
    fused = kwargs.get("fused_scale", "auto")
    assert names.assign(g, load(case).variables("G"), fused) == []
    return g


@functools.cache
def discriminator(case: str) -> Discriminator:
    kwargs = kwargs_of(load(case), "D")
    d = Discriminator(DiscriminatorConfig(**ours(kwargs)))
    assert names.assign(d, load(case).variables("D")) == []
    return d


def labels(golden: Golden, name: str = "in/labels"):
    """One-hot labels, or None for a network without classes."""
    found = golden[name]
    return found if found.shape[1] else None
