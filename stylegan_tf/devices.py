"""Devices of a run: strategies, precision, and settings chosen by the device.

Call `make_strategy` before anything else touches TensorFlow's devices: a multi-worker
strategy has to be made first.
"""

import contextlib
import functools
import math
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from stylegan_tf import cluster
from stylegan_tf.errors import UserError

RATE_TRIES = 3  # of `convolution_rate`, whose best counts
STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")


def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """Returns a distribution strategy by name.

    Args:
        name: "one" (the first GPU, or the CPU), "mirrored" (all GPUs of this machine,
            or its logical CPU devices), "multiworker" (the cluster in TF_CONFIG, or
            Slurm's or Kubernetes', see `cluster.set_cluster`), "tpu" (the one that
            TPU_NAME names), or "auto" (multiworker if TF_CONFIG has several workers,
            else mirrored if there are several GPUs, else one).

    Raises:
        UserError: an unknown name, or the devices are not there.
    """
    if name not in STRATEGIES:
        raise UserError(f"strategy is {name!r}; choose one of {', '.join(STRATEGIES)}.")
    if name == "auto":
        name = _automatic()
    makers = {
        "one": _one,
        "mirrored": _mirrored,
        "multiworker": _multiworker,
        "tpu": _tpu,
    }
    return makers[name]()


def _automatic() -> str:
    if len(cluster.worker_addresses()) > 1:
        return "multiworker"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


def _one() -> tf.distribute.Strategy:
    _grow_memory()
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.OneDeviceStrategy(gpus[0].name if gpus else "/cpu:0")


@functools.cache  # a second strategy would number its collectives like the first
def _mirrored() -> tf.distribute.Strategy:
    _grow_memory()
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([d.name for d in devices])


def _multiworker() -> tf.distribute.Strategy:
    cluster.set_cluster()
    return tf.distribute.MultiWorkerMirroredStrategy()


def _tpu() -> tf.distribute.Strategy:
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver(
            os.environ.get("TPU_NAME", "")
        )
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise UserError(
            f"no TPU answered ({error}); set TPU_NAME, and run where one is attached."
        ) from error
    return tf.distribute.TPUStrategy(resolver)


def _grow_memory() -> None:
    for gpu in tf.config.list_physical_devices("GPU"):
        try:
            tf.config.experimental.set_memory_growth(gpu, True)
        except RuntimeError:
            return  # devices in use keep their settings


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """True if this process writes files: one worker of a cluster does."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def num_workers(strategy: tf.distribute.Strategy) -> int:
    """Returns the number of processes that train together."""
    return len(cluster.worker_addresses()) if _is_multiworker(strategy) else 1


def sum_over_replicas(strategy: tf.distribute.Strategy, value: float) -> float:
    """Sums a number over all replicas; every worker must call it."""
    return float(_summing(strategy)(tf.constant(value)))


@functools.cache
def _summing(strategy: tf.distribute.Strategy):
    @tf.function(autograph=False)
    def summing(value):
        per_replica = strategy.run(tf.identity, args=(value,))
        return strategy.reduce("SUM", per_replica, axis=None)

    return summing


def barrier(strategy: tf.distribute.Strategy) -> None:
    """Waits until all workers are here; every worker must call it."""
    if num_workers(strategy) > 1:
        sum_over_replicas(strategy, 1.0)


def chief_value(strategy: tf.distribute.Strategy, value: int) -> int:
    """Returns the chief's value on all workers; every worker must call it.

    Args:
        strategy: of the run.
        value: -1 or more, and below 2**40; what other workers give does not count.
    """
    if num_workers(strategy) == 1:
        return value
    value = value + 1 if is_chief(strategy) else 0
    local = strategy.num_replicas_in_sync // num_workers(strategy)
    parts = divmod(value, _EXACT)  # small enough for sums in float32
    high, low = (round(sum_over_replicas(strategy, p) / local) for p in parts)
    return high * _EXACT + low - 1


_EXACT = 1 << 20


def _is_multiworker(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


# ---------------------------------------------------------------------------
# Settings named "auto": functions of the device and of other settings, never of a clock


def device_kind() -> str:
    """Returns "GPU" if TensorFlow sees one, else "CPU"."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def resolve_precision(precision: str) -> str:
    """Chooses "bfloat16" or "float32" for precision="auto".

    bfloat16 on CPUs with instructions for it, where a step takes half the time. Else
    float32: other CPUs emulate bfloat16, and on an H100 it was no faster.
    """
    if precision != "auto":
        return precision
    native = device_kind() == "CPU" and _multiplies_in_bfloat16()
    return "bfloat16" if native else "float32"


