"""The service's only access to the package ``dicom``, which is imported when the first DICOM object arrives.

So a service without the extra ``dicom`` starts and runs like one with it, until it gets an object.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image

from contract import image
from contract.cost import Cost
from contract.errors import DICOM_MISSING, ImageRefused, UnsupportedFormat
from contract.header import Viewing, is_dicom, read_header
from contract.image import Decoded
from service.inference.decoding.rules import Rules
from service.wire import PredictResponse


def decode(data: bytes, rules: Rules, limit: Cost | None = None) -> Decoded:
    """The network's input of a JPEG, PNG or DICOM file.

    Raises:
        ImageRefused: the file cannot be used, or is a DICOM file, and the extra is not installed.
        TooExpensive: it would cost more than the limit.
    """
    if not is_dicom(data):
        return image.decode(data, max_pixels=rules.max_pixels, contract=rules.contract, limit=limit)
    with _extra():
        from dicom.attributes.context import Context
        from dicom.picture import decode as decode_object
    context = Context(rules.ages, refuse=rules.refuse_context)
    return decode_object(data, context, max_pixels=rules.max_pixels, contract=rules.contract, limit=limit)


def is_installed() -> bool:
    """Whether the extra is installed."""
    try:
        with _extra():
            import dicom.attributes.identity  # noqa: F401
    except UnsupportedFormat:
        return False
    return True


def facts(data: bytes, *, ids: bool) -> dict[str, str | None]:
    """Attributes of a DICOM file: ``modality``, ``view`` and ``sop_instance_uid``.

    Args:
        data: the file.
        ids: whether ``patient_id``, ``accession_number`` and ``study_instance_uid`` are among them.

    Returns:
        the values, None where it has none; empty if the file cannot be read or the extra is not installed.
    """
    try:
        with _extra():
            from dicom.attributes.identity import identity_of
        return identity_of(data, ids=ids)
    except ImageRefused:
        return {}


def picture(data: bytes, longest: int, *, max_pixels: int, limit: Cost | None = None) -> Image.Image:
    """The picture of a JPEG, PNG or DICOM file for people: mode "L", no side longer than ``longest`` pixels.

    Raises:
        ImageRefused, TooExpensive: as ``decode``.
    """
    if not is_dicom(data):
        return image.picture(data, longest, max_pixels=max_pixels, limit=limit)
    with _extra():
        from dicom.picture import picture as picture_of_object
    return picture_of_object(data, longest, max_pixels=max_pixels, limit=limit)


def viewing(data: bytes) -> Viewing:
    """What a viewer shows beside the picture of a JPEG, PNG or DICOM file.

    Raises:
        ImageRefused: as ``decode``.
    """
    if not is_dicom(data):
        header = read_header(data)
        return Viewing(columns=header.width, rows=header.height)
    with _extra():
        from dicom.attributes.viewing import viewing as viewing_of_object
    return viewing_of_object(data)


def report(data: bytes, answer: PredictResponse, model_sha256: str, software: str) -> bytes:
    """The Structured Report on a DICOM file, as a DICOM file.

    Args:
        data: the file.
        answer: to it alone, without an error.
        model_sha256: of the graph that ran.
        software: version of the service.
    """
    with _extra():
        from dicom.results.report import report_of
        from dicom.results.result import Result
    return report_of(data, Result(**_result_fields(answer), model_sha256=model_sha256, software=software))


def capture(data: bytes, drawn: Image.Image, answer: PredictResponse, model_sha256: str, software: str) -> bytes:
    """A picture about a DICOM file, mode "RGB", as a Secondary Capture; for the others see ``report``."""
    with _extra():
        from dicom.results.capture import capture_of
        from dicom.results.result import Result
    result = Result(**_result_fields(answer), model_sha256=model_sha256, software=software)
    return capture_of(data, np.asarray(drawn), result)


def _result_fields(answer: PredictResponse) -> dict[str, Any]:
    entry = answer.predictions[0]
    fields = entry.model_dump(include={"label", "probability", "threshold", "guard_score"})
    return fields | {
        "operating_point": answer.operating_point,
        "population": answer.population,
        "site": answer.site,
        "model": answer.model.name,
        "version": answer.model.version,
        "warnings": tuple(warning.code for warning in entry.warnings),
    }


@contextmanager
def _extra() -> Iterator[None]:
    """Imports that need the extra.

    Raises:
        UnsupportedFormat: it is not installed.
    """
    try:
        yield
    except ImportError:
        raise UnsupportedFormat(DICOM_MISSING) from None
