"""A client of the service in Python; needs only the standard library.

    python predict.py URL FILE...
    python predict.py URL --explain FILE OUT.png

If the service requires an API key, set XRAY_CLIENT_KEY. For folders, retries and result files use
`python -m service predict --url URL FOLDER`.
"""

import base64
import hashlib
import http.client
import json
import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# Ignores proxies set in the environment: images go directly to the service.
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
MAX_TRIES = 8


class RequestFailed(Exception):
    """A failed request. ``problem``: the problem object of the service (type, title, status, detail, request_id)."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(f"{problem.get('title')}: {problem.get('detail')}")
        self.problem = problem


def predict(url: str, image: bytes) -> dict[str, Any]:
    """The response for one image: model, operating_point, and one prediction with label, probability and warnings."""
    return dict(json.loads(post(f"{url}/predict", image)))


def explain(url: str, image: bytes) -> bytes:
    """The image with the heatmap over it, as a PNG."""
    return post(f"{url}/explain", image)


def post(url: str, image: bytes) -> bytes:
    """Send an image as the body, without its file name. Retries after Retry-After while the service is overloaded."""
    digest = base64.b64encode(hashlib.sha256(image).digest()).decode()
    headers = {"Content-Type": "application/octet-stream", "Content-Digest": f"sha-256=:{digest}:"}
    if key := os.environ.get("XRAY_CLIENT_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    for tries in range(1, MAX_TRIES + 1):
        try:
            with OPENER.open(urllib.request.Request(url, image, headers), timeout=60) as response:  # noqa: S310
                body: bytes = response.read()
                return body
        except urllib.error.HTTPError as error:
            if error.code not in {429, 503} or tries == MAX_TRIES:
                raise RequestFailed(problem_of(error)) from None
            retry_after = error.headers.get("Retry-After", "")
            time.sleep(int(retry_after) if retry_after.isdigit() else tries)
    raise AssertionError("not reached")


def problem_of(error: urllib.error.HTTPError) -> dict[str, Any]:
    """The problem object in the response (RFC 9457); a proxy may answer in another format."""
    try:
        return dict(json.loads(error.read()))
    except ValueError:
        return {"title": error.reason, "status": error.code, "detail": "not an answer of the service"}


def printable(text: str) -> str:
    """The text without what a terminal would interpret: a server may send anything."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def main(url: str, *arguments: str) -> int:
    """Run the command. Returns its exit code: 1 if any file failed."""
    url = url.rstrip("/")
    code = 0
    for name in arguments[1:2] if arguments[0] == "--explain" else arguments:
        try:
            if arguments[0] == "--explain":
                Path(arguments[2]).write_bytes(explain(url, Path(name).read_bytes()))
            else:
                print(name, *shown(predict(url, Path(name).read_bytes())), sep="\t")
        except (RequestFailed, OSError, http.client.HTTPException, ValueError, LookupError) as error:
            # Rejected by the service; file or service not available; not an address; not the answer of this service.
            print(f"{name}: {printable(str(error) or type(error).__name__)}", file=sys.stderr)
            code = 1
    return code


def shown(answer: dict[str, Any]) -> list[str]:
    """Label, probability and codes of warnings in a response for one image."""
    prediction = answer["predictions"][0]
    warnings = ", ".join(warning["code"] for warning in prediction["warnings"])
    return [printable(prediction["label"]), str(prediction["probability"]), printable(warnings)]


if __name__ == "__main__":
    if len(sys.argv) < 3 or (sys.argv[2] == "--explain" and len(sys.argv) != 5):
        sys.exit("usage: predict.py URL FILE...   or   predict.py URL --explain FILE OUT.png")
    try:
        sys.exit(main(*sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
