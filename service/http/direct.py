"""``POST /predict`` without FastAPI's routing and dependency injection, since nearly every request goes there.

FastAPI's dispatch takes more CPU time than everything else that the service does for a request outside decoding and
the model (docs/decisions/0013-predict-without-fastapi.md). This middleware calls the same functions in the same order.
The FastAPI route remains: for the OpenAPI document, and for configurations without this middleware.
"""

from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.authentication import BEARER, authorize_prediction
from service.http.routes import PointNames, predict

_PointDependency = Callable[[Request, str | None, str | None], Coroutine[Any, Any, PointNames]]


class DirectPredict:
    """ASGI middleware that handles ``POST /predict``.

    Args:
        app: the wrapped app, for every other request.
        route: FastAPI's route of ``POST /predict``.

    Raises:
        TypeError: the route has a dependency that this class does not call. A dependency added to the route later,
            an authorization check above all, can therefore never be skipped.
    """

    def __init__(self, app: ASGIApp, route: APIRoute) -> None:
        self._app, self._route, self._point_names = app, route, _point_dependency(route.dependant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] != self._route.path or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        scope["route"] = self._route
        response = await self._predict(Request(scope, receive, send))
        return await response(scope, receive, send)

    async def _predict(self, request: Request) -> Response:
        caller = await authorize_prediction(request, await BEARER(request))
        query = request.query_params if request.scope["query_string"] else {}
        names = await self._point_names(request, query.get("operating_point"), query.get("population"))
        header_carrier = Response()  # like FastAPI, which passes the endpoint an empty response to set headers on
        body = await predict(request, header_carrier, caller, names)
        headers = {name: value for name, value in header_carrier.headers.items() if name != "content-length"}
        if isinstance(body, Response):
            return body
        return Response(body.model_dump_json(), media_type="application/json", headers=headers)


def _point_dependency(dependant: Dependant) -> _PointDependency:
    """The dependency of the route that names the operating point, if the only other one is ``authorize_prediction``."""
    sub_dependencies = {each.call: [sub.call for sub in each.dependencies] for each in dependant.dependencies}
    authorize, point_names = [*sub_dependencies, None, None][:2]
    parameters = [field.name for each in dependant.dependencies for field in each.query_params]
    is_known = (
        dependant.call is predict
        and authorize is authorize_prediction
        and list(sub_dependencies.values()) == [[BEARER], []]
        and parameters == ["operating_point", "population"]
    )
    own = [dependant.path_params, dependant.query_params, dependant.header_params, dependant.cookie_params]
    if not is_known or any(own) or dependant.body_params:
        raise TypeError("service.http.direct does not call every dependency of this route: add the call there")
    return cast(_PointDependency, point_names)
