"""Who calls, and what they may: each call of the service asks ``needs`` for the scope it takes."""

import ipaddress
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from service.access.keyring import KeyRing, Quota
from service.access.keys import KeyFileError, Scope
from service.errors import Forbidden, QuotaExceeded, Unauthorized, raises
from service.settings import Settings, SettingsError


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls. ``name``: of the key, never the key itself; None for anybody, where no keys are asked for."""

    name: str | None
    scopes: frozenset[Scope]
    quota: Quota | None = None

    def takes(self, images: int) -> None:
        """Count images that turned out to be in a request beside the one that it was let in with."""
        if self.quota and images:
            self.quota.take_more(images)


# What is done to the service itself always takes a key.
ANONYMOUS = Caller(None, frozenset({"predict", "metrics"}))
NO_KEY = "this call takes a key: send it as 'Authorization: Bearer KEY'"

BEARER = HTTPBearer(
    auto_error=False,
    scheme_name="key",
    description="A key of `python -m service keys add`. A service without keys asks for none.",
)


class Authenticator:
    """Tells who calls.

    Args:
        ring: the keys in force; None where none are asked for.
        anonymous: whether who shows no key may come in too.
    """

    def __init__(self, ring: KeyRing | None, *, anonymous: bool) -> None:
        self._ring, self._anonymous = ring, anonymous or ring is None

    @property
    def has_keys(self) -> bool:
        """Whether a key may be of any use."""
        return self._ring is not None

    @property
    def open_to(self) -> frozenset[Scope]:
        """The scopes of a caller who shows no key."""
        return ANONYMOUS.scopes if self._anonymous else frozenset()

    def caller(self, key: str | None) -> Caller:
        """Who shows this key, or none.

        Raises:
            Unauthorized: a key is needed, or this is none.
        """
        if self._ring is None:
            return ANONYMOUS
        if key is None:
            if self._anonymous:
                return ANONYMOUS
            raise Unauthorized(NO_KEY)
        found = self._ring.find(key)
        if found is None:
            raise Unauthorized("this key is not known here, or has expired")
        return Caller(found.name, frozenset(found.scopes), self._ring.quota(found))


def open_authenticator(settings: Settings) -> Authenticator:
    """The gate that the settings ask for.

    Raises:
        SettingsError: the file of keys cannot be used.
    """
    if settings.keys_file is None:
        return Authenticator(None, anonymous=True)
    try:
        return Authenticator(KeyRing(settings.keys_file), anonymous=settings.allow_anonymous)
    except KeyFileError as error:
        raise SettingsError(f"XRAY_KEYS_FILE: {error}") from None


def require_keys_if_reachable(settings: Settings) -> None:
    """A service that others can reach either asks for keys or says that it means not to.

    Raises:
        SettingsError: it does neither.
    """
    reached_at = settings.published_on or settings.host
    if settings.keys_file is None and not settings.allow_anonymous and not _is_loopback(reached_at):
        raise SettingsError(
            f"others can reach the service at {reached_at}, and it asks nobody for a key: set XRAY_KEYS_FILE "
            "(see 'python -m service keys add'), or XRAY_ALLOW_ANONYMOUS=1 if that is meant"
        )


def needs(scope: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency that lets only those in who have this scope, before anything of the body is read.

    Raises:
        Unauthorized, Forbidden: the caller has not.
    """

    @raises(Unauthorized, Forbidden)
    async def check(
        request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER, scopes=[scope])]
    ) -> Caller:
        return _authorize(request, sent, scope)

    return check


# Not a dependency on ``needs``: FastAPI takes its time over each one, and this is every request's.
@raises(Unauthorized, Forbidden, QuotaExceeded)
async def authorize_prediction(
    request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER, scopes=["predict"])]
) -> Caller:
    """A dependency of calls that have images read: counts one of the caller's, before anything of the body is read.

    Raises:
        Unauthorized, Forbidden: the caller may not have images read.
        QuotaExceeded: none is left.
    """
    caller = _authorize(request, sent, "predict")
    if caller.quota:
        caller.quota.take_one()
    return caller


def _authorize(request: Request, sent: HTTPAuthorizationCredentials | None, scope: Scope) -> Caller:
    authenticator: Authenticator = request.app.state.service.authenticator
    caller = authenticator.caller(sent.credentials if sent else None)
    request.state.record.caller = caller.name
    if scope not in caller.scopes:
        if authenticator.has_keys and caller is ANONYMOUS:
            raise Unauthorized(NO_KEY)
        raise Forbidden(f"this call takes a key with the scope {scope}")
    return caller


# The caller of a request that has images read: let in with one, and told of the others by ``takes``.
PredictCaller = Annotated[Caller, Depends(authorize_prediction)]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
