"""From the body of a request to its images. Bytes are counted as they arrive, and are never written to disk."""

import asyncio
import base64
import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable
from dataclasses import dataclass
from typing import TypeVar

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
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
from service.inference.admission import Reservation
from service.settings import Settings

T = TypeVar("T")

PART = "file"
# Accepted Content-Types of a raw body. The format itself is detected from the first bytes.
RAW_TYPES = ("image/jpeg", "image/png", "application/octet-stream")
MULTIPART = "multipart/form-data"
# Form fields other than files are ignored, up to this number.
_MAX_FIELDS = 16
_MAX_FIELD_BYTES = 64 * 1024
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
    stream = _limited_chunks(request, settings.max_body_bytes, reservation)
    return await _within(settings.upload_s, _read_images(request, stream, max_images))


async def read_body(request: Request, settings: Settings, reservation: Reservation | None = None) -> bytes:
    """The whole body of a request, of any type. Without a reservation the limit is 64 KiB.

    Raises:
        BODY_PROBLEMS: the body is over a limit or does not match its headers.
        Overloaded: the service holds too many bytes already.
    """
    limit = settings.max_body_bytes if reservation else _MAX_FIELD_BYTES
    return await _within(settings.upload_s, _join(_limited_chunks(request, limit, reservation)))


async def _within(seconds: float, upload: Awaitable[T]) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await upload
    except TimeoutError:
        raise UploadTimeout(f"the body did not arrive within {seconds:g} s") from None


async def _join(stream: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def _read_images(request: Request, stream: AsyncGenerator[bytes, None], max_images: int) -> list[Upload]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        return await _read_multipart(request, stream, max_images)
    if media_type and media_type not in RAW_TYPES:
        raise UnsupportedBody(f"send {', '.join(RAW_TYPES)} or {MULTIPART}")
    body = await _join(stream)
    if not body or not media_type:
        raise MissingBody(f"send an image as the body with its Content-Type, or as a part named {PART} of {MULTIPART}")
    return [Upload(None, body)]


async def _limited_chunks(request: Request, limit: int, reservation: Reservation | None) -> AsyncGenerator[bytes, None]:
    """The chunks of the body. Rejects a body over the limit, at once if its Content-Length is."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedEncoding("send the body without a Content-Encoding")
    too_large = BodyTooLarge(f"the body may have at most {limit} bytes")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    received, stated = 0, _stated_digest(request)
    digest = hashlib.sha256() if stated else None
    async for chunk in _chunks(request):
        received += len(chunk)
        if received > limit:
            raise too_large
        if reservation:
            reservation.add_bytes(len(chunk))
        if digest:
            digest.update(chunk)
        yield chunk
    if digest and base64.b64encode(digest.digest()).decode() != stated:
        raise DigestMismatch(
            "the body does not match its Content-Digest: it was altered in transit, or is another body"
        )


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


async def _read_multipart(request: Request, stream: AsyncGenerator[bytes, None], max_images: int) -> list[Upload]:
    # The parser accepts one file more: a single file part of another name is ignored.
    parser = _InMemoryParser(
        request.headers,
        stream,
        max_files=max_images + 1,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many(max_images) from None
        raise MalformedRequest(f"the multipart body cannot be parsed: {error.message}") from None
    try:
        if not parser.ended:
            raise MalformedRequest("the multipart body ends before its last boundary")
        return await _files(form, max_images)
    finally:
        await form.close()


async def _files(form: FormData, max_images: int) -> list[Upload]:
    files = [value for name, value in form.multi_items() if name == PART and isinstance(value, UploadFile)]
    if not files:
        raise MissingFile(f"send each image as a part named {PART} that has a filename")
    if len(files) > max_images:
        raise _too_many(max_images)
    return [Upload(file.filename, await file.read()) for file in files]


def _too_many(max_images: int) -> TooManyFiles:
    return TooManyFiles(f"a request may have at most {max_images} image{'s' * (max_images > 1)}")


class _InMemoryParser(MultiPartParser):
    """Starlette's parser, but it never spools to disk (the default above 1 MB) and notices a body that is cut short."""

    spool_max_size = 0  # SpooledTemporaryFile: never roll over to disk; _limited_chunks bounds the memory
    ended = False

    def on_end(self) -> None:
        self.ended = True
