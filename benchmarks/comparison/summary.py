"""Summarises a record of ``bench.py``: medians, ratios within a round, tables, the section of docs/performance.md.

In a record, ``limits`` has the results of each round for each kind of work; ``contenders`` has the name, the work and
the results of each round for each contender. A round that failed is ``{"failed": reason}``.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.table import Table

from benchmarks.comparison.contenders import DEFAULT, ORDINARY, OURS, SAME, TITLES, WORKS, Work

Record = dict[str, Any]
BEGIN, END = "<!-- peers: make bench writes from here -->", "<!-- peers: to here -->"
PAGE, PLOT = "docs/performance.md", "images/peers.svg"  # the plot relative to the page
HEADINGS = ("server", "images/s", "of the limit", "p50 ms", "p99 ms", "alone ms", "memory MiB", "start s")


@dataclass(frozen=True, slots=True)
class Row:
    """One contender; each figure is the median of its rounds, None if no round has it.

    Attributes:
        ratio: its rate over that of the limit for the same work in the same round.
        problem: why there are no figures, or how many requests failed; else empty.
    """

    name: str
    work: str
    rate: float | None
    ratio: float | None
    p50_ms: float | None
    p99_ms: float | None
    alone_ms: float | None
    memory_mib: float | None
    start_s: float | None
    problem: str

    def cells(self) -> list[str]:
        """The cells of a table with ``HEADINGS``."""
        figures = [
            _formatted(self.rate, ".0f"),
            _formatted(self.ratio, ".2f"),
            *(_formatted(value, ".0f") for value in (self.p50_ms, self.p99_ms)),
            _formatted(self.alone_ms, ".1f"),
            _formatted(self.memory_mib, ".0f"),
            _formatted(self.start_s, ".1f"),
        ]
        title = TITLES[self.name]
        return [f"{title} ({self.problem})" if self.problem else title, *figures]


def rows(record: Record) -> list[Row]:
    """A row for each contender: grouped by work, the fastest first."""
    found = [_row(contender, record["limits"].get(contender["work"], [])) for contender in record["contenders"]]
    order = list(WORKS)
    return sorted(found, key=lambda row: (order.index(row.work), -(row.rate or 0)))


def _row(contender: Record, limits: Sequence[Record]) -> Row:
    rounds = contender["rounds"]
    good = [found for found in rounds if "failed" not in found]

    def median(name: str) -> float | None:
        return middle(found[name] for found in good)

    return Row(
        contender["name"],
        contender["work"],
        median("rate"),
        ratio(rounds, limits),
        median("p50_ms"),
        median("p99_ms"),
        median("alone_ms"),
        median("memory_mib"),
        median("start_s"),
        _problem(rounds),
    )


def _problem(rounds: Sequence[Record]) -> str:
    for found in rounds:
        if "failed" in found:
            return str(found["failed"])
    errors = sum(sum(found["errors"].values()) for found in rounds)
    return f"{errors} requests failed" if errors else ""


def middle(values: Iterable[float]) -> float | None:
    """The median; None if there are no values."""
    found = list(values)
    return statistics.median(found) if found else None


def ratio(one: Sequence[Record], other: Sequence[Record]) -> float | None:
    """The median over the rounds of the ratio of the two rates in a round; None if no round has both."""
    pairs = zip(one, other, strict=False)  # an interrupted measurement has fewer rounds
    return middle(a["rate"] / b["rate"] for a, b in pairs if "failed" not in a and "failed" not in b)


def comparisons(record: Record) -> list[tuple[str, float]]:
    """The ratios that the benchmark is for: description and value, without those that were not measured."""
    found: list[tuple[str, float]] = []

    def add(description: str, value: float | None) -> None:
        if value is not None:
            found.append((description, value))

    ours = {work.name: _rounds(record, OURS, work) for work in (DEFAULT, SAME)}
    for work in (DEFAULT, SAME):
        add(f"ours over its limit ({work.short})", ratio(ours[work.name], record["limits"].get(work.name, [])))
    for mine, theirs in ((SAME, SAME), (DEFAULT, ORDINARY)):
        if best := _best_peer(record, theirs):
            description = f"ours ({mine.short}) over the fastest peer, {TITLES[best]} ({theirs.short})"
            add(description, ratio(ours[mine.name], _rounds(record, best, theirs)))
    return found


def _rounds(record: Record, name: str, work: Work) -> list[Record]:
    for contender in record["contenders"]:
        if (contender["name"], contender["work"]) == (name, work.name):
            return list(contender["rounds"])
    return []


def _best_peer(record: Record, work: Work) -> str | None:
    peers = [row for row in rows(record) if row.work == work.name and row.name != OURS and row.rate is not None]
    return peers[0].name if peers else None


def tables(record: Record) -> list[Table]:
    """The tables for a terminal."""
    found = []
    for title, group in _by_work(record):
        table = Table(*HEADINGS, title=title, title_justify="left")
        for row in group:
            table.add_row(*row.cells())
        found.append(table)
    return found


def markdown(record: Record) -> str:
    """The section of docs/performance.md: tables, ratios, plot and conditions."""
    lines: list[str] = []
    ruler = "| --- |" + " ---: |" * (len(HEADINGS) - 1)
    for title, group in _by_work(record):
        lines += [f"**{title}**", "", f"| {' | '.join(HEADINGS)} |", ruler]
        lines += [f"| {' | '.join(row.cells())} |" for row in group]
        lines.append("")
    lines += [f"- {description}: {value:.2f}" for description, value in comparisons(record)]
    return "\n".join([*lines, "", f"![Images per second of each server]({PLOT})", "", conditions(record)])


def conditions(record: Record) -> str:
    """How, where and when the record was measured."""
    how = record["how"]
    return (
        f"Measured by `make bench` on {record['machine']}, {record['date']}: medians of {how['rounds']} rounds of "
        f"{how['seconds']:g} s with {how['connections']} connections over {how['images']} JPEGs "
        f"of {how['mean_bytes'] / 1024:.0f} KiB on average. Memory is the proportional set size of all its processes "
        "after that, start the time until the first image was answered."
    )


def _by_work(record: Record) -> Iterator[tuple[str, list[Row]]]:
    """Title and rows for each kind of work."""
    for work, group in groupby(rows(record), key=lambda row: row.work):
        yield (
            f"{WORKS[work].title}; limit in one process: {_formatted(limit_rate(record, work), '.0f')} images/s",
            list(group),
        )


def limit_rate(record: Record, work: str) -> float | None:
    """The limit in images per second: the median of the rounds."""
    return middle(found["rate"] for found in record["limits"].get(work, []) if "failed" not in found)


def _formatted(value: float | None, kind: str) -> str:
    return "-" if value is None else format(value, kind)


def replace_between_markers(document: str, text: str) -> str:
    """The document with this text between the markers ``BEGIN`` and ``END``.

    Raises:
        ValueError: it does not have each marker exactly once, in this order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"{BEGIN!r} and {END!r} must occur once each, in this order")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
