"""DirectPredict refuses a route whose dependencies it does not call."""

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.routing import APIRoute

from service.access.authentication import PredictCaller, require_scope
from service.http.direct import DirectPredict
from service.http.routes import point_parameter, predict, router


def route_of(**options: object) -> APIRoute:
    """The route of ``predict`` with further options."""
    app = FastAPI()
    app.add_api_route("/predict", predict, methods=["POST"], response_model=None, **options)  # type: ignore[arg-type]
    return next(route for route in app.routes if isinstance(route, APIRoute))


def test_the_route_of_predict_is_accepted() -> None:
    DirectPredict(FastAPI(), route_of())
    DirectPredict(
        FastAPI(), next(each for each in router.routes if isinstance(each, APIRoute) and each.endpoint is predict)
    )


@pytest.mark.parametrize("dependency", [require_scope("admin"), require_scope("predict"), point_parameter("format")])
def test_a_route_with_another_dependency_is_refused(dependency: object) -> None:
    with pytest.raises(TypeError):
        DirectPredict(FastAPI(), route_of(dependencies=[Depends(dependency)]))  # type: ignore[arg-type]


async def _without_point(caller: PredictCaller) -> None: ...


async def _with_a_parameter(caller: PredictCaller, extra: str = Query("")) -> None: ...


@pytest.mark.parametrize("other", [_without_point, _with_a_parameter])
def test_a_route_with_other_parameters_is_refused(other: object) -> None:
    route = route_of()
    route.dependant = APIRoute("/predict", other).dependant  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        DirectPredict(FastAPI(), route)
