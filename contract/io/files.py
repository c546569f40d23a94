"""Files that are complete or absent, whenever the process or the machine stops; and locks, for what one process at a
time writes.
"""

import contextlib
import errno
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

# How a system says that folders cannot be flushed there, as PostgreSQL's fsync_fname() has it; Windows: EACCES.
_NEED_NO_FLUSH = {errno.EACCES, errno.EISDIR, errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
# How a filesystem says that it has no locks.
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
_HOLDER_BYTES = 200


@contextmanager
def replacing(
    path: Path, *, partial: Path | None = None, mode: int = 0o666, durable: bool = True
) -> Iterator[BinaryIO]:
    """A new file, open for writing, that takes the place of a path when the block ends: no process reads a part of it.

    Args:
        path: in a folder that exists.
        partial: where it is written, on the same filesystem; must not exist. None: a unique name beside ``path``.
        mode: permissions of the new file, less the umask.
        durable: whether a power cut loses neither content nor name once the block has ended. False for what can be
            made again.

    Raises:
        OSError: it was not written, and ``path`` is what it was before; or the folder cannot be flushed to the disk.
    """
    partial = partial or path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    try:
        with open(partial, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        partial.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            partial.unlink()
        raise
    if durable:
        sync_folder(path.parent)


def write_file(path: Path, content: bytes, *, durable: bool = True) -> None:
    """Write or replace a file with this content; see ``replacing``."""
    with replacing(path, durable=durable) as file:
        file.write(content)


def put_in_place(partial: Path, path: Path) -> None:
    """Rename a complete file to a path of the same filesystem; a power cut then loses neither content nor name.

    Raises:
        OSError: it was not renamed, or the folder cannot be flushed to the disk.
    """
    with partial.open("r+b") as file:  # Windows flushes only what may be written
        os.fsync(file.fileno())
    partial.replace(path)
    sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Flush the entries of a folder to the disk: without this, a new name in it may not survive a power cut.

    Where a system cannot do it, nothing is raised.

    Raises:
        OSError: the disk fails, or the folder is gone.
    """
    try:
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        if error.errno not in _NEED_NO_FLUSH:
            raise


class InUse(Exception):
    """Another process has the lock. The message names it: process id, host and since when."""


class LockFile:
    """A file that exists for a lock alone; held from its creation until ``close``, or the end of the process in
    whatever way. One that is left over does not count. It names its holder.

    Over NFS and SMB the lock holds between machines, unless they are mounted without (``nolock``, ``local_lock``,
    ``nobrl``).

    Args:
        path: of the file.
        mode: permissions of a new file, less the umask.
        is_kept: whether the file stays when the lock ends.
        is_required: whether to raise where the filesystem has no locks. If not, two processes are not noticed there.

    Raises:
        InUse: another process has it.
        OSError: the file cannot be opened, or not locked.
    """

    def __init__(self, path: Path, *, mode: int = 0o666, is_kept: bool = False, is_required: bool = False) -> None:
        self._path, self._is_kept = path, is_kept
        while True:
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT, mode)
            try:
                self._lock(is_required)
                if self._is_in_place():
                    break
            except BaseException:
                os.close(self._descriptor)
                raise
            os.close(self._descriptor)  # its holder has just released it, and deleted the file
        self._name_holder()

    def close(self) -> None:
        """Let others have it."""
        if not self._is_kept:
            with contextlib.suppress(OSError):
                self._path.unlink()
        os.close(self._descriptor)

    def _lock(self, is_required: bool) -> None:
        try:
            lock(self._descriptor)
        except InUse:
            holder = _printable(os.pread(self._descriptor, _HOLDER_BYTES, 0))
            raise InUse(holder or "a process that is not named") from None
        except OSError as error:
            if is_required or error.errno not in _NO_LOCKS:
                raise

    def _is_in_place(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _name_holder(self) -> None:
        since = datetime.now(UTC).isoformat(timespec="seconds")
        with contextlib.suppress(OSError):  # a full disk: the lock is held all the same
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"process {os.getpid()} on {socket.gethostname()} since {since}\n".encode())


def lock(descriptor: int, *, waits: bool = False) -> None:
    """Lock an open file or folder until its descriptor is closed, in whatever way the process ends.

    Args:
        descriptor: of the file; over NFS, open for writing. That of a folder on a network drive holds between the
            processes of one machine only.
        waits: whether to wait for another process that has it.

    Raises:
        InUse: another process has it.
        OSError: it cannot be locked; its filesystem has no locks, for example.
    """
    if fcntl is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise InUse from None


def _printable(content: bytes) -> str:
    return "".join(letter for letter in content.decode(errors="replace") if letter.isprintable())
