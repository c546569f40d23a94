"""The tables and sentences of a report in Markdown; the model card uses it as is, the page renders it to HTML."""

from collections.abc import Iterable, Sequence
from itertools import groupby

from contract.bundle import Measured
from contract.io.report import interval
from training.evaluation.agreement import Agreement
from training.evaluation.controls import Control
from training.evaluation.evaluate import Results
from training.evaluation.int8 import Int8Check
from training.evaluation.out_of_distribution import GroupResults
from training.evaluation.populations import PopulationFigures
from training.evaluation.stress import Shifted, StressTable
from training.reporting.schema import PointFigures, PredictiveValues, Report


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def results_table(results: Results) -> str:
    """All figures of one set of images."""
    images = f"{results.images} images ({results.pneumonia_images} PNEUMONIA)"
    figures = [(name, interval(getattr(results, name))) for name in ("accuracy", "sensitivity", "specificity")]
    rows = [
        ("AUC", interval(results.auc)),
        *figures,
        ("Brier score", f"{results.brier:.4f}"),
        ("expected calibration error", f"{results.expected_calibration_error:.4f}"),
    ]
    counted = f"Counts at the threshold {results.threshold:g}: {_counts(results.confusion)}."
    head = f"On {images} of {results.patients} {results.measured_on}:"
    return "\n".join((head, "", table(("figure", "value (95 % interval)"), rows), counted, ""))


def points_table(report: Report) -> str:
    """Every operating point on the held-out images."""
    rows = [
        (
            f"`{name}`{' (default)' if name == report.model.default_operating_point else ''}",
            f"{point.threshold:g}",
            interval(point.sensitivity),
            interval(point.specificity),
            *(str(point.confusion[count]) for count in _COUNTS),
        )
        for name, point in report.points.items()
    ]
    return table(("operating point", "threshold", "sensitivity", "specificity", *_COUNTS.values()), rows)


def predictive_table(points: dict[str, PointFigures]) -> str:
    """PPV and NPV at several prevalences of PNEUMONIA."""

    def row(name: str, values: PredictiveValues) -> tuple[str, ...]:
        return f"`{name}`", f"{values.prevalence * 100:.0f} %", interval(values.positive), interval(values.negative)

    rows = [row(name, values) for name, point in points.items() for values in point.predictive_values]
    return table(("operating point", "prevalence of PNEUMONIA", "PPV", "NPV"), rows)


def calibration_table(report: Report) -> str:
    """Expected calibration error and Brier score, before and after calibration."""
    stages = {"before calibration": report.uncalibrated, "after calibration": report.calibrated}
    if report.uncalibrated is None:
        stages = {"not calibrated": report.calibrated}
    rows = [
        (name, f"{stage.error.expected_calibration_error:.4f}", f"{stage.error.brier:.4f}")
        for name, stage in stages.items()
        if stage
    ]
    return table(("probabilities", "expected calibration error", "Brier score"), rows)


def stress_summary(stress: StressTable) -> str:
    """The stress suite in a paragraph."""
    return (
        f"Over {sum(row.kind == 'realistic' for row in stress.shifts)} realistic acquisition shifts the AUC is "
        f"{stress.mean_auc:.3f} on average and {stress.worst_auc:.3f} at worst ({stress.worst_shift}); the balanced "
        f"accuracy at the threshold {stress.threshold:g} is {stress.mean_balanced_accuracy:.3f} on average and "
        f"{stress.worst_balanced_accuracy:.3f} at worst. Measured on {stress.images} images of {stress.patients} "
        f"{stress.measured_on}.\n"
    )


def stress_table(stress: StressTable) -> str:
    """The figures under every shift, in the order of the suite."""

    def row(shifted: Shifted, kind: str) -> tuple[str, ...]:
        figures = (shifted.auc, shifted.sensitivity, shifted.specificity)
        return shifted.shift, kind, *(interval(figure) for figure in figures)

    rows = [row(stress.unshifted, ""), *(row(shifted, _KINDS[shifted.kind]) for shifted in stress.shifts)]
    return table(("shift", "kind", "AUC", "sensitivity", "specificity"), rows)


def populations_text(populations: Iterable[PopulationFigures]) -> str:
    """The figures in each population, in the groups within it, and under other conditions."""
    return "\n".join(_population(figures) for figures in populations)


def _population(figures: PopulationFigures) -> str:
    known, unknown = figures.known, figures.unknown
    rows = [
        (
            title,
            f"{found.threshold:g}",
            *(interval(getattr(found, name)) for name in ("accuracy", "sensitivity", "specificity")),
            f"{(found.sensitivity.value + found.specificity.value) / 2:.3f}",
            f"{found.expected_calibration_error:.4f}",
        )
        for title, found in (("not known", unknown), (f"`{figures.name}`", known))
    ]
    head = ("population given", "threshold", "accuracy", "sensitivity", "specificity", "balanced", "ECE")
    flagged = f" The input guard flags {interval(figures.flagged)} of them." if figures.flagged else ""
    opening = (
        f"**`{figures.name}`**: {figures.description}. AUC {interval(known.auc)} on {known.images} images "
        f"({known.pneumonia_images} PNEUMONIA) of {known.patients} {known.measured_on}.{flagged}\n"
    )
    parts = (table(head, rows), _groups_within(figures), stress_summary(figures.stress), evidence_sentence(figures))
    return "\n".join((opening, *parts, controls_table(figures.probes)))


