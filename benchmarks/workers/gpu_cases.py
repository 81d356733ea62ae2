"""Worker of `gpu.py`: measures steps and drawings of one network, a line of JSON each.

    python -m workers.gpu_cases '{"preset": "paper256", "resolution": 64, "cases": []}'

A case is {"kind": "step", "batch": 16, "precision": "tf32", "jit": false}, or of kind
"draw" or "convolution". Before a case its index is printed, so that the reader knows
which one a process died of.
"""

import json
import sys
import time
from collections.abc import Callable

import tensorflow as tf

from stylegan_tf.config import TrainConfig, cost, presets, update
from stylegan_tf.training.objectives import Regularization
from stylegan_tf.training.trainer import make_networks
from workers.one_step import one_step

SECONDS = 2.0  # that a case is timed, unless the job says otherwise
# Side and maps of the plain convolutions, unless the job says otherwise.
PLAIN = ((32, 512), (64, 256), (128, 128))


def make_config(job: dict, case: dict) -> TrainConfig:
    """Returns the preset at full resolution, with the case's batch and precision."""
    resolution = job["resolution"]
    mixed = case["precision"] in ("bfloat16", "float16")
    changes = {
        "schedule.initial_resolution": resolution,
        "precision": case["precision"] if mixed else "float32",
        "accumulate": 1,
    }
    changes |= {"schedule.batch": case["batch"], "discriminator.mbstd_group": 4}
    return update(presets.make_config(job["preset"], resolution), changes | job["set"])


def rate_of_step(job: dict, case: dict) -> dict:
    """Measures images a second over the iterations with and without regularization."""
    config, size, batch = make_config(job, case), job["resolution"], case["batch"]
    loss = config.loss
    cycle = max(loss.d_reg_interval, loss.g_reg_interval if loss.pl_weight else 1)
    kinds = [Regularization.at(loss, i) for i in range(cycle)]
    networks = make_networks(config)
    steps = {
        kind: one_step(config, size, batch, kind, networks, case["jit"])
        for kind in dict.fromkeys(kinds)
    }
    started = time.perf_counter()
    for step in steps.values():
        step()
    compiled = time.perf_counter() - started
    seconds = sum(
        kinds.count(kind) / cycle * _seconds(step, job) for kind, step in steps.items()
    )
    macs = cost.iteration_macs(config, size)
    return {
        "images_per_second": batch / seconds,
        "seconds_per_kimg": 1000 * seconds / batch,
        "first_call_seconds": compiled,
        "tflops": 2e-12 * macs * batch / seconds,
    }


def rate_of_drawing(job: dict, case: dict) -> dict:
    """Measures how many images a second the generator draws."""
    config, batch = make_config(job, case), case["batch"]
    generator = make_networks(config).average
    labels = tf.one_hot(tf.zeros([batch], tf.int32), config.generator.classes)
    z = tf.random.normal([batch, config.generator.z_dim])

    @tf.function(autograph=False, jit_compile=case["jit"] or None)
    def draw():
        images = generator(z, labels, psi=0.7, noise="const")
        return tf.cast((images + 1) * 127.5, tf.uint8)

    return {"images_per_second": batch / _seconds(lambda: draw().numpy(), job)}


def rate_of_convolutions(job: dict, case: dict) -> dict:
    """Measures the device's rate in plain 3 x 3 convolutions."""
    dtype = case["precision"].replace("tf32", "float32")
    rates = []
    for side, maps in job.get("plain", PLAIN):
        x = tf.cast(tf.random.normal([case["batch"], side, side, maps]), dtype)
        kernel = tf.cast(tf.random.normal([3, 3, maps, maps]), dtype)

        @tf.function(jit_compile=case["jit"] or None)
        def convolve(x=x, kernel=kernel):
            for _ in range(10):
                x = tf.nn.conv2d(x, kernel, 1, "SAME") * 0.01
            return tf.reduce_sum(tf.cast(x, tf.float32))

        work = 10 * 2 * case["batch"] * side * side * 9 * maps * maps
        rates.append(1e-12 * work / _seconds(lambda f=convolve: f().numpy(), job))
    return {"tflops": sum(rates) / len(rates)}


KINDS = {
    "step": rate_of_step,
    "draw": rate_of_drawing,
    "convolution": rate_of_convolutions,
}


def _seconds(work: Callable[[], object], job: dict) -> float:
    """Returns seconds per call; `work` returns when the device is done."""
    work()
    calls, least, started = 0, job.get("seconds", SECONDS), time.perf_counter()
    while (passed := time.perf_counter() - started) < least or calls < 2:
        work()
        calls += 1
    return passed / calls


def peak_memory() -> int | None:
    """Returns bytes in use at the peak since the last case; None on a CPU."""
    if not tf.config.list_physical_devices("GPU"):
        return None
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    tf.config.experimental.reset_memory_stats("GPU:0")
    return int(peak)


def main() -> None:
    """Measures the cases of the job on the command line."""
    job = json.loads(sys.argv[1])
    for gpu in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(gpu, True)
    for index, case in enumerate(job["cases"]):
        print(json.dumps({"begins": index}), flush=True)
        # float32 means float32; tf32 allows tensor cores of Ampere and later.
        tf.config.experimental.enable_tensor_float_32_execution(
            case["precision"] != "float32"
        )
        try:
            row = KINDS[case["kind"]](job, case)
        except tf.errors.ResourceExhaustedError:
            row = {"failed": "out of memory"}
        except (tf.errors.OpError, ValueError, NotImplementedError) as error:
            row = {"failed": str(error).strip().splitlines()[0][:200]}
        row["peak_bytes"] = peak_memory()
        print(json.dumps({"row": row}), flush=True)


if __name__ == "__main__":
    main()
