"""What a long run shows: the clients' count beside the service's and its audit log, and the slopes of its resources."""

import contextlib
import json
import os
import uuid
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.measuring.processes import descendants
from tests.waiting import until

# How a client is counted that closed its connection before its answer.
HUNG_UP = "hung up"
# In the command line of a process that the service starts.
_HELPERS = b"service.inference."
# Only clients with a good image and a good key hang up.
_NEVER_HUNG_UP = ("401", "415", "422")


@dataclass(slots=True)
class Sample:
    """The processes of the service at one moment. ``helpers_mib``: of the processes that decode costly images and try
    out new models, most of which live for a moment; the other figures are without them.
    """

    at_s: float
    mib: float
    descriptors: int
    threads: int
    helpers_mib: float = 0.0


def sample(at_s: float) -> Sample:
    """Sample all processes of the service: those below this one."""
    found = Sample(at_s, 0.0, 0, 0)
    for pid in descendants(os.getpid()):
        with contextlib.suppress(OSError):  # it has just ended
            mib = int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
            if _HELPERS in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.helpers_mib += mib
                continue
            found.mib += mib
            found.descriptors += len(list(Path(f"/proc/{pid}/fd").iterdir()))
            found.threads += len(list(Path(f"/proc/{pid}/task").iterdir()))
    return found


def slope_per_hour(samples: Sequence[Sample], value: Callable[[Sample], float]) -> float:
    """Slope of a straight line through the samples after the first fifth of the time, per hour."""
    kept = [each for each in samples if each.at_s >= samples[-1].at_s / 5]
    times, values = [each.at_s / 3600 for each in kept], [value(each) for each in kept]
    return round(float(np.polyfit(times, values, 1)[0]), 2) if len(kept) > 1 else 0.0


def counted(url: str, key: str) -> Counter[str]:
    """The service's own count of /predict by status; 0 is left out."""
    text = httpx.get(url.replace("/predict", "/metrics"), headers={"Authorization": f"Bearer {key}"}, timeout=30).text
    found: Counter[str] = Counter()
    for family in text_string_to_metric_families(text):
        for each in family.samples:
            if each.name == "xray_requests_total" and each.labels["route"] == "/predict" and each.value:
                found[each.labels["status"]] += int(each.value)
    return found


def audited(folder: Path) -> Counter[str]:
    """The lines of the audit log by problem; answers are ``ok``."""
    lines = [json.loads(line) for path in folder.rglob("*.jsonl") for line in path.read_text().splitlines()]
    return Counter(line["problem"] or "ok" for line in lines if line["event"] == "read")


def both_counts(url: str, key: str, image: bytes, folder: Path) -> tuple[Counter[str], Counter[str]]:
    """The service's count and that of its audit log, between two loads.

    Lines reach the disk in their order, but later than a request is counted. So one more image is sent: once its line
    is there, so are those of all requests that have ended.
    """
    name = uuid.uuid4().hex
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "image/jpeg", "X-Request-ID": name}
    httpx.post(url, content=image, headers=headers, timeout=30).raise_for_status()
    until(lambda: any(name in path.read_text() for path in folder.rglob("*.jsonl")))
    return counted(url, key), audited(folder)


def differences(seen: Counter[str], metrics: Counter[str], audit: Counter[str]) -> list[str]:
    """What does not agree. A client that hung up was counted as 499, or as whatever answer was already on its way."""
    found = [f"a client got {status}" for status in seen if not status.isdigit() and status != HUNG_UP]
    more = {status: metrics[status] - seen[status] for status in metrics.keys() | seen.keys() if status.isdigit()}
    found += [f"{status}: clients {seen[status]}, metrics {metrics[status]}" for status in more if more[status] < 0]
    unread = sum(count for status, count in more.items() if status not in _NEVER_HUNG_UP)
    if unread != seen[HUNG_UP]:
        found.append(f"{seen[HUNG_UP]} clients hung up, metrics has {unread} more than other clients saw")
    found += [
        f"{status}: clients {seen[status]}, metrics {metrics[status]}" for status in _NEVER_HUNG_UP if more.get(status)
    ]
    lines = {"200": audit["ok"], "415": audit["unsupported-media-type"], "422": audit["truncated-image"]}
    found += [
        f"{status}: metrics {metrics[status]}, audit {count}"
        for status, count in lines.items()
        if count != metrics[status]
    ]
    if audit["cancelled"] > metrics["499"] + metrics["504"]:
        found.append(f"cancelled: audit {audit['cancelled']}, metrics {metrics['499']} and {metrics['504']}")
    return found


def figures(samples: Sequence[Sample]) -> dict[str, Any]:
    """First, last and slope per hour of memory, descriptors and threads."""
    names = {"mib": 1, "helpers_mib": 1, "descriptors": 0, "threads": 0}
    return {
        name: {
            "first": round(getattr(samples[0], name), digits),
            "last": round(getattr(samples[-1], name), digits),
            "most": round(max(getattr(each, name) for each in samples), digits),
            "per_hour": slope_per_hour(samples, lambda each, name=name: getattr(each, name)),  # type: ignore[misc]
        }
        for name, digits in names.items()
    }
