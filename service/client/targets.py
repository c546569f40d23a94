"""Finds the image files named on the command line, and reads them."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from contract.formats import SUFFIXES
from service.problems import BODY_TOO_LARGE, EMPTY_FILE, NO_IMAGES, UNREADABLE_FILE, Kind


class TargetError(Exception):
    """A file or folder that cannot be submitted: ``kind`` of problem; the message is the reason."""

    def __init__(self, kind: Kind, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Target:
    """An image file; or a path that was named but holds none, with its ``error``."""

    path: str
    error: TargetError | None = None

    @property
    def name(self) -> str:
        """The path as valid UTF-8: bytes that are not UTF-8 are written as backslash escapes in hexadecimal."""
        return os.fsencode(self.path).decode(errors="backslashreplace")


def find_targets(named: Sequence[Path], on_skipped: Callable[[str], None] = lambda _: None) -> Iterator[Target]:
    """Expand files and folders, in order. A file that is named is always included, with any suffix.

    From a folder and its subfolders: regular files with one of ``SUFFIXES``, upper or lower case, sorted by name.
    Hidden files and folders are skipped. Links to folders are not followed, so that no file is included twice and no
    loop occurs. Other files are skipped too; ``on_skipped`` is called with the path of each.
    """
    for path in named:
        if not os.path.isdir(path):  # noqa: PTH112  Path.is_dir raises where a folder above may not be entered
            yield Target(str(path))
            continue
        found = False
        for target in _walk(path, on_skipped):
            found = True
            yield target
        if not found:
            reason = f"the folder contains no files with the suffix {', '.join(SUFFIXES)}"
            yield Target(str(path), TargetError(NO_IMAGES, reason))


def read_target(target: Target, max_bytes: int) -> bytes:
    """The bytes of a file.

    Raises:
        TargetError: there is no file, it cannot be opened, it is empty, or it has more than ``max_bytes`` bytes.
    """
    if target.error:
        raise target.error
    try:
        with Path(target.path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size or max_bytes  # a pipe has none
            # Not room for the limit: that would be mapped anew for each file, at several times the cost of reading it.
            data = file.read(min(size, max_bytes) + 1)
    except (OSError, ValueError) as error:  # ValueError: an invalid file name
        raise TargetError(UNREADABLE_FILE, getattr(error, "strerror", None) or "the file cannot be opened") from None
    if not data:
        raise TargetError(EMPTY_FILE, "the file is empty")
    if len(data) > max_bytes:
        raise TargetError(BODY_TOO_LARGE, f"the file has more than {max_bytes} bytes (XRAY_MAX_BODY_BYTES)")
    return data


def _walk(folder: Path, on_skipped: Callable[[str], None]) -> Iterator[Target]:
    errors: list[OSError] = []
    for parent, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(name for name in files if not name.startswith(".")):
            path = os.path.join(parent, name)  # noqa: PTH118  a name need not be valid UTF-8
            if _is_image(path):
                yield Target(path)
            else:
                on_skipped(path)
        yield from _unreadable_folders(errors)
    yield from _unreadable_folders(errors)


def _is_image(path: str) -> bool:
    return path.lower().endswith(SUFFIXES) and not _is_special(path)


def _is_special(path: str) -> bool:
    """Whether this is a pipe or device, which might never end. What cannot be looked at (a broken link, a loop of
    links, a folder that may not be entered) is not: reading it reports the error.
    """
    try:
        return not stat.S_ISREG(os.stat(path).st_mode)  # noqa: PTH116  a name need not be valid UTF-8
    except OSError:
        return False


def _unreadable_folders(errors: list[OSError]) -> Iterator[Target]:
    while errors:
        error = errors.pop()
        reason = error.strerror or "the folder cannot be opened"
        yield Target(str(error.filename), TargetError(UNREADABLE_FILE, reason))
