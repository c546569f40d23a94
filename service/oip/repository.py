"""The model repository extension of the Open Inference Protocol: the index of models, load, unload."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Request
from pydantic.json_schema import SkipJsonSchema

from contract.bundle import VERSION_PATTERN
from service.access.authentication import require_scope
from service.core import Service
from service.errors import (
    Forbidden,
    InvalidInference,
    InvalidParameter,
    ModelConflict,
    NotReady,
    UnknownModel,
    UnsoundModel,
    raises,
)
from service.http.routes import ServiceDep, allow_only
from service.http.uploads import BODY_PROBLEMS, read_body
from service.inference.loading.bundles import Key
from service.inference.model import Model
from service.inference.repository import key_of
from service.oip.request import Wire, parse_json
from service.oip.request_wire import ControlRequest, IndexRequest
from service.oip.routes import TAG, ModelNamePath
from service.oip.schema import body
from service.oip.wire import IndexEntry

router = APIRouter(tags=[TAG])
_CONTROL_ROUTE: dict[str, Any] = {
    "openapi_extra": body(ControlRequest, required=False, example={"parameters": {}}),
    "dependencies": [Depends(require_scope("admin"))],
}
_CONTROL_PROBLEMS = (Forbidden, InvalidInference, InvalidParameter, ModelConflict, NotReady, *BODY_PROBLEMS)
_Version = Annotated[
    str | SkipJsonSchema[None],
    Query(
        json_schema_extra={"pattern": VERSION_PATTERN},
        description="The version. For a request without it, see the description of the operation.",
        examples=["1"],
    ),
]


@router.post(
    "/v2/repository/index",
    summary="List the models",
    openapi_extra=body(IndexRequest, required=False, example={"ready": True}),
    dependencies=[Depends(require_scope("predict"))],
)
@raises(InvalidInference, *BODY_PROBLEMS)
async def index(request: Request, service: ServiceDep) -> list[IndexEntry]:
    """Lists every model that is loaded or can be loaded."""
    index_request = await _body(IndexRequest, request, service)
    entries = [_entry(key, model) for key, model in (await service.repository.keys()).items()]
    return [entry for entry in entries if entry.state == "READY" or not index_request.ready]


@router.post("/v2/repository/models/{name}/load", summary="Load a model", **_CONTROL_ROUTE)
@raises(UnknownModel, UnsoundModel, *_CONTROL_PROBLEMS)
async def load(request: Request, service: ServiceDep, name: ModelNamePath, version: _Version = None) -> IndexEntry:
    """The model is verified, loaded and warmed up before it receives requests; if a step fails, nothing changes.
    Without a version: the highest in the repository. A model that is already loaded stays loaded, unchanged.
    """
    await _check(request, service)
    model = await service.repository.load(name, version)
    return _entry(key_of(model), model)


@router.post("/v2/repository/models/{name}/unload", summary="Unload a model", **_CONTROL_ROUTE)
@raises(UnknownModel, *_CONTROL_PROBLEMS)
async def unload(
    request: Request, service: ServiceDep, name: ModelNamePath, version: _Version = None
) -> list[IndexEntry]:
    """The model receives no new requests, completes those in flight, and is released. Without a version: all versions
    of that name.
    """
    await _check(request, service)
    return [_entry(key_of(model), None) for model in await service.repository.unload(name, version)]


async def _check(request: Request, service: Service) -> None:
    """Check that models can be changed now, and that the request has no parameters that are not supported."""
    if not service.settings.model_control:
        raise Forbidden("loading and unloading models is disabled: XRAY_MODEL_CONTROL is off")
    service.admission.require_ready()
    allow_only(request, "version")
    await _body(ControlRequest, request, service)


async def _body(kind: type[Wire], request: Request, service: Service) -> Wire:
    """The parsed body of a request; the defaults if it is empty."""
    return parse_json(kind, await read_body(request, service.settings) or b"{}")


def _entry(key: Key, model: Model | None) -> IndexEntry:
    name, version = key
    if model and model.is_healthy:
        return IndexEntry(name=name, version=version, state="READY", reason="")
    reason = "not loaded" if model is None else "the last model calls failed"
    return IndexEntry(name=name, version=version, state="UNAVAILABLE", reason=reason)
