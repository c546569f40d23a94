"""Call rates, percentiles, and the spread of figures over rounds."""

import statistics
import threading
import time
from collections.abc import Callable, Sequence


def rate(calls: Sequence[Callable[[], object]], seconds: float) -> float:
    """Calls per second of all callers together, each in its own thread, repeated for ``seconds`` seconds."""
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
    """Median, minimum and maximum, rounded to ``digits`` decimals."""
    return [round(value, digits) for value in (statistics.median(values), min(values), max(values))]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share of the values lies; of 1: the greatest. There is at least one value."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def percentiles(took: Sequence[float]) -> dict[str, float | None]:
    """Of latencies in milliseconds, rounded to tenths; None if there are none."""
    shares = {"p50_ms": 0.5, "p99_ms": 0.99}
    return {name: round(percentile(took, share), 1) if took else None for name, share in shares.items()}
