"""The compute threads, one per CPU, shared by inference and decoding; inference takes priority.

With separate thread pools, twice as many threads as CPUs would compete for the CPUs, and worse, for the GIL: a thread
that is descheduled while it holds the GIL blocks the event loop, and with it every request.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, ParamSpec, TypeVar

from service.inference.threads.cpus import lower_priority
from service.inference.threads.deliveries import Awaited, Deliveries

P = ParamSpec("P")
T = TypeVar("T")


class StartedThreads(ThreadPoolExecutor):
    """A thread pool that starts all its threads at once. The base class starts each for the task that first needs it,
    which fails if it cannot.

    Args:
        count: of the threads, 1 or more.
        name: prefix of their names.
        initializer: called by each thread first; it must not raise.

    Raises:
        RuntimeError: the machine allows no more threads.
    """

    def __init__(self, count: int, name: str, initializer: Callable[[], object] | None = None) -> None:
        super().__init__(count, thread_name_prefix=name, initializer=initializer)
        all_run = threading.Barrier(count + 1)
        try:
            for _ in range(count):
                self.submit(all_run.wait)  # a thread that waits takes no second task, so each task starts one
        except RuntimeError:
            all_run.abort()
            self.shutdown(wait=False)
            raise
        all_run.wait()


_Task = tuple[Future[Any] | Awaited[Any], Callable[[], Any]]


async def run_in(executor: Executor, call: Callable[[], T]) -> T:
    """Await a call in a thread of an executor. If the awaiting task is cancelled before the call has begun, it is not
    made.
    """
    if isinstance(executor, _QueueExecutor):
        return await executor.awaitable(call)
    return await asyncio.get_running_loop().run_in_executor(executor, call)


class Pool:
    """A thread pool with two executors, ``model`` and ``decoders``.

    A free thread runs the oldest task of ``model``, or, if there is none, the oldest of ``decoders``. So decoded images
    are completed before further images are decoded.

    Args:
        threads: 1 or more; ``size`` later.
    """

    def __init__(self, threads: int) -> None:
        self.size = threads
        # ThreadPoolExecutor joins its threads at exit. That is needed: a process that exits while a thread is inside
        # onnxruntime dies with SIGABRT, and the exit code is lost.
        self._threads = StartedThreads(threads, "compute", lower_priority)
        deliveries = Deliveries(lambda: len(self.model) + len(self.decoders))
        self.model = _QueueExecutor(self._request_thread, deliveries)
        self.decoders = _QueueExecutor(self._request_thread, deliveries)

    def shutdown(self) -> None:
        """Accept no more tasks and cancel those that are queued. Running tasks go on; this does not wait for them."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for queue in (self.model, self.decoders):
            while task := queue.pop():
                task[0].cancel()

    def _request_thread(self) -> None:
        self._threads.submit(self._run_next)

    def _run_next(self) -> None:
        """Run the task that is first now, which may differ from the one that requested the thread."""
        _run(self.model.pop() or self.decoders.pop())  # no variable: see below


class _QueueExecutor(Executor):
    """A queue of tasks of the same priority, as an executor.

    Args:
        request_thread: called after each submission; makes a thread run one task.
        deliveries: takes the results that are awaited to the event loop.
    """

    def __init__(self, request_thread: Callable[[], None], deliveries: Deliveries) -> None:
        self._request_thread, self._deliveries = request_thread, deliveries
        self._tasks: deque[_Task] = deque()

    def __len__(self) -> int:
        """Tasks that no thread has taken yet."""
        return len(self._tasks)

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """Queue a call.

        Raises:
            RuntimeError: the pool is shut down.
        """
        future: Future[T] = Future()
        self._tasks.append((future, lambda: fn(*args, **kwargs)))
        self._request_thread()
        return future

    def awaitable(self, call: Callable[[], T]) -> "asyncio.Future[T]":
        """Queue a call whose result is awaited in the running event loop.

        Raises:
            RuntimeError: the pool is shut down.
        """
        awaited = Awaited[T](self._deliveries)
        self._tasks.append((awaited, call))
        self._request_thread()
        return awaited.future

    def pop(self) -> _Task | None:
        """Remove and return the oldest task; None if there is none."""
        try:
            return self._tasks.popleft()
        except IndexError:  # no check beforehand: another thread could take the task in between
            return None


def _run(task: _Task | None) -> None:
    """Run a task, if there is one. Its exception refers to this frame and its callers by the traceback. So none of
    their variables may refer to the future then: that would be a reference cycle, and keep images and models in memory.
    """
    if task is None:
        return
    future, call = task
    del task
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:
        future.set_exception(error)
        del future, call
    else:
        future.set_result(result)
