"""Files that may change while the service runs, looked at now and then."""

import time
from collections.abc import Callable
from pathlib import Path

Clock = Callable[[], float]


class Watched:
    """Tells once of every change of some files; one that is not there counts as a state of its own.

    Looked at when asked, from the event loop: a few microseconds, where a watcher of the system would be one more thing
    that fails on a network drive or in a container.

    Args:
        paths: of the files.
        every_s: seconds from one look to the next, at least.
        clock: seconds that only go up.
    """

    def __init__(self, *paths: Path, every_s: float, clock: Clock = time.monotonic) -> None:
        self._paths, self._every_s, self._clock = paths, every_s, clock
        self._looked, self._seen = clock(), self._look()

    def changed(self) -> bool:
        """Whether they have changed since this last said so, or since the start."""
        if self._clock() - self._looked < self._every_s:
            return False
        self._looked, before = self._clock(), self._seen
        self._seen = self._look()
        return self._seen != before

    def _look(self) -> list[tuple[int, ...]]:
        return [_signature(path) for path in self._paths]


def _signature(path: Path) -> tuple[int, ...]:
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)
