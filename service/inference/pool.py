"""Threads that compute, no more of them than CPUs: for decoding, and before that for the model.

Were there threads for either, twice as many as CPUs would compete for them, and what is worse, for Python's lock: one
that is put aside while it holds that lock keeps the event loop waiting for its turn, and with it every request.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from service.inference.cpus import step_back

_Task = tuple[Future[Any], Callable[[], Any]]
P = ParamSpec("P")
T = TypeVar("T")


class Pool:
    """So many threads.

    ``model`` and ``decoders`` are executors of tasks for them: each thread that gets free takes the oldest task of the
    model; where there is none, the oldest of the decoders. So what is begun is ended first.

    Args:
        threads: 1 or more.
    """

    def __init__(self, threads: int) -> None:
        # Its threads are waited for when the process ends. It must not end under one that is inside onnxruntime: that
        # takes the whole process down with SIGABRT, and a good exit code with it.
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="compute", initializer=step_back)
        self.model, self.decoders = _Rank(self._one_more), _Rank(self._one_more)

    def shutdown(self) -> None:
        """Take no more tasks. What was not begun is cancelled; what was is ended, and not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for rank in (self.model, self.decoders):
            while task := rank.take():
                task[0].cancel()

    def _one_more(self) -> None:
        self._threads.submit(self._do_one)

    def _do_one(self) -> None:
        """Do what is first now, which need not be what was first when this was asked for."""
        if task := self.model.take() or self.decoders.take():
            _do(*task)


class _Rank(Executor):
    """The tasks of one rank, as an executor."""

    def __init__(self, one_more: Callable[[], None]) -> None:
        self._one_more = one_more
        self._tasks: deque[_Task] = deque()

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have a thread call this.

        Raises:
            RuntimeError: the pool is shut down.
        """
        future: Future[T] = Future()
        self._tasks.append((future, lambda: fn(*args, **kwargs)))
        self._one_more()
        return future

    def take(self) -> _Task | None:
        """The oldest."""
        try:
            return self._tasks.popleft()
        except IndexError:  # asked for first, it might be gone by then
            return None


def _do(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
    else:
        future.set_result(result)
