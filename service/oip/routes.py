"""The Open Inference Protocol ("v2") over HTTP: the same models, door and queue as ``/predict``, for its clients."""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any, NoReturn, cast

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from contract.bundle import NAME_PATTERN, VERSION_PATTERN
from contract.errors import ImageRefused
from service.access.authentication import PredictCaller, authorize_prediction, require_scope
from service.core import Service
from service.errors import InvalidInference, InvalidParameter, ServiceError, UnknownModel, UnknownOperatingPoint, raises
from service.http import predictions
from service.http.routes import READING_PROBLEMS, Alive, take_only
from service.http.uploads import BODY_PROBLEMS, read_body
from service.inference.admission import Phase
from service.inference.model import Model
from service.inference.points import find_point
from service.inference.reader import Reading
from service.oip.request import HEADER_LENGTH, INPUTS, parse
from service.oip.response import outputs_of, respond, wanted
from service.oip.schema import INFER_BODY, INFERRED
from service.oip.wire import ModelMetadata, ModelReady, ServerHealth, ServerMetadata, TensorMetadata
from service.telemetry.metrics import RequestRecord

TAG = "Open Inference Protocol"
EXTENSIONS = ["binary_tensor_data", "model_repository", "parameters"]
router = APIRouter(tags=[TAG])
_NAMED, _VERSIONED = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
Name = Annotated[str, Path(json_schema_extra={"pattern": NAME_PATTERN}, examples=["pneumonia"])]
_Version = Annotated[str, Path(json_schema_extra={"pattern": VERSION_PATTERN}, examples=["2"])]
_JsonBytes = Annotated[
    str | SkipJsonSchema[None],
    WithJsonSchema({"type": "integer", "minimum": 0}),
    Header(alias=HEADER_LENGTH, description="How much of the body is JSON, if binary data follow. 0: it is one file."),
]


@raises(UnknownModel)
async def _by_name(request: Request, service: Alive, name: Name) -> None:
    request.state.model = service.repository.find(name)


@raises(UnknownModel)
async def _by_version(request: Request, service: Alive, name: Name, version: _Version) -> None:
    request.state.model = service.repository.find(name, version)


async def _found(request: Request) -> Model:
    return cast(Model, request.state.model)


Found = Annotated[Model, Depends(_found)]
_PREDICT = Depends(require_scope("predict"))
_READY: dict[str, Any] = {"responses": {503: {"model": ModelReady, "description": "It is not."}}}
_READS: dict[str, Any] = {
    "summary": "Read images",
    "openapi_extra": INFER_BODY,
    "responses": INFERRED,
    "response_class": Response,
}
_HEALTH: dict[str, Any] = {"responses": {503: {"model": ServerHealth, "description": "It is not."}}}


@router.get("/v2/", include_in_schema=False, dependencies=[_PREDICT])
@router.get("/v2", summary="What this service is", dependencies=[_PREDICT])
async def server(request: Request) -> ServerMetadata:
    """Its name, its version, and the extensions of the protocol that it has."""
    return ServerMetadata(name=request.app.title, version=request.app.version, extensions=EXTENSIONS)


@router.get("/v2/health/live", summary="Liveness", **_HEALTH)
async def live(response: Response, service: Alive) -> ServerHealth:
    """503 if only a restart helps."""
    told = _health(service)
    response.status_code = 200 if told.live else 503
    return told


@router.get("/v2/health/ready", summary="Readiness", **_HEALTH)
async def ready(response: Response, service: Alive) -> ServerHealth:
    """200 if every loaded model is ready."""
    told = _health(service)
    response.status_code = 200 if told.ready else 503
    return told


