"""The structure of a data set (DICOM PS3.5 section 7), walked without recursion and without decoding a value.

A DICOM library parses all of a data set: sequences nested a thousand deep end its recursion, and values that nobody
needs take memory. So the elements that are needed are cut out here, within limits, and only these reach pydicom.
"""

import struct
from dataclasses import dataclass, field

from contract.errors import CUT_SHORT, TooMuchMetadata, TruncatedImage

# A radiograph has some hundred elements, and sequences three or four deep.
MAX_ELEMENTS = 50_000
MAX_DEPTH = 32
# A lookup table has at most 2**16 entries of two bytes; all other values that are needed are short.
MAX_VALUE = 2**18

PIXEL_DATA = 0x7FE00010
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_LONG = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV"))
_BYTES = (b"OB", b"OW")
_TAG = struct.Struct("<HH")
_LENGTH = struct.Struct("<L")
_SHORT_LENGTH = struct.Struct("<H")


@dataclass(slots=True)
class Elements:
    """The needed elements of a data set.

    ``found``: by tag, each with its tag, VR and length as stored. ``pixels``: where the value of Pixel Data begins;
    None: there is none. ``pixels_length``: its length in bytes, or ``UNDEFINED`` if it is encapsulated.
    """

    implicit: bool
    found: dict[int, bytes] = field(default_factory=dict)
    pixels: int | None = None
    pixels_length: int = 0

    def joined(self) -> bytes:
        """The needed elements as a data set."""
        return b"".join(self.found[tag] for tag in sorted(self.found))


@dataclass(slots=True)
class _Open:
    """A sequence or item that the walk is inside of. ``end``: None if a delimiter ends it. ``fragments``: its items are
    those of a compressed picture, and hold no elements.
    """

    end: int | None
    is_item: bool
    implicit: bool
    fragments: bool = False
    tag: int = 0
    start: int = 0


@dataclass(slots=True)
class _Head:
    """Tag, VR (empty if implicit) and length of an element; where its value begins."""

    tag: int
    vr: bytes
    length: int
    value: int


class Walk:
    """A walk over a data set.

    Args:
        data: what holds it.
        implicit: whether its elements have no VR.
        needed: tags whose elements are kept, at the top level.
    """

    def __init__(self, data: bytes, *, implicit: bool, needed: frozenset[int]) -> None:
        self._data, self._needed = data, needed
        self._open: list[_Open] = []
        self.elements = Elements(implicit)

    def run(self, start: int, group: int | None = None) -> int:
        """Walk to Pixel Data or to the end; with a group, to the first element of another one. Returns where it ended.

        Raises:
            TruncatedImage: an element ends behind the data, or is none.
            TooMuchMetadata: more elements, deeper nesting or longer values than any radiograph has.
        """
        at = start
        for _ in range(MAX_ELEMENTS):
            self._close_ended(at)
            if at >= len(self._data):
                break
            if group is not None and self._data[at : at + 2] != group.to_bytes(2, "little"):
                return at
            head = self._head(at)
            if head.tag == PIXEL_DATA and not self._open:
                self.elements.pixels, self.elements.pixels_length = head.value, head.length
                return at
            at = self._enter(at, head)
        else:
            raise TooMuchMetadata(f"the DICOM object has more than {MAX_ELEMENTS} elements")
        if any(each.end is None for each in self._open):
            raise TruncatedImage(CUT_SHORT)
        return at

    def _head(self, at: int) -> _Head:
        implicit = self._open[-1].implicit if self._open else self.elements.implicit
        try:
            group, number = _TAG.unpack_from(self._data, at)
            tag = group << 16 | number
            if implicit or group == 0xFFFE:
                return _Head(tag, b"", _LENGTH.unpack_from(self._data, at + 4)[0], at + 8)
            vr = self._data[at + 4 : at + 6]
            if vr in _LONG:
                return _Head(tag, vr, _LENGTH.unpack_from(self._data, at + 8)[0], at + 12)
            if not (vr.isalpha() and vr.isupper()):
                raise TruncatedImage(CUT_SHORT)
            return _Head(tag, vr, _SHORT_LENGTH.unpack_from(self._data, at + 6)[0], at + 8)
        except struct.error:
            raise TruncatedImage(CUT_SHORT) from None

    def _enter(self, at: int, head: _Head) -> int:
        """Go into a sequence or item, or over a value. Returns where the next element stands."""
        if head.tag in (ITEM_END, SEQUENCE_END):
            self._leave(head)
            return head.value
        end = None if head.length == UNDEFINED else head.value + head.length
        if end is not None and end > self._limit():
            raise TruncatedImage(CUT_SHORT)
        inside = self._open[-1] if self._open else None
        if (inside is not None and not inside.is_item) != (head.tag == ITEM):
            raise TruncatedImage(CUT_SHORT)  # a sequence holds items alone, and an item or data set holds none
        is_fragment = inside is not None and inside.fragments
        if end is None or (head.tag == ITEM and not is_fragment) or head.vr == b"SQ":
            # A value of undefined length whose VR is unknown is a sequence in implicit VR (PS3.5 section 6.2.2); one of
            # bytes is an encapsulated picture, such as that of an icon (annex A.4).
            implicit = (inside.implicit if inside else self.elements.implicit) or head.vr == b"UN"
            fragments = head.vr in _BYTES or head.tag == PIXEL_DATA
            self._open.append(_Open(end, head.tag == ITEM, implicit, fragments, head.tag, at))
            if len(self._open) > 2 * MAX_DEPTH:
                raise TooMuchMetadata(f"the DICOM object has sequences nested more than {MAX_DEPTH} deep")
            return head.value
        if inside is None:
            self._keep(head.tag, at, end)
        return end

    def _limit(self) -> int:
        return next((each.end for each in reversed(self._open) if each.end is not None), len(self._data))

    def _leave(self, head: _Head) -> None:
        if not self._open or head.length or self._open[-1].is_item != (head.tag == ITEM_END):
            raise TruncatedImage(CUT_SHORT)
        self._finish(self._open.pop(), head.value)

    def _close_ended(self, at: int) -> None:
        while self._open and self._open[-1].end == at:
            self._finish(self._open.pop(), at)

    def _finish(self, closed: _Open, end: int) -> None:
        if not self._open:
            self._keep(closed.tag, closed.start, end)

    def _keep(self, tag: int, start: int, end: int) -> None:
        if tag not in self._needed:
            return
        if end - start > MAX_VALUE:
            raise TooMuchMetadata(f"an element of the DICOM object has more than {MAX_VALUE} bytes")
        self.elements.found[tag] = self._data[start:end]
