"""Fixtures of the end-to-end tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import BUNDLED_MODEL
from tests.disks import in_memory
from tests.e2e.server import Server, running


@pytest.fixture(scope="session")
def bundled_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of the bundled model with default settings."""
    folder: Path = tmp_path_factory.mktemp("bundled")
    with running(BUNDLED_MODEL, folder) as server:
        yield server


@pytest.fixture
def audit_folder(tmp_path: Path) -> Iterator[Path]:
    """An empty folder for audit logs."""
    with in_memory(tmp_path) as folder:
        yield folder
