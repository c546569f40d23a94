"""The pool's laws: the model's tasks before the decoders', each outcome its asker's, nothing begun after the end."""

import os
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import CancelledError

import pytest

from service.inference.pool import Pool
from tests.commands import run
from tests.waiting import DEADLINE_S


@pytest.fixture
def pool() -> Iterator[Pool]:
    made = Pool(1)
    yield made
    made.shutdown()


def held(pool: Pool) -> threading.Event:
    """Keep the one thread of a pool busy until this is set."""
    begun, free = threading.Event(), threading.Event()

    def hold() -> None:
        begun.set()
        free.wait(DEADLINE_S)

    pool.decoders.submit(hold)
    assert begun.wait(DEADLINE_S)
    return free


def test_the_model_s_tasks_come_first_and_each_kind_in_its_order(pool: Pool) -> None:
    free, seen = held(pool), list[str]()
    tasks = [pool.decoders.submit(seen.append, name) for name in ("a", "b")]
    tasks += [pool.model.submit(seen.append, name) for name in ("1", "2")]
    free.set()
    for task in tasks:
        task.result(DEADLINE_S)
    assert seen == ["1", "2", "a", "b"]


def test_a_task_s_outcome_is_its_asker_s_and_the_thread_goes_on(pool: Pool) -> None:
    failed = pool.decoders.submit(lambda: 1 // 0)
    assert isinstance(failed.exception(DEADLINE_S), ZeroDivisionError)
    assert pool.model.submit(divmod, 7, 2).result(DEADLINE_S) == (3, 1)


def test_what_was_cancelled_before_it_began_is_not_done(pool: Pool) -> None:
    free, seen = held(pool), list[str]()
    assert pool.decoders.submit(seen.append, "cancelled").cancel()
    free.set()
    pool.decoders.submit(seen.append, "done").result(DEADLINE_S)
    assert seen == ["done"]


def test_as_many_tasks_run_at_a_time_as_there_are_threads() -> None:
    pool, meeting = Pool(3), threading.Barrier(3)
    tasks = [rank.submit(meeting.wait, DEADLINE_S) for rank in (pool.model, pool.decoders, pool.model)]
    assert sorted(task.result(DEADLINE_S) for task in tasks) == [0, 1, 2]
    pool.shutdown()


def test_the_end_cancels_what_was_not_begun_and_lets_the_rest_end() -> None:
    pool = Pool(1)
    free = held(pool)
    waiting = [pool.model.submit(print), pool.decoders.submit(print)]
    pool.shutdown()
    free.set()
    for task in waiting:
        with pytest.raises(CancelledError):
            task.result(DEADLINE_S)
    with pytest.raises(RuntimeError):
        pool.model.submit(print)


def test_a_process_does_not_end_under_what_was_begun() -> None:
    """It would be killed by SIGABRT if that were a model call."""
    code = (
        "import threading, time; from service.inference.pool import Pool; pool, begun = Pool(2), threading.Event()\n"
        "def work(): begun.set(); time.sleep(0.5); print('ended')\n"
        "pool.model.submit(work); begun.wait(); pool.shutdown()"
    )
    ended = run([sys.executable, "-c", code])
    assert (ended.returncode, ended.stdout) == (0, "ended\n"), ended.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="a thread has a nice value of its own on Linux alone")
def test_its_threads_and_they_alone_let_others_go_first(pool: Pool) -> None:
    def nice() -> int:
        return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())

    assert pool.decoders.submit(nice).result(DEADLINE_S) == min(19, nice() + 5)
