"""The files of the audit log. A folder holds one hash chain per process; a chain is a series of append-only files.

FOLDER/1/audit-00000001.jsonl, audit-00000002.jsonl, ...    FOLDER/2/...
"""

import errno
import hashlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.io.files import InUse, LockFile, sync_folder
from service.audit.line import GENESIS, Event, Torn, read_line, seal

log = logging.getLogger("service.audit")

_MAX_CHAINS = 64
# More than any single write, so that the last TAIL_BYTES hold a torn end and the line before it.
TAIL_BYTES = 8 * 2**20
# The service writes; a group of auditors may read; others have no access.
_FILE_MODE, _FOLDER_MODE = 0o640, 0o750


class AuditError(Exception):
    """The audit folder cannot be written to; the message is one line with the reason."""


@dataclass(frozen=True, slots=True)
class ChainEnd:
    """The end of a chain: number and hash of its last complete line, and the bytes of a torn write after it."""

    sequence: int
    head: str
    torn: bytes


class Chain:
    """One chain, locked by this process: the first of the folder that no other process has locked. Not thread-safe.

    After an error, close the chain and open it again, which determines where it really ends.

    Args:
        folder: must exist. It is not created, so that an unmounted disk is not silently replaced by an empty folder.
        max_bytes: when a file has reached this size, a new one is started.

    Raises:
        OSError, AuditError: no chain can be opened.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.path, self._lock, end = _acquire(folder)
        self._max_bytes, self._file, self._size = max_bytes, -1, 0
        self._sequence, self.head, self._torn = end.sequence, end.head, end.torn
        self._number = _number(files_of(self.path)[-1]) if files_of(self.path) else 0
        self._log("audit opened")

    def append(self, events: Sequence[Event]) -> None:
        """Write these events. When this returns, they are on the disk (fsync).

        Raises:
            OSError: not all of them were written. The chain must be closed.
        """
        if self._torn:
            events = [Torn(torn_bytes=len(self._torn), torn_sha256=hashlib.sha256(self._torn).hexdigest()), *events]
        lines, head = [], self.head
        for number, event in enumerate(events, start=self._sequence + 1):
            line, head = seal(number, event, head)
            lines.append(line)
        data = b"".join(lines)
        self._prepare_file()
        _write_all(self._file, data)
        os.fsync(self._file)
        self._sequence, self.head, self._torn = self._sequence + len(events), head, b""
        self._size += len(data)

    def close(self) -> None:
        """Close the file and release the lock."""
        self._log("audit closed")
        if self._file >= 0:
            os.close(self._file)
        self._lock.close()

    def _prepare_file(self) -> None:
        """Open the file to append to: at first the last existing one; a new one when it is full."""
        if self._file < 0:
            last = self._file_path()
            size = last.stat().st_size if last.exists() else self._max_bytes
            # Never append after a torn line: a file with a torn end stays as it is, as evidence.
            self._number += size >= self._max_bytes or (size > 0 and self._torn != b"")
        elif self._size < self._max_bytes:
            if os.fstat(self._file).st_nlink == 0:
                raise FileNotFoundError(errno.ENOENT, "the audit file was deleted while it was in use")
            return
        else:
            self._log("audit file full")
            os.close(self._file)
            self._file, self._number = -1, self._number + 1
        self._file = os.open(self._file_path(), os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _FILE_MODE)
        self._size = os.fstat(self._file).st_size
        sync_folder(self.path)

    def _file_path(self) -> Path:
        """The numbers keep increasing even if earlier files were moved away: no name is used twice."""
        return self.path / f"audit-{self._number:08}.jsonl"

    def _log(self, message: str) -> None:
        """Log the head of the chain, too: the log is often kept elsewhere, and can then prove what was written."""
        log.info(message, extra={"chain": str(self.path), "sequence": self._sequence, "head": self.head})


def files_of(chain: Path) -> list[Path]:
    """The files of a chain, in order."""
    return sorted(chain.glob("audit-*.jsonl"), key=_number)


def chains_of(folder: Path) -> list[Path]:
    """The chains in a folder, in order. A folder that holds audit files itself, such as an archive, is one chain."""
    numbered = sorted((path for path in folder.glob("*") if path.name.isdecimal()), key=lambda path: int(path.name))
    return [path for path in (folder, *numbered) if files_of(path)]


def find_end(chain: Path) -> ChainEnd:
    """Find the end of a chain.

    Raises:
        AuditError: its last line was altered.
        OSError: a file cannot be read.
    """
    torn = b""
    for path in reversed(files_of(chain)):
        whole, newline, rest = _tail(path).rpartition(b"\n")
        torn = rest + torn
        if newline:
            last = read_line(whole.rpartition(b"\n")[2] + newline)
            if last is None:
                raise AuditError(f"{path}: the last line was altered")
            return ChainEnd(last.sequence, last.hash, torn)
        if len(rest) == TAIL_BYTES:
            raise AuditError(f"{path}: the end is not a line of an audit log")
    return ChainEnd(0, GENESIS, torn)


def _acquire(folder: Path) -> tuple[Path, LockFile, ChainEnd]:
    """Lock the first free chain. Returns its path, its lock and its end. A damaged chain is evidence: it is skipped."""
    for number in range(1, _MAX_CHAINS + 1):
        chain = folder / str(number)
        lock = _try_lock(chain)
        if lock is None:
            continue
        try:
            return chain, lock, find_end(chain)
        except AuditError as error:
            lock.close()
            log.error("audit chain is damaged: it is left unchanged, and the next chain is used: %s", error)
        except OSError:
            lock.close()
            raise
    raise AuditError(f"{folder}: {_MAX_CHAINS} chains are in use or damaged")


def _try_lock(chain: Path) -> LockFile | None:
    """Lock a chain, which is created if it does not exist; None if another process holds the lock."""
    if not chain.exists():
        chain.mkdir(mode=_FOLDER_MODE, exist_ok=True)
        sync_folder(chain.parent)
    try:
        return LockFile(chain / "lock", mode=_FILE_MODE, is_kept=True, is_required=True)
    except InUse:
        return None


def _number(path: Path) -> int:
    digits = path.stem.removeprefix("audit-")
    return int(digits) if digits.isdecimal() else 0


def _tail(path: Path) -> bytes:
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL_BYTES))
        return file.read(TAIL_BYTES)


def _write_all(file: int, data: bytes) -> None:
    remaining = memoryview(data)
    while remaining:
        remaining = remaining[os.write(file, remaining) :]
