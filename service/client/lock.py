"""Locks on what a run writes; one ends with the process that holds it, in whatever way that ends."""

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: there two runs on one file are not noticed
    fcntl = None  # type: ignore[assignment]


class InUse(Exception):
    """Another process has the lock."""


class FileLock:
    """Held from its creation until ``release``, or the end of the process.

    Args:
        path: of a file that exists for this lock alone. One that is left over does not count.

    Raises:
        InUse: another process has it.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        while True:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            try:
                lock(self._descriptor)
                if self._is_in_place():
                    return
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)  # its holder has just released it, and deleted the file

    def release(self) -> None:
        """Let others have it, and delete the file."""
        with contextlib.suppress(OSError):
            self._path.unlink()
        os.close(self._descriptor)

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False


def lock(descriptor: int) -> None:
    """Lock an open file or folder until its descriptor is closed, in whatever way the process ends.

    Raises:
        InUse: another process has it.
        OSError: it cannot be locked. Where its filesystem has no locks at all, nothing is raised and nothing held.
    """
    if fcntl is None:
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse from None
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS}:
            raise
        # A filesystem without locks: two runs are not noticed.
