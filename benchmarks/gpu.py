"""What a GPU makes of training steps and drawings: one command, under nine minutes.

    python benchmarks/gpu.py                              the whole table
    python benchmarks/gpu.py --only=stylegan-256,auto-256 --minutes=4
    python benchmarks/gpu.py --toy                        on any machine, tiny networks

Each network has a process of its own, so that one that fails or runs out of memory
costs its own rows only. Rows are printed and written to --json as they are measured,
the most telling first; what the minutes did not suffice for is named at the end.

A step is an iteration of D and of G with its regularization at its interval, on random
images; nothing is read from disk. `jit` compiles it by XLA. `tf32` lets tensor cores
round the factors of float32 products, `float32` does not. Peak memory is TensorFlow's
own count. `conv share` is the step's arithmetic rate over that of plain 3 x 3
convolutions in the same precision. `published` are the seconds per thousand images that
the authors of stylegan2-ada-pytorch state for `auto` on one device. Where PyTorch is
installed and sees the GPU, a plain PyTorch StyleGAN of our benchmark's size makes the
same step (`peers.py`).
"""

import json
import selectors
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from stylegan_tf_launch import cli
from workers import pairing

from stylegan_tf.errors import UserError

FLAGS, define = cli.flag_set()
define.string("json", "gpu.json", "File for the rows.")
define.list("only", [], "Names of networks; see the table's first column.")
define.float("minutes", 8.5, "After so long nothing new begins.", lower_bound=0.1)
define.bool("toy", False, "Tiny networks, no jit, short timings: to try the script.")

HERE = Path(__file__).parent
TF32, MIXED = "tf32", "bfloat16"
# Seconds per thousand images of `auto` on one device (stylegan2-ada-pytorch).
PUBLISHED = {256: {"A100": 12.53, "V100": 20.84}, 1024: {"A100": 90.4, "V100": 141.8}}
COLUMNS = ("network", "what", "batch", "precision", "jit", "images/s", "s/kimg")
COLUMNS += (
    "first call",
    "peak memory",
    "TFLOP/s",
    "conv share",
    "published A100, V100",
)
TOY = {
    f"{network}.{name}": value
    for network in ("generator", "discriminator")
    for name, value in (("fmap_base", 64), ("fmap_max", 8))
}


def case(kind: str, batch: int, precision: str = MIXED, jit: bool = False) -> dict:
    """Returns what a worker is told of one row."""
    return {"kind": kind, "batch": batch, "precision": precision, "jit": jit}


def job(preset: str, resolution: int, cases: Sequence[dict], **more: object) -> dict:
    """Returns what a worker is told of one network."""
    return {"preset": preset, "resolution": resolution, "cases": list(cases), **more}


def steps(batches: Sequence[int], precisions: Sequence[str]) -> list[dict]:
    """Returns the cases of a step, the first batch and precision first."""
    both = (True, False)
    cases = [case("step", batches[0], p, jit) for p in precisions for jit in both]
    return cases + [case("step", b, precisions[0], True) for b in batches[1:]]


def jobs(toy: bool = False) -> dict[str, dict]:
    """Returns name -> job, the most telling first."""
    both, all_three = (MIXED, TF32), (MIXED, TF32, "float32")
    plain = [case("convolution", 16, p, jit=True) for p in both]
    draws = [case("draw", b, MIXED, jit) for b in (1, 16) for jit in (True, False)]
    found = {
        "convolutions": job("paper256", 64, plain),
        "auto-256": job("stylegan2-ada", 256, steps((16, 8, 32), both)),
        "stylegan-64": job("paper256", 64, steps((32, 16, 8), both)),
        "stylegan-256": job("paper256", 256, steps((8, 16, 32), all_three)),
        "stylegan3-t-256": job("stylegan3-t", 256, steps((8,), both)),
        "draw-256": job("paper256", 256, draws),
        "auto-1024": job("stylegan2-ada", 1024, steps((4,), both)),
        "stylegan-128": job("paper256", 128, steps((16, 8, 32), both)),
        "draw-1024": job("paper1024", 1024, draws),
    }
    for one in found.values():
        one["set"] = {}
        if toy:
            one["set"] = TOY | {"generator.mapping_layers": 2}
            small = [c | {"batch": 4, "jit": False} for c in one["cases"]]
            one["cases"] = [c for i, c in enumerate(small) if c not in small[:i]][:2]
            one["resolution"], one["seconds"], one["plain"] = 16, 0.01, [(16, 8)]
    return found


