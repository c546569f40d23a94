"""Seats are given out while the service is ready, and always come back."""

import pytest

from service.errors import NotReady, Overloaded
from service.inference.admission import Door, Phase


@pytest.fixture
def door() -> Door:
    door = Door(capacity=3, max_bytes=1000)
    door.open()
    return door


def test_nobody_comes_in_before_it_opens() -> None:
    with pytest.raises(NotReady, match="starting"), Door(capacity=1, max_bytes=1).admit():
        pass


def test_nobody_comes_in_after_it_closes(door: Door) -> None:
    with door.admit():
        door.close()
        with pytest.raises(NotReady, match="draining"), door.admit():
            pass
        assert door.seated == 1  # who is inside stays


def test_who_knocks_is_told_what_coming_in_would_and_takes_no_seat(door: Door) -> None:
    door.knock()
    assert door.seated == 0
    door.seat(3)
    with pytest.raises(Overloaded):
        door.knock()
    door.close()
    with pytest.raises(NotReady):
        door.knock()


def test_it_does_not_open_again_once_it_is_closed(door: Door) -> None:
    door.close()
    door.open()
    assert door.phase is Phase.DRAINING


def test_seats_are_counted_and_given_back(door: Door) -> None:
    with door.admit() as party:
        party.grow(2)
        assert door.seated == 3
        with pytest.raises(Overloaded), door.admit():
            pass
    assert door.seated == 0


def test_a_party_that_does_not_fit_takes_no_seat(door: Door) -> None:
    with door.admit(), door.admit() as party:
        with pytest.raises(Overloaded):
            party.grow(2)
        assert door.seated == 2
    assert door.seated == 0


def test_bytes_are_counted_and_let_go_of(door: Door) -> None:
    with door.admit() as party:
        party.carry(600)
        with door.admit() as other:
            other.carry(400)
            with pytest.raises(Overloaded):
                other.carry(1)
        assert door.held_bytes == 600
    assert door.held_bytes == 0


def test_seats_come_back_when_the_handling_fails(door: Door) -> None:
    def handle() -> None:
        with door.admit() as party:
            party.grow(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        handle()
    assert door.seated == 0
