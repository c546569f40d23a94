"""Exceptions to HTTP responses.

    any exception, anywhere -> answer -> application/problem+json

A caller never sees the text of an exception that is not written for callers, a path, or a stack trace.
"""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from service.errors import InvalidParameter, QuotaExceeded
from service.problems import TABLE, Kind, problem, tell
from service.wire import Problem

PROBLEM_JSON = "application/problem+json"
# Seconds. A full service of default size empties within one or two; a restart takes about as long.
RETRY_AFTER_S = 1
# Statuses after which the rest of the request's body is not read, so the connection cannot be used again.
_CLOSING = {400, 401, 403, 408, 413, 414, 415}


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The response of a request whose handling ended in this exception."""
    record = request.state.record
    found = _problem(error, record.request_id)
    record.outcome = found.type.rpartition("/")[2]
    body = found.model_dump()
    if request.scope["path"].startswith("/v2"):
        body["error"] = found.detail  # the Open Inference Protocol's own shape, inside this one
    return JSONResponse(body, found.status, _headers(error, found.status), media_type=PROBLEM_JSON)


def install(app: FastAPI) -> None:
    """Let every exception of an app be answered here."""
    for kind in (*TABLE, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, answer)


def kind_of_status(status: int) -> Kind:
    """The kind of problem of an answer that the web framework gives by itself, such as 404 and 405."""
    phrase = HTTPStatus(status).phrase
    return Kind(status, phrase.lower().replace(" ", "-"), phrase)


def _problem(error: Exception, request_id: str) -> Problem:
    if isinstance(error, HTTPException):
        kind = kind_of_status(error.status_code)
        return tell(kind, f"{kind.title}: this service has no such call; /docs lists those it has", request_id)
    if isinstance(error, RequestValidationError):
        return problem(
            InvalidParameter("the request does not match the parameters of this call; see /docs"), request_id
        )
    return problem(error, request_id)


def _headers(error: Exception, status: int) -> dict[str, str]:
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status in _CLOSING:
        headers["Connection"] = "close"
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if isinstance(error, QuotaExceeded):
        headers["Retry-After"] = str(error.retry_after_s)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = str(RETRY_AFTER_S)
    return headers
