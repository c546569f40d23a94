"""The head of a request: the checks that keep a proxy and this service from disagreeing where a request ends (request
smuggling, RFC 9112 section 11.2), and the ASGI scope that is made of it.

llhttp rejects most of it: both lengths at once, repeated or malformed ones, folded lines, bare LF, bad chunk sizes.
"""

import asyncio
import urllib.parse
from dataclasses import dataclass
from typing import Any

import httptools

from service.errors import BadRequest

Headers = list[tuple[bytes, bytes]]
Scope = dict[str, Any]
_VERSIONS = ("1.1", "1.0")
# Header fields that request another protocol on this connection. This service ignores them and answers in HTTP/1.1
# (RFC 9110 section 7.8). Java's HttpClient requests HTTP/2 in this way.
_UPGRADE = {b"upgrade", b"http2-settings"}


@dataclass(frozen=True, slots=True)
class Head:
    """What the head of a request says of its framing; ``length``: of the body, in bytes; None if it comes in chunks."""

    version: str
    length: int | None
    keeps_alive: bool
    expects_continue: bool


def check_head(version: str, headers: Headers, *, keeps_alive: bool) -> Head:
    """Read the framing of a request.

    Args:
        version: of HTTP, as the parser has it.
        headers: names in lower case.
        keeps_alive: whether its client wants the connection kept.

    Raises:
        BadRequest: two programs could read the request in two ways.
    """
    if version not in _VERSIONS:
        raise BadRequest("this service supports HTTP/1.1 and HTTP/1.0 only")
    length: int | None = 0
    hosts, expects = 0, False
    for name, value in headers:
        if name == b"host":
            hosts += 1
        elif name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            if version != "1.1" or value.lower() != b"chunked":
                raise BadRequest("Transfer-Encoding may be chunked, in HTTP/1.1, and nothing else")
            length = None
        elif name == b"expect":
            expects = value.lower() == b"100-continue" and version == "1.1"
    if hosts > 1 or (version == "1.1" and not hosts):
        raise BadRequest("a request has one Host header")
    return Head(version, length, keeps_alive, expects)


def scope_of(method: str, url: bytes, headers: Headers, head: Head) -> Scope:
    """The ASGI scope of a request, without what its connection knows. A whole URL (RFC 9112 section 3.2.2) names the
    host, in place of the header.

    Raises:
        BadRequest: it is no URL.
    """
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError:
        raise BadRequest("the request line has no valid path") from None
    raw = parsed.path or b"/"
    path = raw.decode("ascii", "replace")
    if parsed.host:
        name = b"[%b]" % parsed.host if b":" in parsed.host else parsed.host  # IPv6, as the header has it
        host = name + (b":%d" % parsed.port if parsed.port else b"")
        headers = [(b"host", host), *(each for each in headers if each[0] != b"host")]
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": head.version,
        "method": method,
        "path": urllib.parse.unquote(path) if "%" in path else path,
        "raw_path": raw,
        "query_string": parsed.query or b"",
        "root_path": "",
        "headers": headers,
    }


def field(headers: Headers, name: bytes) -> bytes:
    """The value of the first header field of this name (in lower case); empty if there is none."""
    return next((value for each, value in headers if each == name), b"")


def ends_of(transport: asyncio.BaseTransport) -> Scope:
    """The part of an ASGI scope that is the same for all requests of a connection."""
    peer, own = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
    client, server = (each[:2] if isinstance(each, tuple) else None for each in (peer, own))
    scheme = "https" if transport.get_extra_info("sslcontext") else "http"
    return {"client": client, "server": server, "scheme": scheme}


def without_upgrade(method: bytes, url: bytes, version: str, headers: Headers) -> bytes:
    """The head of a request for another protocol without that request; its connection stays open."""
    lines = [b"%b %b HTTP/%b" % (method, url, version.encode())]
    for name, value in headers:
        if name == b"connection":
            kept = [each for each in value.lower().replace(b" ", b"").split(b",") if each not in _UPGRADE]
            if kept:
                lines.append(b"connection: " + b", ".join(kept))
        elif name not in _UPGRADE:
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join([*lines, b"", b""])
