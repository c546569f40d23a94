"""Admission control: limits the images and bytes in flight, and admits requests only while the service is ready."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import NotReady, Overloaded


class Phase(enum.Enum):
    """The phases of the service's life."""

    STARTING = "starting"
    READY = "ok"
    DRAINING = "draining"


class Admission:
    """Counts the images and the body bytes in flight, and admits requests only while the service is ready.

    A request is checked before its body is read, so that an overloaded service rejects at next to no cost. Its slots
    are taken when the body is there, and kept until the answer is: clients that upload slowly hold none.

    Args:
        capacity: maximum images in flight.
        max_bytes: maximum bytes of bodies in flight, over all requests.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity, self._max_bytes = capacity, max_bytes
        self.images_in_flight = 0
        self.bytes_in_flight = 0
        self.phase = Phase.STARTING

    def open(self) -> None:
        """Admit requests from now on, unless the service is already draining."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def close(self) -> None:
        """Admit no more requests. Those in flight are completed."""
        self.phase = Phase.DRAINING

    def require_ready(self) -> None:
        """Check that the service is ready.

        Raises:
            NotReady: the service is starting or draining.
        """
        if self.phase is not Phase.READY:
            raise NotReady(f"the service is {self.phase.value}")

    def check(self) -> None:
        """Check that one more image could be admitted now, without taking a slot.

        Raises:
            NotReady, Overloaded: as ``admit``.
        """
        self.require_ready()
        self._check_slots(1)

    def overload(self) -> Overloaded | None:
        """Why one more image could not be admitted now; None if there is a free slot."""
        return self._overloaded() if self.images_in_flight >= self._capacity else None

    @contextmanager
    def admit(self) -> Iterator["Reservation"]:
        """A reservation, empty at first, that ends with the context.

        Raises:
            NotReady: the service is starting or draining.
            Overloaded: there is no free slot.
        """
        self.check()
        reservation = Reservation(self)
        try:
            yield reservation
        finally:
            self.images_in_flight -= reservation.images
            self.bytes_in_flight -= reservation.body_bytes

    def add_images(self, count: int) -> None:
        """Take image slots. The caller must release them.

        Raises:
            Overloaded: there are not enough free slots.
        """
        self._check_slots(count)
        self.images_in_flight += count

    def _check_slots(self, count: int) -> None:
        if self.images_in_flight + count > self._capacity:
            raise self._overloaded()

    def _overloaded(self) -> Overloaded:
        return Overloaded(f"{self.images_in_flight} images are in flight, and the capacity is {self._capacity}")

    def add_bytes(self, count: int) -> None:
        """Count body bytes. The caller must release them.

        Raises:
            Overloaded: the limit would be exceeded.
        """
        if self.bytes_in_flight + count > self._max_bytes:
            raise Overloaded(f"the bodies of the requests in flight are at their limit of {self._max_bytes} bytes")
        self.bytes_in_flight += count


class Reservation:
    """The image slots and body bytes of one request."""

    def __init__(self, admission: Admission) -> None:
        self._admission, self.images, self.body_bytes = admission, 0, 0

    def add_images(self, count: int) -> None:
        """Take more image slots: all of them or none.

        Raises:
            Overloaded: there are not enough free slots.
        """
        self._admission.add_images(count)
        self.images += count

    def add_bytes(self, count: int) -> None:
        """Count more body bytes.

        Raises:
            Overloaded: the limit of all requests would be exceeded.
        """
        self._admission.add_bytes(count)
        self.body_bytes += count
