"""``POST /render``: a file as a picture that every browser shows. Nothing is analysed, and nothing is stored."""

import asyncio
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request, Response
from pydantic.json_schema import SkipJsonSchema

from contract.errors import ImageRefused
from contract.header import Viewing
from service import errors
from service.access.authentication import authorize_prediction
from service.errors import raises
from service.http.drawing import png
from service.http.explain import Png
from service.http.openapi import BINARY, header
from service.http.routes import ServiceDep, allow_only, image_body
from service.http.uploads import IMAGES_PROBLEMS, read_uploads
from service.inference import dicom
from service.inference.threads.pool import run_in
from service.telemetry.record import RequestRecord

router = APIRouter()
# Pixels a side of the picture.
_SMALLEST, _LARGEST = 16, 4096
_PIXELS: dict[str, Any] = {"type": "integer", "minimum": 1}
_PICTURE: dict[str, Any] = {
    "content": {Png.media_type: {"schema": BINARY}},
    "headers": {
        "X-Columns": header("Width of the picture in the file, in pixels.", **_PIXELS, example=2500),
        "X-Rows": header("Height of the picture in the file, in pixels.", **_PIXELS, example=2048),
        "X-Pixel-Spacing": header(
            "Millimetres from pixel to pixel of the file, down and across. Absent: the file does not say.",
            required=False,
            example="0.144, 0.144",
        ),
        "X-Pixel-Spacing-At": header(
            "`detector`: the spacing is that at the detector, where the patient is magnified; `patient`: it is "
            "calibrated.",
            required=False,
            enum=["detector", "patient"],
        ),
        "X-Window": header(
            "Level and width of the DICOM object's window, in its own units.", required=False, example="2048, 4096"
        ),
        "X-View-Position": header(
            "View Position of the DICOM object, if it is one of the usual ones.", required=False, example="PA"
        ),
        "X-Patient-Age": header(
            "The patient's age in years, by the DICOM object.", required=False, type="number", minimum=0, example=4
        ),
    },
}
_Longest = Annotated[
    str | SkipJsonSchema[None],
    Query(
        json_schema_extra={"type": "integer", "minimum": _SMALLEST, "maximum": _LARGEST},
        description=f"Most pixels a side; a larger picture is shrunk, with its aspect ratio kept. Default: {_LARGEST}.",
        examples=[512],
    ),
]


@raises(errors.InvalidParameter)
async def _longest(request: Request, longest: _Longest = None) -> int:
    """The requested size. A dependency, so an impossible one is rejected before the body is read."""
    allow_only(request, "longest")
    if longest is None:
        return _LARGEST
    if not longest.isascii() or not longest.isdigit() or not _SMALLEST <= int(longest[:9]) <= _LARGEST:
        raise errors.InvalidParameter(f"longest must be a number of pixels from {_SMALLEST} to {_LARGEST}")
    return int(longest)


@router.post(
    "/render",
    tags=["Prediction"],
    summary="Show a file as a picture",
    response_class=Png,
    openapi_extra=image_body(max_images=1),
    responses={200: _PICTURE},
    dependencies=[Depends(authorize_prediction)],
)
@raises(*IMAGES_PROBLEMS, errors.NotReady, errors.Overloaded, ImageRefused, errors.AuditUnavailable, TimeoutError)
async def render(request: Request, service: ServiceDep, longest: Annotated[int, Depends(_longest)]) -> Response:
    """Send one image as for `/predict`. The response is the picture as it is analysed: a PNG of 8-bit grey, upright,
    a DICOM object with its own window; the headers say what the file states about it. It is not analysed.
    """
    record: RequestRecord = request.state.record
    with service.admission.admit() as reservation:
        uploads = await read_uploads(request, service.settings, reservation, max_images=1)
        reservation.add_images(1)
        data = uploads[0].data
        async with service.audit.rendering(request, data), asyncio.timeout(service.settings.deadline_s):
            facts = await run_in(service.drawer, partial(dicom.viewing, data))
            picture = await service.decoder.picture(service.drawer, data, longest, service.settings.max_pixels)
            drawn = await run_in(service.drawer, partial(png, picture))
    record.images = 1
    return Png(drawn, headers=_headers(facts))


def _headers(facts: Viewing) -> dict[str, str]:
    """The attributes of the file that a viewer shows, as header fields."""
    found = {
        "X-Columns": str(facts.columns),
        "X-Rows": str(facts.rows),
        "X-Pixel-Spacing": facts.spacing and ", ".join(f"{each:g}" for each in facts.spacing),
        "X-Pixel-Spacing-At": facts.spacing and ("detector" if facts.at_detector else "patient"),
        "X-Window": facts.window and ", ".join(f"{each:g}" for each in facts.window),
        "X-View-Position": facts.view,
        "X-Patient-Age": None if facts.age is None else f"{facts.age:.3g}",
    }
    return {name: text for name, text in found.items() if text is not None}
