"""Programs that some tests need: without one, or with one that is too old, a test is skipped and says why."""

import re
import shutil
from collections.abc import Sequence
from functools import cache

import pytest

from tests.commands import run

Version = tuple[int, ...]


def needs(*command: str, at_least: Version = (), ask: str = "--version", package: str = "") -> pytest.MarkDecorator:
    """Skip a test, or one of its parameters, where this program cannot be used; for the arguments see ``unusable``."""
    reason = unusable(command, at_least, ask, package)
    return pytest.mark.skipif(bool(reason), reason=reason)


@cache
def unusable(command: Sequence[str], at_least: Version = (), ask: str = "--version", package: str = "") -> str:
    """Why a program cannot be used here; empty if it can.

    Args:
        command: the program, and its subcommand if one is needed.
        at_least: the oldest usable version; without it the version is not asked for.
        ask: the option that prints the version. Its exit code does not matter.
        package: the Debian package, if its name differs; or the command that installs it.
    """
    name = " ".join(command)
    if shutil.which(command[0]) is None:
        command_line = package if " " in package else f"Debian: apt-get install {package or command[0]}"
        return f"{name} is not installed ({command_line})"
    if not at_least:
        return ""
    asked = run([*command, ask])
    output = asked.stdout + asked.stderr
    found = re.search(r"\d+(?:\.\d+)+", output)
    if found is None:
        return f"{name} prints no version: {output.strip()[:200]}"
    if tuple(map(int, found[0].split("."))) < at_least:
        return f"{name} is version {found[0]}; {'.'.join(map(str, at_least))} or newer is needed"
    return ""
