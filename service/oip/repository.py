"""The Open Inference Protocol's repository of models: which there are, and loading and unloading them."""

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
from service.http.routes import Alive, take_only
from service.http.uploads import BODY_PROBLEMS, read_body
from service.inference.model import Model
from service.inference.repository import Key, key_of
from service.oip.request import Wire, read_json
from service.oip.routes import TAG, Name
from service.oip.schema import body
from service.oip.wire import ControlRequest, IndexEntry, IndexRequest

router = APIRouter(tags=[TAG])
_CONTROL: dict[str, Any] = {
    "openapi_extra": body(ControlRequest, required=False, example={"parameters": {}}),
    "dependencies": [Depends(require_scope("admin"))],
}
_CONTROL_PROBLEMS = (Forbidden, InvalidInference, InvalidParameter, ModelConflict, NotReady, *BODY_PROBLEMS)
_Version = Annotated[
    str | SkipJsonSchema[None],
    Query(
        json_schema_extra={"pattern": VERSION_PATTERN},
        description="Which version. Left out: see below.",
        examples=["1"],
    ),
]


@router.post(
    "/v2/repository/index",
    summary="Which models there are",
    openapi_extra=body(IndexRequest, required=False, example={"ready": True}),
    dependencies=[Depends(require_scope("predict"))],
)
@raises(InvalidInference, *BODY_PROBLEMS)
async def index(request: Request, service: Alive) -> list[IndexEntry]:
    """Every model that is loaded, or could be."""
    asked = await _body(IndexRequest, request, service)
    entries = [_entry(key, model) for key, model in (await service.repository.keys()).items()]
    return [entry for entry in entries if entry.state == "READY" or not asked.ready]


@router.post("/v2/repository/models/{name}/load", summary="Load a model", **_CONTROL)
@raises(UnknownModel, UnsoundModel, *_CONTROL_PROBLEMS)
async def load(request: Request, service: Alive, name: Name, version: _Version = None) -> IndexEntry:
    """It is checked, loaded and warmed up before requests see it; if it fails on the way, nothing has changed. Without
    a version: the highest in the repository. One that is loaded stays as it is.
    """
    await _checked(request, service)
    model = await service.repository.load(name, version)
    return _entry(key_of(model), model)


@router.post("/v2/repository/models/{name}/unload", summary="Unload a model", **_CONTROL)
@raises(UnknownModel, *_CONTROL_PROBLEMS)
async def unload(request: Request, service: Alive, name: Name, version: _Version = None) -> list[IndexEntry]:
    """New requests no longer see it; those inside are answered first. Without a version: all of that name."""
    await _checked(request, service)
    return [_entry(key_of(model), None) for model in await service.repository.unload(name, version)]


async def _checked(request: Request, service: Service) -> None:
    """See that models may be changed here and now, and that the request asks for nothing else."""
    if not service.settings.model_control:
        raise Forbidden("models are neither loaded nor unloaded here: XRAY_MODEL_CONTROL is off")
    service.admission.require_ready()
    take_only(request, "version")
    await _body(ControlRequest, request, service)


async def _body(kind: type[Wire], request: Request, service: Service) -> Wire:
    """What the body says; nothing if there is none."""
    return read_json(kind, await read_body(request, service.settings) or b"{}")


def _entry(key: Key, model: Model | None) -> IndexEntry:
    name, version = key
    if model and model.is_sound:
        return IndexEntry(name=name, version=version, state="READY", reason="")
    reason = "not loaded" if model is None else "the last model calls failed"
    return IndexEntry(name=name, version=version, state="UNAVAILABLE", reason=reason)
