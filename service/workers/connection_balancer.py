"""Balances connections between workers that share a listening socket: workers with fewer connections accept first.

Without it, the worker that wakes first accepts most of a burst, and serves those connections for as long as they are
kept alive (docs/decisions/0011-several-workers.md has the figures).
"""

import asyncio
import errno
import logging
import socket
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, cast

from service.telemetry.worker_table import NOT_ACCEPTING, WorkerSlot

# Seconds that a worker waits per connection that it has more than the least loaded one; and at most.
_YIELD_S, _MAX_YIELD_S = 0.005, 0.02
# Added to the load of a worker that is not ready: it would reject requests. More than the connections of any worker.
_NOT_READY_LOAD = 1_000_000
# Seconds that a worker which is not ready waits at most for one that is, however busy.
_MAX_NOT_READY_YIELD_S = 1.0
_BACKLOG = 2048
# The system is out of file descriptors or memory: an immediate retry would only use up CPU time.
_OUT_OF_RESOURCES = {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
_RESOURCE_BACKOFF_S = 1.0

log = logging.getLogger(__name__)


def yield_time_s(own: int, others: Iterable[int]) -> float:
    """Seconds to wait so that less loaded workers can accept first; bounded, because these may be busy right now.

    Args:
        own: load of this worker, in connections.
        others: loads of the other workers.
    """
    excess = own - min(others, default=own)
    longest_s = _MAX_YIELD_S if excess < _NOT_READY_LOAD // 2 else _MAX_NOT_READY_YIELD_S
    return min(excess * _YIELD_S, longest_s) if excess > 0 else 0.0


class ConnectionBalancer:
    """Accepts connections for one worker.

    Args:
        slot: of this worker: number, listening sockets, and the table of all loads.
        connections: returns how many open connections this worker has.
        ready: returns whether this worker is ready for requests.
        accept: makes a server connection of an accepted socket.
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
        self._accepting: set[asyncio.Task[None]] = set()
        self._is_open = False

    def open(self) -> None:
        """Listen, and begin to accept.

        Raises:
            OSError: another process listens on the port by now.
        """
        for listener in self._listeners:
            listener.setblocking(False)
            listener.listen(_BACKLOG)
            self._watch(listener)
        self._is_open = True
        self.publish_load()

    def publish_load(self) -> int:
        """Publish the load of this worker in the shared table, and return it: connections, plus a million if not ready.
        A connection that is being set up counts at once; during its TLS handshake it counts twice.
        """
        load = self._connections() + len(self._accepting) + (0 if self._ready() else _NOT_READY_LOAD)
        self._table.set_load(self._worker, load if self._is_open else NOT_ACCEPTING)
        return load

    def close(self, *, takes_waiting: bool = False) -> set[asyncio.Task[None]]:
        """Stop accepting. The port closes once every worker and the parent have closed it.

        Connections that are being set up are not cancelled: uvloop closes a cancelled one without ``connection_lost``,
        so it would count as open, and delay the shutdown, for ever. The edge closes them as soon as they are set up.

        Args:
            takes_waiting: whether the last worker accepts the connections that the kernel has queued until now, because
                no other process will. They would be reset when the port closes.

        Returns:
            what sets up connections still.
        """
        if not self._is_open:
            return set()
        self._is_open = False
        self.publish_load()
        others = [self._table.load(other) for other in self._table.workers if other != self._worker]
        for listener in self._listeners:
            asyncio.get_running_loop().remove_reader(listener)
            if takes_waiting and all(load == NOT_ACCEPTING for load in others):
                self._take_waiting(listener)
            listener.close()
        return set(self._accepting)

    def _take_waiting(self, listener: socket.socket) -> None:
        for _ in range(_BACKLOG):  # more may come all the time
            try:
                self._begin(listener.accept()[0])
            except ConnectionAbortedError:  # its client has gone
                continue
            except OSError:  # none waits any more, or the system is out of resources
                return

    def _watch(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().add_reader(listener, self._on_readable, listener)

    def _on_readable(self, listener: socket.socket) -> None:
        others = (self._table.load(other) for other in self._table.workers if other != self._worker)
        if wait_s := yield_time_s(self.publish_load(), others):
            self._pause(listener, wait_s)
        else:
            self._accept_one(listener)

    def _pause(self, listener: socket.socket, wait_s: float) -> None:
        loop = asyncio.get_running_loop()
        loop.remove_reader(listener)
        loop.call_later(wait_s, self._resume, listener)

    def _resume(self, listener: socket.socket) -> None:
        if self._is_open:
            self._watch(listener)
            self._accept_one(listener)

    def _accept_one(self, listener: socket.socket) -> None:
        """Accept one connection, unless another worker has accepted it meanwhile."""
        try:
            connection, _ = listener.accept()
        except OSError as error:
            if error.errno in _OUT_OF_RESOURCES:
                log.error(
                    "cannot accept connections, will retry every second: raise the limit of open files or add memory",
                    extra={"reason": error.strerror},
                )
                self._pause(listener, _RESOURCE_BACKOFF_S)
            return
        self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        self._accepting.add(asyncio.create_task(self._set_up(connection), name="accept"))
        self.publish_load()

    async def _set_up(self, connection: socket.socket) -> None:
        try:
            await self._accept(connection)
        except OSError as error:  # the client has disconnected, or its TLS handshake failed
            log.debug("a connection could not be set up", extra={"reason": str(error)})
            connection.close()
        finally:
            self._accepting.remove(cast("asyncio.Task[None]", asyncio.current_task()))
            self.publish_load()
