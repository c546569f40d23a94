"""Writing the audit: one task, one thread, and all who wait while the disk is busy share its next write.

submit -> queue -> run: all that waits -> Chain.append in a thread: one write, one fsync -> everybody is told
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from service.audit.chain import AuditError, Chain
from service.audit.line import Event, Gap, now
from service.telemetry.metrics import Metrics

# Seconds. A disk that takes longer for a write is taken for lost, until the write ends.
PATIENCE_S = 3.0
_RETRY_S = 1.0
_MAX_WAITING = 1024
_MAX_LINES = 1024

log = logging.getLogger("service.audit")


@dataclass(frozen=True, slots=True, eq=False)
class _Entry:
    events: Sequence[Event]
    done: asyncio.Future[bool]


class Writer:
    """Keeps events, in the order they were submitted, while the disk lets it; and counts those that it had to drop.

    Args:
        opener: opens the chain; called again after an error.
        metrics: where lines are counted.
    """

    def __init__(self, opener: Callable[[], Chain], metrics: Metrics) -> None:
        self._open, self._metrics = opener, metrics
        self._queue: asyncio.Queue[_Entry] = asyncio.Queue(_MAX_WAITING)
        self._disk = ThreadPoolExecutor(1, thread_name_prefix="audit")
        self._chain: Chain | None = None
        self._lost, self._gap_since = 0, ""
        self.failing = False

    def open(self) -> None:
        """Open the chain now, which the first write would do otherwise.

        Raises:
            OSError, AuditError: it cannot be opened.
        """
        self._chain = self._open()

    def submit(self, events: Sequence[Event]) -> asyncio.Future[bool]:
        """Have these kept, all of them in a row. The future tells, once it is known, whether they are on the disk."""
        entry = _Entry(events, asyncio.get_running_loop().create_future())
        if self.failing or self._queue.full():
            self._lose(entry)
        else:
            self._queue.put_nowait(entry)
        return entry.done

    async def run(self) -> None:
        """Write what is submitted. Ends by cancellation, and then nobody is left waiting."""
        entries: list[_Entry] = []
        try:
            while True:
                if self.failing:
                    await asyncio.sleep(_RETRY_S)
                else:
                    entries.append(await self._queue.get())
                while not self._queue.empty() and sum(len(entry.events) for entry in entries) < _MAX_LINES:
                    entries.append(self._queue.get_nowait())
                await self._keep(entries)
                entries = []
        finally:
            for entry in (*entries, *self._waiting()):
                self._lose(entry)

    async def close(self) -> None:
        """Let go of the chain; call it when ``run`` has ended."""
        closing = asyncio.wrap_future(self._disk.submit(self._drop))
        await asyncio.wait([closing], timeout=PATIENCE_S)
        self._disk.shutdown(wait=False)

    async def _keep(self, entries: Sequence[_Entry]) -> None:
        lost, since = self._lost, self._gap_since
        gap = [Gap(since=since, lost=lost)] if since else []
        events = [*gap, *(event for entry in entries for event in entry.events)]
        if not await self._written(events):
            for entry in entries:
                self._lose(entry)
            return
        self._metrics.audit_written(len(events))
        for entry in entries:
            _tell(entry, kept=True)
        if gap:
            log.warning("the audit is written again", extra={"since": since, "lost": lost})
            self._lost, self._gap_since = self._lost - lost, now() if self._lost > lost else ""

    async def _written(self, events: Sequence[Event]) -> bool:
        writing = asyncio.get_running_loop().run_in_executor(self._disk, self._append, events)
        done, _ = await asyncio.wait([writing], timeout=PATIENCE_S)
        if not done:
            self._fail(f"a write takes longer than {PATIENCE_S:g} s")
            await asyncio.wait([writing])
        error = writing.exception()
        if error is not None:
            self._fail(str(error), None if isinstance(error, OSError | AuditError) else error)
        else:
            self.failing = False
        return error is None

    def _append(self, events: Sequence[Event]) -> None:
        """In the thread."""
        if self._chain is None:
            self._chain = self._open()
        try:
            self._chain.append(events)
        except BaseException:
            self._drop()
            raise

    def _drop(self) -> None:
        chain, self._chain = self._chain, None
        if chain:
            chain.close()

    def _fail(self, reason: str, fault: BaseException | None = None) -> None:
        """Say so once; what waits meanwhile is lost, since what it waits for may take for ever."""
        if not self.failing:
            log.error("the audit cannot be written", exc_info=fault, extra={"reason": reason})
        self.failing = True
        self._gap_since = self._gap_since or now()
        for entry in self._waiting():
            self._lose(entry)

    def _waiting(self) -> list[_Entry]:
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    def _lose(self, entry: _Entry) -> None:
        self._gap_since = self._gap_since or now()
        self._lost += len(entry.events)
        self._metrics.audit_lost(len(entry.events))
        _tell(entry, kept=False)


def _tell(entry: _Entry, *, kept: bool) -> None:
    if not entry.done.done():
        entry.done.set_result(kept)
