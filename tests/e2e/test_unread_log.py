"""A process whose stderr is a pipe that nobody reads goes on answering."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx

from tests.waiting import DEADLINE_S

# Each is logged in 300 bytes and more: together more than the 64 KiB that a pipe holds.
REQUESTS = 600


def test_a_service_whose_log_nobody_reads_answers_and_ends(bundle_folder: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XRAY_")}
    command = [sys.executable, "-m", "service", "--model", str(bundle_folder), "--port", "0", "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment) as process:
        assert process.stderr
        lines = iter(process.stderr.readline, b"")
        port = next(
            int(found[1]) for line in lines if (found := re.search(rb"running on http://127\.0\.0\.1:(\d+)", line))
        )
        try:
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=DEADLINE_S) as client:
                statuses = {client.get("/nothing").status_code for _ in range(REQUESTS)}
                assert statuses == {404}
                assert "xray_log_lines_dropped_total 0.0" in client.get("/metrics").text
            process.terminate()
            assert process.wait(DEADLINE_S) == 0
        finally:
            process.kill()
