"""Fixtures of the tests of ``bulk``."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.bulk.runs import bulk, draw, run_here

IMAGES, PART = 21, 4


def work_here(patch: pytest.MonkeyPatch) -> None:
    """Parts are done in this process, and the model is not tried out in another one: both take a second each time."""

    async def nothing(*_: object) -> None: ...

    patch.setattr("service.bulk.command._engine", lambda name: run_here)
    patch.setattr("service.inference.loading.graphs.try_bundle", nothing)


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch, untried: None) -> None:
    """As ``work_here``, for one test."""
    work_here(monkeypatch)


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn images, with some among them that cannot be analysed."""
    folder = draw(tmp_path_factory.mktemp("archive"), IMAGES)
    (folder / "0003.jpg").write_bytes(b"no image")
    (folder / "0005.jpg").write_bytes((folder / "0006.jpg").read_bytes()[:500])
    (folder / "0011.jpg").write_bytes(b"")
    return folder


@pytest.fixture(scope="module")
def whole(archive: Path, bundle_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run without interruption."""
    out = tmp_path_factory.mktemp("whole") / "out"
    with pytest.MonkeyPatch.context() as patch:
        work_here(patch)
        assert bulk(archive, "--out", out, "--part-size", PART, "--model", bundle_folder) == 1
        yield out
