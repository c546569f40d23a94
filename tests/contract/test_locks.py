"""Locks: one process at a time, none after a process has ended, and those of filesystems that have none."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from contract.io.files import InUse, LockFile, lock
from tests import ROOT
from tests.waiting import DEADLINE_S

HOLD = """
import pathlib, sys
from contract.io.files import LockFile
held = LockFile(pathlib.Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""


@contextmanager
def held_by_another(path: Path) -> Iterator[int]:
    """Another process, by its id, has the lock; it is killed at the end."""
    command = [sys.executable, "-c", HOLD, str(path)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout
        process.stdout.readline()
        try:
            yield process.pid
        finally:
            process.kill()
            process.wait(DEADLINE_S)


def test_a_second_process_is_told_which_has_it_and_gets_it_when_that_was_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    with held_by_another(path) as holder, pytest.raises(InUse, match=rf"^process {holder} on \S+ since 20\S+$"):
        LockFile(path)
    assert path.exists()
    LockFile(path).close()
    assert not path.exists()


def test_a_lock_that_is_kept_leaves_its_file(tmp_path: Path) -> None:
    LockFile(tmp_path / "lock", is_kept=True).close()
    held = LockFile(tmp_path / "lock", is_kept=True)
    with pytest.raises(InUse, match=f"process {os.getpid()} "):
        LockFile(tmp_path / "lock", is_kept=True)
    held.close()
    assert (tmp_path / "lock").exists()


def test_a_holder_that_is_not_named_yet(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as file:
        lock(file.fileno())
        with pytest.raises(InUse, match=r"^a process that is not named$"):
            LockFile(tmp_path / "lock")


def test_a_file_that_its_holder_deletes_meanwhile_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, first, opened = tmp_path / "lock", LockFile(tmp_path / "lock"), os.open

    def open_late(*arguments: object, **options: object) -> int:
        found = opened(*arguments, **options)  # type: ignore[arg-type]
        monkeypatch.undo()
        first.close()
        return found

    monkeypatch.setattr(os, "open", open_late)
    second = LockFile(path)
    with pytest.raises(InUse):
        LockFile(path)
    second.close()


@pytest.mark.parametrize("cause", [errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_filesystem_without_locks(cause: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def lack(descriptor: int, operation: int) -> None:
        raise OSError(cause, os.strerror(cause))

    monkeypatch.setattr("fcntl.flock", lack)
    LockFile(tmp_path / "lock").close()
    with pytest.raises(OSError, match=os.strerror(cause)):
        LockFile(tmp_path / "lock", is_required=True)


def test_a_lock_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", fail)
    with pytest.raises(OSError, match=os.strerror(errno.EIO)):
        LockFile(tmp_path / "lock")


def test_a_full_disk_leaves_the_holder_unnamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int, content: bytes) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", full)
    held = LockFile(tmp_path / "lock")
    with pytest.raises(InUse):
        LockFile(tmp_path / "lock")
    held.close()
