"""Dynamic micro-batching: one queue, one task per concurrent model call, and exactly one result for every accepted job.

A batch consists of the jobs that wait when the model becomes free. There is no timer: when idle, a single image is
processed at once; under load, batches form while the model is busy.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import cast

import numpy as np
from numpy.typing import NDArray

from service.errors import BackendFault, NotReady, Overloaded
from service.inference.backend import Backend
from service.inference.batching.scoring import Image, Scored, Scorer
from service.inference.threads.pool import StartedThreads, run_in

_STOPPING = "the model is being stopped"

log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Job:
    image: Image
    result: asyncio.Future[Scored]
    enqueued: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Limits:
    """Maximum images per batch, images in the queue, and concurrent model calls."""

    batch: int
    waiting: int
    runs: int = 1


class Batcher:
    """Collects single images into batches for a model.

    ``scorer``: calls the model, and counts its consecutive faults.

    Args:
        backend: the model; called from up to ``limits.runs`` threads at once.
        limits: of batches, queue and concurrency.
        on_batch: called with the size of each batch and the seconds it took.
        executor: runs the model calls. None: own threads, for a GPU, where the threads only wait.
        is_alone: returns whether at most one image is in flight.
    """

    def __init__(
        self,
        backend: Backend,
        limits: Limits,
        *,
        on_batch: Callable[[int, float], object],
        executor: Executor | None = None,
        is_alone: Callable[[], bool] = lambda: False,
    ) -> None:
        self.scorer, self._limits = Scorer(backend, on_batch, is_alone), limits
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(limits.waiting)
        self._idle = 0
        self._executor = executor
        self._model = executor or StartedThreads(limits.runs, "model")
        self._open = True

    @property
    def depth(self) -> int:
        """Images in the queue."""
        return self._queue.qsize()

    def score_now(self, pixels: NDArray[np.uint8], *, explain: bool) -> Scored:
        """Score one image in the calling thread, which is one of the executor's, without the queue.

        Args:
            pixels: uint8 (200, 200, 1).
            explain: whether the result includes the heatmap.

        Raises:
            NotReady: the batcher has stopped.
            BackendFault: the model failed on this image.
        """
        if not self._open:
            raise NotReady(_STOPPING)
        rows, took_s = self.scorer.score([Image(pixels, explain)])
        if isinstance(rows[0], BackendFault):
            # Not left in a variable of this frame, which would be a reference cycle.
            raise cast(BackendFault, rows.pop())
        return Scored(*rows[0], batch_size=1, queue_s=0.0, inference_s=took_s)

    async def submit(self, pixels: NDArray[np.uint8], *, explain: bool = False) -> Scored:
        """Queue one image, and wait for its result.

        Args:
            pixels: uint8 (200, 200, 1).
            explain: whether the result includes the heatmap.

        Raises:
            Overloaded: the queue is full.
            NotReady: the batcher has stopped.
            BackendFault: the model failed on this image.
        """
        if not self._open:
            raise NotReady(_STOPPING)
        job = _Job(Image(pixels, explain), asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise Overloaded("the queue of the model is full") from None
        try:
            return await job.result
        finally:
            del job  # the traceback of its exception has this frame: it would be a reference cycle

    async def run(self) -> None:
        """Process the queue until cancelled, or until one of the tasks fails. At its end, every pending job fails."""
        # No TaskGroup: cancelled, its frame and its exception refer to each other, and keep the model in memory.
        tasks = [asyncio.create_task(self._process_queue()) for _ in range(self._limits.runs)]
        try:
            await asyncio.gather(*tasks)
        except Exception:
            log.exception("the batcher has failed: no image is analysed from now on")
            raise
        finally:
            self._open = False
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            _fail(self._queue.get_nowait() for _ in range(self._queue.qsize()))
            if self._executor is None:
                self._model.shutdown(wait=False)

    async def _process_queue(self) -> None:
        """Process one batch after the other. Cancellation may interrupt a batch."""
        while True:
            jobs: list[_Job] = []
            try:
                await self._collect(jobs)
                await self._process(jobs)
            finally:
                _fail(jobs)

    async def _collect(self, jobs: list[_Job]) -> None:
        """Fill ``jobs`` from the queue, oldest first, up to a full batch; if other tasks are idle, take only an equal
        share of the waiting jobs. Jobs whose caller has stopped waiting are dropped.
        """
        while not jobs:
            self._idle += 1
            try:
                _append_if_pending(await self._queue.get(), jobs)
            finally:
                self._idle -= 1
        max_size = min(self._limits.batch, math.ceil((1 + self._queue.qsize()) / (1 + self._idle)))
        while len(jobs) < max_size and not self._queue.empty():
            _append_if_pending(self._queue.get_nowait(), jobs)

    async def _process(self, jobs: Sequence[_Job]) -> None:
        started = time.monotonic()
        images = [job.image for job in jobs]
        rows, took_s = await run_in(self._model, lambda: self.scorer.score(images))
        for job, row in zip(jobs, rows, strict=True):
            if job.result.done():
                continue
            if isinstance(row, BackendFault):
                job.result.set_exception(row)
            else:
                job.result.set_result(Scored(*row, len(jobs), started - job.enqueued, took_s))


def _append_if_pending(job: _Job, jobs: list[_Job]) -> None:
    if not job.result.done():
        jobs.append(job)


def _fail(jobs: Iterable[_Job]) -> None:
    """Fail the jobs that have no result yet."""
    for job in jobs:
        if not job.result.done():
            job.result.set_exception(NotReady(_STOPPING))
