"""A route that asks for more than service.http.direct does stops the start."""

import pytest
from fastapi import Depends, FastAPI, Query
from fastapi.routing import APIRoute

from service.access.authentication import PredictCaller, require_scope
from service.http.direct import Direct
from service.http.routes import point, predict, router


def route_of(**more: object) -> APIRoute:
    """The route, with this beside what it has."""
    app = FastAPI()
    app.add_api_route("/predict", predict, methods=["POST"], **more)  # type: ignore[arg-type]
    return next(route for route in app.routes if isinstance(route, APIRoute))


def test_the_route_as_it_is_is_known() -> None:
    Direct(FastAPI(), route_of())
    Direct(FastAPI(), next(each for each in router.routes if isinstance(each, APIRoute) and each.endpoint is predict))


@pytest.mark.parametrize("more", [require_scope("admin"), require_scope("predict"), point("format")])
def test_a_dependency_more_is_not_passed_by(more: object) -> None:
    with pytest.raises(TypeError):
        Direct(FastAPI(), route_of(dependencies=[Depends(more)]))  # type: ignore[arg-type]


async def _without_point(caller: PredictCaller) -> None: ...


async def _with_a_parameter(caller: PredictCaller, wish: str = Query("")) -> None: ...


@pytest.mark.parametrize("other", [_without_point, _with_a_parameter])
def test_another_call_is_not_taken_for_it(other: object) -> None:
    route = route_of()
    route.dependant = APIRoute("/predict", other).dependant  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Direct(FastAPI(), route)
