"""The tool that draws the dashboard: a real Prometheus takes every query of every panel."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from tests import ROOT
from tests.commands import run
from tests.programs import needs
from tests.waiting import until
from tools.dashboard import legend, panels


@pytest.fixture
def prometheus(tmp_path: Path) -> Iterator[str]:
    """A running Prometheus that scrapes nothing."""
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    log = tmp_path / "log"
    command = [
        "prometheus",
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        "--web.listen-address=127.0.0.1:0",
    ]
    with log.open("w") as stream, subprocess.Popen(command, cwd=tmp_path, stderr=stream, stdout=stream) as process:
        try:
            until(lambda: "Server is ready" in log.read_text())
            found = re.search(r"Listening on\W+address=(\S+)", log.read_text())
            assert found, log.read_text()
            yield f"http://{found[1]}"
        finally:
            process.kill()


@needs("prometheus")
def test_prometheus_takes_every_query(prometheus: str, tmp_path: Path) -> None:
    picture = tmp_path / "dashboard.png"
    drawn = run([sys.executable, "-m", "tools.dashboard", prometheus, picture], cwd=ROOT)
    assert drawn.returncode == 0, drawn.stderr
    assert [line.split(maxsplit=2)[2] for line in drawn.stdout.splitlines()] == [panel["title"] for panel in panels()]
    with Image.open(picture) as image:
        assert image.height > 1000


def test_a_series_is_named_as_grafana_names_it() -> None:
    assert (
        legend({"legendFormat": "{{status}} of {{route}}"}, {"status": "503", "route": "/predict"}) == "503 of /predict"
    )
    assert legend({}, {"bin": "1"}) == "bin=1"
