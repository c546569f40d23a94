"""The attacks of ``make torture``, each for a moment."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.e2e.server import Server, running
from tools.torture import clients, machine, outcome
from tools.torture.__main__ import attack, costly_image, share_s
from tools.torture.fuzzing import NAMES, Target, by_chance, targets
from tools.torture.outcome import Broken, NotTried, Outcome
from tools.torture.suite import TESTS, run_tests

FEW = 10


@pytest.fixture(autouse=True)
def _fewer_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outcome, "GOOD", 4)


@pytest.fixture(scope="module")
def audit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("audit")


@pytest.fixture(scope="module")
def server(bundle_folder: Path, audit: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    # The limits end what an attack leaves open, and must not end a good request while the machine pauses.
    limits = {"header_s": 5, "upload_s": 5, "audit": "on", "audit_folder": audit}
    with running(bundle_folder, tmp_path_factory.mktemp("tortured"), None, **limits) as started:
        yield started


@pytest.mark.parametrize(
    "run",
    [clients.idle, clients.slow, clients.hang_ups, clients.never_reads, machine.descriptors],
    ids=lambda run: run.__name__,
)
def test_every_good_request_is_answered(run: Callable[[Server, int], Outcome], server: Server) -> None:
    shown = run(server, FEW)
    assert shown.answered == shown.sent > 0


def test_a_disk_on_which_no_file_grows(server: Server, audit: Path) -> None:
    shown = machine.full_disk(server, audit)
    assert shown.answered == shown.sent


def test_a_machine_that_allows_no_more_threads_and_processes(server: Server) -> None:
    try:
        shown = machine.processes(server, costly_image())
    except NotTried as reason:
        pytest.skip(str(reason))
    assert shown.answered == shown.sent


def test_a_clock_that_jumps(bundle_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        environment = machine.with_false_clock(tmp_path / "clock")
    except NotTried as reason:
        pytest.skip(str(reason))
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with running(bundle_folder, tmp_path) as server:
        shown = machine.clock(server, tmp_path / "clock")
    assert shown.answered == shown.sent


@pytest.mark.parametrize("name", NAMES)
def test_changed_input_raises_only_what_is_answered(name: str) -> None:
    assert by_chance(targets()[name], seconds=0.5) > 0


def test_an_input_that_raises_something_else_ends_the_fuzzing() -> None:
    def fail(data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        by_chance(Target(fail, (ValueError,), lambda: [b"seed"]), seconds=0.5)


@pytest.mark.parametrize(
    ("error", "survived"), [(NotTried("no"), "not tried"), (Broken("bad"), "no"), (OSError("bad"), "no")]
)
def test_the_table_says_what_did_not_survive(error: Exception, survived: str) -> None:
    def run() -> Outcome:
        raise error

    row = attack("any", run)
    assert row.survived == survived
    assert str(error) in row.problem


def test_a_good_request_without_an_answer_is_no_survival() -> None:
    assert attack("any", lambda: Outcome(1, sent=2, answered=1)).survived == "no"


def test_every_file_of_the_table_is_there() -> None:
    places = [place for group in TESTS.values() for place in group]
    assert [place for place in places if not (ROOT / "tests" / place).exists()] == []
    assert len(set(places)) == len(places)


def test_tests_become_rows() -> None:
    groups = {"both": ["test_waiting.py", "test_build_cache.py"], "one": ["test_waiting.py"], "none": ["bundles.py"]}
    both, one, none = run_tests(groups, processes=0)
    assert (both.survived, one.survived, none.survived) == ("yes", "yes", "no")
    assert int(both.tried.split()[0]) > int(one.tried.split()[0]) > 0
    assert "no test ran: " in none.problem


@pytest.mark.parametrize(("left", "each"), [(1000, 500), (60, 60), (-100, 60)])
def test_fuzzing_takes_the_time_that_is_left_two_targets_at_a_time(left: float, each: float) -> None:
    assert share_s(left) == each
