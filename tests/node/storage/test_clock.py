"""The ledger when the machine's clock is set, or the machine or the node was off."""

from pathlib import Path

import pytest

from node.storage.clock import LONGEST_STOP_S, TOLERANCE_S, Reading, read_clock
from node.storage.ledger import Ledger
from node.storage.records import DEAD, WAITING
from tests.node.storage.clock import Clock

HOUR_S, YEAR_S = 3600.0, 365 * 86400.0
SET = [YEAR_S, 3600.0, -3600.0, -1e9]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Ledger:
    """A ledger with an object and a result that have waited for an hour, a dead letter, and what has been delivered."""
    ledger = Ledger(tmp_path / "ledger.sqlite", clock)
    for uid in ("waits", "dead", "done"):
        ledger.add(uid)
    ledger.close_object("dead", DEAD, "")
    ledger.answer("done", [("sr", "pacs", "9.9")])
    clock.passes(HOUR_S)
    ledger.note_time()
    return ledger


def kept(ledger: Ledger, age_s: float) -> bool:
    """Whether what is now younger than ``age_s`` is there, as it was."""
    assert ledger.give_up_older(age_s) == 0
    assert ledger.expire(dead_s=age_s, remember_s=age_s) == 0
    assert ledger.state("done")
    return (ledger.state("waits"), ledger.state("dead")) == (WAITING, DEAD)


@pytest.mark.parametrize("by", SET)
def test_a_clock_that_is_set_while_the_node_runs_makes_nothing_older_or_younger(
    ledger: Ledger, clock: Clock, by: float
) -> None:
    clock.now += by
    clock.passes(60)
    assert kept(ledger, HOUR_S + 61)
    ledger.add("new")  # noted by the new clock
    clock.passes(60)
    assert ledger.give_up_older(HOUR_S) == 2
    assert ledger.state("new") == WAITING
    assert ledger.expire(dead_s=HOUR_S, remember_s=HOUR_S) == 1


@pytest.mark.parametrize("by", SET)
def test_a_pause_takes_as_long_as_it_should(ledger: Ledger, clock: Clock, by: float) -> None:
    ledger.postpone_object("waits", 60, "down")
    clock.now += by
    assert ledger.due_objects(10) == []
    clock.passes(60)
    assert [item.uid for item in ledger.due_objects(10)] == ["waits"]


@pytest.mark.parametrize("by", SET)
def test_a_clock_that_is_set_while_no_node_runs_is_noticed(
    ledger: Ledger, clock: Clock, tmp_path: Path, by: float
) -> None:
    ledger.close()
    clock.now += by
    clock.passes(60)
    again = Ledger(tmp_path / "ledger.sqlite", clock)
    assert kept(again, HOUR_S + 61)
    assert again.give_up_older(HOUR_S) == 2


@pytest.mark.parametrize(("off_s", "counts"), [(60, 60), (-1e9, 0), (YEAR_S, LONGEST_STOP_S)])
def test_of_the_time_in_which_the_machine_was_off_a_day_counts_at_most(
    ledger: Ledger, clock: Clock, tmp_path: Path, off_s: float, counts: float
) -> None:
    ledger.close()
    clock.restart(off_s)
    again = Ledger(tmp_path / "ledger.sqlite", clock)
    assert kept(again, HOUR_S + counts + 1)
    assert again.give_up_older(HOUR_S + counts - 1) == 2


def test_of_the_time_in_which_the_node_was_stopped_a_day_counts_at_most(ledger: Ledger, clock: Clock) -> None:
    clock.passes(30 * LONGEST_STOP_S)
    assert kept(ledger, HOUR_S + LONGEST_STOP_S + 1)


def test_a_minute_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    clock.now += TOLERANCE_S - 1
    assert ledger.give_up_older(HOUR_S) == 2


def test_a_ledger_of_an_earlier_version_is_taken_as_it_is(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ledger._write("DROP TABLE clock")
    ledger.close()
    clock.restart(60)
    again = Ledger(tmp_path / "ledger.sqlite", clock)
    assert kept(again, HOUR_S + 61)


def test_another_process_notices_it_too_and_it_counts_once(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "ledger.sqlite", clock)
    other.note_time()
    clock.now += YEAR_S
    assert other.retry(["*"]) == 1
    assert kept(ledger, HOUR_S + 1) is False  # the dead letter waits again
    assert ledger.state("waits") == WAITING


def test_the_machine_has_a_clock() -> None:
    first, second = read_clock(), read_clock()
    assert isinstance(first, Reading)
    assert first.boot == second.boot
    assert first.running <= second.running
