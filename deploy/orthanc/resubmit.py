"""Resubmits Orthanc's failed jobs, once. Run it every minute or so, by cron or a systemd timer, beside Orthanc.

    python3 resubmit.py [http://localhost:8042]

Credentials, if Orthanc asks for them: ORTHANC_USER and ORTHANC_PASSWORD. Needs Python 3, and no packages.
"""

import base64
import json
import os
import sys
import urllib.request
from typing import Any


def call(url: str, body: bytes | None = None) -> Any:
    """One call of Orthanc's REST API: GET, or POST with a body."""
    request = urllib.request.Request(url, data=body)  # noqa: S310  the administrator's own URL
    if user := os.environ.get("ORTHANC_USER"):
        credentials = f"{user}:{os.environ.get('ORTHANC_PASSWORD', '')}".encode()
        request.add_header("Authorization", f"Basic {base64.b64encode(credentials).decode()}")
    with urllib.request.urlopen(request, timeout=60) as response:  # noqa: S310
        return json.load(response)


def main() -> int:
    """Resubmit every failed job that stores to a modality; print how many."""
    url = (sys.argv[1] if len(sys.argv) > 1 else "http://localhost:8042").rstrip("/")
    jobs = call(f"{url}/jobs?expand")
    failed = [job["ID"] for job in jobs if job["State"] == "Failure" and job["Type"] == "DicomModalityStore"]
    for job in failed:
        call(f"{url}/jobs/{job}/resubmit", b"{}")
    sys.stdout.write(f"{len(failed)} of {len(jobs)} jobs resubmitted\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
