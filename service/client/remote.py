"""A service at an address as a ``Predictor``: one image a request, as the raw body, so that no file name is sent."""

import asyncio
import base64
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from service.client.address import Server, trusted
from service.client.predicting import LOCAL_REQUEST_ID, PredictorInfo, PredictorStopped, without_answer
from service.client.retry import RetriesExhausted, Retryable, RetryPolicy, retry_after_s
from service.problems import BODY_TOO_LARGE, UNREACHABLE, new_problem
from service.settings import SettingsError
from service.wire import ModelName, PredictResponse, Problem

# Of a host that swallows what is sent to it; --timeout is for answers.
_CONNECT_S = 10.0
# Below the five seconds after which the service closes an idle connection.
_KEEP_S = 3.0
_AGAIN = {408, 429, 502, 503, 504}
_EVERYBODY = {429, 502, 503}
Model = TypeVar("Model", bound=BaseModel)


@asynccontextmanager
async def connected(server: Server, say: Callable[[str], None]) -> AsyncIterator["Client"]:
    """A client of a service that has told which model it has. No image is sent to an address that does not.

    Raises:
        Stopped: it does not answer, or not as this service does.
        SettingsError: the file of authorities cannot be read.
    """
    headers = {"User-Agent": "xray-inference", "Accept-Encoding": "identity"}
    if server.key is not None:
        headers["Authorization"] = f"Bearer {server.key}"
    # trust_env: images go to the address that was named, and never through a proxy that the environment names.
    async with httpx.AsyncClient(
        base_url=server.url,
        headers=headers,
        verify=trusted(server.ca_file),
        trust_env=False,
        timeout=httpx.Timeout(server.timeout_s, connect=min(_CONNECT_S, server.timeout_s)),
        limits=httpx.Limits(max_connections=None, keepalive_expiry=_KEEP_S),
    ) as http:
        client = Client(http, server, RetryPolicy(server.give_up_after_s, say))
        await client.introduce()
        yield client


class Client:
    """Asks a service. ``about`` is what it said of itself at the start."""

    about: PredictorInfo

    def __init__(self, http: httpx.AsyncClient, server: Server, patience: RetryPolicy) -> None:
        self._http, self._server, self._patience = http, server, patience

    async def introduce(self) -> None:
        """Learn who answers.

        Raises:
            Stopped: nobody, or not this service.
        """
        try:
            response = await self._patience.run(lambda: self._send("GET", "model"))
        except RetriesExhausted as given_up:
            raise self._unreachable(given_up) from None
        model = self._understood(response, _ModelCall)
        point = self._server.operating_point or model.operating_point
        self.about = PredictorInfo(ModelName(name=model.name, version=model.version), "unknown", point)

    async def ask(self, image: bytes) -> PredictResponse:
        """The answer, with one prediction; what is wrong with the image is an error in it.

        Raises:
            Stopped: no other image would be answered either.
            SettingsError: the model does not have the operating point.
        """
        digest = base64.b64encode(hashlib.sha256(image).digest()).decode()
        headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
        try:
            response = await self._patience.run(lambda: self._send("POST", "predict", image, headers))
        except RetriesExhausted as given_up:
            if given_up.service_unavailable:
                raise self._unreachable(given_up) from None
            last = given_up.last
            return without_answer(self.about, last.problem or new_problem(UNREACHABLE, str(last), LOCAL_REQUEST_ID))
        if response.status_code != httpx.codes.OK:
            return without_answer(self.about, self._refusal(response))
        answer = self._understood(response, PredictResponse)
        if len(answer.predictions) != 1:
            raise self._strange(response)
        return answer

    async def _send(
        self, method: str, path: str, image: bytes | None = None, headers: dict[str, str] | None = None
    ) -> httpx.Response:
        point = self._server.operating_point
        query = {"operating_point": point} if image is not None and point is not None else None
        try:
            async with asyncio.timeout(self._server.timeout_s):
                response = await self._http.request(method, path, content=image, headers=headers, params=query)
        except TimeoutError:
            raise Retryable(f"no answer within {self._server.timeout_s:g} s", service_wide=False) from None
        except httpx.TransportError as error:
            raise self._broken(error) from None
        except httpx.RequestError:
            raise PredictorStopped(f"{self._server.url} answers, but not as this service does") from None
        return _or_again(response)

    def _broken(self, error: httpx.TransportError) -> Exception:
        """Why there was no answer; a certificate does not get better by asking again."""
        reason = str(error) or type(error).__name__
        if not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout):
            return Retryable(f"the connection broke: {reason}", service_wide=False)
        tls = _cause(error, ssl.SSLError)
        if tls is None or isinstance(tls, ssl.SSLEOFError):  # who restarts hangs up amid the handshake, too
            return Retryable(f"no connection: {reason}", service_wide=True)
        said = getattr(tls, "verify_message", None) or getattr(tls, "reason", None) or reason
        return PredictorStopped(f"no TLS with {self._server.url}: {said} (--ca-file names whom to trust)")

    def _refusal(self, response: httpx.Response) -> Problem:
        """The problem of one image.

        Raises:
            Stopped: it is none of one image.
            SettingsError: it is one of the command.
        """
        problem = _problem(response)
        if response.status_code in {401, 403}:
            why = problem.detail if problem else "not allowed"
            raise PredictorStopped(
                f"{self._server.url} refuses ({response.status_code}): {why}; a key goes into --key-file"
            )
        if problem is None and response.status_code == 413:
            return new_problem(
                BODY_TOO_LARGE, "a proxy before the service takes no file of this size", LOCAL_REQUEST_ID
            )
        if problem is None or response.status_code in {404, 405}:
            raise self._strange(response)
        if problem.type == "/problems/unknown-operating-point":
            raise SettingsError(f"--operating-point: {problem.detail}")
        return problem

    def _understood(self, response: httpx.Response, model: type[Model]) -> Model:
        if response.status_code != httpx.codes.OK:
            self._refusal(response)
            raise self._strange(response)
        try:
            return model.model_validate_json(response.content)
        except ValidationError:
            raise self._strange(response) from None

    def _strange(self, response: httpx.Response) -> PredictorStopped:
        kind = response.headers.get("content-type", "no type")
        moved = f", moved to {response.headers['location']}" if response.has_redirect_location else ""
        answered = f"{response.status_code}, {kind}{moved}"
        return PredictorStopped(f"{self._server.url} answers, but not as this service does ({answered})")

    def _unreachable(self, given_up: RetriesExhausted) -> PredictorStopped:
        return PredictorStopped(f"no answer from {self._server.url} for {self._server.give_up_after_s:g} s: {given_up}")


class _ModelCall(BaseModel):
    """What is needed of the answer of ``GET /model``."""

    name: str
    version: str
    operating_point: str


def _or_again(response: httpx.Response) -> httpx.Response:
    problem = _problem(response)
    # What arrived was not what was sent: the same file may well arrive as it is the next time.
    damaged = problem is not None and problem.type == "/problems/digest-mismatch"
    if response.status_code not in _AGAIN and not damaged:
        return response
    why = f"{problem.title}: {problem.detail}" if problem else response.reason_phrase
    raise Retryable(
        f"{response.status_code} {why}",
        service_wide=response.status_code in _EVERYBODY,
        after_s=retry_after_s(response.headers),
        problem=problem,
    )


def _problem(response: httpx.Response) -> Problem | None:
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
