"""Asking the service from Python, with nothing but its standard library.

    python predict.py URL FILE...
    python predict.py URL --explain FILE OUT.png

A key, where the service asks for one, is taken from XRAY_CLIENT_KEY. For whole folders, and much else:
`python -m service predict --url URL FOLDER`.
"""

import base64
import hashlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# Without the proxies that the environment may name: images go to the service and nowhere else.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
TRIES = 8


class Refused(Exception):
    """The service gave no answer; the message is its `detail`, `problem` all that it said."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('title')}: {problem.get('detail')}")
        self.problem = problem


def predict(url: str, image: bytes) -> dict[str, Any]:
    """The answer for one image: model, operating_point, and one prediction with label, probability and warnings."""
    return dict(json.loads(ask(f"{url}/predict", image)))


def explain(url: str, image: bytes) -> bytes:
    """A PNG of the image with the heatmap over it."""
    return ask(f"{url}/explain", image)


def ask(url: str, image: bytes) -> bytes:
    """Send one image as the body; its name stays here. While the service is full or starting, wait as it says."""
    digest = base64.b64encode(hashlib.sha256(image).digest()).decode()
    headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
    if key := os.environ.get("XRAY_CLIENT_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    for tries in range(1, TRIES + 1):
        try:
            with OPENER.open(urllib.request.Request(url, image, headers), timeout=60) as response:  # noqa: S310
                body: bytes = response.read()
                return body
        except urllib.error.HTTPError as error:
            if error.code not in {429, 503} or tries == TRIES:
                raise Refused(problem_of(error)) from None
            said = error.headers.get("Retry-After", "")
            time.sleep(int(said) if said.isdigit() else tries)
    raise AssertionError("not reached")


def problem_of(error: urllib.error.HTTPError) -> dict[str, Any]:
    """What the service says is wrong (RFC 9457); something between may say it in its own way."""
    try:
        return dict(json.loads(error.read()))
    except ValueError:
        return {"title": error.reason, "status": error.code, "detail": "not an answer of the service"}


def main(url: str, *arguments: str) -> int:
    """The command. Returns its exit code: 1 if any file has no answer."""
    url = url.rstrip("/")
    if arguments[0] == "--explain":
        Path(arguments[2]).write_bytes(explain(url, Path(arguments[1]).read_bytes()))
        return 0
    code = 0
    for name in arguments:
        try:
            prediction = predict(url, Path(name).read_bytes())["predictions"][0]
        except (Refused, OSError) as error:
            print(f"{name}: {error}", file=sys.stderr)
            code = 1
        else:
            warnings = ", ".join(warning["code"] for warning in prediction["warnings"])
            print(name, prediction["label"], prediction["probability"], warnings, sep="\t")
    return code


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
