"""Fixtures of the end-to-end tests."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests import BUNDLED_MODEL
from tests.e2e.server import Server, running


@pytest.fixture(scope="session")
def bundled_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the bundled model with default settings."""
    folder: Path = tmp_path_factory.mktemp("bundled")
    with running(BUNDLED_MODEL, folder) as server:
        yield server


@pytest.fixture
def audit_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder for audit logs, in memory if this machine has such: a busy disk may take longer than the three
    seconds after which a log that is required rejects requests.
    """
    memory = Path("/dev/shm")  # noqa: S108
    with TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else tmp_path) as folder:
        yield Path(folder)
