"""The plot of a record: a bar for each contender, a line for each limit."""

from pathlib import Path

from benchmarks.comparison.contenders import OURS, TITLES, WORKS
from benchmarks.comparison.summary import Record, conditions, limit_rate, rows

_COLOURS = {"default": "#1b7f5c", "same": "#3a6ea5", "ordinary": "#9a9a9a"}


def draw(record: Record, path: Path) -> None:
    """Write the plot as SVG; the same record gives the same bytes.

    Args:
        record: from ``bench.py``.
        path: of the SVG file.
    """
    import matplotlib as mpl  # imported late: heavy, and not needed for measuring

    mpl.use("svg")
    from matplotlib import pyplot

    bars = [row for row in reversed(rows(record)) if row.rate is not None]
    with mpl.rc_context({"svg.hashsalt": "peers", "svg.fonttype": "none", "font.size": 9}):
        figure, axes = pyplot.subplots(figsize=(8, 1.8 + 0.27 * len(bars)), layout="constrained")
        for name, work in WORKS.items():
            places = [place for place, row in enumerate(bars) if row.work == name]
            drawn = axes.barh(places, [bars[place].rate for place in places], color=_COLOURS[name], label=work.title)
            axes.bar_label(drawn, fmt=" %.0f")
            for place, bar in zip(places, drawn, strict=True):
                bar.set_hatch("//" if bars[place].name == OURS else None)
            if places and (limit := limit_rate(record, name)):
                axes.vlines(limit, places[0] - 0.5, places[-1] + 0.5, _COLOURS[name], linestyles="--")
        axes.set_yticks(range(len(bars)), [TITLES[row.name] for row in bars])
        axes.set_xlabel("images per second; ours hatched; dashed: the limit in one process")
        axes.spines[["top", "right"]].set_visible(False)
        axes.margins(x=0.08, y=0.02)
        figure.legend(loc="outside upper center", frameon=False)
        figure.supxlabel(conditions(record).partition(": ")[0].replace("`", ""), fontsize=7)
        figure.savefig(path, format="svg", metadata={"Date": None})
        pyplot.close(figure)
