"""The parts of a ``multipart/form-data`` body (RFC 7578; RFC 2046, 5.1), found in memory: nothing touches a disk."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from python_multipart.multipart import parse_options_header

from service.errors import MalformedRequest

# RFC 2046, 5.1.1.
_MAX_BOUNDARY = 70
# More headers than this no client writes; a file name has 255 bytes at most on any disk, thrice that percent-encoded.
_MAX_HEADER_BYTES = 8 * 1024
# The most lines that begin like a boundary but are not one. Real forms have none.
_MAX_FALSE_BOUNDARIES = 100
# What may follow a boundary on its line: the hyphens of the last one, and padding.
_END_OF_LINE = re.compile(rb"(--)?[ \t]*(?:\r\n|\Z)")
# RFC 5987's way to write a file name, or in quotes. RFC 7578 forbids it, and clients on urllib3 1 send nothing else.
_EXTENDED = re.compile(rb"(?i);\s*filename\*\s*=\s*\"?(?:utf-8|iso-8859-1)'[^']*'([^;\s\"]*)")
_FOLDED = re.compile(rb"\r\n[ \t]+")


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its name, the file name if it has one, and its content."""

    name: str
    filename: str | None
    content: memoryview


def boundary_of(content_type: str) -> bytes:
    """The boundary that a Content-Type states. Its charset, if it states one, means nothing (RFC 7578, 5.1.2).

    Raises:
        MalformedRequest: there is none, or it is too long.
    """
    boundary = parse_options_header(content_type)[1].get(b"boundary", b"")
    if not boundary:
        raise MalformedRequest("the multipart body cannot be parsed: its Content-Type states no boundary")
    if len(boundary) > _MAX_BOUNDARY:
        raise MalformedRequest(f"the multipart body cannot be parsed: its boundary has more than {_MAX_BOUNDARY} bytes")
    return boundary


def split(body: bytes, boundary: bytes) -> Iterator[Part]:
    """The parts of a body, in order. What stands before the first boundary and behind the last is read past.

    Raises:
        MalformedRequest: a part has no name or a broken header, or the last boundary is missing.
    """
    view = memoryview(body)
    start = None
    for begin, end, last in _boundaries(body, b"--" + boundary):
        if start is not None:
            yield _part(body, view, start, begin)
        start = end
        if last:
            return
    reason = "it has no boundary as its Content-Type states it" if start is None else "it ends before its last boundary"
    raise MalformedRequest(f"the multipart body cannot be parsed: {reason}")


def _boundaries(body: bytes, dashed: bytes) -> Iterator[tuple[int, int, bool]]:
    """Begin and end of each boundary, its line's ends included, and whether it is the last."""
    at, false = 0, 0
    while (found := body.find(dashed, at)) >= 0:
        at = found + len(dashed)
        line = _END_OF_LINE.match(body, at)
        if line and (found == 0 or body[found - 2 : found] == b"\r\n"):
            yield max(0, found - 2), line.end(), line[1] is not None
            at = line.end() - 2  # the line's end may be that of an empty part's content
        else:
            false += 1
            if false > _MAX_FALSE_BOUNDARIES:
                raise MalformedRequest("the multipart body cannot be parsed: too much in it looks like its boundary")


def _part(body: bytes, view: memoryview, start: int, end: int) -> Part:
    header_end = body.find(b"\r\n\r\n", start - 2, min(end, start + _MAX_HEADER_BYTES) + 4)
    if header_end < 0:
        raise MalformedRequest(
            "the multipart body cannot be parsed: a part has no end of its headers, or too long ones"
        )
    headers = _FOLDED.sub(b" ", body[start:header_end]).split(b"\r\n") if header_end > start else []
    fields = dict(_field(line) for line in headers)
    disposition = fields.get(b"content-disposition", b"")
    options = parse_options_header(disposition)[1]
    if b"name" not in options:
        raise MalformedRequest("the multipart body cannot be parsed: a part's Content-Disposition has no name")
    if b"filename" not in options and (extended := _EXTENDED.search(disposition)):
        options[b"filename"] = unquote_to_bytes(extended[1])
    filename = options.get(b"filename")
    content = view[min(header_end + 4, end) : end]
    return Part(_text(options[b"name"]), None if filename is None else _text(filename), content)


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.partition(b":")
    if not colon or not name.strip():
        raise MalformedRequest("the multipart body cannot be parsed: a header of a part is broken")
    return name.strip().lower(), value.strip()


def _text(name: bytes) -> str:
    """UTF-8, as browsers send it (HTML, 4.10.21.8), or else Latin-1."""
    try:
        return name.decode()
    except UnicodeDecodeError:
        return name.decode("latin-1")
