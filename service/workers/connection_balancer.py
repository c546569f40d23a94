"""Who of several workers takes a connection: they share the listening socket, and who has fewer goes first.

Left to themselves, the one that wakes first takes most of a burst, and keeps them, since connections are kept
(docs/decisions/0011-several-workers.md has the figures).
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast

from service.telemetry.worker_table import NOT_ACCEPTING, WorkerSlot

# Seconds that a worker waits for each connection that it has more than another; and at most.
_YIELD_S, _MOST_S = 0.005, 0.02
# One that would refuse all it is asked leaves connections to those that would not.
_UNREADY = 1000
_BACKLOG = 2048
# The system has no more file descriptors or memory: to try at once again would only take the processor.
_FULL = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_FULL_S = 1.0

log = logging.getLogger(__name__)


def yield_time_s(own: int, others: Iterable[int]) -> float:
    """Seconds to let others go first, by how busy each is. Never long: they may be in the midst of something."""
    ahead = own - min(others, default=own)
    return min(ahead * _YIELD_S, _MOST_S) if ahead > 0 else 0.0


class ConnectionBalancer:
    """Takes connections for one worker.

    Args:
        place: of this one among the workers.
        connections: tells how many this one has.
        ready: tells whether it would answer.
        welcome: makes a connection of an accepted socket.
    """

    def __init__(
        self,
        slot: WorkerSlot,
        *,
        connections: Callable[[], int],
        ready: Callable[[], bool],
        accept: Callable[[socket.socket], Coroutine[Any, Any, object]],
    ) -> None:
        self._listeners, self._table, self._worker = slot.listeners, slot.table, slot.worker
        self._connections, self._ready, self._accept = connections, ready, accept
        self._arriving: set[asyncio.Task[None]] = set()
        self._is_open = False

    def open(self) -> None:
        """Begin.

        Raises:
            OSError: somebody else listens there by now.
        """
        for listener in self._listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._watch(listener)
        self._is_open = True
        self.tell()

    def tell(self) -> int:
        """Let the other workers know how busy this one is; returns it."""
        load = self._connections() + len(self._arriving) + (0 if self._ready() else _UNREADY)
        self._table.set_load(self._worker, load if self._is_open else NOT_ACCEPTING)
        return load

    def close(self) -> None:
        """Take no more. The port is closed when no worker has it open."""
        if not self._is_open:
            return
        self._is_open = False
        self.tell()
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        for task in self._arriving:
            task.cancel()

    def _watch(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._on_readable, listener)

    def _on_readable(self, listener: socket.socket) -> None:
        others = (self._table.load(other) for other in self._table.workers if other != self._worker)
        if wait_s := yield_time_s(self.tell(), others):
            self._pause(listener, wait_s)
        else:
            self._take(listener)

    def _pause(self, listener: socket.socket, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(wait_s, self._take_now, listener)

    def _take_now(self, listener: socket.socket) -> None:
        if self._is_open:
            self._watch(listener)
            self._take(listener)

    def _take(self, listener: socket.socket) -> None:
        """Take one, if no other worker has taken it meanwhile."""
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno in _FULL:
                log.error("no connection can be taken", extra={"reason": error.strerror})
                self._pause(listener, _FULL_S)
            return
        connection.setblocking(False)
        self._arriving.add(asyncio.create_task(self._arrive(connection), name="arriving connection"))
        self.tell()

    async def _arrive(self, connection: socket.socket) -> None:
        try:
            await self._accept(connection)
        except OSError as error:  # it is gone, or its TLS handshake failed
            log.debug("a connection came to nothing", extra={"reason": str(error)})
            connection.close()
        finally:
            self._arriving.remove(cast("asyncio.Task[None]", asyncio.current_task()))
            self.tell()
