"""The batcher's laws: each asker gets its own answer, once, whoever else fails, hangs up or comes in between."""

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
from service.inference.batcher import Batcher, Limits, Scored
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
    """A batcher whose model works on one image, until the event is set."""
    backend = FakeBackend()
    backend.hold = free = threading.Event()
    async with running(backend, max_batch, capacity) as batcher:
        first = (await asked(batcher, 1))[0]
        await until_async(lambda: backend.sizes)
        try:
            yield backend, batcher, free
        finally:
            free.set()
        await first


async def asked(batcher: Batcher, count: int) -> list[asyncio.Task[Scored]]:
    """Ask for so many at once; when this returns, all of them wait."""
    tasks = [asyncio.create_task(batcher.submit(pixels(value))) for value in range(count)]
    await asyncio.sleep(0)
    return tasks


async def test_a_lone_image_does_not_wait_for_company(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend()
    async with running(backend) as batcher:
        monkeypatch.setattr(asyncio.get_running_loop(), "call_at", lambda *_, **__: pytest.fail("a timer was set"))
        scored = await batcher.submit(pixels(51))
    assert scored.probability == pytest.approx(0.2)
    assert scored.guard_score is None
    assert scored.batch_size == 1


async def test_what_waits_while_the_model_is_busy_is_the_next_batch() -> None:
    async with busy(max_batch=4) as (backend, batcher, free):
        tasks = await asked(batcher, 6)
        assert batcher.depth == 6
        free.set()
        await asyncio.gather(*tasks)
    assert backend.sizes == [1, 4, 2]


async def test_a_batch_that_fails_is_tried_one_by_one() -> None:
    backend = FakeBackend()
    backend.fails = 3
    async with running(backend) as batcher:
        outcomes = await asyncio.gather(*await asked(batcher, 6), return_exceptions=True)
        assert batcher.faults == 0  # the last one alone went well
    assert [isinstance(outcome, BackendFault) for outcome in outcomes] == [False, False, False, True, False, False]


async def test_a_row_without_a_probability_is_that_image_s_fault_alone() -> None:
    backend = FakeBackend()
    backend.silent = 2
    async with running(backend) as batcher:
        outcomes = await asyncio.gather(*await asked(batcher, 4), return_exceptions=True)
        assert batcher.faults == 1
    assert [isinstance(outcome, BackendFault) for outcome in outcomes] == [False, False, True, False]


@pytest.mark.parametrize(
    "outputs",
    [
        Outputs(np.zeros(7, np.float32)),
        Outputs(np.zeros((3, 1), np.float32)),
        Outputs(np.zeros(3, np.float32), np.zeros(7)),
        Outputs(np.zeros(3, np.float32), np.zeros((3, 1))),
    ],
)
async def test_a_wrong_number_of_rows_is_nobody_s_answer(monkeypatch: pytest.MonkeyPatch, outputs: Outputs) -> None:
    backend = FakeBackend()
    monkeypatch.setattr(backend, "predict", lambda batch, **_: outputs)
    async with running(backend) as batcher:
        outcomes = await asyncio.gather(*await asked(batcher, 3), return_exceptions=True)
        assert batcher.faults == 3
    assert all(isinstance(outcome, BackendFault) for outcome in outcomes)


async def test_a_guard_score_that_is_no_number_is_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    backend = FakeBackend()
    outputs = Outputs(np.array([0.1, 0.2], np.float32), np.array([np.inf, 1.0]))
    monkeypatch.setattr(backend, "predict", lambda batch, **_: outputs)
    async with running(backend) as batcher:
        scored = await asyncio.gather(*await asked(batcher, 2))
        assert batcher.faults == 0
    assert [one.guard_score for one in scored] == [np.inf, 1.0]


async def test_more_than_capacity_are_refused_at_once() -> None:
    async with busy(capacity=3) as (_, batcher, free):
        tasks = await asked(batcher, 3)
        with pytest.raises(Overloaded):
            await batcher.submit(pixels(0))
        free.set()
        await asyncio.gather(*tasks)


async def test_images_that_come_together_are_run_side_by_side() -> None:
    backend = FakeBackend()
    met = threading.Barrier(3)
    backend.meet = lambda: met.wait(DEADLINE_S)
    async with running(backend, runs=3) as batcher:
        await asyncio.gather(*await asked(batcher, 3))
        assert batcher.faults == 0
    assert backend.sizes == [1, 1, 1]


async def test_what_waits_is_divided_among_those_who_are_idle() -> None:
    backend = FakeBackend()
    async with running(backend, runs=2) as batcher:
        await asyncio.gather(*await asked(batcher, 6))
    assert sorted(backend.sizes) == [3, 3]


async def test_a_run_that_hangs_leaves_the_others_to_go_on() -> None:
    backend = FakeBackend()
    backend.hold = free = threading.Event()
    async with running(backend, runs=2) as batcher:
        stuck = (await asked(batcher, 1))[0]
        await until_async(lambda: backend.sizes)
        backend.hold = None
        await asyncio.gather(*await asked(batcher, 5))
        assert not stuck.done()
        free.set()
        await stuck


@pytest.mark.parametrize("is_alone", [True, False])
async def test_the_model_is_told_whether_there_is_anything_else_to_do(is_alone: bool) -> None:
    backend = FakeBackend()
    batcher = Batcher(backend, Limits(8, 8), on_batch=lambda *_: None, is_alone=lambda: is_alone)
    async with served(batcher):
        await batcher.submit(pixels(0))
    assert backend.alone == [is_alone]


async def test_who_hangs_up_is_left_out_of_the_batch() -> None:
    async with busy() as (backend, batcher, free):
        waiting = await asked(batcher, 4)
        waiting[1].cancel()
        free.set()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert backend.sizes == [1, 3]


async def test_the_end_leaves_nobody_waiting() -> None:
    backend = FakeBackend()
    backend.hold = threading.Event()
    async with running(backend, max_batch=2) as batcher:
        tasks = await asked(batcher, 5)
        await until_async(lambda: backend.sizes)
    outcomes = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE_S)
    backend.hold.set()
    assert all(isinstance(outcome, NotReady) for outcome in outcomes)
    with pytest.raises(NotReady):
        await batcher.submit(pixels(0))


