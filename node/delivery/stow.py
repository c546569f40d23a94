"""Sends results by STOW-RS (PS3.18 section 10.5)."""

import secrets
import ssl
from pathlib import Path

import httpx
from pydantic import BaseModel, Field, ValidationError

from node.config import ConfigError, Stow, Tls
from node.delivery.cstore import client_context
from node.delivery.outcomes import STORED, Outcome, Sender, Unavailable, Verdict, outcome_of
from node.storage.records import Delivery

# The store is at fault, or the node's credentials: the same result may be taken later.
_LATER = {401, 403, 404, 408, 429, 500, 502, 503, 504}


class _Value(BaseModel):
    value: list[int] = Field(default=[], alias="Value")


class _Item(BaseModel):
    reason: _Value = Field(default=_Value(), alias="00081197")


class _Sequence(BaseModel):
    value: list[_Item] = Field(default=[], alias="Value")


class _Answer(BaseModel):
    """Store Instances Response Module in DICOM JSON: only Failed SOP Sequence (0008,1198)."""

    failed: _Sequence = Field(default=_Sequence(), alias="00081198")


class StowSender:
    """One HTTP connection for all results that are due, one request for each.

    Args:
        destination: whom to send to.

    Raises:
        ConfigError: password, token or certificates cannot be read.
    """

    def __init__(self, destination: Stow) -> None:
        self._destination, self._auth, self._headers = destination, _auth(destination), _token(destination)
        context = client_context(Tls(ca_file=destination.ca_file)) if destination.ca_file else None
        self._tls: ssl.SSLContext | bool = context or True
        self._http: httpx.Client | None = None

    def __enter__(self) -> Sender:
        """Prepare the connection, which is opened by the first request."""
        # trust_env=False: results go directly to the given address, never through a proxy set in the environment.
        self._http = httpx.Client(
            verify=self._tls,
            auth=self._auth,
            headers={"Accept": "application/dicom+json", "User-Agent": "xray-inference"} | self._headers,
            timeout=httpx.Timeout(self._destination.timeout_s, connect=min(10.0, self._destination.timeout_s)),
            trust_env=False,
        )
        return self

    def __exit__(self, *_exception: object) -> None:
        """Close the connection."""
        if self._http:
            self._http.close()

    def send(self, delivery: Delivery, path: Path) -> Outcome:
        """Send one result.

        Raises:
            Unavailable: there was no answer.
        """
        boundary = secrets.token_hex(16)
        head = f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()
        body = head + path.read_bytes() + f"\r\n--{boundary}--\r\n".encode()
        media_type = f'multipart/related; type="application/dicom"; boundary={boundary}'
        url = f"{str(self._destination.url).rstrip('/')}/studies"
        if self._http is None:
            raise Unavailable("not connected")
        try:
            response = self._http.post(url, content=body, headers={"Content-Type": media_type})
        except httpx.HTTPError as error:
            raise Unavailable(str(error) or type(error).__name__) from None
        return _outcome(response)


def _outcome(response: httpx.Response) -> Outcome:
    status = response.status_code
    if status in _LATER:
        raise Unavailable(f"HTTP {status} {response.reason_phrase}")
    try:
        failed = _Answer.model_validate_json(response.content).failed.value
    except ValidationError:  # some stores answer with XML or nothing whatever is accepted
        failed = []
    if failed:
        return outcome_of(failed[0].reason.value[0] if failed[0].reason.value else 0x0110)
    if status in {200, 202}:
        return STORED
    return Outcome(Verdict.NEVER, f"HTTP {status} {response.reason_phrase}")


def _auth(destination: Stow) -> httpx.BasicAuth | None:
    if destination.user is None:
        return None
    return httpx.BasicAuth(destination.user, _secret(destination.password_file) or "")


def _token(destination: Stow) -> dict[str, str]:
    token = _secret(destination.token_file)
    return {"Authorization": f"Bearer {token}"} if token else {}


def _secret(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigError(f"{path} cannot be read") from None
