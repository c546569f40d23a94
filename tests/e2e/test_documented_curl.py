"""Every curl command in the documents is run as written."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.access.keys import add_key, make_key
from tests import BUNDLED_MODEL, ROOT
from tests.commands import run
from tests.dicom_objects import drawn, grey16
from tests.disks import in_memory
from tests.drawings import jpeg
from tests.e2e.server import Server, running
from tests.programs import needs

pytestmark = needs("curl", at_least=(7, 76))  # --fail-with-body
# curl fails on an error status, and the shell stops at the first failure.
_SHELL = """set -euo pipefail
curl() {{ command curl -sS --fail-with-body "$@"; }}
{}
"""
_OTHERS = re.compile(r"python -m service|pip install|^ *(kill|docker|sha256sum|python3|mkdir|install|systemctl) ")


def commands() -> Iterator[tuple[str, str]]:
    """Each indented block with curl in it, without the lines that start, set up or signal a service."""
    for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for block in re.findall(r"(?:^    .*\n)+", path.read_text(), re.M):
            lines = [line[4:] for line in block.splitlines() if not _OTHERS.search(line)]
            if "curl " in block:
                yield path.name, "\n".join(lines)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    folder = tmp_path_factory.mktemp("documented")
    text, key = make_key("reader", ["admin", "feedback", "predict"])
    add_key(folder / "keys.json", key)
    settings: dict[str, Any] = {
        "keys_file": folder / "keys.json",
        "allow_anonymous": 1,
        "model_control": 1,
    }
    with (
        in_memory(folder) as audit,
        running(BUNDLED_MODEL, folder, audit="on", audit_folder=audit, **settings) as started,
        started.client() as client,
    ):
        # The image that the documents give feedback about.
        client.post(
            "/predict", content=jpeg(), headers={"Content-Type": "image/jpeg", "X-Request-ID": "8c5f0a2e9d4b4c1f"}
        )
        yield started, text


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_it_runs(name: str, command: str, server: tuple[Server, str], tmp_path: Path) -> None:
    started, key = server
    (tmp_path / "xray.jpeg").write_bytes(jpeg())
    (tmp_path / "xray.dcm").write_bytes(drawn(grey16()))
    program = _SHELL.format(command.replace("localhost:8000", f"127.0.0.1:{started.port}"))
    ended = run(["bash", "-c", program], cwd=tmp_path, env=os.environ | {"KEY": key}, errors="replace")
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_the_documents_have_curl_commands() -> None:
    assert {"README.md", "access.md", "api.md", "install-offline.md", "oip.md"} <= {name for name, _ in commands()}
