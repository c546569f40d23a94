"""The laws of the batcher: each caller gets its own result exactly once, whatever happens to others."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from service.errors import BackendFault, NotReady, Overloaded
from service.inference.backend import Outputs
from service.inference.batching.batcher import Batcher, Limits
from service.inference.batching.scoring import Scored
from tests.fakes import FakeBackend
from tests.waiting import DEADLINE_S, until_async

pytestmark = pytest.mark.anyio


def pixels(value: int) -> NDArray[np.uint8]:
    return np.full((200, 200, 1), value, np.uint8)


@asynccontextmanager
async def running(
    backend: FakeBackend, max_batch: int = 8, capacity: int = 64, runs: int = 1
) -> AsyncIterator[Batcher]:
    batcher = Batcher(backend, Limits(max_batch, capacity, runs), on_batch=lambda size, seconds: None)
    async with served(batcher):
        yield batcher


@asynccontextmanager
async def served(batcher: Batcher) -> AsyncIterator[None]:
    task = asyncio.create_task(batcher.run())
    await asyncio.sleep(0)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


@asynccontextmanager
async def busy(max_batch: int = 8, capacity: int = 64) -> AsyncIterator[tuple[FakeBackend, Batcher, threading.Event]]:
    """A batcher whose model is busy with one image until the event is set."""
    backend = FakeBackend()
    backend.hold = free = threading.Event()
    async with running(backend, max_batch, capacity) as batcher:
        first = (await submitted(batcher, 1))[0]
        await until_async(lambda: backend.sizes)
        try:
            yield backend, batcher, free
        finally:
            free.set()
        await first


async def submitted(batcher: Batcher, count: int) -> list[asyncio.Task[Scored]]:
    """Submit this many images; when this returns, all of them are queued."""
    tasks = [asyncio.create_task(batcher.submit(pixels(value))) for value in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_single_image_does_not_wait_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend()
    async with running(backend) as batcher:
        monkeypatch.setattr(asyncio.get_running_loop(), "call_at", lambda *_, **__: pytest.fail("a timer was set"))
        scored = await batcher.submit(pixels(51))
    assert scored.probability == pytest.approx(0.2)
    assert scored.guard_score is None
    assert scored.batch_size == 1


async def test_images_that_wait_for_the_model_become_the_next_batch() -> None:
    async with busy(max_batch=4) as (backend, batcher, free):
        tasks = await submitted(batcher, 6)
        assert batcher.depth == 6
        free.set()
        await asyncio.gather(*tasks)
    assert backend.sizes == [1, 4, 2]


async def test_a_failed_batch_is_retried_one_by_one() -> None:
    backend = FakeBackend()
    backend.fails = 3
    async with running(backend) as batcher:
        results = await asyncio.gather(*await submitted(batcher, 6), return_exceptions=True)
        assert batcher.scorer.faults == 0  # the last one succeeded alone
    assert [isinstance(result, BackendFault) for result in results] == [False, False, False, True, False, False]


async def test_an_invalid_probability_fails_that_image_only() -> None:
    backend = FakeBackend()
    backend.invalid = 2
    async with running(backend) as batcher:
        results = await asyncio.gather(*await submitted(batcher, 4), return_exceptions=True)
        assert batcher.scorer.faults == 1
    assert [isinstance(result, BackendFault) for result in results] == [False, False, True, False]


@pytest.mark.parametrize(
    "outputs",
    [
        Outputs(np.zeros(7, np.float32)),
        Outputs(np.zeros((3, 1), np.float32)),
        Outputs(np.zeros(3, np.float32), np.zeros(7)),
        Outputs(np.zeros(3, np.float32), np.zeros((3, 1))),
    ],
)
async def test_a_wrong_number_of_rows_fails_every_image(monkeypatch: pytest.MonkeyPatch, outputs: Outputs) -> None:
    backend = FakeBackend()
    monkeypatch.setattr(backend, "predict", lambda batch, **_: outputs)
    async with running(backend) as batcher:
        results = await asyncio.gather(*await submitted(batcher, 3), return_exceptions=True)
        assert batcher.scorer.faults == 3
    assert all(isinstance(result, BackendFault) for result in results)


async def test_an_infinite_guard_score_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend()
    outputs = Outputs(np.array([0.1, 0.2], np.float32), np.array([np.inf, 1.0]))
    monkeypatch.setattr(backend, "predict", lambda batch, **_: outputs)
    async with running(backend) as batcher:
        scored = await asyncio.gather(*await submitted(batcher, 2))
        assert batcher.scorer.faults == 0
    assert [one.guard_score for one in scored] == [np.inf, 1.0]


async def test_a_full_queue_rejects_at_once() -> None:
    async with busy(capacity=3) as (_, batcher, free):
        tasks = await submitted(batcher, 3)
        with pytest.raises(Overloaded):
            await batcher.submit(pixels(0))
        free.set()
        await asyncio.gather(*tasks)


async def test_concurrent_images_are_run_concurrently() -> None:
    backend = FakeBackend()
    barrier = threading.Barrier(3)
    backend.on_call = lambda: barrier.wait(DEADLINE_S)
    async with running(backend, runs=3) as batcher:
        await asyncio.gather(*await submitted(batcher, 3))
        assert batcher.scorer.faults == 0
    assert backend.sizes == [1, 1, 1]


async def test_waiting_images_are_divided_among_idle_tasks() -> None:
    backend = FakeBackend()
    async with running(backend, runs=2) as batcher:
        await asyncio.gather(*await submitted(batcher, 6))
    assert sorted(backend.sizes) == [3, 3]


async def test_a_call_that_hangs_does_not_stop_the_others() -> None:
    backend = FakeBackend()
    backend.hold = free = threading.Event()
    async with running(backend, runs=2) as batcher:
        stuck = (await submitted(batcher, 1))[0]
        await until_async(lambda: backend.sizes)
        backend.hold = None
        await asyncio.gather(*await submitted(batcher, 5))
        assert not stuck.done()
        free.set()
        await stuck


@pytest.mark.parametrize("is_alone", [True, False])
async def test_the_backend_gets_whether_the_service_is_otherwise_idle(is_alone: bool) -> None:
    backend = FakeBackend()
    batcher = Batcher(backend, Limits(8, 8), on_batch=lambda *_: None, is_alone=lambda: is_alone)
    async with served(batcher):
        await batcher.submit(pixels(0))
    assert backend.alone == [is_alone]


async def test_cancelled_jobs_are_left_out_of_the_batch() -> None:
    async with busy() as (backend, batcher, free):
        waiting = await submitted(batcher, 4)
        waiting[1].cancel()
        free.set()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert backend.sizes == [1, 3]


async def test_pending_jobs_fail_when_the_batcher_stops() -> None:
    backend = FakeBackend()
    backend.hold = threading.Event()
    async with running(backend, max_batch=2) as batcher:
        tasks = await submitted(batcher, 5)
        await until_async(lambda: backend.sizes)
    results = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE_S)
    backend.hold.set()
    assert all(isinstance(result, NotReady) for result in results)
    with pytest.raises(NotReady):
        await batcher.submit(pixels(0))


async def test_a_broken_batcher_logs_and_fails_pending_jobs(caplog: pytest.LogCaptureFixture) -> None:
    def broken(size: int, seconds: float) -> None:
        raise ZeroDivisionError

    batcher = Batcher(FakeBackend(), Limits(2, 8), on_batch=broken)
    task = asyncio.create_task(batcher.run())
    with pytest.raises(NotReady):
        await batcher.submit(pixels(1))
    await asyncio.wait([task])
    assert isinstance(task.exception(), ZeroDivisionError)
    assert "the batcher has failed" in caplog.text


# One caller: the turns of the event loop since the previous one, and whether it cancels.
CALLERS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=150)
@given(CALLERS, st.integers(1, 8), st.integers(1, 3), st.sets(st.integers(0, 39), max_size=3), st.booleans())
def test_every_accepted_job_gets_exactly_one_result(
    callers: list[tuple[int, bool]], max_batch: int, runs: int, culprits: set[int], stopped: bool
) -> None:
    """Arrivals, cancellations, a model that fails on some images, a stop: no result is lost or mixed up."""
    backend = FakeBackend(guarded=True)
    backend.fails = min(culprits, default=None)
    backend.invalid = max(culprits, default=None)
    finished: list[int] = []

    async def call(batcher: Batcher, value: int) -> Scored:
        try:
            return await batcher.submit(pixels(value))
        finally:
            finished.append(value)

    async def play() -> list[Scored | BaseException]:
        tasks = []
        async with running(backend, max_batch=max_batch, runs=runs) as batcher:
            for value, (gap, cancels) in enumerate(callers):
                for _ in range(gap):
                    await asyncio.sleep(0)
                tasks.append(asyncio.create_task(call(batcher, value)))
                if cancels:
                    await asyncio.sleep(0)
                    tasks[-1].cancel()
            if not stopped:
                await asyncio.wait(tasks)
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE_S)

    results = asyncio.run(play())
    assert sorted(set(finished)) == sorted(finished)
    assert all(1 <= size <= max_batch for size in backend.sizes)
    for value, (result, (_, cancels)) in enumerate(zip(results, callers, strict=True)):
        if isinstance(result, Scored):
            assert (result.probability, result.guard_score) == pytest.approx((value / 255, 10 * value / 255))
        elif isinstance(result, BackendFault):
            assert value in {backend.fails, backend.invalid}
        elif isinstance(result, NotReady):
            assert stopped
        else:
            assert isinstance(result, asyncio.CancelledError)
            assert cancels or stopped


async def test_heatmaps_are_computed_and_returned_only_on_request() -> None:
    async with busy() as (backend, batcher, free):
        backend.heatmap = np.full((3, 4), 0.5, np.float32)
        plain, explained = (
            asyncio.create_task(batcher.submit(pixels(7), explain=explain)) for explain in (False, True)
        )
        await asyncio.sleep(0)
        free.set()
        assert (await plain).heatmap is None
        heatmap = (await explained).heatmap
        assert heatmap is not None
        assert heatmap.shape == (3, 4)
        assert (backend.sizes, backend.explained) == ([1, 2], [False, True])
        await batcher.submit(pixels(7))
        assert backend.explained[-1] is False


async def test_a_retry_of_a_failed_batch_keeps_who_requested_heatmaps() -> None:
    async with busy() as (backend, batcher, free):
        backend.fails = 3
        plain, explained, culprit = (
            asyncio.create_task(batcher.submit(pixels(value), explain=explain))
            for value, explain in ((1, False), (2, True), (3, True))
        )
        await asyncio.sleep(0)
        free.set()
        assert (await plain).heatmap is None
        assert (await explained).heatmap is not None
        with pytest.raises(BackendFault):
            await culprit
        assert backend.explained == [False, True, False, True, True]
