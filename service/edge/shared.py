"""The state that all connections of a process share: limits, number, deadlines, and the rate of pipelined requests."""

import asyncio
import logging
from collections.abc import Collection
from typing import Any

from service.edge.limits import Limits
from service.edge.phase import Phase
from service.edge.refusal import note_gone, refusal
from service.errors import ServiceError
from service.telemetry.metrics import Metrics

# Share of the maximum number of connections. Above it, idle ones are closed early, so that new ones are accepted.
_CROWDED = 0.75
_CROWDED_KEEP_ALIVE_S = 5.0
_LOG_EVERY_S = 1.0

log = logging.getLogger(__name__)


class Edge:
    """Shared by the connections of one process.

    Args:
        limits: limits of each connection, and of their number.
        metrics: counts the requests that the edge itself answers.
    """

    def __init__(self, limits: Limits, metrics: Metrics) -> None:
        self.limits, self._metrics = limits, metrics
        self.is_draining, self.is_closed = False, False
        self._next_turn = 0.0
        self._refused, self._logged_at = 0, float("-inf")
        self._sweeping: asyncio.TimerHandle | None = None

    @property
    def send_s(self) -> float:
        """Maximum time without progress while a client receives a response, now."""
        return self.limits.last_send_s if self.is_closed else self.limits.send_s

    def admits(self, connections: Collection[Any]) -> bool:
        """Whether one more connection is accepted beside these; none is once the port is closed. Those beyond the limit
        are logged, at most once per second.
        """
        if self.is_closed:
            return False
        if len(connections) < self.limits.connections:
            self._watch(connections)
            return True
        self._refused += 1
        now = asyncio.get_running_loop().time()
        if now - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = now
            log.warning("connections were refused: XRAY_MAX_CONNECTIONS are open", extra={"refused": self._refused})
            self._refused = 0
        return False

    def drain(self, connections: Collection[Any]) -> None:
        """Begin the drain. Requests whose bodies are still arriving are passed to the application, which admits them
        now; every response from now on closes its connection.
        """
        self.is_draining = True
        for connection in connections:
            connection.start()

    def close(self) -> None:
        """Accept no more connections: the port is closed. Those that were being set up are closed once they are."""
        self.is_closed = True

    def refusal(self, error: ServiceError) -> bytes:
        """The response to an invalid request; counts and logs it."""
        return refusal(error, self._metrics)

    def note_gone(self) -> None:
        """Count and log a client that disconnected before its request was complete."""
        note_gone(self._metrics)

    def turn_s(self) -> float:
        """Seconds until the next pipelined request may start. All connections share the rate, so that they take a
        bounded share of the event loop.
        """
        now = asyncio.get_running_loop().time()
        self._next_turn = max(now, self._next_turn + self.limits.pipelined_every_s)
        return self._next_turn - now

    def _watch(self, connections: Collection[Any]) -> None:
        """Enforce the deadlines of these connections while there are any. One periodic check of all of them costs less
        than a timer per request.
        """
        if self._sweeping is None:
            loop = asyncio.get_running_loop()
            self._sweeping = loop.call_later(self.limits.sweep_every_s, self._sweep, connections)

    def _sweep(self, connections: Collection[Any]) -> None:
        self._sweeping = None
        now = asyncio.get_running_loop().time()
        is_crowded = len(connections) > _CROWDED * self.limits.connections
        for connection in list(connections):
            if now >= connection.deadline or (is_crowded and _is_idle(connection, now)):
                connection.on_deadline()
        if connections:
            self._watch(connections)


def _is_idle(connection: Any, now: float) -> bool:
    return connection.phase is Phase.IDLE and now - connection.idle_since > _CROWDED_KEEP_ALIVE_S
