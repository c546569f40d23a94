"""Deferred updates of metrics: some hundred at once cost a fraction of what they cost one by one.

Between two images the caches of a CPU hold the decoder and the model, and each update of a metric would have to fetch
its own code and data first (docs/decisions/0040-the-thread-that-decodes-scores.md).
"""

from collections import deque
from collections.abc import Callable, Iterable

from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

# Some forty requests; they are applied in less than a millisecond.
_MOST = 256


class DeferredUpdates(Collector):
    """Defers updates until there are many, or until the registry is collected in which this is registered first.
    Thread-safe.
    """

    def __init__(self) -> None:
        self._updates: deque[Callable[[], object]] = deque()

    def add(self, update: Callable[[], object]) -> None:
        """Defer an update."""
        self._updates.append(update)
        if len(self._updates) >= _MOST:
            self.apply()

    def apply(self) -> None:
        """Apply all updates, oldest first."""
        while self._updates:
            try:
                update = self._updates.popleft()
            except IndexError:  # another thread has applied the last one
                return
            update()

    def collect(self) -> Iterable[Metric]:
        """No metrics: those that are collected after this one have their values now."""
        self.apply()
        return ()
