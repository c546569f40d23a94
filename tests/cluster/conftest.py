"""A cluster, an archive, and what the engine for one machine makes of it."""

import os
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests import ROOT
from tests.cluster.machines import Cluster
from tests.drawings import chest, encode

# Of an environment with the extras cpu and cluster.
PYTHON = os.environ.get("CLUSTER_PYTHON", "")
IMAGES, PART_SIZE = 200, 4
_DRAWN = 12


@pytest.fixture(scope="session", autouse=True)
def _possible() -> None:
    if "CLUSTER_PYTHON" not in os.environ:
        pytest.skip("needs Ray and namespaces: run tests/cluster.sh")
    os.environ["PATH"] = f"{Path(PYTHON).parent}:{os.environ['PATH']}"  # for the scripts, which call ray
    os.environ["PYTHONPATH"] = str(ROOT)


@pytest.fixture(scope="session")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of images, two of them bad."""
    folder = tmp_path_factory.mktemp("archive")
    for number in range(_DRAWN):
        (folder / f"{number:04}.jpeg").write_bytes(encode(Image.fromarray(chest(number)).resize((1600, 1400))))
    for number in range(_DRAWN, IMAGES - 2):
        (folder / f"{number:04}.jpeg").hardlink_to(folder / f"{number % _DRAWN:04}.jpeg")
    (folder / "cut.jpeg").write_bytes((folder / "0000.jpeg").read_bytes()[:5000])
    (folder / "empty.jpeg").touch()
    return folder


def bulk(archive: Path, out: Path, *options: object) -> list[str]:
    """The command, with settings under which every machine gives the same numbers."""
    model = ["--precision", "float32", "--device", "cpu"]
    command = [PYTHON, "-m", "service", "bulk", archive, "--out", out, "--part-size", PART_SIZE, *model, *options]
    return [str(word) for word in command]


@pytest.fixture(scope="session")
def local(archive: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the engine for one machine writes."""
    out = tmp_path_factory.mktemp("local") / "out"
    done = subprocess.run(bulk(archive, out), capture_output=True, text=True, check=False, cwd=ROOT)
    assert (out / "_SUCCESS.json").exists(), done.stderr
    return out


@pytest.fixture(scope="session")
def _cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("ray")
    token = folder / "token"
    token.write_text(secrets.token_hex(32))
    cluster = Cluster(folder, token)
    yield cluster
    for each in cluster.machines:
        each.kill()


@pytest.fixture
def cluster(_cluster: Cluster) -> Cluster:
    """The cluster, everything of it running."""
    _cluster.ready()
    return _cluster
