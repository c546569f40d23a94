"""What the ledger holds: objects, deliveries and their states."""

from dataclasses import dataclass

# The states of an object. WAITING: for the service. ANSWERED: the results are in the spool or delivered. DEAD: given
# up, kept for ``retry``. OWN: a result of this node that came back. EXPIRED: a dead letter that has been deleted.
# Deliveries are WAITING, DELIVERED, DEAD or EXPIRED.
WAITING, ANSWERED, DELIVERED, DEAD, OWN, EXPIRED = "waiting", "answered", "delivered", "dead", "own", "expired"


@dataclass(frozen=True, slots=True)
class Item:
    """An object that waits for the service: SOP Instance UID, when it was received (Unix time), failed attempts."""

    uid: str
    received: float
    tries: int


@dataclass(frozen=True, slots=True)
class Delivery:
    """A result that waits for a destination. ``uid``: of the object it is the result of."""

    uid: str
    kind: str
    destination: str
    result_uid: str
    tries: int


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What was given up. ``destination``: empty for an object, else where its result of this ``kind`` was to go."""

    uid: str
    kind: str
    destination: str
    reason: str
    since: float


@dataclass(frozen=True, slots=True)
class Counts:
    """``objects`` by state, ``deliveries`` by destination and state, and the time of the oldest that waits."""

    objects: dict[str, int]
    deliveries: dict[tuple[str, str], int]
    oldest: float | None
