"""Balancing connections: real sockets, and one of two workers."""

import asyncio
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
from service.workers.parent import bind_sockets
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio


class Worker:
    """The balancer of worker 0, and the connections it has accepted."""

    def __init__(self, listeners: list[socket.socket]) -> None:
        self.table, self.is_ready = WorkerTable(2), True
        self.accepted: list[socket.socket] = []
        self.listeners, self.clients = listeners, list[socket.socket]()
        slot = WorkerSlot(0, 0, listeners, self.table)
        self.balancer = ConnectionBalancer(
            slot, connections=lambda: len(self.accepted), ready=lambda: self.is_ready, accept=self.accept
        )

    async def accept(self, connection: socket.socket) -> None:
        self.accepted.append(connection)

    def connect(self, count: int) -> None:
        """Open this many client connections."""
        address = self.listeners[0].getsockname()
        self.clients += [socket.create_connection(address) for _ in range(count)]

    def close(self) -> None:
        """Close every socket."""
        self.balancer.close()
        for connection in (*self.accepted, *self.clients):
            connection.close()


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    found = Worker(bind_sockets("127.0.0.1", 0))
    found.balancer.open()
    yield found
    found.close()


@given(st.integers(0, 5000), st.lists(st.integers(0, NOT_ACCEPTING), max_size=8))
def test_a_worker_waits_for_less_loaded_ones_only_and_not_long(own: int, others: list[int]) -> None:
    wait_s = yield_time_s(own, others)
    assert (wait_s > 0) == any(other < own for other in others)
    assert 0 <= wait_s <= connection_balancer._MAX_YIELD_S


@given(st.integers(0, 5000), st.integers(0, 5000))
def test_a_worker_that_is_not_ready_waits_for_a_busy_one_that_is(own: int, other: int) -> None:
    unready = connection_balancer._NOT_READY_LOAD
    assert yield_time_s(unready + own, [other]) == connection_balancer._MAX_NOT_READY_YIELD_S
    assert yield_time_s(unready + own, [unready + other, NOT_ACCEPTING]) <= connection_balancer._MAX_YIELD_S


async def test_it_publishes_its_load(worker: Worker) -> None:
    worker.connect(3)
    await until_async(lambda: worker.table.load(0) == 3)
    worker.is_ready = False
    worker.balancer.publish_load()
    assert worker.table.load(0) > 1000  # the others accept first
    worker.balancer.close()
    assert worker.table.load(0) == NOT_ACCEPTING


async def test_it_leaves_a_connection_to_a_less_loaded_worker(worker: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_balancer, "_YIELD_S", DEADLINE_S)
    monkeypatch.setattr(connection_balancer, "_MAX_YIELD_S", DEADLINE_S)
    pause, pauses = worker.balancer._pause, list[float]()

    def recorded(listener: socket.socket, wait_s: float) -> None:
        pauses.append(wait_s)
        pause(listener, wait_s)

    monkeypatch.setattr(worker.balancer, "_pause", recorded)
    worker.table.set_load(1, 0)
    worker.connect(2)
    await until_async(lambda: pauses)
    assert len(worker.accepted) == 1
    worker.listeners[0].accept()[0].close()  # as the other worker would


async def test_it_accepts_a_connection_that_no_other_worker_accepts(worker: Worker) -> None:
    worker.table.set_load(1, 0)  # that worker never accepts
    worker.connect(5)
    await until_async(lambda: len(worker.accepted) == 5)


class Recorded(asyncio.Protocol):
    """A connection that knows whether it is open."""

    is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.is_open = True

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_open = False


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": uvloop}) for uvloop in (False, True)])
async def test_a_connection_that_is_being_set_up_when_the_port_closes_does_not_stay(anyio_backend: object) -> None:
    """A worker once waited for such a connection until the end of the grace: uvloop never reported it as lost."""
    worker, made, finished = Worker(bind_sockets("127.0.0.1", 0)), Recorded(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def accept(connection: socket.socket) -> None:
        loop.call_soon(worker.balancer.close)
        try:
            await loop.connect_accepted_socket(lambda: made, connection)
        finally:
            finished.set()

    worker.balancer._accept = accept
    worker.balancer.open()
    worker.connect(1)
    await finished.wait()
    worker.close()  # the client goes, too
    await until_async(lambda: not made.is_open)


@pytest.mark.parametrize(
    ("takes_waiting", "other", "taken"), [(True, NOT_ACCEPTING, 5), (True, 7, 0), (False, NOT_ACCEPTING, 0)]
)
async def test_the_last_worker_takes_what_waits_at_the_port(
    worker: Worker, takes_waiting: bool, other: int, taken: int
) -> None:
    """Where another worker accepts, it will; where this one is restarted, the port stays open meanwhile."""
    worker.table.set_load(1, other)
    worker.connect(5)  # the event loop has not seen them yet
    setting_up = worker.balancer.close(takes_waiting=takes_waiting)
    assert len(setting_up) == taken
    await asyncio.gather(*setting_up)
    assert len(worker.accepted) == taken


async def test_it_backs_off_when_the_system_is_out_of_file_descriptors(
    worker: Worker, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(connection_balancer, "_RESOURCE_BACKOFF_S", 0.05)
    attempts = 0

    class FailingSocket(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal attempts
            attempts += 1
            if attempts <= 2:
                raise OSError(errno.EMFILE, "Too many open files")
            return super().accept()

    listener = FailingSocket(fileno=bind_sockets("127.0.0.1", 0)[0].detach())
    failing = Worker([listener])
    failing.balancer.open()
    failing.connect(1)
    await until_async(lambda: len(failing.accepted) == 1)
    failing.close()
    assert attempts == 3
    assert [record.levelno for record in caplog.records if record.name == "service.workers.connection_balancer"] == [
        logging.ERROR
    ] * 2
