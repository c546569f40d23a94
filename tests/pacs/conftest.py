"""A PACS, the service and the node, for all tests of this folder."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import generate_uid

from tests import MODELS, VERSIONS
from tests.dicom_objects import drawn, grey16
from tests.e2e.server import Server
from tests.e2e.server import running as running_service
from tests.node.running import RunningNode, running, write_config
from tests.pacs.orthanc import DICOM_PORT, HTTP_PORT, NODE_PORT, Orthanc

_PROGRAMS = ("Orthanc", "dcmsend")
SERVICE_PORT = 18000


@pytest.fixture(scope="session", autouse=True)
def _possible() -> None:
    missing = [name for name in _PROGRAMS if shutil.which(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if "PACS_ISOLATED" not in os.environ:
        pytest.skip(
            "Orthanc listens on all addresses: run tests/pacs.sh, which runs these tests in a network namespace"
        )


@pytest.fixture(scope="session")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """An Orthanc with an empty store."""
    orthanc = Orthanc(tmp_path_factory.mktemp("orthanc"))
    yield orthanc
    orthanc.close()


class Service:
    """The service with the bundled model. ``start`` and ``stop`` may be called again."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._stack = folder, ExitStack()
        self._server: Server | None = None
        self.start()

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        settings: dict[str, Any] = {"port": SERVICE_PORT, "decode_threads": 1, "threads": 1}
        self._server = self._stack.enter_context(running_service(MODELS / VERSIONS[-1], self._folder, **settings))

    def stop(self) -> None:
        """Stop it in order."""
        if self._server:
            self._server.stop()
        self._stack.close()
        self._server = None


@pytest.fixture(scope="session")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service."""
    service = Service(tmp_path_factory.mktemp("service"))
    yield service
    service.stop()


STOW = f"""
[[destinations]]
name = "pacs"
type = "stow-rs"
url = "http://127.0.0.1:{HTTP_PORT}/dicom-web"
"""


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node's configuration: results to the PACS by C-STORE."""
    return node_config(tmp_path_factory.mktemp("node"))


def node_config(folder: Path, stow: bool = False) -> Path:
    """Write the configuration of a node on the port that the PACS knows."""
    path = write_config(folder, f"http://127.0.0.1:{SERVICE_PORT}", DICOM_PORT, stow=STOW if stow else "")
    text = path.read_text().replace("port = 0\n", f"port = {NODE_PORT}\n", 1)
    path.write_text(text.replace("[service]\n", "[service]\nretry_s = 300\n"))
    return path


@pytest.fixture
def node(config: Path) -> Iterator[RunningNode]:
    """A node with the spool that the tests share."""
    with running(config) as node:
        yield node
        node.await_idle()
        assert node.stop() == 0


NewImage = Callable[[], tuple[Path, str]]


@pytest.fixture
def new_image(tmp_path: Path) -> NewImage:
    """Draws radiographs: each a file, and the UID of its study."""
    pixels = grey16()

    def draw() -> tuple[Path, str]:
        uid, study = str(generate_uid()), str(generate_uid())
        path = tmp_path / f"{uid}.dcm"
        uids = {"SOPInstanceUID": uid, "StudyInstanceUID": study, "SeriesInstanceUID": str(generate_uid())}
        path.write_bytes(drawn(pixels, **uids))
        return path, study

    return draw
