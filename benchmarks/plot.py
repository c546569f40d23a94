"""The picture of a record: a bar for each contender, a line for each limit."""

from pathlib import Path

from benchmarks.contenders import OURS, TITLES, WORKS
from benchmarks.summary import Record, limit_rate, measured, rows

_COLOURS = {"default": "#1b7f5c", "same": "#3a6ea5", "ordinary": "#9a9a9a"}


def draw(record: Record, path: Path) -> None:
    """Write it, as SVG: the same for the same record.

    Args:
        record: of ``bench.py``.
        path: of the file.
    """
    import matplotlib as mpl  # heavy, and not needed to measure

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "peers", "svg.fonttype": "none", "font.size": 9})
    from matplotlib import pyplot

    bars = [row for row in reversed(rows(record)) if row.rate is not None]
    figure, axes = pyplot.subplots(figsize=(8, 1.4 + 0.27 * len(bars)), layout="constrained")
    for place, row in enumerate(bars):
        drawn = axes.barh(place, row.rate, color=_COLOURS[row.work], hatch="//" if row.name == OURS else None)
        axes.bar_label(drawn, fmt=" %.0f")
    axes.set_yticks(range(len(bars)), [TITLES[row.name] for row in bars])
    for work, told in WORKS.items():
        _legend(axes, record, work, told.told)
    axes.set_xlabel("images a second; ours hatched, the limit in one process dashed")
    axes.spines[["top", "right"]].set_visible(False)
    axes.margins(x=0.12)
    axes.legend(loc="lower right", frameon=False)
    figure.supxlabel(measured(record).partition(": ")[0], fontsize=7)
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _legend(axes: object, record: Record, work: str, told: str) -> None:
    """The colour of a kind of work, and its limit."""
    axes.barh(0, 0, color=_COLOURS[work], label=told)
    if (limit := limit_rate(record, work)) is not None:
        axes.axvline(limit, color=_COLOURS[work], linestyle="--", linewidth=1)