def evidence_sentence(figures: PopulationFigures) -> str:
    """Where the heatmaps lie."""
    found = figures.evidence
    if found.inside is None or found.peak_inside is None:
        return "No heatmap shows any evidence.\n"
    side = (
        f"Of pictures that are half a PNEUMONIA and half a NORMAL image, {interval(found.ill_side)} have more "
        "evidence in the half of PNEUMONIA (not all of these halves show the disease). "
        if found.ill_side
        else ""
    )
    return (
        f"Heatmaps of {found.images} PNEUMONIA images that show any evidence: {interval(found.inside)} of it lies in "
        f"the lungs, which are {found.lung_area:.2f} of the picture; the strongest place touches them in "
        f"{interval(found.peak_inside)}. (Lungs are where most healthy training images of this population have them, "
        f"which overlaps with single images' own by {found.lung_overlap:.2f}, Dice, in the mean.) {side}When the "
        f"picture moves by one place of the heatmap, probabilities change by {found.moved_probability:.3f} in the "
        f"mean, and heatmaps agree with a correlation of {found.moved_heatmap:.2f}.\n"
    )


def _groups_within(figures: PopulationFigures) -> str:
    rows = [
        (f"{group.kind} {group.name}", str(group.images), str(group.pneumonia), *(_if_any(each) for each in measured))
        for group in figures.groups
        for measured in [(group.auc, group.sensitivity, group.specificity)]
    ]
    return table(("group", "images", "PNEUMONIA", "AUC", "sensitivity", "specificity"), rows)


def _if_any(measured: Measured | None) -> str:
    return "" if measured is None else interval(measured)


def controls_table(controls: Iterable[Control]) -> str:
    """The AUCs of controls or probes: one table for each set of images."""
    parts = []
    for measured_on, same_images in groupby(controls, lambda control: control.measured_on):
        rows = [(control.sees, interval(control.auc)) for control in same_images]
        parts.append(f"On {measured_on}:\n\n{table(('visible', 'AUC'), rows)}")
    return "\n".join(parts)


def groups_table(groups: Iterable[GroupResults]) -> str:
    """How images of each kind are classified and flagged."""
    rows = [
        (
            group.kind,
            str(group.images),
            interval(group.called_pneumonia),
            interval(group.flagged) if group.flagged else "no input guard",
        )
        for group in groups
    ]
    return table(("images", "number", "called PNEUMONIA", "flagged by the input guard"), rows)


def int8_sentence(found: Int8Check, cpu_graph: str) -> str:
    """What the int8 graph changes, and which graph runs where."""
    flagged = f" The guard flags {interval(found.flagged_by_guard)} of them on int8." if found.flagged_by_guard else ""
    return (
        f"All other figures are those of the float32 graph. On {found.images} images of {found.measured_on} the AUC is "
        f"{found.auc_float32:.4f} in float32 and {found.auc_int8:.4f} in int8; probabilities differ by "
        f"{found.mean_difference:.4f} on average and {found.largest_difference:.3f} at most; "
        f"{found.decisions_changed:.1%} of decisions change.{flagged} A CPU runs `{cpu_graph}` unless `XRAY_PRECISION` "
        "says otherwise; CUDA always runs float32.\n"
    )


def agreement_sentence(found: Agreement) -> str:
    """Originals against copies, in a sentence."""
    return (
        f"On {found.measured_on}, the probabilities differ by {found.mean_difference:.4f} on average and "
        f"{found.largest_difference:.3f} at most; {found.decisions_changed} decisions change "
        f"({found.share_changed * 100:.1f} %).\n"
    )


def elsewhere_sentence(results: Results) -> str:
    """The results on another population, and what they mean for using the model there."""
    if results.auc.low > 0.5 and results.auc.value >= 0.9:
        meaning = "The model separates the classes in this sample too; measure it again for any other population."
    elif results.auc.low > 0.5:
        meaning = (
            "The model is much less reliable on this sample, or the sample's labels are. Do not use it on such images "
            "unless it has proved itself on your own."
        )
    elif results.auc.high < 0.5:
        meaning = "That is worse than chance. The model must not be used on this population."
    else:
        meaning = "That is not distinguishable from chance. The model must not be used on this population."
    return f"AUC {interval(results.auc)} on {results.images} images of {results.measured_on}. {meaning}\n"


_KINDS = {"realistic": "realistic", "swapped": "swapped appearance", "guard": "for the guard"}
_COUNTS = {"true_positive": "TP", "false_negative": "FN", "true_negative": "TN", "false_positive": "FP"}


def _counts(confusion: dict[str, int]) -> str:
    return ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in confusion.items())
