"""Processes that this one starts: they get no settings and no keys, only where Python finds the same modules."""

import os
import sys
from pathlib import Path


def command(module: str) -> tuple[str, ...]:
    """The command that runs a module of this project."""
    return sys.executable, "-m", module


def environment() -> dict[str, str]:
    """The environment variables of a process."""
    path = os.pathsep.join(part or str(Path.cwd()) for part in sys.path)
    return {
        "PYTHONPATH": path,
        "OPENBLAS_NUM_THREADS": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
