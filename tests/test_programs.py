"""Why a program cannot be used: it is missing, or too old, or prints no version."""

from pathlib import Path

import pytest

from tests.programs import unusable


@pytest.fixture(autouse=True)
def _nothing_else_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))


def install(folder: Path, script: str) -> None:
    (folder / "tool").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "tool").chmod(0o755)
    unusable.cache_clear()


def test_a_missing_program() -> None:
    assert unusable(("nothing", "sub"), package="some") == "nothing sub is not installed (Debian: apt-get install some)"


@pytest.mark.parametrize(
    ("output", "reason"),
    [
        ("tool, version 2.42.0+ds (branch: x)", "tool is version 2.42.0; 3.5 or newer is needed"),
        ("tool, version 3.5.0", ""),
        ("tool debian/10.1-3 [epoll]", ""),
        ("unknown command", "tool prints no version: unknown command"),
    ],
)
@pytest.mark.parametrize("end", ["", ">&2; exit 1"])
def test_the_version_is_asked_for(output: str, reason: str, end: str, tmp_path: Path) -> None:
    install(tmp_path, f'[ "$1" = --version ] && echo "{output}" {end}')
    assert unusable(("tool",), at_least=(3, 5)) == reason


def test_no_version_is_asked_for_without_need(tmp_path: Path) -> None:
    install(tmp_path, "exit 1")
    assert unusable(("tool",)) == ""
