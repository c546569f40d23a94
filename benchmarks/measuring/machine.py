"""The machine and the date of a measurement."""

import os
import platform
from datetime import UTC, datetime
from pathlib import Path


def machine() -> dict[str, str]:
    """The machine and the date, as in every stored result."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    cpus = len(os.sched_getaffinity(0))
    return {
        "machine": f"{cpus} CPUs ({cpu}), Python {platform.python_version()}",
        "date": datetime.now(UTC).date().isoformat(),
    }
