"""Tests wait for conditions and never for a time: the wait, and that there is no other."""

import ast
from collections.abc import Iterator

import pytest

from tests import ROOT, waiting
from tests.waiting import until, until_async

FILES = sorted(path for path in ROOT.glob("tests/**/*.py") if "container" not in path.parts)
# Where time may be looked at or passed, and why.
MAY = {
    "tests/waiting.py": "is the wait",
    "tests/e2e/scripted.py": "a server that is slow, and when it was asked: clients must not ask before they may",
    "tests/service/telemetry/test_totals.py": "sets the clock",
}
_WAITS = {"sleep", "wait", "wait_for", "wait_for_timeout", "join", "result", "settimeout", "communicate", "acquire"}
_CLOCKS = {"monotonic", "perf_counter", "time_ns", "monotonic_ns", "process_time"}


def hurries(source: str) -> Iterator[str]:
    """The calls in a file that wait so many seconds, or read a clock. To wait 0 s lets others run, and hurries none."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        given = [*node.args, *(word.value for word in node.keywords)] if name in _WAITS else []
        given += [word.value for word in node.keywords if word.arg and word.arg.startswith("timeout")]
        if name in _CLOCKS or any(isinstance(each, ast.Constant) and _seconds(each.value) for each in given):
            yield f"line {node.lineno}: {ast.unparse(node)}"


def _seconds(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("time.sleep(0.1)", 1),
        ("asyncio.sleep(0)", 0),
        ("process.wait(20)", 1),
        ("process.wait(DEADLINE_S)", 0),
        ("run(command, timeout=60)", 1),
        ("httpx.Client(timeout=DEADLINE_S)", 0),
        ("expect(x).to_have_text('y', timeout=30_000)", 1),
        ("began = time.monotonic()", 1),
        ("', '.join(words)", 0),
    ],
)
def test_a_hurry_is_seen(source: str, found: int) -> None:
    assert len(list(hurries(source))) == found


def test_no_test_looks_at_the_clock_or_waits_for_so_many_seconds() -> None:
    found = {str(path.relative_to(ROOT)): list(hurries(path.read_text())) for path in FILES}
    assert {name: calls for name, calls in found.items() if calls and name not in MAY} == {}


def test_it_gives_what_the_condition_gave() -> None:
    values = iter([None, 0, "", "found"])
    assert until(lambda: next(values)) == "found"


@pytest.mark.anyio
async def test_the_condition_may_be_a_coroutine_function() -> None:
    values = iter([False, True])

    async def condition() -> bool:
        return next(values)

    assert await until_async(condition) is True
    assert await until_async(lambda: 7) == 7


@pytest.mark.anyio
async def test_past_the_deadline_it_says_what_it_waited_for_and_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "DEADLINE_S", 0)
    with pytest.raises(pytest.fail.Exception, match=r"not within 0 s: .*lambda: False.*\nthe log"):
        until(lambda: False, lambda: "the log")
    with pytest.raises(pytest.fail.Exception, match=r"not within 0 s: .*lambda: None"):
        await until_async(lambda: None)
