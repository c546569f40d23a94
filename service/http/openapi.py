"""What programs are told of the calls: the parts of the OpenAPI document that FastAPI cannot know by itself.

Whatever may raise, a route or a dependency of one, says so with ``raises``. The rest follows: the problems that a call
may answer, by status, and what holds for every call.
"""

import json
import re
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from service import errors, problems
from service.http import responses as answers
from service.http.context import REQUEST_ID, SAFE_ID
from service.problems import Kind
from service.telemetry.metrics import HEALTH

Document = dict[str, Any]

BINARY: Document = {"type": "string", "format": "binary"}
CONTENT_DIGEST: Document = {
    "name": "Content-Digest",
    "in": "header",
    "required": False,
    "description": "`sha-256=:BASE64:` of the body (RFC 9530); one that is not the body's is refused. Other algorithms "
    "are not looked at.",
    "schema": {"type": "string"},
}
_SENT_ID = {
    "name": REQUEST_ID,
    "in": "header",
    "required": False,
    "description": f"Yours, for your log and the service's. It comes back if it is like `{SAFE_ID.pattern}`; else, and "
    "without one, the service makes one.",
    # Not "example" beside it: Swagger UI would send that, always the same.
    "schema": {"type": "string", "examples": ["8c5f0a2e9d4b4c1f"]},
}
_SECONDS = {"type": "integer", "minimum": 1}
_RETRY = {"Retry-After": {"description": "In so many seconds.", "required": True, "schema": _SECONDS}}
_SCHEME = {"description": "How a key is sent.", "required": True, "schema": {"type": "string", "const": "Bearer"}}
_PROBLEM_HEADERS = {401: {"WWW-Authenticate": _SCHEME}, 429: _RETRY, 503: _RETRY}


def header(description: str, *, example: object = None, required: bool = True, **schema: object) -> Document:
    """A header of an answer; its schema is a string's unless told otherwise."""
    shown = {} if example is None else {"example": example}
    return {"description": description, "required": required, "schema": {"type": "string"} | schema, **shown}


def operation_id(route: APIRoute) -> str:
    """What clients made from the document call this call: its path in words."""
    return "_".join(re.findall(r"[a-z0-9]+", re.sub(r"\{.*?\}", "", route.path)))


def complete(app: FastAPI, routers: Iterable[APIRouter], open_to: frozenset[str]) -> None:
    """Have an app's document tell all of these calls.

    Args:
        app: the app.
        routers: those included in it.
        open_to: the scopes of a caller without a key.
    """
    plain = app.openapi
    routes = [route for part in routers for route in part.routes if isinstance(route, APIRoute)]

    @cache
    def document() -> Document:
        found = plain()
        found["components"]["parameters"] = {"RequestId": _SENT_ID}
        found["components"]["headers"] = {
            "RequestId": header("The request's id, also in the service's log.", pattern=f"^{SAFE_ID.pattern}$")
        }
        for route in routes:
            if route.include_in_schema:
                for method in route.methods or ():
                    _complete(found["paths"][route.path_format][method.lower()], route, open_to)
        _drop_unused(found)
        return found

    app.openapi = document  # type: ignore[method-assign] # FastAPI's documented way


def _complete(operation: Document, route: APIRoute, open_to: frozenset[str]) -> None:
    operation.setdefault("parameters", []).append({"$ref": "#/components/parameters/RequestId"})
    responses = operation["responses"]
    responses.pop("422", None)  # FastAPI's own shape of it, which is never sent: the problems below are
    told = {kind.slug: kind for kind in _kinds(route)}
    for status in sorted({kind.status for kind in told.values()}):
        kinds = [kind for kind in told.values() if kind.status == status]
        responses[str(status)] = _response(kinds, route.path.startswith("/v2"))
    operation["responses"] = dict(sorted(responses.items()))
    for response in responses.values():
        response.setdefault("headers", {})[REQUEST_ID] = {"$ref": "#/components/headers/RequestId"}
    if operation.get("security") and all(open_to.issuperset(*each.values()) for each in operation["security"]):
        operation["security"].append({})  # without a key, too


def _drop_unused(document: Document) -> None:
    """Drop the schemas that nothing refers to: of what is never sent."""
    schemas = document["components"]["schemas"]
    while unused := [name for name in schemas if f'"#/components/schemas/{name}"' not in json.dumps(document)]:
        for name in unused:
            del schemas[name]


def _kinds(route: APIRoute) -> Iterator[Kind]:
    """The problems that a call may answer."""
    causes: set[type[Exception]] = {errors.UriTooLong, *_causes(route.dependant)}
    if not route.path.startswith(HEALTH):
        causes.add(errors.UnknownHost)
    yield from (kind for cause, kind in problems.TABLE.items() if issubclass(cause, tuple(causes)))
    yield problems.INTERNAL
    if "{" in route.path:
        yield answers.kind_of_status(404)  # a name with a slash in it makes it another call


def _causes(dependant: Dependant) -> Iterator[type[Exception]]:
    yield from getattr(dependant.call, "raises", ())
    for each in dependant.dependencies:
        yield from _causes(each)


def _response(told: list[Kind], is_v2: bool) -> Document:
    """The response of one status. Which problems it may be stands beside the reference to ``Problem``, as JSON Schema
    allows: programs can know, and a client made from the document has one class for all of them.
    """
    status = told[0].status
    told_of: Document = {"type": {"enum": [kind.type for kind in told]}, "status": {"const": status}}
    schema: Document = {"$ref": "#/components/schemas/Problem", "properties": told_of}
    if is_v2:
        told_of["error"] = {"type": "string", "description": "What `detail` says, for the protocol's clients."}
        schema["required"] = ["error"]
    return {
        "description": "\n".join(f"- `{kind.slug}`: {kind.title}" for kind in told),
        "content": {answers.PROBLEM_JSON: {"schema": schema}},
        "headers": dict(_PROBLEM_HEADERS.get(status, {})),
    }
