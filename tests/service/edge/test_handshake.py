"""TLS handshakes over real sockets: they count as connections, and have a deadline."""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import trustme
import uvicorn
from uvicorn.server import ServerState

from service.edge.handshake import accept
from service.edge.limits import Limits
from service.edge.shared import Edge
from service.telemetry.metrics import Metrics
from service.telemetry.worker_table import WorkerSlot, WorkerTable
from service.workers.connection_balancer import ConnectionBalancer
from service.workers.parent import bind_sockets
from tests.service.edge.test_connection import GET, App, Running
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class Contexts:
    """The TLS contexts of a server and of its clients."""

    server: ssl.SSLContext
    client: ssl.SSLContext


@pytest.fixture(scope="module")
def contexts() -> Contexts:
    authority = trustme.CA()
    found = Contexts(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.create_default_context())
    authority.issue_cert("127.0.0.1").configure_cert(found.server)
    authority.configure_trust(found.client)
    return found


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    return "asyncio", {"use_uvloop": request.param}


@asynccontextmanager
async def serving(app: App, context: ssl.SSLContext, **limits: Any) -> AsyncIterator[Running]:
    """A server that accepts connections as ``service.workers`` does."""
    config = uvicorn.Config(app, lifespan="off", ws="none", proxy_headers=False, log_config=None)
    config.load()
    state, edge = ServerState(), Edge(Limits(**{"sweep_every_s": 0.02} | limits), Metrics())
    [listener] = bind_sockets("127.0.0.1", 0)
    balancer = ConnectionBalancer(
        WorkerSlot(0, 0, [listener], WorkerTable(1)),
        connections=lambda: len(state.connections),
        ready=lambda: True,
        accept=lambda accepted: accept(accepted, context, edge, config, (state, {})),
    )
    balancer.open()
    try:
        yield Running(listener.getsockname()[1], state, edge)
    finally:
        balancer.close()
        for connection in list(state.connections):
            connection.shutdown()
        await until_async(lambda: not state.connections)


async def test_requests_are_answered(contexts: Contexts) -> None:
    app = App()
    async with serving(app, contexts.server) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=contexts.client)
        for _ in range(2):
            writer.write(GET)
            assert await asyncio.wait_for(reader.readline(), DEADLINE_S) == b"HTTP/1.1 200 OK\r\n"
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
        writer.close()
        await server.empty()
    assert app.seen == ["GET /"] * 2


async def test_a_request_that_arrives_with_the_end_of_the_handshake_is_answered(contexts: Contexts) -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = contexts.client.wrap_bio(incoming, outgoing, server_hostname="127.0.0.1")
    async with serving(App(), contexts.server) as server, server.connect() as (reader, writer):
        for _ in range(2):
            try:
                client.do_handshake()
            except ssl.SSLWantReadError:
                writer.write(outgoing.read())
                incoming.write(await asyncio.wait_for(reader.read(65536), DEADLINE_S))
        client.write(GET)
        writer.write(outgoing.read())  # the end of the handshake and the request, in one piece
        answer = b""
        while b"200 OK" not in answer:
            incoming.write(await asyncio.wait_for(reader.read(65536), DEADLINE_S))
            try:
                answer += client.read()
            except ssl.SSLWantReadError:  # only a session ticket so far
                continue


@pytest.mark.parametrize("begun", [b"", b"\x16\x03\x01\x02"])
async def test_an_unfinished_handshake_is_cut_off_at_the_deadline(contexts: Contexts, begun: bytes) -> None:
    async with serving(App(), contexts.server, header_s=0.05) as server, server.connect() as (reader, writer):
        writer.write(begun)
        assert await asyncio.wait_for(read_to_the_end(reader), DEADLINE_S) == b""
        await server.empty()


async def test_unfinished_handshakes_count_as_connections(contexts: Contexts, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(App(), contexts.server, connections=2, header_s=DEADLINE_S) as server:
        async with server.connect(), server.connect():
            await until_async(lambda: len(server.state.connections) == 2)
            async with server.connect() as (reader, _):
                assert await asyncio.wait_for(read_to_the_end(reader), DEADLINE_S) == b""
            assert "XRAY_MAX_CONNECTIONS are open" in caplog.text
        await server.empty()


async def test_they_make_room_before_any_connection_is_refused(
    contexts: Contexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.edge.shared._CROWDED_KEEP_ALIVE_S", 0.05)
    crowded = serving(App(), contexts.server, connections=2, header_s=DEADLINE_S)
    async with crowded as server, server.connect(), server.connect():
        await server.empty()


async def test_they_are_closed_at_shutdown(contexts: Contexts) -> None:
    async with serving(App(), contexts.server, header_s=DEADLINE_S) as server, server.connect() as (reader, _):
        await until_async(lambda: server.state.connections)
        server.edge.drain(server.state.connections)
        for connection in list(server.state.connections):
            connection.shutdown()
        assert await asyncio.wait_for(read_to_the_end(reader), DEADLINE_S) == b""
        await server.empty()


async def test_plain_http_is_a_failed_handshake(contexts: Contexts, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "service.workers.connection_balancer")
    app = App()
    async with serving(app, contexts.server) as server, server.connect() as (reader, writer):
        writer.write(GET)
        assert b"HTTP" not in await asyncio.wait_for(read_to_the_end(reader), DEADLINE_S)
        await server.empty()
    assert "a connection could not be set up" in caplog.text
    assert app.seen == []


async def read_to_the_end(reader: asyncio.StreamReader) -> bytes:
    """All that arrives; a reset is an end, too."""
    try:
        return await reader.read()
    except ConnectionError:
        return b""
