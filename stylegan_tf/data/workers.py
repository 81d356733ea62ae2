"""Runs one function over many tasks on all cores.

The workers are fresh Python processes that speak pickle over pipes. They import only
what the function needs, so they start in a fraction of a second beside a process that
holds TensorFlow, and unlike multiprocessing's they do not import the user's script a
second time: no `if __name__ == "__main__"` is asked of a script that trains.
"""

import contextlib
import os
import pickle
import queue
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from stylegan_tf.errors import UserError

_AHEAD = 2  # tasks a worker that are handed out before their turn comes
# A worker has no use for threads beside its core, and Pillow may keep 128 MB of one
# picture's memory for the next one; unless the user has said otherwise.
_SETTINGS = {"OPENBLAS_NUM_THREADS": "1", "PILLOW_BLOCKS_MAX": "8"}
_COMMAND = "{first}from stylegan_tf.data.workers import _serve; _serve()"


def cores() -> int:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextlib.contextmanager
def ready(count: int, module: str) -> Iterator[list[subprocess.Popen]]:
    """Workers that start while their tasks are still being decided.

    Args:
        count: processes; fewer than two are none.
        module: what they import meanwhile.
    """
    processes = [_start(module) for _ in range(count if count > 1 else 0)]
    try:
        yield processes
    finally:
        _end(processes)


def run_tasks(
    function: Callable[[Any, Any], Any],
    shared: Any,
    tasks: Iterable,
    workers: int,
    processes: Sequence[subprocess.Popen] = (),
) -> Iterator:
    """Yields `function(shared, task)` for every task, in the order of the tasks.

    Args:
        function: defined at the top of a module, so that it can be pickled.
        shared: first argument of every call, sent to each worker once.
        tasks: second arguments.
        workers: processes to use; 1 computes in this process.
        processes: as many from `ready`, or none: started here. Their last work.

    Raises:
        UserError: a worker died, for want of memory as a rule.
        Exception: whatever `function` raised.
    """
    if workers <= 1:
        yield from (function(shared, task) for task in tasks)
        return
    idle: queue.Queue = queue.Queue()
    processes = processes or [_start() for _ in range(workers)]
    pool = ThreadPoolExecutor(workers)
    try:
        for process in processes:
            idle.put((process, (function, shared)))
        yield from _in_order(pool, idle, tasks, workers)
    finally:
        for process in processes:  # first, so that no thread waits for an answer
            process.kill()
        pool.shutdown(cancel_futures=True)
        _end(processes)


def _end(processes: Sequence[subprocess.Popen]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        for pipe in (process.stdin, process.stdout):
            with contextlib.suppress(
                OSError
            ):  # what was never sent, for nobody to read
                pipe.close()
        process.wait()


def _in_order(
    pool: ThreadPoolExecutor, idle: queue.Queue, tasks: Iterable, workers: int
) -> Iterator:
    pending: deque = deque()
    for task in tasks:
        pending.append(pool.submit(_call, idle, task))
        if len(pending) >= _AHEAD * workers:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


def _call(idle: queue.Queue, task: Any) -> Any:
    """Sends a task to an idle worker and waits for its answer."""
    process, setup = idle.get()
    try:
        if setup is not None:
            _send(process.stdin, setup)
        _send(process.stdin, task)
        good, answer = pickle.load(process.stdout)
    except (EOFError, OSError, pickle.UnpicklingError) as e:
        raise UserError(
            "a worker process was killed, probably for want of memory; run the same "
            "command again with fewer workers (--workers=1): it goes on from here."
        ) from e
    finally:
        idle.put((process, None))
    if not good:
        raise answer
    return answer


def _send(pipe, message: Any) -> None:
    pickle.dump(message, pipe, protocol=pickle.HIGHEST_PROTOCOL)
    pipe.flush()


# ---------------------------------------------------------------------------
# The worker's side


def _start(module: str = "") -> subprocess.Popen:
    """A worker with the modules in reach that this process has in reach.

    Args:
        module: to import at once, if any.
    """
    reach = os.pathsep.join(path or "." for path in sys.path)
    # Lazy: it has no use either for the networks that the package loads otherwise.
    own = {"PYTHONPATH": reach, "STYLEGAN_TF_LAZY": "1"}
    environment = _SETTINGS | os.environ | own
    return subprocess.Popen(
        [sys.executable, "-c", _COMMAND.format(first=module and f"import {module}; ")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment,
        # A process group of its own: Ctrl-C reaches this process alone, which ends its
        # workers; when this one is killed, theirs ends with the pipe.
        start_new_session=True,
    )


def _serve() -> None:
    """Answers tasks from standard input until it closes."""
    tasks = sys.stdin.buffer
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not end up among the answers
    try:
        function, shared = pickle.load(tasks)
        while True:
            _send(answers, _attempt(function, shared, pickle.load(tasks)))
    except (EOFError, BrokenPipeError):
        pass


def _attempt(function: Callable, shared: Any, task: Any) -> tuple[bool, Any]:
    try:
        return True, function(shared, task)
    except Exception as e:
        return False, e