async def test_a_batcher_that_breaks_is_logged_and_leaves_nobody_waiting(caplog: pytest.LogCaptureFixture) -> None:
    def broken(size: int, seconds: float) -> None:
        raise ZeroDivisionError

    batcher = Batcher(FakeBackend(), Limits(2, 8), on_batch=broken)
    task = asyncio.create_task(batcher.run())
    with pytest.raises(NotReady):
        await batcher.submit(pixels(1))
    await asyncio.wait([task])
    assert isinstance(error := task.exception(), ExceptionGroup)
    assert error.subgroup(ZeroDivisionError)
    assert "the batcher has ended" in caplog.text


# One asker: how many turns of the event loop it comes later than the one before, and whether it hangs up again.
ASKERS = st.lists(st.tuples(st.integers(0, 3), st.booleans()), min_size=1, max_size=40)


@settings(max_examples=150)
@given(ASKERS, st.integers(1, 8), st.integers(1, 3), st.sets(st.integers(0, 39), max_size=3), st.booleans())
def test_every_accepted_job_gets_exactly_one_outcome(
    askers: list[tuple[int, bool]], max_batch: int, runs: int, culprits: set[int], stopped: bool
) -> None:
    """Arrivals, hang-ups, a model that fails on some images, a service that stops: nobody is lost or mixed up."""
    backend = FakeBackend(guarded=True)
    backend.fails = min(culprits, default=None)
    backend.silent = max(culprits, default=None)
    answered: list[int] = []

    async def ask(batcher: Batcher, value: int) -> Scored:
        try:
            return await batcher.submit(pixels(value))
        finally:
            answered.append(value)

    async def play() -> list[Scored | BaseException]:
        tasks = []
        async with running(backend, max_batch=max_batch, runs=runs) as batcher:
            for value, (gap, hangs_up) in enumerate(askers):
                for _ in range(gap):
                    await asyncio.sleep(0)
                tasks.append(asyncio.create_task(ask(batcher, value)))
                if hangs_up:
                    await asyncio.sleep(0)
                    tasks[-1].cancel()
            if not stopped:
                await asyncio.wait(tasks)
        return await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), DEADLINE_S)

    outcomes = asyncio.run(play())
    assert sorted(set(answered)) == sorted(answered)
    assert all(1 <= size <= max_batch for size in backend.sizes)
    for value, (outcome, (_, hangs_up)) in enumerate(zip(outcomes, askers, strict=True)):
        if isinstance(outcome, Scored):
            assert (outcome.probability, outcome.guard_score) == pytest.approx((value / 255, 10 * value / 255))
        elif isinstance(outcome, BackendFault):
            assert value in {backend.fails, backend.silent}
        elif isinstance(outcome, NotReady):
            assert stopped
        else:
            assert isinstance(outcome, asyncio.CancelledError)
            assert hangs_up or stopped


async def test_heatmaps_go_to_those_who_asked_and_are_computed_for_no_others() -> None:
    async with busy() as (backend, batcher, free):
        backend.heatmap = np.full((3, 4), 0.5, np.float32)
        plain, explained = (asyncio.create_task(batcher.submit(pixels(7), explain=wish)) for wish in (False, True))
        await asyncio.sleep(0)
        free.set()
        assert (await plain).heatmap is None
        heatmap = (await explained).heatmap
        assert heatmap is not None
        assert heatmap.shape == (3, 4)
        assert (backend.sizes, backend.explained) == ([1, 2], [False, True])
        await batcher.submit(pixels(7))
        assert backend.explained[-1] is False


async def test_a_batch_that_fails_is_tried_again_with_each_ones_own_wish() -> None:
    async with busy() as (backend, batcher, free):
        backend.fails = 3
        plain, explained, culprit = (
            asyncio.create_task(batcher.submit(pixels(value), explain=wish))
            for value, wish in ((1, False), (2, True), (3, True))
        )
        await asyncio.sleep(0)
        free.set()
        assert (await plain).heatmap is None
        assert (await explained).heatmap is not None
        with pytest.raises(BackendFault):
            await culprit
        assert backend.explained == [False, True, False, True, True]
