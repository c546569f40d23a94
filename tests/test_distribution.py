"""The order of the tests names files that are there."""

from tests.distribution import missing, rank_of, scope_of


def test_ranked_files_are_there() -> None:
    assert missing() == []


def test_the_trained_network_s_tests_are_one_scope_and_the_first() -> None:
    files = "tests/e2e/test_parity.py", "tests/training/reporting/test_report.py"
    assert {scope_of(file) for file in files} == {"trained"}
    assert {rank_of(file) for file in files} == {0}
    assert rank_of("tests/test_docs.py") > rank_of("tests/e2e/test_oip.py") > 0


def test_the_browser_is_started_once() -> None:
    assert scope_of("tests/browser/test_page.py") == scope_of("tests/browser/test_tools.py") == "browser"
    assert scope_of("tests/test_docs.py") == "tests/test_docs.py"
