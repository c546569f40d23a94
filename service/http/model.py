"""The served model: what it is, its card, and its replacement."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import PlainTextResponse

from service.access.authentication import require_scope
from service.errors import InvalidParameter, ModelConflict, NotReady, UnsoundModel, raises
from service.http.documents.markdown import HTML, page
from service.http.documents.negotiation import prefers
from service.http.routes import ServiceDep, allow_only
from service.http.served_model import ServedGuard, ServedModel
from service.wire import ModelName, ReloadedModel

router = APIRouter(tags=["Model"])


class Markdown(PlainTextResponse):
    """A response class that gives OpenAPI the media type."""

    media_type = "text/markdown"


_Full = Annotated[
    bool, Query(description="Whether the input guard comes with its vectors, which take most of the bytes.")
]


@router.get(
    "/model",
    summary="The served model",
    dependencies=[Depends(require_scope("predict"))],
)
@raises(InvalidParameter)
async def model(request: Request, service: ServiceDep, full: _Full = False) -> ServedModel:
    """The model's manifest (operating points, results, digests) and the configuration in use: `graph`, the
    `operating_point` and `population` of a request that names none, and `guard` (`off` also if the model has none).
    """
    allow_only(request, "full")
    manifest = service.main.bundle.manifest
    known = manifest.input_guard.model_dump() if manifest.input_guard else None
    for part in [known, *known["populations"].values()] if known and not full else []:
        part |= {"location": None, "scale": None}
    return ServedModel(
        **dict(manifest) | {"input_guard": known and ServedGuard(**known)},
        graph=service.main.backend.graph,
        operating_point=service.main.default_point.name,
        population=service.main.default_point.population,
        guard=service.main.guard.mode,
    )


@router.get(
    "/model/card",
    summary="The model card",
    response_class=Markdown,
    responses={200: {"content": {HTML: {"schema": {"type": "string"}}}}},
    dependencies=[Depends(require_scope("predict"))],
)
async def card(request: Request, service: ServiceDep) -> Response:
    """The model card: intended use, limits and measured performance. In Markdown; as an HTML page where `Accept` asks
    for that, as browsers do.
    """
    text = service.main.bundle.card
    if prefers(request.headers.get("accept", ""), HTML, over=Markdown.media_type):
        return await page(text)
    return Markdown(text, headers={"Vary": "Accept"})


@router.post("/model/reload", summary="Replace the served model", dependencies=[Depends(require_scope("admin"))])
@raises(InvalidParameter, ModelConflict, NotReady, UnsoundModel)
async def reload(request: Request, service: ServiceDep) -> ReloadedModel:
    """Reads what `XRAY_MODEL` names again, as SIGHUP does. Another model is verified, loaded and warmed up, and then
    answers every new request; requests that have begun are completed with the old one. If a step fails, the old one
    stays. With several workers, all of them change, or none.
    """
    service.admission.require_ready()
    allow_only(request)
    done = await service.reload()
    previous, current = (ModelName(name=name, version=version) for name, version in (done.previous, done.current))
    return ReloadedModel(model=current, previous=previous, replaced=done.previous != done.current)
