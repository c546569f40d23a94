"""Files that are complete or absent, and on the disk when they are said to be."""

import errno
import os
import stat
from pathlib import Path

import pytest

from contract.io.files import put_in_place, replacing, sync_folder, write_file


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happens to files and folders, in order."""
    found: list[str] = []
    sync, replace = os.fsync, Path.replace

    def noted_sync(descriptor: int) -> None:
        found.append("flush the folder" if stat.S_ISDIR(os.fstat(descriptor).st_mode) else "flush the file")
        sync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        found.append("rename")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_sync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    return found


def test_content_and_name_are_on_the_disk(tmp_path: Path, calls: list[str]) -> None:
    write_file(tmp_path / "a", b"content")
    assert calls == ["flush the file", "rename", "flush the folder"]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"content")]


def test_a_finished_file_is_put_in_place(tmp_path: Path, calls: list[str]) -> None:
    (tmp_path / "a.part").write_bytes(b"content")
    (tmp_path / "a").write_bytes(b"before")
    put_in_place(tmp_path / "a.part", tmp_path / "a")
    assert calls == ["flush the file", "rename", "flush the folder"]
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"content")]


def test_what_can_be_made_again_is_not_flushed(tmp_path: Path, calls: list[str]) -> None:
    write_file(tmp_path / "a", b"content", durable=False)
    assert calls == ["rename"]
    assert (tmp_path / "a").read_bytes() == b"content"


def test_nobody_reads_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with replacing(path, partial=tmp_path / "part") as file:
        file.write(b"af")
        file.flush()
        assert (path.read_bytes(), (tmp_path / "part").read_bytes()) == (b"before", b"af")
        file.write(b"ter")
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
def test_an_error_leaves_what_was_there(tmp_path: Path, error: BaseException) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"before")
    with pytest.raises(type(error)), replacing(path) as file:  # noqa: PT012
        file.write(b"after")
        raise error
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"before")]


def test_two_may_write_one_file_at_once(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with replacing(path) as first, replacing(path) as second:
        first.write(b"first")
        second.write(b"second")
    assert [(path.name, path.read_bytes()) for path in tmp_path.iterdir()] == [("a", b"first")]


def test_a_secret_is_never_readable_by_others(tmp_path: Path) -> None:
    with replacing(tmp_path / "a", partial=tmp_path / "part", mode=0o600) as file:
        assert stat.S_IMODE((tmp_path / "part").stat().st_mode) == 0o600
        file.write(b"secret")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


@pytest.mark.parametrize(("number", "raised"), [(errno.EINVAL, False), (errno.EIO, True), (errno.ENOSPC, True)])
def test_a_system_that_cannot_flush_folders_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, raised: bool
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fail)
    if raised:
        with pytest.raises(OSError, match=os.strerror(number)):
            sync_folder(tmp_path)
    else:
        sync_folder(tmp_path)


def test_a_folder_that_is_gone_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "gone")
