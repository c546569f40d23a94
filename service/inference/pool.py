"""The compute threads, one per CPU, shared by inference and decoding; inference takes priority.

With separate thread pools, twice as many threads as CPUs would compete for the CPUs, and worse, for the GIL: a thread
that is descheduled while it holds the GIL blocks the event loop, and with it every request.
"""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from typing import Any, Generic, ParamSpec, TypeVar

from service.inference.cpus import lower_priority

P = ParamSpec("P")
T = TypeVar("T")

_Delivery = tuple[Callable[["asyncio.Future[Any]", Any], object], "asyncio.Future[Any]", Any]
# Results are delivered to the event loop in groups of this size, or after this many seconds without a further result.
_TOGETHER, _HELD_S = 8, 0.03
# With fewer tasks waiting, every result is delivered at once: the event loop is not busy, and a client waits.
_FEW = 2


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


class _Deliveries:
    """Results on their way to the event loop, several at once while further tasks wait.

    Between two images the event loop's code leaves the CPU's caches (docs/decisions/0041-results-come-together.md). A
    result is held only while a later one is sure to come, and for twice ``_HELD_S`` if that one takes its time.

    Args:
        waiting: returns how many tasks no thread has taken yet.
    """

    def __init__(self, waiting: Callable[[], int]) -> None:
        self._waiting = waiting
        self._held: deque[_Delivery] = deque()
        self._flushes, self._is_timed = 0, False

    def expect(self, loop: asyncio.AbstractEventLoop) -> None:
        """Called in the event loop before a task is queued, and for as long as results may be held."""
        if not self._is_timed and (self._held or self._waiting() >= _FEW):
            self._is_timed = True
            loop.call_later(_HELD_S, self._expire, loop, self._flushes)

    def add(self, loop: asyncio.AbstractEventLoop, delivery: _Delivery) -> None:
        """Called by a thread with the result of its task."""
        self._held.append(delivery)
        if len(self._held) >= min(_TOGETHER, self._waiting() - _FEW + 1):
            self.flush(loop)

    def flush(self, loop: asyncio.AbstractEventLoop) -> None:
        """Deliver all held results."""
        self._flushes += 1
        with contextlib.suppress(RuntimeError):  # the event loop is closed: nobody waits
            loop.call_soon_threadsafe(self._settle)

    def _expire(self, loop: asyncio.AbstractEventLoop, flushes: int) -> None:
        self._is_timed = False
        if self._flushes == flushes:
            self._settle()
        self.expect(loop)

    def _settle(self) -> None:
        for _ in range(len(self._held)):  # those that come meanwhile have a call of their own
            settle, *result = self._held.popleft()
            settle(*result)


class _Awaited(Generic[T]):
    """A result that a thread sets and a coroutine awaits: ``concurrent.futures.Future`` without its locks."""

    __slots__ = ("_deliveries", "_loop", "future")

    def __init__(self, deliveries: _Deliveries) -> None:
        self._loop, self._deliveries = asyncio.get_running_loop(), deliveries
        self.future: asyncio.Future[T] = self._loop.create_future()
        deliveries.expect(self._loop)

    def set_running_or_notify_cancel(self) -> bool:
        """Whether the result is still wanted."""
        if is_left := self.future.cancelled():
            self._deliveries.flush(self._loop)  # others may be held for the sake of this one
        return not is_left

    def set_result(self, result: T) -> None:
        """Deliver the result to the event loop."""
        self._deliveries.add(self._loop, (_set_result, self.future, result))

    def set_exception(self, error: BaseException) -> None:
        """Deliver an exception to the event loop."""
        self._deliveries.add(self._loop, (_set_exception, self.future, error))

    def cancel(self) -> bool:
        """Cancel the future, in the event loop."""
        self._deliveries.add(self._loop, (_cancel, self.future, None))
        return True


def _set_result(future: "asyncio.Future[T]", result: T) -> None:
    if not future.done():  # the caller may have given up
        future.set_result(result)


def _set_exception(future: "asyncio.Future[T]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)


def _cancel(future: "asyncio.Future[T]", _: None) -> None:
    future.cancel()


_Task = tuple[Future[Any] | _Awaited[Any], Callable[[], Any]]


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
        deliveries = _Deliveries(lambda: len(self.model) + len(self.decoders))
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

    def __init__(self, request_thread: Callable[[], None], deliveries: _Deliveries) -> None:
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
        awaited = _Awaited[T](self._deliveries)
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
