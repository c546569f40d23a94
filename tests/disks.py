"""Small disks, to be filled: the kernel writes what fits, and then fails. And folders that no disk keeps waiting."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of a size such as "128k" on a folder, which is created. Skips the test if this is not allowed."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only root can mount a small disk")
    try:
        yield
    finally:
        # Lazily: pyarrow's threads may close a file that was read a moment later.
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def in_memory(folder: Path) -> Iterator[Path]:
    """An empty folder in memory, if this machine has such, else in this one. For audit logs: a busy disk may take
    longer than the three seconds after which what must be logged is rejected.
    """
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else folder) as empty:
        yield Path(empty)


def enlarge(folder: Path, size: str) -> None:
    """Make a small disk larger."""
    subprocess.run(["mount", "-o", f"remount,size={size}", folder], check=True)


def write_timeout(seconds: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a write of the audit log that takes longer than this count as a failed disk."""
    for module in ("recorder", "writer"):
        monkeypatch.setattr(f"service.audit.{module}.WRITE_TIMEOUT_S", seconds)
