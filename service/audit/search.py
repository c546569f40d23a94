"""Finds the images of a request in the audit log, without an index: every file is read."""

from collections.abc import Iterator
from pathlib import Path

from service.audit.chain import chains_of, files_of
from service.audit.line import ImageRead, read_line

# Small pieces: a search in one of them holds the GIL for less than a millisecond.
_PIECE_BYTES = 2**20


def find_images(folder: Path, request_id: str) -> list[ImageRead]:
    """The images that were analysed under this request id, in all chains. Slow for a large log: call it in a thread.

    Args:
        folder: of the audit log.
        request_id: of ``A-Z a-z 0-9 . _ -``, so that it stands in a line as it is.

    Raises:
        OSError: a file cannot be read.
    """
    wanted = f'"request_id":"{request_id}"'.encode()
    paths = [path for chain in chains_of(folder) for path in files_of(chain)]
    lines = [line for path in paths for line in _lines_with(path, wanted)]
    found = (read_line(line) for line in lines)
    return [
        ImageRead.model_validate_json(line)
        for line, sealed in zip(lines, found, strict=True)
        if sealed and sealed.event == "read"
    ]


def _lines_with(path: Path, wanted: bytes) -> Iterator[bytes]:
    """The complete lines of a file that hold these bytes."""
    begun = b""
    with path.open("rb") as file:
        while piece := file.read(_PIECE_BYTES):
            whole, _, begun = (begun + piece).rpartition(b"\n")
            if wanted in whole:
                yield from (line + b"\n" for line in whole.split(b"\n") if wanted in line)
