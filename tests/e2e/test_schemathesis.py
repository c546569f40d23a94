"""Schemathesis sends requests that the OpenAPI document allows, and many that it forbids, to a running service; the
document must list every answer. schemathesis_hooks.py has what it knows beside the document.

For a longer run: ``EXAMPLES=2000 python -m pytest tests/e2e/test_schemathesis.py --timeout 0``.
"""

import os
import sys
from pathlib import Path
from typing import Any

import pytest

from service.access.keys import add_key, make_key
from tests import ROOT
from tests.bundles import GUARD, POINTS, brightness_graph, write_brightness_bundle
from tests.commands import run
from tests.drawings import jpeg
from tests.e2e.schemathesis_hooks import ANALYSED
from tests.e2e.server import Server, running
from tests.openapi import operations

CONFIG = ROOT / "tests" / "e2e" / "schemathesis.toml"
EXAMPLES = os.environ.get("EXAMPLES", "20")


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two versions of a model with all optional parts."""
    folder = tmp_path_factory.mktemp("repository")
    for version in ("1", "2"):
        write_brightness_bundle(
            folder / "brightness" / version,
            brightness_graph(features=2),
            version=version,
            operating_points=POINTS,
            input_guard=GUARD,
        )
    return folder


def run_schemathesis(server: Server, key: str, *options: str) -> None:
    """Run schemathesis against a server; it must find no failure, and the server must be unharmed."""
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(CONFIG), "run", "--no-color"]
    ended = run(
        [*command, f"{server.url}/openapi.json", "--max-examples", EXAMPLES, *options],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XRAY_KEY": key},
        timeout=None,  # the user chooses the number of examples
    )
    # A request may contain a whole image, so lines are truncated.
    assert ended.returncode == 0, "\n".join(line[:500] for line in ended.stdout.splitlines()) + ended.stderr
    assert "Traceback" not in server.log
    assert server.resident_mib() < 300


def answered(server: Server) -> set[str]:
    """The routes that answered with status 200 at least once."""
    return {line["route"] for line in server.log_lines if line.get("status") == 200}


def test_with_keys_every_answer_is_documented(repository: Path, tmp_path: Path, audit_folder: Path) -> None:
    text, key = make_key("schemathesis", ["admin", "feedback", "metrics", "predict"])
    add_key(tmp_path / "keys.json", key)
    settings: dict[str, Any] = {"keys_file": tmp_path / "keys.json", "model_control": 1, "load": "brightness/2"}
    settings |= {"audit": "required", "audit_folder": audit_folder}
    with running(repository / "brightness" / "1", tmp_path, log_level="debug", **settings) as server:
        headers = {"Authorization": f"Bearer {text}", "X-Request-ID": ANALYSED}
        with server.client(headers=headers) as client:
            assert client.post("/predict", content=jpeg()).status_code == 200
        run_schemathesis(server, text)
        assert {path for path, _, _ in operations()} - answered(server) == set()


def test_without_keys_every_answer_is_documented(repository: Path, tmp_path: Path) -> None:
    """Loading, unloading, reloading and feedback are excluded: they require a key, and this service has none. Half as
    many examples as above, because the other routes differ in their keys alone.
    """
    closed = ("/v2/repository/models/", "/model/reload", "/feedback")
    with running(repository / "brightness" / "1", tmp_path, log_level="debug") as server:
        fewer = ["--max-examples", str(int(EXAMPLES) // 2)]
        run_schemathesis(server, "none", "--exclude-path-regex", f"^({'|'.join(closed)})", *fewer)
        paths = {path for path, _, _ in operations() if not path.startswith(closed)}
        assert paths - answered(server) == set()
