"""Verifies an audit log: every chain, line by line, in constant memory."""

import hashlib
from collections.abc import Collection, Iterator, Set
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic_core import from_json

from service.audit.chain import TAIL_BYTES, chains_of, files_of
from service.audit.line import GENESIS, Gap, Line, Torn, read_line

_Counted = TypeVar("_Counted", Gap, Torn)


class Fault(BaseModel):
    """The first place where a chain was altered: file name, line number in it (from 1), and reason."""

    model_config = ConfigDict(frozen=True)

    file: str
    line: int
    reason: str


class Verdict(BaseModel):
    """The result of verifying a chain, up to its first fault if it has one.

    ``first``, ``last``: sequence numbers. ``begins``, ``ends``: times. ``head``: the hash of the last line.
    ``unclean``: starts without a clean shutdown before them. ``torn``: writes that a crash or a full disk interrupted,
    and that the next line records. ``lost``: the most lines that could not be written, as recorded in the chain.
    ``unfinished_bytes``: after the last line; being written now, or torn and not yet recorded.
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


class _ChainBroken(Exception):
    """A line does not continue the chain; the message is the reason."""


@dataclass(slots=True)
class _ChainCheck:
    """The state of a verification: what was found in the lines so far."""

    after: Collection[str]
    lines: int = 0
    first: Line | None = None
    last: Line | None = None
    unfinished: bytes = b""
    unclean: int = 0
    torn: int = 0
    lost: int = 0
    running: bool = field(default=False)

    def check(self, raw: bytes) -> Line | None:
        """Check the next line. None if it is not complete yet.

        Raises:
            _ChainBroken: it does not continue the chain.
        """
        if not raw.endswith(b"\n"):
            self.unfinished += raw
            if len(self.unfinished) > TAIL_BYTES:
                raise _ChainBroken("this is not a line of an audit log")
            return None
        line = read_line(raw)
        if line is None or not _is_json(raw):
            raise _ChainBroken("this is not a line of an audit log, or it was altered")
        self._check_link(line)
        self._count(line, raw)
        self.first, self.last = self.first or line, line
        self.lines += 1
        return line

    def _check_link(self, line: Line) -> None:
        if self.last is None:
            if line.previous not in {GENESIS, *self.after} or (line.previous == GENESIS and line.sequence != 1):
                raise _ChainBroken(
                    f"the chain begins with line {line.sequence}: the lines before it are missing; if they were moved "
                    f"to an archive, verify with --after {line.previous}"
                )
        elif line.sequence != self.last.sequence + 1:
            raise _ChainBroken(
                f"line {line.sequence} comes after line {self.last.sequence}: lines are missing, or not in order"
            )
        elif line.previous != self.last.hash:
            raise _ChainBroken("its 'previous' is not the hash of the line before it")

    def _count(self, line: Line, raw: bytes) -> None:
        """Update the counters. Incomplete bytes within a chain are valid if the next line records them."""
        if line.event == "torn":
            self._check_torn(_parse(Torn, raw))
        elif self.unfinished:
            raise _ChainBroken(f"{len(self.unfinished)} bytes before it are not a line, and it does not record them")
        if line.event == "gap":
            self.lost += _parse(Gap, raw).lost
        self.unclean += line.event == "started" and self.running
        self.running = line.event == "started" or (self.running and line.event != "stopped")

    def _check_torn(self, event: Torn) -> None:
        digest = hashlib.sha256(self.unfinished).hexdigest()
        if (event.torn_bytes, event.torn_sha256) != (len(self.unfinished), digest):
            raise _ChainBroken("the torn write that it records is not the one before it")
        self.torn, self.unfinished = self.torn + 1, b""


def verify_folder(folder: Path, after: Set[str], expected: Set[str]) -> tuple[list[Verdict], list[str]]:
    """Verify every chain of a folder, also while they are being written.

    Args:
        folder: of the audit log.
        after: hashes of archived lines that a chain may begin after.
        expected: hashes of lines that must be present.

    Returns:
        The verdict of each chain, and one line for each fault: of a chain, of an expected line that is missing, or of
        a chain that repeats lines of another. (Expected lines might be present in a copy only.)

    Raises:
        OSError: a file cannot be read.
    """
    chains = chains_of(folder)
    marks = {mark for chain in chains if (mark := _second_hash(chain))}
    results = {chain: verify_chain(chain, after, expected | marks) for chain in chains}
    verdicts = [verdict for verdict, _ in results.values()]
    faults = [
        f"{verdict.chain}/{verdict.fault.file}:{verdict.fault.line}: {verdict.fault.reason}"
        for verdict in verdicts
        if verdict.fault
    ]
    holders = {mark: [chain.name for chain in chains if mark in results[chain][1]] for mark in sorted(marks)}
    faults += [
        f"chains {' and '.join(names)} hold the same line {mark}: all but one are copies"
        for mark, names in holders.items()
        if len(names) > 1
    ]
    present = set().union(*(found for _, found in results.values()))
    faults += [
        f"{digest} is not in any chain: lines were removed from the end, or the chain was rewritten"
        for digest in sorted(expected - present)
    ]
    return verdicts, faults


def _second_hash(chain: Path) -> str | None:
    """The hash of the second line of a chain; None if it has none. No other chain has this line, unless one is a copy.
    Two processes that start in the same millisecond may write the same first line.
    """
    line = next((read_line(raw) for _, _, raw in islice(_raw_lines(files_of(chain)), 1, 2)), None)
    return line.hash if line else None


def verify_chain(chain: Path, after: Collection[str] = (), expected: Collection[str] = ()) -> tuple[Verdict, set[str]]:
    """Verify a chain, also while it is being written.

    Args:
        chain: folder of its files.
        after: hashes of archived lines that the chain may begin after; if empty, it must begin with line 1.
        expected: hashes of lines to look for.

    Returns:
        The verdict, and those of the expected hashes that were found.

    Raises:
        OSError: a file cannot be read.
    """
    check, found, fault, location = _ChainCheck(after), set(), None, ("", 0)
    files = files_of(chain)
    try:
        for name, number, raw in _raw_lines(files):
            location = name, number
            line = check.check(raw)
            if line and line.hash in expected:
                found.add(line.hash)
    except _ChainBroken as broken:
        fault = Fault(file=location[0], line=location[1], reason=str(broken))
    return _verdict(chain, len(files), check, fault), found


def _is_json(raw: bytes) -> bool:
    try:
        from_json(raw)
    except ValueError:
        return False
    return True


def _parse(kind: type[_Counted], raw: bytes) -> _Counted:
    try:
        return kind.model_validate_json(raw, strict=True)
    except ValidationError:
        raise _ChainBroken(f"its fields are not those of the event {kind.model_fields['event'].default}") from None


def _raw_lines(files: list[Path]) -> Iterator[tuple[str, int, bytes]]:
    for path in files:
        with path.open("rb") as file:
            lines = iter(lambda: file.readline(TAIL_BYTES), b"")
            for number, raw in enumerate(lines, start=1):
                yield path.name, number, raw


def _verdict(chain: Path, files: int, check: _ChainCheck, fault: Fault | None) -> Verdict:
    first, last = check.first, check.last
    return Verdict(
        chain=str(chain),
        files=files,
        lines=check.lines,
        first=first.sequence if first else None,
        last=last.sequence if last else None,
        begins=first.time if first else None,
        ends=last.time if last else None,
        head=last.hash if last else GENESIS,
        unclean=check.unclean,
        torn=check.torn,
        lost=check.lost,
        unfinished_bytes=len(check.unfinished),
        fault=fault,
    )
