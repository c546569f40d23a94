"""Pools whose threads are there from the start: later, the machine may allow no more."""

import threading

import pytest

from service.inference.threads.pool import StartedThreads
from tests.waiting import DEADLINE_S, until

NAME = "started"


def running() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(NAME)]


def no_more(*_: object) -> None:
    raise RuntimeError("can't start new thread")


@pytest.mark.parametrize("count", [1, 3])
def test_all_threads_run_tasks_where_no_further_thread_can_be_started(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    with StartedThreads(count, NAME) as pool:
        monkeypatch.setattr(threading.Thread, "start", no_more)
        together = threading.Barrier(count)
        for task in [pool.submit(together.wait, DEADLINE_S) for _ in range(count)]:
            task.result(DEADLINE_S)
        assert len(running()) == count


def test_the_initializer_runs_in_each() -> None:
    seen = []
    with StartedThreads(2, NAME, lambda: seen.append(threading.get_ident())):
        assert len(set(seen)) == 2


def test_a_machine_that_allows_too_few_is_an_error_and_leaves_no_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    begun: list[threading.Thread] = []

    def start_one(thread: threading.Thread) -> None:
        if begun:
            no_more()
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_one)
    with pytest.raises(RuntimeError, match="thread"):
        StartedThreads(2, NAME)
    until(lambda: not running())
