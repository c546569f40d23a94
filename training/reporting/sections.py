"""The sections of a report in Markdown; the model card and the page have the same sections in the same order."""

from dataclasses import dataclass
from typing import Literal

from training.evaluation.metrics import RESAMPLES
from training.reporting.schema import Report
from training.reporting.tables import (
    agreement_sentence,
    calibration_table,
    controls_table,
    elsewhere_sentence,
    groups_table,
    int8_sentence,
    points_table,
    populations_text,
    predictive_table,
    results_table,
    stress_summary,
    stress_table,
)

Part = Literal[
    "results", "populations", "points", "calibration", "stress", "shortcuts", "int8", "agreement", "elsewhere", "groups"
]

NOT_A_DEVICE = (
    "**Not a medical device. Decision support and research only: a physician reads the radiograph and decides.**\n"
)
_INTERVALS = f"""\
Intervals are 95 %, from {RESAMPLES} resamples of patients with all their images. If every image is classified
correctly, or none, it is the Wilson interval for the number of patients. Intervals of PPV and NPV combine the ends of
those of sensitivity and specificity, which is conservative.
"""
_CONTROLS = """\
Classifiers that see too little to assess the lungs, trained on the same training images. An AUC well above 0.5 shows a
shortcut in the data that a network may learn. (A white lung may still affect a histogram, noise, patches or 8 x 8
pixels; borders hardly; files not at all.)
"""
_PROBES = """\
The model itself on held-out images in which the lungs cannot be seen, or only their inner parts. Where its AUC stays
above 0.5, it relies on something other than the texture of the lungs.
"""


_ORIGIN = """\
How well the population of an image can be predicted at equal label. A child is smaller than an adult, so this alone is
not a shortcut. If the probability predicts it among NORMAL images, adults are the harder task, or being an adult counts
as a sign of disease; among PNEUMONIA images it should not predict it.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One section: the part of the report, its title, and its text in Markdown."""

    part: Part
    title: str
    text: str


def sections(report: Report) -> list[Section]:
    """The sections that this report has data for."""
    parts = [
        _section("results", "Held-out images", results_table(report.held_out), _validation(report)),
        _section("points", "Operating points", points_table(report), predictive_table(report.points), _INTERVALS),
        _section("calibration", "Calibration", calibration_table(report)),
        _section("stress", "Under other conditions", stress_summary(report.stress), stress_table(report.stress)),
        _section("shortcuts", "Shortcuts in the data, and in the model", *_shortcuts(report)),
    ]
    if report.populations:
        parts.insert(1, _section("populations", "Each population", populations_text(report.populations)))
    if report.model.int8:
        parts.append(_section("int8", "float32 and int8", int8_sentence(report.model.int8, report.model.cpu_graph)))
    if report.agreement:
        parts.append(_section("agreement", "Originals against copies", agreement_sentence(report.agreement)))
    if report.elsewhere:
        parts.append(_section("elsewhere", "Another population", elsewhere_sentence(report.elsewhere)))
    return [*parts, _section("groups", "Other kinds of images", groups_table(report.groups))]


def _section(part: Part, title: str, *texts: str) -> Section:
    return Section(part, title, "\n".join(text for text in texts if text))


def _validation(report: Report) -> str:
    """The table of the validation part; a random split has it as its first table already."""
    return results_table(report.validation) if report.split.test else ""


def _shortcuts(report: Report) -> tuple[str, ...]:
    texts = (_CONTROLS, controls_table(report.controls), _PROBES, controls_table(report.probes))
    return (*texts, _ORIGIN, controls_table(report.origin)) if report.origin else texts
