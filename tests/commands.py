"""Commands, run to their end."""

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

from tests.waiting import DEADLINE_S

SERVICE = [sys.executable, "-m", "service"]


def run(command: Sequence[object], **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command; gives its output and exit code. ``options`` are those of ``subprocess.run``."""
    given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": DEADLINE_S}
    return subprocess.run([str(word) for word in command], check=False, **given | options)
