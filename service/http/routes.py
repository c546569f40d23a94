"""The calls of the service."""

import asyncio
from collections.abc import Callable, Coroutine
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
from service.inference.points import Point, find_point
from service.wire import Health, PredictResponse, Probe, ServedModel

router = APIRouter()


async def _service(request: Request) -> Service:
    # Not a plain ``def``: FastAPI has a thread run those.
    return cast(Service, request.app.state.service)


class Markdown(PlainTextResponse):
    """A response whose type OpenAPI is told, too."""

    media_type = "text/markdown"


Alive = Annotated[Service, Depends(_service)]
Named = Annotated[
    str | SkipJsonSchema[None],
    Query(description="Whose threshold makes the labels; `GET /model` lists them.", examples=["balanced"]),
]


def take_only(request: Request, *names: str) -> None:
    """Refuse parameters of other names, and one that stands twice: a slip must not pass for the default."""
    if not request.scope["query_string"]:
        return
    asked = [name for name, _ in request.query_params.multi_items()]
    if len(asked) > len(set(asked) & set(names)):
        raise errors.InvalidParameter(f"the parameters of this call: {', '.join(names) or 'none'}; each at most once")


def point(*beside: str) -> Callable[..., Coroutine[Any, Any, Point]]:
    """A dependency: the operating point of a request, which may have these parameters beside it and no others."""

    @raises(errors.InvalidParameter, errors.UnknownOperatingPoint)
    async def found(request: Request, operating_point: Named = None) -> Point:
        take_only(request, *beside, "operating_point")
        model = request.app.state.service.main
        if operating_point is None:
            return cast(Point, model.default_point)
        return find_point(model.bundle.manifest, operating_point)

    return found


def image_body(most: int | None = None) -> Document:
    """What OpenAPI is told of a body of images: one as it is, or up to so many as parts of a form (None: as many as the
    settings say).
    """
    files = BINARY if most == 1 else {"type": "array", "items": BINARY, "minItems": 1}
    form = {"type": "object", "required": [PART], "properties": {PART: files}}
    content = {kind: {"schema": form if kind == MULTIPART else BINARY} for kind in (*RAW_TYPES, MULTIPART)}
    return {"parameters": [CONTENT_DIGEST], "requestBody": {"required": True, "content": content}}


# How the door, and then the reading of an image, may end a request.
READING_PROBLEMS = (
    errors.NotReady,
    errors.Overloaded,
    ImageRefused,
    errors.UnlikeTrainingData,
    errors.BackendFault,
    errors.AuditUnavailable,
    TimeoutError,
)
SERVER_TIMING = header("Where the time went, in milliseconds.", example="decode;dur=2, queue;dur=0.1, inference;dur=7")
_UNREADY = "Starting, draining or failing."


@router.post(
    "/predict",
    tags=["Reading"],
    summary="Read one or more chest radiographs",
    openapi_extra=image_body(),
    responses={200: {"headers": {"Server-Timing": SERVER_TIMING}}},
)
@raises(*IMAGES_PROBLEMS, *READING_PROBLEMS)
async def predict(
    request: Request, http: Response, caller: PredictCaller, point: Annotated[Point, Depends(point())]
) -> PredictResponse:
    """Send a JPEG or PNG as the body, or one or more as parts named `file` of multipart/form-data.

    A request whose only image fails answers with that problem; one of several answers 200 with an error in its place.
    """
    service, record = await _service(request), request.state.record
    with service.admission.admit() as reservation:
        uploads = await read_uploads(request, service.settings, reservation, service.settings.max_images)
        reservation.add_images(len(uploads) - 1)
        caller.charge(len(uploads) - 1)
        images = [upload.data for upload in uploads]
        async with service.audit.reading(request, service.main, point, images) as told:
            async with asyncio.timeout(service.settings.deadline_s):
                outcomes = await predictions.read_all(service.main.reader, images)
            predictions.note(record, service.main, outcomes)
            if len(outcomes) == 1 and isinstance(outcomes[0], BaseException):
                raise outcomes[0]
            filenames = [upload.filename for upload in uploads]
            told.answer = answer = predictions.response(service.main, point, filenames, outcomes, record.request_id)
    service.metrics.images_answered(answer)
    http.headers["Server-Timing"] = record.server_timing
    return answer


@router.get(
    "/health",
    tags=["Health"],
    summary="How the service is",
    responses={503: {"model": Health, "description": _UNREADY}},
)
async def health(response: Response, service: Alive) -> Health:
    """How the service is, which model it has, and which graph of it really runs where."""
    response.status_code = 200 if service.status == "ok" else 503
    return Health(
        status=service.status,
        model=predictions.model_name(service.main),
        provider=service.main.backend.provider,
        device_requested=service.settings.device,
        graph=service.main.backend.graph,
        precision="int8" if service.main.backend.graph == INT8_GRAPH else "float32",
    )


@router.get(
    "/health/live",
    tags=["Health"],
    summary="Liveness",
    responses={503: {"model": Probe, "description": "Only a restart helps."}},
)
async def live(response: Response, service: Alive) -> Probe:
    """For an orchestrator: 503 if this process should be restarted."""
    response.status_code = 200 if service.main.is_live else 503
    return Probe(status=service.status)


@router.get(
    "/health/ready", tags=["Health"], summary="Readiness", responses={503: {"model": Probe, "description": _UNREADY}}
)
async def ready(response: Response, service: Alive) -> Probe:
    """For an orchestrator: 503 if no requests should be sent here."""
    response.status_code = 200 if service.status == "ok" else 503
    return Probe(status=service.status)


@router.get(
    "/model",
    tags=["Model"],
    summary="What the manifest says, and what is in use",
    dependencies=[Depends(require_scope("predict"))],
)
async def model(service: Alive) -> ServedModel:
    """What the model's manifest says of it: operating points, results, digests; and what of it is in use here: `graph`,
    `operating_point` where a request names none, and `guard` (`off` also where the model has none).
    """
    return ServedModel(
        **dict(service.main.bundle.manifest),
        graph=service.main.backend.graph,
        operating_point=service.main.default_point.name,
        guard=service.main.guard.mode,
    )


@router.get(
    "/model/card",
    tags=["Model"],
    summary="The model card",
    response_class=Markdown,
    dependencies=[Depends(require_scope("predict"))],
)
async def card(service: Alive) -> Markdown:
    """The model card, in Markdown: for whom the model is meant, for whom not, and how well it does."""
    return Markdown(service.main.bundle.card)


@router.get(
    "/metrics",
    tags=["Health"],
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    dependencies=[Depends(require_scope("metrics"))],
)
async def metrics(service: Alive) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
