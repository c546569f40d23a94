"""Who calls, and what they may: each call of the service asks ``needs`` for the scope it takes."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import Request

from service.errors import Forbidden

Scope = Literal["predict", "admin", "metrics"]


@dataclass(frozen=True, slots=True)
class Caller:
    """Somebody who calls. ``name``: of the key, never the key itself; None for anybody, where no keys are asked for."""

    name: str | None
    scopes: frozenset[Scope]


# What is done to the service itself always takes a key.
ANYBODY = Caller(None, frozenset({"predict", "metrics"}))


def needs(scope: Scope) -> Callable[[Request], Coroutine[Any, Any, Caller]]:
    """A dependency that lets only those in who have this scope, before anything of the body is read.

    Raises:
        Forbidden: the caller has not.
    """

    async def check(request: Request) -> Caller:
        caller = ANYBODY
        request.state.record.caller = caller.name
        if scope not in caller.scopes:
            raise Forbidden(f"this call takes a key with the scope {scope}")
        return caller

    return check
