"""From bytes to requests, one at a time."""

from typing import Any, Protocol

import httptools

from service.edge.head import Head, Headers, check_head, without_upgrade
from service.edge.limits import Limits
from service.errors import BadRequest, HeaderTooLarge, ServiceError

# How a head ends, and a body in chunks.
_END = b"\r\n\r\n"


class Handler(Protocol):
    """Receives the parsed requests."""

    def on_begin(self) -> None:
        """The first byte of a request has arrived."""

    def on_head(self, method: str, url: bytes, headers: Headers, head: Head) -> None:
        """The header is complete and valid. Names of fields are in lower case."""

    def on_body(self, body: bytes) -> None:
        """A part of the body has arrived."""

    def on_end(self) -> None:
        """The request is complete."""


class RequestParser:
    """Parses the requests of one connection.

    llhttp receives the bytes in slices that end where a header or a body ends. So it never parses a second request
    before ``next`` is called, however many a client pipelines: those stay bytes, most of them in the client's socket.

    Args:
        handler: receives the parsed requests.
        limits: limits of headers and trailers.
    """

    def __init__(self, handler: Handler, limits: Limits) -> None:
        self._handler, self._limits = handler, limits
        self._llhttp: Any = httptools.HttpRequestParser(self)
        self._tail, self._upgrade = b"", False
        self._error: ServiceError | None = None
        self.next()

    def next(self) -> None:
        """Prepare for the next request."""
        self.is_whole, self._in_head, self._url = False, True, b""
        self._headers: Headers = []
        self._left: int | None = 0
        self._bare, self._got_body = 0, False

    def feed(self, data: bytes) -> bytes:
        """Parse bytes; returns those after the end of the request.

        Raises:
            ServiceError: the request is invalid or over a limit. Nothing more can be parsed.
        """
        at, view = 0, memoryview(data)
        while at < len(data):
            if self.is_whole:
                return data[at:]
            end = self._end_of_slice(data, at)
            if self._in_head:
                self._count(end - at)
            self._feed_slice(view[at:end])
            at = end
        return b""

    def _end_of_slice(self, data: bytes, at: int) -> int:
        """Where the current header or body ends within these bytes; their end if it does not."""
        if self._left:
            return min(len(data), at + self._left)
        joint = (self._tail + data[at : at + 3]).find(_END) if self._tail else -1
        found = at + joint - len(self._tail) if joint >= 0 else data.find(_END, at)
        self._tail = (self._tail + data[max(at, len(data) - 3) :])[-3:] if joint < 0 and found < 0 else b""
        return len(data) if joint < 0 and found < 0 else found + len(_END)

    def _feed_slice(self, piece: memoryview) -> None:
        was_in_head, self._got_body = self._in_head, False
        try:
            self._llhttp.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self._feed_without_upgrade()
        except httptools.HttpParserError as error:
            raise self._error or BadRequest(f"this is not HTTP/1.1: {error}") from None
        if self._got_body:
            self._bare = 0
        elif self._left is None and not was_in_head:  # chunk sizes, their extensions and trailers
            self._count(len(piece))

    def _count(self, size: int) -> None:
        """Count consecutive bytes that are not body."""
        self._bare += size
        if self._bare > self._limits.header_bytes:
            raise HeaderTooLarge(f"request line, header fields and trailers may have {self._limits.header_bytes} bytes")

    def _feed_without_upgrade(self) -> None:
        """Parse the header again without the upgrade request, with which llhttp would skip the body."""
        method, version = self._llhttp.get_method(), self._llhttp.get_http_version()
        if method == b"CONNECT":
            raise BadRequest("this is not a proxy: CONNECT has no meaning here")
        head = without_upgrade(method, self._url, version, self._headers)
        self._llhttp, self._upgrade = httptools.HttpRequestParser(self), False
        self._url, self._headers = b"", []
        try:
            self._llhttp.feed_data(head)
        except httptools.HttpParserError as error:
            raise self._error or BadRequest(f"this is not HTTP/1.1: {error}") from None

    def _fail(self, error: ServiceError) -> None:
        """Stop llhttp from within a callback. It raises an error of its own, so the real one is kept."""
        self._error = error
        raise error

    # Called by llhttp

    def on_message_begin(self) -> None:
        """The first byte of a request has arrived."""
        self._handler.on_begin()

    def on_url(self, url: bytes) -> None:
        """A part of the request line."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header field. Trailers are ignored: they could bypass the checks of the header."""
        if self._in_head:
            self._headers.append((name.lower(), value.rstrip(b" \t")))  # llhttp has removed what stands before it
            if len(self._headers) > self._limits.headers:
                self._fail(HeaderTooLarge(f"a request may have {self._limits.headers} header fields"))

    def on_headers_complete(self) -> None:
        """The header is complete."""
        llhttp = self._llhttp
        if llhttp.should_upgrade():
            self._upgrade = True
            return
        try:
            head = check_head(llhttp.get_http_version(), self._headers, keeps_alive=llhttp.should_keep_alive())
            self._in_head, self._left, self._bare = False, head.length, 0
            self._handler.on_head(llhttp.get_method().decode("ascii"), self._url, self._headers, head)
        except ServiceError as error:
            self._fail(error)

    def on_body(self, body: bytes) -> None:
        """A part of the body has arrived."""
        if self._left:
            self._left -= len(body)
        self._got_body = True
        self._handler.on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if not self._upgrade:
            self.is_whole, self._left = True, 0
            self._handler.on_end()
