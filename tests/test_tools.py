"""A tool that is missing or too old is told, in words that say what to do."""

from pathlib import Path

import pytest

from tests.tools import unusable


@pytest.fixture(autouse=True)
def _nothing_else_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def install(folder: Path, script: str) -> None:
    (folder / "tool").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "tool").chmod(0o755)
    unusable.cache_clear()


def test_one_that_is_missing() -> None:
    assert unusable(("nothing", "sub"), package="some") == "nothing sub is not installed (Debian: apt-get install some)"


@pytest.mark.parametrize(
    ("told", "why_not"),
    [
        ("tool, version 2.42.0+ds (branch: x)", "tool is version 2.42.0; 3.5 or newer is needed"),
        ("tool, version 3.5.0", ""),
        ("tool debian/10.1-3 [epoll]", ""),
        ("unknown command", "tool does not tell its version: unknown command"),
    ],
)
@pytest.mark.parametrize("end", ["", ">&2; exit 1"])
def test_its_version_is_asked_for(told: str, why_not: str, end: str, tmp_path: Path) -> None:
    install(tmp_path, f'[ "$1" = --version ] && echo "{told}" {end}')
    assert unusable(("tool",), at_least=(3, 5)) == why_not


def test_it_is_not_asked_where_any_will_do(tmp_path: Path) -> None:
    install(tmp_path, "exit 1")
    assert unusable(("tool",)) == ""
