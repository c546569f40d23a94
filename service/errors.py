"""The exceptions of the service. Their messages are sent to the client, so a message never contains a path, a file name
or file content. ``problems`` maps each exception to its HTTP status.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Raiser = TypeVar("Raiser", bound=Callable[..., Any])


def raises(*causes: type[Exception]) -> Callable[[Raiser], Raiser]:
    """Declare the exceptions, or base classes of them, that a route or dependency raises. The OpenAPI document lists
    the problems that they become.
    """

    def declare(function: Raiser) -> Raiser:
        function.__dict__["raises"] = causes
        return function

    return declare


class DeviceError(Exception):
    """The device that the settings require cannot be used. Raised at start only."""


class ServiceError(Exception):
    """A request that gets no prediction. Its message is sent to the client."""


class MissingBody(ServiceError):
    """The body is empty."""


class MalformedRequest(ServiceError):
    """The multipart body is malformed."""


class TooManyFiles(ServiceError):
    """The request has more images than allowed."""


class InvalidFeedback(ServiceError):
    """The feedback is malformed, or does not say which image of the request it is about."""


class UnknownRequest(ServiceError):
    """The audit log has no image of this request."""


class DigestMismatch(ServiceError):
    """The body does not match its Content-Digest."""


class MissingFile(ServiceError):
    """The multipart body has no part named ``file``."""


class BodyTooLarge(ServiceError):
    """The body has more bytes than allowed."""


class UnsupportedBody(ServiceError):
    """The Content-Type is not supported."""


class UnsupportedEncoding(ServiceError):
    """The body has a Content-Encoding other than gzip and deflate, or is not valid data of that format."""


class BadRequest(ServiceError):
    """The bytes are not an HTTP/1.1 request, or two programs could disagree on where it ends."""


class HeaderTimeout(ServiceError):
    """A header that did not arrive in time."""


class HeaderTooLarge(ServiceError):
    """A header, or a trailer, of more bytes or fields than any client sends."""


class UriTooLong(ServiceError):
    """Path and query are longer than allowed."""


class InvalidParameter(ServiceError):
    """A query parameter that the endpoint does not have, a repeated one, or a wrong value."""


class UnknownOperatingPoint(ServiceError):
    """The model has no operating point of this name."""


class UnknownPopulation(ServiceError):
    """The model has no population of this name."""


class NotAcceptable(ServiceError):
    """The Accept header allows only a DICOM object, and this request has no answer of that kind."""


class UnlikeTrainingData(ServiceError):
    """The input guard refused the image as unlike the training data (``XRAY_GUARD=refuse``)."""


class UnknownHost(ServiceError):
    """The Host header does not name this service."""


class CrossSite(ServiceError):
    """A page of another site sent the request, to a service that requires no key."""


class Unauthorized(ServiceError):
    """The endpoint requires an API key, and the request has none or an invalid one."""


class QuotaExceeded(ServiceError):
    """The quota of the API key is used up. ``retry_after_s``: seconds until it allows another image."""

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Forbidden(ServiceError):
    """The caller is not allowed to use the endpoint."""


class UploadTimeout(ServiceError):
    """The body did not arrive within ``XRAY_UPLOAD_S``."""


class Overloaded(ServiceError):
    """The service is at its capacity: too many images or bytes in flight."""


class NotReady(ServiceError):
    """The service is starting or draining."""


class AuditUnavailable(ServiceError):
    """The audit is required (``XRAY_AUDIT=required``) and cannot be written, so the result is withheld."""

    def __init__(self) -> None:
        super().__init__("the audit log cannot be written, and this service returns no result without it")


class BackendFault(ServiceError):
    """The model failed, or its output was not a probability."""

    def __init__(self) -> None:
        super().__init__("the model failed on this image; the service's log has the cause")


class ProcessEnded(ServiceError):
    """Two processes exited while they analysed the image: because of it, or of the resources that it needs."""

    def __init__(self) -> None:
        super().__init__("the process that analysed the image ended, more than once")


class ModelError(Exception):
    """An error of the Open Inference Protocol or of the model repository. Its message is sent to the client."""


class InvalidInference(ModelError):
    """The request is not valid in the Open Inference Protocol."""


class UnknownModel(ModelError):
    """The model or version is not loaded; or, when loading, is not in the repository."""


class ModelConflict(ModelError):
    """The model cannot be loaded or unloaded now."""


class UnsoundModel(ModelError):
    """The model to be loaded cannot be served."""
