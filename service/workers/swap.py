"""A table in shared memory by which the parent and its workers replace the model: in all workers, or in none.

The parent gives an order: ``PREPARE`` with the digest of the new bundle. Each worker reads, verifies, loads and warms
up that bundle beside the one that it serves, and answers ``PREPARED`` or ``FAILED``. If all are prepared, the order
becomes ``SWITCH``; if one has failed or is gone, ``KEPT``, and the prepared models are dropped.
"""

import enum
import mmap
import struct
import zlib
from dataclasses import dataclass

_HEAD = struct.Struct("<IIII")  # CRC of the rest, number of the order, phase, bytes of the text
_RECORD_BYTES = 2048
_MAX_TEXT_BYTES = _RECORD_BYTES - _HEAD.size


class Phase(enum.IntEnum):
    """The phase of an order, or of a worker's part of it."""

    NONE = 0
    # Of the parent.
    PREPARE = 1
    SWITCH = 2
    REPLACED = 3
    UNCHANGED = 4
    KEPT = 5
    # Of a worker.
    PREPARED = 6
    FAILED = 7
    SWITCHED = 8


ENDED = frozenset({Phase.NONE, Phase.REPLACED, Phase.UNCHANGED, Phase.KEPT})


@dataclass(frozen=True, slots=True)
class Record:
    """What the parent, or a worker, says about an order.

    ``number``: of the order, from 1. ``text``: the digest of the bundle to prepare; or why a step failed.
    """

    number: int = 0
    phase: Phase = Phase.NONE
    text: str = ""


class SwapTable:
    """Shared with every process that is forked after its creation. Each writes its own record only, without a lock.

    Args:
        workers: number of workers.
    """

    def __init__(self, workers: int) -> None:
        self._memory = mmap.mmap(-1, (1 + workers) * _RECORD_BYTES)

    def order(self) -> Record | None:
        """The order of the parent; None while it is being written."""
        return self._read(0)

    def give(self, order: Record) -> None:
        """Give an order to all workers; called by the parent."""
        self._write(0, order)

    def state(self, worker: int) -> Record | None:
        """How far a worker is; None while that is being written."""
        return self._read(1 + worker)

    def report(self, worker: int, state: Record) -> None:
        """Report how far a worker is; called by that worker."""
        self._write(1 + worker, state)

    def _write(self, index: int, record: Record) -> None:
        text = record.text.encode()[:_MAX_TEXT_BYTES]
        rest = _HEAD.pack(0, record.number, record.phase, len(text))[4:] + text
        start = index * _RECORD_BYTES
        self._memory[start : start + 4 + len(rest)] = struct.pack("<I", zlib.crc32(rest)) + rest

    def _read(self, index: int) -> Record | None:
        raw = self._memory[index * _RECORD_BYTES : (1 + index) * _RECORD_BYTES]
        crc, number, phase, length = _HEAD.unpack_from(raw)
        if not any(raw[: _HEAD.size]):
            return Record()  # never written
        if length > _MAX_TEXT_BYTES or zlib.crc32(raw[4 : _HEAD.size + length]) != crc:
            return None
        return Record(number, Phase(phase), raw[_HEAD.size : _HEAD.size + length].decode(errors="ignore"))


@dataclass(frozen=True, slots=True)
class SwapSlot:
    """A worker's part of the table: its number, and the number of the last order before it was forked."""

    table: SwapTable
    worker: int
    last_order: int
