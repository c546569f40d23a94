"""Files that change while a process runs, such as keys and certificates: noticed by polling, and read again. The DICOM
node uses this, too.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

Clock = Callable[[], float]
T = TypeVar("T")


class WatchedFiles:
    """Reports each change of some files once. A file that appears or disappears has changed.

    ``changed`` calls stat from the event loop, which takes a few microseconds. A file-system watcher (inotify) would
    not work reliably on network drives and in containers.

    Args:
        paths: the files.
        interval_s: shortest time between two checks, in seconds.
        clock: monotonic clock, in seconds.
    """

    def __init__(self, *paths: Path, interval_s: float, clock: Clock = time.monotonic) -> None:
        self._paths, self._interval_s, self._clock = paths, interval_s, clock
        self._checked_at, self._signatures = clock(), self._current()

    def changed(self) -> bool:
        """Whether the files have changed since the last call that reported a change, or since the start."""
        if self._clock() - self._checked_at < self._interval_s:
            return False
        self._checked_at, before = self._clock(), self._signatures
        self._signatures = self._current()
        return self._signatures != before

    def forget(self) -> None:
        """Report a change at the next check in any case: what the files hold could not be used. The cause may lie
        outside of them, such as the permissions of their folder or a network drive.
        """
        self._signatures = []

    def _current(self) -> list[tuple[int, ...]]:
        return [_signature(path) for path in self._paths]


class Reloaded(Generic[T]):
    """What files hold, read again when they change. While they cannot be used, what was read last stays in use.

    Args:
        watched: the files.
        read: reads them.
        faults: what ``read`` raises if they cannot be used.
        on_reload: called with what was read again.
        on_fault: called with the reason why new files cannot be used, once for each reason.

    Raises:
        Exception: what ``read`` raises: the files cannot be used now.
    """

    def __init__(
        self,
        watched: WatchedFiles,
        read: Callable[[], T],
        *,
        faults: type[Exception],
        on_reload: Callable[[T], object],
        on_fault: Callable[[str], object],
    ) -> None:
        self._watched = watched
        self._read, self._faults, self._on_reload, self._on_fault = read, faults, on_reload, on_fault
        self._latest, self._fault = read(), ""

    def current(self) -> T:
        """What was read last. May be called often, by one thread at a time."""
        if self._watched.changed():
            self._reload()
        return self._latest

    @property
    def fault(self) -> str:
        """Why the files could not be used when they were last looked at; empty: they could. By any thread."""
        return self._fault

    def _reload(self) -> None:
        try:
            self._latest = self._read()
        except self._faults as error:
            self._watched.forget()
            former, self._fault = self._fault, str(error)
            if self._fault != former:
                self._on_fault(self._fault)
            return
        self._fault = ""
        self._on_reload(self._latest)


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
