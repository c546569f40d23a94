"""Writes the audit log with group commit: one task, one thread; requests that arrive during a write share the next one.

submit -> queue -> run: all queued events -> Chain.append in a thread: one write, one fsync -> the futures are resolved
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.audit.chain import AuditError, Chain
from service.audit.line import Event, Gap, now
from service.inference.threads.pool import StartedThreads
from service.telemetry.metrics import Metrics

# Seconds. If a write takes longer, the disk counts as failed until the write ends.
WRITE_TIMEOUT_S = 3.0
_RETRY_S = 1.0
_MAX_QUEUED = 1024
_MAX_LINES = 1024

log = logging.getLogger("service.audit")


@dataclass(frozen=True, slots=True, eq=False)
class _Submission:
    events: Sequence[Event]
    written: asyncio.Future[bool]


class Writer:
    """Writes events in the order in which they were submitted. While the disk fails, it drops and counts them.

    Args:
        opener: opens the chain; called again after an error.
        metrics: counts the lines that were written and lost.
    """

    def __init__(self, opener: Callable[[], Chain], metrics: Metrics) -> None:
        self._open, self._metrics = opener, metrics
        self._queue: asyncio.Queue[_Submission] = asyncio.Queue(_MAX_QUEUED)
        self._disk = StartedThreads(1, "audit")
        self._chain: Chain | None = None
        self._lost, self._gap_since = 0, ""
        self.failing = False

    def open(self) -> None:
        """Open the chain now instead of at the first write.

        Raises:
            OSError, AuditError: the chain cannot be opened.
        """
        self._chain = self._open()

    def submit(self, events: Sequence[Event]) -> asyncio.Future[bool]:
        """Queue these events, to be written in consecutive lines. The future's result is whether they are on the disk;
        False if they were dropped.
        """
        submission = _Submission(events, asyncio.get_running_loop().create_future())
        if self.failing or self._queue.full():
            self._lose(submission)
        else:
            self._queue.put_nowait(submission)
        return submission.written

    async def run(self) -> None:
        """Write the queued events until cancelled; on cancellation every pending future is resolved."""
        batch: list[_Submission] = []
        try:
            while True:
                if self.failing:
                    await asyncio.sleep(_RETRY_S)
                else:
                    batch.append(await self._queue.get())
                while not self._queue.empty() and sum(len(submission.events) for submission in batch) < _MAX_LINES:
                    batch.append(self._queue.get_nowait())
                await self._commit(batch)
                batch = []
        finally:
            for submission in (*batch, *self._dequeue_all()):
                self._lose(submission)

    async def close(self) -> None:
        """Close the chain; call it after ``run`` has ended."""
        closing = asyncio.wrap_future(self._disk.submit(self._close_chain))
        await asyncio.wait([closing], timeout=WRITE_TIMEOUT_S)
        self._disk.shutdown(wait=False)

    async def _commit(self, batch: Sequence[_Submission]) -> None:
        lost, since = self._lost, self._gap_since
        gap = [Gap(since=since, lost=lost)] if since else []
        events = [*gap, *(event for submission in batch for event in submission.events)]
        if not await self._write(events):
            for submission in batch:
                self._lose(submission)
            return
        self._metrics.audit_written(len(events))
        for submission in batch:
            _resolve(submission, written=True)
        if gap:
            log.warning("audit log writing resumed", extra={"since": since, "lost": lost})
            self._lost, self._gap_since = self._lost - lost, now() if self._lost > lost else ""

    async def _write(self, events: Sequence[Event]) -> bool:
        writing = asyncio.get_running_loop().run_in_executor(self._disk, self._append, events)
        done, _ = await asyncio.wait([writing], timeout=WRITE_TIMEOUT_S)
        if not done:
            self._fail(f"a write takes longer than {WRITE_TIMEOUT_S:g} s")
            await asyncio.wait([writing])
        error = writing.exception()
        if error is not None:
            self._fail(str(error), None if isinstance(error, OSError | AuditError) else error)
        else:
            self.failing = False
        return error is None

    def _append(self, events: Sequence[Event]) -> None:
        """Runs in the writer thread."""
        if self._chain is None:
            self._chain = self._open()
        try:
            self._chain.append(events)
        except BaseException:
            self._close_chain()
            raise

    def _close_chain(self) -> None:
        chain, self._chain = self._chain, None
        if chain:
            chain.close()

    def _fail(self, reason: str, bug: BaseException | None = None) -> None:
        """Log the failure once, and drop the queued events: requests must not wait for a disk that may never recover.

        Args:
            reason: for the log.
            bug: an exception other than a disk error, logged with its traceback.
        """
        if not self.failing:
            log.error("cannot write the audit log", exc_info=bug, extra={"reason": reason})
        self.failing = True
        self._gap_since = self._gap_since or now()
        for submission in self._dequeue_all():
            self._lose(submission)

    def _dequeue_all(self) -> list[_Submission]:
        return [self._queue.get_nowait() for _ in range(self._queue.qsize())]

    def _lose(self, submission: _Submission) -> None:
        self._gap_since = self._gap_since or now()
        self._lost += len(submission.events)
        self._metrics.audit_lost(len(submission.events))
        _resolve(submission, written=False)


def _resolve(submission: _Submission, *, written: bool) -> None:
    if not submission.written.done():
        submission.written.set_result(written)
