"""The files below a folder or prefix, sorted, one folder in memory at a time; all of them, or those of a pattern."""

import os
import re
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from pyarrow import fs

from contract.formats import SUFFIXES
from service.bulk import s3

_MAGIC = re.compile(r"[*?[]")
_ANY_DEPTH = "**"


class NotListed(Exception):
    """A folder or prefix that cannot be listed; the message says why."""


class Folder(NamedTuple):
    """The names in a folder, sorted: its folders without links, and its files without special ones."""

    folders: list[str]
    files: list[str]


List = Callable[[str], Folder]


def is_pattern(place: str) -> bool:
    """Whether a path or URI is a pattern."""
    return bool(_MAGIC.search(place))


def lister(place: str) -> List:
    """The function that lists the folders of a path or URI."""
    return _list_prefix if s3.is_s3(place) else _list_folder


def walk(folder: str, on_skipped: Callable[[str], object]) -> Iterator[str]:
    """The images below a folder or prefix: files with one of ``SUFFIXES``, in upper or lower case.

    Hidden files and folders are left out, and links to folders are not followed. Other files are left out, too;
    ``on_skipped`` is called with each.

    Raises:
        NotListed: a folder cannot be listed.
        StorageError: the store fails.
    """
    found = lister(folder)(folder)
    for name in found.files:
        if not name.startswith("."):
            if name.lower().endswith(SUFFIXES):
                yield _join(folder, name)
            else:
                on_skipped(name)
    for name in found.folders:
        if not name.startswith("."):
            yield from walk(_join(folder, name), on_skipped)


def match(pattern: str) -> Iterator[str]:
    """The files whose paths match a pattern: ``*``, ``?`` and ``[...]`` within a name, ``**`` for folders at any depth.

    Raises:
        NotListed: a folder cannot be listed.
    """
    parts = pattern.split("/")
    fixed = next(number for number, part in enumerate(parts) if is_pattern(part))
    base = "/".join(parts[:fixed]) or ("/" if pattern.startswith("/") else "")
    yield from _match(lister(pattern), base, parts[fixed:])


def _match(listed: List, folder: str, parts: list[str]) -> Iterator[str]:
    first, rest = parts[0], parts[1:]
    if first == _ANY_DEPTH and rest:
        yield from _match(listed, folder, rest)
        for name in listed(folder).folders:
            if not name.startswith("."):
                yield from _match(listed, _join(folder, name), parts)
        return
    found = listed(folder)
    for name in found.folders if rest else found.files:
        if fnmatchcase(name, first) and name.startswith(".") <= first.startswith("."):
            path = _join(folder, name)
            if rest:
                yield from _match(listed, path, rest)
            else:
                yield path


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder and not folder.endswith("/") else f"{folder}{name}"


def _list_folder(folder: str) -> Folder:
    found = Folder([], [])
    try:
        with os.scandir(folder or ".") as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    found.folders.append(entry.name)
                elif _is_file(entry):
                    found.files.append(entry.name)
    except OSError as error:
        raise NotListed(f"{folder}: {error.strerror}") from None
    found.folders.sort()
    found.files.sort()
    return found


def _is_file(entry: "os.DirEntry[str]") -> bool:
    """Whether this is a file, or a link that leads nowhere, in a loop or to where it may not be followed: that is
    listed, because reading it then says what is wrong.
    """
    try:
        return entry.is_file() or _is_broken_link(entry)
    except OSError:
        return True


def _is_broken_link(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a broken link."""
    return entry.is_symlink() and not os.path.exists(entry.path)  # noqa: PTH110  a name need not be valid UTF-8


def _list_prefix(place: str) -> Folder:
    try:
        with s3.meaning(place):
            infos = s3.filesystem().get_file_info(fs.FileSelector(s3.key_of(place)))
    except FileNotFoundError:
        raise NotListed(f"{place}: there is nothing under this name") from None
    except s3.NoSuchBucket as error:
        raise NotListed(str(error)) from None
    folders = sorted(info.base_name for info in infos if info.type == fs.FileType.Directory)
    return Folder(folders, sorted(info.base_name for info in infos if info.is_file))
