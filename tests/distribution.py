"""Which process runs which tests, and in what order."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests import ROOT

_TRAINED = "trained"
_BROWSER = "browser"
# Scopes that take long, the longest first. They begin first: at the end no process is left alone with one of them.
_LONGEST = (
    _TRAINED,
    _BROWSER,
    "tests/training/exporting/test_served_guard.py",
    "tests/training/fitting/test_fit.py",
    "tests/e2e/test_schemathesis.py",
    "tests/tools/test_torture.py",
    "tests/service/http/test_reload.py",
    "tests/e2e/test_server.py",
    "tests/e2e/test_client.py",
    "tests/e2e/test_workers.py",
    "tests/e2e/test_faults.py",
    "tests/training/exporting/test_populations.py",
    "tests/service/bulk/test_local.py",
    "tests/service/inference/test_repository.py",
    "tests/training/exporting/test_guard.py",
    "tests/e2e/test_audit.py",
    "tests/e2e/test_reload.py",
    "tests/e2e/test_clients.py",
    "tests/test_monitoring.py",
    "tests/benchmarks/test_soak.py",
    "tests/node/test_crash.py",
    "tests/e2e/test_bad_inputs.py",
    "tests/training/networks/test_compact.py",
    "tests/training/exporting/test_quantise.py",
    "tests/e2e/test_tls.py",
    "tests/e2e/test_costly_images.py",
    "tests/e2e/test_choices.py",
    "tests/e2e/test_oip.py",
)


@cache
def scope_of(file: str) -> str:
    """What is run in one process: a file, with the servers that its tests share; all tests of the trained network; or
    all that need a browser, which is then started once, with its server.

    Where the network is not in the cache, one process trains it, and no other is held up by that.
    """
    if file.startswith("tests/browser/"):
        return _BROWSER
    return _TRAINED if "from tests.trained import" in (ROOT / file).read_text() else file


def rank_of(file: str) -> int:
    """The place of a file's scope in the order."""
    scope = scope_of(file)
    return _LONGEST.index(scope) if scope in _LONGEST else len(_LONGEST)


def file_of(nodeid: str) -> str:
    """The file of a test."""
    return nodeid.split("::", 1)[0]


def longest_first(items: list[pytest.Item]) -> None:
    """Order the tests; those of one rank stay in their order."""
    items.sort(key=lambda item: rank_of(file_of(item.nodeid)))


class FilesTogether(LoadScopeScheduling):  # type: ignore[misc]  # it ships no types
    """Sends whole scopes to the processes, in the order of the tests."""

    def __init__(self, config: pytest.Config, log: Any) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False  # by the number of tests, which says little about their time

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(file_of(nodeid))


def missing() -> Sequence[str]:
    """Ranked files that are no longer there."""
    return [scope for scope in _LONGEST if scope not in {_TRAINED, _BROWSER} and not (ROOT / scope).exists()]
