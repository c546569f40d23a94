"""A table in shared memory for a process and the workers it forks: load, heartbeats and a snapshot of each worker."""

import mmap
import socket
import struct
import zlib
from dataclasses import dataclass

# The load of a worker that accepts no connections.
NOT_ACCEPTING = 2**31
_LOAD = struct.Struct("<q")
_BEATS = struct.Struct("<Q")
_HEAD = struct.Struct("<QII")  # sequence number of the snapshot, its length in bytes, its CRC
# A snapshot has 30 to 60 kB. Pages that were never written to take no memory.
_MAX_SNAPSHOT_BYTES = 2**19
_BUFFER_BYTES = _HEAD.size + _MAX_SNAPSHOT_BYTES
_SLOT_BYTES = mmap.PAGESIZE + 2 * _BUFFER_BYTES


@dataclass(frozen=True, slots=True)
class _Snapshot:
    sequence: int
    data: bytes


class WorkerTable:
    """Shared with every process that is forked after its creation. It is anonymous memory, released with the last one.

    A worker writes to its own slot only, so no lock is needed; a worker that was killed could leave a lock locked. Each
    slot has two buffers: a new snapshot is written to the buffer that does not hold the latest one, and is valid once
    it is complete. The last slot is that of the parent, which publishes snapshots only.

    Args:
        workers: number of workers.
    """

    def __init__(self, workers: int) -> None:
        self._workers = range(workers)
        self._memory = mmap.mmap(-1, (workers + 1) * _SLOT_BYTES)
        for worker in self._workers:
            self.set_load(worker, NOT_ACCEPTING)

    @property
    def workers(self) -> range:
        """The numbers of the workers, from 0."""
        return self._workers

    @property
    def parent(self) -> int:
        """The number of the parent's slot."""
        return len(self._workers)

    def load(self, worker: int) -> int:
        """The load of a worker, in connections; ``NOT_ACCEPTING`` if it accepts none."""
        return int(_LOAD.unpack_from(self._memory, worker * _SLOT_BYTES)[0])

    def set_load(self, worker: int, load: int) -> None:
        """Set the load of a worker, in connections."""
        _LOAD.pack_into(self._memory, worker * _SLOT_BYTES, load)

    def beats(self, worker: int) -> int:
        """How often a worker has beaten; 0 until it accepts connections."""
        return int(_BEATS.unpack_from(self._memory, worker * _SLOT_BYTES + _LOAD.size)[0])

    def beat(self, worker: int) -> None:
        """Show that the event loop of a worker runs."""
        _BEATS.pack_into(self._memory, worker * _SLOT_BYTES + _LOAD.size, self.beats(worker) + 1)

    def reset_beats(self, worker: int) -> None:
        """Begin to count the heartbeats of a worker anew."""
        _BEATS.pack_into(self._memory, worker * _SLOT_BYTES + _LOAD.size, 0)

    def publish(self, worker: int, data: bytes) -> None:
        """Publish a snapshot of a worker, in place of its last one.

        Raises:
            ValueError: it is longer than a buffer, 512 KiB.
        """
        if len(data) > _MAX_SNAPSHOT_BYTES:
            raise ValueError(f"a snapshot of {len(data)} bytes exceeds the limit of {_MAX_SNAPSHOT_BYTES}")
        sequence = max((snapshot.sequence for snapshot in self._valid(worker)), default=0) + 1
        start = self._buffer_offset(worker, sequence % 2)
        self._memory[start + _HEAD.size : start + _HEAD.size + len(data)] = data
        _HEAD.pack_into(self._memory, start, sequence, len(data), zlib.crc32(data))

    def snapshot(self, worker: int) -> bytes:
        """The latest snapshot of a worker, also after it has died; empty if it has published none."""
        return max(self._valid(worker), key=lambda snapshot: snapshot.sequence, default=_Snapshot(0, b"")).data

    def _valid(self, worker: int) -> list[_Snapshot]:
        """The complete snapshots. A buffer that is being written, or whose writer was killed, has another CRC."""
        valid = []
        for buffer in range(2):
            start = self._buffer_offset(worker, buffer)
            sequence, size, crc = _HEAD.unpack_from(self._memory, start)
            data = self._memory[start + _HEAD.size : start + _HEAD.size + size]
            if sequence and zlib.crc32(data) == crc:
                valid.append(_Snapshot(sequence, data))
        return valid

    def _buffer_offset(self, worker: int, buffer: int) -> int:
        return worker * _SLOT_BYTES + mmap.PAGESIZE + buffer * _BUFFER_BYTES


@dataclass(frozen=True, slots=True)
class WorkerSlot:
    """What the parent gives a worker: its number, the parent's process id, the bound sockets, and the shared table."""

    worker: int
    parent: int
    listeners: list[socket.socket]
    table: WorkerTable
