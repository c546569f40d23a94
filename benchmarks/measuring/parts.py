"""A measurement in several parts: a part that fails leaves the others' results, and so does an interruption."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests import ROOT

Figures = dict[str, Any]
_FAILED = "failed: "


class Parts:
    """The figures so far, written to a file after each part.

    Args:
        result: the file.
    """

    def __init__(self, result: Path) -> None:
        self.figures: Figures = {}
        self._result = result
        result.parent.mkdir(parents=True, exist_ok=True)

    def add(self, **figures: Any) -> None:
        """Add figures and write the file."""
        self.figures |= figures
        self._result.write_text(f"{self}\n")

    def measure(self, name: str, part: Callable[[], Any]) -> Any:
        """Add what a part returns. Returns it; None if the part failed: then the reason is added."""
        try:
            found = part()
        except Exception as error:
            self.add(**{name: f"{_FAILED}{type(error).__name__}: {error}"[:300]})
            return None
        self.add(**{name: found})
        return found

    def __str__(self) -> str:
        return json.dumps(self.figures, indent=2)


def script(name: str, *arguments: str, limit_s: float) -> Figures | str:
    """The output of another benchmark, or the reason why it failed. Past the limit, it is killed with its children."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            printed, problem = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # its own group: servers that it has started would hold memory
            return f"{_FAILED}not done after {limit_s:g} s"
    if process.returncode:
        return f"{_FAILED}{problem.strip()[-300:]}"
    try:
        found: Figures = json.loads(printed)
    except ValueError:
        return f"{_FAILED}no JSON: {printed.strip()[-300:]}"
    return found


def failed(figures: Any, name: str = "") -> list[str]:
    """The names of the parts that failed, also of parts within parts: ``workers.cuda``."""
    if isinstance(figures, dict):
        return [each for key, value in figures.items() for each in failed(value, f"{name}.{key}".lstrip("."))]
    return [name] if isinstance(figures, str) and figures.startswith(_FAILED) else []
