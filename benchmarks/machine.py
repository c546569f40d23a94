"""On what, and when, something was measured."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def machine() -> dict[str, str]:
    """The machine and the date, as every stored result has them."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    cpus = len(os.sched_getaffinity(0))
    return {
        "machine": f"{cpus} CPUs ({cpu}), Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
