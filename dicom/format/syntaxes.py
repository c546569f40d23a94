"""The transfer syntaxes that are read (DICOM PS3.5 section 10 and annex A), and how each holds its pixels."""

from dataclasses import dataclass
from typing import Literal

from contract.errors import UnsupportedTransferSyntax

Coding = Literal["native", "rle", "jpeg", "jpeg-ls", "jpeg2000"]


@dataclass(frozen=True, slots=True)
class TransferSyntax:
    """How a data set is encoded.

    ``coding``: of its pixels. ``lossy``: its values may lie outside the stored range. ``eight_bits``: JPEG baseline.
    """

    name: str
    coding: Coding = "native"
    implicit: bool = False
    deflated: bool = False
    lossy: bool = False
    eight_bits: bool = False


_PREFIX = "1.2.840.10008.1.2"
SYNTAXES = {
    _PREFIX: TransferSyntax("Implicit VR Little Endian", implicit=True),
    f"{_PREFIX}.1": TransferSyntax("Explicit VR Little Endian"),
    f"{_PREFIX}.1.99": TransferSyntax("Deflated Explicit VR Little Endian", deflated=True),
    f"{_PREFIX}.5": TransferSyntax("RLE Lossless", "rle"),
    f"{_PREFIX}.4.50": TransferSyntax("JPEG Baseline", "jpeg", lossy=True, eight_bits=True),
    f"{_PREFIX}.4.51": TransferSyntax("JPEG Extended", "jpeg", lossy=True),
    f"{_PREFIX}.4.57": TransferSyntax("JPEG Lossless", "jpeg"),
    f"{_PREFIX}.4.70": TransferSyntax("JPEG Lossless, first-order prediction", "jpeg"),
    f"{_PREFIX}.4.80": TransferSyntax("JPEG-LS Lossless", "jpeg-ls"),
    f"{_PREFIX}.4.81": TransferSyntax("JPEG-LS Near-Lossless", "jpeg-ls", lossy=True),
    f"{_PREFIX}.4.90": TransferSyntax("JPEG 2000 Lossless", "jpeg2000"),
    f"{_PREFIX}.4.91": TransferSyntax("JPEG 2000", "jpeg2000", lossy=True),
}
_SAFE = frozenset("0123456789.")


def find_syntax(uid: str) -> TransferSyntax:
    """The transfer syntax of this UID.

    Raises:
        UnsupportedTransferSyntax: it is empty, or not read; the message names the UID.
    """
    if uid in SYNTAXES:
        return SYNTAXES[uid]
    if not uid:
        raise UnsupportedTransferSyntax("the DICOM object does not say its transfer syntax")
    named = uid if len(uid) <= 64 and _SAFE.issuperset(uid) else "an invalid UID"
    raise UnsupportedTransferSyntax(f"the transfer syntax of the DICOM object, {named}, is not read")
