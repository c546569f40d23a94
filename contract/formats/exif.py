"""The orientation that EXIF metadata states, and nothing else of it."""

import struct

# CIPA DC-008 (EXIF 2.32), section 4.6.4, tag 274: a SHORT. 1 is upright.
_ORIENTATION = 0x0112
_SHORT = 3
_BYTE_ORDERS = {b"II*\0": "<", b"MM\0*": ">"}


def orientation(tiff: bytes) -> int:
    """The orientation of an image, from its EXIF metadata.

    Args:
        tiff: the metadata as a TIFF structure, without JPEG's prefix ``Exif``; empty where there is none.

    Returns:
        1 to 8; 1 (upright) where the metadata is absent, broken or states anything else.
    """
    order = _BYTE_ORDERS.get(tiff[:4])
    if order is None:
        return 1
    try:
        (at,) = struct.unpack_from(f"{order}I", tiff, 4)
        (entries,) = struct.unpack_from(f"{order}H", tiff, at)
        for entry in range(at + 2, at + 2 + 12 * entries, 12):
            tag, kind, count, value = struct.unpack_from(f"{order}HHIH", tiff, entry)
            if (tag, kind, count) == (_ORIENTATION, _SHORT, 1):
                return value if 1 <= value <= 8 else 1
    except struct.error:  # broken metadata says nothing of the picture
        pass
    return 1
