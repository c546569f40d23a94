"""The configuration and statistics of a model, which load generators and image clients request before they use it."""

from typing import Any, cast

from fastapi import APIRouter, Depends, Request

from service.access.authentication import require_scope
from service.http.routes import ServiceDep
from service.oip.inspection_wire import ConfigInput, ConfigOutput, ModelConfig, StatisticsResponse
from service.oip.response import outputs_of
from service.oip.routes import MODEL, TAG, VERSION, NamedDep, by_name, by_version
from service.oip.statistics import Statistics
from service.oip.views import VIEWS, Named

router = APIRouter(tags=[TAG])
_PREDICT = Depends(require_scope("predict"))
_NAMED: dict[str, Any] = {"dependencies": [_PREDICT, Depends(by_name)]}
_VERSIONED: dict[str, Any] = {"dependencies": [_PREDICT, Depends(by_version)]}


# Before the routes of one model, which would take "stats" for the name of a model.
@router.get(
    "/v2/models/stats", summary="Statistics of all models", operation_id="v2_all_models_stats", dependencies=[_PREDICT]
)
async def all_statistics(request: Request, service: ServiceDep) -> StatisticsResponse:
    """Statistics of every loaded model, and of it as `NAME.classifier`. They cover all workers; the counts of workers
    other than the one that answers are up to a second old.
    """
    return _statistics(request, *(Named(model, view) for view in VIEWS for model in service.repository.models))


@router.get(f"{MODEL}/stats", summary="Model statistics", **_NAMED)
@router.get(f"{VERSION}/stats", summary="Model version statistics", **_VERSIONED)
async def statistics(request: Request, named: NamedDep) -> StatisticsResponse:
    """Triton's statistics extension, of the requests of this protocol. They cover all workers; the counts of workers
    other than the one that answers are up to a second old.
    """
    return _statistics(request, named)


@router.get(f"{MODEL}/config", summary="Model configuration", **_NAMED)
@router.get(f"{VERSION}/config", summary="Model version configuration", **_VERSIONED)
async def config(service: ServiceDep, named: NamedDep) -> ModelConfig:
    """Triton's model configuration extension, as far as clients use it. Of several inputs, which are optional then, a
    request has exactly one.
    """
    return ModelConfig(
        name=named.name,
        max_batch_size=service.settings.max_images,
        input=[
            ConfigInput(
                name=name,
                data_type=f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}",
                format="FORMAT_NHWC" if len(shape) == 3 else "FORMAT_NONE",
                dims=shape,
                optional=len(named.view.inputs) > 1,
            )
            for name, (datatype, shape) in named.view.inputs.items()
        ],
        output=[
            ConfigOutput(
                name=output.name,
                data_type=f"TYPE_{'STRING' if output.datatype == 'BYTES' else output.datatype}",
                dims=output.shape[1:] or [1],
            )
            for output in outputs_of(named.view, named.model.guard)
        ],
    )


def _statistics(request: Request, *models: Named) -> StatisticsResponse:
    kept = cast(Statistics, request.app.state.oip_statistics)
    return StatisticsResponse(model_stats=kept.of(*((each.name, each.model.version) for each in models)))
