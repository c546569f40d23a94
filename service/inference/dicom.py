"""The one way from the service to the package ``dicom``, which is imported when the first DICOM object comes.

So a service without the extra ``dicom`` starts and runs as one with it, until it gets an object.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from PIL import Image

from contract import image
from contract.cost import Cost
from contract.errors import UnsupportedFormat
from contract.header import is_dicom
from contract.image import Decoded
from service.inference.decoding.rules import Rules

_MISSING = "a DICOM file is read only where the extra dicom is installed: pip install 'xray-inference[dicom]'"


def decode(data: bytes, rules: Rules, limit: Cost | None = None) -> Decoded:
    """What the network sees of a JPEG, PNG or DICOM file.

    Raises:
        ImageRefused: the file cannot be used, or is a DICOM file, and the extra is not installed.
        TooExpensive: it would cost more than the limit.
    """
    if not is_dicom(data):
        return image.decode(data, max_pixels=rules.max_pixels, contract=rules.contract, limit=limit)
    with _extra():
        from dicom.context import Context
        from dicom.picture import decode as decode_object
    context = Context(rules.ages, refuse=rules.refuse_context)
    return decode_object(data, context, max_pixels=rules.max_pixels, contract=rules.contract, limit=limit)


def picture(data: bytes, longest: int, *, max_pixels: int, limit: Cost | None = None) -> Image.Image:
    """What people see of a JPEG, PNG or DICOM file: mode "L", no side longer than so many pixels.

    Raises:
        ImageRefused, TooExpensive: as ``decode``.
    """
    if not is_dicom(data):
        return image.picture(data, longest, max_pixels=max_pixels, limit=limit)
    with _extra():
        from dicom.picture import picture as picture_of_object
    return picture_of_object(data, longest, max_pixels=max_pixels, limit=limit)


@contextmanager
def _extra() -> Iterator[None]:
    """Imports that need the extra.

    Raises:
        UnsupportedFormat: it is not installed.
    """
    try:
        yield
    except ImportError:
        raise UnsupportedFormat(_MISSING) from None
