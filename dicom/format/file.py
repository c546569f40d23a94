"""A DICOM file (PS3.10): preamble, file meta information, and the data set with what is needed of it."""

import io
import zlib
from dataclasses import dataclass

from pydicom import Dataset
from pydicom.filereader import read_dataset

from contract.errors import CUT_SHORT, TooMuchMetadata, TruncatedImage, UnsupportedFormat, UnusableObject
from contract.header import is_dicom
from dicom.format.elements import Elements, Walk
from dicom.format.quiet import silence
from dicom.format.syntaxes import TransferSyntax, find_syntax
from dicom.format.values import BROKEN

_META_AT, _META_GROUP, _TRANSFER_SYNTAX = 132, 0x0002, 0x00020010
# Bytes of a deflated data set that are inflated to find its pixels.
_HEADER_BYTES = 4 * 2**20
# Bytes behind the picture, which some writers fill up blocks with.
_MAX_EXCESS = 2**16


@dataclass(slots=True)
class DicomFile:
    """A file whose structure is known.

    ``data``: of the data set, inflated as far as its pixels if it is deflated. ``dataset``: the needed elements.
    """

    syntax: TransferSyntax
    data: bytes
    elements: Elements
    dataset: Dataset
    _inflater: "_Inflater | None" = None

    def pixel_bytes(self, count: int, row: int) -> bytes | memoryview:
        """The first ``count`` bytes of a Pixel Data that is not encapsulated.

        Args:
            count: of the picture.
            row: bytes of each of its rows.

        Raises:
            UnusableObject: it has fewer, or others behind them, so that it is another picture.
            TruncatedImage: the file ends before them.
        """
        start = self.elements.pixels or 0
        if self.elements.pixels_length < count:
            raise UnusableObject("the Pixel Data of the DICOM object has fewer bytes than Rows and Columns say")
        if not self._is_filled(start + count, self.elements.pixels_length - count, count, row):
            raise UnusableObject("the Pixel Data of the DICOM object has more bytes than Rows and Columns say")
        missing = start + count - len(self.data)
        if missing > 0 and self._inflater:
            return (self.data + self._inflater.more(missing))[start : start + count]
        if missing > 0:
            raise TruncatedImage(CUT_SHORT)
        return memoryview(self.data)[start : start + count]

    def _is_filled(self, end: int, excess: int, count: int, row: int) -> bool:
        """Whether the bytes behind a picture fill up a block, or are some rows more: with rows of another length all
        would be sheared.
        """
        if excess > _MAX_EXCESS or excess >= count:
            return False
        filling = self.data[end : end + excess]
        return excess % row <= 1 or not filling.strip(filling[:1])  # one more makes the length even


class _Inflater:
    """Inflates a deflated data set as far as it is needed."""

    def __init__(self, data: bytes) -> None:
        self._inflate, self._tail = zlib.decompressobj(-zlib.MAX_WBITS), data

    def more(self, count: int) -> bytes:
        """Exactly so many more bytes."""
        found = self.upto(count)
        if len(found) < count:
            raise TruncatedImage(CUT_SHORT)
        return found

    def upto(self, count: int) -> bytes:
        """So many more bytes, or all that are left."""
        try:
            found = self._inflate.decompress(self._tail, count)
        except zlib.error:
            raise TruncatedImage(CUT_SHORT) from None
        self._tail = self._inflate.unconsumed_tail
        return found


def read_file(data: bytes, needed: frozenset[int]) -> DicomFile:
    """Find the structure of a DICOM file, and read the needed elements of its data set.

    Args:
        data: the whole file.
        needed: tags of the data set.

    Raises:
        UnsupportedFormat: no DICOM file.
        UnsupportedTransferSyntax: one that is not read.
        TruncatedImage: it is cut short or damaged.
        TooMuchMetadata: more of something than any radiograph has.
    """
    silence()
    if not is_dicom(data):
        raise UnsupportedFormat("these bytes are not a DICOM file: it has DICM at byte 128")
    meta = Walk(data, implicit=False, needed=frozenset((_TRANSFER_SYNTAX,)))
    start = meta.run(_META_AT, _META_GROUP)
    uid = meta.elements.found.get(_TRANSFER_SYNTAX, b"")[8:]
    syntax = find_syntax(uid.decode("latin-1").rstrip("\0 "))
    if syntax.deflated:
        return _read_deflated(data[start:], syntax, needed)
    walk = Walk(data, implicit=_is_implicit(data, start, syntax), needed=needed)
    walk.run(start)
    return DicomFile(syntax, data, walk.elements, _dataset(walk.elements))


def _read_deflated(data: bytes, syntax: TransferSyntax, needed: frozenset[int]) -> DicomFile:
    inflater = _Inflater(data)
    head = inflater.upto(_HEADER_BYTES)
    walk = Walk(head, implicit=False, needed=needed)
    try:
        walk.run(0)
    except TruncatedImage:
        if len(head) == _HEADER_BYTES:
            raise TooMuchMetadata(f"the DICOM object has more than {_HEADER_BYTES} bytes before its pixels") from None
        raise
    return DicomFile(syntax, head, walk.elements, _dataset(walk.elements), inflater)


def _is_implicit(data: bytes, start: int, syntax: TransferSyntax) -> bool:
    """Whether its elements have no VR, which some writers get wrong: the first element shows it."""
    vr = data[start + 4 : start + 6]
    has_vr = vr.isalpha() and vr.isupper()
    return not has_vr if len(vr) == 2 else syntax.implicit


def _dataset(elements: Elements) -> Dataset:
    try:
        return read_dataset(io.BytesIO(elements.joined()), elements.implicit, is_little_endian=True)
    except (*BROKEN, OSError):
        raise TruncatedImage(CUT_SHORT) from None
