"""How tests wait: for a condition, under one deadline that is there against hangs alone.

No test asserts how long anything takes: that depends on what else the machine does.
"""

import asyncio
import inspect
import time
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

DEADLINE_S = 300.0  # a quarter of what pytest gives a test (pyproject.toml), so that a wait fails with its own words
_POLL_S = 0.02


def until(condition: Callable[[], T | None], explain: Callable[[], object] = lambda: "") -> T:
    """Ask for a condition until it is true, and give what it gave. Past the deadline the test fails, and says why."""
    ends = time.monotonic() + DEADLINE_S
    while not (found := condition()):
        if time.monotonic() > ends:
            pytest.fail(f"not within {DEADLINE_S:g} s: {_source(condition)}\n{explain()}")
        time.sleep(_POLL_S)
    return found


async def until_async(condition: Callable[[], Any], explain: Callable[[], object] = lambda: "") -> Any:
    """The same within an event loop; the condition may be a coroutine function."""
    ends = time.monotonic() + DEADLINE_S
    while not (found := await _value(condition())):
        if time.monotonic() > ends:
            pytest.fail(f"not within {DEADLINE_S:g} s: {_source(condition)}\n{explain()}")
        await asyncio.sleep(_POLL_S)
    return found


async def never() -> None:
    """What a stand-in awaits that gives no more: the other side has to end it."""
    await asyncio.Event().wait()


async def _value(found: Any) -> Any:
    return await found if inspect.isawaitable(found) else found


def _source(condition: Callable[[], object]) -> str:
    try:
        return inspect.getsource(condition).strip()
    except (OSError, TypeError):
        return repr(condition)
