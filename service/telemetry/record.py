"""One log line per request. It never contains pixels or a file name."""

import logging
import re
import time
import uuid
from dataclasses import dataclass, field
from typing import Self

from service.telemetry.metrics import CLIENT_GONE, HEALTH, Metrics

log = logging.getLogger("service.request")
# What a client may name its request.
SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
# W3C Trace Context, level 1: version, trace id, parent id, flags.
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
_NOT_LOGGED = {"started", "cancel_if_gone", "user"}


@dataclass(slots=True)
class RequestRecord:
    """The facts about one request, collected while it is handled; logged and counted at its end."""

    request_id: str
    started: float = field(default_factory=time.monotonic)
    # Whether its handling is to be cancelled when the client disconnects: nobody would receive the answer.
    cancel_if_gone: bool = False
    route: str = "unmatched"
    status: int = CLIENT_GONE
    outcome: str = "ok"
    caller: str | None = None
    # The person for whom a trusted proxy called; for the audit alone.
    user: str | None = None
    trace_id: str | None = None
    model: str | None = None
    images: int = 0
    flagged: int = 0
    batch_size: int = 0
    decode_ms: float = 0
    queue_ms: float = 0
    inference_ms: float = 0

    @classmethod
    def of(cls, request_id: str, traceparent: str) -> Self:
        """The record of a request with these headers, each empty if it was not sent.

        Args:
            request_id: X-Request-ID; another is drawn unless it is safe to repeat.
            traceparent: the trace that the client's request belongs to. It is logged, and sent nowhere: the service
                calls nobody.
        """
        safe = request_id if SAFE_ID.fullmatch(request_id) else uuid.uuid4().hex
        trace = _TRACEPARENT.fullmatch(traceparent)
        return cls(safe, trace_id=trace[1] if trace else None)

    @property
    def server_timing(self) -> str:
        """The value of the header ``Server-Timing``: milliseconds per stage."""
        return f"decode;dur={self.decode_ms}, queue;dur={self.queue_ms}, inference;dur={self.inference_ms}"

    def emit(self, metrics: Metrics) -> None:
        """Count and log the request."""
        seconds = time.monotonic() - self.started
        metrics.request_answered(self.route, self.status, seconds)
        level = logging.DEBUG if self.route.startswith((*HEALTH, "/metrics")) else logging.INFO
        fields = {name: getattr(self, name) for name in self.__slots__ if name not in _NOT_LOGGED}
        log.log(level, "request", extra={**fields, "total_ms": round(1e3 * seconds, 1)})
