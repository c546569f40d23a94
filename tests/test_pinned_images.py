"""deploy/pinned.sh, with a stand-in for Docker: images are the ones whose digests were written down."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests import ROOT
from tests.commands import run

COMPOSE = sorted(ROOT.glob("compose.*.yaml"))
OLD, NEW = f"sha256:{'a' * 64}", f"sha256:{'b' * 64}"
# Answers `image inspect` with the digests in the file images/NAME, fetches what is in images/registry, and notes what
# it is asked to fetch and to tag.
DOCKER = """#!/bin/sh
for last; do :; done
case "$1" in
  image) [ -e "$IMAGES/$last" ] && cat "$IMAGES/$last" ;;
  pull) echo "$@" >>"$IMAGES/calls"; cp "$IMAGES/registry/$last" "$IMAGES/$last" ;;
  tag) echo "$@" >>"$IMAGES/calls"; cp "$IMAGES/$2" "$IMAGES/$3" ;;
esac
"""


class Engine:
    """The script, the images that the engine has, and what was asked of it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.lock = folder, folder / "images.lock"
        program = folder / "docker"
        program.write_text(DOCKER)
        program.chmod(0o755)
        (folder / "registry").mkdir()

    def has(self, image: str, *digests: str, place: str = ".") -> None:
        """Put an image there; without a digest it was built there."""
        lines = [f"{image.partition(':')[0]}@{digest}\n" for digest in digests]
        (self.folder / place / image).write_text("".join(lines))

    def registry_has(self, image: str, digest: str) -> None:
        """Put an image into the registry."""
        self.has(image, digest, place="registry")

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
    first, again = engine.pin("nginx:1.30"), engine.pin("nginx:1.30")
    assert (first.returncode, again.returncode, engine.lock.read_text()) == (0, 0, f"nginx:1.30 {OLD}\n")
    assert "has no digest of nginx:1.30: it is taken by its tag" in first.stderr
    assert (again.stderr, engine.calls) == ("", [])


def test_an_image_with_several_digests_is_the_pinned_one_by_any(engine: Engine) -> None:
    engine.lock.write_text(f"nginx:1.30 {OLD}\n")
    engine.has("nginx:1.30", NEW, OLD)
    assert (engine.pin("nginx:1.30").returncode, engine.calls) == (0, [])


def test_a_tag_that_names_another_image_by_now_is_replaced_by_the_pinned_one(engine: Engine) -> None:
    engine.lock.write_text(f"nginx:1.30 {OLD}\n")
    engine.has("nginx:1.30", NEW)
    (engine.folder / "registry" / f"nginx@{OLD}").write_text(f"nginx@{OLD}\n")
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
    engine.has("python:3.11-slim")
    ended = engine.pin("python:3.11-slim")
    assert (ended.returncode, engine.lock.read_text()) == (0, "")
    assert "is not pinned" in ended.stderr


def test_a_missing_image_is_an_error(engine: Engine) -> None:
    assert engine.pin("nginx:1.30").returncode == 1


def test_renewed_are_all_that_are_named_and_the_remarks_stay(engine: Engine) -> None:
    engine.lock.write_text(f"# a remark\nnginx:1.29 {OLD}\nnginx:1.30 {OLD}\n")
    engine.has("nginx:1.30", OLD)
    engine.registry_has("nginx:1.30", NEW)
    engine.registry_has("python:3.11-slim", NEW)
    ended = engine.pin("--renew", "nginx:1.30", "python:3.11-slim")
    assert ended.returncode == 0, ended.stderr
    assert engine.lock.read_text() == f"# a remark\nnginx:1.30 {NEW}\npython:3.11-slim {NEW}\n"


@pytest.mark.parametrize("images", [("nginx:1.30", "python:3.11-slim"), ("python:3.11-slim", "nginx:1.30")])
def test_nothing_is_renewed_if_one_image_cannot_be_fetched(engine: Engine, images: tuple[str, str]) -> None:
    before = f"nginx:1.30 {OLD}\npython:3.11-slim {OLD}\n"
    engine.lock.write_text(before)
    engine.has("nginx:1.30", OLD)
    engine.registry_has("python:3.11-slim", NEW)
    ended = engine.pin("--renew", *images)
    assert (ended.returncode, engine.lock.read_text()) == (1, before)
    assert "nginx:1.30 cannot be fetched" in ended.stderr


def test_make_images_renews_what_the_dockerfile_and_the_compose_files_name() -> None:
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    printed = run(["make", "--no-print-directory", "--dry-run", "images"], cwd=ROOT).stdout.split()
    named = [re.findall(r"_IMAGE(?:=|:-)([\w./:-]+)", path.read_text()) for path in (ROOT / "Dockerfile", *COMPOSE)]
    assert printed[:2] == ["deploy/pinned.sh", "--renew"]
    assert set(printed[2:]) == {image for images in named for image in images}


def test_every_line_of_the_list_is_a_remark_or_an_image_and_its_digest() -> None:
    lines = (ROOT / "deploy" / "images.lock").read_text().splitlines()
    assert all(re.fullmatch(r"\S+:\S+ sha256:[0-9a-f]{64}", line) for line in lines if not line.startswith("#"))
