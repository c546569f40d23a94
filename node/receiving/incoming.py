"""The file that an object is received into: bounded, and without an error in the middle of an association.

pynetdicom writes a C-STORE request to a temporary file as its fragments arrive, so that no object is held in memory.
An ``IncomingFile`` takes the place of that file: what exceeds a limit or finds the disk full is dropped and noted, so
that the sender gets a status that names the reason.
"""

import threading
from io import FileIO
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Literal
from weakref import WeakKeyDictionary

from pynetdicom import _config, dimse_messages

from node.storage.spool import Spool, SpoolFull

Fault = Literal["too large", "full"]
# An object that is too large is read to its end, for an answer; past this many times the limit the association ends.
_READ_TIMES = 2


class IncomingFile:
    """Has what pynetdicom uses of a ``NamedTemporaryFile``: ``name``, ``write``, ``file.flush``, ``close``.

    Attributes:
        fault: why the object cannot be kept; None: it can.
        owner: the thread that receives the association's PDUs.
    """

    def __init__(self, spool: Spool, max_bytes: int) -> None:
        self._spool, self._max_bytes, self._received, self._reserved = spool, max_bytes, 0, 0
        self.owner, self.path = threading.current_thread(), spool.new_path()
        self.fault: Fault | None = None
        self._file: FileIO | None = None
        try:
            spool.check_room()
            self._file = FileIO(self.path, "wb")
        except (SpoolFull, OSError):
            self.fault = "full"

    @property
    def name(self) -> str:
        """The path of the file, which does not exist if there was no room for it."""
        return str(self.path)

    @property
    def file(self) -> "IncomingFile":
        """Whose ``flush`` is called."""
        return self

    @property
    def endless(self) -> bool:
        """Whether the sender goes on although the object is far larger than the limit."""
        return self._received > _READ_TIMES * self._max_bytes

    def write(self, data: bytes) -> int:
        """Write a fragment, or drop it if the object cannot be kept."""
        self._received += len(data)
        if self._received > self._max_bytes:
            self.fault = "too large"
        if self.fault is None:
            try:
                self._spool.reserve(len(data))
                self._reserved += len(data)
                self._write_all(data)
            except (SpoolFull, OSError):
                self.fault = "full"
        return len(data)

    def flush(self) -> None:
        """Nothing is buffered."""

    def close(self) -> None:
        """Close the file."""
        if self._file:
            self._file.close()

    def hand_over(self) -> None:
        """The file has been moved to where it is kept: its bytes stay counted."""
        self._reserved = 0

    def discard(self) -> None:
        """Delete the file."""
        self.close()
        self.path.unlink(missing_ok=True)
        self._spool.release(self._reserved)
        self._reserved = 0

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest and self._file:
            rest = rest[self._file.write(rest) :]


class IncomingFiles:
    """The files of the associations of one server."""

    def __init__(self, spool: Spool, max_bytes: int) -> None:
        self._spool, self._max_bytes = spool, max_bytes
        self._lock, self._open = threading.Lock(), dict[str, IncomingFile]()

    def receive(self, owner: threading.Thread) -> None:
        """Receive here what an association's thread reads; to be called before it reads anything."""
        _config.STORE_RECV_CHUNKED_DATASET = True
        vars(dimse_messages)["NamedTemporaryFile"] = _new_file
        _receivers[owner] = self

    def new(self) -> IncomingFile:
        """A file for what the current thread begins to receive."""
        file = IncomingFile(self._spool, self._max_bytes)
        with self._lock:
            self._open[file.name] = file
        return file

    def take(self, path: Path) -> IncomingFile:
        """The file at this path. It is not deleted with its association any more: the caller does that."""
        with self._lock:
            return self._open.pop(str(path))

    def endless(self, owner: threading.Thread) -> bool:
        """Whether an association sends an object that is far larger than the limit."""
        with self._lock:
            return any(file.endless for file in self._open.values() if file.owner is owner)

    def discard_ended(self, owner: threading.Thread | None = None) -> None:
        """Delete what associations that have ended left unfinished; that of ``owner`` counts as ended."""
        with self._lock:
            ended = [name for name, file in self._open.items() if file.owner is owner or not file.owner.is_alive()]
            files = [self._open.pop(name) for name in ended]
        for file in files:
            file.discard()


_receivers: WeakKeyDictionary[threading.Thread, IncomingFiles] = WeakKeyDictionary()


def _new_file(**options: Any) -> Any:
    """What pynetdicom calls as ``NamedTemporaryFile``, in the thread that reads the association's PDUs."""
    files = _receivers.get(threading.current_thread())
    return files.new() if files else NamedTemporaryFile(**options)
