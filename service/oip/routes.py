"""The Open Inference Protocol ("v2") over HTTP: the models, admission and queue of ``/predict``, for its clients."""

import asyncio
import re
from dataclasses import replace
from functools import partial
from typing import Annotated, Any, cast

from fastapi import APIRouter, Depends, Header, Path, Request, Response
from pydantic import WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from contract.bundle import NAME_PATTERN, VERSION_PATTERN
from contract.errors import ImageRefused
from service.access.authentication import PredictCaller, authorize_prediction, require_scope
from service.core import Service
from service.errors import (
    InvalidInference,
    InvalidParameter,
    ServiceError,
    UnknownModel,
    UnknownOperatingPoint,
    UnknownPopulation,
    raises,
)
from service.http import predictions
from service.http.routes import PREDICT_PROBLEMS, ServiceDep, allow_only
from service.http.uploads import BODY_PROBLEMS, read_body
from service.inference.admission import Phase
from service.inference.reader import Reading
from service.oip.request import HEADER_LENGTH, parse
from service.oip.response import infer_response, outputs_of, requested_classes, requested_outputs
from service.oip.schema import INFER_BODY, INFERRED
from service.oip.views import CLASSIFIER, Named, find
from service.oip.wire import ModelMetadata, ModelReady, ServerHealth, ServerMetadata, TensorMetadata
from service.telemetry.record import RequestRecord

TAG = "Open Inference Protocol"
EXTENSIONS = [
    "binary_tensor_data",
    "classification",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
]
router = APIRouter(tags=[TAG])
MODEL, VERSION = "/v2/models/{name}", "/v2/models/{name}/versions/{version}"
ModelNamePath = Annotated[str, Path(json_schema_extra={"pattern": NAME_PATTERN}, examples=["pneumonia"])]
_NAME_OR_CLASSIFIER = f"{NAME_PATTERN.removesuffix('$')}({re.escape(CLASSIFIER.suffix)})?$"
_NamePath = Annotated[str, Path(json_schema_extra={"pattern": _NAME_OR_CLASSIFIER}, examples=["pneumonia"])]
_VersionPath = Annotated[str, Path(json_schema_extra={"pattern": VERSION_PATTERN}, examples=["2"])]
_HeaderLength = Annotated[
    str | SkipJsonSchema[None],
    WithJsonSchema({"type": "integer", "minimum": 0}),
    Header(
        alias=HEADER_LENGTH,
        description="Bytes of JSON at the start of the body, if binary data follow. 0: the body is one image file.",
    ),
]


@raises(UnknownModel)
async def by_name(request: Request, service: ServiceDep, name: _NamePath) -> None:
    """A dependency: find the model that the path names."""
    request.state.named = find(service.repository, name)


@raises(UnknownModel)
async def by_version(request: Request, service: ServiceDep, name: _NamePath, version: _VersionPath) -> None:
    """A dependency: find the version of the model that the path names."""
    request.state.named = find(service.repository, name, version)


async def _requested_model(request: Request) -> Named:
    return cast(Named, request.state.named)


NamedDep = Annotated[Named, Depends(_requested_model)]
_PREDICT = Depends(require_scope("predict"))
_READY_ROUTE: dict[str, Any] = {"responses": {503: {"model": ModelReady, "description": "The model is not ready."}}}
_INFER_ROUTE: dict[str, Any] = {
    "summary": "Analyse images",
    "openapi_extra": INFER_BODY,
    "responses": INFERRED,
    "response_class": Response,
}
_HEALTH_ROUTE: dict[str, Any] = {"responses": {503: {"model": ServerHealth, "description": "Not live, or not ready."}}}


@router.get("/v2/", include_in_schema=False, dependencies=[_PREDICT])
@router.get("/v2", summary="Server metadata", dependencies=[_PREDICT])
async def server(request: Request) -> ServerMetadata:
    """The name and version of the service, and the extensions of the protocol that it supports."""
    return ServerMetadata(name=request.app.title, version=request.app.version, extensions=EXTENSIONS)


@router.get("/v2/health/live", summary="Liveness", **_HEALTH_ROUTE)
async def live(response: Response, service: ServiceDep) -> ServerHealth:
    """503 if the process must be restarted."""
    health = _health(service)
    response.status_code = 200 if health.live else 503
    return health


@router.get("/v2/health/ready", summary="Readiness", **_HEALTH_ROUTE)
async def ready(response: Response, service: ServiceDep) -> ServerHealth:
    """200 if every loaded model is ready."""
    health = _health(service)
    response.status_code = 200 if health.ready else 503
    return health


