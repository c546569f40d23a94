"""Bodies in gzip or deflate are inflated, within the limits; whatever else is refused."""

import gzip
import zlib
from collections.abc import AsyncGenerator

import pytest

from service.errors import UnsupportedEncoding
from service.http.uploads.encodings import decompressed

pytestmark = pytest.mark.anyio
BODY = bytes(range(256)) * 4000


async def in_chunks(body: bytes, size: int = 1000) -> AsyncGenerator[bytes, None]:
    for at in range(0, len(body), size):
        yield body[at : at + size]


async def inflated(body: bytes, encoding: str) -> bytes:
    return b"".join([piece async for piece in decompressed(in_chunks(body), encoding)])


@pytest.mark.parametrize("encoding", ["", "identity", "Identity", " "])
async def test_identity_changes_nothing(encoding: str) -> None:
    assert await inflated(BODY, encoding) == BODY


@pytest.mark.parametrize("encoding", ["gzip", "GZIP", "x-gzip"])
async def test_gzip_is_inflated(encoding: str) -> None:
    assert await inflated(gzip.compress(BODY), encoding) == BODY
    assert await inflated(gzip.compress(BODY[:7]) + gzip.compress(BODY[7:]), encoding) == BODY


@pytest.mark.parametrize("encoding", ["deflate", "Deflate"])
async def test_deflate_is_inflated(encoding: str) -> None:
    assert await inflated(zlib.compress(BODY), encoding) == BODY


@pytest.mark.parametrize(
    ("body", "encoding"),
    [
        (gzip.compress(BODY)[:-1], "gzip"),
        (zlib.compress(BODY), "gzip"),
        (gzip.compress(BODY)[:-8] + bytes(8), "gzip"),
        (gzip.compress(BODY) + b"more", "gzip"),
        (b"", "gzip"),
        (gzip.compress(BODY), "deflate"),
        (zlib.compress(BODY)[:-1], "deflate"),
        (zlib.compress(BODY) + b"more", "deflate"),
        (zlib.compress(BODY)[:-4] + bytes(4), "deflate"),
        (b"", "deflate"),
        (BODY, "br"),
        (gzip.compress(gzip.compress(BODY)), "gzip, gzip"),
    ],
)
async def test_what_is_damaged_or_in_another_encoding_is_refused(body: bytes, encoding: str) -> None:
    with pytest.raises(UnsupportedEncoding):
        await inflated(body, encoding)


async def test_a_bomb_is_inflated_piece_by_piece() -> None:
    bomb = gzip.compress(bytes(50_000_000))
    pieces = [len(piece) async for piece in decompressed(in_chunks(bomb, len(bomb)), "gzip")]
    assert max(pieces) <= 256 * 1024
    assert sum(pieces) == 50_000_000
