"""The reference numbers and pickles of StyleGAN2-ADA and StyleGAN3.

`goldens/ada_sg3/README.md` says what they are. With `STYLEGAN_TF_GOLDENS`, the full
files beside or inside the folder that it names are read instead.
"""

import functools
from pathlib import Path

import golden
import numpy as np

_PLACES = (golden.FOLDER / "ada_sg3", Path(__file__).parent / "goldens" / "ada_sg3")
FOLDER = next(place for place in _PLACES if place.is_dir())

ADA = (
    "adapt_r16_cond3",
    "adapt_r16_origG_skipD",
    "adapt_r16_resnetG_origD",
    "adapt_r32_auto",
    "adapt_r32_auto_torch2",
    "sg2_sg3repo_r16",
)
STYLEGAN3 = (
    "sg3r_r32",
    "sg3r_r32_torch2",
    "sg3t_r16_cond3",
    "sg3t_r32",
    "sg3t_r64_default14",
)
TF = (
    "adatf_r16_cond3",
    "adatf_r16_resnetG_origD",
    "adatf_r32_auto",
)
# Pickle -> the numbers that belong to it.
PICKLES = {f"{case}.pkl": case for case in ADA + STYLEGAN3}
PICKLES |= {
    "adapt_r16_cond3_Gema_only.pkl": "adapt_r16_cond3",
    "adapt_r16_cond3_bare_protocol2.pkl": "adapt_r16_cond3",
    "sg3r_r32_torch2_Gema_only.pkl": "sg3r_r32_torch2",
    "sg3t_r16_cond3_Gema_only.pkl": "sg3t_r16_cond3",
}
TF_PICKLES = {
    "adatf_r16_cond3_G_D_Gs.pkl": "adatf_r16_cond3",
    "adatf_r16_cond3_Gs_only.pkl": "adatf_r16_cond3",
    "adatf_r16_resnetG_origD_G_D_Gs.pkl": "adatf_r16_resnetG_origD",
    "adatf_r16_resnetG_origD_converted_sg3.pkl": "adatf_r16_resnetG_origD",
    "adatf_r32_auto_G_D_Gs.pkl": "adatf_r32_auto",
    "adatf_r32_auto_converted_adapt.pkl": "adatf_r32_auto",
}


def here(names) -> list[str]:
    """Those of the files that there are."""
    found = [name for name in names if (FOLDER / name).is_file()]
    assert found, f"none of {list(names)} in {FOLDER}"
    return found


@functools.cache
def load(case: str) -> golden.Golden:
    """The numbers of a case, or of single operations."""
    whole = FOLDER / f"{case}.npz"
    path = whole if whole.is_file() else FOLDER / f"{case}_expected.npz"
    return golden.Golden(path)


def labels(g: golden.Golden, name: str):
    """Labels, or None for a network without classes."""
    found = g[name]
    return found if found.shape[1] else None


def sorted_noise(g: golden.Golden) -> list[np.ndarray]:
    """Explicit noise of a PyTorch case, one [N, H, W, 1] a layer."""
    names = g.names("in/noise/")
    names.sort(key=lambda n: (int(n.split(".")[1][1:]), n))
    return [golden.nhwc(g[f"in/noise/{name}"]) for name in names]
