"""Clients of the Open Inference Protocol that are too heavy for the environment of the tests.

KSERVE_PYTHON and MLSERVER_PYTHON name an interpreter with the package of that name, IMAGE_CLIENT Triton's example
``image_client.py``, with an interpreter that has ``tritonclient[all]`` and ``attrdict`` in its first line.
"""

import importlib.util
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests import BUNDLED_MODEL
from tests.commands import run
from tests.drawings import jpeg
from tests.e2e.server import Server
from tests.programs import unusable
from tests.waiting import DEADLINE_S

CLIENTS = Path(__file__).parent / "clients"
FILES = 5


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of radiographs."""
    found = tmp_path_factory.mktemp("radiographs")
    for number in range(FILES):
        (found / f"{number}.jpeg").write_bytes(jpeg(number))
    return found


def answers(package: str, server: Server, folder: Path) -> dict[str, Any]:
    """What the script of this client printed."""
    python = os.environ.get(f"{package.upper()}_PYTHON", "")
    if not python and importlib.util.find_spec(package) is None:
        pytest.skip(f"{package} is not installed, and {package.upper()}_PYTHON names no interpreter that has it")
    script = CLIENTS / f"{package}_client.py"
    command = [python or sys.executable, script, server.url, folder / "0.jpeg", str(DEADLINE_S)]
    ended = run(command, env={"PATH": os.environ["PATH"]})
    assert ended.returncode == 0, ended.stderr
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


def predicted(server: Server, folder: Path, number: int = 0) -> dict[str, Any]:
    with server.client() as client:
        answer = client.post("/predict", content=(folder / f"{number}.jpeg").read_bytes())
    prediction: dict[str, Any] = answer.json()["predictions"][0]
    return prediction


def test_kserve(bundled_server: Server, folder: Path) -> None:
    found, expected = answers("kserve", bundled_server, folder), predicted(bundled_server, folder)
    assert (found["live"], found["ready"], found["models"]) == (True, True, [True, False])
    for kind in ("JSON", "binary"):
        outputs = found[f"pneumonia, {kind}"]
        assert outputs["probability"] == [pytest.approx(expected["probability"], abs=1e-6)]
        assert outputs["label"] == [expected["label"]]
        assert sum(found[f"pneumonia.classifier, {kind}"]["probabilities"]) == pytest.approx(1)
    assert "only JPEG, PNG and DICOM files are read" in found["error"]


def test_mlserver(bundled_server: Server, folder: Path) -> None:
    found, expected = answers("mlserver", bundled_server, folder), predicted(bundled_server, folder)
    assert (found["server"], found["inputs"]) == ("xray-inference", ["image", "file"])
    assert set(found["index"]) == {"pneumonia"}
    assert found["file"]["probability"] == [pytest.approx(expected["probability"], abs=1e-6)]
    assert found["file"]["label"] == [expected["label"]]
    assert len(found["image"]["probability"]) == 1
    assert "no model of this name" in found["error"]


def image_client(server: Server, *arguments: object) -> list[str]:
    program = os.environ.get("IMAGE_CLIENT", "image_client.py")
    if reason := unusable((program,)):
        pytest.skip(f"{reason}, and IMAGE_CLIENT does not name it")
    return run([program, "-u", f"127.0.0.1:{server.port}", *arguments]).stdout.splitlines()


@pytest.mark.parametrize(
    "options", [(), ("-a",), ("-x", BUNDLED_MODEL.name)], ids=["synchronous", "asynchronous", "version"]
)
@pytest.mark.parametrize("batch", [1, 3])
def test_image_client(bundled_server: Server, folder: Path, options: tuple[str, ...], batch: int) -> None:
    lines = image_client(bundled_server, "-m", "pneumonia.classifier", "-b", batch, "-c", 2, *options, folder)
    assert lines[-1] == "PASS", lines
    first = [line.split()[-1] for line in lines if line.startswith("    ")][::2]
    labels = [predicted(bundled_server, folder, number)["label"] for number in range(FILES)]
    assert first[:FILES] == labels


def test_image_client_with_scaled_pixels(bundled_server: Server, folder: Path) -> None:
    lines = image_client(bundled_server, "-m", "pneumonia.classifier", "-s", "VGG", folder / "0.jpeg")
    assert "--scaling NONE" in lines[-1]
