"""Reads the reference numbers of `goldens/` (its README says what they are).

With `STYLEGAN_TF_GOLDENS` naming a folder of the full files, those are read instead:
the same tests then look at every value.
"""

import csv
import dataclasses
import functools
import gzip
import json
import os
from pathlib import Path

import numpy as np

from stylegan_tf.config import DiscriminatorConfig, GeneratorConfig
from stylegan_tf.networks.discriminator import Discriminator
from stylegan_tf.networks.generator import Generator
from stylegan_tf.official import names
from stylegan_tf.official.arguments import discriminator_config, generator_config
from stylegan_tf.official.tf_pickles import NetworkState

FOLDER = Path(
    os.environ.get("STYLEGAN_TF_GOLDENS") or Path(__file__).parent / "goldens"
)


class Golden:
    """One file: named arrays, in the official layouts, some of them thinned out."""

    def __init__(self, path: Path):
        self.name = path.stem
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


def table(name: str) -> list[dict[str, str]]:
    """The rows of NAME.csv.gz, or of NAME.csv."""
    path = FOLDER / f"{name}.csv.gz"
    path, opened = (path, gzip.open) if path.exists() else (path.with_suffix(""), open)
    with opened(path, "rt") as file:
        return list(csv.DictReader(file))


def nhwc(x: np.ndarray) -> np.ndarray:
    return np.transpose(x, [0, 2, 3, 1])


def nchw(x) -> np.ndarray:
    return np.transpose(x, [0, 3, 1, 2])


def stage(resolution: int, lod: float) -> tuple[int, float]:
    """The official `lod` as a resolution and an alpha."""
    return resolution >> int(lod), 1 - (lod - int(lod))


# ---------------------------------------------------------------------------
# The networks that the numbers belong to


def kwargs_of(golden: Golden, net: str) -> dict:
    """The arguments that the official network was built with."""
    meta = golden.meta
    own = meta.get(f"{net}_kwargs", {})
    return meta.get("static_kwargs") or meta["net_kwargs"] | own


def config_of(golden: Golden, net: str) -> GeneratorConfig | DiscriminatorConfig:
    """The network's config under our names, by way of the importer of pickles."""
    kwargs, version = kwargs_of(golden, net), 4 if golden.name.startswith("v2") else 3
    default = {"G3": "G_style", "D3": "D_basic", "G4": "G_main", "D4": "D_stylegan2"}
    function = golden.meta.get("func", "").split(".")[-1] or default[f"{net}{version}"]
    state = NetworkState(version, net, kwargs, function, {})
    if net == "D":
        return discriminator_config(state)
    built = kwargs.get("synthesis_func", "G_synthesis_stylegan2")
    state.components = {"synthesis": NetworkState(version, "S", kwargs, built, {})}
    return generator_config(state)


@functools.cache
def generator(case: str, **changes) -> Generator:
    golden = load(case)
    g = Generator(dataclasses.replace(config_of(golden, "G"), **changes))
    fused = kwargs_of(golden, "G").get("fused_scale", "auto")
    assert names.assign_official(g, golden.variables("G"), fused) == []
    return g


@functools.cache
def discriminator(case: str) -> Discriminator:
    d = Discriminator(config_of(load(case), "D"))
    assert names.assign_official(d, load(case).variables("D")) == []
    return d


def labels(golden: Golden, name: str = "in/labels"):
    """One-hot labels, or None for a network without classes."""
    found = golden[name]
    return found if found.shape[1] else None
