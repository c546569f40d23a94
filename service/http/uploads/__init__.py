"""From the body of a request to its images. Bytes are counted as they arrive, and are never written to disk."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from service.errors import (
    BodyTooLarge,
    DigestMismatch,
    MalformedRequest,
    MissingBody,
    MissingFile,
    TooManyFiles,
    UnsupportedBody,
    UnsupportedEncoding,
    UploadTimeout,
)
from service.http.uploads.encodings import decompressed
from service.http.uploads.multipart import boundary_of, split
from service.inference.admission import Reservation
from service.settings import Settings

T = TypeVar("T")

PART = "file"
# Accepted Content-Types of a raw body. The format itself is detected from the first bytes.
RAW_TYPES = ("image/jpeg", "image/png", "application/dicom", "application/octet-stream")
MULTIPART = "multipart/form-data"
# Accepted too; clients use them for the same formats. A body without a Content-Type is accepted as well.
_OTHER_NAMES = ("image/jpg", "image/pjpeg", "image/x-png")
# Parts other than images are ignored, up to this number and size.
_MAX_FIELDS = 16
_SMALL = 64 * 1024
_SHA_256 = re.compile(r"sha-256=:([A-Za-z0-9+/=]*):")


# Exceptions for any body; and those for a body of images.
BODY_PROBLEMS = (BodyTooLarge, DigestMismatch, UnsupportedEncoding, UploadTimeout)
IMAGES_PROBLEMS = (*BODY_PROBLEMS, MalformedRequest, MissingBody, MissingFile, TooManyFiles, UnsupportedBody)


@dataclass(frozen=True, slots=True)
class Upload:
    """One image as it was sent. The file name is for the response only: it never becomes a path or goes to a log."""

    filename: str | None
    data: bytes


async def read_uploads(request: Request, settings: Settings, reservation: Reservation, max_images: int) -> list[Upload]:
    """The images of a request, from 1 to ``max_images``, in the order sent.

    Raises:
        IMAGES_PROBLEMS: the request is malformed or over a limit.
        Overloaded: the service holds too many bytes already.
    """
    return await _within(settings.upload_s, _read_images(request, settings.max_body_bytes, reservation, max_images))


async def read_body(request: Request, settings: Settings, reservation: Reservation | None = None) -> bytes:
    """The whole body of a request, of any type. Without a reservation the limit is 64 KiB.

    Raises:
        BODY_PROBLEMS: the body is over a limit or does not match its headers.
        Overloaded: the service holds too many bytes already.
    """
    limit = settings.max_body_bytes if reservation else _SMALL
    return await _within(settings.upload_s, _body(request, limit, reservation))


async def _within(seconds: float, upload: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await upload
    except TimeoutError:
        raise UploadTimeout(f"the body did not arrive within {seconds:g} s") from None


async def _body(request: Request, limit: int, reservation: Reservation | None) -> bytes:
    """The whole body. One that is not compressed, and so nearly any, without the layers of a stream."""
    headers = request.headers
    if int(headers.get("content-length", 0)) > limit:
        raise _too_large(limit)
    encoding, stated = headers.get("content-encoding", "").strip().lower(), _stated_digest(request)
    if encoding not in ("", "identity"):
        return b"".join([chunk async for chunk in _inflated_chunks(request, encoding, limit, reservation)])
    chunks, received, more = [], 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk, more = message.get("body", b""), message.get("more_body", False)
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        if reservation:
            reservation.add_bytes(len(chunk))
        chunks.append(chunk)
    body = chunks[0] if len(chunks) == 1 else b"".join(chunks)
    if stated:
        _check_digest(hashlib.sha256(body).digest(), stated)
    return body


async def _read_images(request: Request, limit: int, reservation: Reservation, max_images: int) -> list[Upload]:
    content_type = request.headers.get("content-type", "")
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type not in ("", MULTIPART, *RAW_TYPES, *_OTHER_NAMES):
        raise UnsupportedBody(f"the header Content-Type must be {', '.join(RAW_TYPES)} or {MULTIPART}")
    body = await _body(request, limit, reservation)
    if media_type == MULTIPART:
        return _files(body, content_type, max_images)
    if not body:
        raise MissingBody(f"send an image as the body, or as a part named {PART} of {MULTIPART}")
    return [Upload(None, body)]


async def _inflated_chunks(
    request: Request, encoding: str, limit: int, reservation: Reservation | None
) -> AsyncGenerator[bytes, None]:
    """The chunks of a compressed body, inflated."""
    received = 0
    async for chunk in decompressed(_sent_chunks(request, limit), encoding):
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        if reservation:
            reservation.add_bytes(len(chunk))
        yield chunk


async def _sent_chunks(request: Request, limit: int) -> AsyncGenerator[bytes, None]:
    """The chunks of the body as sent. A Content-Digest is that of the bytes as sent (RFC 9530)."""
    received, stated = 0, _stated_digest(request)
    digest = hashlib.sha256() if stated else None
    async for chunk in _chunks(request):
        received += len(chunk)
        if received > limit:
            raise _too_large(limit)
        if digest:
            digest.update(chunk)
        yield chunk
    if digest and stated:
        _check_digest(digest.digest(), stated)


def _check_digest(digest: bytes, stated: str) -> None:
    if base64.b64encode(digest).decode() != stated:
        raise DigestMismatch(
            "the body does not match its Content-Digest: it was altered in transit, or is another body"
        )


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"the body may have at most {limit} bytes")


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    """The chunks that Starlette's ``Request.stream`` yields, with less work per chunk."""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        yield message.get("body", b"")


def _stated_digest(request: Request) -> str | None:
    """The SHA-256 of the body, in base64, if the client sent one (RFC 9530)."""
    stated = _SHA_256.search(request.headers.get("content-digest", ""))
    return stated[1] if stated else None


def _files(body: bytes, content_type: str, max_images: int) -> list[Upload]:
    """The files of a form.

    Raises:
        MalformedRequest, MissingFile, TooManyFiles.
    """
    uploads, fields = [], 0
    for part in split(body, boundary_of(content_type)):
        if part.name == PART and part.filename is not None:
            uploads.append(Upload(part.filename, bytes(part.content)))
        elif part.name != PART and part.filename is None and len(part.content) > _SMALL:
            raise MalformedRequest(f"the multipart body has a field of more than {_SMALL} bytes")
        else:
            fields += 1
        if len(uploads) > max_images:
            raise TooManyFiles(f"a request may have at most {max_images} image{'s' * (max_images > 1)}")
        if fields > _MAX_FIELDS:
            raise MalformedRequest(f"the multipart body has more than {_MAX_FIELDS} parts other than images")
    if not uploads:
        raise MissingFile(f"send each image as a part named {PART} that has a filename")
    return uploads
