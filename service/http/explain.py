"""``POST /explain``: the heatmap of one image, with the admission, queue and limits of ``/predict``."""

import asyncio
from typing import Annotated, Any, cast, get_args

import numpy as np
from fastapi import APIRouter, Depends, Query, Request, Response
from numpy.typing import NDArray

from service import errors
from service.access.authentication import authorize_prediction
from service.core import Service
from service.errors import raises
from service.http import predictions
from service.http.drawing import LONGEST_SIDE, Style, draw, png
from service.http.openapi import BINARY, header
from service.http.routes import PREDICT_PROBLEMS, SERVER_TIMING, PointNames, ServiceDep, image_body, point_parameter
from service.http.uploads import IMAGES_PROBLEMS, read_uploads
from service.inference import dicom
from service.inference.reader import Reading
from service.inference.threads.pool import run_in
from service.telemetry.record import RequestRecord
from service.wire import VERSION, PredictResponse

router = APIRouter()
_STYLES: tuple[Style, ...] = get_args(Style)


class Png(Response):
    """A response class that gives OpenAPI the media type."""

    media_type = "image/png"


_Format = Annotated[
    str,
    Query(
        alias="format",
        json_schema_extra={"enum": list(_STYLES)},
        description="`overlay`: the radiograph with the heatmap over it; `side-by-side`: the radiograph without and "
        "with the heatmap; `heatmap`: the heatmap alone, one pixel with transparency per cell, to overlay on the "
        "radiograph.",
    ),
]


@raises(errors.InvalidParameter)
async def _style(requested: _Format = "overlay") -> Style:
    """The requested format. A dependency, so an unknown one is rejected before the body is read."""
    if requested not in _STYLES:
        raise errors.InvalidParameter(f"format must be one of {', '.join(_STYLES)}")
    return requested


_ZERO_TO_ONE: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}
_PICTURE: dict[str, Any] = {
    "content": {Png.media_type: {"schema": BINARY}, predictions.DICOM: {"schema": BINARY}},
    "headers": {
        "X-Model": header("Name and version of the model.", example="pneumonia/7"),
        "X-Operating-Point": header("Name of the operating point, percent-encoded.", example="balanced"),
        "X-Population": header(
            "Population whose calibration and threshold apply. Absent: it is unknown.", required=False, example="adult"
        ),
        "X-Site": header(
            "Site whose calibration and threshold apply, percent-encoded. Absent: those of the model.",
            required=False,
            example="General%20Hospital",
        ),
        "X-Label": header("PNEUMONIA if probability >= threshold.", enum=["NORMAL", "PNEUMONIA"]),
        "X-Probability": header("Probability of PNEUMONIA.", **_ZERO_TO_ONE, example=0.9731),
        "X-Threshold": header("Threshold of the operating point.", **_ZERO_TO_ONE, example=0.5),
        "X-Warnings": header("Warning codes, comma-separated; may be empty.", example="unlike_training_data"),
        "Server-Timing": SERVER_TIMING,
    },
}


@router.post(
    "/explain",
    tags=["Prediction"],
    summary="Show where the model found evidence",
    response_class=Png,
    openapi_extra=image_body(max_images=1),
    responses={200: _PICTURE},
    dependencies=[Depends(authorize_prediction)],
)
@raises(*IMAGES_PROBLEMS, *PREDICT_PROBLEMS, errors.NotAcceptable)
async def explain(
    request: Request,
    service: ServiceDep,
    names: Annotated[PointNames, Depends(point_parameter("format"))],
    style: Annotated[Style, Depends(_style)],
) -> Response:
    """Send one image as for `/predict`: as the body, or as the part named `file` of multipart/form-data.

    Label, probability and heatmap come from the same model call. The result is printed below the image and repeated in
    the response headers. With `Accept: application/dicom` the answer to a DICOM file is a Secondary Capture.
    """
    record: RequestRecord = request.state.record
    model = service.main
    with service.admission.admit() as reservation, model.in_use():
        point = model.find_point(*names)
        uploads = await read_uploads(request, service.settings, reservation, max_images=1)
        reservation.add_images(1)
        images = [upload.data for upload in uploads]
        wants_object = predictions.wants_object(request.headers.get("accept", ""), images)
        if wants_object and style == "heatmap":
            raise errors.NotAcceptable("the heatmap alone is a PNG; as a DICOM object ask for another format")
        audit = service.audit.recording(request, model, point, images)
        async with audit as audited, asyncio.timeout(service.settings.deadline_s):
            results = await predictions.read_all(model.reader, images, explain=True)
            predictions.update_record(record, model, results)
            if isinstance(results[0], BaseException):
                raise cast(BaseException, results.pop())  # as in /predict
            response = predictions.response(model, point, [None], results, record.request_id)
            audited.answer = response
            graph = model.graph_sha256 if wants_object else None
            drawn = await render(service, style, uploads[0].data, results[0], response, graph_sha256=graph)
    kind = predictions.DICOM if wants_object else Png.media_type
    return Response(
        drawn, media_type=kind, headers=predictions.result_headers(response) | {"Server-Timing": record.server_timing}
    )


async def render(  # noqa: PLR0913  what is drawn, and as what
    service: Service,
    style: Style,
    data: bytes,
    reading: Reading,
    response: PredictResponse,
    *,
    graph_sha256: str | None,
) -> bytes:
    """The picture that explains an image.

    Args:
        service: the running service.
        style: what is drawn.
        data: the image as sent.
        reading: of the image, with its heatmap.
        response: to it alone.
        graph_sha256: of the model, for a Secondary Capture of a DICOM file; None: a PNG.
    """
    heatmap = cast(NDArray[np.float32], reading.heatmap)  # never None after explain=True
    picture = None
    if style != "heatmap":
        picture = await service.decoder.picture(service.drawer, data, LONGEST_SIDE, service.settings.max_pixels)

    def rendered() -> bytes:
        drawn = draw(style, picture, heatmap, response)
        if graph_sha256 is None:
            return png(drawn)
        return dicom.capture(data, drawn, response, graph_sha256, VERSION)

    return await run_in(service.drawer, rendered)
