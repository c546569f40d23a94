"""Finds event loops that are silent: of processes that are stopped, or in which something hangs."""

import time
from collections.abc import Callable

from service.telemetry.worker_table import NOT_ACCEPTING, WorkerTable

# Seconds between two looks that count as silence at most. After a longer pause the observer itself did not run (the
# machine was suspended, the container frozen), and neither did what it observes.
_MAX_STEP_S = 2.0


class Heartbeat:
    """Observes a number that an event loop counts up.

    Args:
        clock: monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._observed_at = clock, clock()
        self._beats, self._silent_s = 0, 0.0

    def observe(self, beats: int) -> float:
        """For how many seconds the number has not changed; 0 until the first beat."""
        now = self._clock()
        step_s, self._observed_at = min(now - self._observed_at, _MAX_STEP_S), now
        self._silent_s = self._silent_s + step_s if beats and beats == self._beats else 0.0
        self._beats = beats
        return self._silent_s


class Silence:
    """Watches the heartbeats of the workers in the shared table.

    A worker beats ten times a second once it accepts connections. Before that, while it loads its model, it is not
    watched. A worker that shuts down no longer beats; it may take as long as its grace.

    Args:
        table: shared with the workers.
        timeout_s: silence after which a worker is reported.
        grace_s: the same for a worker that shuts down.
        clock: monotonic, in seconds.
    """

    def __init__(
        self, table: WorkerTable, timeout_s: float, grace_s: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._table, self._timeout_s, self._grace_s, self._clock = table, timeout_s, grace_s, clock
        self._heartbeats = {worker: Heartbeat(clock) for worker in table.workers}

    def forget(self, worker: int) -> None:
        """A new process takes the place of this worker."""
        self._table.reset_beats(worker)
        self._heartbeats[worker] = Heartbeat(self._clock)

    def look(self) -> list[int]:
        """The workers that have been silent for too long."""
        beats = self._table.beats
        silent_s = {worker: each.observe(beats(worker)) for worker, each in self._heartbeats.items()}
        return [worker for worker in silent_s if silent_s[worker] > self._limit_s(worker)]

    def _limit_s(self, worker: int) -> float:
        is_shutting_down = self._table.load(worker) == NOT_ACCEPTING
        return self._timeout_s + (self._grace_s if is_shutting_down else 0.0)
