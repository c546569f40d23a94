"""Sends results by STOW-RS (PS3.18 section 10.5)."""

import asyncio
import json
import secrets
import ssl
from typing import NamedTuple

import httpx
from pydantic import BaseModel, Field, ValidationError

from node.config import Stow, Tls
from node.credentials import Credentials, client_context, secret
from node.delivery.outcomes import DAMAGED, STORED, Interrupted, Outcome, Sender, Unavailable, Verdict, outcome_of
from node.header import HeaderError, content_identity
from node.storage.records import Delivery

# The store takes no result now, or none with the node's credentials.
_CLOSED = {401, 403, 404, 408, 429, 502, 503, 504}
_FINAL = {400, 409, 415}
# All of a request and its answer may take as many times ``timeout_s``, which is for each step of it.
_STEPS = 4
_LONGEST_ANSWER_BYTES = 4_194_304


class _Value(BaseModel):
    value: list[int] = Field(default=[], alias="Value")


class _Item(BaseModel):
    reason: _Value = Field(default=_Value(), alias="00081197")


class _Sequence(BaseModel):
    value: list[_Item] = Field(default=[], alias="Value")


class _Answer(BaseModel):
    """Store Instances Response Module in DICOM JSON: only Failed SOP Sequence (0008,1198)."""

    failed: _Sequence = Field(default=_Sequence(), alias="00081198")


class _Access(NamedTuple):
    """What a store asks for. ``tls``: True: the authorities of the operating system."""

    tls: ssl.SSLContext | bool
    auth: httpx.BasicAuth | None
    headers: dict[str, str]


class _Received(NamedTuple):
    """An HTTP response. ``kind``: its media type."""

    status: int
    reason: str
    kind: str
    content: bytes

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300


class StowSender:
    """One HTTP connection for all results that are due, one request for each.

    Args:
        destination: whom to send to.

    Raises:
        ConfigError: password, token or certificates cannot be read.
    """

    def __init__(self, destination: Stow) -> None:
        self._destination, self._access = destination, _access(destination)
        self._http: httpx.AsyncClient | None = None
        self._loop: asyncio.Runner | None = None

    def check(self) -> str:
        """Look for a renewed password, token or certificate; see ``Sender``."""
        self._access.current()
        return self._access.fault

    def __enter__(self) -> Sender:
        """Prepare the connection, which is opened by the first request."""
        # Tasks, because only they can be ended in time whatever a store does.
        self._loop, access = asyncio.Runner(), self._access.current()
        # trust_env=False: results go directly to the given address, never through a proxy set in the environment.
        self._http = httpx.AsyncClient(
            verify=access.tls,
            auth=access.auth,
            headers={"Accept": "application/dicom+json", "User-Agent": "xray-inference"} | access.headers,
            timeout=httpx.Timeout(self._destination.timeout_s, connect=min(10.0, self._destination.timeout_s)),
            trust_env=False,
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the connection."""
        if self._loop and self._http:
            self._loop.run(self._http.aclose())
            self._loop.close()

    def send(self, delivery: Delivery, content: bytes) -> Outcome:
        """Send one result.

        Raises:
            Unavailable, Interrupted: there was no answer.
        """
        if self._loop is None or self._http is None:
            raise Unavailable("not connected")
        try:
            content_identity(content)
        except HeaderError:
            return DAMAGED
        try:
            return _outcome(self._loop.run(self._post(self._http, content)))
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise Unavailable(str(error) or type(error).__name__) from None
        except httpx.HTTPError as error:
            raise Interrupted(str(error) or type(error).__name__) from None
        except TimeoutError:
            raise Interrupted("no whole answer in time") from None

    async def _post(self, http: httpx.AsyncClient, content: bytes) -> _Received:
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + content + f"\r\n--{boundary}--\r\n".encode()
        headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
        url = f"{str(self._destination.url).rstrip('/')}/studies"
        answer = bytearray()
        async with (
            asyncio.timeout(_STEPS * self._destination.timeout_s),
            http.stream("POST", url, content=body, headers=headers) as response,
        ):
            async for piece in response.aiter_bytes():
                answer += piece
                if len(answer) > _LONGEST_ANSWER_BYTES:
                    raise Interrupted("the answer does not end")
        kind = response.headers.get("content-type", "")
        return _Received(response.status_code, response.reason_phrase, kind, bytes(answer))


def _outcome(received: _Received) -> Outcome:
    """What the store says.

    Raises:
        Unavailable, Interrupted: nothing of the result.
    """
    said = f"HTTP {received.status} {received.reason}"
    if received.status in _CLOSED or 300 <= received.status < 400:
        raise Unavailable(said)
    if not (received.is_success or received.status in _FINAL):
        raise Interrupted(said)
    if received.is_success and received.kind.startswith("text/html"):  # a gateway's login page
        raise Unavailable(f"{said}: a page for people, and no answer of a store")
    if failed := _failures(received):
        return outcome_of(failed[0].reason.value[0] if failed[0].reason.value else 0x0110)
    return STORED if received.is_success else Outcome(Verdict.NEVER, said)


def _failures(received: _Received) -> list[_Item]:
    """The items that the store did not take; none also where it answers with XML or nothing, whatever it took.

    Raises:
        Interrupted: the answer is cut short.
    """
    try:
        return _Answer.model_validate_json(received.content).failed.value
    except ValidationError:
        pass
    if "json" in received.kind and received.content:
        try:
            json.loads(received.content)
        except ValueError:
            raise Interrupted("the answer is cut short or damaged") from None
    return []


def _access(destination: Stow) -> Credentials[_Access]:
    def read() -> _Access:
        token = secret(destination.token_file)
        return _Access(
            client_context(Tls(ca_file=destination.ca_file)) if destination.ca_file else True,
            httpx.BasicAuth(destination.user, secret(destination.password_file))
            if destination.user is not None
            else None,
            {"Authorization": f"Bearer {token}"} if token else {},
        )

    files = destination.ca_file, destination.password_file, destination.token_file
    return Credentials(f"destination {destination.name}", files, read)
