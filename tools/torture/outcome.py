"""What an attack on a running service shows, its row of the table, and the good requests: all must be answered."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from tests.drawings import jpeg
from tests.e2e.server import Server

GOOD = 40  # good requests during each attack, and as many after it
JPEG = {"Content-Type": "image/jpeg"}


class NotTried(Exception):
    """The machine does not allow the attack; the message says why."""


class Broken(Exception):
    """The service did not behave as it should; the message says how."""


def expect(condition: bool, message: str) -> None:
    """Check a condition of an attack.

    Raises:
        Broken: it is not true.
    """
    if not condition:
        raise Broken(message)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an attack showed.

    Attributes:
        tried: how many connections, inputs or faults.
        sent: good requests sent meanwhile and afterwards.
        answered: of these, the ones answered as they should be.
    """

    tried: int
    sent: int
    answered: int


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the table; ``problem``: what did not survive, or why it was not tried."""

    name: str
    tried: str
    survived: str
    answered: str
    problem: str = ""


def good(server: Server, count: int | None = None) -> int:
    """Send good requests one after the other, ``GOOD`` by default; how many are answered with 200."""
    count = GOOD if count is None else count
    with server.client() as client:
        return sum(client.post("/predict", content=jpeg(), headers=JPEG).status_code == 200 for _ in range(count))


@contextmanager
def connected(server: Server, count: int, first: bytes) -> Iterator[list[socket.socket]]:
    """Open connections, as many as ``count``, that have sent the beginning of a request."""
    with ExitStack() as stack:
        found = [stack.enter_context(socket.create_connection(("127.0.0.1", server.port))) for _ in range(count)]
        for connection in found:
            if first:
                connection.sendall(first)
            connection.setblocking(False)
        yield found
