"""The kinds of problems and which exception is which: one table, one shape (RFC 9457). Needs no web framework."""

import logging
from dataclasses import dataclass

from contract import errors as image
from service import errors
from service.wire import Problem

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its HTTP status, its name in the type URI, and its title."""

    status: int
    slug: str
    title: str

    @property
    def type(self) -> str:
        """The type URI, relative."""
        return f"/problems/{self.slug}"


EMPTY_FILE = Kind(422, "empty-file", "An empty file")
BODY_TOO_LARGE = Kind(413, "body-too-large", "Too many bytes")
# Of the command line alone: the server opens no files, and asks nobody.
UNREADABLE_FILE = Kind(422, "unreadable-file", "The file cannot be opened")
NO_IMAGES = Kind(422, "no-images", "No image in the folder")
UNREACHABLE = Kind(503, "unreachable", "The service gave no answer")
COMMAND_LINE = (UNREADABLE_FILE, NO_IMAGES, UNREACHABLE)

TABLE: dict[type[Exception], Kind] = {
    errors.MissingBody: Kind(400, "missing-body", "No image in the request"),
    errors.MalformedRequest: Kind(400, "malformed-multipart", "The multipart body is broken"),
    errors.TooManyFiles: Kind(400, "too-many-files", "Too many images in one request"),
    errors.DigestMismatch: Kind(400, "digest-mismatch", "The body changed on its way"),
    errors.InvalidInference: Kind(400, "invalid-inference", "The inference request is not valid"),
    errors.UnknownHost: Kind(400, "unknown-host", "Not this service's name"),
    errors.Unauthorized: Kind(401, "unauthorized", "A key is needed"),
    errors.Forbidden: Kind(403, "forbidden", "Forbidden"),
    errors.UnknownModel: Kind(404, "unknown-model", "No such model"),
    errors.UploadTimeout: Kind(408, "upload-timeout", "The upload took too long"),
    errors.ModelConflict: Kind(409, "model-conflict", "The model cannot be changed now"),
    errors.BodyTooLarge: BODY_TOO_LARGE,
    errors.UriTooLong: Kind(414, "uri-too-long", "The address is too long"),
    image.UnsupportedFormat: Kind(415, "unsupported-media-type", "Not a format that is read"),
    errors.UnsupportedBody: Kind(415, "unsupported-media-type", "Not a format that is read"),
    errors.UnsupportedEncoding: Kind(415, "unsupported-encoding", "Compressed bodies are not read"),
    errors.MissingFile: Kind(422, "missing-file", "No part named file"),
    image.EmptyImage: EMPTY_FILE,
    image.TruncatedImage: Kind(422, "truncated-image", "The image is cut short or damaged"),
    image.TooManyPixels: Kind(422, "too-many-pixels", "The image has too many pixels"),
    image.ImageTooSmall: Kind(422, "image-too-small", "The image is too small"),
    image.AspectRatio: Kind(422, "aspect-ratio", "The image is too long and narrow"),
    image.AnimatedImage: Kind(422, "animated-image", "The image is animated"),
    image.UnsupportedJpeg: Kind(422, "unsupported-jpeg", "A kind of JPEG that is not read"),
    image.TooMuchMetadata: Kind(422, "too-much-metadata", "The image has too much metadata"),
    errors.UnsoundModel: Kind(422, "unsound-model", "The model cannot be served"),
    errors.UnlikeTrainingData: Kind(422, "unlike-training-data", "Unlike the training data"),
    errors.UnknownOperatingPoint: Kind(422, "unknown-operating-point", "No such operating point"),
    errors.InvalidParameter: Kind(422, "invalid-request", "The request is not valid"),
    errors.QuotaExceeded: Kind(429, "quota-exceeded", "This key has used its quota"),
    errors.BackendFault: Kind(500, "model-fault", "The model failed"),
    errors.Overloaded: Kind(503, "overloaded", "The service is full"),
    errors.NotReady: Kind(503, "not-ready", "The service is not ready"),
    errors.AuditUnavailable: Kind(503, "audit-unavailable", "The audit cannot be written"),
    TimeoutError: Kind(504, "deadline-exceeded", "The deadline has passed"),
}
INTERNAL = Kind(500, "internal-error", "An error in the service")


def new_problem(kind: Kind, detail: str, request_id: str) -> Problem:
    """The problem object of this kind."""
    return Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail, request_id=request_id)


def problem(error: BaseException, request_id: str) -> Problem:
    """The problem object of an exception. One that is the service's own fault is logged with its trace."""
    kind = kind_of(error)
    if kind.status == INTERNAL.status:
        log.error("a request failed", exc_info=error, extra={"request_id": request_id})
    return new_problem(kind, _detail(error), request_id)


def kinds() -> list[Kind]:
    """Every kind of problem that the service itself answers."""
    return [*TABLE.values(), INTERNAL]


def kind_of(error: BaseException) -> Kind:
    """The kind of problem that an exception is."""
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), INTERNAL)


def _detail(error: BaseException) -> str:
    if isinstance(error, errors.ServiceError | image.ImageRefused | errors.ModelError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the answer was not ready within the service's deadline"
    return "the request could not be handled; the service's log says more under this request_id"
