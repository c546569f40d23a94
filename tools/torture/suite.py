"""The tests of bad inputs and faults, as rows of the table."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from xml.etree import ElementTree

from tests import ROOT
from tools.torture.outcome import Row

Groups = Mapping[str, Sequence[str]]

# By what they are about: files and folders below tests/.
TESTS: Groups = {
    "bad inputs (field notes D.3)": ["e2e/test_bad_inputs.py", "e2e/test_costly_images.py", "contract/test_header.py"],
    "connections, protocol errors": ["service/edge"],
    "calls that hang, a batcher that dies, a worker that is stopped": [
        "e2e/test_faults.py",
        "service/workers/test_grace.py",
        "service/workers/test_silence.py",
        "service/workers/test_watchdog.py",
    ],
    "model and batch faults": [
        "service/inference/test_batcher.py",
        "service/inference/test_admission.py",
        "service/inference/test_recovery.py",
    ],
    "models replaced, loaded and unloaded": [
        "e2e/test_reload.py",
        "service/http/test_reload.py",
        "service/workers/test_swap.py",
        "service/inference/test_released.py",
        "service/inference/loading/test_memory.py",
    ],
    "hostile and unsigned bundles": [
        "contract/test_graph.py",
        "service/inference/loading/test_trial.py",
        "service/inference/loading/test_signature.py",
    ],
    "workers that end": ["e2e/test_workers.py"],
    "stop under load, clients that leave, core dumps": ["e2e/test_server.py"],
    "stderr that nobody reads": ["e2e/test_unread_log.py", "service/telemetry/test_logs.py"],
    "audit: torn, forged, copied, full disk": ["service/audit"],
    "keys, other sites, hostile servers": ["service/access", "e2e/test_terminal.py"],
}
_PROCESSES = 3  # as in `make test`


def run_tests(groups: Groups, processes: int = _PROCESSES) -> Iterator[Row]:
    """Run tests of the suite, all in one go; a row for each group.

    Args:
        groups: name of the row, and its files and folders below tests/.
        processes: that share them; 0: pytest's own runs all.
    """
    places = [f"tests/{place}" for group in groups.values() for place in group]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        options = ["-p", "no:cacheprovider", "-n", str(processes), "--junitxml", str(report)]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *options, *places], cwd=ROOT, capture_output=True, text=True, check=False
        )
        # Written by the process above, from names and messages of our tests.
        cases = list(ElementTree.parse(report).iter("testcase")) if report.exists() else []  # noqa: S314
    [*_, last] = ["", *(done.stdout or done.stderr).strip().splitlines()]
    for name, group in groups.items():
        yield _row(name, [case for case in cases if _is_of(case, group)], last)


def _is_of(case: ElementTree.Element, group: Sequence[str]) -> bool:
    """Whether a test is in one of these files and folders; the report names them as modules."""
    module = f"{case.get('classname', '')}."
    return any(module.startswith(f"tests.{place.removesuffix('.py').replace('/', '.')}.") for place in group)


def _row(name: str, cases: Sequence[ElementTree.Element], last_line: str) -> Row:
    """The row of a group from its part of the report."""
    tried = [case for case in cases if case.find("skipped") is None]
    failed = [case.get("name", "") for case in tried if {"failure", "error"} & {child.tag for child in case}]
    if not cases:
        return Row(name, "0 tests", "no", "", f"no test ran: {last_line}")
    if not tried:
        return Row(name, "0 tests", "not tried", "", "skipped on this machine")
    return Row(name, f"{len(tried)} tests", "no" if failed else "yes", "", ", ".join(failed)[:300])
