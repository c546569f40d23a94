"""deploy/pinned.sh, with a stand-in for Docker: images are the ones whose digests were written down."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import ROOT

OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
# Answers `image inspect` with the digest in the file images/NAME, and notes what it is asked to pull and to tag.
DOCKER = """#!/bin/sh
case "$1" in
  image) shift; while [ $# -gt 1 ]; do shift; done; [ -e "$IMAGES/$1" ] && cat "$IMAGES/$1" ;;
  pull) echo "$@" >>"$IMAGES/calls"; [ -e "$IMAGES/registry" ] ;;
  tag) echo "$@" >>"$IMAGES/calls"; echo "$2" >"$IMAGES/$3" ;;
esac
"""


class Engine:
    """The script, the images that the engine has, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, folder / "images.lock"
        program = folder / "docker"
        program.write_text(DOCKER)
        program.chmod(0o755)

    def has(self, image: str, digest: str | None) -> None:
        """Put an image there; without a digest it was built there."""
        (self.folder / image).write_text(f"{image.partition(':')[0]}@{digest}\n" if digest else "")

    @property
    def calls(self) -> list[str]:
        """The pulls and tags."""
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def pin(self, *images: str) -> subprocess.CompletedProcess[str]:
        """Run the script."""
        places = {"IMAGES": str(self.folder), "LOCK": str(self.lock), "PATH": f"{self.folder}:{os.environ['PATH']}"}
        command = [str(ROOT / "deploy" / "pinned.sh"), *images]
        return subprocess.run(command, env={**os.environ, **places}, capture_output=True, text=True, check=False)


@pytest.fixture
def engine(tmp_path: Path) -> Engine:
    if shutil.which("awk") is None:
        pytest.skip("awk is not installed")
    return Engine(tmp_path)


def test_an_image_is_pinned_at_first_and_kept(engine: Engine) -> None:
    engine.has("nginx:1.30", OLD)
    for _ in range(2):
        assert engine.pin("nginx:1.30").returncode == 0
        assert engine.lock.read_text() == f"nginx:1.30 {OLD}\n"
    assert engine.calls == []


def test_a_tag_that_names_another_image_by_now_is_replaced_by_the_pinned_one(engine: Engine) -> None:
    engine.lock.write_text(f"nginx:1.30 {OLD}\n")
    engine.has("nginx:1.30", NEW)
    (engine.folder / "registry").touch()
    assert engine.pin("nginx:1.30").returncode == 0
    assert engine.calls == [f"pull --quiet nginx@{OLD}", f"tag nginx@{OLD} nginx:1.30"]
    assert engine.lock.read_text() == f"nginx:1.30 {OLD}\n"


def test_without_a_registry_another_image_is_an_error(engine: Engine) -> None:
    engine.lock.write_text(f"nginx:1.30 {OLD}\n")
    engine.has("nginx:1.30", NEW)
    ended = engine.pin("nginx:1.30")
    assert ended.returncode == 1
    assert "make images" in ended.stderr


def test_an_image_that_was_built_here_is_named(engine: Engine) -> None:
    engine.has("python:3.11-slim", None)
    ended = engine.pin("python:3.11-slim")
    assert (ended.returncode, engine.lock.read_text()) == (0, "")
    assert "is not pinned" in ended.stderr


def test_a_missing_image_is_an_error(engine: Engine) -> None:
    assert engine.pin("nginx:1.30").returncode == 1
