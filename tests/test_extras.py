"""A command whose extra is not installed says which extra to install; help needs none."""

import json
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from tests import ROOT
from tests.commands import run
from tests.dicom_objects import drawn
from tests.drawings import png
from tests.node.running import write_config

# Makes the packages of the extra unimportable, and then runs the command line in the same process.
_WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({missing!r}))
from {package}.__main__ import main
sys.exit(main({arguments!r}))
"""
_TRAINING = ["keras", "tensorflow", "tf2onnx", "onnx", "onnxruntime", "sklearn", "scipy", "matplotlib"]
_CLIENT = ["httpx"]
_SERVICE = ["fastapi", "starlette", "uvicorn", "onnxruntime", "prometheus_client", "fastapi_offline"]
_NODE = ["pynetdicom"]
_BULK = ["pyarrow"]
_SERVICE += ["pythonjsonlogger", "multipart", "python_multipart"]


def run_without(missing: list[str], package: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = _WITHOUT.format(missing=missing, package=package, arguments=list(arguments))
    return run([sys.executable, "-c", program], cwd=ROOT)


@pytest.mark.parametrize(
    ("package", "missing", "arguments", "extra"),
    [
        ("training", _TRAINING, ["evaluate", "run"], "xray-inference[training]"),
        ("service", _SERVICE, ["serve"], "xray-inference[cpu]"),
        ("service", _SERVICE, ["predict", "x.jpeg"], "xray-inference[cpu]"),
        ("service", _CLIENT, ["predict", "--url", "http://127.0.0.1:1", "x.jpeg"], "xray-inference[client]"),
        ("service", _BULK, ["bulk", "x", "--out", "nowhere"], "xray-inference[cpu,bulk]"),
    ],
)
def test_the_missing_extra_is_named_in_one_line(
    package: str, missing: list[str], arguments: list[str], extra: str
) -> None:
    ended = run_without(missing, package, *arguments)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert extra in ended.stderr


def test_predict_with_a_url_needs_the_extra_client_alone() -> None:
    command = ["predict", "--give-up-after", "0.1", "--url", "http://127.0.0.1:1", "x.jpeg"]
    ended = run_without(_SERVICE, "service", *command)
    assert ended.stderr.startswith("xray-service: no answer from http://127.0.0.1:1 ")


def test_the_node_names_its_extra(tmp_path: Path) -> None:
    ended = run_without(_NODE, "node", "--config", str(write_config(tmp_path, "http://127.0.0.1:1", 1)))
    assert ended.returncode == 1
    assert ended.stderr == "xray-node: pynetdicom is not installed; pip install 'xray-inference[cpu,dicom]'\n"


@pytest.mark.parametrize(
    ("package", "missing"),
    [
        ("training", _TRAINING),
        ("service", _SERVICE),
        ("service", [*_BULK, *_CLIENT, *_SERVICE]),
        ("node", [*_NODE, *_CLIENT, *_SERVICE]),
    ],
)
def test_help_needs_no_extra(package: str, missing: list[str]) -> None:
    ended = run_without(missing, package, "--help")
    assert ended.returncode == 0
    assert "usage: xray-" in ended.stdout


_WITHOUT_DICOM = """
import sys
sys.modules.update(dict.fromkeys(["pydicom", "highdicom", "imagecodecs", "pynetdicom", "dicomweb_client"]))
from service.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
_LOADED = """
import asyncio, sys
from service.cli.commands import open_local
from service.settings import Settings
from tests.drawings import jpeg

async def predict():
    async with open_local(Settings()) as predictor:
        assert (await predictor.predict(jpeg())).predictions[0].error is None

asyncio.run(predict())
print([name for name in ("dicom", "pydicom", "highdicom", "imagecodecs") if name in sys.modules])
"""


def test_without_the_extra_dicom_an_object_is_refused_by_name_and_all_else_is_as_before(tmp_path: Path) -> None:
    (tmp_path / "1.dcm").write_bytes(drawn())
    (tmp_path / "2.png").write_bytes(png())
    ended = run([sys.executable, "-c", _WITHOUT_DICOM, "predict", "--json", tmp_path], cwd=ROOT)
    first, second = json.loads(ended.stdout)["predictions"]
    assert "xray-inference[dicom]" in first["error"]["detail"]
    assert second["error"] is None


def test_a_jpeg_loads_nothing_of_the_extra_dicom() -> None:
    ended = run([sys.executable, "-c", _LOADED], cwd=ROOT)
    assert ended.stdout.strip() == "[]", ended.stderr


def test_both_commands_are_installed_under_their_names() -> None:
    scripts = {script.name: script.value for script in entry_points(group="console_scripts")}
    assert scripts["xray-service"] == "service.__main__:main"
    assert scripts["xray-training"] == "training.__main__:main"
