"""Finding and reading the files named on the command line."""

import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from service.client.targets import Target, TargetError, find_targets, read_target


def tree(folder: Path, *names: str) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def found(*named: Path, below: Path) -> list[str]:
    return [os.path.relpath(target.path, below) for target in find_targets(named)]


def test_a_folder_is_expanded_recursively_in_order(tmp_path: Path) -> None:
    tree(tmp_path, "b.png", "a.JPG", "c.jpeg", "notes.txt", "z/y/1.png", "z/0.png", "d/1.Jpeg", ".x.png", ".h/1.png")
    assert found(tmp_path, below=tmp_path) == ["a.JPG", "b.png", "c.jpeg", "d/1.Jpeg", "z/0.png", "z/y/1.png"]


def test_what_is_skipped_is_reported(tmp_path: Path) -> None:
    tree(tmp_path, "1.jfif", "2.JPE", "notes.txt", "d/scan.dcm", "d/DICOMDIR", ".hidden.txt")
    skipped: list[str] = []
    names = [os.path.relpath(target.path, tmp_path) for target in find_targets([tmp_path], skipped.append)]
    assert names == ["1.jfif", "2.JPE", "d/scan.dcm"]
    assert [os.path.relpath(path, tmp_path) for path in skipped] == ["notes.txt", "d/DICOMDIR"]


def test_a_named_file_is_included_with_any_suffix_in_its_place(tmp_path: Path) -> None:
    tree(tmp_path, "f/1.png", ".hidden", "x")
    assert found(tmp_path / "x", tmp_path / "f", tmp_path / ".hidden", tmp_path / "nowhere", below=tmp_path) == [
        "x",
        "f/1.png",
        ".hidden",
        "nowhere",
    ]


def test_links_do_not_loop_and_pipes_are_skipped(tmp_path: Path) -> None:
    tree(tmp_path, "f/1.png", "f/g/2.png")
    (tmp_path / "f" / "g" / "up").symlink_to(tmp_path / "f")
    (tmp_path / "f" / "link.png").symlink_to(tmp_path / "f" / "1.png")
    (tmp_path / "f" / "lost.png").symlink_to(tmp_path / "nowhere")
    os.mkfifo(tmp_path / "f" / "pipe.png")
    (tmp_path / "folder-link").symlink_to(tmp_path / "f")
    names = ["1.png", "link.png", "lost.png", "g/2.png"]
    assert found(tmp_path / "f", below=tmp_path / "f") == names
    assert found(tmp_path / "folder-link", below=tmp_path / "folder-link") == names


def test_a_folder_without_images_is_reported_in_its_place(tmp_path: Path) -> None:
    tree(tmp_path, "empty/notes.txt", "full/1.png")
    targets = list(find_targets([tmp_path / "empty", tmp_path / "full"]))
    assert [target.path for target in targets] == [str(tmp_path / "empty"), str(tmp_path / "full" / "1.png")]
    assert targets[0].error
    assert targets[0].error.kind.slug == "no-images"
    assert targets[1].error is None


def test_a_folder_that_cannot_be_listed_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path, "a/1.png", "b/2.png")
    scandir = os.scandir

    def deny(path: str) -> object:
        if str(path).endswith("/a"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deny)  # tests may run as root, whom the file system denies nothing
    targets = {os.path.relpath(target.path, tmp_path): target.error for target in find_targets([tmp_path])}
    assert targets.keys() == {"a", "b/2.png"}
    assert str(targets["a"]) == "Permission denied"


@pytest.mark.parametrize(
    ("content", "slug"), [(None, "unreadable-file"), (b"", "empty-file"), (b"12345", "body-too-large")]
)
def test_a_file_that_cannot_be_submitted_is_an_error(tmp_path: Path, content: bytes | None, slug: str) -> None:
    path = tmp_path / "x.png"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(TargetError) as error:
        read_target(Target(str(path)), max_bytes=4)
    assert error.value.kind.slug == slug


def test_a_file_within_the_limit_is_read(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"1234")
    assert read_target(Target(str(tmp_path / "x.png")), max_bytes=4) == b"1234"


def test_reading_takes_memory_for_the_file_and_not_for_the_limit(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(bytes(1000))
    tracemalloc.start()
    try:
        read_target(Target(str(tmp_path / "x.png")), max_bytes=50_000_000)
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_pipe_is_read_although_it_has_no_size(tmp_path: Path) -> None:
    pipe, content = tmp_path / "pipe", bytes(200_000)
    os.mkfifo(pipe)
    threading.Thread(target=pipe.write_bytes, args=(content,), daemon=True).start()
    assert read_target(Target(str(pipe)), max_bytes=len(content)) == content


def test_an_invalid_file_name_is_an_error() -> None:
    with pytest.raises(TargetError, match="cannot be opened"):
        read_target(Target("a\0b"), max_bytes=4)


def test_a_name_that_is_not_utf8_is_escaped() -> None:
    assert Target(os.fsdecode(b"a\xff.png")).name == "a\\xff.png"
    assert Target("München.png").name == "München.png"


def test_a_name_that_cannot_be_looked_at_is_an_error_in_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tree(tmp_path, "f/a.png", "closed/1.png")
    (tmp_path / "f" / "loop.png").symlink_to("loop.png")
    (tmp_path / "f" / "long.png").symlink_to("x" * 300)
    (tmp_path / "f" / "link.png").symlink_to(tmp_path / "closed" / "1.png")
    real = os.stat

    def deny(path: str, **options: object) -> object:
        if str(path).endswith(("closed/1.png", "link.png")):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", deny)  # tests may run as root, whom the file system denies nothing
    named = [tmp_path / "closed" / "1.png", tmp_path / ("x" * 5000), tmp_path / "f"]
    names = [Path(target.path).name[:10] for target in find_targets(named)]
    assert names == ["1.png", "x" * 10, "a.png", "link.png", "long.png", "loop.png"]
    for path in (tmp_path / ("x" * 5000), tmp_path / "f" / "loop.png", tmp_path / "f" / "long.png"):
        with pytest.raises(TargetError):
            read_target(Target(str(path)), 100)
