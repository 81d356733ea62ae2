"""Makes the compact reference files of this folder out of the full ones.

    python tests/goldens/compact.py FOLDER

FOLDER holds the full `v1_*` and `v2_*` files; README.md here says what they are. Values
that are kept are kept exactly, as float32. What is left out:

- variables and outputs of stages above the `lod` given in `CASES`,
- all but every n-th value of large outputs (n a prime, so that it meets every pixel
  phase and every channel),
- whatever no test looks at.

A compact file holds `index`, JSON of name -> [offset, shape, n], and `planes`, the
values one after the other, split into their first, second, third and fourth bytes:
that compresses better. The offset of a variable without values is null; equal arrays
share one.

The two official pickles are copied, and of the numbers that belong to them those of
`Gs`, the only network in them.
"""

import gzip
import json
import re
import shutil
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
PRIMES = [p for p in range(11, 2000) if all(p % q for q in range(2, int(p**0.5) + 1))]
META = ("case", "official", "commit", "seed", "func", "static_kwargs", "net_kwargs")
META += ("G_kwargs", "D_kwargs", "lod", "D_loss_args", "smoothing_kimg", "gamma")

# Reference case -> the lowest lod whose outputs are kept: 0 = all of it.
CASES = {
    "v1_D_r128_fusedauto": 0,
    "v1_D_r16_nombstd_fusedTrue": 0,
    "v1_D_r32_cond4": 0,
    "v1_G_r128_fusedauto": 0,
    "v1_G_r16_cond4": 0,
    "v1_G_r16_fusedTrue_noblur": 1,
    "v1_G_r16_pixelnorm": 1,
    "v1_G_r32_traditional8": 1,
    "v1_loss_r16": 0,
    "v1_loss_r16_fused": 0,
    "v1_loss_r16_lod0.4": 0,
    "v1_ops": 0,
    "v1_train_r16_logistic_r1": 0,
    "v1_trainfwd_mix_r32": 0,
    "v2_D_r16_skip_cond4": 0,
    "v2_D_r32_resnet": 0,
    "v2_Dprog_r32": 0,
    "v2_G_r16_orig_cond3": 0,
    "v2_G_r32_revised": 0,
    "v2_G_r32_skip": 0,
    "v2_loss_r16": 0,
    "v2_ops": 0,
    "v2_train_r16": 0,
}
PICKLES = ("v1_pickle_r32", "v2_pickle_r32")

# Functions that the project does not have, and gradients that repeat one that is kept.
UNUSED = re.compile(
    r"v1_ops .*/(upscale4|downscale4|dense4d|lerp_clip)(/|$)"
    r"|v1_ops (in/cograd|out/grad)/(blur14641|blur1331|mbstd_g8_f1|mbstd_g4_f2|conv1"
    r"|bias|up_conv_fusedFalse)$"
    r"|v2_\w+ (act/|out/images/psi_none_nonfused)"
    r"|v2_ops .*/(naive_|upfirdn_2d|upsample_2d/gain|x2$|fir34$)"
    r"|v2_ops .*/fused_bias_act/(linear|tanh|sigmoid|elu|selu|softplus|swish|lrelu_)"
    r"|v2_loss_r16 out/(loss_\w+|grad_loss)/G_logistic_ns_pathreg"
)

# Values kept of each kind of output.
LIMITS = {"out/step": 64, "out/grad/": 128, "out/grad_loss/": 64, "out/grad_reg/": 64}
LIMITS |= {"out/": 1200, "act/": 256}


