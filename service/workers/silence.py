"""Finds workers that are silent: stopped, or with an event loop that hangs. Their connections would hang for ever."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from service.telemetry.worker_table import NOT_ACCEPTING, WorkerTable

# Seconds between two looks that count as silence at most. After a longer pause the parent itself did not run (the
# machine was suspended, the container frozen), and neither did the workers.
_MAX_STEP_S = 2.0


@dataclass(slots=True)
class _Heard:
    beats: int = 0
    silent_s: float = 0.0


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
        self._heard = {worker: _Heard() for worker in table.workers}
        self._looked_at = clock()

    def forget(self, worker: int) -> None:
        """A new process takes the place of this worker."""
        self._table.reset_beats(worker)
        self._heard[worker] = _Heard()

    def look(self) -> list[int]:
        """The workers that have been silent for too long."""
        now = self._clock()
        step_s, self._looked_at = min(now - self._looked_at, _MAX_STEP_S), now
        return [worker for worker in self._table.workers if self._silent_s(worker, step_s) > self._limit_s(worker)]

    def _silent_s(self, worker: int, step_s: float) -> float:
        heard, beats = self._heard[worker], self._table.beats(worker)
        if beats and beats == heard.beats:
            heard.silent_s += step_s
        else:
            heard.beats, heard.silent_s = beats, 0.0
        return heard.silent_s

    def _limit_s(self, worker: int) -> float:
        is_shutting_down = self._table.load(worker) == NOT_ACCEPTING
        return self._timeout_s + (self._grace_s if is_shutting_down else 0.0)
