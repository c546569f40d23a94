"""The soak: its arithmetic, and a run of a few seconds."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from benchmarks.measuring.observed import HUNG_UP, Sample, differences, slope_per_hour
from tests import ROOT
from tests.disks import in_memory
from tests.programs import needs

SEEN = Counter({"200": 90, "401": 3, "415": 2, "422": 4, HUNG_UP: 6})
METRICS = Counter({"200": 92, "401": 3, "415": 2, "422": 4, "499": 4})  # two answers were already on their way
AUDIT = Counter({"ok": 92, "unsupported-media-type": 2, "truncated-image": 4, "cancelled": 3})


def test_counts_that_agree_have_no_difference() -> None:
    assert differences(SEEN, METRICS, AUDIT) == []
    refused_unread = METRICS + Counter({"503": 1}), SEEN + Counter({HUNG_UP: 1})
    assert differences(refused_unread[1], refused_unread[0], AUDIT) == []


@pytest.mark.parametrize(
    ("seen", "metrics", "audit"),
    [
        ({"200": 1}, {}, {}),
        ({"503": 1}, {}, {}),
        ({"ConnectionResetError": 1}, {}, {}),
        ({}, {"422": 1}, {}),
        ({}, {"500": 1}, {}),
        ({}, {"499": 1}, {}),
        ({}, {}, {"ok": 1}),
        ({}, {}, {"cancelled": 2}),
    ],
)
def test_one_more_anywhere_is_a_difference(
    seen: dict[str, int], metrics: dict[str, int], audit: dict[str, int]
) -> None:
    assert differences(SEEN + Counter(seen), METRICS + Counter(metrics), AUDIT + Counter(audit))


def test_a_slope_leaves_out_the_first_fifth() -> None:
    samples = [Sample(at_s, 100 + (at_s - 1000) / 3600 if at_s >= 1000 else 0, 1, 1) for at_s in range(0, 5001, 100)]
    assert slope_per_hour(samples, lambda each: each.mib) == pytest.approx(1)


@needs("wrk")
def test_a_short_soak_loses_nothing(tmp_path: Path) -> None:
    command = [sys.executable, "benchmarks/soak.py", "--minutes", "0.1", "--cycles", "1"]
    with in_memory(tmp_path) as scratch:
        environment = os.environ | {"TMPDIR": str(scratch)}
        ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    result = json.loads(ended.stdout)
    assert result["metrics"].keys() >= {"200", "401", "415", "422"}
