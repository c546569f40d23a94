"""From a record to tables: ratios within a round, failures, the generated part of docs/performance.md."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.comparison.contenders import OURS
from benchmarks.comparison.plot import draw
from benchmarks.comparison.summary import (
    BEGIN,
    END,
    PAGE,
    PLOT,
    comparisons,
    markdown,
    ratio,
    replace_between_markers,
    rows,
)
from tests import ROOT

FAILED = {"failed": "pip found no such version"}


def found(rate: float, errors: int = 0) -> dict[str, Any]:
    figures = {"start_s": 1.0, "p50_ms": 2.0, "p99_ms": 3.0, "alone_ms": 4.0, "memory_mib": 5.0}
    return figures | {"rate": rate, "errors": {"503": errors} if errors else {}}


def contender(name: str, work: str, *rounds: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "work": work, "rounds": list(rounds)}


def record(*contenders: dict[str, Any]) -> dict[str, Any]:
    how = {"rounds": 3, "seconds": 6.0, "connections": 16, "images": 10, "mean_bytes": 2048}
    limits = [{"rate": 100.0}, {"rate": 50.0}, {"rate": 10.0}]
    return {
        "machine": "2 CPUs (of a test)",
        "date": "2026-01-02",
        "how": how,
        "limits": {"default": limits, "same": limits},
        "contenders": list(contenders),
    }


ALL = record(
    contender(OURS, "default", found(90), found(45), found(9)),
    contender(OURS, "same", found(50), found(20), found(4)),
    contender("mosec", "same", found(25), found(20), found(4)),
    contender("ray", "same", FAILED, FAILED, FAILED),
    contender("mosec", "ordinary", found(18), found(15), found(1)),
    contender("litserve", "ordinary", found(16), found(16, errors=7), found(16)),
)


def test_a_ratio_is_the_median_of_ratios_within_rounds_not_a_ratio_of_medians() -> None:
    assert ratio([found(90), found(45), found(8)], [found(100), found(50), found(16)]) == 0.9
    assert ratio([found(1), found(2), found(30)], [found(10), found(1), found(10)]) == 2  # of medians it would be 0.2


def test_a_round_that_lacks_either_has_no_ratio() -> None:
    assert ratio([FAILED, found(3), found(8)], [found(1), found(1), FAILED]) == 3
    assert ratio([found(1)], []) is None
    assert ratio([FAILED], [found(1)]) is None


def test_rows_are_by_work_and_then_the_fastest_first() -> None:
    assert [(row.work, row.name) for row in rows(ALL)] == [
        ("default", OURS),
        ("same", OURS),
        ("same", "mosec"),
        ("same", "ray"),
        ("ordinary", "litserve"),
        ("ordinary", "mosec"),
    ]


def test_a_failure_is_shown_and_the_other_rows_are_kept() -> None:
    ray, litserve = (next(row for row in rows(ALL) if row.name == name) for name in ("ray", "litserve"))
    assert (ray.rate, ray.ratio, ray.problem) == (None, None, "pip found no such version")
    assert (litserve.rate, litserve.problem) == (16, "7 requests failed")
    assert "| Ray Serve (pip found no such version) | - | - | - | - | - | - | - |" in markdown(ALL)


def test_what_it_is_measured_for() -> None:
    assert [value for _, value in comparisons(ALL)] == [0.9, 0.4, 1.0, 45 / 16]
    assert "mosec" in comparisons(ALL)[2][0]
    assert "LitServe" in comparisons(ALL)[3][0]


def test_figures_that_were_not_measured_are_left_out() -> None:
    alone = record(contender(OURS, "default", found(90), found(45), found(9)))
    assert [value for _, value in comparisons(alone)] == [0.9]


def test_the_table_has_figures_command_machine_and_date() -> None:
    text = markdown(ALL)
    assert "limit in one process: 50 images/s" in text
    assert "| xray-inference | 45 | 0.90 | 2 | 3 | 4.0 | 5 | 1.0 |" in text
    assert all(part in text for part in ("`make bench`", "2 CPUs (of a test)", "2026-01-02"))


texts = st.text(st.characters(exclude_characters="<"))


@given(texts, texts, texts, texts)
def test_only_the_text_between_the_markers_is_replaced(before: str, after: str, old: str, new: str) -> None:
    document = f"{before}{BEGIN}{old}{END}{after}"
    changed = replace_between_markers(document, new)
    assert changed == f"{before}{BEGIN}\n\n{new}\n\n{END}{after}"
    assert replace_between_markers(changed, new) == changed


@pytest.mark.parametrize("document", ["", BEGIN, END, END + BEGIN, BEGIN + BEGIN + END, BEGIN + END + END])
def test_a_document_without_its_markers_is_refused(document: str) -> None:
    with pytest.raises(ValueError, match="must occur once each"):
        replace_between_markers(document, "text")


def test_the_page_has_its_markers_and_its_plot() -> None:
    page = ROOT / PAGE
    assert "a new table" in replace_between_markers(page.read_text(), "a new table")
    assert f"]({PLOT})" in page.read_text()
    assert (page.parent / PLOT).exists()


def test_the_plot_is_the_same_for_the_same_record(tmp_path: Path) -> None:
    for name in ("one", "two"):
        draw(ALL, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    svg = (tmp_path / "one").read_text()
    assert "LitServe" in svg
    assert "Ray Serve" not in svg  # it has no rate
