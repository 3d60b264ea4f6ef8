"""How the benchmarks measure: CPU time, of rivals that take turns."""

import time
from collections.abc import Callable


def seconds(rivals: list[Callable[[], object]], rounds: int) -> list[float]:
    """CPU time of each rival's fastest round; they take turns, so noise meets them all."""
    times: list[list[float]] = [[] for _ in rivals]
    for _ in range(rounds):
        for run, column in zip(rivals, times, strict=True):
            start = time.process_time()
            run()
            column.append(time.process_time() - start)
    return [min(column) for column in times]
