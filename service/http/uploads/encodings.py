"""The Content-Encoding of a request's body (RFC 9110, section 8.4): gzip and deflate are inflated, piece by piece."""

import asyncio
import zlib
from collections.abc import AsyncGenerator

from service.errors import UnsupportedEncoding

# By encoding, zlib's wbits: a gzip member (RFC 1952) and nothing else; for deflate the zlib format (RFC 1950).
_FORMATS = {"gzip": 31, "x-gzip": 31, "deflate": 15}
_PIECE = 256 * 1024  # bytes inflated before others have their turn


async def decompressed(stream: AsyncGenerator[bytes, None], content_encoding: str) -> AsyncGenerator[bytes, None]:
    """A body without its encoding. How much of it is taken is up to the caller.

    Raises:
        UnsupportedEncoding: it is neither identity, gzip nor deflate, or not what it is said to be.
    """
    encoding = content_encoding.strip().lower()
    if encoding in ("", "identity"):
        async for chunk in stream:
            yield chunk
    elif encoding in _FORMATS:
        async for chunk in _inflated(stream, encoding):
            yield chunk
    else:
        raise UnsupportedEncoding("send the body without a Content-Encoding, or as gzip or deflate")


async def _inflated(stream: AsyncGenerator[bytes, None], encoding: str) -> AsyncGenerator[bytes, None]:
    member = zlib.decompressobj(_FORMATS[encoding])
    try:
        async for chunk in stream:
            left = chunk
            while left:
                if member.eof:  # a file of several members (RFC 1952, 2.2)
                    member = zlib.decompressobj(_FORMATS[encoding])
                yield member.decompress(left, _PIECE)
                left = member.unused_data if member.eof else member.unconsumed_tail
                await asyncio.sleep(0)
    except zlib.error:
        raise UnsupportedEncoding(f"the body is not {encoding}, as its Content-Encoding says, or is damaged") from None
    if not member.eof:
        raise UnsupportedEncoding(f"the body ends before its {encoding} data are complete")
