"""``POST /explain``: the picture of one image that is read, by the same door, queue and rules as ``/predict``."""

import asyncio
from functools import partial
from typing import Annotated, Any, cast, get_args
from urllib.parse import quote

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray

from service import errors
from service.access.authentication import authorize_prediction
from service.core import Service
from service.errors import raises
from service.http import predictions
from service.http.drawing import Style, draw
from service.http.openapi import BINARY, header
from service.http.routes import READING_PROBLEMS, SERVER_TIMING, Alive, image_body, point
from service.http.uploads import IMAGES_PROBLEMS, read_uploads
from service.inference.points import Point
from service.inference.reader import Reading
from service.telemetry.metrics import RequestRecord
from service.wire import PredictResponse

router = APIRouter()
_STYLES: tuple[Style, ...] = get_args(Style)


class Png(Response):
    """A response whose type OpenAPI is told, too."""

    media_type = "image/png"


_Format = Annotated[
    str,
    Query(
        alias="format",
        json_schema_extra={"enum": list(_STYLES)},
        description="`overlay`: the radiograph with the heatmap over it; `side-by-side`: and without it beside; "
        "`heatmap`: that alone, one transparent pixel a place, to be laid over the radiograph.",
    ),
]


@raises(errors.InvalidParameter)
async def _style(wanted: _Format = "overlay") -> Style:
    """The format of a request, refused before its body is read."""
    if wanted not in _STYLES:
        raise errors.InvalidParameter(f"format is one of {', '.join(_STYLES)}")
    return wanted


_OF_ONE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
_PICTURE: dict[str, Any] = {
    "content": {Png.media_type: {"schema": BINARY}},
    "headers": {
        "X-Model": header("Name and version.", example="pneumonia/2"),
        "X-Operating-Point": header("Its name, percent-encoded.", example="balanced"),
        "X-Label": header("PNEUMONIA if probability >= threshold.", enum=["NORMAL", "PNEUMONIA"]),
        "X-Probability": header("Of PNEUMONIA.", **_OF_ONE, example=0.9731),
        "X-Threshold": header("Of the operating point.", **_OF_ONE, example=0.5),
        "X-Warnings": header("Codes, with commas between; may be empty.", example="unlike_training_data"),
        "Server-Timing": SERVER_TIMING,
    },
}


@router.post(
    "/explain",
    tags=["Reading"],
    summary="See where the evidence lies",
    response_class=Png,
    openapi_extra=image_body(most=1),
    responses={200: _PICTURE},
    dependencies=[Depends(authorize_prediction)],
)
@raises(*IMAGES_PROBLEMS, *READING_PROBLEMS)
async def explain(
    request: Request,
    service: Alive,
    point: Annotated[Point, Depends(point("format"))],
    style: Annotated[Style, Depends(_style)],
) -> Png:
    """Send one image as to `/predict`: as the body, or as the part named `file` of multipart/form-data.

    The answer's label, probability and so on come of the same model call as the heatmap; they stand below the picture
    and in headers.
    """
    record: RequestRecord = request.state.record
    with service.admission.admit() as reservation:
        uploads = await read_uploads(request, service.settings, reservation, most=1)
        images = [upload.data for upload in uploads]
        reading = service.audit.reading(request, service.main, point, images)
        async with reading as told, asyncio.timeout(service.settings.deadline_s):
            outcomes = await predictions.read_all(service.main.reader, images, explain=True)
            predictions.note(record, service.main, outcomes)
            if isinstance(outcomes[0], BaseException):
                raise outcomes[0]
            told.answer = answer = predictions.response(service.main, point, [None], outcomes, record.request_id)
            png = await _drawn(service, style, uploads[0].data, outcomes[0], answer)
    return Png(png, headers=_facts(answer) | {"Server-Timing": record.server_timing})


async def _drawn(service: Service, style: Style, data: bytes, reading: Reading, answer: PredictResponse) -> bytes:
    heatmap = cast(NDArray[np.float32], reading.heatmap)  # the batcher gives one to everybody who asks
    call = partial(draw, style, data, heatmap, answer, max_pixels=service.settings.max_pixels)
    return await asyncio.get_running_loop().run_in_executor(service.drawer, call)


def _facts(answer: PredictResponse) -> dict[str, str]:
    """What programs may want of the answer besides the picture."""
    entry = answer.predictions[0]
    return {
        "X-Model": f"{answer.model.name}/{answer.model.version}",
        "X-Operating-Point": quote(answer.operating_point),
        "X-Label": str(entry.label),
        "X-Probability": str(entry.probability),
        "X-Threshold": str(entry.threshold),
        "X-Warnings": ", ".join(warning.code for warning in entry.warnings),
    }
