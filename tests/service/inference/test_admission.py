"""Slots are reserved while the service is ready, and always released."""

import pytest

from service.errors import NotReady, Overloaded
from service.inference.admission import Admission, Phase


@pytest.fixture
def admission() -> Admission:
    admission = Admission(capacity=3, max_bytes=1000)
    admission.open()
    return admission


def test_nothing_is_admitted_before_it_opens() -> None:
    with pytest.raises(NotReady, match="starting"), Admission(capacity=1, max_bytes=1).admit():
        pass


def test_nothing_is_admitted_after_it_closes(admission: Admission) -> None:
    with admission.admit() as reservation:
        reservation.add_images(1)
        admission.close()
        with pytest.raises(NotReady, match="draining"), admission.admit():
            pass
        assert admission.images_in_flight == 1  # the one in flight stays


def test_check_raises_what_admit_would_and_takes_no_slot(admission: Admission) -> None:
    admission.check()
    assert admission.images_in_flight == 0
    admission.add_images(3)
    with pytest.raises(Overloaded):
        admission.check()
    admission.close()
    with pytest.raises(NotReady):
        admission.check()


def test_it_does_not_open_again_once_it_is_closed(admission: Admission) -> None:
    admission.close()
    admission.open()
    assert admission.phase is Phase.DRAINING


def test_slots_are_counted_and_released(admission: Admission) -> None:
    with admission.admit() as reservation:
        assert admission.images_in_flight == 0  # none while the body arrives
        reservation.add_images(3)
        assert admission.images_in_flight == 3
        with pytest.raises(Overloaded), admission.admit():
            pass
    assert admission.images_in_flight == 0


def test_a_reservation_over_capacity_takes_no_slot(admission: Admission) -> None:
    with admission.admit() as other, admission.admit() as reservation:
        other.add_images(1)
        reservation.add_images(1)
        with pytest.raises(Overloaded):
            reservation.add_images(2)
        assert admission.images_in_flight == 2
    assert admission.images_in_flight == 0


def test_bytes_are_counted_and_released(admission: Admission) -> None:
    with admission.admit() as reservation:
        reservation.add_bytes(600)
        with admission.admit() as other:
            other.add_bytes(400)
            with pytest.raises(Overloaded):
                other.add_bytes(1)
        assert admission.bytes_in_flight == 600
    assert admission.bytes_in_flight == 0


def test_slots_are_released_when_the_request_fails(admission: Admission) -> None:
    def handle() -> None:
        with admission.admit() as reservation:
            reservation.add_images(1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        handle()
    assert admission.images_in_flight == 0
