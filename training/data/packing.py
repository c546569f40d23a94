"""A data set as archives of limited size, to be carried to a machine that trains and has no network.

Files go into the archives as they are, and are decoded there as they would be here. Each archive is a tar file of its
own: unpacked into one folder, in any order, they give a data folder, or those of the sources with ``sources.json``.
Equal data give equal archives.
"""

import tarfile
from collections.abc import Iterable, Iterator
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

from training.data.listings import find_in_folder, find_tables
from training.data.sources import Source, Sources, read_sources
from training.errors import DataError

SOURCES = "sources.json"
# tarfile ends an archive with two empty blocks, and fills it up to a whole record.
_END = 2 * tarfile.BLOCKSIZE + tarfile.RECORDSIZE


class Member(NamedTuple):
    """One file of an archive, and what it contains."""

    entry: tarfile.TarInfo
    contents: Path | bytes

    @property
    def bytes_taken(self) -> int:
        """What it takes of an archive: its header, and its contents in whole blocks."""
        blocks = -(-self.entry.size // tarfile.BLOCKSIZE)
        return len(self.entry.tobuf(tarfile.PAX_FORMAT)) + blocks * tarfile.BLOCKSIZE


def pack(root: Path, folder: Path, most_bytes: int) -> list[Path]:
    """Write ``part-00.tar``, ``part-01.tar`` and so on.

    Args:
        root: a data folder, or a JSON file that lists sources.
        folder: for the archives; created if need be.
        most_bytes: the largest size of one archive.

    Returns:
        the archives.

    Raises:
        DataError: the data cannot be read or the archives not written, a file is too large for an archive or lies
            outside of its data folder, or the folder already holds archives.
    """
    if any(folder.glob("part-*.tar")):
        raise DataError(f"{folder}: already holds archives")
    written = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for number, members in enumerate(_divided(_members(root), most_bytes)):
            written.append(folder / f"part-{number:02}.tar")
            _write(written[-1], members)
    except OSError as error:
        raise DataError(f"{error.filename or folder}: {error.strerror or error}") from None
    return written


def _members(root: Path) -> Iterator[Member]:
    if not root.is_file():
        yield from _of_folder(root, "")
        return
    listed = read_sources(root)
    yield _list_of(listed)
    for source in listed.sources:
        yield from _of_folder(root.parent / source.folder, f"{source.name}/")


def _list_of(listed: Sources) -> Member:
    """The list of the sources, each in a folder of its name."""
    moved = tuple(Source(name=each.name, folder=Path(each.name), population=each.population) for each in listed.sources)
    contents = Sources(populations=listed.populations, sources=moved).model_dump_json(indent=2).encode()
    return _member(SOURCES, contents, len(contents))


def _of_folder(folder: Path, prefix: str) -> Iterator[Member]:
    """The tables and radiographs of a folder, by their paths in it."""
    radiographs = find_in_folder(folder)
    for path in [*find_tables(folder), *(radiograph.path for radiograph in radiographs)]:
        name = path.relative_to(folder).as_posix()
        if ".." in path.relative_to(folder).parts:
            raise DataError(f"{path}: is not in {folder}, and cannot be packed with it")
        yield _member(prefix + name, path, path.stat().st_size)


def _member(name: str, contents: Path | bytes, size: int) -> Member:
    entry = tarfile.TarInfo(name)
    entry.size = size
    return Member(entry, contents)


def _divided(members: Iterable[Member], most_bytes: int) -> Iterator[list[Member]]:
    part: list[Member] = []
    room = whole = most_bytes - _END
    for member in members:
        if member.bytes_taken > whole:
            raise DataError(f"{member.entry.name}: is too large for an archive of {most_bytes} bytes")
        if member.bytes_taken > room:
            yield part
            part, room = [], whole
        part.append(member)
        room -= member.bytes_taken
    yield part


def _write(path: Path, members: list[Member]) -> None:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for entry, contents in members:
            with BytesIO(contents) if isinstance(contents, bytes) else contents.open("rb") as file:
                archive.addfile(entry, file)
