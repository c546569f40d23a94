"""Flow control of a connection, in both directions."""

import asyncio
from typing import Any


class Flow:
    """Flow control over an asyncio transport.

    Args:
        transport: the transport of the connection.
    """

    __slots__ = ("_drained", "_is_read", "_transport", "_unsent", "is_full")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._is_read, self.is_full = True, False
        self._drained: asyncio.Future[None] | None = None
        self._unsent = 0

    def pause_reading(self) -> None:
        """Stop reading; TCP then makes the client wait."""
        if self._is_read:
            self._is_read = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if not self._is_read:
            self._is_read = True
            if not self._transport.is_closing():
                self._transport.resume_reading()

    def fill(self) -> None:
        """The write buffer is full."""
        self.is_full = True

    def drain(self) -> None:
        """The write buffer has room again, or the connection is lost."""
        self.is_full = False
        if self._drained and not self._drained.done():
            self._drained.set_result(None)

    async def drained(self) -> None:
        """Wait for ``drain``."""
        self._drained = asyncio.get_running_loop().create_future()
        await self._drained

    @property
    def unsent(self) -> int:
        """Bytes in the write buffer."""
        return int(self._transport.get_write_buffer_size())

    def mark(self) -> None:
        """Remember the size of the write buffer."""
        self._unsent = self.unsent

    def has_moved(self) -> bool:
        """Whether the client has received some of the marked bytes, but not all."""
        return 0 < self.unsent < self._unsent
