"""``report.html``: one self-contained file for screen and print."""

import base64
from collections.abc import Sequence
from html import escape
from pathlib import Path

from markdown_it import MarkdownIt

from contract.io.files import write_file
from contract.io.report import document, section
from training.errors import TrainingError
from training.reporting.figures import curves_figure, guard_figure, guard_histogram, reliability_figure, stress_figure
from training.reporting.gallery import Example, ExampleSet
from training.reporting.schema import Report
from training.reporting.sections import NOT_A_DEVICE, Part, sections

# Besides the style that all reports have.
_STYLE = """
th, td { white-space: nowrap; }
.examples { grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)); }
.examples figure { margin: 0; }
"""
PATIENTS_SHOWN = (
    "This file shows radiographs of patients. Store it only where patient images may be stored. --no-gallery makes a "
    "report without them."
)
_GALLERY = """\
Left: the image as the network gets it. Right: with the heatmap (dark blue: little evidence, yellow: much; no colour:
none). The heatmap shows where the network found evidence; it is not a lesion outline.
"""
# The parts after which the ``--about`` text and the examples follow.
_BEFORE_STATED: Part = "points"
_BEFORE_EXAMPLES: Part = "calibration"


def write_report(folder: Path, report: Report, examples: Sequence[ExampleSet] | None) -> None:
    """Write ``report.html`` and ``report.json``.

    Raises:
        TrainingError: the files cannot be written to this folder.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_file(folder / "report.html", write_page(report, examples).encode())
        write_file(folder / "report.json", f"{report.model_dump_json(indent=2)}\n".encode())
    except OSError as error:
        raise TrainingError(f"{folder}: the report cannot be written to this folder ({error.strerror})") from None


def write_page(report: Report, examples: Sequence[ExampleSet] | None) -> str:
    """Write the page of a report. ``examples`` is None for a page without images of patients."""
    title = f"{report.model.name} {report.model.version}: report"
    notices = [_notice(NOT_A_DEVICE), *([_notice(PATIENTS_SHOWN)] if examples is not None else [])]
    parts = []
    for each in sections(report):
        parts.append(section(each.title, *_figures(each.part, report), _markdown(each.text)))
        if each.part == _BEFORE_STATED:
            parts.append(_markdown(report.about))
        if each.part == _BEFORE_EXAMPLES and examples is not None:
            parts.append(section("Examples", _markdown(_GALLERY), *map(_example_set, examples)))
    return document(title, "\n".join([_provenance(report), *notices, *parts]), _STYLE)


def _figures(part: Part, report: Report) -> list[str]:
    if part == "results":
        return [_figure(curves_figure(report), "ROC and precision-recall curves with 95 % bands")]
    if part == "calibration":
        return [_figure(reliability_figure(report), "Fraction of PNEUMONIA by predicted probability")]
    if part == "stress":
        return [_figure(stress_figure(report.stress), "AUC under each shift")]
    if part == "groups" and report.model.input_guard:
        drawn = (draw(report.groups, report.model.input_guard.threshold) for draw in (guard_histogram, guard_figure))
        return [_figure(svg, "Scores of the input guard") for svg in drawn]
    return []


def _provenance(report: Report) -> str:
    split, provenance = report.split, report.model.provenance
    text = (
        f"Measured {report.measured_at:%Y-%m-%d} by code revision {report.environment.git_revision}. Trained by "
        f"{provenance.git_revision} on {split.train} images; the threshold was chosen on {split.validation} images, "
        f"{split.test} were held out ({split.strategy} split, seed {provenance.seed}, "
        f"data {provenance.data_fingerprint[:12]})."
    )
    return f'<p class="quiet">{escape(text)}</p>'


def _example_set(example_set: ExampleSet) -> str:
    shown = f"{len(example_set.examples)} of {example_set.of}" if example_set.of else "none"
    figures = "".join(map(_example, example_set.examples))
    return f'<h3>{escape(example_set.title)} ({shown})</h3>\n<div class="examples">{figures}</div>'


def _example(example: Example) -> str:
    picture = base64.b64encode(example.picture).decode()
    caption = f"<b>{example.probability:.4f}</b><br>{escape(example.name)}"
    return (
        f'<figure><img alt="radiograph, without and with its heatmap" src="data:image/jpeg;base64,{picture}">'
        f"<figcaption>{caption}</figcaption></figure>\n"
    )


def _notice(text: str) -> str:
    return f'<div class="notice">{_markdown(text)}</div>'


def _figure(svg: str, what: str) -> str:
    """An SVG as a data URL, so that the page contains no URLs, not even those of the SVG namespaces."""
    data = base64.b64encode(svg.encode()).decode()
    return f'<figure><img alt="{escape(what)}" src="data:image/svg+xml;base64,{data}"></figure>'


def _markdown(*parts: str) -> str:
    """Render Markdown as HTML. HTML in it is escaped and links stay text, so that the page refers to nothing."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table").disable(["link", "autolink", "image"])
    rendered: str = reader.render("\n".join(parts))
    return rendered