@router.get(_NAMED, summary="What a model takes and gives", dependencies=[_PREDICT, Depends(_by_name)])
@router.get(_VERSIONED, summary="What a version takes and gives", dependencies=[_PREDICT, Depends(_by_version)])
async def metadata(service: Alive, model: Found) -> ModelMetadata:
    """Of its inputs, a request has one. Without a version: the one that the service serves, else the highest."""
    return ModelMetadata(
        name=model.name,
        versions=service.repository.versions(model.name),
        inputs=[
            TensorMetadata(name=name, datatype=datatype, shape=[-1, *one]) for name, (datatype, one) in INPUTS.items()
        ],
        outputs=outputs_of(model.guard),
    )


@router.get(f"{_NAMED}/ready", summary="Model readiness", dependencies=[_PREDICT, Depends(_by_name)], **_READY)
@router.get(f"{_VERSIONED}/ready", summary="Version readiness", dependencies=[_PREDICT, Depends(_by_version)], **_READY)
async def model_ready(response: Response, service: Alive, model: Found) -> ModelReady:
    """503 if it is not; 404 if it is not loaded."""
    is_ready = service.admission.phase is Phase.READY and model.is_sound
    response.status_code = 200 if is_ready else 503
    return ModelReady(name=model.name, ready=is_ready)


@router.post(f"{_NAMED}/infer", dependencies=[Depends(authorize_prediction), Depends(_by_name)], **_READS)
@router.post(f"{_VERSIONED}/infer", dependencies=[Depends(authorize_prediction), Depends(_by_version)], **_READS)
@raises(InvalidInference, InvalidParameter, UnknownOperatingPoint, *BODY_PROBLEMS, *READING_PROBLEMS)
async def infer(
    request: Request, service: Alive, caller: PredictCaller, model: Found, json_bytes: _JsonBytes = None
) -> Response:
    """Send files (JPEG or PNG) or pixels, in JSON or as binary data behind it. If one image of several cannot be read,
    none is: the error says which it was.
    """
    take_only(request)
    record: RequestRecord = request.state.record
    loop = asyncio.get_running_loop()
    call = partial(parse, stated=json_bytes, max_images=service.settings.max_images)
    with service.admission.admit() as reservation, model.in_use():
        body = await read_body(request, service.settings, reservation)
        deadline = loop.time() + service.settings.deadline_s
        async with asyncio.timeout_at(deadline):
            asked = await loop.run_in_executor(service.parser, call, body)
            named = asked.parameters.operating_point
            point = model.default_point if named is None else find_point(model.bundle.manifest, named)
            outputs = wanted(asked, model.guard)
        reservation.add_images(len(asked.images) - 1)
        caller.charge(len(asked.images) - 1)
        sent = [image if isinstance(image, bytes) else image.data for image in asked.images]
        # Around the deadline, not within: that it has passed is an answer, too.
        async with service.audit.reading(request, model, point, sent) as told:
            async with asyncio.timeout_at(deadline):
                outcomes = await predictions.read_all(model.reader, asked.images, explain="heatmap" in outputs)
            predictions.note(record, model, outcomes)
            readings = _readings(outcomes)
            answer = predictions.response(model, point, [None] * len(readings), readings, record.request_id)
            told.answer = answer
    if model.main and "heatmap" not in outputs:
        service.metrics.images_answered(answer)
    response = respond(outputs, answer, readings, point, record.request_id if asked.id is None else asked.id)
    response.headers["Server-Timing"] = record.server_timing
    return response


def _health(service: Service) -> ServerHealth:
    sound = service.status == "ok" and all(model.is_sound for model in service.repository.models)
    return ServerHealth(live=service.main.is_live, ready=sound)


def _readings(outcomes: Sequence[predictions.Outcome]) -> list[Reading]:
    """All of them, or the first of the errors."""
    return [each if isinstance(each, Reading) else _refuse(at, each, outcomes) for at, each in enumerate(outcomes)]


def _refuse(at: int, error: BaseException, outcomes: Sequence[object]) -> NoReturn:
    """Raise what came of an image; of several, with which it was."""
    if len(outcomes) > 1 and isinstance(error, ServiceError | ImageRefused):
        error.args = (f"image {at} of 0 to {len(outcomes) - 1}: {error}",)
    raise error
