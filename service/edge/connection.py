"""One connection: one request at a time, a deadline for each phase, and a close that loses no response."""

import asyncio
import math
from typing import Any, cast

from uvicorn.config import Config
from uvicorn.server import ServerState

from service.edge.exchange import Exchange
from service.edge.flow import Flow
from service.edge.head import Head, Headers, ends_of, scope_of
from service.edge.parsing import RequestParser
from service.edge.phase import Phase
from service.edge.shared import Edge
from service.errors import ServiceError


class Connection(asyncio.Protocol):
    """The asyncio protocol of a connection; uvicorn's server constructs it.

    Args:
        edge: the state shared by all connections.
        config: uvicorn's configuration, with the application.
        server_state: uvicorn's sets of connections and tasks.
        app_state: the state of ASGI's lifespan. (uvicorn also passes its loop, which is the running one.)
        handshake: its TLS handshake, which is among uvicorn's connections until this one is.
    """

    def __init__(
        self,
        edge: Edge,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
        handshake: object = None,
    ) -> None:
        self._edge, self._limits, self._handshake = edge, edge.limits, handshake
        self._app, self._state, self._app_state = cast(Any, config.loaded_app), server_state, app_state
        self._connections: set[Any] = server_state.connections  # for uvicorn: of its own classes
        self._loop = asyncio.get_running_loop()
        self._parser = RequestParser(self, edge.limits)
        self._exchange: Exchange | None = None
        self.phase, self.deadline, self.idle_since = Phase.IDLE, math.inf, self._loop.time()
        self._backlog, self._discarded, self._linger_until = b"", 0, 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
        self._transport: Any = transport
        self._flow = Flow(transport)
        self._connections.discard(self._handshake)
        if self._edge.admits(self._connections):
            self._connections.add(self)
            self._ends = ends_of(transport)
            self.deadline = self._loop.time() + self._limits.header_s
        else:
            self.phase = Phase.CLOSING
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone, closed by the client or by this side."""
        self._connections.discard(self)
        if self.phase is Phase.BODY:
            self._edge.note_gone()
        self.phase, self._backlog = Phase.CLOSING, b""
        self._flow.drain()
        if self._exchange:
            self._exchange.lost()

    def data_received(self, data: bytes) -> None:
        """The client has sent bytes."""
        if self.phase in (Phase.LINGERING, Phase.CLOSING):
            self._discard(len(data))
        elif self._backlog:
            self._backlog += data
        else:
            self._feed(data)

    def pause_writing(self) -> None:
        """The write buffer is full."""
        self._flow.fill()

    def resume_writing(self) -> None:
        """The write buffer has room again."""
        self._flow.drain()
        if self.phase is Phase.IDLE and not self._backlog:
            self.deadline = self.idle_since + self._limits.keep_alive_s

    def on_begin(self) -> None:
        """The first byte of a request has arrived."""
        self.phase, self.deadline = Phase.HEAD, self._loop.time() + self._limits.header_s

    def on_head(self, method: str, url: bytes, headers: Headers, head: Head) -> None:
        """The header is complete: reject the request at capacity, wait for a short body, or call the application."""
        scope = scope_of(method, url, headers, head)
        if early := self._edge.early_rejection(scope, head):
            self._transport.write(early.response)
            self.answered(keep_alive=early.keep_alive)
        else:
            scope |= self._ends | {"state": self._app_state.copy()}
            self._exchange = Exchange(self, scope, head, date=self._state.default_headers)
            self._exchange.keep_alive &= not self._edge.is_draining
            self.phase, self.deadline = Phase.BODY, self._loop.time() + self._limits.upload_s
            if head.expects_continue or (head.length or 0) > self._limits.body_bytes:
                self.start()

    def start(self) -> None:
        """Call the application, if it has not been called. It can reject a long body before that arrives."""
        if self._exchange and self.phase is Phase.BODY:
            self.phase, self.deadline = Phase.ANSWERING, math.inf
            self._exchange.start(self._app, self._state.tasks)

    def on_body(self, body: bytes) -> None:
        """A part of the body has arrived."""
        if self.phase is Phase.DISCARDING:
            self._discard(len(body))
        elif self._exchange:
            self._exchange.body(body)

    def on_end(self) -> None:
        """The request is complete."""
        if self._exchange:
            self._exchange.end()
        self.start()
        if self.phase is Phase.DISCARDING:
            self._await_next()

    def write(self, data: bytes) -> None:
        """Send bytes to the client."""
        self._transport.write(data)

    async def writable(self) -> None:
        """Wait until the write buffer has room. A client that receives nothing is disconnected at the deadline."""
        if self._flow.is_full:
            self._await_reader()
            await self._flow.drained()
            self.deadline = math.inf

    def has_room(self, waiting: int) -> None:
        """Read from the socket, or pause, by how many bytes of the body are waiting for the application."""
        if waiting > self._limits.body_bytes:
            self._flow.pause_reading()
            self.start()
        elif not self._backlog:
            self._flow.resume_reading()

    def answered(self, *, keep_alive: bool) -> None:
        """The response is complete: go on to the next request, or discard the rest of this one first."""
        self._state.total_requests += 1
        self._discarded = 0
        if not keep_alive:
            self._end(is_whole=self._parser.is_whole and not self._backlog)
        elif self._parser.is_whole:
            self._await_next()
        else:
            self._flow.resume_reading()
            self.phase, self.deadline = Phase.DISCARDING, self._loop.time() + self._limits.linger_s

    def abort(self) -> None:
        """Close the connection at once; unsent bytes are lost."""
        self.phase = Phase.CLOSING
        self._transport.abort()

    def on_deadline(self) -> None:
        """The deadline of the current phase has passed."""
        if self._flow.has_moved():  # the client reads slowly, but it reads
            self._await_reader()
        elif self.phase in (Phase.HEAD, Phase.BODY):
            self._reject(self._limits.overdue(self.phase), lingers=False)
        elif self.phase is Phase.IDLE and not self._flow.unsent:
            self._end(is_whole=True)
        else:
            self.abort()

    def shutdown(self) -> None:
        """Close as soon as the request in progress, if any, is answered. uvicorn calls this at shutdown."""
        if self.phase in (Phase.IDLE, Phase.HEAD):
            self._end(is_whole=True)
        elif self.phase in (Phase.BODY, Phase.ANSWERING) and self._exchange:
            self._exchange.keep_alive = False
        elif self.phase is Phase.DISCARDING:
            self._end(is_whole=False)
        elif self.phase is Phase.CLOSING and self._flow.unsent:
            self._await_reader()

    def _feed(self, data: bytes) -> None:
        try:
            self._backlog = self._parser.feed(data)
        except ServiceError as error:
            self._reject(error)
        if self._backlog:  # the client has sent requests ahead: no more of it is read for now
            self._flow.pause_reading()

    def _reject(self, error: ServiceError, *, lingers: bool = True) -> None:
        """Send the response to an invalid request, unless a response has begun, and close."""
        exchange, self._exchange = self._exchange, None
        if exchange:
            exchange.lost()
        if not (exchange and exchange.is_answering):
            self._transport.write(self._edge.rejection(error))
        self._end(is_whole=not lingers)

    def _await_next(self) -> None:
        self._exchange, self.phase, self.idle_since = None, Phase.IDLE, self._loop.time()
        self._parser.next()
        if self._backlog:
            self.deadline = math.inf
            self._loop.call_later(self._edge.turn_s(), self._feed_backlog)
            return
        self._flow.resume_reading()
        self.deadline = self.idle_since + self._limits.keep_alive_s
        if self._flow.is_full:
            self._await_reader()

    def _feed_backlog(self) -> None:
        if self.phase is Phase.IDLE:
            data, self._backlog = self._backlog, b""
            self._feed(data)
            if not self._backlog:
                self._flow.resume_reading()

    def _end(self, *, is_whole: bool) -> None:
        """Close the connection; if the client may still be sending, only after reading that. Otherwise the kernel would
        reset the connection, and the client might lose the response (RFC 9112 section 9.6).
        """
        now, self._backlog = self._loop.time(), b""
        if is_whole:
            self.phase = Phase.CLOSING
            self._await_reader()
            self._transport.close()
        else:
            self.phase, self._linger_until = Phase.LINGERING, now + self._limits.linger_s
            self.deadline = now + self._limits.linger_silence_s
            self._flow.resume_reading()
            if self._transport.can_write_eof():
                self._transport.write_eof()

    def _await_reader(self) -> None:
        """Start the time within which the client must receive some of the buffered bytes."""
        self._flow.mark()
        self.deadline = self._loop.time() + self._edge.send_s

    def _discard(self, size: int) -> None:
        """Count discarded bytes."""
        self._discarded += size
        if self._discarded > self._limits.linger_bytes:
            self.abort()
        elif self.phase is Phase.LINGERING:
            self.deadline = min(self._linger_until, self._loop.time() + self._limits.linger_silence_s)
