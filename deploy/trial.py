"""Starts the installed service, has it analyse a picture, stops it. Run by deploy/release.sh, in an empty folder."""

import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from PIL import Image

PORT = 18000 + os.getpid() % 1000
DEADLINE_S = 120


def ask(path: str, body: bytes | None = None) -> Any:
    """The JSON answer of the service; the text of a page."""
    headers = {"Content-Type": "application/octet-stream", "Accept": "text/html"}
    request = urllib.request.Request(f"http://127.0.0.1:{PORT}{path}", body, headers)
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
        content = response.read()
        return json.loads(content) if response.headers.get_content_type() == "application/json" else content.decode()


def await_health(process: subprocess.Popen[bytes]) -> Any:
    """The answer of ``/health``, once there is one."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            return ask("/health")
        except (OSError, urllib.error.URLError):
            time.sleep(0.2)
    sys.exit(f"the service does not answer (exit code {process.poll()})")


def main() -> None:
    """Exits with a message if anything is not as it should be."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False, capture_output=True)  # in a network of its own
    command = [
        str(Path(sys.executable).with_name("xray-service")),
        "serve",
        "--port",
        str(PORT),
        "--log-level",
        "error",
    ]
    with subprocess.Popen(command) as process:
        try:
            health = await_health(process)
            picture = io.BytesIO()
            Image.linear_gradient("L").save(picture, "JPEG")
            answer = ask("/predict", picture.getvalue())
            pages = [ask(path) for path in ("/", "/model/card", "/problems/truncated-image", "/docs")]
        finally:
            process.send_signal(signal.SIGTERM)
    prediction = answer["predictions"][0]
    if health["status"] != "ok" or prediction["error"] or not all(pages) or process.returncode != 0:
        sys.exit(f"{health} {answer} exit code {process.returncode}")
    print(f"{health['model']} {health['version']}: {prediction['label']} {prediction['probability']:.4f}")


if __name__ == "__main__":
    main()
