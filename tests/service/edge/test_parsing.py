"""Bytes to requests: where each ends, whatever the pieces it comes in, and what is no request."""

from dataclasses import dataclass, field

import pytest

from service.edge.head import Head, Headers
from service.edge.limits import Limits
from service.edge.parsing import RequestParser
from service.errors import BadRequest, HeaderTooLarge, ServiceError

HOST = b"Host: x\r\n"
POST = b"POST /a HTTP/1.1\r\n" + HOST
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"
LIMITS = Limits(header_bytes=4096, headers=20)


@dataclass
class Seen:
    """A handler that keeps what it is told."""

    requests: list[tuple[str, bytes, bytes, Headers]] = field(default_factory=list)
    begun: int = 0
    _head: tuple[str, bytes, Headers] = ("", b"", [])
    _body: bytes = b""

    def on_begin(self) -> None:
        self.begun += 1

    def on_head(self, method: str, url: bytes, headers: Headers, head: Head) -> None:
        self._head, self._body = (method, url, headers), b""

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_end(self) -> None:
        method, url, headers = self._head
        self.requests.append((method, url, self._body, headers))


def parsed(*pieces: bytes) -> Seen:
    """What these bytes are, with each request answered as soon as it is whole."""
    seen = Seen()
    parser = RequestParser(seen, LIMITS)
    for piece in pieces:
        rest = parser.feed(piece)
        while parser.is_whole:
            parser.next()
            rest = parser.feed(rest)
        assert rest == b""
    return seen


def bodies(seen: Seen) -> list[tuple[str, bytes, bytes]]:
    return [request[:3] for request in seen.requests]


SEVERAL = (
    POST + b"Content-Length: 7\r\n\r\nab\r\n\r\nc",
    b"GET /b HTTP/1.1\r\n" + HOST + b"\r\n",
    CHUNKED + b"3;x=y\r\nabc\r\n6\r\n\r\n\r\n\r\n\r\n0\r\nTrailer: t\r\n\r\n",
    POST + b"Content-Length: 0\r\n\r\n",
    CHUNKED + b"0\r\n\r\n",
    b"\r\n\r\nGET /c HTTP/1.1\r\n" + HOST + b"\r\n",
)
EXPECTED = [
    ("POST", b"/a", b"ab\r\n\r\nc"),
    ("GET", b"/b", b""),
    ("POST", b"/a", b"abc\r\n\r\n\r\n"),
    ("POST", b"/a", b""),
    ("POST", b"/a", b""),
    ("GET", b"/c", b""),
]


def test_several_requests_in_one_piece() -> None:
    assert bodies(parsed(b"".join(SEVERAL))) == EXPECTED


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 7, 11])
def test_several_requests_in_small_pieces(size: int) -> None:
    whole = b"".join(SEVERAL)
    assert bodies(parsed(*(whole[at : at + size] for at in range(0, len(whole), size)))) == EXPECTED


def test_requests_cut_in_two_anywhere() -> None:
    whole = b"".join(SEVERAL)
    for at in range(len(whole)):
        assert bodies(parsed(whole[:at], whole[at:])) == EXPECTED


def test_what_is_sent_ahead_stays_bytes() -> None:
    seen = Seen()
    parser = RequestParser(seen, LIMITS)
    get = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
    assert parser.feed(get * 1000) == get * 999
    assert seen.begun == 1


def test_a_trailer_is_not_a_header() -> None:
    trailer = b"3\r\nabc\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
    assert parsed(CHUNKED + trailer).requests[0][3] == [(b"host", b"x"), (b"transfer-encoding", b"chunked")]


def test_padding_is_no_part_of_a_value() -> None:
    padded = b"POST /a HTTP/1.1\r\nHost:\t x \r\nTransfer-Encoding: chunked \r\nExpect: 100-continue \r\nA: \t\r\n\r\n"
    assert parsed(padded + b"0\r\n\r\n").requests[0][3] == [
        (b"host", b"x"),
        (b"transfer-encoding", b"chunked"),
        (b"expect", b"100-continue"),
        (b"a", b""),
    ]


@pytest.mark.parametrize("whole", [True, False])
def test_a_wish_for_another_protocol_is_ignored(whole: bool) -> None:
    request = POST + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAA\r\n"
    request += b"Content-Length: 3\r\n\r\nabc"
    seen = parsed(request) if whole else parsed(*(request[at : at + 1] for at in range(len(request))))
    assert seen.requests == [("POST", b"/a", b"abc", [(b"host", b"x"), (b"content-length", b"3")])]


@pytest.mark.parametrize(
    "request_",
    [
        POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
        POST + b"Content-Length: 3, 3\r\n\r\nabc",
        POST + b"Content-Length: +3\r\n\r\nabc",
        POST + b"Content-Length : 3\r\n\r\nabc",
        POST + b"Content-Length: 99999999999999999999999\r\n\r\n",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: identity\r\n\r\n",
        POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        b"POST /a HTTP/1.0\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        CHUNKED + b"0x3\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3 \r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3;a\nabc\r\n0\r\n\r\n",
        CHUNKED + b"-1\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"fffffffffffffffffff\r\nabc\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
        POST + b"A: b\r\n c\r\n\r\n",
        b"POST /a HTTP/1.1\r\n Host: x\r\n\r\n",
        b"GET /a HTTP/1.1\nHost: x\n\n",
        b"GET /a HTTP/1.1\r\nHost: x\rA: b\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\0\r\n\r\n",
        b"GET /a HTTP/1.1\r\n\r\n",
        b"GET /a HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n",
        b"GET /a\r\n\r\n",
        b"GET /a HTTP/2.0\r\nHost: x\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /a HTTP/1.1\r\n" + HOST + b": x\r\n\r\n",
        "GET /ä HTTP/1.1\r\nHost: x\r\n\r\n".encode(),
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
def test_what_two_programs_could_read_in_two_ways_is_refused(request_: bytes) -> None:
    with pytest.raises(BadRequest):
        parsed(request_)


@pytest.mark.parametrize(
    "request_",
    [
        b"GET /" + b"a" * 5000,
        b"GET / HTTP/1.1\r\nA" + b"a" * 5000,
        b"GET / HTTP/1.1\r\nA: " + b"a" * 5000,
        b"GET / HTTP/1.1\r\n" + HOST + b"A: b\r\n" * 20 + b"\r\n",
        CHUNKED + b"3\r\nabc\r\n0\r\nA: " + b"a" * 9000,
        CHUNKED + b"3\r\nabc\r\n0\r\n" + b"A: b\r\n" * 2000,
        CHUNKED + b"3;" + b"a" * 9000,
    ],
    ids=["path", "name", "value", "fields", "trailer", "trailers", "extension"],
)
def test_what_has_no_end_is_refused_before_it_takes_memory(request_: bytes) -> None:
    with pytest.raises(HeaderTooLarge):
        parsed(*(request_[at : at + 100] for at in range(0, len(request_), 100)))


def test_a_body_of_one_byte_a_chunk_is_no_endless_trailer() -> None:
    assert bodies(parsed(CHUNKED, b"1\r\nx\r\n" * 5000, b"0\r\n\r\n")) == [("POST", b"/a", b"x" * 5000)]


def test_nothing_is_parsed_behind_an_error() -> None:
    parser = RequestParser(Seen(), LIMITS)
    for _ in range(2):
        with pytest.raises(ServiceError):
            parser.feed(b"nonsense\r\n\r\n")
