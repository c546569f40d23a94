"""The table from exceptions to problems (RFC 9457): HTTP status, type and title. It needs no web framework."""

import logging
from dataclasses import dataclass

from contract import errors as image
from service import errors
from service.wire import Problem

log = logging.getLogger(__name__)

PROBLEM_JSON = "application/problem+json"
# Seconds. With the default settings, a full queue is processed within one or two; a restart takes about as long.
RETRY_AFTER_S = 1
# Defaults for every response: caches store nothing, browsers do not guess another type, and neither run, load nor frame
# anything. No Strict-Transport-Security: it would bind every other service under the same host name, on any port; that
# decision is the hospital's.
HEADERS = [
    (b"cache-control", b"no-store"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"referrer-policy", b"no-referrer"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem: its HTTP status, the slug in its type URI, and its title."""

    status: int
    slug: str
    title: str

    @property
    def type(self) -> str:
        """The type URI, relative."""
        return f"/problems/{self.slug}"


INTERNAL = Kind(500, "internal-error", "Internal error")
EMPTY_FILE = Kind(422, "empty-file", "An empty file")
BODY_TOO_LARGE = Kind(413, "body-too-large", "Too many bytes")
# Of the command-line client only: the service opens no files and calls no other service.
UNREADABLE_FILE = Kind(422, "unreadable-file", "The file cannot be opened")
NO_IMAGES = Kind(422, "no-images", "No image in the folder")
UNREACHABLE = Kind(503, "unreachable", "The service is unreachable")
COMMAND_LINE = (UNREADABLE_FILE, NO_IMAGES, UNREACHABLE)

TABLE: dict[type[Exception], Kind] = {
    errors.BadRequest: Kind(400, "bad-request", "Bad Request"),
    errors.MissingBody: Kind(400, "missing-body", "No image in the request"),
    errors.MalformedRequest: Kind(400, "malformed-multipart", "The multipart body is malformed"),
    errors.TooManyFiles: Kind(400, "too-many-files", "Too many images in one request"),
    errors.DigestMismatch: Kind(400, "digest-mismatch", "The body does not match its digest"),
    errors.InvalidInference: Kind(400, "invalid-inference", "The inference request is not valid"),
    errors.UnknownHost: Kind(400, "unknown-host", "Unknown host name"),
    errors.Unauthorized: Kind(401, "unauthorized", "A valid API key is required"),
    errors.CrossSite: Kind(403, "cross-site", "Request from another site"),
    errors.Forbidden: Kind(403, "forbidden", "Forbidden"),
    errors.UnknownRequest: Kind(404, "unknown-request", "No such request"),
    errors.UnknownModel: Kind(404, "unknown-model", "No such model"),
    errors.NotAcceptable: Kind(406, "not-acceptable", "No answer in the requested format"),
    errors.HeaderTimeout: Kind(408, "header-timeout", "The header took too long"),
    errors.UploadTimeout: Kind(408, "upload-timeout", "The upload took too long"),
    errors.ModelConflict: Kind(409, "model-conflict", "The model cannot be changed now"),
    errors.BodyTooLarge: BODY_TOO_LARGE,
    errors.UriTooLong: Kind(414, "uri-too-long", "The URI is too long"),
    image.UnsupportedFormat: Kind(415, "unsupported-media-type", "Unsupported format"),
    image.UnsupportedTransferSyntax: Kind(415, "unsupported-transfer-syntax", "Unsupported transfer syntax"),
    errors.UnsupportedBody: Kind(415, "unsupported-media-type", "Unsupported format"),
    errors.UnsupportedEncoding: Kind(415, "unsupported-encoding", "Unsupported compression"),
    errors.MissingFile: Kind(422, "missing-file", "No part named file"),
    image.EmptyImage: EMPTY_FILE,
    image.TruncatedImage: Kind(422, "truncated-image", "The image is cut short or damaged"),
    image.TooManyPixels: Kind(422, "too-many-pixels", "The image has too many pixels"),
    image.ImageTooSmall: Kind(422, "image-too-small", "The image is too small"),
    image.AspectRatio: Kind(422, "aspect-ratio", "Implausible aspect ratio"),
    image.AnimatedImage: Kind(422, "animated-image", "The image is animated"),
    image.UnsupportedJpeg: Kind(422, "unsupported-jpeg", "Unsupported JPEG type"),
    image.TooMuchMetadata: Kind(422, "too-much-metadata", "The image has too much metadata"),
    image.UnusableObject: Kind(422, "unusable-object", "The DICOM object cannot be used"),
    image.UnsupportedModality: Kind(422, "unsupported-modality", "Not a digital radiograph"),
    image.ForProcessing: Kind(422, "for-processing", "Raw detector values"),
    image.MultiFrame: Kind(422, "multi-frame", "Several frames"),
    image.UnsupportedView: Kind(422, "unsupported-view", "Not a frontal view"),
    image.UnsupportedBodyPart: Kind(422, "unsupported-body-part", "Not a chest"),
    image.UnsupportedAge: Kind(422, "unsupported-age", "Age outside the model's"),
    errors.UnsoundModel: Kind(422, "unsound-model", "The model cannot be served"),
    errors.UnlikeTrainingData: Kind(422, "unlike-training-data", "Unlike the training data"),
    errors.UnknownOperatingPoint: Kind(422, "unknown-operating-point", "No such operating point"),
    errors.UnknownPopulation: Kind(422, "unknown-population", "No such population"),
    errors.InvalidParameter: Kind(422, "invalid-request", "The request is not valid"),
    errors.InvalidFeedback: Kind(422, "invalid-feedback", "The feedback is not valid"),
    errors.QuotaExceeded: Kind(429, "quota-exceeded", "The quota of this key is used up"),
    errors.HeaderTooLarge: Kind(431, "header-too-large", "The header is too large"),
    errors.BackendFault: Kind(500, "model-fault", "The model failed"),
    errors.ProcessEnded: INTERNAL,
    errors.Overloaded: Kind(503, "overloaded", "The service is overloaded"),
    errors.NotReady: Kind(503, "not-ready", "The service is not ready"),
    errors.AuditUnavailable: Kind(503, "audit-unavailable", "The audit log cannot be written"),
    TimeoutError: Kind(504, "deadline-exceeded", "Deadline exceeded"),
}


def new_problem(kind: Kind, detail: str, request_id: str) -> Problem:
    """The problem object of this kind."""
    return Problem(type=kind.type, title=kind.title, status=kind.status, detail=detail, request_id=request_id)


def problem(error: BaseException, request_id: str) -> Problem:
    """The problem object of an exception. An internal error is logged with its stack trace."""
    kind = kind_of(error)
    if kind.status == INTERNAL.status:
        log.error("a request failed", exc_info=error, extra={"request_id": request_id})
    return new_problem(kind, _detail(error), request_id)


def kinds() -> list[Kind]:
    """Every kind of problem that the service returns."""
    return list(dict.fromkeys([*TABLE.values(), INTERNAL]))


def kind_of(error: BaseException) -> Kind:
    """The kind of problem of an exception: that of the nearest base class in ``TABLE``, else ``INTERNAL``."""
    return next((TABLE[base] for base in type(error).__mro__ if base in TABLE), INTERNAL)


def _detail(error: BaseException) -> str:
    if isinstance(error, errors.ServiceError | image.ImageRefused | errors.ModelError):
        return str(error)
    if isinstance(error, TimeoutError):
        return "the result was not ready within the service's deadline (XRAY_DEADLINE_S)"
    return "an unexpected error occurred; the service's log has the cause under this request_id"
