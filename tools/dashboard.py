"""Draws the panels of the Grafana dashboard from a running Prometheus, to look at what a person would see.

    python -m tools.dashboard http://localhost:9090 dashboard.png [--minutes 5] [--interval 20s]

Grafana itself is not needed. Each query of each panel is asked as Grafana asks it, with ``$__rate_interval`` filled in.
A query that Prometheus rejects ends the program; a panel without data says so in its picture.
"""

import argparse
import json
import math
import sys
import textwrap
import time
import urllib.parse
import urllib.request
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

ROOT = Path(__file__).parents[1]
DASHBOARD = ROOT / "deploy" / "monitoring" / "grafana" / "dashboards" / "xray-inference.json"
STEPS = 120
COLUMNS = 3


def panels() -> list[dict[str, Any]]:
    """The panels of the dashboard that have queries, in their order."""
    found: list[dict[str, Any]] = json.loads(DASHBOARD.read_text())["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def ask(prometheus: str, call: str, **parameters: str) -> list[dict[str, Any]]:
    """The result of a query: a list of series or samples."""
    url = f"{prometheus}/api/v1/{call}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=30) as response:  # noqa: S310  the caller names it
        result: list[dict[str, Any]] = json.loads(response.read())["data"]["result"]
        return result


def legend(target: dict[str, Any], labels: dict[str, str]) -> str:
    """The name of a series, by the target's format: ``{{label}}`` is the label's value."""
    text: str = target.get("legendFormat") or ", ".join(f"{name}={value}" for name, value in labels.items())
    for name, value in labels.items():
        text = text.replace(f"{{{{{name}}}}}", value)
    return text


def draw(panel: dict[str, Any], axes: Any, prometheus: str, minutes: float, interval: str) -> int:
    """Draw one panel. Returns the number of its series that have a value."""
    unit = panel.get("fieldConfig", {}).get("defaults", {}).get("unit", "none")
    axes.set_title(f"{panel['title']}{'' if unit == 'none' else f' [{unit}]'}", fontsize=8)
    axes.tick_params(labelsize=6)
    kind = {"timeseries": _lines, "barchart": _bars}.get(panel["type"], _values)
    queries = [(target, target["expr"].replace("$__rate_interval", interval)) for target in panel["targets"]]
    count = kind(axes, prometheus, queries, minutes)
    if not count:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center")
    elif kind is not _values:
        axes.legend(fontsize=5)
    return count


def _lines(axes: Any, prometheus: str, queries: list[tuple[dict[str, Any], str]], minutes: float) -> int:
    count = 0
    for target, query in queries:
        for series in _range(prometheus, query, minutes):
            times = [datetime.fromtimestamp(float(when), UTC) for when, _ in series["values"]]
            values = [float(value) for _, value in series["values"]]
            axes.plot(times, values, label=legend(target, series["metric"]))
            count += any(math.isfinite(value) for value in values)
    return count


def _bars(axes: Any, prometheus: str, queries: list[tuple[dict[str, Any], str]], _: float) -> int:
    count = 0
    for at, (target, query) in enumerate(queries):
        samples = ask(prometheus, "query", query=query)
        heights = {sample["metric"].get("bin", ""): float(sample["value"][1]) for sample in samples}
        places = [index + at / (len(queries) + 1) for index in range(len(heights))]
        axes.bar(places, [heights[name] for name in sorted(heights)], 0.25, label=target.get("refId"))
        count += len(heights)
    return count


def _values(axes: Any, prometheus: str, queries: list[tuple[dict[str, Any], str]], _: float) -> int:
    found = [
        f"{legend(target, sample['metric'])}: {float(sample['value'][1]):.4g}"
        for target, query in queries
        for sample in ask(prometheus, "query", query=query)
    ]
    axes.set_axis_off()
    lines = [part for text in found for part in textwrap.wrap(text, 80)]
    axes.text(0, 0.95, "\n".join(lines), fontsize=6, va="top", transform=axes.transAxes)
    return len(found)


def _range(prometheus: str, query: str, minutes: float) -> list[dict[str, Any]]:
    end = time.time()
    step = f"{max(minutes * 60 / STEPS, 1):.0f}"
    return ask(prometheus, "query_range", query=query, start=f"{end - minutes * 60}", end=f"{end}", step=step)


def main() -> int:
    """Write the picture, and print how many series each panel has."""
    parser = argparse.ArgumentParser(description="Draws the panels of the dashboard from a running Prometheus.")
    parser.add_argument("prometheus")
    parser.add_argument("picture", type=Path)
    parser.add_argument("--minutes", type=float, default=5)
    parser.add_argument("--interval", default="20s", help="for $__rate_interval: four scrapes and more")
    given = parser.parse_args()
    rows = math.ceil(len(panels()) / COLUMNS)
    figure, grid = plt.subplots(rows, COLUMNS, figsize=(6 * COLUMNS, 3 * rows), layout="constrained")
    for panel, axes in zip(panels(), grid.flat, strict=False):
        count = draw(panel, axes, given.prometheus, given.minutes, given.interval)
        print(f"{count:3}  {panel['type']:10}  {panel['title']}")
    figure.savefig(given.picture, dpi=110)
    return 0


if __name__ == "__main__":
    sys.exit(main())
