"""The ledger: what is remembered, for how long, and what becomes of what waits too long."""

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from node.pauses import LONGEST_PAUSE_S
from node.storage.ledger import Ledger
from node.storage.records import ANSWERED, DEAD, DELIVERED, EXPIRED, OWN, WAITING
from tests.node.storage.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.sqlite", clock)
    yield ledger
    ledger.close()


def test_an_object_is_added_once(ledger: Ledger) -> None:
    assert ledger.state("1.2") is None
    assert ledger.add("1.2")
    assert not ledger.add("1.2")
    assert [item.uid for item in ledger.due_objects(10)] == ["1.2"]


@pytest.mark.parametrize("state", [DEAD, EXPIRED])
def test_what_was_given_up_is_added_again(ledger: Ledger, state: str) -> None:
    ledger.add("1.2")
    ledger.close_object("1.2", state, "reason")
    assert ledger.add("1.2")
    assert ledger.state("1.2") == WAITING


@pytest.mark.parametrize("state", [ANSWERED, OWN])
def test_what_was_answered_is_not(ledger: Ledger, state: str) -> None:
    ledger.add("1.2")
    ledger.close_object("1.2", state, "")
    assert not ledger.add("1.2")


def test_a_postponed_object_is_due_after_its_pause(ledger: Ledger, clock: Clock) -> None:
    ledger.add("1.2")
    ledger.postpone_object("1.2", 60, "down")
    assert ledger.due_objects(10) == []
    clock.passes(60)
    assert [(item.uid, item.tries) for item in ledger.due_objects(10)] == [("1.2", 1)]


def test_a_clock_that_is_set_back_delays_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.add("1.2")
    ledger.answer("1.3", [("sr", "pacs", "9.9")])
    clock.now -= 3600
    assert [item.uid for item in ledger.due_objects(10)] == ["1.2"]
    assert [delivery.uid for delivery in ledger.due_deliveries("pacs", 10)] == ["1.3"]
    ledger.postpone_object("1.2", LONGEST_PAUSE_S, "down")
    assert ledger.due_objects(10) == []


def test_the_results_of_an_object_are_due_at_each_destination(ledger: Ledger, clock: Clock) -> None:
    ledger.add("1.2")
    ledger.answer("1.2", [("sr", "a", "9.1"), ("sr", "b", "9.1")])
    assert ledger.state("1.2") == ANSWERED
    assert ledger.is_result("9.1")
    assert not ledger.is_result("1.2")
    (first,) = ledger.due_deliveries("a", 10)
    ledger.close_delivery(first, DELIVERED)
    assert ledger.due_deliveries("a", 10) == []
    assert ledger.needs_result("1.2", "sr")  # b has not got it
    (second,) = ledger.due_deliveries("b", 10)
    ledger.postpone_delivery(second, 60, "down")
    assert ledger.due_deliveries("b", 10) == []
    clock.passes(60)
    (second,) = ledger.due_deliveries("b", 10)
    assert second.tries == 1
    ledger.close_delivery(second, DELIVERED)
    assert not ledger.needs_result("1.2", "sr")


def test_an_object_answered_twice_keeps_what_was_delivered(ledger: Ledger) -> None:
    """The node may be killed between the two."""
    ledger.add("1.2")
    ledger.answer("1.2", [("sr", "a", "9.1")])
    ledger.close_delivery(ledger.due_deliveries("a", 1)[0], DELIVERED)
    ledger.answer("1.2", [("sr", "a", "9.1")])
    assert ledger.due_deliveries("a", 10) == []


def test_dead_letters_are_listed_and_retried_by_uid_or_all(ledger: Ledger) -> None:
    for uid in ("1.2", "1.3"):
        ledger.add(uid)
        ledger.close_object(uid, DEAD, "422 lateral-view")
    ledger.answer("1.4", [("sr", "a", "9.1")])
    ledger.close_delivery(ledger.due_deliveries("a", 1)[0], DEAD, "status 0xA900")
    found = [(letter.uid, letter.kind, letter.destination, letter.reason) for letter in ledger.dead_letters()]
    assert sorted(found) == [
        ("1.2", "", "", "422 lateral-view"),
        ("1.3", "", "", "422 lateral-view"),
        ("1.4", "sr", "a", "status 0xA900"),
    ]
    assert ledger.retry(["1.2", "7"]) == 1
    assert ledger.retry(["*"]) == 2
    assert ledger.dead_letters() == []
    assert {item.uid for item in ledger.due_objects(10)} == {"1.2", "1.3"}


def test_what_waits_too_long_becomes_a_dead_letter_and_a_retry_gives_it_as_long_again(
    ledger: Ledger, clock: Clock
) -> None:
    ledger.add("1.2")
    ledger.postpone_object("1.2", 1, "the service is down")
    ledger.answer("1.3", [("sr", "a", "9.1")])
    clock.passes(100)
    assert ledger.give_up_older(200) == 0
    assert ledger.give_up_older(50) == 2
    assert {letter.reason for letter in ledger.dead_letters()} == {
        "waited too long (max_age_h). the service is down",
        "waited too long (max_age_h).",
    }
    assert ledger.retry(["*"]) == 2
    assert ledger.give_up_older(50) == 0


def test_dead_letters_expire_and_what_is_old_is_forgotten(ledger: Ledger, clock: Clock) -> None:
    ledger.add("1.2")
    ledger.close_object("1.2", DEAD, "")
    ledger.add("1.3")
    ledger.answer("1.3", [("sr", "a", "9.1")])
    ledger.add("1.4")
    clock.passes(100)
    assert ledger.expire(dead_s=50, remember_s=1000) == 1
    assert ledger.state("1.2") == EXPIRED
    clock.passes(10_000)
    ledger.expire(dead_s=50, remember_s=1000)
    assert ledger.state("1.2") is None
    assert ledger.state("1.3") is None
    assert ledger.state("1.4") == WAITING
    assert len(ledger.due_deliveries("a", 10)) == 1


def test_counts(ledger: Ledger, clock: Clock) -> None:
    assert ledger.counts().oldest is None
    ledger.answer("1.1", [("sr", "a", "9.1")])
    clock.passes(5)
    ledger.add("1.2")
    ledger.add("1.3")
    counts = ledger.counts()
    assert counts.objects == {WAITING: 2}
    assert counts.deliveries == {("a", WAITING): 1}
    assert counts.oldest == 1e9


def test_another_process_may_use_it_at_the_same_time(ledger: Ledger, tmp_path: Path) -> None:
    other = Ledger(tmp_path / "ledger.sqlite")
    ledger.add("1.2")
    ledger.close_object("1.2", DEAD, "")
    assert other.retry(["*"]) == 1
    assert ledger.state("1.2") == WAITING
    other.close()


def test_an_error_by_which_sqlite_ends_the_transaction_itself_is_the_one_that_is_seen(ledger: Ledger) -> None:
    """As it does where the disk is full."""

    def write() -> None:
        with ledger._transaction() as db:
            db.execute("ROLLBACK")
            raise sqlite3.OperationalError("database or disk is full")

    with pytest.raises(sqlite3.OperationalError, match="disk is full"):
        write()
    assert ledger.add("1.2")
