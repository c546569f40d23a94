"""Tests wait for conditions, never for a number of seconds."""

import ast
from collections.abc import Iterator

import pytest

from tests import ROOT, waiting
from tests.waiting import until, until_async

FILES = sorted(path for path in ROOT.glob("tests/**/*.py") if "container" not in path.parts)
# Files that may read a clock or sleep, and why.
ALLOWED = {
    "tests/waiting.py": "the wait itself",
    "tests/e2e/scripted.py": "a slow server, and the times of requests: clients must not retry too early",
    "tests/service/telemetry/test_totals.py": "replaces the clock",
}
_WAITS = {"sleep", "wait", "wait_for", "wait_for_timeout", "join", "result", "settimeout", "communicate", "acquire"}
_CLOCKS = {"monotonic", "perf_counter", "time_ns", "monotonic_ns", "process_time"}


def timed_calls(source: str) -> Iterator[str]:
    """Calls that read a clock or wait for a literal number of seconds, but not ``sleep(0)``, which lets others run."""
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
def test_timed_calls_are_found(source: str, found: int) -> None:
    assert len(list(timed_calls(source))) == found


def test_no_test_reads_a_clock_or_waits_for_a_number_of_seconds() -> None:
    found = {str(path.relative_to(ROOT)): list(timed_calls(path.read_text())) for path in FILES}
    assert {name: calls for name, calls in found.items() if calls and name not in ALLOWED} == {}


def test_the_value_of_the_condition_is_returned() -> None:
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
async def test_past_the_deadline_the_test_fails_and_names_the_condition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "DEADLINE_S", 0)
    with pytest.raises(AssertionError, match=r"not within 0 s: .*lambda: False.*\nthe log"):
        until(lambda: False, lambda: "the log")
    with pytest.raises(AssertionError, match=r"not within 0 s: .*lambda: None"):
        await until_async(lambda: None)
