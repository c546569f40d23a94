"""Whether an audit is as it was written: every chain, line by line, in constant memory."""

import hashlib
import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from service.audit.chain import TAIL_BYTES, files_of
from service.audit.line import GENESIS, Line, read_line


class Fault(BaseModel):
    """The first place where a chain is not as it was written."""

    model_config = ConfigDict(frozen=True)

    file: str
    line: int
    reason: str


class Verdict(BaseModel):
    """What is known of a chain: up to its first fault, if it has one.

    ``head``: the hash of its last line. ``unclean``: starts that no orderly stop came before. ``torn``: ends of writes
    that a crash or a full disk cut off, and that the next line tells of. ``lost``: lines, at most, that the chain says
    could not be written. ``unfinished_bytes``: behind the last line; being written, or torn and not yet told of.
    """

    model_config = ConfigDict(frozen=True)

    chain: str
    files: int
    lines: int
    first: int | None
    last: int | None
    begins: str | None
    ends: str | None
    head: str
    unclean: int
    torn: int
    lost: int
    unfinished_bytes: int
    fault: Fault | None


class _Broken(Exception):
    """A line that does not belong where it is."""


@dataclass(slots=True)
class _Walk:
    """A way along a chain."""

    after: Collection[str]
    lines: int = 0
    first: Line | None = None
    last: Line | None = None
    unfinished: bytes = b""
    unclean: int = 0
    torn: int = 0
    lost: int = 0
    running: bool = field(default=False)

    def take(self, raw: bytes) -> Line | None:
        """The next line, or what is there of it.

        Raises:
            _Broken: it is not what comes next.
        """
        if not raw.endswith(b"\n"):
            self.unfinished += raw
            if len(self.unfinished) > TAIL_BYTES:
                raise _Broken("this is no line of an audit")
            return None
        line = read_line(raw)
        if line is None:
            raise _Broken("this is no line of an audit, or its bytes were changed")
        self._follow(line)
        self._account(line, raw)
        self.first, self.last = self.first or line, line
        self.lines += 1
        return line

    def _follow(self, line: Line) -> None:
        if self.last is None:
            if line.previous not in {GENESIS, *self.after} or (line.previous == GENESIS and line.sequence != 1):
                raise _Broken(
                    f"the chain begins with line {line.sequence}, those before it are missing; if they were moved "
                    f"away, say so with --after {line.previous}"
                )
        elif line.sequence != self.last.sequence + 1:
            raise _Broken(
                f"line {line.sequence} comes after line {self.last.sequence}: lines are missing, or not in order"
            )
        elif line.previous != self.last.hash:
            raise _Broken("it follows another line than the one before it")

    def _account(self, line: Line, raw: bytes) -> None:
        """What the chain says of itself. Unfinished bytes within it are in order if the next line tells of them."""
        told = json.loads(raw) if line.event in {"torn", "gap"} else {}
        if line.event == "torn":
            digest = hashlib.sha256(self.unfinished).hexdigest()
            if (told["torn_bytes"], told["torn_sha256"]) != (len(self.unfinished), digest):
                raise _Broken("the end of a write that it tells of is not the one before it")
            self.torn, self.unfinished = self.torn + 1, b""
        elif self.unfinished:
            raise _Broken(f"{len(self.unfinished)} bytes before it are no line, and it does not tell of them")
        self.lost += told.get("lost", 0)
        self.unclean += line.event == "started" and self.running
        self.running = line.event == "started" or (self.running and line.event != "stopped")


def verify_chain(chain: Path, after: Collection[str] = (), watched: Collection[str] = ()) -> tuple[Verdict, set[str]]:
    """Walk along a chain, also while it is being written.

    Args:
        chain: folder of its files.
        after: hashes of lines that it may begin after; where none is named, it has to begin at the beginning.
        watched: hashes of lines that are looked for.

    Returns:
        What was found, and which of the watched hashes were on the way.

    Raises:
        OSError: a file cannot be read.
    """
    walk, seen, fault, place = _Walk(after), set(), None, ("", 0)
    files = files_of(chain)
    try:
        for name, number, raw in _raw_lines(files):
            place = name, number
            line = walk.take(raw)
            if line and line.hash in watched:
                seen.add(line.hash)
    except _Broken as broken:
        fault = Fault(file=place[0], line=place[1], reason=str(broken))
    return _verdict(chain, len(files), walk, fault), seen


def _raw_lines(files: list[Path]) -> Iterator[tuple[str, int, bytes]]:
    for path in files:
        with path.open("rb") as file:
            pieces = iter(lambda: file.readline(TAIL_BYTES), b"")
            for number, raw in enumerate(pieces, start=1):
                yield path.name, number, raw


def _verdict(chain: Path, files: int, walk: _Walk, fault: Fault | None) -> Verdict:
    first, last = walk.first, walk.last
    return Verdict(
        chain=str(chain),
        files=files,
        lines=walk.lines,
        first=first.sequence if first else None,
        last=last.sequence if last else None,
        begins=first.time if first else None,
        ends=last.time if last else None,
        head=last.hash if last else GENESIS,
        unclean=walk.unclean,
        torn=walk.torn,
        lost=walk.lost,
        unfinished_bytes=len(walk.unfinished),
        fault=fault,
    )
