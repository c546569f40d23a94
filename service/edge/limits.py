"""The limits of connections: number, bytes and times."""

import logging
from dataclasses import dataclass

from service.edge.phase import Phase
from service.errors import HeaderTimeout, ServiceError, UploadTimeout
from service.settings import Settings

# Descriptors that the process needs beside its connections: model, audit, log, listening sockets, event loop.
_OTHER_DESCRIPTORS = 128

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the connections of one process; sizes in bytes, times in seconds.

    Attributes:
        connections: maximum open connections.
        keep_alive_s: maximum idle time between two requests.
        header_s: maximum time from the first byte of a request, or from the connection, to the end of the header.
        upload_s: maximum time for a short body to arrive. For longer bodies the application keeps the time.
        header_bytes: maximum size of request line and header fields; also of chunk sizes and trailers in a row.
        headers: maximum number of header fields.
        send_s: maximum time without progress while the client receives a response.
        last_send_s: the same once the port is closed, so that a client that never reads does not delay the shutdown.
        linger_s: maximum time for which the rest of a request is read and discarded after its response.
        linger_silence_s: maximum silence within that time.
        linger_bytes: maximum bytes that are discarded.
        body_bytes: maximum bytes of a body that are buffered. A body within it is buffered whole before the application
            is called; for a longer one the application is called, and reading pauses while it does not consume.
        pipelined_every_s: minimum time between two pipelined requests, over all connections.
        rejected_every_s: minimum mean time between two early rejections, over all connections.
        sweep_every_s: interval of the deadline checks, and so their precision.
    """

    connections: int = 2048
    keep_alive_s: float = 75
    header_s: float = 10
    upload_s: float = 30
    header_bytes: int = 32 * 2**10
    headers: int = 128
    send_s: float = 15
    last_send_s: float = 5
    linger_s: float = 30
    linger_silence_s: float = 5
    linger_bytes: int = 256 * 2**20
    body_bytes: int = 256 * 2**10
    pipelined_every_s: float = 0.01
    rejected_every_s: float = 0.001
    sweep_every_s: float = 0.5

    def overdue(self, phase: Phase) -> ServiceError:
        """The error of a request whose header or body, by its phase, did not arrive in time."""
        if phase is Phase.HEAD:
            return HeaderTimeout(f"the header did not arrive within {self.header_s:g} s")
        return UploadTimeout(f"the body did not arrive within {self.upload_s:g} s")


def limits_of(settings: Settings) -> Limits:
    """The limits from the settings, as far as the system allows them."""
    wanted = settings.max_connections
    allowed = max(1, min(wanted, _descriptors(wanted + _OTHER_DESCRIPTORS) - _OTHER_DESCRIPTORS))
    if allowed < wanted:
        log.warning(
            "fewer connections than XRAY_MAX_CONNECTIONS: the process may not open enough files (ulimit -n)",
            extra={"max_connections": wanted, "connections": allowed},
        )
    return Limits(allowed, settings.keep_alive_s, settings.header_s, settings.upload_s)


def _descriptors(wanted: int) -> int:
    """How many files this process may open. Raises the soft limit to the wanted number if the hard limit allows it."""
    try:
        import resource
    except ImportError:  # not a Unix system: no such limit
        return wanted
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted
    raised = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    except (OSError, ValueError):
        return soft
    return raised
