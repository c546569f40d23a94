"""The memory that decoding may take at a time, over all images."""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class MemoryBudget:
    """Reserves bytes before an image is decoded. If too few are left, callers wait in the order of arrival.

    Args:
        total: bytes.
    """

    def __init__(self, total: int) -> None:
        self.total = total
        self.reserved = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()
        self._lock = threading.Lock()  # of the number reserved

    @asynccontextmanager
    async def reserve(self, count: int) -> AsyncIterator[None]:
        """Reserve this many bytes, at most ``total``, for the duration of the context."""
        await self.take(count)
        try:
            yield
        finally:
            self.give_back(count)

    async def take(self, count: int) -> None:
        """Wait until this many bytes, at most ``total``, are free, and reserve them."""
        if self.take_now(count):
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.append((count, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self._serve()  # the next in the queue may fit now
            else:
                self.give_back(count)
            raise

    def take_now(self, count: int) -> bool:
        """Reserve this many bytes if they are free and no caller waits; returns whether. Callable from any thread."""
        return not self._waiting and self._reserve(count)

    def give_back(self, count: int) -> None:
        """Release this many bytes. Call it in the event loop."""
        with self._lock:
            self.reserved -= count
        self._serve()

    def _reserve(self, count: int) -> bool:
        with self._lock:
            fits = self.reserved + count <= self.total
            self.reserved += count * fits
        return fits

    def _serve(self) -> None:
        while self._waiting:
            count, turn = self._waiting[0]
            if not turn.cancelled():
                if not self._reserve(count):
                    return
                turn.set_result(None)
            self._waiting.popleft()
