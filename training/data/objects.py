"""DICOM objects as radiographs to train on: the one way from here to the package ``dicom``.

It is imported when the first object comes, so that JPEG and PNG need no extra.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from contract.errors import DICOM_MISSING, ImageRefused
from contract.header import MARK_ENDS, is_dicom
from training.data.folder import Radiograph
from training.errors import DataError


def described(radiograph: Radiograph) -> Radiograph:
    """A radiograph with what the header of its file says of patient, age, sex and view, where a table does not.

    A file that cannot be read is left as it is: decoding says what is wrong with it.

    Raises:
        DataError: the file is a DICOM object, and the extra is not installed.
    """
    try:
        with radiograph.path.open("rb") as file:
            start = file.read(MARK_ENDS)
            if not is_dicom(start):
                return radiograph
            data = start + file.read()
    except OSError:
        return radiograph
    with _extra():
        from dicom.attributes.subject import subject_of
    try:
        told = subject_of(data)
    except ImageRefused:
        return radiograph
    return replace(
        radiograph,
        patient=radiograph.patient or told.patient,
        age=told.age if radiograph.age is None else radiograph.age,
        sex=radiograph.sex or told.sex,
        view=radiograph.view or told.view,
    )


def size_of(data: bytes) -> tuple[int, int]:
    """Width and height of an object's stored picture, in pixels.

    Raises:
        ImageRefused: it cannot be read.
        DataError: the extra is not installed.
    """
    with _extra():
        from dicom.attributes.subject import subject_of
    told = subject_of(data)
    return told.width, told.height


def decode(data: bytes, contract: int, *, frontal: bool) -> NDArray[np.uint8]:
    """What the network sees of an object, uint8 (200, 200, 1).

    Args:
        data: the whole file.
        contract: the image contract.
        frontal: whether an object that says it is a lateral view, or no chest, is refused.

    Raises:
        ImageRefused: it cannot be used.
        DataError: the extra is not installed.
    """
    with _extra():
        from dicom.attributes.context import Context
        from dicom.picture import decode as decode_object
    return decode_object(data, Context(ages=(), refuse=frontal), contract=contract).pixels


@contextmanager
def _extra() -> Iterator[None]:
    """Imports that need the extra.

    Raises:
        DataError: it is not installed.
    """
    try:
        yield
    except ImportError:
        raise DataError(DICOM_MISSING) from None
