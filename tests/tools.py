"""Tools that need not be there: a test that cannot use one is skipped, and says whether it is missing or too old."""

import re
import shutil
from collections.abc import Sequence
from functools import cache

import pytest

from tests.commands import run

Version = tuple[int, ...]


def needs(*command: str, at_least: Version = (), ask: str = "--version", package: str = "") -> pytest.MarkDecorator:
    """Marks a test, or a parameter of one, that is skipped without this tool; for the arguments see ``unusable``."""
    why_not = unusable(command, at_least, ask, package)
    return pytest.mark.skipif(bool(why_not), reason=why_not)


@cache
def unusable(command: Sequence[str], at_least: Version = (), ask: str = "--version", package: str = "") -> str:
    """Why a tool cannot be used here; empty if it can.

    Args:
        command: the tool, and the subcommand that is needed of it.
        at_least: the oldest version that will do; it is asked for if one is named.
        ask: the option that has the tool tell its version. Its exit code does not matter.
        package: of Debian, where it has another name.
    """
    name = " ".join(command)
    if shutil.which(command[0]) is None:
        return f"{name} is not installed (Debian: apt-get install {package or command[0]})"
    if not at_least:
        return ""
    told = run([*command, ask])
    found = re.search(r"\d+(?:\.\d+)+", told.stdout + told.stderr)
    if found is None:
        return f"{name} does not tell its version: {(told.stdout + told.stderr).strip()[:200]}"
    if tuple(map(int, found[0].split("."))) < at_least:
        return f"{name} is version {found[0]}; {'.'.join(map(str, at_least))} or newer is needed"
    return ""
