"""The served model: what it is, its card, and its replacement."""

from fastapi import APIRouter, Depends, Request
from fastapi.responses import PlainTextResponse

from service.access.authentication import require_scope
from service.errors import InvalidParameter, ModelConflict, NotReady, UnsoundModel, raises
from service.http.routes import ServiceDep, allow_only
from service.wire import ModelName, ReloadedModel, ServedModel

router = APIRouter(tags=["Model"])


class Markdown(PlainTextResponse):
    """A response class that gives OpenAPI the media type."""

    media_type = "text/markdown"


@router.get(
    "/model",
    summary="The served model",
    dependencies=[Depends(require_scope("predict"))],
)
async def model(service: ServiceDep) -> ServedModel:
    """The model's manifest (operating points, results, digests) and the configuration in use: `graph`, the
    `operating_point` and `population` of a request that names none, and `guard` (`off` also if the model has none).
    """
    return ServedModel(
        **dict(service.main.bundle.manifest),
        graph=service.main.backend.graph,
        operating_point=service.main.default_point.name,
        population=service.main.default_point.population,
        guard=service.main.guard.mode,
    )


@router.get(
    "/model/card",
    summary="The model card",
    response_class=Markdown,
    dependencies=[Depends(require_scope("predict"))],
)
async def card(service: ServiceDep) -> Markdown:
    """The model card, in Markdown: intended use, limits and measured performance."""
    return Markdown(service.main.bundle.card)


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
