"""What a connection may cost, and for how long."""

import logging
from dataclasses import dataclass

from service.settings import Settings

# Descriptors that the process needs beside its connections: model, audit, log, listening sockets, event loop.
_OTHER_DESCRIPTORS = 128

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of the connections of one process; sizes in bytes, times in seconds.

    Attributes:
        connections: most of them at once.
        keep_alive_s: longest silence between two requests.
        header_s: longest from the first byte of a request, or from the connection, to the end of its header.
        upload_s: longest that a short body may take to arrive; longer ones the application waits for, and gives up.
        header_bytes: of request line and header fields; of chunk sizes and trailers without any body between them.
        headers: most header fields.
        send_s: longest that a client may leave an answer unread.
        linger_s: longest that bytes are read, and thrown away, of a request that has been answered already.
        linger_silence_s: longest silence in that time.
        linger_bytes: most bytes that are thrown away so.
        body_bytes: of a body that waits for the application. A shorter one has to be whole before the application is
            told of the request; of a longer one no more is read from the socket.
        pipelined_every_s: seconds between two pipelined requests, of all connections together.
        sweep_every_s: how often deadlines are looked at; they are met to within so much.
    """

    connections: int = 2048
    keep_alive_s: float = 75
    header_s: float = 10
    upload_s: float = 30
    header_bytes: int = 32 * 2**10
    headers: int = 128
    send_s: float = 15
    linger_s: float = 30
    linger_silence_s: float = 5
    linger_bytes: int = 256 * 2**20
    body_bytes: int = 256 * 2**10
    pipelined_every_s: float = 0.01
    sweep_every_s: float = 0.5


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings ask for, and that the system allows."""
    wanted = settings.max_connections
    allowed = min(wanted, _descriptors(wanted + _OTHER_DESCRIPTORS) - _OTHER_DESCRIPTORS)
    if allowed < wanted:
        log.warning(
            "fewer connections than XRAY_MAX_CONNECTIONS: the process may not open enough files (ulimit -n)",
            extra={"max_connections": wanted, "connections": allowed},
        )
    return Limits(max(allowed, 1), settings.keep_alive_s, settings.header_s, settings.upload_s)


def _descriptors(wanted: int) -> int:
    """How many files this process may open, after raising its soft limit to what is wanted, if the hard one allows."""
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
