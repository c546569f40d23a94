"""Whether the socket of a connection is read, and whether its client reads."""

import asyncio
from typing import Any


class Flow:
    """The flow of bytes over a transport of asyncio.

    Args:
        transport: of the connection.
    """

    __slots__ = ("_drained", "_is_read", "_transport", "_unsent", "is_full")

    def __init__(self, transport: Any) -> None:
        self._transport = transport
        self._is_read, self.is_full = True, False
        self._drained: asyncio.Future[None] | None = None
        self._unsent = 0

    def pause_reading(self) -> None:
        """Leave what comes to the system, which soon tells the client to wait."""
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
        """As much waits to be sent as may."""
        self.is_full = True

    def drain(self) -> None:
        """It waits no longer, or there is nobody to send it to."""
        self.is_full = False
        if self._drained and not self._drained.done():
            self._drained.set_result(None)

    async def drained(self) -> None:
        """Wait for that."""
        self._drained = asyncio.get_running_loop().create_future()
        await self._drained

    @property
    def unsent(self) -> int:
        """Bytes that wait to be sent."""
        return int(self._transport.get_write_buffer_size())

    def mark(self) -> None:
        """Remember how many there are."""
        self._unsent = self.unsent

    def has_moved(self) -> bool:
        """Whether some of those have been sent since, and not yet all."""
        return 0 < self.unsent < self._unsent
