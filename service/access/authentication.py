"""Authentication and authorisation: each route depends on ``require_scope`` with the scope that it requires."""

import ipaddress
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials

from service.access.credentials import ApiKeyHeaders
from service.access.keyring import KeyRing, Quota
from service.access.keys import KeyFileError, Scope
from service.access.proxies import USER_HEADER, printable_user
from service.errors import Forbidden, QuotaExceeded, Unauthorized, raises
from service.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Caller:
    """An authenticated client. ``name``: the name of its key, never the key itself; None for an anonymous client."""

    name: str | None
    scopes: frozenset[Scope]
    quota: Quota | None = None

    def charge(self, images: int) -> None:
        """Charge the quota for the images of a request beyond the one that was charged when it was authorised."""
        if self.quota and images:
            self.quota.take_more(images)


# Without the scopes admin and feedback: changing the service itself, and what it is measured by, always requires a key.
ANONYMOUS = Caller(None, frozenset({"predict", "metrics"}))
KEY_REQUIRED = (
    "this call requires an API key: send it as 'Authorization: Bearer KEY', as 'X-API-Key: KEY', or as the password of "
    "Basic authentication"
)

BEARER = ApiKeyHeaders(
    auto_error=False,
    scheme_name="key",
    description="An API key made by `python -m service keys add`. A service without a key file requires none.",
)


class Authenticator:
    """Identifies the client of a request by its API key.

    Args:
        ring: the keys in force; None if the service requires no keys.
        anonymous: whether clients without a key are accepted too.
    """

    def __init__(self, ring: KeyRing | None, *, anonymous: bool) -> None:
        self._ring, self._anonymous = ring, anonymous or ring is None

    @property
    def has_keys(self) -> bool:
        """Whether the service has API keys at all."""
        return self._ring is not None

    @property
    def anonymous_scopes(self) -> frozenset[Scope]:
        """The scopes of a client that sends no key."""
        return ANONYMOUS.scopes if self._anonymous else frozenset()

    def authenticate(self, key: str | None) -> Caller:
        """The client that sent this key, or none.

        Raises:
            Unauthorized: a key is required and missing, or the key is invalid, revoked or expired.
        """
        if self._ring is None:
            return ANONYMOUS
        if key is None:
            if self._anonymous:
                return ANONYMOUS
            raise Unauthorized(KEY_REQUIRED)
        found = self._ring.find(key)
        if found is None:
            raise Unauthorized("the API key is invalid, revoked or expired")
        return Caller(found.name, frozenset(found.scopes), self._ring.quota(found))


def open_authenticator(settings: Settings) -> Authenticator:
    """The authenticator for these settings.

    Raises:
        SettingsError: the key file cannot be used.
    """
    if settings.keys_file is None:
        return Authenticator(None, anonymous=True)
    try:
        return Authenticator(KeyRing(settings.keys_file), anonymous=settings.allow_anonymous)
    except KeyFileError as error:
        raise SettingsError(f"XRAY_KEYS_FILE: {error}") from None


def require_keys_if_reachable(settings: Settings) -> None:
    """A service reachable from other machines requires API keys, unless anonymous access is allowed explicitly.

    Raises:
        SettingsError: it is reachable, and neither is set.
    """
    reached_at = settings.published_on or settings.host or "all addresses"
    if settings.keys_file is None and not settings.allow_anonymous and not _is_loopback(reached_at):
        raise SettingsError(
            f"other machines can reach the service at {reached_at}, but it requires no API keys: set XRAY_KEYS_FILE "
            "(see 'python -m service keys add'), or set XRAY_ALLOW_ANONYMOUS=1 to allow anonymous access"
        )


def is_private(settings: Settings) -> bool:
    """Whether only this machine reaches the service, and without a key."""
    return settings.keys_file is None and _is_loopback(settings.published_on or settings.host)


def require_scope(scope: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency that rejects clients without this scope, before any of the body is received.

    Raises:
        Unauthorized, Forbidden: the client does not have the scope.
    """

    @raises(Unauthorized, Forbidden)
    async def check(
        request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER, scopes=[scope])]
    ) -> Caller:
        return _authorize(request, sent, scope)

    return check


# Does not depend on ``require_scope``: each FastAPI dependency costs time, and this one runs for every request.
@raises(Unauthorized, Forbidden, QuotaExceeded)
async def authorize_prediction(
    request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER, scopes=["predict"])]
) -> Caller:
    """A dependency of routes that analyse images: charges the quota for one, before any of the body is received.

    Raises:
        Unauthorized, Forbidden: the client does not have the scope ``predict``.
        QuotaExceeded: the client has used up its quota.
    """
    caller = _authorize(request, sent, "predict")
    if caller.quota:
        caller.quota.take_one()
    return caller


def _authorize(request: Request, sent: HTTPAuthorizationCredentials | None, scope: Scope) -> Caller:
    service, record = request.app.state.service, request.state.record
    authenticator: Authenticator = service.authenticator
    caller = authenticator.authenticate(sent.credentials if sent else None)
    record.caller = caller.name
    if caller.name and (user := request.headers.get(USER_HEADER)) and service.proxies.trusts(request.scope["client"]):
        record.user = printable_user(user)
    if scope not in caller.scopes:
        if authenticator.has_keys and caller is ANONYMOUS:
            raise Unauthorized(KEY_REQUIRED)
        raise Forbidden(f"this call requires an API key with the scope {scope}")
    return caller


# The client of a request that analyses images: charged for one image at first, and for the others by ``charge``.
PredictCaller = Annotated[Caller, Depends(authorize_prediction)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
