"""Connections over real sockets, with an application of a few lines behind them."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from service.edge.connection import Connection
from service.edge.limits import Limits
from service.edge.phase import Phase
from service.edge.shared import Edge, Overload
from service.errors import Overloaded, ServiceError
from service.telemetry.metrics import Metrics
from service.telemetry.record import RequestRecord
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"


@dataclass
class App:
    """Answers with what it was sent, unless told to do something else, and keeps what it has seen."""

    answer_early: bool = False
    status: int = 200
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    says_length: bool = True
    wait: asyncio.Event | None = None
    fail: Callable[[], None] = lambda: None
    fail_late: bool = False
    size: int = 0
    cancel_if_gone: bool = False
    seen: list[str] = field(default_factory=list)
    waiting: bool = False
    inside: int = 0
    most_inside: int = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.inside += 1
        self.most_inside = max(self.inside, self.most_inside)
        try:
            await self._answer(scope, receive, send)
        except asyncio.CancelledError:
            self.seen.append(f"cancelled: {scope['state']['record'].outcome}")
            raise
        finally:
            self.inside -= 1

    async def _answer(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(f"{scope['method']} {scope['path']}")
        if self.cancel_if_gone:
            scope["state"]["record"] = RequestRecord("1", cancel_if_gone=True)
        body, more = b"", not self.answer_early
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                self.seen.append("disconnect")
                return
            body, more = body + message["body"], message["more_body"]
        if self.wait:
            self.waiting = True
            await self.wait.wait()
        self.fail()
        body = body or b"x" * self.size
        length = [(b"content-length", b"%d" % len(body))] if self.says_length else []
        await send({"type": "http.response.start", "status": self.status, "headers": [*length, *self.headers]})
        if self.fail_late:
            await send({"type": "http.response.body", "body": body[:1], "more_body": True})
            raise ValueError("late")
        await send({"type": "http.response.body", "body": body})


@dataclass
class Running:
    """The connections of a server, and a way to make one."""

    port: int
    state: ServerState
    edge: Edge

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield reader, writer
        finally:
            writer.close()

    async def ask(self, data: bytes) -> bytes:
        """All that comes back until the server closes the connection."""
        async with self.connect() as (reader, writer):
            writer.write(data)
            return await asyncio.wait_for(reader.read(), DEADLINE_S)

    async def empty(self) -> None:
        """Wait until no connection is left."""
        await until_async(lambda: not self.state.connections)


@asynccontextmanager
async def serving(app: App, overload: Overload = lambda _: None, **limits: Any) -> AsyncIterator[Running]:
    config = uvicorn.Config(app, lifespan="off", ws="none", proxy_headers=False, log_config=None)
    config.load()
    state, edge = ServerState(), Edge(Limits(**{"sweep_every_s": 0.02} | limits), Metrics(), overload)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(partial(Connection, edge, config, state, {}), "127.0.0.1", 0)
    try:
        yield Running(server.sockets[0].getsockname()[1], state, edge)
    finally:
        server.close()
        for connection in list(state.connections):
            cast(Connection, connection).abort()


def post(body: bytes) -> bytes:
    return POST % len(body) + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)).decode()
    lines = head.split("\r\n")[1:-2]
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(head.split()[1]), headers, await reader.readexactly(int(headers.get("content-length", 0)))


def problem_of(answer: bytes) -> dict[str, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head
    problem: dict[str, Any] = json.loads(body)
    assert f"x-request-id: {problem['request_id']}".encode() in head
    return problem


async def test_requests_of_one_connection() -> None:
    app = App()
    async with serving(app) as server, server.connect() as (reader, writer):
        for body in (b"abc", b"", b"d" * 1_000_000):
            writer.write(post(body))
            assert (await read_answer(reader))[::2] == (200, body)
        writer.write(b"POST /%41?q HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
        assert (await read_answer(reader))[2] == b"abc"
    assert app.seen[-1] == "POST /A"


@pytest.mark.parametrize(
    ("request_", "closes"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\n\r\n", True),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", False),
    ],
)
async def test_whether_a_connection_is_kept(request_: bytes, closes: bool) -> None:
    async with serving(App()) as server, server.connect() as (reader, writer):
        writer.write(request_)
        _, headers, _ = await read_answer(reader)
        assert headers.get("connection") == ("close" if closes else "keep-alive" if b"1.0" in request_ else None)
        if closes:
            assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        else:
            writer.write(request_)
            assert (await read_answer(reader))[0] == 200


def full(path: str) -> tuple[str, ServiceError] | None:
    """An overload of ``/predict``."""
    return ("/predict", Overloaded("all are taken")) if path == "/predict" else None


PREDICT = POST.replace(b"/ ", b"/predict ")


async def test_an_early_rejection_needs_no_body_and_no_application(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "service.request")
    app = App()
    async with serving(app, full) as server, server.connect() as (reader, writer):
        writer.write(PREDICT.replace(b"Host", b"X-Request-ID: mine\r\nHost") % 500_000)
        status, headers, body = await read_answer(reader)
        assert (status, headers["x-request-id"], headers["retry-after"]) == (503, "mine", "1")
        assert json.loads(body)["type"] == "/problems/overloaded"
        writer.write(b"x" * 500_000 + GET)  # the connection is as good as before
        assert (await read_answer(reader))[0] == 200
    assert app.seen == ["GET /"]
    (logged,) = [vars(record) for record in caplog.records if record.name == "service.request"]
    assert (logged["route"], logged["status"], logged["outcome"]) == ("/predict", 503, "overloaded")


@pytest.mark.parametrize("header", [b"Connection: close", b"Expect: 100-continue"])
async def test_after_an_early_rejection_a_connection_that_cannot_be_kept_is_closed(header: bytes) -> None:
    async with serving(App(), full) as server, server.connect() as (reader, writer):
        writer.write(PREDICT.replace(b"Host", header + b"\r\nHost") % 10)
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (503, "close")
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""
        writer.close()
        await server.empty()


async def test_requests_without_a_body_other_paths_and_other_methods_are_not_rejected_early() -> None:
    async with serving(App(), full) as server:
        other_methods = [PREDICT.replace(b"POST", method) % 3 + b"abc" for method in (b"GET", b"PUT")]
        for request_ in (GET.replace(b"/ ", b"/predict ", 1), post(b"abc"), *other_methods):
            async with server.connect() as (reader, writer):
                writer.write(request_)
                assert (await read_answer(reader))[0] == 200


async def test_early_rejections_beyond_their_rate_are_left_to_the_application() -> None:
    app = App()
    async with serving(app, full, rejected_every_s=3600) as server, server.connect() as (reader, writer):
        for expected in (503, 200, 200):
            writer.write(PREDICT % 3 + b"abc")
            assert (await read_answer(reader))[0] == expected
    assert app.seen == ["POST /predict"] * 2


async def test_a_response_without_a_length() -> None:
    async with serving(App(says_length=False, size=3)) as server:
        assert (await server.ask(GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))).endswith(
            b"\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n3\r\nxxx\r\n0\r\n\r\n"
        )
        assert (await server.ask(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")).endswith(
            b"connection: close\r\n\r\nxxx"
        )


async def test_head_has_the_length_and_no_body() -> None:
    async with serving(App(size=7)) as server, server.connect() as (reader, writer):
        for _ in range(2):
            writer.write(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\n")
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S)
            assert b"content-length: 7\r\n" in head


async def test_continue_is_said_when_the_body_is_wanted() -> None:
    expects = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    async with serving(App()) as server, server.connect() as (reader, writer):
        writer.write(expects)
        assert await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), DEADLINE_S) == b"HTTP/1.1 100 Continue\r\n\r\n"
        writer.write(b"abc")
        assert (await read_answer(reader))[2] == b"abc"
    async with serving(App(answer_early=True, status=401)) as server, server.connect() as (reader, writer):
        writer.write(expects)
        status, headers, _ = await read_answer(reader)
        # Such a client may send the body now, or its next request: only a new connection tells them apart.
        assert (status, headers["connection"]) == (401, "close")
    async with serving(App(answer_early=True, status=401)) as server, server.connect() as (reader, writer):
        for _ in range(2):
            writer.write(expects + b"abc")
            status, headers, _ = await read_answer(reader)
            assert (status, "connection" in headers) == (401, False)


@pytest.mark.parametrize("framing", [b"Content-Length: 20000000", b"Transfer-Encoding: chunked"])
async def test_an_early_answer_reaches_a_client_that_sends_all_before_it_reads(framing: bytes) -> None:
    app = App(answer_early=True, status=413, headers=[(b"connection", b"close")])
    async with serving(app) as server, server.connect() as (reader, writer):
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\n" + framing + b"\r\n\r\n")
        for _ in range(20):
            writer.write((b"f4240\r\n" if b"chunked" in framing else b"") + b"x" * 1_000_000)
            await writer.drain()
            if b"chunked" in framing:
                writer.write(b"\r\n")
        assert (await read_answer(reader))[0] == 413
        assert await asyncio.wait_for(reader.read(), DEADLINE_S) == b""


async def test_a_connection_goes_on_after_an_early_answer_that_does_not_close_it() -> None:
    async with serving(App(answer_early=True, size=2)) as server, server.connect() as (reader, writer):
        writer.write(post(b"a" * 5_000_000)[:1000])
        assert (await read_answer(reader))[2] == b"xx"
        writer.write(post(b"a" * 5_000_000)[1000:] + GET)
        assert (await read_answer(reader))[2] == b"xx"


@pytest.mark.parametrize("limits", [{"linger_bytes": 10_000_000}, {"linger_s": 0.1}, {"linger_silence_s": 0.1}])
@pytest.mark.parametrize("closes", [True, False])
async def test_what_is_read_past_is_bounded(limits: dict[str, Any], closes: bool) -> None:
    if not closes and "linger_silence_s" in limits:
        pytest.skip("a connection that goes on has one deadline for the rest of the body")
    app = App(answer_early=True, headers=[(b"connection", b"close")] if closes else [])
    async with serving(app, **limits) as server, server.connect() as (_, writer):
        writer.write(POST % 10**12)
        endless = asyncio.create_task(send_for_ever(writer, pause_s=5 if "linger_silence_s" in limits else 0))
        await until_async(lambda: app.seen)
        await server.empty()
        endless.cancel()


async def send_for_ever(writer: asyncio.StreamWriter, pause_s: float) -> None:
    while not writer.is_closing():
        writer.write(b"x" * 100_000)
        await writer.drain()
        await asyncio.sleep(pause_s)


async def test_requests_sent_ahead_are_answered_in_turn_one_at_a_time() -> None:
    app = App()
    async with serving(app, pipelined_every_s=0.0001) as server, server.connect() as (reader, writer):
        writer.write(b"".join(post(b"%d" % number) for number in range(500)))
        assert [(await read_answer(reader))[2] for _ in range(500)] == [b"%d" % number for number in range(500)]
    assert app.most_inside == 1


async def test_a_client_that_sends_ahead_for_ever_is_not_read() -> None:
    app = App(wait=asyncio.Event())
    async with serving(app) as server, server.connect() as (_, writer):
        sending = asyncio.create_task(send_ahead(writer))
        await until_async(lambda: app.waiting and writer.transport.get_write_buffer_size())
        connection: Any = next(iter(server.state.connections))
        for _ in range(1000):  # time for it to read more
            await asyncio.sleep(0)
        assert not sending.done()  # its socket is full
        assert app.seen == ["GET /"]
        assert len(connection._backlog) <= 2**18
        sending.cancel()


async def send_ahead(writer: asyncio.StreamWriter) -> None:
    for _ in range(1000):
        writer.write(GET * 10_000)
        await writer.drain()


async def test_all_that_send_ahead_share_one_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = Edge(Limits(pipelined_every_s=0.002), Metrics())
    with monkeypatch.context() as patched:
        patched.setattr(asyncio.get_running_loop(), "time", lambda: 100.0)
        turns = [edge.turn_s() for _ in range(1000)]
    assert turns == pytest.approx([0.002 * number for number in range(1000)])


@pytest.mark.parametrize("data", [b"", GET], ids=["from the start", "between requests"])
async def test_an_idle_connection_is_closed_without_an_answer(data: bytes) -> None:
    async with serving(App(), header_s=0.1 if not data else DEADLINE_S, keep_alive_s=0.1) as server:
        assert (await server.ask(data)).count(b"HTTP/1.1") == (1 if data else 0)


@pytest.mark.parametrize("data", [GET[:10], GET[:-2], GET + GET[:-2]])
async def test_a_header_that_takes_too_long(data: bytes) -> None:
    """Where the machine pauses before the header begins, the connection is idle, and closed without an answer."""
    async with serving(App(), header_s=0.1) as server:

        async def late() -> bytes:
            return (await server.ask(data)).partition(b"HTTP/1.1 408")[2]

        assert problem_of(await until_async(late))["type"] == "/problems/header-timeout"


async def test_bytes_do_not_put_off_the_deadline_of_a_header() -> None:
    async with serving(App(), header_s=0.3) as server, server.connect() as (reader, writer):
        answer = asyncio.create_task(reader.read())

        def answered() -> bool:
            writer.write(b"G" if not writer.is_closing() else b"")
            return answer.done()

        await until_async(answered)
        assert b" 40" in answer.result()[:20]  # 408, or 400 where "GGGG" was no method before that


async def test_a_client_that_never_reads_is_cut_off() -> None:
    app = App(size=50_000_000)
    async with serving(app, send_s=0.2) as server, server.connect() as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        await until_async(lambda: app.seen)
        await server.empty()


async def test_one_connection_too_many_is_closed_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(App(), connections=2) as server, server.connect() as (reader, writer), server.connect():
        writer.write(GET)
        await read_answer(reader)
        for _ in range(3):
            async with server.connect() as (other, _):
                assert await asyncio.wait_for(other.read(), DEADLINE_S) == b""
        assert [(each.message, each.levelno) for each in caplog.records] == [
            ("connections were refused: XRAY_MAX_CONNECTIONS are open", logging.WARNING)
        ]
        writer.write(GET)  # those that are there stay
        await read_answer(reader)


async def test_idle_connections_make_room_before_any_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.edge.shared._CROWDED_KEEP_ALIVE_S", 0.05)
    async with serving(App(), connections=2) as server, server.connect(), server.connect():
        await server.empty()


async def test_a_client_that_leaves_during_a_long_upload() -> None:
    app = App()
    async with serving(app) as server:
        async with server.connect() as (_, writer):
            writer.write(post(b"a" * 1_000_000)[:-1])
            await until_async(lambda: app.inside)
        await server.empty()
        await until_async(lambda: not app.inside)
    assert app.seen == ["POST /", "disconnect"]


async def test_the_application_is_told_of_a_short_body_when_it_is_whole() -> None:
    app = App()
    async with serving(app, upload_s=DEADLINE_S) as server:
        async with server.connect() as (_, writer):
            writer.write(post(b"abc")[:-1])
            await until_async(lambda: any(each.phase is Phase.BODY for each in cast(Any, server.state.connections)))
        await server.empty()
        assert b'xray_requests_total{route="unmatched",status="499"} 1.0' in server.edge._metrics.text()
    async with serving(app, upload_s=0.2) as server:
        assert problem_of(await server.ask(post(b"abc")[:-1]))["type"] == "/problems/upload-timeout"
    assert app.seen == []


@pytest.mark.parametrize("size", [3, 3_000_000])
@pytest.mark.parametrize("cancel", [True, False])
async def test_a_client_that_leaves_while_it_waits(cancel: bool, size: int) -> None:
    app = App(wait=asyncio.Event(), cancel_if_gone=cancel)
    async with serving(app) as server:
        async with server.connect() as (_, writer):
            writer.write(post(b"a" * size))
            await writer.drain()
            await until_async(lambda: app.waiting)
        await server.empty()
        if not cancel:
            assert app.inside
            app.wait.set()  # type: ignore[union-attr]
        await until_async(lambda: not app.inside)
    assert app.seen == ["POST /", *(["cancelled: client-gone"] if cancel else [])]


async def test_the_end_answers_what_is_being_answered() -> None:
    app = App(wait=asyncio.Event())
    async with serving(app) as server, server.connect() as (reader, writer), server.connect() as (idle, _):
        writer.write(GET)
        await until_async(lambda: app.inside and len(server.state.connections) == 2)
        for connection in list(server.state.connections):
            connection.shutdown()
        assert await asyncio.wait_for(idle.read(), DEADLINE_S) == b""
        app.wait.set()  # type: ignore[union-attr]
        status, headers, _ = await read_answer(reader)
        assert (status, headers["connection"]) == (200, "close")
        await server.empty()


async def test_from_the_beginning_of_the_end_answers_ask_for_a_new_connection() -> None:
    async with serving(App()) as server, server.connect() as (reader, writer):
        writer.write(GET)
        assert "connection" not in (await read_answer(reader))[1]
        server.edge.drain(server.state.connections)
        writer.write(GET)
        assert (await read_answer(reader))[1]["connection"] == "close"


def fail() -> None:
    raise ValueError("a bug")


async def test_an_application_that_fails() -> None:
    async with serving(App(fail=fail)) as server:
        assert (await server.ask(GET)).startswith(b"HTTP/1.1 500 ")
    async with serving(App(fail_late=True, size=10)) as server:
        assert (await server.ask(GET)).endswith(b"\r\n\r\nx")


@pytest.mark.parametrize("value", [b"a\r\nX-Evil: 1", b"a\nb", b"a\0"])
async def test_a_header_of_a_response_cannot_end_it(value: bytes) -> None:
    async with serving(App(headers=[(b"x-name", value)])) as server:
        answer = await server.ask(GET)
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"evil" not in answer.lower()


async def test_what_is_no_request_is_answered_counted_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with serving(App()) as server:
        problem = problem_of(await server.ask(b"nonsense\r\n\r\n"))
        assert problem["status"] == 400
        assert b'xray_requests_total{route="unmatched",status="400"} 1.0' in server.edge._metrics.text()
    logged = next(each for each in caplog.records if each.message == "request")
    assert logged.__dict__["request_id"] == problem["request_id"]
    assert logged.__dict__["outcome"] == "bad-request"


async def test_a_body_that_breaks_is_answered_and_the_application_told() -> None:
    app = App()
    async with serving(app) as server:
        head = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        assert (
            problem_of(await server.ask(head + b"493e0\r\n" + bytes(300_000) + b"XX"))["type"]
            == "/problems/bad-request"
        )
        await until_async(lambda: not app.inside)
    assert app.seen == ["POST /", "disconnect"]


@pytest.mark.parametrize("url", [b"http://y:81/a?b", b"*"])
async def test_other_forms_of_the_request_line(url: bytes) -> None:
    app = App()
    async with serving(app) as server, server.connect() as (reader, writer):
        writer.write(b"OPTIONS %b HTTP/1.1\r\nHost: x\r\n\r\n" % url)
        assert (await read_answer(reader))[0] == 200
    assert app.seen == ["OPTIONS *" if url == b"*" else "OPTIONS /a"]


async def test_a_connection_that_is_set_up_after_the_port_was_closed_is_closed() -> None:
    async with serving(App()) as running:
        running.edge.close()
        async with running.connect() as (reader, _):
            assert await reader.read() == b""
        assert not running.state.connections


async def test_a_client_that_never_reads_does_not_delay_the_shutdown() -> None:
    app = App(size=50_000_000)
    async with serving(app, send_s=DEADLINE_S, last_send_s=0.1) as server, server.connect() as (_, writer):
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        writer.write(GET)
        await until_async(lambda: app.seen and not app.inside)
        server.edge.close()
        for connection in list(server.state.connections):
            connection.shutdown()
        await server.empty()
