"""A board in shared memory, for a process and the workers it forks: each worker pins up what the others should know."""

import mmap
import socket
import struct
import zlib
from dataclasses import dataclass

# The load of a worker that takes no connections now.
NOT_ACCEPTING = 2**31
_LOAD = struct.Struct("<q")
_HEAD = struct.Struct("<QII")  # number of the note, its bytes, their CRC
# A note has 30 to 60 kB. Memory that nobody has written to takes no space.
_MAX_NOTE_BYTES = 2**19
_HALF_BYTES = _HEAD.size + _MAX_NOTE_BYTES
_SPACE_BYTES = mmap.PAGESIZE + 2 * _HALF_BYTES


@dataclass(frozen=True, slots=True)
class _Snapshot:
    number: int
    text: bytes


class WorkerTable:
    """Shared by whoever is forked after it is made; no file, and gone with the last of them.

    A worker writes to its own place only, so no lock is needed, which could stay locked by a worker that was killed. A
    note is written beside the one before it, and counts from when it is whole.

    Args:
        workers: places on it.
    """

    def __init__(self, workers: int) -> None:
        self._workers = range(workers)
        self._memory = mmap.mmap(-1, workers * _SPACE_BYTES)
        for worker in self._workers:
            self.set_load(worker, NOT_ACCEPTING)

    @property
    def workers(self) -> range:
        """Numbers of the workers, each of a place on the board."""
        return self._workers

    def load(self, worker: int) -> int:
        """How busy a worker is, in connections; ``NOT_ACCEPTING`` if it takes none."""
        return int(_LOAD.unpack_from(self._memory, worker * _SPACE_BYTES)[0])

    def set_load(self, worker: int, load: int) -> None:
        """Tell how busy a worker is."""
        _LOAD.pack_into(self._memory, worker * _SPACE_BYTES, load)

    def publish(self, worker: int, text: bytes) -> None:
        """Leave a note for all, in place of the last one.

        Raises:
            ValueError: it does not fit.
        """
        if len(text) > _MAX_NOTE_BYTES:
            raise ValueError(f"a note of {len(text)} bytes, {_MAX_NOTE_BYTES} fit")
        number = max((snapshot.number for snapshot in self._snapshots(worker)), default=0) + 1
        start = self._half(worker, number % 2)
        self._memory[start + _HEAD.size : start + _HEAD.size + len(text)] = text
        _HEAD.pack_into(self._memory, start, number, len(text), zlib.crc32(text))

    def snapshot(self, worker: int) -> bytes:
        """The last note of a worker; empty if it has left none. It stays when the worker dies."""
        return max(self._snapshots(worker), key=lambda snapshot: snapshot.number, default=_Snapshot(0, b"")).text

    def _snapshots(self, worker: int) -> list[_Snapshot]:
        """Those that are whole; a half that is being written, or was when its worker was killed, has another CRC."""
        found = []
        for half in range(2):
            start = self._half(worker, half)
            number, size, crc = _HEAD.unpack_from(self._memory, start)
            text = self._memory[start + _HEAD.size : start + _HEAD.size + size]
            if number and zlib.crc32(text) == crc:
                found.append(_Snapshot(number, text))
        return found

    def _half(self, worker: int, half: int) -> int:
        return worker * _SPACE_BYTES + mmap.PAGESIZE + half * _HALF_BYTES


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """What a worker is given: its number, its parent's process id, the bound sockets of all, and the board."""

    worker: int
    parent: int
    listeners: list[socket.socket]
    table: WorkerTable
