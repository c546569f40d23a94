"""The door: how many images may be inside, and whether anybody may come in at all."""

import enum
from collections.abc import Iterator
from contextlib import contextmanager

from service.errors import NotReady, Overloaded


class Phase(enum.Enum):
    """Where in its life the service is."""

    STARTING = "starting"
    READY = "ok"
    DRAINING = "draining"


class Door:
    """Counts seats, one an image, and gives them out only while the service is ready.

    A seat is taken before the body is read and kept until the answer is there, so that what is refused is refused
    before it has cost anything.
    """

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self.seated = 0
        self.phase = Phase.STARTING

    def open(self) -> None:
        """Let requests in, unless the service is already on its way out."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.READY

    def close(self) -> None:
        """Let nobody in any more; who is inside stays until answered."""
        self.phase = Phase.DRAINING

    @contextmanager
    def admit(self) -> Iterator["Party"]:
        """One seat, for as long as the context lasts; more can be taken for the party.

        Raises:
            NotReady: the service is starting or draining.
            Overloaded: there is no free seat.
        """
        if self.phase is not Phase.READY:
            raise NotReady(f"the service is {self.phase.value}")
        party = Party(self)
        party.grow(1)
        try:
            yield party
        finally:
            self.seated -= party.size

    def take(self, seats: int) -> None:
        """Take seats that somebody gives back.

        Raises:
            Overloaded: there are not so many.
        """
        if self.seated + seats > self._capacity:
            raise Overloaded(f"{self.seated} images are inside, {self._capacity} fit")
        self.seated += seats


class Party:
    """The images of one request."""

    def __init__(self, door: Door) -> None:
        self._door, self.size = door, 0

    def grow(self, seats: int) -> None:
        """Take more seats: all of them or none.

        Raises:
            Overloaded: there are not so many.
        """
        self._door.take(seats)
        self.size += seats
