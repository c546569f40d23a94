"""From a request's body to the images in it. Bytes are counted as they arrive, and never touch a disk."""

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
# A raw body's type. What it really is, its first bytes say.
RAW_TYPES = ("image/jpeg", "image/png", "application/octet-stream")
MULTIPART = "multipart/form-data"
# Form fields beside the files are read past; more of them than this is no form that anybody filled in.
_MAX_FIELDS = 16
_MAX_FIELD_BYTES = 64 * 1024
_SHA_256 = re.compile(r"sha-256=:([A-Za-z0-9+/=]*):")


# What a body is refused with, whatever is in it; and what one of images is besides.
BODY_PROBLEMS = (BodyTooLarge, DigestMismatch, UnsupportedEncoding, UploadTimeout)
IMAGES_PROBLEMS = (*BODY_PROBLEMS, MalformedRequest, MissingBody, MissingFile, TooManyFiles, UnsupportedBody)


@dataclass(frozen=True, slots=True)
class Upload:
    """One image as it was sent. The file name is for the answer only: never for a path, never for a log."""

    filename: str | None
    data: bytes


async def read_uploads(request: Request, settings: Settings, reservation: Reservation, most: int) -> list[Upload]:
    """The images of a request, one or up to so many, in the order sent.

    Raises:
        IMAGES_PROBLEMS: the request is not one that can be read.
        Overloaded: there is no room for its bytes.
    """
    stream = _counted(request, settings.max_body_bytes, reservation)
    return await _in_time(_read(request, stream, most), settings.upload_s)


async def read_body(request: Request, settings: Settings, reservation: Reservation | None = None) -> bytes:
    """The body of a request, whatever its type; without a party to carry it, only a small one.

    Raises:
        BODY_PROBLEMS: it cannot be read.
        Overloaded: there is no room for its bytes.
    """
    limit = settings.max_body_bytes if reservation else _MAX_FIELD_BYTES
    return await _in_time(_joined(_counted(request, limit, reservation)), settings.upload_s)


async def _in_time(arriving: Awaitable[T], seconds: float) -> T:
    try:
        async with asyncio.timeout(seconds):
            return await arriving
    except TimeoutError:
        raise UploadTimeout(f"the body did not arrive within {seconds:g} s") from None


async def _joined(stream: AsyncGenerator[bytes, None]) -> bytes:
    return b"".join([chunk async for chunk in stream])


async def _read(request: Request, stream: AsyncGenerator[bytes, None], most: int) -> list[Upload]:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type == MULTIPART:
        return await _read_multipart(request, stream, most)
    if media_type and media_type not in RAW_TYPES:
        raise UnsupportedBody(f"send {', '.join(RAW_TYPES)} or {MULTIPART}")
    body = await _joined(stream)
    if not body or not media_type:
        raise MissingBody(f"send an image as the body with its Content-Type, or as a part named {PART} of {MULTIPART}")
    return [Upload(None, body)]


async def _counted(request: Request, limit: int, reservation: Reservation | None) -> AsyncGenerator[bytes, None]:
    """The body, chunk by chunk, while it keeps within the limits; refused at its header if that says more."""
    if request.headers.get("content-encoding", "identity") != "identity":
        raise UnsupportedEncoding("send the body without a Content-Encoding")
    too_large = BodyTooLarge(f"a request may hold {limit} bytes")
    if int(request.headers.get("content-length", 0)) > limit:
        raise too_large
    seen, stated = 0, _stated_digest(request)
    digest = hashlib.sha256() if stated else None
    async for chunk in _chunks(request):
        seen += len(chunk)
        if seen > limit:
            raise too_large
        if reservation:
            reservation.add_bytes(len(chunk))
        if digest:
            digest.update(chunk)
        yield chunk
    if digest and base64.b64encode(digest.digest()).decode() != stated:
        raise DigestMismatch("the body is not the one that its Content-Digest was made of")


async def _chunks(request: Request) -> AsyncGenerator[bytes, None]:
    """What Starlette's ``Request.stream`` gives, and no more than that is done for each chunk."""
    more = True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        more = message.get("more_body", False)
        yield message.get("body", b"")


def _stated_digest(request: Request) -> str | None:
    """The SHA-256 of the body, in base64, if its sender stated one (RFC 9530)."""
    stated = _SHA_256.search(request.headers.get("content-digest", ""))
    return stated[1] if stated else None


async def _read_multipart(request: Request, stream: AsyncGenerator[bytes, None], most: int) -> list[Upload]:
    # One file more than allowed is let through: a part of another name is read past, if it is only one.
    parser = _InMemoryParser(
        request.headers,
        stream,
        max_files=most + 1,
        max_fields=_MAX_FIELDS,
        max_part_size=_MAX_FIELD_BYTES,
    )
    try:
        form = await parser.parse()
    except MultiPartException as error:
        if error.message.startswith("Too many files"):
            raise _too_many(most) from None
        raise MalformedRequest(f"the multipart body cannot be read: {error.message}") from None
    try:
        if not parser.ended:
            raise MalformedRequest("the multipart body ends before its last boundary")
        return await _files(form, most)
    finally:
        await form.close()


async def _files(form: FormData, most: int) -> list[Upload]:
    files = [value for name, value in form.multi_items() if name == PART and isinstance(value, UploadFile)]
    if not files:
        raise MissingFile(f"send each image as a part named {PART} that has a filename")
    if len(files) > most:
        raise _too_many(most)
    return [Upload(file.filename, await file.read()) for file in files]


def _too_many(most: int) -> TooManyFiles:
    return TooManyFiles(f"a request may hold {most} image{'s' * (most > 1)}")


class _InMemoryParser(MultiPartParser):
    """Starlette's parser would spool to disk what is over 1 MB, and take a body without an end for a short one."""

    spool_max_size = 0  # SpooledTemporaryFile: never roll over to disk; _counted bounds the memory
    ended = False

    def on_end(self) -> None:
        self.ended = True
