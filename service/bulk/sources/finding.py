"""Folders, patterns, archives and lists to one stream of items, in a deterministic order."""

import csv
import io
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow
from pyarrow import parquet

from service.bulk import s3
from service.bulk.sources.archives import is_archive, members
from service.bulk.sources.items import Item, path_of, uri_of
from service.bulk.sources.listing import NotListed, is_pattern, match, walk
from service.settings import SettingsError

_URI = "uri"
_CSV, _PARQUET = ".csv", ".parquet"
_ROWS = 8192


def find_items(sources: Sequence[str], on_skipped: Callable[[str], object] = lambda _: None) -> Iterator[Item]:
    """The items of all sources, in their order.

    Args:
        sources: each a folder, a pattern of names, a file, an archive (``.tar``, ``.zip``), or a list (``.csv``,
            ``.parquet``) with a column ``uri``; local, or ``s3://bucket/...``.
        on_skipped: called with the name of each file of a folder that has no suffix of an image.

    Raises:
        SettingsError: a source cannot be listed, or holds no images.
        StorageError: the store refuses or fails.
    """
    for source in sources:
        empty = True
        try:
            for item in _items_of(source, on_skipped):
                empty = False
                yield item
        except NotListed as error:
            raise SettingsError(f"SOURCE {source}: {_without(source, str(error))}") from None
        except s3.NoSuchBucket:
            raise SettingsError(f"SOURCE {source}: there is no such bucket") from None
        except OSError as error:
            reason = "there is no such file" if isinstance(error, FileNotFoundError) else error.strerror
            raise SettingsError(f"SOURCE {source}: {reason or 'it cannot be read'}") from None
        if empty:
            raise SettingsError(f"SOURCE {source}: there are no images in it")


def _items_of(source: str, on_skipped: Callable[[str], object]) -> Iterator[Item]:
    place = source if s3.is_s3(source) else os.path.abspath(path_of(source))  # noqa: PTH100  need not be valid UTF-8
    if is_pattern(source) and not _exists(place):
        for found in match(place):
            yield from _of_file(found)
    elif _is_folder(place):
        for found in walk(place.rstrip("/") or "/", on_skipped):
            yield Item(_uri(found))
    elif place.lower().endswith(_CSV):
        yield from _of_csv(place)
    elif place.lower().endswith(_PARQUET):
        yield from _of_parquet(place)
    elif s3.is_s3(place) or _exists(place):
        yield from _of_file(place)
    else:
        raise NotListed("there is no such file or folder")


def _of_file(place: str) -> Iterator[Item]:
    if not is_archive(place):
        yield Item(_uri(place))
        return
    for member in members(place):
        yield Item(_uri(place), member.name, member.position, member.size, member.fault)


def _of_csv(place: str) -> Iterator[Item]:
    try:
        with s3.open_place(place) as binary, io.TextIOWrapper(binary, encoding="utf-8-sig", newline="") as text:
            rows = csv.reader(text)
            header = next(rows, [])
            if _URI not in header:
                raise NotListed(f"it has no column {_URI}")
            column = header.index(_URI)
            for row in rows:
                if row:
                    yield Item(_listed(place, row[column] if column < len(row) else ""))
    except (UnicodeDecodeError, csv.Error):
        raise NotListed("it is not a CSV file in UTF-8") from None


def _of_parquet(place: str) -> Iterator[Item]:
    try:
        with s3.open_place(place) as file:
            table = parquet.ParquetFile(file)
            if _URI not in table.schema_arrow.names:
                raise NotListed(f"it has no column {_URI}")
            for batch in table.iter_batches(_ROWS, columns=[_URI]):
                for value in batch.column(0).cast(pyarrow.string()).to_pylist():
                    yield Item(_listed(place, value or ""))
    except pyarrow.ArrowException:
        raise NotListed(f"it is not a Parquet file with texts in the column {_URI}") from None


def _listed(place: str, uri: str) -> str:
    """A URI of a list. A relative path is below the folder of the list."""
    if not uri or "://" in uri or uri.startswith("/"):
        return uri
    folder = place.rpartition("/")[0]
    return f"{folder}/{uri}"


def _uri(place: str) -> str:
    return place if s3.is_s3(place) else uri_of(place)


def _exists(place: str) -> bool:
    """Whether there is a local file or folder of this name, which may have the characters of a pattern."""
    return not s3.is_s3(place) and os.path.lexists(place)


def _is_folder(place: str) -> bool:
    if not s3.is_s3(place):
        return Path(place).is_dir()
    with s3.meaning(place):
        found = s3.filesystem().get_file_info(s3.key_of(place))
    if found.type == pyarrow.fs.FileType.NotFound:
        raise NotListed("there is nothing under this name")
    return not found.is_file


def _without(source: str, message: str) -> str:
    return message.removeprefix(f"{source}: ")
