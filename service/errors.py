"""What can go wrong, and what the caller is told: one table, one handler, one shape (RFC 9457).

    any exception, anywhere -> answer -> application/problem+json

Only this module knows which exception is which HTTP status. Details are sentences written in this project; a caller
never sees an exception's own text, a path, or a stack trace.
"""

import logging
from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from contract import errors as image
from service import model_errors as model
from service.problems import BODY_TOO_LARGE, EMPTY_FILE, Kind, tell
from service.wire import Problem

PROBLEM_JSON = "application/problem+json"
# Seconds. A full service of default size empties within one or two; a restart takes about as long.
RETRY_AFTER_S = 1

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """A request that is not answered with a prediction. Its message is shown to the caller."""


class MissingBody(ServiceError):
    """No bytes, or nothing that says what they are."""


class MalformedRequest(ServiceError):
    """Not what its headers say: a broken multipart body, or an impossible header."""


class TooManyFiles(ServiceError):
    """More images than one request may hold."""


class DigestMismatch(ServiceError):
    """A body that changed on its way."""


class MissingFile(ServiceError):
    """A multipart body without a part named ``file``."""


class BodyTooLarge(ServiceError):
    """More bytes than one request may hold."""


class UnsupportedBody(ServiceError):
    """A Content-Type that is not served."""


class UnsupportedEncoding(ServiceError):
    """A Content-Encoding: compressed bodies are not inflated."""


class UriTooLong(ServiceError):
    """A path and query longer than any of this service's."""


class InvalidParameter(ServiceError):
    """A parameter in the address that the call does not take, or one that stands there twice."""


class UnknownOperatingPoint(ServiceError):
    """An operating point that the model does not have."""


class UnlikeTrainingData(ServiceError):
    """An image unlike those the model was trained on, where the settings refuse such."""


class UnknownHost(ServiceError):
    """A request addressed to a name that is not this service's."""


class Unauthorized(ServiceError):
    """A call that takes a key, and none was shown, or one that is not known."""


class QuotaExceeded(ServiceError):
    """A key that has sent as many images as it may, and the seconds until it may send another."""

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Forbidden(ServiceError):
    """A call that its caller may not make."""


class UploadTimeout(ServiceError):
    """The body did not arrive in time."""


class Overloaded(ServiceError):
    """Every seat is taken."""


class NotReady(ServiceError):
    """The service is starting or draining."""


class AuditUnavailable(ServiceError):
    """An answer that nobody could tell of later, where the settings require that."""

    def __init__(self) -> None:
        super().__init__("the audit cannot be written, and nothing is answered here without it")


class BackendFault(ServiceError):
    """The model failed, or gave no probability."""

    def __init__(self) -> None:
        super().__init__("the model gave no answer for this image")


