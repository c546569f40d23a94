"""What has been received, answered and delivered: a SQLite database in the spool.

Every change is one transaction that is on disk before the call returns, so that a crash loses nothing that was
acknowledged. It holds UIDs, never a patient's attributes.
"""

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from node.pauses import LONGEST_PAUSE_S
from node.storage.clock import CLOCK_SCHEMA, TOLERANCE_S, Reading, correction, note, read_clock
from node.storage.records import ANSWERED, DEAD, EXPIRED, WAITING, Counts, DeadLetter, Delivery, Item

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (
    uid TEXT PRIMARY KEY, state TEXT NOT NULL, received REAL NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL,
    reason TEXT NOT NULL, changed REAL NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS objects_by_state ON objects (state, due);
CREATE TABLE IF NOT EXISTS deliveries (
    uid TEXT NOT NULL, kind TEXT NOT NULL, destination TEXT NOT NULL, result_uid TEXT NOT NULL, state TEXT NOT NULL,
    created REAL NOT NULL, due REAL NOT NULL, tries INTEGER NOT NULL, reason TEXT NOT NULL, changed REAL NOT NULL,
    PRIMARY KEY (uid, kind, destination)
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS deliveries_by_state ON deliveries (destination, state, due);
CREATE INDEX IF NOT EXISTS deliveries_by_result ON deliveries (result_uid);
"""
_TABLES = (("objects", "received"), ("deliveries", "created"))  # and since when a row waits
_IS_DUE = "(due <= ? OR due > ?)"  # now; and later than any pause lasts: the clock was set back
_BY_KEY = "uid = ? AND kind = ? AND destination = ?"


class Ledger:
    """The database. Safe to use from several threads, and from another process at the same time.

    Args:
        path: of the database; created if missing.
        clock: the machine's clock.
    """

    def __init__(self, path: Path, clock: Callable[[], Reading] = read_clock) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._noted: Reading | None = None
        self._db = sqlite3.connect(path, timeout=60, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")  # in WAL mode, NORMAL would not sync each commit
        self._db.executescript(_SCHEMA + CLOCK_SCHEMA)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            self._db.close()

    def state(self, uid: str) -> str | None:
        """The state of an object; None: it was never received, or has been forgotten."""
        rows = self._read("SELECT state FROM objects WHERE uid = ?", uid)
        return rows[0][0] if rows else None

    def is_empty(self) -> bool:
        """Whether nothing was ever received, or all is forgotten."""
        return not self._read("SELECT 1 FROM objects LIMIT 1")

    def is_result(self, uid: str) -> bool:
        """Whether this is the UID of a result of this node."""
        return bool(self._read("SELECT 1 FROM deliveries WHERE result_uid = ? LIMIT 1", uid))

    def add(self, uid: str) -> bool:
        """Note an object that has been received. Returns False if it waits already or has been answered.

        A dead letter that is received again waits again.
        """
        now = self._now()
        insert = (
            "INSERT INTO objects VALUES (:uid, :waiting, :now, :now, 0, '', :now) ON CONFLICT (uid) DO UPDATE SET "
            "state = :waiting, received = :now, due = :now, tries = 0, reason = '', changed = :now "
            "WHERE state IN (:dead, :expired)"
        )
        values = {"uid": uid, "now": now, "waiting": WAITING, "dead": DEAD, "expired": EXPIRED}
        with self._transaction() as db:
            return db.execute(insert, values).rowcount == 1

    def due_objects(self, limit: int) -> list[Item]:
        """Objects that wait for the service and whose pause is over, the longest due first."""
        query = f"SELECT uid, received, tries FROM objects WHERE state = ? AND {_IS_DUE} ORDER BY due LIMIT ?"  # noqa: S608
        return [Item(*row) for row in self._read(query, WAITING, *self._due(), limit)]

    def postpone_object(self, uid: str, pause_s: float, reason: str) -> None:
        """Note a failed attempt; the next is due after a pause."""
        now = self._now()
        change = "UPDATE objects SET due = ?, tries = tries + 1, reason = ?, changed = ? WHERE uid = ? AND state = ?"
        self._write(change, now + pause_s, reason, now, uid, WAITING)

    def close_object(self, uid: str, state: str, reason: str) -> None:
        """An object gets no answer: DEAD or OWN."""
        change = "UPDATE objects SET state = ?, reason = ?, changed = ? WHERE uid = ?"
        self._write(change, state, reason, self._now(), uid)

    def answer(self, uid: str, results: Sequence[tuple[str, str, str]]) -> None:
        """An object is answered by these results: kind, destination, and SOP Instance UID of the result."""
        now = self._now()
        rows = [(uid, kind, name, result_uid, WAITING, now, now, 0, "", now) for kind, name, result_uid in results]
        with self._transaction() as db:
            db.executemany("INSERT OR IGNORE INTO deliveries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            change = "UPDATE objects SET state = ?, reason = '', changed = ? WHERE uid = ?"
            db.execute(change, (ANSWERED, now, uid))

    def due_deliveries(self, destination: str, limit: int) -> list[Delivery]:
        """Results that wait for a destination and whose pause is over, the longest due first."""
        query = (
            "SELECT uid, kind, destination, result_uid, tries FROM deliveries "  # noqa: S608
            f"WHERE destination = ? AND state = ? AND {_IS_DUE} ORDER BY due LIMIT ?"
        )
        return [Delivery(*row) for row in self._read(query, destination, WAITING, *self._due(), limit)]

    def postpone_delivery(self, delivery: Delivery, pause_s: float, reason: str) -> None:
        """Note a failed attempt; the next is due after a pause."""
        now = self._now()
        change = "UPDATE deliveries SET due = ?, tries = tries + 1, reason = ?, changed = ? WHERE "
        self._write(change + _BY_KEY, now + pause_s, reason, now, *_key(delivery))

    def close_delivery(self, delivery: Delivery, state: str, reason: str = "") -> None:
        """A delivery is over: DELIVERED or DEAD."""
        change = "UPDATE deliveries SET state = ?, reason = ?, changed = ? WHERE "
        self._write(change + _BY_KEY, state, reason, self._now(), *_key(delivery))

    def needs_result(self, uid: str, kind: str) -> bool:
        """Whether the file of a result is still needed: some destination waits for it, or it is a dead letter."""
        query = "SELECT 1 FROM deliveries WHERE uid = ? AND kind = ? AND state IN (?, ?) LIMIT 1"
        return bool(self._read(query, uid, kind, WAITING, DEAD))

    def uids(self, *states: str) -> set[str]:
        """The objects in these states."""
        marks = ", ".join("?" * len(states))
        return {uid for (uid,) in self._read(f"SELECT uid FROM objects WHERE state IN ({marks})", *states)}  # noqa: S608

    def results_needed(self) -> set[tuple[str, str]]:
        """Object and kind of every result whose file is still needed."""
        return set(self._read("SELECT DISTINCT uid, kind FROM deliveries WHERE state IN (?, ?)", WAITING, DEAD))

    def dead_letters(self) -> list[DeadLetter]:
        """Everything that was given up and can be retried, oldest first."""
        query = (
            "SELECT uid, '', '', reason, changed FROM objects WHERE state = :dead UNION ALL "
            "SELECT uid, kind, destination, reason, changed FROM deliveries WHERE state = :dead ORDER BY changed"
        )
        return [DeadLetter(*row) for row in self._read(query.replace(":dead", f"'{DEAD}'"))]

    def retry(self, patterns: Sequence[str]) -> int:
        """Make dead letters wait again whose SOP Instance UID matches a pattern (``*``: any). Returns how many."""
        now, total = self._now(), 0
        with self._transaction() as db:
            for table, since in _TABLES:
                change = f"UPDATE {table} SET state = ?, tries = 0, due = ?, {since} = ? WHERE state = ? AND uid GLOB ?"  # noqa: S608
                total += sum(db.execute(change, (WAITING, now, now, DEAD, pattern)).rowcount for pattern in patterns)
        return total

    def give_up_older(self, max_age_s: float) -> int:
        """What has waited for longer becomes a dead letter. Returns how many there were."""
        now, total = self._now(), 0
        with self._transaction() as db:
            for table, since in _TABLES:
                change = f"UPDATE {table} SET state = ?, changed = ?, "  # noqa: S608
                change += "reason = trim('waited too long (max_age_h). ' || reason) "
                row = (DEAD, now, WAITING, now - max_age_s)
                total += db.execute(f"{change} WHERE state = ? AND {since} < ?", row).rowcount
        return total

    def expire(self, dead_s: float, remember_s: float) -> int:
        """Dead letters older than ``dead_s`` expire, and what is older than ``remember_s`` is forgotten.

        Returns how many dead letters expired; their files are not needed any more.
        """
        now, total = self._now(), 0
        with self._transaction() as db:
            for table, _ in _TABLES:
                change = f"UPDATE {table} SET state = ?, changed = ? WHERE state = ? AND changed < ?"  # noqa: S608
                total += db.execute(change, (EXPIRED, now, DEAD, now - dead_s)).rowcount
                forget = f"DELETE FROM {table} WHERE state NOT IN (?, ?) AND changed < ?"  # noqa: S608
                db.execute(forget, (WAITING, DEAD, now - remember_s))
        return total

    def counts(self) -> Counts:
        """How much there is, for metrics and health."""
        objects = dict(self._read("SELECT state, count(*) FROM objects GROUP BY state"))
        rows = self._read("SELECT destination, state, count(*) FROM deliveries GROUP BY destination, state")
        oldest = "SELECT min(received) AS since FROM objects WHERE state = ? UNION ALL "
        oldest += "SELECT min(created) FROM deliveries WHERE state = ?"
        since = self._read(f"SELECT min(since) FROM ({oldest})", WAITING, WAITING)[0][0]  # noqa: S608
        return Counts(objects, {(name, state): count for name, state, count in rows}, since)

    def note_time(self) -> None:
        """Note what time it is; to be called every minute or so while a node runs.

        If the clock was set, or no node ran for long, all times are shifted: nothing is given up, deleted or forgotten
        too early or too late because of that.
        """
        reading = self._clock()
        with self._transaction() as db:
            note(db, reading, _TABLES)
        self._noted = reading

    def _now(self) -> float:
        """Unix time, at which nothing is older than it should be."""
        reading = self._clock()
        if self._noted is None or abs(correction(self._noted, reading)) > TOLERANCE_S:
            self.note_time()
        return reading.now

    def _due(self) -> tuple[float, float]:
        """The values of ``_IS_DUE``."""
        now = self._now()
        return now, now + LONGEST_PAUSE_S

    def _read(self, query: str, *values: object) -> list[Any]:
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def _write(self, change: str, *values: object) -> None:
        with self._transaction() as db:
            db.execute(change, values)

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # if the disk is full, SQLite has ended it: that is the error to be seen
                    self._db.execute("ROLLBACK")
                raise


def _key(delivery: Delivery) -> tuple[str, str, str]:
    return delivery.uid, delivery.kind, delivery.destination
