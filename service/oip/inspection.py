"""What load generators and image clients ask about a model before they use it: its configuration and statistics."""

from typing import Any, cast

from fastapi import APIRouter, Depends, Request

from service.access.authentication import require_scope
from service.http.routes import ServiceDep
from service.inference.model import Model
from service.oip.inspection_wire import ConfigInput, ConfigOutput, ModelConfig, StatisticsResponse
from service.oip.request import INPUTS
from service.oip.response import outputs_of
from service.oip.routes import MODEL, TAG, VERSION, ModelDep, by_name, by_version
from service.oip.statistics import Statistics

router = APIRouter(tags=[TAG])
_PREDICT = Depends(require_scope("predict"))
_NAMED: dict[str, Any] = {"dependencies": [_PREDICT, Depends(by_name)]}
_VERSIONED: dict[str, Any] = {"dependencies": [_PREDICT, Depends(by_version)]}


# Before the routes of one model: "stats" is no model there.
@router.get(
    "/v2/models/stats", summary="Statistics of all models", operation_id="v2_all_models_stats", dependencies=[_PREDICT]
)
async def all_statistics(request: Request, service: ServiceDep) -> StatisticsResponse:
    """Statistics of every loaded model. With several workers: of the process that answers."""
    return _statistics(request, *service.repository.models)


@router.get(f"{MODEL}/stats", summary="Model statistics", **_NAMED)
@router.get(f"{VERSION}/stats", summary="Model version statistics", **_VERSIONED)
async def statistics(request: Request, model: ModelDep) -> StatisticsResponse:
    """Triton's statistics extension, of the requests of this protocol. With several workers: of the process that
    answers.
    """
    return _statistics(request, model)


@router.get(f"{MODEL}/config", summary="Model configuration", **_NAMED)
@router.get(f"{VERSION}/config", summary="Model version configuration", **_VERSIONED)
async def config(service: ServiceDep, model: ModelDep) -> ModelConfig:
    """Triton's model configuration extension, as far as clients use it. Both inputs are optional: a request has exactly
    one of them.
    """
    return ModelConfig(
        name=model.name,
        max_batch_size=service.settings.max_images,
        input=[
            ConfigInput(
                name=name,
                data_type=f"TYPE_{'STRING' if datatype == 'BYTES' else datatype}",
                format="FORMAT_NHWC" if len(shape) == 3 else "FORMAT_NONE",
                dims=shape,
            )
            for name, (datatype, shape) in INPUTS.items()
        ],
        output=[
            ConfigOutput(
                name=output.name,
                data_type=f"TYPE_{'STRING' if output.datatype == 'BYTES' else output.datatype}",
                dims=output.shape[1:] or [1],
            )
            for output in outputs_of(model.guard)
        ],
    )


def _statistics(request: Request, *models: Model) -> StatisticsResponse:
    kept = cast(Statistics, request.app.state.oip_statistics)
    return StatisticsResponse(model_stats=[kept.of(model.name, model.version) for model in models])
