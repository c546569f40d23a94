"""The cost of decoding an object, estimated before anything is decoded.

Upper estimates, measured with radiographs of 5 million pixels of 12 bits (benchmarks/dicom.py).
"""

from contract.cost import Cost
from dicom.attributes.image import PixelFormat
from dicom.format.syntaxes import TransferSyntax

# Strips and tables; and for a data set that has to be inflated to find the pixels.
_BASE = 2**20
# Per pixel besides the file: bytes of memory, and seconds of CPU time. JPEG and JPEG lossless are decoded twice
# (dicom.pixels.stored); JPEG 2000 works on 32 bits. Its time is such that all but small pictures are decoded in a
# process that can be killed.
_PER_PIXEL = {
    "native": (1, 2e-8),
    "rle": (7, 4e-8),
    "jpeg": (6, 5e-8),
    "jpeg-ls": (4, 8e-8),
    "jpeg2000": (12, 4e-7),
}


def cost_of(syntax: TransferSyntax, pixels: PixelFormat, size: int) -> Cost:
    """The cost of decoding an object of ``size`` bytes."""
    memory, seconds = _PER_PIXEL[syntax.coding]
    count = pixels.rows * pixels.columns
    copies = 3 * pixels.bytes if syntax.deflated or pixels.samples > 1 else 0
    coded = 0 if syntax.coding == "native" else 2 * size
    return Cost(_BASE + count * memory + copies + coded, count * seconds)
