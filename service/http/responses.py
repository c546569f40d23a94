"""Exceptions to HTTP responses.

    any exception, anywhere -> error_response -> application/problem+json

A response never contains a stack trace, a path, or the text of an exception that was not written for clients.
"""

from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import InvalidParameter, QuotaExceeded
from service.problems import PROBLEM_JSON, RETRY_AFTER_S, TABLE, Kind, new_problem, problem
from service.wire import Problem

JSON = "application/json"
# Statuses after which the rest of the request body stays unread, so the connection cannot be reused.
_CLOSING = {400, 401, 403, 408, 413, 414, 415}


async def error_response(request: Request, error: Exception) -> Response:
    """The response to a request whose handling raised this exception.

    OPTIONS is answered here too: the web framework has found the methods of the endpoint, and raised 405. For ``*``, by
    which a load balancer asks whether the server answers at all (RFC 9110, 9.3.7), it has found no endpoint.
    """
    record = request.state.record
    if (
        request.method == "OPTIONS"
        and isinstance(error, HTTPException)
        and (error.status_code == HTTPStatus.METHOD_NOT_ALLOWED or request.scope["path"] == "*")
    ):
        return Response(status_code=204, headers=_headers(error, 204))
    content = _problem(error, record.request_id)
    record.outcome = content.type.rpartition("/")[2]
    body = content.model_dump()
    media_type = PROBLEM_JSON
    if request.scope["path"].startswith("/v2"):
        # What the Open Inference Protocol prescribes; the members of the problem stand beside its own.
        body, media_type = {"error": content.detail, **body}, JSON
    return JSONResponse(body, content.status, _headers(error, content.status), media_type=media_type)


def install(app: FastAPI) -> None:
    """Make ``error_response`` the handler of every exception of an app."""
    for exception in (*TABLE, RequestValidationError, HTTPException):
        app.add_exception_handler(exception, error_response)


def kind_of_status(status: int) -> Kind:
    """The kind of problem of a status that the web framework sets by itself, such as 404 and 405."""
    phrase = HTTPStatus(status).phrase
    return Kind(status, phrase.lower().replace(" ", "-"), phrase)


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, HTTPException):
        return new_problem(kind_of_status(error.status_code), _unmatched(error), request_id)
    if isinstance(error, RequestValidationError):
        return problem(
            InvalidParameter("the request does not match the parameters of this endpoint; see /docs"), request_id
        )
    return problem(error, request_id)


def _unmatched(error: HTTPException) -> str:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        allowed = _with_implied((error.headers or {}).get("Allow", ""))
        return f"this endpoint has other methods: {allowed}; see /docs"
    return "this service has no such endpoint; see /docs for the list"


def _headers(error: Exception, status: int) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if "Allow" in headers:
        headers["Allow"] = _with_implied(headers["Allow"])
    if status in _CLOSING:
        headers["Connection"] = "close"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, QuotaExceeded):
        headers["Retry-After"] = str(error.retry_after_s)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return headers


def _with_implied(methods: str) -> str:
    """The methods of an endpoint, with those that every endpoint has beside them."""
    named = {method.strip() for method in methods.split(",")}
    return ", ".join(sorted(named | {"OPTIONS"} | ({"HEAD"} if "GET" in named else set())))
