"""Threads that compute, no more of them than CPUs: for decoding, and before that for the model.

Were there threads for either, twice as many as CPUs would compete for them, and what is worse, for Python's lock: one
that is put aside while it holds that lock keeps the event loop waiting for its turn, and with it every request.
"""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, ParamSpec, TypeVar

from service.cpus import step_back

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
        self._tasks: dict[_Rank, deque[_Task]] = {}
        self._changed = threading.Condition()
        self._open = True
        self.model, self.decoders = _Rank(self), _Rank(self)
        for number in range(threads):
            threading.Thread(target=self._work, name=f"compute_{number}", daemon=True).start()

    def shutdown(self) -> None:
        """Take no more tasks. What was not begun is cancelled; what was is ended, and not waited for."""
        with self._changed:
            self._open = False
            for tasks in self._tasks.values():
                for future, _ in tasks:
                    future.cancel()
                tasks.clear()
            self._changed.notify_all()

    def admit(self, rank: "_Rank") -> None:
        """Take tasks of this rank, too: after those of all that were admitted before."""
        self._tasks[rank] = deque()

    def put(self, rank: "_Rank", call: Callable[[], T]) -> "Future[T]":
        """Have this called."""
        future: Future[T] = Future()
        with self._changed:
            if not self._open:
                raise RuntimeError("the pool is shut down")
            self._tasks[rank].append((future, call))
            self._changed.notify()
        return future

    def _work(self) -> None:
        step_back()
        while task := self._take():
            future, call = task
            if not future.set_running_or_notify_cancel():
                continue
            try:
                result = call()
            except BaseException as error:
                future.set_exception(error)
            else:
                future.set_result(result)
            del task, future, call

    def _take(self) -> _Task | None:
        """The next task; None at the end."""
        with self._changed:
            while self._open:
                for tasks in self._tasks.values():
                    if tasks:
                        return tasks.popleft()
                self._changed.wait()
        return None


class _Rank(Executor):
    """The tasks of one rank, as an executor."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        pool.admit(self)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Have a thread call this.

        Raises:
            RuntimeError: the pool is shut down.
        """
        return self._pool.put(self, lambda: fn(*args, **kwargs))