def rows_of(job: dict, deadline: float) -> Iterator[dict]:
    """Yields a row per case as the worker prints it.

    A case that the process died of, or that the deadline cut, is a row that says so.

    Args:
        job: see `jobs`.
        deadline: of `time.monotonic`.
    """
    cases, done = job["cases"], 0
    while done < len(cases):
        rest = job | {"cases": cases[done:]}
        command = [sys.executable, "-m", "workers.gpu_cases", json.dumps(rest)]
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=pairing.modules_here(),
        )
        begun = False
        for line in _lines_until(process, deadline):
            told = json.loads(line)
            begun = "begins" in told
            if "row" in told:
                yield cases[done] | told["row"]
                done += 1
        late = process.poll() is None
        process.kill()
        errors = process.stderr.read().decode(errors="replace").strip().splitlines()
        process.wait()
        if done == len(cases):
            return
        if late:
            for left in cases[done:]:
                yield left | {"failed": "the minutes were over"}
            return
        reason = errors[-1][:200] if errors else f"exit code {process.returncode}"
        yield cases[done] | {"failed": f"the process ended: {reason}"}
        done += 1
        if not begun:  # it does not start at all
            return


def _lines_until(process: subprocess.Popen, deadline: float) -> Iterator[str]:
    """Yields lines of JSON until the process closes its output or time is up."""
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        text = b""
        while (left := deadline - time.monotonic()) > 0:
            if not selector.select(left):
                return
            chunk = process.stdout.read1(65536)
            if not chunk:
                process.wait()
                return
            *lines, text = (text + chunk).split(b"\n")
            yield from (x.decode() for x in lines if x.startswith(b"{"))


def line(name: str, job: dict, row: dict, plain: dict[str, float]) -> list:
    """Returns a row of the printed table."""
    head = [name, row["kind"], row["batch"], row["precision"]]
    head.append("on" if row["jit"] else "off")
    if "failed" in row:
        return [*head, row["failed"], *[""] * (len(COLUMNS) - 6)]
    rate, peak = row.get("tflops"), row.get("peak_bytes")
    published = ""
    if job["preset"] == "stylegan2-ada" and row["kind"] == "step":
        published = PUBLISHED.get(job["resolution"], {}).values()
        published = ", ".join(map(str, published))
    share = plain.get(row["precision"]) if row["kind"] == "step" else None
    return [
        *head,
        row.get("images_per_second", ""),
        row.get("seconds_per_kimg", ""),
        f"{row['first_call_seconds']:.0f} s" if "first_call_seconds" in row else "",
        f"{peak / 2**30:.2f} GB" if peak else "",
        rate or "",
        f"{rate / share:.2f}" if rate and share else "",
        published,
    ]


def plain_pytorch(deadline: float) -> list:
    """Returns the row of a plain PyTorch step on the GPU, or why there is none."""
    head = ["plain PyTorch 64", "step", 16, MIXED, "off"]
    empty = [""] * (len(COLUMNS) - 6)
    probe = "import torch, sys; sys.exit(0 if torch.cuda.is_available() else 3)"
    sees = subprocess.run([sys.executable, "-c", probe], capture_output=True)
    if sees.returncode:
        reason = "no PyTorch" if sees.returncode == 1 else "PyTorch sees no GPU"
        return [*head, reason, *empty]
    if deadline - time.monotonic() < 60:
        return [*head, "the minutes were over", *empty]
    flags = ("--resolution=64", f"--precision={MIXED}", "--device=cuda")
    try:
        with pairing.Worker("peer_torch.py", flags, until=deadline) as worker:
            worker.run(4)
            seconds = worker.run(20).wall / 20
    except RuntimeError as error:
        if time.monotonic() >= deadline:
            return [*head, "the minutes were over", *empty]
        return [*head, str(error).strip().splitlines()[-1][:200], *empty]
    return [*head, 16 / seconds, 1000 * seconds / 16, *empty[1:]]


def main(argv: Sequence[str]) -> int:
    """Measures, prints the table and writes the rows."""
    found = jobs(FLAGS.toy)
    for name in set(FLAGS.only) - set(found):
        raise UserError(f"there is no network {name!r}; there are {', '.join(found)}.")
    chosen = {n: j for n, j in found.items() if not FLAGS.only or n in FLAGS.only}
    deadline = time.monotonic() + 60 * FLAGS.minutes
    results, plain = pairing.Results(COLUMNS, FLAGS.json), {}
    print("device: ", _device(), file=sys.stderr)
    left_out = []
    for name, one in chosen.items():
        if time.monotonic() >= deadline:
            left_out.append(name)
            continue
        for row in rows_of(one, deadline):
            if row["kind"] == "convolution" and "tflops" in row:
                plain[row["precision"]] = row["tflops"]
            results.add(line(name, one, row, plain), {"network": name, **row})
    if not FLAGS.only:
        results.add(plain_pytorch(deadline))
    if left_out:
        print(f"not begun in {FLAGS.minutes:g} minutes: {', '.join(left_out)}")
    measured = [row for row in results.rows if "failed" not in row]
    return 0 if measured else 1


def _device() -> str:
    """Returns the GPU's name as the driver gives it, or that there is none."""
    query = ["nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader"]
    try:
        found = subprocess.run(query, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return "no NVIDIA GPU; these are the CPU's numbers"
    return found.stdout.strip().replace("\n", "; ") or "no NVIDIA GPU"


if __name__ == "__main__":
    cli.run(main, FLAGS)
