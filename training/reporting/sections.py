"""What a report tells, part by part, in Markdown: the model card and the page hold the same parts in the same order."""

from dataclasses import dataclass
from typing import Literal

from training.evaluation.metrics import RESAMPLES
from training.reporting.record import Report
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
Intervals are 95 %: {RESAMPLES} resamples of patients, with all images of each. Where every image was called right, or
none, it is the Wilson interval on the number of patients. Those of PPV and NPV join the ends of sensitivity and
specificity, which is cautious.
"""
_CONTROLS = """\
Classifiers that are shown too little to read a lung, trained on the same training images. An AUC well over 0.5 is a
shortcut that lies in the data, and that a network may take. (In a histogram, in noise, in patches or in 8 x 8 pixels a
white lung may still show; in borders hardly, in files not at all.)
"""
_PROBES = """\
The model itself on held-out images spoiled so that lungs cannot be read, or only their inner parts: what
it still tells apart, it does not tell by their texture.
"""


_ORIGIN = """\
Which population an image is of, told from these at equal label. A child is smaller than an adult, so this is no
shortcut by itself. That the probability tells it among NORMAL images says that adults are the harder task, or that
being one counts as a sign of disease; among PNEUMONIA images it should not.
"""


@dataclass(frozen=True, slots=True)
class Section:
    """One part: which it is, its title, and its text in Markdown."""

    part: Part
    title: str
    text: str


def sections(report: Report) -> list[Section]:
    """The parts that this report has."""
    found = [
        _section("results", "Held-out images", results_table(report.held_out), _validation(report)),
        _section("points", "Operating points", points_table(report), predictive_table(report.points), _INTERVALS),
        _section("calibration", "Calibration", calibration_table(report)),
        _section("stress", "Under other conditions", stress_summary(report.stress), stress_table(report.stress)),
        _section("shortcuts", "Shortcuts in the data, and in the model", *_shortcuts(report)),
    ]
    if report.populations:
        found.insert(1, _section("populations", "Each population", populations_text(report.populations)))
    if report.model.int8:
        found.append(_section("int8", "float32 and int8", int8_sentence(report.model.int8, report.model.cpu_graph)))
    if report.agreement:
        found.append(_section("agreement", "Originals against copies", agreement_sentence(report.agreement)))
    if report.elsewhere:
        found.append(_section("elsewhere", "Elsewhere", elsewhere_sentence(report.elsewhere)))
    return [*found, _section("groups", "What it says to other images", groups_table(report.groups))]


def _section(part: Part, title: str, *texts: str) -> Section:
    return Section(part, title, "\n".join(text for text in texts if text))


def _validation(report: Report) -> str:
    """Of a random split the validation part is what the first table is of."""
    return results_table(report.validation) if report.split.test else ""


def _shortcuts(report: Report) -> tuple[str, ...]:
    told = (_CONTROLS, controls_table(report.controls), _PROBES, controls_table(report.probes))
    return (*told, _ORIGIN, controls_table(report.origin)) if report.origin else told