TABLE: dict[type[Exception], Kind] = {
    MissingBody: Kind(400, "missing-body", "No image in the request"),
    MalformedRequest: Kind(400, "malformed-multipart", "The multipart body is broken"),
    TooManyFiles: Kind(400, "too-many-files", "Too many images in one request"),
    DigestMismatch: Kind(400, "digest-mismatch", "The body changed on its way"),
    model.InvalidInference: Kind(400, "invalid-inference", "The inference request is not valid"),
    UnknownHost: Kind(400, "unknown-host", "Not this service's name"),
    Unauthorized: Kind(401, "unauthorized", "A key is needed"),
    Forbidden: Kind(403, "forbidden", "Forbidden"),
    model.UnknownModel: Kind(404, "unknown-model", "No such model"),
    UploadTimeout: Kind(408, "upload-timeout", "The upload took too long"),
    model.ModelConflict: Kind(409, "model-conflict", "The model cannot be changed now"),
    BodyTooLarge: BODY_TOO_LARGE,
    UriTooLong: Kind(414, "uri-too-long", "The address is too long"),
    image.UnsupportedFormat: Kind(415, "unsupported-media-type", "Not a format that is read"),
    UnsupportedBody: Kind(415, "unsupported-media-type", "Not a format that is read"),
    UnsupportedEncoding: Kind(415, "unsupported-encoding", "Compressed bodies are not read"),
    MissingFile: Kind(422, "missing-file", "No part named file"),
    image.EmptyImage: EMPTY_FILE,
    image.TruncatedImage: Kind(422, "truncated-image", "The image is cut short or damaged"),
    image.TooManyPixels: Kind(422, "too-many-pixels", "The image has too many pixels"),
    image.ImageTooSmall: Kind(422, "image-too-small", "The image is too small"),
    image.AspectRatio: Kind(422, "aspect-ratio", "The image is too long and narrow"),
    image.AnimatedImage: Kind(422, "animated-image", "The image is animated"),
    image.UnsupportedJpeg: Kind(422, "unsupported-jpeg", "A kind of JPEG that is not read"),
    image.TooMuchMetadata: Kind(422, "too-much-metadata", "The image has too much metadata"),
    model.UnsoundModel: Kind(422, "unsound-model", "The model cannot be served"),
    UnlikeTrainingData: Kind(422, "unlike-training-data", "Unlike the training data"),
    UnknownOperatingPoint: Kind(422, "unknown-operating-point", "No such operating point"),
    InvalidParameter: Kind(422, "invalid-request", "The request is not valid"),
    RequestValidationError: Kind(422, "invalid-request", "The request is not valid"),
    QuotaExceeded: Kind(429, "quota-exceeded", "This key has used its quota"),
    BackendFault: Kind(500, "model-fault", "The model failed"),
    Overloaded: Kind(503, "overloaded", "The service is full"),
    NotReady: Kind(503, "not-ready", "The service is not ready"),
    AuditUnavailable: Kind(503, "audit-unavailable", "The audit cannot be written"),
    TimeoutError: Kind(504, "deadline-exceeded", "The deadline has passed"),
}
INTERNAL = Kind(500, "internal-error", "An error in the service")
# Statuses after which the rest of the request's body is not read, so the connection cannot be used again.
_CLOSING = {400, 401, 403, 408, 413, 414, 415}


def problem(error: BaseException, request_id: str) -> Problem:
    """The problem object of an exception. One that is the service's own fault is logged with its trace."""
    kind = kind_of(error)
    if kind.status == INTERNAL.status:
        log.error("a request failed", exc_info=error, extra={"request_id": request_id})
    return tell(kind, _detail(error, kind), request_id)


async def answer(request: Request, error: Exception) -> JSONResponse:
    """The response of a request whose handling ended in this exception."""
    record = request.state.record
    told = problem(error, record.request_id)
    record.outcome = told.type.rpartition("/")[2]
    body = told.model_dump()
    if request.scope["path"].startswith("/v2"):
        body["error"] = told.detail  # the Open Inference Protocol's own shape, inside this one
    return JSONResponse(body, told.status, _headers(error, told.status), media_type=PROBLEM_JSON)


def install(app: FastAPI) -> None:
    """Let every exception of an app be answered here."""
    for kind in (*TABLE, HTTPException):
        app.add_exception_handler(kind, answer)


def kinds() -> list[Kind]:
    """Every kind of problem."""
    return [*TABLE.values(), INTERNAL]


def kind_of(error: BaseException) -> Kind:
    """The kind of problem that an exception is."""
    if isinstance(error, HTTPException):
        phrase = HTTPStatus(error.status_code).phrase
        return Kind(error.status_code, phrase.lower().replace(" ", "-"), phrase)
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), INTERNAL)


def _detail(error: BaseException, kind: Kind) -> str:
    if isinstance(error, ServiceError | image.ImageRefused | model.ModelError):
        return str(error)
    if isinstance(error, HTTPException):
        return f"{kind.title}: this service has no such call; /docs lists those it has"
    if isinstance(error, TimeoutError):
        return "the answer was not ready within the service's deadline"
    return "the request could not be handled; the service's log says more under this request_id"


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
