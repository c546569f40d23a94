"""No library that is used here sends data to its vendor."""

import os
import sys
from pathlib import Path

import pytest

from tests.bundles import brightness_graph
from tests.commands import run

_RUN = """
import sys, time
from {module} import {name}
import numpy as np, onnxruntime
graph = open(sys.argv[1], "rb").read()
session = onnxruntime.InferenceSession(graph, providers=["CPUExecutionProvider"])
session.run(None, {{"image": np.zeros((1, 200, 200, 1), np.uint8)}})
time.sleep(1)
"""


@pytest.mark.parametrize(
    ("module", "name"), [("service.inference.backend", "OnnxBackend"), ("training.evaluation.assess", "graph_predict")]
)
def test_onnxruntime_keeps_no_identifier_and_reports_nothing(tmp_path: Path, module: str, name: str) -> None:
    """With telemetry on, onnxruntime writes a session file and a device identifier; this test would find both."""
    graph = tmp_path / "graph.onnx"
    graph.write_bytes(brightness_graph())
    folders = [tmp_path / "home", tmp_path / "scratch"]
    for folder in folders:
        folder.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    environment |= {
        "HOME": str(folders[0]),
        "TMPDIR": str(folders[1]),
        "MPLCONFIGDIR": str(tmp_path),
        "KERAS_HOME": str(tmp_path),
    }
    for variable in ("XDG_CACHE_HOME", "XDG_DATA_HOME"):
        environment.pop(variable, None)
    program = _RUN.format(module=module, name=name)
    ended = run([sys.executable, "-c", program, graph], env=environment)
    assert ended.returncode == 0, ended.stderr
    assert [path for folder in folders for path in folder.rglob("*") if path.is_file()] == []