def _multiplies_in_bfloat16() -> bool:
    """True if Linux lists bfloat16 instructions among the CPU's flags."""
    try:
        flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def resolve_jit(
    jit: str, kind: str, deterministic: bool = False, separable: bool = True
) -> str:
    """Chooses "on" or "off" for jit="auto": whether XLA compiles the training step.

    On for GPUs: an H100 takes about 100 ms per step at 64x64, 128x128 and 256x256
    (batches of 32, 16 and 8) alike, so that launching its operations took the time
    (2,300 then, a third of it now), and XLA launches fewer. That the compiled step is
    faster there is an inference, not a measurement. Off on CPUs: 51.9 ms per step
    against 21.3 (`demo` at 8x8, before launches became fewer). Off in
    deterministic runs, as TensorFlow promises repeatable results for its own kernels
    only, and where networks communicate.

    Args:
        jit: "off", "on" or "auto"; the first two are returned as they are.
        kind: `device_kind()`.
        deterministic: the run's setting.
        separable: False if networks take statistics over several devices, so that XLA
            would have to compile the communication.
    """
    if jit != "auto":
        return jit
    return "on" if kind == "GPU" and separable and not deterministic else "off"


def keep_compiled(folder: Path | str) -> None:
    """Has XLA keep what it compiles in a folder, and look there before it compiles.

    Without effect once TensorFlow has compiled or run a function, where TF_XLA_FLAGS
    names a folder already, and for a folder with a space in its name, at which
    TensorFlow would end the flag.
    """
    flags = os.environ.get("TF_XLA_FLAGS", "")
    if "persistent_cache_directory" not in flags and " " not in str(folder):
        named = f"--tf_xla_persistent_cache_directory={folder}"
        kinds = "--tf_xla_persistent_cache_device_types=CPU,GPU"
        os.environ["TF_XLA_FLAGS"] = f"{flags} {named} {kinds}".strip()


def resolve_modulation(modulation: str) -> str:
    """Chooses StyleGAN2's form of modulated convolution for modulation="auto".

    "maps" (scale the feature maps around one shared convolution) on every device. On
    CPUs "kernels" (one kernel per example) takes 1.1 to 4 times as long, as
    `benchmarks/modulation.py` shows. On GPUs neither was timed; a layer and its
    gradient have 49 operations to launch with "maps" and 137 with "kernels" (63 and 163
    where it doubles the resolution).
    """
    return "maps" if modulation == "auto" else modulation


# ---------------------------------------------------------------------------


def convolution_rate(precision: str) -> float:
    """Measures multiply-adds a second of a convolution and its gradients, on a device.

    It takes about a second.
    """
    side, channels, batch = (128, 128, 32) if device_kind() == "GPU" else (32, 64, 8)
    dtype = tf.bfloat16 if precision == "bfloat16" else tf.float32
    images = tf.ones([batch, side, side, channels], dtype)
    kernel = tf.ones([3, 3, channels, channels], dtype)

    @tf.function(autograph=False)
    def gradients(images):
        with tf.GradientTape() as tape:
            tape.watch([images, kernel])
            total = tf.reduce_sum(tf.nn.conv2d(images, kernel, 1, "SAME"))
        return [tf.reduce_sum(g) for g in tape.gradient(total, [images, kernel])]

    macs = 3 * batch * side * side * 9 * channels * channels
    best = math.inf
    for _ in range(RATE_TRIES + 1):  # the first one traces
        began = time.perf_counter()
        [x.numpy() for x in gradients(images)]
        best = min(best, time.perf_counter() - began)
    return macs / best


def dtype_policy(precision: str) -> keras.DTypePolicy:
    """Returns the Keras policy: float32, or bfloat16 arithmetic on float32 weights."""
    precision = resolve_precision(precision)
    names = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    return keras.DTypePolicy(names[precision])


def make_deterministic() -> None:
    """Makes kernels repeatable to the bit on GPUs, too, at some cost in speed."""
    tf.config.experimental.enable_op_determinism()


def gpu_memory() -> int | None:
    """Returns the bytes that TensorFlow may take of a GPU, the least of all of them.

    None on a CPU, and where TensorFlow does not tell.
    """
    if device_kind() != "GPU":
        return None
    options = tf.compat.v1.GPUOptions(allow_growth=True)  # else it takes all at once
    config = tf.compat.v1.ConfigProto(gpu_options=options)
    try:
        with tf.compat.v1.Session(graph=tf.Graph(), config=config) as session:
            found = session.list_devices()
    except tf.errors.OpError:
        return None
    limits = [d.memory_limit_bytes for d in found if d.device_type == "GPU"]
    return min(limits, default=None)


def resident_bytes() -> int | None:
    """Returns this process's resident memory, or its peak without /proc.

    None where the system tells neither, as on Windows.
    """
    try:
        statm = Path("/proc/self/statm").read_text(encoding="utf-8")
        return int(statm.split()[1]) * os.sysconf("SC_PAGESIZE")
    except OSError:
        return _peak_bytes()


def _peak_bytes() -> int | None:
    """Returns the most memory that this process has held; None on Windows."""
    try:
        import resource  # of Unix only
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024  # macOS counts bytes


def peak_memory_gb() -> dict[str, float]:
    """Returns the peak memory in GB of this process and of the first GPU, if any.

    The process's is missing where the system does not tell it, as on Windows.
    """
    peak = _peak_bytes()
    out = {} if peak is None else {"memory/cpu_gb": peak / 1e9}
    if tf.config.list_logical_devices("GPU"):
        info = tf.config.experimental.get_memory_info("GPU:0")
        out["memory/gpu_gb"] = info["peak"] / 1e9
    return out


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Switches TF32 off inside the context."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
