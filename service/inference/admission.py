"""The door: how many images and bytes may be inside, and whether anybody may come in at all."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import NotReady, Overloaded


class Phase(enum.Enum):
    """Where in its life the service is."""

    STARTING = "starting"
    READY = "ok"
    DRAINING = "draining"


class Admission:
    """Counts seats, one an image, and the bytes of bodies, and lets in only while the service is ready.

    A seat is taken before the body is read and kept until the answer is there, so that what is refused is refused
    before it has cost anything.

    Args:
        capacity: most images inside.
        max_bytes: most bytes of bodies inside, of all requests together.
    """

    def __init__(self, capacity: int, max_bytes: int) -> None:
        self._capacity, self._max_bytes = capacity, max_bytes
        self.images_in_flight = 0
        self.bytes_in_flight = 0
        self.phase = Phase.STARTING

    def open(self) -> None:
        """Let requests in, unless the service is already on its way out."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def close(self) -> None:
        """Let nobody in any more; who is inside stays until answered."""
        self.phase = Phase.DRAINING

    def require_ready(self) -> None:
        """See that the door is open.

        Raises:
            NotReady: the service is starting or draining.
        """
        if self.phase is not Phase.READY:
            raise NotReady(f"the service is {self.phase.value}")

    def check(self) -> None:
        """See whether one more would be let in now, at the cost of a look.

        Raises:
            NotReady, Overloaded: as ``admit``.
        """
        self.require_ready()
        self._check_slots(1)

    @contextmanager
    def admit(self) -> Iterator["Reservation"]:
        """One seat, for as long as the context lasts; the party may take more, and carry bytes in.

        Raises:
            NotReady: the service is starting or draining.
            Overloaded: there is no free seat.
        """
        self.require_ready()
        reservation = Reservation(self)
        reservation.add_images(1)
        try:
            yield reservation
        finally:
            self.images_in_flight -= reservation.size
            self.bytes_in_flight -= reservation.body_bytes

    def seat(self, count: int) -> None:
        """Take seats that somebody gives back.

        Raises:
            Overloaded: there are not so many.
        """
        self._check_slots(count)
        self.images_in_flight += count

    def _check_slots(self, count: int) -> None:
        if self.images_in_flight + count > self._capacity:
            raise Overloaded(f"{self.images_in_flight} images are inside, {self._capacity} fit")

    def hold(self, count: int) -> None:
        """Take in bytes that somebody lets go of.

        Raises:
            Overloaded: it would be too many.
        """
        if self.bytes_in_flight + count > self._max_bytes:
            raise Overloaded("the requests inside hold as many bytes as fit")
        self.bytes_in_flight += count


class Reservation:
    """The images of one request, and the bytes they came in."""

    def __init__(self, admission: Admission) -> None:
        self._door, self.size, self.body_bytes = admission, 0, 0

    def add_images(self, count: int) -> None:
        """Take more seats, all of them or none.

        Raises:
            Overloaded: there are not so many.
        """
        self._door.seat(count)
        self.size += count

    def add_bytes(self, count: int) -> None:
        """Bring in more bytes.

        Raises:
            Overloaded: it would be too many.
        """
        self._door.hold(count)
        self.body_bytes += count
