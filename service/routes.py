"""The calls of the service."""

import asyncio
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from contract.bundle import INT8_GRAPH
from service import errors, predictions
from service.access import Reads, needs, spends_one
from service.core import Service
from service.points import Point, find_point
from service.telemetry import RequestRecord
from service.uploads import MULTIPART, PART, RAW_TYPES, read_uploads
from service.wire import Health, PredictResponse, Probe

router = APIRouter()


def _service(request: Request) -> Service:
    return cast(Service, request.app.state.service)


class Markdown(PlainTextResponse):
    """A response whose type OpenAPI is told, too."""

    media_type = "text/markdown"


Alive = Annotated[Service, Depends(_service)]
Named = Annotated[
    str | None, Query(description="Whose threshold makes the labels; `GET /model` lists them.", examples=["balanced"])
]


def take_only(request: Request, *names: str) -> None:
    """Refuse parameters of other names, and one that stands twice: a slip must not pass for the default."""
    asked = [name for name, _ in request.query_params.multi_items()]
    if len(asked) > len(set(asked) & set(names)):
        raise errors.InvalidParameter(f"the parameters of this call: {', '.join(names) or 'none'}; each at most once")


async def point(service: Alive, operating_point: Named = None) -> Point:
    """The operating point of a request."""
    if operating_point is None:
        return service.main.default_point
    return find_point(service.main.bundle.manifest, operating_point)


async def _one_parameter(request: Request) -> None:
    take_only(request, "operating_point")


_BINARY = {"schema": {"type": "string", "format": "binary"}}
_FILES = {"type": "object", "required": [PART], "properties": {PART: {"type": "array", "items": _BINARY["schema"]}}}
IMAGE_BODY = {
    "requestBody": {
        "required": True,
        "content": {**dict.fromkeys(RAW_TYPES, _BINARY), MULTIPART: {"schema": _FILES}},
    }
}
KEY_PROBLEMS = (401, 403)
IMAGE_PROBLEMS = (400, *KEY_PROBLEMS, 408, 413, 414, 415, 422, 429, 500, 503, 504)
_UNREADY = "Starting, draining or failing."


@router.post(
    "/predict",
    tags=["Reading"],
    summary="Read one or more chest radiographs",
    openapi_extra=IMAGE_BODY,
    responses=errors.responses(*IMAGE_PROBLEMS),
    dependencies=[Depends(spends_one), Depends(_one_parameter)],
)
async def predict(
    request: Request, http: Response, service: Alive, caller: Reads, point: Annotated[Point, Depends(point)]
) -> PredictResponse:
    """Send a JPEG or PNG as the body, or one or more as parts named `file` of multipart/form-data.

    A request whose only image fails answers with that problem; one of several answers 200 with an error in its place.
    """
    record: RequestRecord = request.state.record
    with service.door.admit() as party:
        uploads = await read_uploads(request, service.settings, party, service.settings.max_images)
        party.grow(len(uploads) - 1)
        caller.takes(len(uploads) - 1)
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
    responses=errors.responses(*KEY_PROBLEMS),
    dependencies=[Depends(needs("predict"))],
)
async def model(service: Alive) -> dict[str, Any]:
    """What the model's manifest says of it: operating points, results, digests; and what of it is in use here: `graph`,
    `operating_point` where a request names none, and `guard` (`off` also where the model has none).
    """
    in_use = {
        "graph": service.main.backend.graph,
        "operating_point": service.main.default_point.name,
        "guard": service.main.guard.mode,
    }
    return service.main.bundle.manifest.model_dump(mode="json", exclude={"provenance"}) | in_use


@router.get(
    "/model/card",
    tags=["Model"],
    summary="The model card",
    response_class=Markdown,
    responses=errors.responses(*KEY_PROBLEMS),
    dependencies=[Depends(needs("predict"))],
)
async def card(service: Alive) -> Markdown:
    """The model card, in Markdown: for whom the model is meant, for whom not, and how well it does."""
    return Markdown(service.main.bundle.card)


@router.get(
    "/metrics",
    tags=["Health"],
    summary="Metrics for Prometheus",
    response_class=PlainTextResponse,
    responses=errors.responses(*KEY_PROBLEMS),
    dependencies=[Depends(needs("metrics"))],
)
async def metrics(service: Alive) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(service.metrics.text(), media_type=CONTENT_TYPE_LATEST)
