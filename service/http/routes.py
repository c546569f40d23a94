"""The endpoints ``/predict``, ``/health``, ``/version`` and ``/metrics``, and what several endpoints share."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic.json_schema import SkipJsonSchema

from contract.bundle import INT8_GRAPH
from contract.errors import ImageRefused
from service import errors
from service.access.authentication import PredictCaller, require_scope
from service.core import Service
from service.errors import raises
from service.http import predictions
from service.http.openapi import BINARY, CONTENT_DIGEST, Document, header
from service.http.uploads import IMAGES_PROBLEMS, MULTIPART, PART, RAW_TYPES, read_uploads
from service.inference import dicom
from service.inference.model import Model
from service.inference.threads.pool import run_in
from service.wire import VERSION, Health, PredictResponse, Probe, ServiceVersion

router = APIRouter()


async def _service(request: Request) -> Service:
    # ``async``, because FastAPI runs a plain ``def`` in a thread.
    return cast(Service, request.app.state.service)


ServiceDep = Annotated[Service, Depends(_service)]
_PointName = Annotated[
    str | SkipJsonSchema[None],
    Query(
        description="Operating point whose threshold decides the labels. `GET /model` lists the operating points.",
        examples=["balanced"],
    ),
]
_Population = Annotated[
    str | SkipJsonSchema[None],
    Query(
        description="Population of the patients, such as `adult`: its calibration and its thresholds apply. "
        "`GET /model` lists the populations. `unknown`: those chosen for all populations together.",
        examples=["unknown"],
    ),
]

PointNames = tuple[str | None, str | None]
"""The names of an operating point and of a population in a request; None: the request has none."""


def allow_only(request: Request, *names: str) -> None:
    """Reject query parameters of other names, and repeated ones, so that a typing error never selects the default.

    Raises:
        InvalidParameter: the request has such a parameter.
    """
    if not request.scope["query_string"]:
        return
    sent = [name for name, _ in request.query_params.multi_items()]
    if len(sent) > len(set(sent) & set(names)):
        allowed = ", ".join(names) or "none"
        raise errors.InvalidParameter(f"query parameters of this endpoint: {allowed}; each at most once")


def point_parameter(*other_parameters: str) -> Callable[..., Coroutine[Any, Any, PointNames]]:
    """A dependency that takes the names of operating point and population from a request. The endpoint finds the point
    in the model that analyses the images: the served model may be replaced at any time.

    Args:
        other_parameters: names of further query parameters of the endpoint; all others are rejected.
    """

    @raises(errors.InvalidParameter, errors.UnknownOperatingPoint, errors.UnknownPopulation)
    async def requested_point(
        request: Request, operating_point: _PointName = None, population: _Population = None
    ) -> PointNames:
        allow_only(request, *other_parameters, "operating_point", "population")
        return operating_point, population

    return requested_point


def image_body(max_images: int | None = None) -> Document:
    """The OpenAPI request body of an endpoint that takes images: one as the raw body, or several as parts of a form.

    Args:
        max_images: 1 documents a single part; None an array, whose limit is a setting (``XRAY_MAX_IMAGES``).
    """
    files = BINARY if max_images == 1 else {"type": "array", "items": BINARY, "minItems": 1}
    form = {"type": "object", "required": [PART], "properties": {PART: files}}
    content = {kind: {"schema": form if kind == MULTIPART else BINARY} for kind in (*RAW_TYPES, MULTIPART)}
    return {"parameters": [CONTENT_DIGEST], "requestBody": {"required": True, "content": content}}


# Exceptions of admission, and then of the analysis of an image.
PREDICT_PROBLEMS = (
    errors.NotReady,
    errors.Overloaded,
    ImageRefused,
    errors.UnlikeTrainingData,
    errors.BackendFault,
    errors.AuditUnavailable,
    TimeoutError,
)
SERVER_TIMING = header("Milliseconds per stage.", example="decode;dur=2, queue;dur=0.1, inference;dur=7")
_NOT_READY = "Starting, draining or failing."


@router.post(
    "/predict",
    tags=["Prediction"],
    summary="Analyse one or more chest radiographs",
    openapi_extra=image_body(),
    response_model=PredictResponse,
    responses={200: {"headers": {"Server-Timing": SERVER_TIMING}, "content": {predictions.DICOM: {"schema": BINARY}}}},
)
@raises(*IMAGES_PROBLEMS, *PREDICT_PROBLEMS, errors.NotAcceptable)
async def predict(
    request: Request,
    http_response: Response,
    caller: PredictCaller,
    names: Annotated[PointNames, Depends(point_parameter())],
) -> PredictResponse | Response:
    """Send a JPEG, PNG or DICOM file as the body, or one or more as parts named `file` of multipart/form-data.

    If the only image fails, the response is its problem. If one of several fails, the response is 200, and the entry of
    that image has an `error`; so has one that is not ready by the deadline, while others are.

    With `Accept: application/dicom` the answer to one DICOM file is a Structured Report.
    """
    service, record = await _service(request), request.state.record
    model = service.main
    with service.admission.admit() as reservation, model.in_use():
        point = model.find_point(*names)
        uploads = await read_uploads(request, service.settings, reservation, service.settings.max_images)
        reservation.add_images(len(uploads))
        caller.charge(len(uploads) - 1)
        images = [upload.data for upload in uploads]
        wants_object = predictions.wants_object(request.headers.get("accept", ""), images)
        async with service.audit.recording(request, model, point, images) as audited:
            until = asyncio.get_running_loop().time() + service.settings.deadline_s
            results = await predictions.read_all(model.reader, images, until)
            predictions.update_record(record, model, results)
            if predictions.has_failed(results):
                # Not left in a variable of this frame, which would be a reference cycle.
                raise cast(BaseException, results.pop())
            filenames = [upload.filename for upload in uploads]
            response = predictions.response(model, point, filenames, results, record.request_id)
            async with asyncio.timeout_at(until):
                report = await _report(service, model, images[0], response) if wants_object else None
            audited.answer = response
    service.metrics.images_answered(response)
    http_response.headers["Server-Timing"] = record.server_timing
    if report is None:
        return response
    headers = predictions.result_headers(response) | {"Server-Timing": record.server_timing}
    return Response(report, media_type=predictions.DICOM, headers=headers)


async def _report(service: Service, model: Model, data: bytes, response: PredictResponse) -> bytes:
    """The Structured Report on the only image of a response, made in the thread that draws."""
    call = partial(dicom.report, data, response, model.graph_sha256, VERSION)
    return await run_in(service.drawer, call)


@router.get(
    "/health",
    tags=["Health"],
    summary="Health",
    responses={503: {"model": Health, "description": _NOT_READY}},
)
async def health(response: Response, service: ServiceDep) -> Health:
    """The state of the service, the model, the graph in use, and the execution provider that runs it."""
    response.status_code = 200 if service.status == "ok" else 503
    return Health(
        status=service.status,
        model=predictions.model_name(service.main),
        provider=service.main.backend.provider,
        device_requested=service.settings.device,
        graph=service.main.backend.graph,
        precision="int8" if service.main.backend.graph == INT8_GRAPH else "float32",
        version=VERSION,
    )


@router.get("/version", tags=["Health"], summary="The version of the service")
async def version(service: ServiceDep) -> ServiceVersion:
    """Name and version of the service, and whether it keeps records. Those of the model: `GET /model`."""
    return ServiceVersion(version=VERSION, audit=service.settings.audit)


@router.get(
    "/health/live",
    tags=["Health"],
    summary="Liveness",
    responses={503: {"model": Probe, "description": "The process must be restarted."}},
)
async def live(response: Response, service: ServiceDep) -> Probe:
    """Liveness probe: 503 if this process should be restarted."""
    response.status_code = 200 if service.is_live else 503
    return Probe(status=service.status)


@router.get(
    "/health/ready", tags=["Health"], summary="Readiness", responses={503: {"model": Probe, "description": _NOT_READY}}
)
async def ready(response: Response, service: ServiceDep) -> Probe:
    """Readiness probe: 503 if no requests should be sent to this process."""
    response.status_code = 200 if service.status == "ok" else 503
    return Probe(status=service.status)


@router.get(
    "/metrics",
    tags=["Health"],
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    dependencies=[Depends(require_scope("metrics"))],
)
async def metrics(service: ServiceDep) -> Response:
    """Metrics in the Prometheus text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
