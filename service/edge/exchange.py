"""One request and its response: the application's ``receive`` and ``send`` of ASGI."""

import asyncio
import http
import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from service.edge.head import Head, Headers, Scope
from service.telemetry.record import RequestRecord

Message = dict[str, Any]
App = Callable[[Scope, Callable[[], Awaitable[Message]], Callable[[Message], Awaitable[None]]], Awaitable[None]]

# What a header of a response may not hold: it could end the header (response splitting).
_UNSAFE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_STATUS_LINES = {each.value: f"HTTP/1.1 {each.value} {each.phrase}\r\n".encode() for each in http.HTTPStatus}
_NO_BODY = {204, 304}

log = logging.getLogger(__name__)


class Link(Protocol):
    """What an exchange needs of its connection."""

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""

    async def writable(self) -> None:
        """Wait until the client has read enough for more to be sent."""

    def has_room(self, waiting: int) -> None:
        """Read from the socket, or pause, by how many bytes of the body are waiting for the application."""

    def answered(self, *, keep_alive: bool) -> None:
        """The response is complete: go on to the next request, or close the connection."""

    def abort(self) -> None:
        """Close the connection at once, because the response cannot be completed."""


class Exchange:
    """A request whose header has arrived, and the response to it.

    Args:
        link: the connection.
        scope: the ASGI scope of the request.
        head: the framing of the request.
        date: header fields of every response.
    """

    __slots__ = (
        "_answer",
        "_bodyless",
        "_chunked",
        "_chunks",
        "_continue",
        "_date",
        "_head",
        "_left",
        "_link",
        "_scope",
        "_started",
        "_task",
        "_told_end",
        "_waiter",
        "_waiting",
        "answered",
        "gone",
        "keep_alive",
        "request_ended",
    )

    def __init__(self, link: Link, scope: Scope, head: Head, *, date: Headers) -> None:
        self._date = date
        self._link, self._scope, self._head, self.keep_alive = link, scope, head, head.keeps_alive
        self._chunks: list[bytes] = []
        self._waiting = 0
        self._waiter: asyncio.Future[None] | None = None
        self._continue = head.expects_continue
        self._told_end = self.request_ended = self.answered = self.gone = self._started = False
        self._answer: bytes | None = None
        self._chunked, self._bodyless, self._left = False, False, 0
        self._task: asyncio.Task[None] | None = None

    @property
    def is_answering(self) -> bool:
        """Whether a part of the response has been sent."""
        return self._started and self._answer is None

    # Called by the connection

    def body(self, data: bytes) -> None:
        """A part of the request body has arrived."""
        if self.answered:
            return
        self._chunks.append(data)
        self._waiting += len(data)
        self._link.has_room(self._waiting)
        self._wake()

    def end(self) -> None:
        """The whole request has arrived."""
        self.request_ended = True
        self._wake()

    def lost(self) -> None:
        """The client has disconnected. Cancels the application where its record allows that."""
        self.gone = True
        self._chunks.clear()
        self._wake()
        record: RequestRecord | None = self._scope["state"].get("record")
        if self._task and not self._started and record and record.cancel_if_gone:
            record.outcome = "client-gone"
            self._task.cancel()

    def _wake(self) -> None:
        if self._waiter and not self._waiter.done():
            self._waiter.set_result(None)

    # Called by, or for, the application

    def start(self, app: App, tasks: set[asyncio.Task[None]]) -> None:
        """Run the application in a task; the set holds the task until it ends."""
        self._task = asyncio.get_running_loop().create_task(self._run(app))
        tasks.add(self._task)
        self._task.add_done_callback(tasks.discard)

    async def _run(self, app: App) -> None:
        """Run the application, and respond in its place if it fails."""
        try:
            await app(self._scope, self.receive, self.send)
        except asyncio.CancelledError:
            if not self.gone:
                self._link.abort()
                raise
        except Exception:
            log.exception("the application failed")
            await self._fail()
        else:
            if not self.answered and not self.gone:
                log.error("the application returned without a whole response")
                await self._fail()

    async def receive(self) -> Message:
        """ASGI's receive: the next part of the body, or http.disconnect once the client is gone or answered."""
        if self._continue and not self._started:
            self._continue = False
            self._link.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        while not (self.gone or self.answered):
            if self._chunks or (self.request_ended and not self._told_end):
                return self._next_part()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return {"type": "http.disconnect"}

    def _next_part(self) -> Message:
        chunks = self._chunks
        body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
        self._chunks, self._waiting = [], 0
        self._told_end = self.request_ended
        # At the end of the body, too: a socket that is not read does not show that its client disconnects.
        self._link.has_room(0)
        return {"type": "http.request", "body": body, "more_body": not self.request_ended}

    async def send(self, message: Message) -> None:
        """ASGI's send. The header is sent together with the first part of the body, in one write.

        Raises:
            RuntimeError: the application sends a message out of order, or an invalid header or length.
        """
        if self.gone:
            return
        if message["type"] == "http.response.start" and not self._started:
            self._start(message["status"], message.get("headers", ()))
        elif message["type"] == "http.response.body" and self._started and not self.answered:
            self._send_body(message.get("body", b""), message.get("more_body", False))
            if not self.answered:
                await self._link.writable()
        else:
            raise RuntimeError(f"{message['type']} is not what comes next in this response")

    def _start(self, status: int, headers: Headers) -> None:
        length: int | None = None
        closes = False
        lines = [_STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status]
        for name, value in (*self._date, *headers):
            if _UNSAFE.search(value):
                raise RuntimeError("a header of the response has a control character")
            if name == b"content-length":
                length = int(value)
            elif name == b"connection":
                closes = value.lower() == b"close"
            lines += (name, b": ", value, b"\r\n")
        # A client that waits for 100 Continue may send the body after this response, or the next request in its place.
        is_unclear = self._continue and not self.request_ended
        self.keep_alive = self.keep_alive and not closes and not is_unclear
        lines.append(self._framing(status, length))
        if not self.keep_alive and not closes:
            lines.append(b"connection: close\r\n")
        elif self.keep_alive and self._head.version == "1.0":
            lines.append(b"connection: keep-alive\r\n")
        lines.append(b"\r\n")
        self._answer, self._started = b"".join(lines), True

    def _framing(self, status: int, length: int | None) -> bytes:
        """Decide how the client recognises the end of the response; returns the header field that says so, if any."""
        self._bodyless = self._scope["method"] == "HEAD" or status in _NO_BODY
        self._left = length or 0
        if length is not None or self._bodyless:
            return b""
        # HTTP/1.0 knows no chunks: there the end of the connection is that of the response.
        self._chunked = self._head.version != "1.0"
        self.keep_alive = self.keep_alive and self._chunked
        return b"transfer-encoding: chunked\r\n" if self._chunked else b""

    def _send_body(self, body: bytes, more: bool) -> None:
        head, self._answer = self._answer or b"", None
        if self._bodyless:
            body, self._left = b"", 0
        elif self._chunked:
            body = (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + (b"" if more else b"0\r\n\r\n")
        elif self._left:
            self._left -= len(body)
        if self._left < 0 or (self._left and not more):
            raise RuntimeError("the body of the response is not as long as its Content-Length")
        self._link.write(head + body if head else body)
        if not more:
            self.answered = True
            self._chunks.clear()
            self._wake()
            self._link.answered(keep_alive=self.keep_alive)

    async def _fail(self) -> None:
        """End a request that the application did not answer: 500, or a closed connection once bytes have been sent."""
        if self.is_answering:
            self._link.abort()
        elif not self.gone:
            self._started, self._chunked = False, False
            headers = [(b"content-length", b"0"), (b"connection", b"close")]
            await self.send({"type": "http.response.start", "status": 500, "headers": headers})
            await self.send({"type": "http.response.body"})
