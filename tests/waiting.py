"""How tests wait: for a condition, under one deadline that guards against hangs only.

No test asserts how long anything takes, because that depends on what else the machine does. Benchmarks wait in the same
way, also where pytest is not installed.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE_S = 300.0  # a quarter of the time limit of a test (pyproject.toml), so that a wait fails with its own message
_POLL_S = 0.01


def until(condition: Callable[[], T | None], explain: Callable[[], object] = lambda: "") -> T:
    """Poll a condition until it is true, and return its value. Past the deadline the test fails with ``explain()``."""
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        if time.monotonic() > ends:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {_source(condition)}\n{explain()}")
        time.sleep(_POLL_S)
    return found


async def until_async(condition: Callable[[], Any], explain: Callable[[], object] = lambda: "") -> Any:
    """The same in an event loop; the condition may be a coroutine function."""
    ends = time.monotonic() + DEADLINE_S
    while not (found := await _value(condition())):
        if time.monotonic() > ends:
            raise AssertionError(f"not within {DEADLINE_S:g} s: {_source(condition)}\n{explain()}")
        await asyncio.sleep(_POLL_S)
    return found


async def never() -> None:
    """Wait until cancelled: for a fake that sends nothing more, so that the code under test has to give up."""
    await asyncio.Event().wait()


async def _value(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


def _source(condition: Callable[[], object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