@router.get(MODEL, summary="Model metadata", dependencies=[_PREDICT, Depends(by_name)])
@router.get(VERSION, summary="Model version metadata", dependencies=[_PREDICT, Depends(by_version)])
async def metadata(service: ServiceDep, named: NamedDep) -> ModelMetadata:
    """A request has exactly one of the inputs. Without a version: the version that the service was started with, or
    else the highest that is loaded. `NAME.classifier` is the same model with one input and one output.
    """
    return ModelMetadata(
        name=named.name,
        versions=service.repository.versions(named.model.name),
        inputs=[
            TensorMetadata(name=name, datatype=datatype, shape=[-1, *image_shape])
            for name, (datatype, image_shape) in named.view.inputs.items()
        ],
        outputs=outputs_of(named.view, named.model.guard),
    )


@router.get(f"{MODEL}/ready", summary="Model readiness", dependencies=[_PREDICT, Depends(by_name)], **_READY_ROUTE)
@router.get(
    f"{VERSION}/ready",
    summary="Model version readiness",
    dependencies=[_PREDICT, Depends(by_version)],
    **_READY_ROUTE,
)
async def model_ready(response: Response, service: ServiceDep, named: NamedDep) -> ModelReady:
    """503 if the model is loaded but not ready; 404 if it is not loaded."""
    is_ready = service.admission.phase is Phase.READY and named.model.is_healthy
    response.status_code = 200 if is_ready else 503
    return ModelReady(name=named.name, ready=is_ready)


@router.post(f"{MODEL}/infer", dependencies=[Depends(authorize_prediction), Depends(by_name)], **_INFER_ROUTE)
@router.post(f"{VERSION}/infer", dependencies=[Depends(authorize_prediction), Depends(by_version)], **_INFER_ROUTE)
@raises(InvalidInference, InvalidParameter, UnknownOperatingPoint, UnknownPopulation, *BODY_PROBLEMS, *PREDICT_PROBLEMS)
async def infer(
    request: Request,
    service: ServiceDep,
    caller: PredictCaller,
    named: NamedDep,
    header_length: _HeaderLength = None,
) -> Response:
    """Send files (JPEG, PNG or DICOM) or pixels, in JSON or as binary data after the JSON. If one of several images
    fails, the whole request fails; the error names the image.
    """
    allow_only(request)
    record: RequestRecord = request.state.record
    model = named.model
    loop = asyncio.get_running_loop()
    parse_body = partial(parse, header_length=header_length, max_images=service.settings.max_images, view=named.view)
    counting = request.app.state.oip_statistics.counting(named.name, model.version, record)
    with counting, service.admission.admit() as reservation, model.in_use():
        body = await read_body(request, service.settings, reservation)
        reservation.add_images(1)
        deadline = loop.time() + service.settings.deadline_s
        async with asyncio.timeout_at(deadline):
            parsed = await loop.run_in_executor(service.parser, parse_body, body)
            # By age it would differ between the images of a request, and the protocol states one.
            found = model.find_point(parsed.parameters.operating_point, parsed.parameters.population)
            point = replace(found, by_age=False)
            outputs = requested_outputs(parsed, model.guard)
            requested_classes(parsed)  # so that a wrong one is rejected before images are analysed
        if timeout_us := parsed.parameters.timeout:
            deadline = min(deadline, loop.time() + timeout_us / 1e6)
        reservation.add_images(len(parsed.images) - 1)
        caller.charge(len(parsed.images) - 1)
        images = [image if isinstance(image, bytes) else image.data for image in parsed.images]
        # The audit surrounds the deadline, so that it records an exceeded deadline, too.
        async with service.audit.recording(request, model, point, images) as audited:
            async with asyncio.timeout_at(deadline):
                results = await predictions.read_all(model.reader, parsed.images, explain="heatmap" in outputs)
            predictions.update_record(record, model, results)
            readings = _readings(results)
            answer = predictions.response(model, point, [None] * len(readings), readings, record.request_id)
            audited.answer = answer
    if model.main and "heatmap" not in outputs:
        service.metrics.images_answered(answer)
    response = infer_response(parsed, outputs, answer, readings, point)
    response.headers["Server-Timing"] = record.server_timing
    return response


def _health(service: Service) -> ServerHealth:
    ready = service.status == "ok" and all(model.is_healthy for model in service.repository.models)
    return ServerHealth(live=service.is_live, ready=ready)


def _readings(results: list[predictions.ReadingOrError]) -> list[Reading]:
    """All readings, or raise the first error, with the index of its image if the request has several images."""
    readings = [each for each in results if isinstance(each, Reading)]
    if (count := len(results)) == len(readings):
        return readings
    index = next(number for number, each in enumerate(results) if not isinstance(each, Reading))
    error = results[index]
    results.clear()  # variables of frames that the traceback refers to would be a reference cycle
    try:
        if count > 1 and isinstance(error, ServiceError | ImageRefused):
            error.args = (f"image {index} of 0 to {count - 1}: {error}",)
        raise cast(BaseException, error)
    finally:
        del error
