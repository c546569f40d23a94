"""Attacks on a running service by clients. Each sends good requests meanwhile or afterwards."""

import selectors
import socket

from tests.drawings import jpeg
from tests.e2e.server import Server
from tests.waiting import until
from tools.torture import outcome
from tools.torture.outcome import Outcome, connected, good

_UPLOAD = b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\nContent-Length: 100000\r\n\r\n"
_HEADER = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


def idle(server: Server, count: int) -> Outcome:
    """Connections that send nothing; the service closes them when their header is due."""
    with connected(server, count, b"") as connections:
        answered = good(server)
        await_closed(connections)
    return Outcome(count, 2 * outcome.GOOD, answered + good(server))


def slow(server: Server, count: int) -> Outcome:
    """Connections that send a byte now and then, half of them in the header and half in the body."""
    with connected(server, count // 2, _HEADER) as one, connected(server, count - count // 2, _UPLOAD) as other:
        answered = 0
        for _ in range(4):
            for connection in (*one, *other):
                try:
                    connection.send(b"x")
                except OSError:
                    continue
            answered += good(server, outcome.GOOD // 4)
        await_closed([*one, *other])
    return Outcome(count, 2 * outcome.GOOD, answered + good(server))


def hang_ups(server: Server, count: int) -> Outcome:
    """Clients that close their connection right after the upload; no slot stays taken."""
    body = jpeg()
    request = _UPLOAD.replace(b"100000", str(len(body)).encode()) + body
    for _ in range(count):
        with socket.create_connection(("127.0.0.1", server.port)) as connection:
            connection.sendall(request)
    until(lambda: "xray_seats_taken 0.0" in server.get("/metrics").text)
    return Outcome(count, outcome.GOOD, good(server))


def never_reads(server: Server, count: int) -> Outcome:
    """Clients that send requests ahead and never read an answer."""
    with connected(server, count, b"") as connections:
        selector = selectors.DefaultSelector()
        for connection in connections:
            selector.register(connection, selectors.EVENT_WRITE)
        for key, _ in selector.select(1):
            for _ in range(100):
                try:
                    key.fileobj.send(b"GET /docs HTTP/1.1\r\nHost: localhost\r\n\r\n" * 50)  # type: ignore[union-attr]
                except OSError:
                    break
        answered = good(server)
    return Outcome(count, 2 * outcome.GOOD, answered + good(server))


def await_closed(connections: list[socket.socket]) -> None:
    """Wait until the service has closed all of these; it may have answered before."""
    left = set(connections)

    def closed() -> bool:
        for connection in list(left):
            try:
                if not connection.recv(65536):
                    left.discard(connection)
            except BlockingIOError:
                continue
            except OSError:
                left.discard(connection)
        return not left

    until(closed, lambda: f"{len(left)} connections are still open")
