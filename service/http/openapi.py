"""The parts of the OpenAPI document that FastAPI cannot derive by itself.

Routes and dependencies declare with ``raises`` which exceptions they raise. From these declarations follow the problem
responses of each operation, by status. The headers and parameters common to all operations are added here as well.
"""

import asyncio
import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.routing import Route

from service import errors, problems
from service.access.credentials import OTHER_SCHEMES
from service.http import responses
from service.http.middleware.context import REQUEST_ID
from service.problems import Kind
from service.telemetry.metrics import HEALTH
from service.telemetry.record import SAFE_ID
from service.wire import InferenceProblem, Problem

Document = dict[str, Any]

BINARY: Document = {"type": "string", "format": "binary"}
# The extension, beside the schema of a problem, that lists the types it can have.
PROBLEM_TYPES = "x-problem-types"
CONTENT_DIGEST: Document = {
    "name": "Content-Digest",
    "in": "header",
    "required": False,
    "description": "`sha-256=:BASE64:` of the body (RFC 9530). A body with another digest is rejected. Other "
    "algorithms are ignored.",
    "schema": {"type": "string"},
}
_REQUEST_ID_PARAMETER = {
    "name": REQUEST_ID,
    "in": "header",
    "required": False,
    "description": "Your id for the request, to correlate your log with the service's. The response returns it if it "
    f"matches `{SAFE_ID.pattern}`; otherwise the service generates one.",
    # No "example" beside the schema: Swagger UI would send it, the same with every request.
    "schema": {"type": "string", "examples": ["8c5f0a2e9d4b4c1f"]},
}
_SECONDS = {"type": "integer", "minimum": 1}
_RETRY = {"Retry-After": {"description": "Seconds to wait before a retry.", "required": True, "schema": _SECONDS}}
_SCHEME = {
    "description": "The authentication scheme.",
    "required": True,
    "schema": {"type": "string", "const": "Bearer"},
}
# Path prefixes for which the rendered document is kept. A service is usually published under one or two.
_MAX_RENDERED = 8
_PROBLEM_HEADERS = {401: {"WWW-Authenticate": _SCHEME}, 429: _RETRY, 503: _RETRY}


def header(description: str, *, example: object = None, required: bool = True, **schema: object) -> Document:
    """The OpenAPI header object of a response header; its schema is a string's unless ``schema`` says otherwise."""
    optional = {} if example is None else {"example": example}
    return {"description": description, "required": required, "schema": {"type": "string"} | schema, **optional}


def operation_id(route: APIRoute) -> str:
    """The operation id, which generated clients use as the function's name: the words of the path."""
    return "_".join(re.findall(r"[a-z0-9]+", re.sub(r"\{.*?\}", "", route.path)))


def complete(app: FastAPI, routers: Iterable[APIRouter], open_to: frozenset[str]) -> None:
    """Complete the OpenAPI document of an app for all routes of these routers.

    Args:
        app: the app.
        routers: the routers that the app includes.
        open_to: the scopes of a caller without a key.
    """
    generate = app.openapi
    routes = [route for router in routers for route in router.routes if isinstance(route, APIRoute)]

    @cache
    def completed() -> Document:
        document = generate()
        # Only referred to by what is added here. Not FastAPI's own, since no route declares it as a response model.
        document["components"]["schemas"][InferenceProblem.__name__] = InferenceProblem.model_json_schema()
        document["components"]["securitySchemes"] |= OTHER_SCHEMES
        document["components"]["parameters"] = {"RequestId": _REQUEST_ID_PARAMETER}
        document["components"]["headers"] = {
            "RequestId": header("The request id, as in the service's log.", pattern=f"^{SAFE_ID.pattern}$")
        }
        for route in routes:
            if route.include_in_schema:
                for method in route.methods or ():
                    _complete(document["paths"][route.path_format][method.lower()], route, open_to)
        _drop_unused_schemas(document)
        return document

    app.openapi = completed  # type: ignore[method-assign] # FastAPI's documented way
    _render_once(app)


def _render_once(app: FastAPI) -> None:
    """Serve the rendered document from memory: to serialise it takes 12 ms of CPU time, and no key is needed to ask.

    It is made when it is first asked for, in a thread: that takes a quarter of a second, in which images are answered.
    """
    [route] = [each for each in app.routes if isinstance(each, Route) and each.path == app.openapi_url]
    rendered: dict[str, bytes] = {}
    making = asyncio.Lock()

    async def openapi(request: Request) -> Response:
        prefix = request.scope.get("root_path", "")
        async with making:
            if prefix not in rendered:
                if len(rendered) >= _MAX_RENDERED:
                    rendered.clear()
                await asyncio.to_thread(app.openapi)
                rendered[prefix] = bytes((await route.endpoint(request)).body)
            return Response(rendered[prefix], media_type=responses.JSON)

    app.router.routes.remove(route)
    app.add_route(route.path, openapi, include_in_schema=False)


def _complete(operation: Document, route: APIRoute, open_to: frozenset[str]) -> None:
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
    by_status = operation["responses"]
    by_status.pop("422", None)  # FastAPI's validation error, which is never sent: a problem is sent in its place
    kinds = {kind.slug: kind for kind in _kinds(route)}.values()
    for status in sorted({kind.status for kind in kinds}):
        by_status[str(status)] = _response(
            [kind for kind in kinds if kind.status == status], route.path.startswith("/v2")
        )
    operation["responses"] = dict(sorted(by_status.items()))
    for response in by_status.values():
        response.setdefault("headers", {})[REQUEST_ID] = {"$ref": "#/components/headers/RequestId"}
    if not (security := operation.get("security")):
        return
    [scopes] = security[0].values()
    security += [{name: scopes} for name in OTHER_SCHEMES]
    if open_to.issuperset(scopes):
        security.append({})  # an empty requirement: the key is optional


def _drop_unused_schemas(document: Document) -> None:
    """Drop the schemas that nothing refers to, such as that of FastAPI's validation error."""
    schemas = document["components"]["schemas"]
    while unused := schemas.keys() - set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document))):
        for name in unused:
            del schemas[name]


def _kinds(route: APIRoute) -> Iterator[Kind]:
    """The problems that an endpoint may return."""
    causes: set[type[Exception]] = {errors.UriTooLong, *_causes(route.dependant)}
    if not route.path.startswith(HEALTH):
        causes |= {errors.CrossSite, errors.UnknownHost}
    yield from (kind for cause, kind in problems.TABLE.items() if issubclass(cause, tuple(causes)))
    yield problems.INTERNAL
    if "{" in route.path:
        yield responses.kind_of_status(404)  # a name that contains a slash matches no route


def _causes(dependant: Dependant) -> Iterator[type[Exception]]:
    yield from getattr(dependant.call, "raises", ())
    for each in dependant.dependencies:
        yield from _causes(each)


def _response(kinds: list[Kind], is_v2: bool) -> Document:
    """The response object of one status, shared by these problems. The possible types are an extension of the media
    type and not of its schema, which is a plain reference: so every generator makes one class for all problems.
    """
    status = kinds[0].status
    schema = {"$ref": f"#/components/schemas/{(InferenceProblem if is_v2 else Problem).__name__}"}
    content = {"schema": schema, PROBLEM_TYPES: [kind.type for kind in kinds]}
    return {
        "description": "\n".join(f"- `{kind.slug}`: {kind.title}" for kind in kinds),
        "content": {responses.JSON if is_v2 else problems.PROBLEM_JSON: content},
        "headers": dict(_PROBLEM_HEADERS.get(status, {})),
    }
