"""A remote service as a ``Predictor``: one image per request, as the raw body, so that no file name is sent."""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from service.client.address import Server, tls_context
from service.client.objects import Kind, ObjectUnavailable
from service.client.predicting import LOCAL_REQUEST_ID, PredictorInfo, PredictorStopped, problem_answer
from service.client.retry import RetriesExhausted, Retryable, RetryPolicy, retry_after_s
from service.problems import BODY_TOO_LARGE, UNREACHABLE, new_problem
from service.settings import SettingsError
from service.wire import ModelName, PredictResponse, Problem

# Seconds to connect, for hosts that drop packets; --timeout covers the whole request.
_CONNECT_TIMEOUT_S = 10.0
# Shorter than the five seconds after which the service closes an idle connection.
_KEEPALIVE_S = 3.0
_DICOM = "application/dicom"
_RETRYABLE = {408, 429, 502, 503, 504}  # HTTP status codes
_SERVICE_WIDE = {429, 502, 503}
Model = TypeVar("Model", bound=BaseModel)


@asynccontextmanager
async def connect(server: Server, notify: Callable[[str], None]) -> AsyncIterator["Client"]:
    """Connect to a service and fetch its model information first: no image is sent to an address that is not an
    xray-inference service.

    Args:
        server: the service, and how to call it.
        notify: receives messages for the user while requests are retried.

    Raises:
        PredictorStopped: the service does not answer, or it is not an xray-inference service.
        SettingsError: the certificate authorities cannot be loaded.
    """
    async with http_client(server) as http:
        client = Client(http, server, RetryPolicy(server.give_up_after_s, notify))
        await client.fetch_info()
        yield client


def http_client(server: Server, tls: ssl.SSLContext | None = None) -> httpx.AsyncClient:
    """An HTTP client of a service, not connected yet. ``tls``: what trusts it; None: made from its ``ca_file``.

    Raises:
        SettingsError: the certificate authorities cannot be loaded.
    """
    headers = {"User-Agent": "xray-inference", "Accept-Encoding": "identity"}
    if server.key is not None:
        headers["Authorization"] = f"Bearer {server.key}"
    # trust_env=False: images go directly to the given address, never through a proxy set in the environment.
    return httpx.AsyncClient(
        base_url=server.url,
        headers=headers,
        verify=tls or tls_context(server.ca_file),
        trust_env=False,
        timeout=httpx.Timeout(server.timeout_s, connect=min(_CONNECT_TIMEOUT_S, server.timeout_s)),
        limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEPALIVE_S),
    )


