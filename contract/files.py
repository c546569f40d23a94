"""Files that are complete or absent, whenever the process or the machine stops."""

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

# How a system says that folders cannot be flushed there, as PostgreSQL's fsync_fname() has it; Windows: EACCES.
_NEED_NO_FLUSH = {errno.EACCES, errno.EISDIR, errno.EBADF, errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}


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
