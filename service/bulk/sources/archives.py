"""Members of tar and zip files, read in place: nothing is unpacked, and a member's name never becomes a path."""

import io
import tarfile
import threading
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import NamedTuple, Protocol

import pyarrow

from contract.formats import SUFFIXES
from service.bulk import s3
from service.client.targets import TargetError
from service.problems import UNREADABLE_FILE

SUFFIXES_OF_ARCHIVES = (".tar", ".zip")
_CUT = "the archive ends too early or is damaged here: the rest of it is not known"
_CHANGED = "the archive is cut short, damaged, or was changed after the plan was made"
_BLOCK = 512  # of a tar file
_OPEN = 2  # archives that a reader keeps open
_BUFFER = 2**18
# What zipfile raises over a damaged or encrypted member.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError, RuntimeError, ValueError)
_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, ValueError, UnicodeDecodeError)


class Member(NamedTuple):
    """A member: its name, where it is, and its bytes.

    ``position``: of a tar file: where its content begins; of a zip file: its number. ``fault``: instead of a member,
    why there are no further ones.
    """

    name: str | None
    position: int | None = None
    size: int | None = None
    fault: str | None = None


def is_archive(place: str) -> bool:
    """Whether a path or URI names an archive, by its suffix."""
    return place.lower().endswith(SUFFIXES_OF_ARCHIVES)


def members(place: str) -> Iterator[Member]:
    """The images in an archive, in its order: regular files with one of ``SUFFIXES``.

    Of an archive that is damaged or cut short, those that are known, and then one with a fault.

    Raises:
        OSError: it cannot be opened.
        StorageError: the store fails.
    """
    with _meaning(place), s3.open_place(place) as file:
        found = _zip_members(file) if _is_zip(place) else _tar_members(file)
        try:
            for member in found:
                if member.fault or (member.name and member.name.lower().endswith(SUFFIXES)):
                    yield member
        except _DAMAGED:
            yield Member(None, fault=_CUT)


def _tar_members(file: pyarrow.NativeFile) -> Iterator[Member]:
    with tarfile.open(fileobj=file, mode="r:") as tar:
        while info := tar.next():
            tar.members.clear()  # type: ignore[attr-defined]  # else each header would stay in memory
            if info.isreg() and not info.issparse():
                yield Member(_text(info.name), info.offset_data, info.size)
        # tarfile takes a header that is cut or damaged for the end. The end of an archive is a block of zeros.
        file.seek(tar.offset)
        if file.read(_BLOCK) != bytes(_BLOCK):
            yield Member(None, fault=_CUT)


def _zip_members(file: pyarrow.NativeFile) -> Iterator[Member]:
    with zipfile.ZipFile(io.BufferedReader(file, _BUFFER)) as archive:
        for number, info in enumerate(archive.infolist()):
            if not info.is_dir():
                yield Member(_text(info.filename), number, info.file_size)


class Archive(Protocol):
    """An open archive. Thread-safe."""

    def read(self, member: Member, max_bytes: int) -> bytes:
        """The content of a member, and no more than ``max_bytes`` and one of it.

        Raises:
            TargetError: it cannot be read.
        """

    def close(self) -> None:
        """Close it."""


class _Tar:
    def __init__(self, place: str) -> None:
        self._place, self._file = place, s3.open_place(place)

    def read(self, member: Member, max_bytes: int) -> bytes:
        position, size = member.position or 0, member.size or 0
        # The block before the content is the header, which is checked: the archive may have been replaced since.
        with _meaning(self._place):
            data = self._file.read_at(_BLOCK + min(size, max_bytes + 1), position - _BLOCK)
        try:
            header = tarfile.TarInfo.frombuf(data[:_BLOCK], "utf-8", "surrogateescape")
        except tarfile.HeaderError:
            raise TargetError(UNREADABLE_FILE, _CHANGED) from None
        if header.size != size or len(data) < _BLOCK + min(size, max_bytes + 1):
            raise TargetError(UNREADABLE_FILE, _CHANGED)
        return bytes(data[_BLOCK:])

    def close(self) -> None:
        self._file.close()


class _Zip:
    def __init__(self, place: str) -> None:
        self._place, self._file = place, s3.open_place(place)
        try:
            with _meaning(place):
                self._archive = zipfile.ZipFile(io.BufferedReader(self._file, _BUFFER))
        except _DAMAGED:
            raise TargetError(UNREADABLE_FILE, _CHANGED) from None
        self._infos = self._archive.infolist()

    def read(self, member: Member, max_bytes: int) -> bytes:
        number = member.position or 0
        if number >= len(self._infos) or _text(self._infos[number].filename) != member.name:
            raise TargetError(UNREADABLE_FILE, _CHANGED)
        info = self._infos[number]
        if info.flag_bits & 1:
            raise TargetError(UNREADABLE_FILE, "the member of the archive is encrypted")
        try:
            with _meaning(self._place), self._archive.open(info) as content:
                return content.read(max_bytes + 1)
        except _BROKEN:
            raise TargetError(UNREADABLE_FILE, _CHANGED) from None

    def close(self) -> None:
        self._archive.close()
        self._file.close()


class Archives:
    """Keeps the archives that were read last open: at most two, because items are in the order of their archives.

    Thread-safe.
    """

    def __init__(self) -> None:
        self._open: OrderedDict[str, Archive] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, place: str) -> Archive:
        """An open archive.

        Raises:
            TargetError: it is damaged.
            OSError: it cannot be opened.
        """
        with self._lock:
            if place not in self._open:
                self._open[place] = _Zip(place) if _is_zip(place) else _Tar(place)
                if len(self._open) > _OPEN:
                    self._open.popitem(last=False)  # not closed here: another thread may still be reading it
            self._open.move_to_end(place)
            return self._open[place]

    def close(self) -> None:
        """Close all."""
        while self._open:
            self._open.popitem()[1].close()


def _is_zip(place: str) -> bool:
    return place.lower().endswith(".zip")


def _meaning(place: str) -> AbstractContextManager[None]:
    """An error of a local file concerns that file, and becomes a row. An error of a store ends the run."""
    return s3.meaning(place) if s3.is_s3(place) else nullcontext()


def _text(name: str) -> str:
    """A name as valid UTF-8."""
    return name.encode(errors="surrogateescape").decode(errors="backslashreplace")
