"""Who of several workers takes a connection, with real sockets and one worker of the two that there are."""

import errno
import logging
import socket
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.telemetry.worker_table import NOT_ACCEPTING, WorkerSlot, WorkerTable
from service.workers import connection_balancer
from service.workers.connection_balancer import ConnectionBalancer, yield_time_s
from service.workers.parent import listen_at
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio


class Desk:
    """The balancer of worker 0, and what it has taken."""

    def __init__(self, listeners: list[socket.socket]) -> None:
        self.table, self.is_ready = WorkerTable(2), True
        self.taken: list[socket.socket] = []
        self.listeners, self.knocking = listeners, list[socket.socket]()
        slot = WorkerSlot(0, 0, listeners, self.table)
        self.balancer = ConnectionBalancer(
            slot, connections=lambda: len(self.taken), ready=lambda: self.is_ready, accept=self.accept
        )

    async def accept(self, connection: socket.socket) -> None:
        self.taken.append(connection)

    def check(self, count: int) -> None:
        """Have so many connections come."""
        address = self.listeners[0].getsockname()
        self.knocking += [socket.create_connection(address) for _ in range(count)]

    def close(self) -> None:
        """Close all."""
        self.balancer.close()
        for connection in (*self.taken, *self.knocking):
            connection.close()


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    found = Desk(listen_at("127.0.0.1", 0))
    found.balancer.open()
    yield found
    found.close()


@given(st.integers(0, 5000), st.lists(st.integers(0, NOT_ACCEPTING), max_size=8))
def test_nobody_waits_for_those_who_have_as_many_or_for_long(own: int, others: list[int]) -> None:
    wait_s = yield_time_s(own, others)
    assert (wait_s > 0) == any(other < own for other in others)
    assert 0 <= wait_s <= connection_balancer._MOST_S


async def test_it_tells_how_busy_it_is(desk: Desk) -> None:
    desk.check(3)
    await until_async(lambda: desk.table.load(0) == 3)
    desk.is_ready = False
    desk.balancer.tell()
    assert desk.table.load(0) > 1000  # others go first
    desk.balancer.close()
    assert desk.table.load(0) == NOT_ACCEPTING


async def test_it_leaves_a_connection_to_one_that_has_fewer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_balancer, "_YIELD_S", DEADLINE_S)
    monkeypatch.setattr(connection_balancer, "_MOST_S", DEADLINE_S)
    pause, pauses = desk.balancer._pause, list[float]()

    def noticed(listener: socket.socket, wait_s: float) -> None:
        pauses.append(wait_s)
        pause(listener, wait_s)

    monkeypatch.setattr(desk.balancer, "_pause", noticed)
    desk.table.set_load(1, 0)
    desk.check(2)
    await until_async(lambda: pauses)
    assert len(desk.taken) == 1
    desk.listeners[0].accept()[0].close()  # as the other worker would


async def test_it_takes_a_connection_that_the_other_leaves(desk: Desk) -> None:
    desk.table.set_load(1, 0)  # and never does anything
    desk.check(5)
    await until_async(lambda: len(desk.taken) == 5)


async def test_it_comes_to_rest_when_the_system_is_full(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection_balancer, "_FULL_S", 0.05)
    tries = 0

    class Full(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal tries
            tries += 1
            if tries <= 2:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    listener = Full(fileno=listen_at("127.0.0.1", 0)[0].detach())
    full = Desk([listener])
    full.balancer.open()
    full.check(1)
    await until_async(lambda: len(full.taken) == 1)
    full.close()
    assert tries == 3
    assert [record.levelno for record in caplog.records if record.name == "service.workers.connection_balancer"] == [
        logging.ERROR
    ] * 2
