"""Runs one function over many chunks of a source on all cores, by joblib's loky.

Loky starts fresh Python processes. Unlike those of multiprocessing they do not import
the user's script a second time: a script that trains needs no
`if __name__ == "__main__"`. They import only what their tasks need, which is no
TensorFlow, so they start in half a second beside a process that holds it.
"""

import contextlib
import os
import pickle
import signal
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future
from multiprocessing import resource_tracker
from pathlib import Path
from typing import TypeVar

from joblib.externals.loky import ProcessPoolExecutor
from joblib.externals.loky.process_executor import BrokenProcessPool

from stylegan_tf.data.sources.base import Source
from stylegan_tf.errors import UserError

Task = TypeVar("Task")
Result = TypeVar("Result")
_AHEAD = 2  # tasks per process that are handed out before their turn comes
# A process needs no threads beside its core. Pillow may keep up to 128 MB of one
# image's memory for the next one; eight blocks, unless the user says otherwise.
_SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "PILLOW_BLOCKS_MAX": "8"}
_WATCH_SECONDS = 1.0
_START_PAYS = 1.0  # seconds of work; less is done before processes have started


def count_cores() -> int:
    """Number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def run_tasks(
    function: Callable[[Source, Task], Result],
    source: Source,
    tasks: Sequence[Task],
    workers: int,
) -> Generator[Result, None, None]:
    """Yields `function(source, task)` for every task, in the order of the tasks.

    This process works until the others are ready. It starts them after the first task,
    if there is work for more than `_START_PAYS` seconds, and ends them with the tasks
    or when the iterator is closed.

    Args:
        function: defined at the top of a module, so that it can be pickled.
        source: first argument of every call. Each process unpickles it once.
        tasks: second arguments.
        workers: number of processes; with 1, this process does all the work.

    Raises:
        UserError: a process was killed, usually for want of memory.
        Exception: raised by `function`.
    """
    began, pending = time.perf_counter(), deque()
    pool: ProcessPoolExecutor | None = None
    ready: Future = Future()
    with contextlib.ExitStack() as stack, _death_told():
        for i, task in enumerate(tasks):
            if pool is not None and ready.done():
                pending.append(pool.submit(_call, function, task))
                if len(pending) >= _AHEAD * workers:
                    yield pending.popleft().result()
                continue
            result = function(source, task)
            seconds = (time.perf_counter() - began) * len(tasks)
            if i == 0 and workers > 1 and seconds > _START_PAYS:
                pool, ready = stack.enter_context(_started(source, workers))
            yield result
        while pending:
            yield pending.popleft().result()


@contextlib.contextmanager
def _started(
    source: Source, workers: int
) -> Iterator[tuple[ProcessPoolExecutor, Future]]:
    """A pool of processes, and a future that is done when one of them is ready."""
    with tempfile.TemporaryDirectory() as folder:
        # In a file: among the arguments, a long list of names would fill the pipe of
        # each process, so that they would start one after the other.
        path = Path(folder) / "source.pickle"
        path.write_bytes(pickle.dumps(source))
        # Lazy: the package does not load its networks, which need TensorFlow.
        environment = _SETTINGS | os.environ | {"STYLEGAN_TF_LAZY": "1"}
        start = {"initializer": _begin, "initargs": (path, os.getpid())}
        pool = ProcessPoolExecutor(workers, env=environment, **start)
        finished = False
        try:
            with _without_interrupts():
                ready = pool.submit(int)  # the first task starts the processes
            yield pool, ready
            finished = True
        finally:
            pool.shutdown(kill_workers=not finished)


@contextlib.contextmanager
def _death_told() -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as e:
        raise UserError(
            "a worker process was killed, probably for want of memory; run the same "
            "command again with fewer workers (--workers=1): it goes on from here."
        ) from e


@contextlib.contextmanager
def _without_interrupts() -> Iterator[None]:
    """Blocks Ctrl-C in processes that are started inside: only this one answers it."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # before: to start it unblocks the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


# ---------------------------------------------------------------------------
# In a worker process

_sources: list[Source] = []


def _begin(path: Path, parent: int) -> None:
    """Prepares a worker process for its tasks."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # standard output is the user's
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    _sources[:] = [pickle.loads(path.read_bytes())]


def _end_with(parent: int) -> None:
    """Ends this process soon after `parent`, even if that was killed."""
    while os.getppid() == parent:
        time.sleep(_WATCH_SECONDS)
    os._exit(1)


def _call(function: Callable[[Source, Task], Result], task: Task) -> Result:
    return function(_sources[0], task)
