"""The structure of a JPEG: its frame, its scans, and what of the picture they hold (ITU-T T.81)."""

from dataclasses import dataclass, field
from itertools import cycle, islice

from contract.formats.exif import orientation

# The codes of the restart markers, which follow each other in turn (T.81, table B.1).
RESTARTS = tuple(range(0xD0, 0xD8))
_UNCODED = 255


@dataclass(frozen=True, slots=True)
class Component:
    """A colour component of the frame: its identifier and sampling factors."""

    identifier: int
    horizontal: int
    vertical: int


@dataclass(frozen=True, slots=True)
class Scan:
    """One scan: which components and coefficients it codes, to which bit, and where its entropy-coded data lie.

    ``first``, ``last``: coefficients in zigzag order. ``high``, ``low``: the bits that they were exact to before it (0:
    it is their first scan) and are exact to behind it (T.81's Ah and Al).
    ``interval``: MCUs between restart markers; 0: none. ``restarts``: the codes of those that are there.
    """

    components: tuple[int, ...]
    first: int
    last: int
    high: int
    low: int
    interval: int
    restarts: bytes
    start: int
    end: int


@dataclass(slots=True)
class JpegFile:
    """A JPEG's structure: its frame, and what of it a decoder needs.

    ``parts``: segments, as bytes with their markers, and scans, in the file's order. Metadata is left out: no decoder
    has to read past it. ``interval``: MCUs between the restart markers of the scans that follow; 0: none.
    """

    data: bytes
    width: int = 0
    height: int = 0
    progressive: bool = False
    components: tuple[Component, ...] = ()
    parts: "list[bytes | Scan]" = field(default_factory=list)
    exif: bytes = b""
    interval: int = 0

    @property
    def scans(self) -> list[Scan]:
        """Its scans, in the file's order."""
        return [part for part in self.parts if isinstance(part, Scan)]

    @property
    def orientation(self) -> int:
        """Its EXIF orientation, 1 to 8."""
        return orientation(self.exif)

    def mcus(self, scan: Scan) -> int:
        """How many MCUs a scan has (T.81 A.2): one block each where it codes a single component."""
        widest = max(part.horizontal for part in self.components)
        highest = max(part.vertical for part in self.components)
        if len(scan.components) > 1:
            return -(-self.width // (8 * widest)) * -(-self.height // (8 * highest))
        part = self.components[scan.components[0]]
        columns = -(-self.width * part.horizontal // widest)
        rows = -(-self.height * part.vertical // highest)
        return -(-columns // 8) * -(-rows // 8)

    def is_complete(self) -> bool:
        """Whether its scans code every coefficient of every component to its last bit, with all restart markers."""
        todo = bytearray([_UNCODED] * (64 * len(self.components)))  # of each coefficient, the bit it is exact to so far
        for scan in self.scans:
            for number in scan.components:
                start, end = 64 * number + scan.first, 64 * number + scan.last + 1
                if scan.high and todo[start:end] != bytes([scan.high]) * (end - start):
                    return False  # the scan that this one refines is missing
                todo[start:end] = bytes([scan.low]) * (end - start)
        return bool(self.components) and not any(todo) and all(map(self._has_restarts, self.scans))

    def _has_restarts(self, scan: Scan) -> bool:
        expected = (self.mcus(scan) - 1) // scan.interval if scan.interval else 0
        return scan.restarts == bytes(islice(cycle(RESTARTS), expected))
