"""The time in the ledger: nothing in it becomes older or younger when the machine's clock is set.

What the clock reads is noted there. From that and the next reading follows by how much it was set, and all times are
shifted by as much.
"""

import logging
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# So much at most counts of a time in which no node ran: if the machine was off, only its clock says how long that was.
LONGEST_STOP_S = 86_400.0
TOLERANCE_S = 60.0  # a clock that is set by less changes nothing

CLOCK_SCHEMA = """
CREATE TABLE IF NOT EXISTS clock (
    one INTEGER PRIMARY KEY CHECK (one = 1), now REAL NOT NULL, running REAL NOT NULL, boot TEXT NOT NULL
);
"""
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Reading:
    """``now``: Unix time. ``running``: seconds since the machine was started for the time named ``boot``."""

    now: float
    running: float
    boot: str


def read_clock() -> Reading:
    """The machine's clock, now."""
    running = time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()
    return Reading(time.time(), running, _boot())


def correction(before: Reading, after: Reading) -> float:
    """The seconds by which times noted up to ``before`` are shifted, so that they are as old as they should be."""
    moved = after.now - before.now
    passed = after.running - before.running if after.boot and after.boot == before.boot else moved
    return moved - min(max(passed, 0.0), LONGEST_STOP_S)


def note(db: sqlite3.Connection, reading: Reading, tables: Sequence[tuple[str, str]]) -> None:
    """Note a reading in place of the last one, and shift the times in ``tables`` if the clock was set between them.

    Args:
        db: the ledger, in a transaction.
        reading: of the clock, now.
        tables: their names, and the column that says since when a row waits; ``due`` and ``changed`` are in each.
    """
    rows = db.execute("SELECT now, running, boot FROM clock").fetchall()
    by = correction(Reading(*rows[0]), reading) if rows else 0.0
    if abs(by) > TOLERANCE_S:
        log.warning(
            "the clock was set, or no node ran for more than a day: times of what is kept are shifted by %.0f s", by
        )
        for table, since in tables:
            # Nothing is from the future, not even what was noted while an older version of the node ran.
            past = f"{since} = min({since} + :by, :now), changed = min(changed + :by, :now)"
            db.execute(f"UPDATE {table} SET {past}, due = due + :by", {"by": by, "now": reading.now})  # noqa: S608
    db.execute("INSERT OR REPLACE INTO clock VALUES (1, ?, ?, ?)", (reading.now, reading.running, reading.boot))


@cache
def _boot() -> str:
    """What names this start of the machine; empty: not known."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
