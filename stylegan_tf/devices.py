"""Which devices a run uses, and how exactly it computes on them.

Must be called before anything else touches TensorFlow's devices: a multi-worker
strategy has to be made first.
"""

import contextlib
import functools
import json
import os
import resource
from collections.abc import Iterator
from pathlib import Path

import keras
import tensorflow as tf

from stylegan_tf.errors import UserError

STRATEGIES = ("auto", "one", "mirrored", "multiworker", "tpu")


def make_strategy(name: str = "auto") -> tf.distribute.Strategy:
    """The distribution strategy of that name.

    Args:
        name: "one" (the first GPU, or the CPU), "mirrored" (all GPUs of this machine,
            or its logical CPU devices), "multiworker" (as the variable TF_CONFIG says),
            "tpu" (as TPU_NAME says), or "auto" (several workers in TF_CONFIG, then
            several GPUs, then one device).

    Raises:
        UserError: what the name asks for is not there.
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
    if len(_workers()) > 1:
        return "multiworker"
    return "mirrored" if len(tf.config.list_physical_devices("GPU")) > 1 else "one"


def _workers() -> list[str]:
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG") or "{}").get("cluster", {})
    except ValueError as error:
        raise UserError(f"TF_CONFIG is not JSON: {error}") from error
    return cluster.get("chief", []) + cluster.get("worker", [])


def _one() -> tf.distribute.Strategy:
    _grow_memory()
    gpus = tf.config.list_logical_devices("GPU")
    return tf.distribute.OneDeviceStrategy(gpus[0].name if gpus else "/cpu:0")


@functools.cache  # a second one would number its collectives like the first
def _mirrored() -> tf.distribute.Strategy:
    _grow_memory()
    gpus = tf.config.list_logical_devices("GPU")
    devices = gpus or tf.config.list_logical_devices("CPU")
    return tf.distribute.MirroredStrategy([d.name for d in devices])


def _multiworker() -> tf.distribute.Strategy:
    if not _workers():
        raise UserError(
            "strategy=multiworker needs TF_CONFIG with the cluster's workers and this "
            "one's task; see the README's section on several machines."
        )
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
            return  # devices are in use already: their settings stay


def is_chief(strategy: tf.distribute.Strategy) -> bool:
    """Whether this process writes: true but on the other workers of a cluster."""
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    return resolver.task_type == "chief" or (
        resolver.task_type == "worker"
        and resolver.task_id == 0
        and "chief" not in resolver.cluster_spec().jobs
    )


def workers(strategy: tf.distribute.Strategy) -> int:
    """Processes that train together."""
    return len(_workers()) if _is_multiworker(strategy) else 1


def total(strategy: tf.distribute.Strategy, value: float) -> float:
    """Sum of a number over all replicas; every worker must call it."""
    return float(_summing(strategy)(tf.constant(value)))


@functools.cache
def _summing(strategy: tf.distribute.Strategy):
    @tf.function(autograph=False)
    def summing(value):
        per_replica = strategy.run(tf.identity, args=(value,))
        return strategy.reduce("SUM", per_replica, axis=None)

    return summing


def meet(strategy: tf.distribute.Strategy) -> None:
    """Workers wait here for each other; nothing to do on one."""
    if workers(strategy) > 1:
        total(strategy, 1.0)


def _is_multiworker(strategy: tf.distribute.Strategy) -> bool:
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


# ---------------------------------------------------------------------------
# Settings named "auto": functions of the device and of other settings, never of a clock


def device_kind() -> str:
    """Returns "GPU" if TensorFlow sees one, else "CPU"."""
    return "GPU" if tf.config.list_physical_devices("GPU") else "CPU"


def resolve_precision(precision: str) -> str:
    """The precision that "auto" stands for here; any other name is itself.

    bfloat16 on a CPU that multiplies in it, where it takes half the time. Elsewhere
    float32: other CPUs imitate it, and on an H100 it was no faster.
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


def resolve_jit(jit: str, kind: str, replicas: int = 1, deterministic=False) -> str:
    """Chooses whether XLA compiles the training step, "on" or "off", for jit="auto".

    On for one GPU: an H100 takes about 100 ms per step at 64x64, 128x128 and 256x256
    alike, so that launching its 2,300 operations takes the time, and XLA launches
    fewer. That the compiled step is faster there is an inference, not a measurement.
    Off on CPUs: 51.9 ms per step against 21.3 (`demo` at 8x8). Off on several devices,
    where the step talks to other replicas, and in deterministic runs, since XLA draws
    other random numbers than TensorFlow's kernels.

    Args:
        jit: "off", "on" or "auto"; the first two are returned as they are.
        kind: `device_kind()`.
        replicas: devices of the strategy.
        deterministic: the run's setting.
    """
    if jit != "auto":
        return jit
    return "on" if kind == "GPU" and replicas == 1 and not deterministic else "off"


def resolve_modulation(modulation: str) -> str:
    """Chooses the form of StyleGAN2's modulated convolution for modulation="auto".

    "maps" (scale the feature maps around one shared convolution) on every device. On
    CPUs "kernels" (one kernel per example) takes 1.1 to 4 times as long, as
    `benchmarks/modulation.py` shows. On GPUs neither was measured; "kernels" has no
    fewer operations to launch there.
    """
    return "maps" if modulation == "auto" else modulation


# ---------------------------------------------------------------------------


def dtype_policy(precision: str) -> keras.DTypePolicy:
    """float32, or bfloat16 arithmetic on float32 weights."""
    precision = resolve_precision(precision)
    names = {"float32": "float32", "bfloat16": "mixed_bfloat16"}
    return keras.DTypePolicy(names[precision])


def make_deterministic() -> None:
    """Bit-for-bit repeatable kernels on GPUs too, at some cost in speed."""
    tf.config.experimental.enable_op_determinism()


def resident_bytes() -> int:
    """Memory that this process holds now; where the system does not tell, its peak."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return pages * resource.getpagesize()


def memory_gb() -> dict[str, float]:
    """Peak memory so far in GB: of this process, and of the first GPU if any."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    out = {"memory/cpu_gb": peak}
    if tf.config.list_logical_devices("GPU"):
        info = tf.config.experimental.get_memory_info("GPU:0")
        out["memory/gpu_gb"] = info["peak"] / 1e9
    return out


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """No TF32 in here; afterwards it is as it was."""
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    tf.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)
