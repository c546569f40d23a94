"""From what was measured to what is shown: medians, ratios within a round, tables, the part of docs/performance.md.

A record is what ``bench.py`` stores: ``limits`` has, for each kind of work, what each round found; ``contenders`` has
for each its name, its work and what each round found, where ``{"failed": why}`` stands for nothing.
"""

import statistics
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from rich.table import Table

from benchmarks.contenders import DEFAULT, ORDINARY, OURS, SAME, TITLES, WORKS, Work

Record = dict[str, Any]
BEGIN, END = "<!-- peers: make bench writes from here -->", "<!-- peers: to here -->"
PAGE, PLOT = "docs/performance.md", "images/peers.svg"  # the plot relative to the page
HEADINGS = ("server", "images/s", "of the limit", "p50 ms", "p99 ms", "alone ms", "memory MiB", "start s")


@dataclass(frozen=True, slots=True)
class Row:
    """One contender; each figure is the median of its rounds, None where there is none.

    Attributes:
        ratio: its rate over that of the limit for the same work in the same round.
        problem: why there are no figures, or what was wrong with them; else empty.
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
        """As they stand in a table under ``HEADINGS``."""
        figures = [
            _shown(self.rate, ".0f"),
            _shown(self.ratio, ".2f"),
            *(_shown(value, ".0f") for value in (self.p50_ms, self.p99_ms)),
            _shown(self.alone_ms, ".1f"),
            _shown(self.memory_mib, ".0f"),
            _shown(self.start_s, ".1f"),
        ]
        title = TITLES[self.name]
        return [f"{title} ({self.problem})" if self.problem else title, *figures]


def rows(record: Record) -> list[Row]:
    """A row for each contender: by work, the fastest first."""
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
    """The median; None of nothing."""
    found = list(values)
    return statistics.median(found) if found else None


def ratio(one: Sequence[Record], other: Sequence[Record]) -> float | None:
    """The median over the rounds of one rate over the other of the same round; None where no round has both."""
    pairs = zip(one, other, strict=False)  # one that was cut short has fewer rounds
    return middle(a["rate"] / b["rate"] for a, b in pairs if "failed" not in a and "failed" not in b)


def comparisons(record: Record) -> list[tuple[str, float]]:
    """What the measurement was made for, in words, and how much it is; without what was not measured."""
    found: list[tuple[str, float]] = []

    def add(told: str, value: float | None) -> None:
        if value is not None:
            found.append((told, value))

    ours = {work.name: _rounds(record, OURS, work) for work in (DEFAULT, SAME)}
    for work in (DEFAULT, SAME):
        add(f"ours over its limit ({work.short})", ratio(ours[work.name], record["limits"].get(work.name, [])))
    for mine, theirs in ((SAME, SAME), (DEFAULT, ORDINARY)):
        if best := _best_peer(record, theirs):
            told = f"ours ({mine.short}) over the fastest peer, {TITLES[best]} ({theirs.short})"
            add(told, ratio(ours[mine.name], _rounds(record, best, theirs)))
    return found


def _rounds(record: Record, name: str, work: Work) -> list[Record]:
    for contender in record["contenders"]:
        if (contender["name"], contender["work"]) == (name, work.name):
            return list(contender["rounds"])
    return []


def _best_peer(record: Record, work: Work) -> str | None:
    there = [row for row in rows(record) if row.work == work.name and row.name != OURS and row.rate is not None]
    return there[0].name if there else None


def screen(record: Record) -> list[Table]:
    """The tables for a terminal."""
    tables = []
    for title, there in _by_work(record):
        table = Table(*HEADINGS, title=title, title_justify="left")
        for row in there:
            table.add_row(*row.cells())
        tables.append(table)
    return tables


def markdown(record: Record) -> str:
    """The tables, what they mean, and how, where and when they were measured."""
    lines: list[str] = []
    ruler = "| --- |" + " ---: |" * (len(HEADINGS) - 1)
    for title, there in _by_work(record):
        lines += [f"**{title}**", "", f"| {' | '.join(HEADINGS)} |", ruler]
        lines += [f"| {' | '.join(row.cells())} |" for row in there]
        lines.append("")
    lines += [f"- {told}: {value:.2f}" for told, value in comparisons(record)]
    return "\n".join([*lines, "", f"![Images per second of each server]({PLOT})", "", measured(record)])


def measured(record: Record) -> str:
    """How, where and when."""
    how = record["how"]
    return (
        f"Measured by `make bench` on {record['machine']}, {record['date']}: medians of {how['rounds']} rounds of "
        f"{how['seconds']:g} s with {how['connections']} connections over {how['images']} JPEGs "
        f"of {how['mean_bytes'] / 1024:.0f} KiB on average. Memory is the proportional set size of all its processes "
        "after that, start the time until the first image was answered."
    )


def _by_work(record: Record) -> Iterator[tuple[str, list[Row]]]:
    """A title and its rows, for each kind of work."""
    for work, there in groupby(rows(record), key=lambda row: row.work):
        yield (
            f"{WORKS[work].told}; limit in one process: {_shown(limit_rate(record, work), '.0f')} images/s",
            list(there),
        )


def limit_rate(record: Record, work: str) -> float | None:
    """Images a second of the limit: the median of the rounds."""
    return middle(found["rate"] for found in record["limits"].get(work, []) if "failed" not in found)


def _shown(value: float | None, kind: str) -> str:
    return "-" if value is None else format(value, kind)


def replaced(document: str, text: str) -> str:
    """A document with this text between its two markers.

    Raises:
        ValueError: it does not have each marker once, in order.
    """
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end) or BEGIN in rest or END in before + after:
        raise ValueError(f"{BEGIN!r} and {END!r} must stand there once each, in this order")
    return f"{before}{BEGIN}\n\n{text}\n\n{END}{after}"
