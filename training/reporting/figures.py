"""The figures of a report as self-contained SVG; equal data gives identical files."""

import io
from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from contract.calibration import Bin
from training.evaluation.out_of_distribution import GroupResults
from training.evaluation.stress import StressTable
from training.reporting.bands import Curve
from training.reporting.schema import Report

# Blue and orange of Okabe & Ito's palette, which are distinguishable with all common kinds of colour vision.
BLUE, ORANGE, GREY = "#0072b2", "#d55e00", "#777777"


def curves_figure(report: Report) -> str:
    """ROC and precision-recall curves with their bands; markers show the operating points."""
    figure = Figure(figsize=(9.5, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    _curve(left, report.roc)
    _curve(right, report.precision_recall)
    for number, (name, point) in enumerate(report.points.items()):
        found, cleared = point.sensitivity.value, point.specificity.value
        called = point.confusion["true_positive"] + point.confusion["false_positive"]
        style = {"marker": "osD^v"[number % 5], "color": ORANGE, "linestyle": "", "label": name, "zorder": 3}
        left.plot(1 - cleared, found, **style)
        if called:
            right.plot(found, point.confusion["true_positive"] / called, **style)
    left.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="by chance")
    share = report.held_out.pneumonia_images / report.held_out.images
    right.axhline(share, color=GREY, linestyle=":", label="by chance")
    left.set(title=f"ROC, area {report.held_out.auc.value:.3f}", xlabel="1 - specificity", ylabel="sensitivity")
    right.set(
        title="Precision-recall", xlabel="recall (sensitivity)", ylabel=f"precision (PPV at {share:.0%} PNEUMONIA)"
    )
    for axes in (left, right):
        axes.legend(loc="lower center")
    return _svg(figure)


def reliability_figure(report: Report) -> str:
    """Fraction of PNEUMONIA by predicted probability, and the number of images in each bin."""
    figure = Figure(figsize=(5.6, 5.2), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=GREY, linestyle=":", label="perfect")
    stages = [("as served", BLUE, "o-", report.calibrated)]
    if report.uncalibrated:
        stages.append(("before calibration", ORANGE, "s--", report.uncalibrated))
    for name, colour, style, stage in stages:
        _reliability(upper, name, colour, style, stage.bins)
        lower.step(*_counts(stage.bins), where="mid", color=colour)
    upper.set(ylabel="fraction of PNEUMONIA", title="Reliability")
    upper.legend()
    lower.set(xlabel="predicted probability", ylabel="images", yscale="log")
    return _svg(figure)


def stress_figure(stress: StressTable) -> str:
    """AUC with its interval under each shift. The guard's shifts are left out: they would compress the scale."""
    rows = [row for row in (stress.unshifted, *stress.shifts) if row.kind != "guard"][::-1]
    figure = Figure(figsize=(8.5, 0.22 * len(rows) + 1), layout="constrained")
    axes = figure.subplots()
    colours = {"realistic": BLUE, "swapped": ORANGE}
    for place, row in enumerate(rows):
        colour = colours[row.kind]
        axes.plot([row.auc.low, row.auc.high], [place, place], color=colour)
        axes.plot(row.auc.value, place, "o", color=colour)
    axes.set_yticks(range(len(rows)), [row.shift for row in rows])
    axes.axvline(stress.unshifted.auc.value, color=GREY, linestyle=":")
    axes.set(
        xlabel="AUC (95 % interval)",
        title="Blue: realistic shifts; orange: appearance of the other class",
        ylim=(-0.7, len(rows) - 0.3),
    )
    return _svg(figure)


def guard_figure(groups: Sequence[GroupResults], threshold: float) -> str:
    """The guard's score of every image, by group; the guard warns to the right of the line."""
    figure = Figure(figsize=(8.5, 0.5 * len(groups) + 1.2), layout="constrained")
    axes = figure.subplots()
    rng = np.random.default_rng(0)
    for place, group in enumerate(groups[::-1]):
        scores = np.array(group.scores)
        height = place + rng.uniform(-0.3, 0.3, len(scores))
        shown = np.where(np.isfinite(scores), scores, np.nan)
        axes.plot(shown, height, ".", color=BLUE, alpha=0.5, markersize=4)
    axes.axvline(threshold, color=ORANGE, label=f"threshold {threshold:.3g}")
    axes.set_yticks(range(len(groups)), [group.kind for group in groups[::-1]])
    axes.set(xscale="log", xlabel="distance from the training images", title="Input guard, one dot per image")
    axes.legend(loc="lower right")
    return _svg(figure)


def guard_histogram(groups: Sequence[GroupResults], threshold: float) -> str:
    """Histogram of the guard's scores: the first group (held-out radiographs) and all other groups together."""
    figure = Figure(figsize=(8.5, 3), layout="constrained")
    axes = figure.subplots()
    held_out, rest = (
        np.array(groups[0].scores),
        np.array([score for group in groups[1:] for score in group.scores]),
    )
    together = np.concatenate([held_out, rest])
    shown = together[np.isfinite(together) & (together > 0)]
    edges = np.geomspace(float(shown.min()), float(shown.max()), 50).tolist()
    for scores, name, colour in ((held_out, groups[0].kind, BLUE), (rest, "all other images", ORANGE)):
        axes.hist(np.clip(scores, edges[0], edges[-1]), edges, alpha=0.6, color=colour, label=name)
    axes.axvline(threshold, color="black", label="threshold")
    axes.set(xscale="log", xlabel="distance from the training images", ylabel="images")
    axes.legend()
    return _svg(figure)


def _curve(axes: Axes, curve: Curve) -> None:
    axes.fill_between(curve.x, curve.low, curve.high, color=BLUE, alpha=0.2, linewidth=0, label="95 % band, by patient")
    axes.plot(curve.x, curve.y, color=BLUE)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")


def _reliability(axes: Axes, name: str, colour: str, style: str, bins: Sequence[Bin]) -> None:
    x, y = [found.probability for found in bins], [found.pneumonia for found in bins]
    axes.plot(x, y, style, color=colour, label=name)


def _counts(bins: Sequence[Bin]) -> tuple[list[float], list[int]]:
    return [found.probability for found in bins], [found.images for found in bins]


def _svg(figure: Figure) -> str:
    """A figure as SVG, reproducible: without the date, and with fixed element ids."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "report", "font.size": 9}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()