class Client:
    """A client of a service. ``info``: the model information that the service gave at the start."""

    info: PredictorInfo

    def __init__(self, http: httpx.AsyncClient, server: Server, retry_policy: RetryPolicy) -> None:
        self._http, self._server, self._retry_policy = http, server, retry_policy

    async def fetch_info(self) -> None:
        """Fetch the model information.

        Raises:
            PredictorStopped: the service does not answer, or it is not an xray-inference service.
        """
        try:
            response = await self._retry_policy.run(lambda: self.send("GET", "model"))
        except RetriesExhausted as exhausted:
            raise self._unreachable(exhausted) from None
        model = self._parse(response, _ModelInfo)
        point = self._server.operating_point or model.operating_point
        self.info = PredictorInfo(ModelName(name=model.name, version=model.version), "unknown", point)

    async def predict(self, image: bytes) -> PredictResponse:
        """Submit one image file. The answer has one prediction; if the image is at fault, it holds the error.

        Raises:
            PredictorStopped: no other image could be analysed either.
            SettingsError: the model does not have the operating point.
        """
        digest = base64.b64encode(hashlib.sha256(image).digest()).decode()
        headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
        try:
            response = await self._retry_policy.run(lambda: self.send("POST", "predict", image, headers))
        except RetriesExhausted as exhausted:
            if exhausted.service_unavailable:
                raise self._unreachable(exhausted) from None
            last = exhausted.last
            return problem_answer(self.info, last.problem or new_problem(UNREACHABLE, str(last), LOCAL_REQUEST_ID))
        if response.status_code != httpx.codes.OK:
            return problem_answer(self.info, self._image_problem(response))
        answer = self._parse(response, PredictResponse)
        if len(answer.predictions) != 1:
            raise self._unexpected(response)
        return answer

    async def object_about(self, image: bytes, kind: Kind) -> bytes:
        """The DICOM file about a DICOM file that the service answers.

        Raises:
            ObjectUnavailable: it answers none.
        """
        path = "predict" if kind == "report" else "explain"
        headers = {"Content-Type": _DICOM, "Accept": _DICOM}
        try:
            response = await self._retry_policy.run(lambda: self.send("POST", path, image, headers))
        except RetriesExhausted as exhausted:
            raise ObjectUnavailable(str(exhausted)) from None
        if response.status_code != httpx.codes.OK or response.headers.get("content-type") != _DICOM:
            problem = problem_of(response)
            raise ObjectUnavailable(problem.detail if problem else "the service has no such answer")
        return response.content

    async def send(
        self, method: str, path: str, image: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        """Send one request, once. With an image, it states the operating point and population of the ``Server``.

        Raises:
            Retryable, PredictorStopped: it failed; it may succeed if it is repeated, or would not.
        """
        chosen = {"operating_point": self._server.operating_point, "population": self._server.population}
        query = {name: value for name, value in chosen.items() if image is not None and value is not None}
        try:
            async with asyncio.timeout(self._server.timeout_s):
                response = await self._http.request(method, path, content=image, headers=headers, params=query)
        except TimeoutError:
            raise Retryable(f"no answer within {self._server.timeout_s:g} s", service_wide=False) from None
        except httpx.TransportError as error:
            raise self._connection_error(error) from None
        except httpx.RequestError:
            raise PredictorStopped(f"{self._server.url} does not answer like an xray-inference service") from None
        return _check_retryable(response)

    def _connection_error(self, error: httpx.TransportError) -> Exception:
        """The exception for a failed connection; an invalid certificate is not retried."""
        reason = str(error) or type(error).__name__
        if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return Retryable(f"connection lost: {reason}", service_wide=False)
        tls = _cause(error, ssl.SSLError)
        if tls is None or isinstance(tls, ssl.SSLEOFError):  # a restarting service may close it during the handshake
            return Retryable(f"cannot connect: {reason}", service_wide=True)
        tls_reason = getattr(tls, "verify_message", None) or getattr(tls, "reason", None) or reason
        return PredictorStopped(
            f"no TLS connection to {self._server.url}: {tls_reason} "
            "(to trust a hospital's own certificate authority, use --ca-file)"
        )

    def _image_problem(self, response: httpx.Response) -> Problem:
        """The problem in an error response, if it concerns this image only.

        Raises:
            PredictorStopped: it concerns every image.
            SettingsError: it concerns an option of the command.
        """
        problem = problem_of(response)
        if response.status_code in {401, 403}:
            detail = problem.detail if problem else "not allowed"
            raise PredictorStopped(
                f"{self._server.url} rejected the request ({response.status_code}): {detail}; "
                "give an API key with --key-file"
            )
        if problem is None and response.status_code == 413:
            return new_problem(
                BODY_TOO_LARGE, "a proxy in front of the service rejects this file size", LOCAL_REQUEST_ID
            )
        if problem is None or response.status_code in {404, 405}:
            raise self._unexpected(response)
        if problem.type == "/problems/unknown-operating-point":
            raise SettingsError(f"--operating-point: {problem.detail}")
        if problem.type == "/problems/unknown-population":
            raise SettingsError(f"--population: {problem.detail}")
        return problem

    def _parse(self, response: httpx.Response, model: type[Model]) -> Model:
        if response.status_code != httpx.codes.OK:
            self._image_problem(response)
            raise self._unexpected(response)
        try:
            return model.model_validate_json(response.content)
        except ValidationError:
            raise self._unexpected(response) from None

    def _unexpected(self, response: httpx.Response) -> PredictorStopped:
        media_type = response.headers.get("content-type", "no content type")
        redirect = f", redirects to {response.headers['location']}" if response.has_redirect_location else ""
        summary = f"{response.status_code}, {media_type}{redirect}"
        return PredictorStopped(f"{self._server.url} does not answer like an xray-inference service ({summary})")

    def _unreachable(self, exhausted: RetriesExhausted) -> PredictorStopped:
        tried_s = self._server.give_up_after_s
        return PredictorStopped(f"no answer from {self._server.url} for {tried_s:g} s: {exhausted}")


class _ModelInfo(BaseModel):
    """The fields needed from the answer to ``GET /model``."""

    name: str
    version: str
    operating_point: str


def _check_retryable(response: httpx.Response) -> httpx.Response:
    problem = problem_of(response)
    # The file was damaged in transit: it may arrive undamaged the next time.
    damaged = problem is not None and problem.type == "/problems/digest-mismatch"
    if response.status_code not in _RETRYABLE and not damaged:
        return response
    reason = f"{problem.title}: {problem.detail}" if problem else response.reason_phrase
    raise Retryable(
        f"{response.status_code} {reason}",
        service_wide=response.status_code in _SERVICE_WIDE,
        after_s=retry_after_s(response.headers),
        problem=problem,
    )


def problem_of(response: httpx.Response) -> Problem | None:
    """The problem in an error response; None: it has none."""
    if response.status_code < 400:
        return None
    try:
        return Problem.model_validate_json(response.content)
    except ValidationError:
        return None


def _cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error