def lod_of(name: str, resolution: int) -> int:
    """The coarsest stage that needs this tensor: 0 = only the full resolution."""
    if found := re.search(r"lod/recursive/(\d)", name):
        return int(found[1])
    if found := re.search(r"(?:ToRGB|FromRGB)_lod(\d+)", name):
        return int(found[1])
    if found := re.search(r"/noise(\d+)$", name):
        return (resolution // (4 << int(found[1]) // 2)).bit_length() - 1
    if found := re.search(r"/(\d+)x\1/", name):
        return (resolution // int(found[1])).bit_length() - 1
    return 0 if name.startswith(("out/images", "out/synthesis")) else 99


def step_of(name: str, size: int) -> int:
    """Every how many values of an array are kept."""
    limit = next((n for prefix, n in LIMITS.items() if name.startswith(prefix)), size)
    return 1 if size <= limit else next(p for p in PRIMES if p * limit >= size)


def selected(case: str, arrays: dict, meta: dict) -> dict:
    """Name -> array, or None for a variable that no kept output depends on."""
    kwargs = meta.get("static_kwargs") or meta.get("net_kwargs") or {}
    resolution, keep = kwargs.get("resolution", 0), {}
    for name, array in arrays.items():
        low = resolution and lod_of(name, resolution) < CASES[case]
        if UNUSED.search(f"{case} {name}"):
            continue
        if not low:
            keep[name] = array
        elif name.startswith("vars/"):
            keep[name] = None
    if case == "v1_D_r128_fusedauto":  # 200 kB an image: the three that one score needs
        keep = {k: v for k, v in keep.items() if not k.startswith("out/")}
        keep["in/images"] = arrays["in/images"][:3]
        keep["in/labels"] = arrays["in/labels"][:3]
        keep["out/scores/first_3"] = arrays["out/scores/first_3"]
    return keep


def pack(keep: dict, shapes: dict, meta: dict, path: Path) -> None:
    """Writes one compact file."""
    index, parts, seen, end = {}, [], {}, 0
    for name, array in keep.items():
        if array is None:
            index[name] = [None, list(shapes[name]), 1]
            continue
        step = step_of(name, array.size)
        values = array.astype(np.float32).ravel()[::step]
        key = values.tobytes()
        if key not in seen:
            seen[key], end = end, end + len(values)
            parts.append(values)
        index[name] = [seen[key], list(array.shape), step]
    planes = np.concatenate(parts).view(np.uint8).reshape(-1, 4).T
    meta = {k: meta[k] for k in META if k in meta}
    text = json.dumps({"meta": meta, "tensors": index}, separators=(",", ":"))
    np.savez_compressed(path, index=np.array(text), planes=np.ascontiguousarray(planes))


def copy_pickle(folder: Path, case: str) -> int:
    """A pickle with one network, and the plain file of what belongs to it: its size."""
    pickle, numbers = HERE / f"{case}_Gs_only.pkl", HERE / f"{case}_expected.npz"
    shutil.copyfile(folder / pickle.name, pickle)
    with np.load(folder / numbers.name) as file:
        other = re.compile(r"(vars|out)/(G|D)/|in/(images|labels_D)$")
        kept = {n: file[n] for n in file.files if not other.match(n)}
    np.savez_compressed(numbers, **kept)
    size = pickle.stat().st_size + numbers.stat().st_size
    print(f"{case + ' (two files)':36}{size:10,} bytes")
    return size


def main(folder: str) -> None:
    total = 0
    for case in CASES:
        with np.load(Path(folder) / f"{case}.npz") as file:
            meta = json.loads(str(file["meta/json"]))
            arrays = {n: file[n] for n in file.files if n != "meta/json"}
        shapes = {n: a.shape for n, a in arrays.items()}
        path = HERE / f"{case}.npz"
        pack(selected(case, arrays, meta), shapes, meta, path)
        total += path.stat().st_size
        print(f"{path.name:36}{path.stat().st_size:10,} bytes")
    for case in PICKLES:
        total += copy_pickle(Path(folder), case)
    with open(Path(folder) / "v2_schedule.csv", "rb") as file:
        (HERE / "v2_schedule.csv.gz").write_bytes(gzip.compress(file.read(), mtime=0))
    print(f"{'':36}{total:10,} bytes")


if __name__ == "__main__":
    main(sys.argv[1])
