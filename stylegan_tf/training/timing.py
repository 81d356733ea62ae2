"""Seconds of pieces of work that take turns: machines drift, neighbors do so alike."""

import statistics
import time
from collections.abc import Callable, Mapping


def in_turns(work: Mapping[str, Callable[[], object]], repeats: int) -> dict:
    """Medians of so many timings of each, after a first one that does not count.

    Args:
        work: name -> what returns when it is done; it is compiled the first time.
        repeats: timings.
    """
    seen: dict[str, list[float]] = {name: [] for name in work}
    for k in range(repeats + 1):
        for name, one in work.items():
            began = time.perf_counter()
            one()
            if k:
                seen[name].append(time.perf_counter() - began)
    return {name: statistics.median(times) for name, times in seen.items()}
