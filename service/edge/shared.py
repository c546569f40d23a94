"""The state that all connections of a process share: limits, number, deadlines, and the rates of what is paced."""

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, NamedTuple

from service.edge.head import Head, Scope, field
from service.edge.limits import Limits
from service.edge.pacing import Pacer
from service.edge.phase import Phase
from service.edge.rejection import note_gone, rejection
from service.errors import ServiceError
from service.telemetry.metrics import Metrics
from service.telemetry.record import RequestRecord

# Share of the maximum number of connections. Above it, idle ones are closed early, so that new ones are accepted.
_CROWDED = 0.75
_CROWDED_KEEP_ALIVE_S = 5.0
_LOG_EVERY_S = 1.0
# Burst tolerance in seconds of early rejections, since requests arrive at random.
_BURST_S = 0.02

# By the path of a POST with a body: its route, and why the application would reject it now; None if it would not.
Overload = Callable[[str], tuple[str, ServiceError] | None]

log = logging.getLogger(__name__)


class EarlyRejection(NamedTuple):
    """A whole response, and whether the connection is kept after it."""

    response: bytes
    keep_alive: bool


class Edge:
    """Shared by the connections of one process.

    Args:
        limits: limits of each connection, and of their number.
        metrics: counts the requests that the edge itself answers.
        overload: see ``Overload``.
    """

    def __init__(self, limits: Limits, metrics: Metrics, overload: Overload = lambda _: None) -> None:
        self.limits, self._metrics, self._overload = limits, metrics, overload
        self.is_draining, self.is_closed = False, False
        self._pipelined, self._early_rejections = Pacer(limits.pipelined_every_s), Pacer(limits.rejected_every_s)
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

    def rejection(self, error: ServiceError) -> bytes:
        """The response to an invalid request; counts and logs it."""
        return rejection(error, self._metrics)

    def early_rejection(self, scope: Scope, head: Head) -> EarlyRejection | None:
        """The response to a request that the application would reject for lack of a free slot, if it can be sent now:
        at the end of the header, before the application is called and any of the body is received. Such rejections take
        a bounded share of the event loop, however many clients retry: the application rejects the others, later.
        """
        rejected = self._overload(scope["path"]) if head.length != 0 and scope["method"] == "POST" else None
        if rejected is None:  # nearly every request
            return None
        now = asyncio.get_running_loop().time()
        if self._early_rejections.backlog_s(now) > _BURST_S:
            return None
        self._early_rejections.schedule(now)
        sent = (field(scope["headers"], name).decode("latin-1") for name in (b"x-request-id", b"traceparent"))
        record = RequestRecord.of(*sent)
        record.route, error = rejected
        # A client that expects 100 Continue may send the body or not.
        keep_alive = head.keeps_alive and not head.expects_continue and not self.is_draining
        return EarlyRejection(rejection(error, self._metrics, record, closes=not keep_alive), keep_alive)

    def note_gone(self) -> None:
        """Count and log a client that disconnected before its request was complete."""
        note_gone(self._metrics)

    def turn_s(self) -> float:
        """Seconds until the next pipelined request may start. All connections share the rate, so that they take a
        bounded share of the event loop.
        """
        return self._pipelined.schedule(asyncio.get_running_loop().time())

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
