"""How often something is done in a second, and how a figure varies from round to round."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence


def rate(calls: Sequence[Callable[[], object]], seconds: float) -> float:
    """CallPlan a second of all these callers side by side, each in a thread of its own, over and over for so long."""
    counts, ends = [0] * len(calls), time.perf_counter() + seconds

    def repeat(number: int) -> None:
        while time.perf_counter() < ends:
            calls[number]()
            counts[number] += 1

    threads = [threading.Thread(target=repeat, args=(number,)) for number in range(len(calls))]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts) / (time.perf_counter() - began)


def spread(values: Sequence[float], digits: int) -> list[float]:
    """Median, least and most, rounded to so many digits after the point."""
    return [round(value, digits) for value in (statistics.median(values), min(values), max(values))]
