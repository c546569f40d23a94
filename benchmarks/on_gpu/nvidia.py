"""What nvidia-smi says of the first GPU."""

import shutil
import subprocess


def nvidia(query: str) -> list[str]:
    """The answer of nvidia-smi to a query, one value for each field. Raises CalledProcessError if there is no GPU."""
    command = ["nvidia-smi", f"--query-gpu={query}", "--format=csv,noheader,nounits", "--id=0"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip().split(", ")


def used_mib() -> float | None:
    """GPU memory in use by all processes, in MiB; None where nvidia-smi is not installed."""
    return float(nvidia("memory.used")[0]) if shutil.which("nvidia-smi") else None
