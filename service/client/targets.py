"""Which files were meant on the command line, and their bytes when their turn comes."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.problems import BODY_TOO_LARGE, EMPTY_FILE, NO_IMAGES, UNREADABLE_FILE, Kind

SUFFIXES = (".jpg", ".jpeg", ".png")


class Unread(Exception):
    """Something that was named and is not asked for: of which kind, and why in words."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Target:
    """A file to be read, or something named in whose place there is none."""

    path: str
    unread: Unread | None = None

    @property
    def name(self) -> str:
        """The path as it can be written anywhere: what is no UTF-8 in it stands there as its hexadecimal."""
        return os.fsencode(self.path).decode(errors="backslashreplace")


def find_targets(named: Sequence[Path]) -> Iterator[Target]:
    """Files as they are named, whatever they are called; folders with all that is in and below them, in order of names.

    In folders: regular files called ``SUFFIXES`` in any case. Hidden files and folders are passed by, and links to
    folders are not followed, so nothing is read twice or without an end.
    """
    for path in named:
        if not path.is_dir():
            yield Target(str(path))
            continue
        found = False
        for target in _walk(path):
            found = True
            yield target
        if not found:
            yield Target(str(path), Unread(NO_IMAGES, f"no file in it is called {', '.join(SUFFIXES)}"))


def read_target(target: Target, max_bytes: int) -> bytes:
    """The bytes of a file.

    Raises:
        Unread: there is no file, it cannot be opened, has no bytes or more than ``max_bytes``.
    """
    if target.unread:
        raise target.unread
    try:
        with Path(target.path).open("rb") as file:
            data = file.read(max_bytes + 1)
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise Unread(UNREADABLE_FILE, getattr(error, "strerror", None) or "the file cannot be opened") from None
    if not data:
        raise Unread(EMPTY_FILE, "the file has no bytes")
    if len(data) > max_bytes:
        raise Unread(BODY_TOO_LARGE, f"the file has more than {max_bytes} bytes (XRAY_MAX_BODY_BYTES)")
    return data


def _walk(folder: Path) -> Iterator[Target]:
    failed: list[OSError] = []
    for where, folders, files in os.walk(folder, onerror=failed.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Target(os.path.join(where, name)) for name in sorted(files) if _is_image(where, name))  # noqa: PTH118
        yield from _unlisted(failed)
    yield from _unlisted(failed)


def _is_image(where: str, name: str) -> bool:
    return not name.startswith(".") and name.lower().endswith(SUFFIXES) and not _is_special(Path(where, name))


def _is_special(path: Path) -> bool:
    """A pipe or device, which would be read without an end. A broken link is none: that it is broken will be told."""
    return path.exists() and not path.is_file()


def _unlisted(failed: list[OSError]) -> Iterator[Target]:
    while failed:
        error = failed.pop()
        why = error.strerror or "the folder cannot be opened"
        yield Target(str(error.filename), Unread(UNREADABLE_FILE, why))
