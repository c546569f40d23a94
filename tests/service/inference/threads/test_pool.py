"""The laws of the pool: model tasks first, each result to its caller, nothing starts after shutdown."""

import asyncio
import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError
from functools import partial

import pytest

from service.inference.threads import deliveries
from service.inference.threads.pool import Pool, run_in
from tests.commands import run
from tests.waiting import DEADLINE_S, until_async


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(1)
    yield made
    made.shutdown()


def blocked(pool: Pool) -> threading.Event:
    """Keep the only thread of a pool busy until the event is set."""
    started, free = threading.Event(), threading.Event()

    def hold() -> None:
        started.set()
        free.wait(DEADLINE_S)

    pool.decoders.submit(hold)
    assert started.wait(DEADLINE_S)
    return free


def test_model_tasks_run_first_and_each_queue_in_order(pool: Pool) -> None:
    free, ran = blocked(pool), list[str]()
    tasks = [pool.decoders.submit(ran.append, name) for name in ("a", "b")]
    tasks += [pool.model.submit(ran.append, name) for name in ("1", "2")]
    free.set()
    for task in tasks:
        task.result(DEADLINE_S)
    assert ran == ["1", "2", "a", "b"]


def test_a_failed_task_raises_in_its_future_and_the_thread_goes_on(pool: Pool) -> None:
    failed = pool.decoders.submit(lambda: 1 // 0)
    assert isinstance(failed.exception(DEADLINE_S), ZeroDivisionError)
    assert pool.model.submit(divmod, 7, 2).result(DEADLINE_S) == (3, 1)


def test_a_task_cancelled_before_its_start_does_not_run(pool: Pool) -> None:
    free, ran = blocked(pool), list[str]()
    assert pool.decoders.submit(ran.append, "cancelled").cancel()
    free.set()
    pool.decoders.submit(ran.append, "done").result(DEADLINE_S)
    assert ran == ["done"]


def test_as_many_tasks_run_at_a_time_as_there_are_threads() -> None:
    pool, meeting = Pool(3), threading.Barrier(3)
    tasks = [queue.submit(meeting.wait, DEADLINE_S) for queue in (pool.model, pool.decoders, pool.model)]
    assert sorted(task.result(DEADLINE_S) for task in tasks) == [0, 1, 2]
    pool.shutdown()


def test_shutdown_cancels_queued_tasks_and_lets_running_ones_end() -> None:
    pool = Pool(1)
    free = blocked(pool)
    waiting = [pool.model.submit(print), pool.decoders.submit(print)]
    pool.shutdown()
    free.set()
    for task in waiting:
        with pytest.raises(CancelledError):
            task.result(DEADLINE_S)
    with pytest.raises(RuntimeError):
        pool.model.submit(print)


def test_a_process_does_not_exit_while_a_task_runs() -> None:
    """With a model call, the process would die with SIGABRT."""
    code = (
        "import threading, time; from service.inference.threads.pool import Pool\n"
        "pool, started = Pool(2), threading.Event()\n"
        "def work(): started.set(); time.sleep(0.5); print('ended')\n"
        "pool.model.submit(work); started.wait(); pool.shutdown()"
    )
    ended = run([sys.executable, "-c", code])
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="threads have their own nice value on Linux only")
def test_its_threads_and_only_they_have_a_lower_priority(pool: Pool) -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert pool.decoders.submit(nice).result(DEADLINE_S) == min(19, nice() + 5)


@pytest.mark.anyio
async def test_a_call_is_awaited_and_so_is_its_failure(pool: Pool) -> None:
    assert await run_in(pool.model, lambda: threading.current_thread().name) != threading.current_thread().name
    with pytest.raises(ZeroDivisionError):
        await run_in(pool.decoders, lambda: 1 // 0)


@pytest.mark.anyio
async def test_a_call_that_nobody_awaits_any_more_is_not_made(pool: Pool) -> None:
    free, ran = blocked(pool), list[str]()
    waiting = [asyncio.create_task(run_in(pool.decoders, partial(ran.append, name))) for name in ("left", "stays")]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait([waiting[0]])
    free.set()
    await waiting[1]
    assert ran == ["stays"]


@pytest.mark.anyio
async def test_the_result_of_a_call_whose_caller_has_left_is_dropped(pool: Pool) -> None:
    begun, free = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        free.wait(DEADLINE_S)

    task = asyncio.create_task(run_in(pool.decoders, hold))
    await until_async(begun.is_set)
    task.cancel()
    await asyncio.wait([task])
    free.set()
    assert await run_in(pool.decoders, lambda: 7) == 7  # the thread goes on


@pytest.mark.anyio
async def test_shutdown_cancels_an_awaited_call() -> None:
    pool = Pool(1)
    free = blocked(pool)
    task = asyncio.create_task(run_in(pool.model, print))
    await asyncio.sleep(0)
    pool.shutdown()
    free.set()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results are held for as long as a later one is sure to come."""
    monkeypatch.setattr(deliveries, "_HELD_S", 10 * DEADLINE_S)


@pytest.mark.anyio
@pytest.mark.usefixtures("patient")
async def test_while_tasks_wait_their_results_come_together(pool: Pool) -> None:
    free, ran, seen = blocked(pool), list[int](), list[int]()
    calls = [run_in(pool.decoders, partial(ran.append, number)) for number in range(12)]
    tasks = [asyncio.create_task(call) for call in calls]
    for task in tasks:
        task.add_done_callback(lambda _: seen.append(len(ran)))
    await asyncio.sleep(0)
    free.set()
    await asyncio.wait_for(asyncio.gather(*tasks), DEADLINE_S)
    assert seen[0] >= 6
    assert ran == list(range(12))


@pytest.mark.anyio
@pytest.mark.usefixtures("patient")
async def test_a_result_is_not_held_for_calls_that_nobody_awaits_any_more(pool: Pool) -> None:
    free = blocked(pool)
    first, *others = [asyncio.create_task(run_in(pool.decoders, lambda: 7)) for _ in range(6)]
    await asyncio.sleep(0)
    for task in others:
        task.cancel()
    await asyncio.wait(others)
    free.set()
    assert await asyncio.wait_for(first, DEADLINE_S) == 7


@pytest.mark.anyio
async def test_a_result_is_not_held_while_a_later_task_takes_its_time(pool: Pool) -> None:
    free, later = blocked(pool), threading.Event()
    first = asyncio.create_task(run_in(pool.decoders, lambda: 7))
    others = [asyncio.create_task(run_in(pool.decoders, partial(later.wait, DEADLINE_S))) for _ in range(6)]
    await asyncio.sleep(0)
    free.set()
    assert await asyncio.wait_for(first, DEADLINE_S / 2) == 7
    later.set()
    assert all(await asyncio.gather(*others))


def test_a_result_for_an_event_loop_that_has_ended_harms_nothing(pool: Pool) -> None:
    free = blocked(pool)

    async def begin() -> None:
        task = asyncio.create_task(run_in(pool.decoders, lambda: 1))
        await asyncio.sleep(0)
        del task

    loop = asyncio.new_event_loop()
    loop.run_until_complete(begin())
    for task in asyncio.all_tasks(loop):
        task.cancel()
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    free.set()
    assert pool.model.submit(divmod, 7, 2).result(DEADLINE_S) == (3, 1)
