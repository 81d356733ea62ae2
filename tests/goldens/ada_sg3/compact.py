"""Makes this folder's files out of the full ones, which README.md here describes.

    python tests/goldens/ada_sg3/compact.py FOLDER

The pickles in PICKLES are copied. Of the numbers that belong to them, and of those of
single operations, what is named in DROPPED is left out; what is kept is kept exactly.
"""

import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

PICKLES = (
    "adapt_r16_cond3.pkl",
    "adapt_r16_origG_skipD.pkl",
    "adapt_r16_resnetG_origD.pkl",
    "adatf_r16_cond3_G_D_Gs.pkl",
    "adatf_r16_resnetG_origD_G_D_Gs.pkl",
    "adatf_r16_resnetG_origD_converted_sg3.pkl",
    "sg3r_r32_torch2.pkl",
    "sg3t_r16_cond3.pkl",
    "sg3t_r16_cond3_Gema_only.pkl",
)
NUMBERS = (
    "adapt_r16_cond3_expected",
    "adapt_r16_origG_skipD_expected",
    "adapt_r16_resnetG_origD_expected",
    "adatf_r16_cond3_expected",
    "adatf_r16_resnetG_origD_expected",
    "sg3r_r32_torch2_expected",
    "sg3t_r16_cond3_expected",
    "pt_ops",
    "sg3_presets",
)
DROPPED = re.compile(
    r"\w+ (act|vars|filt/L)/?"
    r"|\w+ .*(fp16|is_validation|default$)"
    r"|adapt\w+ out/G_ema/(img_none|img_psi0.5)"
    r"|adatf\w+ (out/G/|out/Gs/psi0.5)"
    r"|sg3r\w+ out/(G/|G_ema/(img_none|img_psi|img_transform/trans$))"
    r"|pt_ops (in|out)/\w+/(k1331|k8|0_up|1_up|linear|relu|swish|sigmoid|tanh)"
    r"|pt_ops (in|out)/(mbstd/g[24]|filter2d|setup_filter)"
    r"|pt_ops (in|out)/conv2d_resample/\w+_up1_down1"
    r"|sg3_presets filt/stylegan3-\w-(64|128|512|1024)/"
)
KEPT = ("G_init_kwargs", "D_init_kwargs", "family", "tensors", "layers", "presets")
KEPT += ("augment_pipe", "common", "G_kwargs", "D_kwargs", "pickles", "official")


def main(folder: str) -> None:
    total = 0
    for name in PICKLES:
        shutil.copyfile(Path(folder) / name, HERE / name)
        total += (HERE / name).stat().st_size
    for case in NUMBERS:
        with np.load(Path(folder) / f"{case}.npz") as file:
            meta = json.loads(str(file["meta/json"]))
            kept = {n: file[n] for n in file.files if n != "meta/json"}
        kept = {n: a for n, a in kept.items() if not DROPPED.match(f"{case} {n}")}
        kept["meta/json"] = json.dumps({k: meta[k] for k in KEPT if k in meta})
        path = HERE / f"{case}.npz"
        np.savez_compressed(path, **kept)
        total += path.stat().st_size
        print(f"{path.name:44}{path.stat().st_size:10,} bytes")
    print(f"{'':44}{total:10,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
