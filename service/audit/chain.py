"""The files of the audit: a folder holds chains, one a process; a chain is files, appended to and never changed.

FOLDER/1/audit-00000001.jsonl, audit-00000002.jsonl, ...    FOLDER/2/...
"""

import errno
import fcntl
import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from service.audit.line import GENESIS, Event, Torn, read_line, seal

log = logging.getLogger("service.audit")

_MAX_CHAINS = 64
# More than any group of lines has, so that a torn end and the line before it are found in it.
TAIL_BYTES = 8 * 2**20
# The service writes, a group of auditors may read, nobody else.
_FILE_MODE, _FOLDER_MODE = 0o640, 0o750


class AuditError(Exception):
    """An audit folder that cannot be written to as it is; the message is one line."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a chain ends: its last whole line, and what is left of a write behind it."""

    sequence: int
    head: str
    torn: bytes


class Chain:
    """One chain of a folder, for this process alone: the first that nobody else writes to. Not for several threads.

    After an error it is closed, and opening it anew finds where it really ends.

    Args:
        folder: it must be there: a disk that is not mounted shall not be replaced in silence.
        max_bytes: a file that has so many is followed by a new one.

    Raises:
        OSError, AuditError: it cannot be opened.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path, self._lock, end = _take(folder)
        self._max_bytes, self._file, self._size = max_bytes, -1, 0
        self._sequence, self.head, self._torn = end.sequence, end.head, end.torn
        self._number = _number(files_of(self.path)[-1]) if files_of(self.path) else 0
        self._tell("audit opened")

    def append(self, events: Sequence[Event]) -> None:
        """Put these on the disk. Once this returns, they are there.

        Raises:
            OSError: they are not, or not all. The chain has to be closed.
        """
        if self._torn:
            events = [Torn(torn_bytes=len(self._torn), torn_sha256=hashlib.sha256(self._torn).hexdigest()), *events]
        lines, head = [], self.head
        for number, event in enumerate(events, start=self._sequence + 1):
            line, head = seal(number, event, head)
            lines.append(line)
        data = b"".join(lines)
        self._have_file()
        _write_all(self._file, data)
        os.fsync(self._file)
        self._sequence, self.head, self._torn = self._sequence + len(events), head, b""
        self._size += len(data)

    def close(self) -> None:
        """Let go of it."""
        self._tell("audit closed")
        if self._file >= 0:
            os.close(self._file)
        os.close(self._lock)

    def _have_file(self) -> None:
        """The file in use while it has room; at the start the last one there is; else a new one."""
        if self._file < 0:
            last = self._named()
            size = last.stat().st_size if last.exists() else self._max_bytes
            # Never behind a torn line: a file that does not end with a whole one is left as it is.
            self._number += size >= self._max_bytes or (size > 0 and self._torn != b"")
        elif self._size < self._max_bytes:
            if os.fstat(self._file).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "the file was deleted while it was in use")
            return
        else:
            self._tell("audit file full")
            os.close(self._file)
            self._file, self._number = -1, self._number + 1
        self._file = os.open(self._named(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        self._size = os.fstat(self._file).st_size
        _sync_folder(self.path)

    def _named(self) -> Path:
        """By number, counted on also where earlier files have been moved away: no name comes twice."""
        return self.path / f"audit-{self._number:08}.jsonl"

    def _tell(self, what: str) -> None:
        """In the log, which is often kept elsewhere, the head is a witness."""
        log.info(what, extra={"chain": str(self.path), "sequence": self._sequence, "head": self.head})


def files_of(chain: Path) -> list[Path]:
    """The files of a chain, in order."""
    return sorted(chain.glob("audit-*.jsonl"), key=_number)


def chains_of(folder: Path) -> list[Path]:
    """The chains in a folder, in order; the folder itself if files lie there, as where they were moved to."""
    numbered = sorted((path for path in folder.glob("*") if path.name.isdecimal()), key=lambda path: int(path.name))
    return [path for path in (folder, *numbered) if files_of(path)]


def find_end(chain: Path) -> End:
    """Where a chain ends.

    Raises:
        AuditError: its last line is not as it was written.
        OSError: it cannot be read.
    """
    torn = b""
    for path in reversed(files_of(chain)):
        whole, newline, rest = _tail(path).rpartition(b"\n")
        torn = rest + torn
        if newline:
            last = read_line(whole.rpartition(b"\n")[2] + newline)
            if last is None:
                raise AuditError(f"{path}: its last line is not as it was written")
            return End(last.sequence, last.hash, torn)
        if len(rest) == TAIL_BYTES:
            raise AuditError(f"{path}: its end is no line")
    return End(0, GENESIS, torn)


def _take(folder: Path) -> tuple[Path, int, End]:
    """The first chain that nobody has: its path, its lock, its end. A damaged one is evidence, and left as it is."""
    for number in range(1, _MAX_CHAINS + 1):
        chain = folder / str(number)
        lock = _locked(chain)
        if lock is None:
            continue
        try:
            return chain, lock, find_end(chain)
        except AuditError as error:
            os.close(lock)
            log.error("a chain of the audit is damaged; it is left alone, and the next one used: %s", error)
        except OSError:
            os.close(lock)
            raise
    raise AuditError(f"{folder}: {_MAX_CHAINS} chains are in use or damaged")


def _locked(chain: Path) -> int | None:
    """A lock of a chain; None if another process has it."""
    chain.mkdir(mode=_FOLDER_MODE, exist_ok=True)
    lock = os.open(chain / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        return None
    except OSError:
        os.close(lock)
        raise
    return lock


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("audit-")
    return int(digits) if digits.isdecimal() else 0


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read(TAIL_BYTES)


def _write_all(file: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(file, rest) :]


def _sync_folder(path: Path) -> None:
    """A new file survives a power cut only once its folder is on the disk, too."""
    folder = os.open(path, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
