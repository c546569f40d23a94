"""One line of the audit: what it says, and the seal that ties it to the line before.

{"sequence":7,"event":"read","time":"...", ... ,"previous":"<hash of line 6>","hash":"<SHA-256 of all before ,"hash">"}
"""

import hashlib
import re
from datetime import UTC, datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

# What the first line of a chain has in place of a hash.
GENESIS = "0" * 64
_BEGIN = re.compile(rb'\{"sequence":(\d+),"event":"(\w+)","time":"([^"]*)",')
_END = re.compile(rb',"previous":"([0-9a-f]{64})","hash":"([0-9a-f]{64})"\}\n')
_SEAL_BYTES = len(',"hash":""}\n') + 64
_END_BYTES = len(',"previous":""') + 64 + _SEAL_BYTES


def now() -> str:
    """The time, UTC, as RFC 3339 has it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Event(BaseModel):
    """Something that is kept. Subclasses say what."""

    model_config = ConfigDict(frozen=True)

    event: str
    time: str = Field(default_factory=now)


class Started(Event):
    """A process began to write this chain."""

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
    """It ended in order."""

    event: str = "stopped"


class ImageRead(Event):
    """Who asked what about which image, and what was answered: a label, or a problem."""

    event: str = "read"
    caller: str | None
    request_id: str
    route: str
    image_sha256: str
    model: str
    version: str
    graph: str
    graph_sha256: str
    provider: str
    operating_point: str
    threshold: float
    label: str | None = None
    probability: float | None = None
    guard_score: float | None = None
    warnings: tuple[str, ...] = ()
    problem: str | None = None


class Gap(Event):
    """The chain could not be written for a while, and so many lines at most are missing."""

    event: str = "gap"
    since: str
    lost: int


class Torn(Event):
    """The bytes before this line, behind the last whole one, are what a crash or a full disk left of a write."""

    event: str = "torn"
    torn_bytes: int
    torn_sha256: str


class Line(NamedTuple):
    """What a sealed line says of itself."""

    sequence: int
    event: str
    time: str
    previous: str
    hash: str


def seal(sequence: int, event: Event, previous: str) -> tuple[bytes, str]:
    """A line, newline included, and its hash."""
    body = f'{{"sequence":{sequence},{event.model_dump_json()[1:-1]},"previous":"{previous}"'.encode()
    digest = hashlib.sha256(body).hexdigest()
    return body + f',"hash":"{digest}"}}\n'.encode(), digest


def read_line(raw: bytes) -> Line | None:
    """What a line says, newline included; None if its bytes are not those that were sealed."""
    begin, end = _BEGIN.match(raw), _END.fullmatch(raw[-_END_BYTES:])
    if begin is None or end is None or hashlib.sha256(raw[:-_SEAL_BYTES]).hexdigest().encode() != end[2]:
        return None
    return Line(int(begin[1]), begin[2].decode(), begin[3].decode(), end[1].decode(), end[2].decode())
