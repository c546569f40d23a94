"""Detects changes of files while the service runs, by polling."""

import time
from collections.abc import Callable
from pathlib import Path

Clock = Callable[[], float]


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
        self._fault: str | None = None

    def changed(self) -> bool:
        """Whether the files have changed since the last call that reported a change, or since the start."""
        if self._clock() - self._checked_at < self._interval_s:
            return False
        self._checked_at, before = self._clock(), self._signatures
        self._signatures = self._current()
        return self._signatures != before

    def note(self, fault: str | None) -> bool:
        """Note why what the files hold cannot be used; None: it can. After a fault the next check reports a change in
        any case: the cause may lie outside of the files, such as the permissions of their folder or a network drive.

        Returns:
            Whether this fault is another than the last one noted, and so worth a line in the log.
        """
        is_new, self._fault = fault not in (None, self._fault), fault
        if fault is not None:
            self._signatures = []
        return is_new

    def _current(self) -> list[tuple[int, ...]]:
        return [_signature(path) for path in self._paths]


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
