"""Dynamic micro-batching: one queue, one task for each model call that may run beside others, and every accepted job
gets exactly one outcome.

A batch is whatever waits when the model gets free. There is no timer: at rest a lone image is answered at once, under
load batches form by themselves while the model is busy.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from service.errors import BackendFault, NotReady, Overloaded
from service.inference.backend import Backend, Outputs

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Scored:
    """The model's answer for one image, the size of the batch it was in, and how long it waited and was worked on.

    ``guard_score`` is None where no guard is in use, ``heatmap`` (float32 (h, w), 0..1) where it was not asked for.
    """

    probability: float
    guard_score: float | None
    heatmap: NDArray[np.float32] | None
    batch_size: int
    queue_s: float
    inference_s: float


# Probability, guard score and heatmap of one image.
_Row = tuple[float, float | None, NDArray[np.float32] | None]


@dataclass(slots=True, eq=False)
class _Job:
    pixels: NDArray[np.uint8]
    explain: bool
    answer: asyncio.Future[Scored]
    arrived: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, slots=True)
class Limits:
    """Most images a batch, most images that wait, most calls of the model at a time."""

    batch: int
    waiting: int
    runs: int = 1


class Batcher:
    """Gathers single images into batches for a model.

    Args:
        backend: the model; called from as many threads as there are runs.
        limits: what it keeps to.
        on_batch: called with the size of each batch and the seconds it took.
        executor: where it is called; None: in threads of its own, as on a GPU, which CPUs only wait for.
        is_alone: whether there is no more to do than the one image that is asked for.
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
        self._backend, self._limits, self._on_batch, self._is_alone = backend, limits, on_batch, is_alone
        self._queue: asyncio.Queue[_Job] = asyncio.Queue(limits.waiting)
        self._idle = 0
        self._executor = executor
        self._model = executor or ThreadPoolExecutor(limits.runs, thread_name_prefix="model")
        self._open = True
        self.faults = 0

    @property
    def depth(self) -> int:
        """Images that wait for the model."""
        return self._queue.qsize()

    async def submit(self, pixels: NDArray[np.uint8], *, explain: bool = False) -> Scored:
        """Have one image scored.

        Args:
            pixels: uint8 (200, 200, 1).
            explain: whether the heatmap is wanted.

        Raises:
            Overloaded: too many wait already.
            NotReady: the batcher has ended.
            BackendFault: the model failed on this image.
        """
        if not self._open:
            raise NotReady("the service is stopping")
        job = _Job(pixels, explain, asyncio.get_running_loop().create_future())
        try:
            self._queue.put_nowait(job)
        except asyncio.QueueFull:
            raise Overloaded("too many images are waiting") from None
        return await job.answer

    async def run(self) -> None:
        """Serve the queue. It ends by cancellation, or with the first of its tasks; then nobody is left waiting."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(self._limits.runs):
                    group.create_task(self._serve())
        except Exception:
            log.exception("the batcher has ended: liveness fails from now on")
            raise
        finally:
            self._open = False
            _refuse(self._queue.get_nowait() for _ in range(self._queue.qsize()))
            if self._executor is None:
                self._model.shutdown(wait=False)

    async def _serve(self) -> None:
        """One batch after the other. The end may come in the middle of one."""
        while True:
            jobs: list[_Job] = []
            try:
                await self._collect(jobs)
                await self._answer(jobs)
            finally:
                _refuse(jobs)

    async def _collect(self, jobs: list[_Job]) -> None:
        """Take what waits, oldest first, up to a batch, and no more than leaves as much to each task that is idle, too.
        Who stopped waiting for an answer is left out.
        """
        while not jobs:
            self._idle += 1
            try:
                _take(await self._queue.get(), jobs)
            finally:
                self._idle -= 1
        most = min(self._limits.batch, math.ceil((1 + self._queue.qsize()) / (1 + self._idle)))
        while len(jobs) < most and not self._queue.empty():
            _take(self._queue.get_nowait(), jobs)

    async def _answer(self, jobs: Sequence[_Job]) -> None:
        began = time.monotonic()
        outcomes = await self._score(jobs)
        took = time.monotonic() - began
        self._on_batch(len(jobs), took)
        for job, outcome in zip(jobs, outcomes, strict=True):
            if job.answer.done():
                continue
            if isinstance(outcome, BackendFault):
                job.answer.set_exception(outcome)
            else:
                job.answer.set_result(Scored(*outcome, len(jobs), began - job.arrived, took))

    async def _score(self, jobs: Sequence[_Job]) -> list[_Row | BackendFault]:
        """One outcome a job. A batch the model fails on is tried again one by one: only the culprits fail."""
        try:
            outcomes = _checked(await self._call_model(jobs), jobs)
        except Exception:
            log.exception("the model failed on a batch", extra={"batch_size": len(jobs)})
            if len(jobs) > 1:
                return [(await self._score([job]))[0] for job in jobs]
            outcomes = [BackendFault()]
        failed = any(isinstance(outcome, BackendFault) for outcome in outcomes)
        self.faults = self.faults + 1 if failed else 0
        return outcomes

    async def _call_model(self, jobs: Sequence[_Job]) -> Outputs:
        """Heatmaps are computed for the whole batch if one of its jobs wants its own, else not at all."""
        batch = np.stack([job.pixels for job in jobs])
        explain = any(job.explain for job in jobs)
        call = partial(self._backend.predict, batch, explain=explain, alone=self._is_alone())
        return await asyncio.get_running_loop().run_in_executor(self._model, call)


def _take(job: _Job, jobs: list[_Job]) -> None:
    if not job.answer.done():
        jobs.append(job)


def _refuse(jobs: Iterable[_Job]) -> None:
    """Tell those who still wait that nobody will answer."""
    for job in jobs:
        if not job.answer.done():
            job.answer.set_exception(NotReady("the service is stopping"))


def _checked(outputs: Outputs, jobs: Sequence[_Job]) -> list[_Row | BackendFault]:
    """A probability is a number from 0 to 1, one an image, and so is a heatmap where it is wanted, all over; a row that
    has none is that image's fault alone.
    """
    probability, score, heatmap = outputs.probability, outputs.guard_score, outputs.heatmap
    for column, axes in ((probability, 1), (score, 1), (heatmap, 3)):
        if column is not None and (column.ndim != axes or len(column) != len(jobs)):
            raise ValueError(f"the model gave shape {column.shape} for {len(jobs)} images")
    scores = [None] * len(jobs) if score is None else score.tolist()
    maps = [heatmap[row] if job.explain and heatmap is not None else None for row, job in enumerate(jobs)]
    rows = zip(probability.tolist(), scores, maps, strict=True)
    return [row if _sound(row, job) else BackendFault() for row, job in zip(rows, jobs, strict=True)]


def _sound(row: _Row, job: _Job) -> bool:
    probability, _, heatmap = row
    if job.explain and (heatmap is None or not ((heatmap >= 0) & (heatmap <= 1)).all()):
        return False
    return 0 <= probability <= 1
