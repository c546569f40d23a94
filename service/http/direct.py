"""The one call that nearly every request is, without what FastAPI does around it.

FastAPI's way to a call takes more of a CPU than all that the service itself does with a request around its image
(docs/decisions/0013-predict-without-fastapi.md). Here the same functions are called, in the same order, by hand; for
the document, and wherever this layer is not, the route is FastAPI's.
"""

from collections.abc import Callable, Coroutine
from typing import Any, cast

from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.access.authentication import BEARER, authorize_prediction
from service.http.routes import predict
from service.inference.points import Point

_Find = Callable[[Request, str | None], Coroutine[Any, Any, Point]]


class Direct:
    """ASGI middleware that answers ``POST /predict``.

    Args:
        app: the app below, for everything else.
        route: that of the call.

    Raises:
        TypeError: the route depends on anything else than what is done here; so that nothing that is added to it, a
            check of who may call above all, is ever passed by.
    """

    def __init__(self, app: ASGIApp, route: APIRoute) -> None:
        self._app, self._route, self._find = app, route, _find_point(route.dependant)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        if scope["type"] != "http" or scope["path"] != self._route.path or scope["method"] != "POST":
            return await self._app(scope, receive, send)
        scope["route"] = self._route
        response = await self._answer(Request(scope, receive, send))
        return await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        caller = await authorize_prediction(request, await BEARER(request))
        named = request.query_params.get("operating_point") if request.scope["query_string"] else None
        point = await self._find(request, named)
        told = Response()
        answer = await predict(request, told, caller, point)
        headers = {name: value for name, value in told.headers.items() if name != "content-length"}
        return Response(answer.model_dump_json(), media_type="application/json", headers=headers)


def _find_point(dependant: Dependant) -> _Find:
    """The dependency of the route that finds the operating point, if the route has only that and
    ``authorize_prediction``.
    """
    calls = {each.call: [below.call for below in each.dependencies] for each in dependant.dependencies}
    caller, find = [*calls, None, None][:2]
    names = [field.name for each in dependant.dependencies for field in each.query_params]
    known = caller is authorize_prediction and list(calls.values()) == [[BEARER], []] and names == ["operating_point"]
    others = [dependant.path_params, dependant.query_params, dependant.header_params, dependant.cookie_params]
    if dependant.call is not predict or not known or any(others) or dependant.body_params:
        raise TypeError("service.http.direct knows nothing of what this route depends on")
    return cast(_Find, find)
