"""What can go wrong with a request. The message of each exception is shown to the caller: it holds no path, no file
name and no file content. ``problems`` says which HTTP status each of them is.
"""

from collections.abc import Callable
from typing import Any, TypeVar

Raiser = TypeVar("Raiser", bound=Callable[..., Any])


def raises(*causes: type[Exception]) -> Callable[[Raiser], Raiser]:
    """Declare which exceptions, or bases of them, may end a route or a dependency. The OpenAPI document lists them."""

    def declare(function: Raiser) -> Raiser:
        function.__dict__["raises"] = causes
        return function

    return declare


class DeviceError(Exception):
    """The device that the settings ask for cannot be used. It ends the start; no request meets it."""


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


class ModelError(Exception):
    """Of the Open Inference Protocol and the repository of models; the message says why, in words for the caller."""


class InvalidInference(ModelError):
    """A request of the Open Inference Protocol that is not one."""


class UnknownModel(ModelError):
    """A model, or a version of it, that is not loaded; or that cannot be, because there is none."""


class ModelConflict(ModelError):
    """A model that cannot be loaded or unloaded as things are."""


class UnsoundModel(ModelError):
    """A model that was to be loaded, and cannot be served."""
