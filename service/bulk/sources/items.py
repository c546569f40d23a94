"""The bytes of one item: a file, an object of a bucket, or a member of an archive."""

import errno
import os
import stat
from typing import NamedTuple
from urllib.parse import unquote_to_bytes, urlsplit

from service.bulk import s3
from service.bulk.errors import StorageError
from service.bulk.sources.archives import Archives, Member
from service.client.targets import Target, TargetError, read_target
from service.problems import BODY_TOO_LARGE, EMPTY_FILE, UNREADABLE_FILE

_FILE = "file://"
# Errors that are not the file's: of its server, or of this process.
_OUTAGES = {errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENOTCONN, errno.EMFILE}
_OUTAGES |= {errno.ENFILE, errno.ENOMEM}


class Item(NamedTuple):
    """One image of a plan: the path or URI of a file, and the member in it if that is an archive.

    ``position``, ``size``: of the member, as in ``archives.Member``. ``fault``: why it cannot be read.
    """

    uri: str
    member: str | None = None
    position: int | None = None
    size: int | None = None
    fault: str | None = None


def uri_of(path: str) -> str:
    """The URI of a local path: the path itself, or ``file://`` if it is not valid UTF-8."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return _FILE + "".join(
            chr(byte) if 32 < byte < 127 and byte != 37 else f"%{byte:02X}" for byte in os.fsencode(path)
        )
    return path


def path_of(uri: str) -> str:
    """The local path of a URI."""
    return os.fsdecode(unquote_to_bytes(uri.removeprefix(_FILE))) if uri.startswith(_FILE) else uri


class ItemReader:
    """Reads items, from several threads at once.

    Args:
        max_bytes: largest accepted file.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes, self._archives = max_bytes, Archives()

    def read(self, item: Item) -> bytes:
        """The bytes of an item.

        Raises:
            TargetError: it cannot be read; no other item is affected.
            StorageError: the storage fails or refuses.
        """
        if item.fault is not None:
            raise TargetError(UNREADABLE_FILE, item.fault)
        if not item.uri:
            raise TargetError(UNREADABLE_FILE, "the list has no uri here")
        if item.member is None:
            data = self._object(item.uri) if s3.is_s3(item.uri) else self._file(item.uri)
        else:
            data = self._member(item)
        if not data:
            raise TargetError(EMPTY_FILE, "the file is empty")
        if len(data) > self._max_bytes:
            raise TargetError(BODY_TOO_LARGE, f"the file has more than {self._max_bytes} bytes (XRAY_MAX_BODY_BYTES)")
        return data

    def close(self) -> None:
        """Close the archives."""
        self._archives.close()

    def _file(self, uri: str) -> bytes:
        path = path_of(uri)
        if path == uri and urlsplit(uri).scheme and "://" in uri:
            raise TargetError(UNREADABLE_FILE, "a URI is read only with s3:// or file://")
        try:
            if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  a pipe would never end
                raise TargetError(UNREADABLE_FILE, "it is not a regular file")
            return read_target(Target(path), self._max_bytes)
        except TargetError as error:
            if isinstance(error.__context__, OSError):
                _end_at_outage(error.__context__)
            raise
        except (OSError, ValueError) as error:
            raise _unreadable(error) from None

    def _object(self, uri: str) -> bytes:
        try:
            with s3.meaning("reading an image"), s3.filesystem().open_input_file(s3.key_of(uri)) as file:
                return bytes(file.read(min(file.size(), self._max_bytes) + 1))
        except FileNotFoundError as error:
            raise _unreadable(error) from None
        except s3.NoSuchBucket:
            raise TargetError(UNREADABLE_FILE, "there is no such bucket") from None

    def _member(self, item: Item) -> bytes:
        place = item.uri if s3.is_s3(item.uri) else path_of(item.uri)
        try:
            archive = self._archives.get(place)
            return archive.read(Member(item.member, item.position, item.size), self._max_bytes)
        except OSError as error:
            raise _unreadable(error) from None


def _unreadable(error: OSError | ValueError) -> TargetError:
    """The problem of one item.

    Raises:
        StorageError: it is not the item's.
    """
    if isinstance(error, FileNotFoundError):
        return TargetError(UNREADABLE_FILE, os.strerror(errno.ENOENT))
    if isinstance(error, OSError):
        _end_at_outage(error)
    return TargetError(UNREADABLE_FILE, getattr(error, "strerror", None) or "the file cannot be opened")


def _end_at_outage(error: OSError) -> None:
    if error.errno in _OUTAGES:
        raise StorageError(f"reading an image: {error.strerror}") from None
