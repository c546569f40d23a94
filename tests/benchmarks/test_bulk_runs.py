"""What of a run is measured."""

from collections.abc import Iterable

import pytest

from benchmarks.measuring.bulk_runs import Cpu, Marks
from service.bulk.part import PartCounts


def measured(taken: Iterable[Cpu], parts: int, workers: int = 2) -> Marks:
    """The marks of a run whose parts have 1, 2, 3, ... rows."""
    found = iter(taken)
    marks = Marks(workers, parts, lambda: next(found))
    for number in range(parts):
        marks.done(PartCounts(number, number + 1, {}))
    return marks


def test_neither_the_first_half_of_the_parts_nor_the_last_two_a_worker_count() -> None:
    figures = measured([Cpu({1: 5.0, 2: 5.0}, 7.0), Cpu({1: 5.1, 2: 5.1}, 7.03)], parts=13).figures()
    rows = 8 + 9  # of the parts 8 and 9: with the seventh, half of 13 are done, and four are the end
    assert figures.cpu_ms == pytest.approx(200 / rows)
    assert figures.beside_cpu_ms == pytest.approx(30 / rows)
    assert figures.images_s > 0


def test_each_worker_has_the_same_number_of_parts() -> None:
    figures = measured([Cpu({1: 0.0, 2: 0.0}), Cpu({1: 0.1, 2: 0.1})], parts=14).figures()
    assert figures.cpu_ms == pytest.approx(200 / (9 + 10))  # three are in between, and the last two of them count


@pytest.mark.parametrize("after", [{1: 0.2}, {1: 0.2, 2: 0.01}])
def test_a_run_in_which_a_worker_was_not_at_work_has_no_figures(after: dict[int, float]) -> None:
    marks = measured([Cpu({1: 0.0}), Cpu(after)], parts=13)
    with pytest.raises(SystemExit, match="not all workers"):
        marks.figures()


def test_too_few_parts_are_refused() -> None:
    with pytest.raises(SystemExit, match="too few"):
        Marks(2, 9, lambda: Cpu({}))
