"""One line of the audit log: an event, its number in the chain, the hash of the line before, and its own hash.

{"sequence":7,"event":"read","time":"...", ... ,"previous":"<hash of line 6>","hash":"<SHA-256 of all before ,"hash">"}
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import Annotated, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

# The range of the counts in a line: that of a signed 64-bit integer.
Count = Annotated[int, Field(ge=0, lt=2**63)]
# The first line of a chain has this as the hash of the line before.
GENESIS = "0" * 64
# Everybody who can write the file can forge a line: only digits that int accepts, and text that can be shown.
_BEGIN = re.compile(rb'\{"sequence":([0-9]{1,18}),"event":"([a-z_]{1,32})","time":"([ !#-~]{1,64})",')
_END = re.compile(rb',"previous":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n')
_SEAL_BYTES = len(',"hash":""}\n') + 64
_END_BYTES = len(',"previous":""') + 64 + _SEAL_BYTES


def now() -> str:
    """The current time, UTC, in the format of RFC 3339, to the millisecond."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Event(BaseModel):
    """Base class of the recorded events."""

    model_config = ConfigDict(frozen=True)

    event: str
    time: str = Field(default_factory=now)


class Started(Event):
    """A process has started to write to this chain."""

    event: str = "started"
    instance: str
    service: str
    audit: str
    model: str
    version: str
    graph: str
    graph_sha256: str
    provider: str


class Stopped(Event):
    """The process has shut down cleanly."""

    event: str = "stopped"


class Replaced(Event):
    """The process serves another model from now on. Later lines may still name the old one: of requests that had begun
    with it.
    """

    event: str = "replaced"
    model: str
    version: str
    graph: str
    graph_sha256: str
    provider: str


class ImageRead(Event):
    """An image was analysed: the caller, the image's digest, the model, and the answer: a label, or a problem.

    ``image``: its number among the images of the request, from 0.
    """

    event: str = "read"
    caller: str | None
    user: str | None = None
    request_id: str
    trace_id: str | None = None
    route: str
    image: int = 0
    image_sha256: str
    model: str
    version: str
    graph: str
    graph_sha256: str
    provider: str
    operating_point: str
    population: str | None = None
    threshold: float
    label: str | None = None
    probability: float | None = None
    guard_score: float | None = None
    warnings: tuple[str, ...] = ()
    problem: str | None = None


class ImageRendered(Event):
    """An image was drawn for its viewer, and not analysed: the caller, and the image's digest; or a problem."""

    event: str = "rendered"
    caller: str | None
    user: str | None
    request_id: str
    trace_id: str | None
    image: int = 0
    image_sha256: str
    problem: str | None = None


class Feedback(Event):
    """The truth about an analysed image became known: ``truth``; null withdraws what was recorded before.

    ``analysed``: the request id of the analysis; ``image`` and ``image_sha256``: which of its images. ``reader``: who
    says so, and ``read_at`` when.
    """

    event: str = "feedback"
    caller: str | None
    user: str | None
    request_id: str
    trace_id: str | None
    analysed: str
    image: int
    image_sha256: str
    truth: str | None
    reader: str | None
    read_at: str | None


class Gap(Event):
    """The chain could not be written since ``since``; at most ``lost`` lines are missing."""

    event: str = "gap"
    since: str
    lost: Count


class Torn(Event):
    """The incomplete line before this one was left by a write that a crash or a full disk interrupted."""

    event: str = "torn"
    torn_bytes: Count
    torn_sha256: str


class Line(NamedTuple):
    """The fields that every line has."""

    sequence: int
    event: str
    time: str
    previous: str
    hash: str


def seal(sequence: int, event: Event, previous: str) -> tuple[bytes, str]:
    """Serialise an event. Returns the line, newline included, and its hash: SHA-256, 64 hexadecimal digits."""
    body = f'{{"sequence":{sequence},{event.model_dump_json()[1:-1]},"previous":"{previous}"'.encode()
    digest = hashlib.sha256(body).hexdigest()
    return body + f',"hash":"{digest}"}}\n'.encode(), digest


def read_line(raw: bytes) -> Line | None:
    """Parse a line, newline included. None if it is not a line of an audit log, or was altered."""
    begin, end = _BEGIN.match(raw), _END.fullmatch(raw[-_END_BYTES:])
    if begin is None or end is None or hashlib.sha256(raw[:-_SEAL_BYTES]).hexdigest().encode() != end[2]:
        return None
    return Line(int(begin[1]), begin[2].decode(), begin[3].decode(), end[1].decode(), end[2].decode())
