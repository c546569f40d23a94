"""``report.html``: one self-contained file for screen and print."""

import base64
from collections.abc import Iterable, Sequence
from html import escape

from contract.io.report import document, section
from service.validation.report.drawing import claims_figure, reliability_figure
from service.validation.report.gallery import Example
from service.validation.report.wording import (
    METHODS,
    RULE,
    calibration_sentences,
    data_sentences,
    interval,
    more_images,
)
from service.validation.schema import Failure, Figures, ValidationReport

# Besides the style that all reports have.
_STYLE = """
td:not(:last-child) { white-space: nowrap; }
.scroll { overflow-x: auto; }
.holds { color: #0072b2; font-weight: 600; }
.does-not-hold { color: #b04a00; font-weight: 600; }
.too-few-to-say { color: #555; font-weight: 600; }
.examples { grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); }
@media print { .scroll { overflow: visible; } }
"""
_NOT_A_DEVICE = "Not a medical device. This report supports a decision by the people who are responsible for it."
_PATIENTS_SHOWN = "This file shows radiographs of patients. Store it only where patient images may be stored."
_FAILURES_SHOWN = 100


def write_page(report: ValidationReport, examples: Sequence[Example] | None) -> str:
    """The page of a report. ``examples`` is None for a page without images of patients."""
    model = report.model
    title = f"{model.name} {model.version}: validation on local radiographs"
    notices = [_NOT_A_DEVICE, *([_PATIENTS_SHOWN] if examples is not None else [])]
    body = "\n".join(
        [
            _provenance(report),
            *(f'<div class="notice">{escape(text)}</div>' for text in notices),
            section("Does the model do here what it claims?", _claims(report)),
            section("Results", _results(report)),
            section(
                "Calibration", reliability_figure(report.calibration), _list(calibration_sentences(report.calibration))
            ),
            *(section(f"By {column}", _groups(report, groups)) for column, groups in report.groups.items()),
            *([] if examples is None else [section("Most wrong", _examples(examples))]),
            *([section("Files that could not be analysed", _failures(report.failures))] if report.failures else []),
            section("Methods", f'<p class="quiet">{escape(METHODS)}</p>'),
        ]
    )
    return document(title, body, _STYLE)


def _provenance(report: ValidationReport) -> str:
    model, data = report.model, report.data
    population = f"population {model.population}" if model.population else "population unknown"
    text = (
        f"Measured {report.measured_at:%Y-%m-%d %H:%M} UTC on {model.provider}: "
        f"{model.graph} (SHA-256 {model.graph_sha256[:12]}), {population}; data {data.fingerprint[:12]}."
    )
    return f'<p class="quiet">{escape(text)}</p>'


def _claims(report: ValidationReport) -> str:
    if not report.claims:
        return "<p>The bundle of this version is not here, so nothing is known of its claims.</p>"
    rows = [
        (
            escape(claim.name),
            f"{claim.claimed:.3f}",
            interval(claim.measured),
            f'<span class="{claim.verdict.replace(" ", "-")}">{claim.verdict}</span>',
            escape(more_images(claim, report.width)),
        )
        for claim in report.claims
    ]
    head = ("figure", "claimed", "here (95 % interval)", "the claim", "more images")
    rule = f'<p class="quiet">{escape(RULE.format(margin=report.margin))}</p>'
    return claims_figure(report.claims) + _table(head, rows) + rule


def _results(report: ValidationReport) -> str:
    figures = report.overall
    rows = [
        (
            escape(f"{name} (default)" if name == report.model.default_operating_point else name),
            f"{point.threshold:g}",
            interval(point.sensitivity),
            interval(point.specificity),
            *map(str, (point.true_positive, point.false_negative, point.true_negative, point.false_positive)),
        )
        for name, point in figures.points.items()
    ]
    head = ("operating point", "threshold", "sensitivity", "specificity", "TP", "FN", "TN", "FP")
    sentences = [
        f"{figures.images} images of {figures.patients} patients: {figures.positives} PNEUMONIA, {figures.negatives} "
        f"NORMAL. AUC {interval(figures.auc)}.",
        "The model has no input check in use."
        if figures.flagged is None
        else f"The input check flagged {interval(figures.flagged)} of them as unlike the training data.",
        *data_sentences(report.data),
    ]
    return _list(sentences) + _table(head, rows)


def _groups(report: ValidationReport, groups: dict[str, Figures]) -> str:
    """The default operating point in each group."""
    point = report.model.default_operating_point
    rows = [
        (
            escape(value),
            str(figures.positives),
            str(figures.negatives),
            str(figures.patients),
            _in_two_lines(interval(figures.auc)),
            _in_two_lines(interval(figures.points[point].sensitivity)),
            _in_two_lines(interval(figures.points[point].specificity)),
            "no input check" if figures.flagged is None else _in_two_lines(interval(figures.flagged)),
            _in_two_lines(f"{figures.calibration_error:.3f} (chance {figures.calibration_error_by_chance:.3f})"),
        )
        for value, figures in groups.items()
    ]
    head = ("group", "PNEUMONIA", "NORMAL", "patients", "AUC", "sensitivity", "specificity", "flagged", "calibration")
    return f"<p>Operating point {escape(point)}.</p>" + _table((*head[:-1], "calibration error"), rows)


def _in_two_lines(figure: str) -> str:
    """A figure, and below it what is in brackets: nine columns would be wider than the page."""
    return figure.replace(" (", "<br>(")


def _examples(examples: Sequence[Example]) -> str:
    figures = []
    for example in examples:
        data = base64.b64encode(example.jpeg).decode()
        label = "PNEUMONIA" if example.pneumonia else "NORMAL"
        figures.append(
            f'<figure><img alt="radiograph" src="data:image/jpeg;base64,{data}"><figcaption>labelled {label}, '
            f"probability {example.probability:.4f}<br>{escape(example.file)}</figcaption></figure>"
        )
    text = "<p>The images farthest on the wrong side of the default threshold: is the label right?</p>"
    return f'{text}<div class="examples">{"".join(figures)}</div>'


def _failures(failures: Sequence[Failure]) -> str:
    rows = [(escape(each.file), escape(each.problem), escape(each.detail)) for each in failures[:_FAILURES_SHOWN]]
    more = len(failures) - len(rows)
    rest = f"<p>And {more} more: see report.json.</p>" if more else ""
    return _table(("file", "problem", "detail"), rows) + rest


def _list(sentences: Iterable[str]) -> str:
    return "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; the cells are HTML already. On a phone it can be scrolled."""
    header = "".join(f"<th>{cell}</th>" for cell in head)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table></div>'
