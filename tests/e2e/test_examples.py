"""The examples are run as written. The JavaScript one runs in a browser too: tests/browser/test_example.py."""

import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from tests import ROOT, commands
from tests.drawings import jpeg, png
from tests.e2e.scripted import answer, problem, scripted
from tests.e2e.server import Server
from tests.programs import needs

PATIENT = "Mueller, Anna; 1990"
EXAMPLES = ROOT / "examples"
CURL = needs("curl", at_least=(7, 76))  # --fail-with-body
SHELL = pytest.param(["sh", str(EXAMPLES / "predict.sh")], marks=CURL)
PYTHON = pytest.param([sys.executable, str(EXAMPLES / "predict.py")])
NODE = pytest.param(["node", str(EXAMPLES / "predict.mjs")], marks=needs("node", at_least=(18,), package="nodejs"))


def run(command: list[str], *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return commands.run([*command, *arguments], env=os.environ | environment)


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"{PATIENT} {number}" for number in range(3)]
    for path, data in zip(paths, (jpeg(), png(), jpeg(1)), strict=True):
        path.write_bytes(data)
    return paths


@pytest.mark.parametrize("command", [PYTHON, NODE])
def test_files_are_analysed_one_by_one(command: list[str], images: list[Path], bundled_server: Server) -> None:
    images[1].write_bytes(b"GIF89a")
    ended = run(command, f"{bundled_server.url}/", *images)
    assert ended.returncode == 1
    rows = [line.split("\t") for line in ended.stdout.splitlines()]
    assert [row[:2] for row in rows] == [[str(images[0]), "PNEUMONIA"], [str(images[2]), "PNEUMONIA"]]
    assert all(0 <= float(row[2]) <= 1 and row[3] == "unlike_training_data" for row in rows)
    assert ended.stderr.startswith(f"{images[1]}: Unsupported format: a GIF file is not read")


@CURL
@pytest.mark.parametrize("count", [1, 3])
def test_curl_sends_one_or_several(count: int, images: list[Path], bundled_server: Server) -> None:
    ended = run(["sh", str(EXAMPLES / "predict.sh")], f"{bundled_server.url}/", *images[:count])
    assert (ended.returncode, ended.stderr) == (0, "")
    predictions = json.loads(ended.stdout)["predictions"]
    assert [entry["filename"] for entry in predictions] == ([None] if count == 1 else ["image-0", "image-1", "image-2"])
    assert {entry["label"] for entry in predictions} == {"PNEUMONIA"}


@pytest.mark.parametrize("command", [SHELL, PYTHON, NODE])
def test_the_picture_with_the_heatmap(
    command: list[str], images: list[Path], tmp_path: Path, bundled_server: Server
) -> None:
    ended = run(command, bundled_server.url, "--explain", images[0], tmp_path / "out.png")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    picture = Image.open(io.BytesIO((tmp_path / "out.png").read_bytes()))
    assert picture.format == "PNG"
    assert picture.width >= 560


@pytest.mark.parametrize("command", [SHELL, PYTHON, NODE])
def test_examples_retry_while_the_service_is_at_capacity(command: list[str], images: list[Path]) -> None:
    with scripted(problem(503, "overloaded", Retry_After="1"), answer()) as full:
        ended = run(command, full.url, images[0], XRAY_CLIENT_KEY="the-key", HTTP_PROXY="http://127.0.0.1:1")
    assert ended.returncode == 0
    assert "NORMAL" in ended.stdout
    assert "A title" not in ended.stdout
    (first, *_), (second, _, headers, body) = full.predictions
    assert second - first >= 1
    assert headers["authorization"] == "Bearer the-key"
    assert body == images[0].read_bytes()
    assert "Mueller" not in str(full.asked)


@pytest.mark.parametrize("command", [SHELL, PYTHON, NODE])
def test_an_error_is_printed_and_not_retried(command: list[str], images: list[Path]) -> None:
    with scripted(problem(422, "truncated-image")) as server:
        ended = run(command, server.url, images[0])
    assert ended.returncode == (22 if command[0] == "sh" else 1)
    assert ended.stdout == ""
    assert "a detail" in ended.stderr
    assert len(server.predictions) == 1


@pytest.mark.parametrize("command", [SHELL, PYTHON, NODE])
def test_an_unreachable_service_is_an_error(command: list[str], images: list[Path]) -> None:
    ended = run(command, "http://127.0.0.1:1", images[0])
    assert ended.returncode != 0
    assert "Traceback" not in ended.stderr
    assert ended.stderr


@pytest.mark.parametrize("command", [SHELL, PYTHON, NODE])
@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["http://127.0.0.1:1"],
        ["http://127.0.0.1:1", "--explain", "IMAGE"],
        ["http://127.0.0.1:1", "none.jpeg"],
        ["http://127.0.0.1:1", "--explain", "IMAGE", "out.png"],
        ["http://127.0.0.1:port", "IMAGE"],
    ],
    ids=["nothing", "no file", "no picture", "no such file", "no service", "no address"],
)
def test_a_failure_is_one_line(command: list[str], arguments: list[str], images: list[Path]) -> None:
    ended = run(command, *[images[0] if each == "IMAGE" else each for each in arguments])
    assert ended.returncode != 0
    assert ended.stdout == ""
    assert ended.stderr.count("\n") == 1, ended.stderr


@CURL
def test_the_shell_example_sends_no_file_names(images: list[Path]) -> None:
    with scripted(answer()) as server:
        assert run(["sh", str(EXAMPLES / "predict.sh")], server.url, *images).returncode == 0
    assert "Mueller" not in str(server.asked)
    assert server.predictions[0][3].count(b'\r\nContent-Disposition: form-data; name="file"') == 3
