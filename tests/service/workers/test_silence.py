"""Which workers are silent, by a clock of its own."""

from dataclasses import dataclass, field

import pytest

from service.telemetry.worker_table import NOT_ACCEPTING, WorkerTable
from service.workers.silence import Silence

TIMEOUT_S, GRACE_S = 10.0, 40.0


@dataclass
class Watched:
    """Two workers, of which both accept connections, and a parent that looks every second."""

    now: float = 100.0
    table: WorkerTable = field(default_factory=lambda: WorkerTable(2))
    silence: Silence = field(init=False)

    def __post_init__(self) -> None:
        self.silence = Silence(self.table, TIMEOUT_S, GRACE_S, clock=lambda: self.now)
        for worker in self.table.workers:
            self.table.set_load(worker, 0)
            self.table.beat(worker)
        self.silence.look()

    def after(self, seconds: int, *beating: int, step_s: float = 1.0) -> list[int]:
        """Which workers are silent after so many seconds in which these beat."""
        found = list[int]()
        for _ in range(int(seconds / step_s)):
            self.now += step_s
            for worker in beating:
                self.table.beat(worker)
            found = self.silence.look()
        return found


@pytest.fixture
def watched() -> Watched:
    return Watched()


def test_a_worker_that_stops_beating_is_silent_and_the_others_are_not(watched: Watched) -> None:
    assert watched.after(10, 0) == []
    assert watched.after(1, 0) == [1]
    assert watched.after(1, 0, 1) == []


def test_a_worker_that_starts_is_not_watched(watched: Watched) -> None:
    watched.silence.forget(1)
    assert watched.after(1000, 0) == []
    watched.table.beat(1)
    assert watched.after(12, 0) == [1]


def test_a_worker_that_shuts_down_has_its_grace(watched: Watched) -> None:
    watched.table.set_load(1, NOT_ACCEPTING)
    assert watched.after(50, 0) == []
    assert watched.after(1, 0) == [1]


def test_a_pause_of_the_whole_machine_is_no_silence(watched: Watched) -> None:
    assert watched.after(8 * 3600, step_s=8 * 3600) == []
    assert watched.after(1, 0, 1) == []
