"""The command ``validate``."""

import argparse
import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path

from contract.bundle import MANIFEST, Manifest, read_bundle, sha256
from service.client.predicting import Predictor
from service.client.progress import ProgressDisplay, print_error
from service.settings import Settings, SettingsError
from service.settings.network import listed
from service.validation.calibration import calibration_figures, trained_prevalence
from service.validation.claims import Criteria, claimed_points
from service.validation.figures import claims_of, figures_of
from service.validation.gallery import Example, find_examples
from service.validation.labels import Labels, read_labels
from service.validation.page import write_page
from service.validation.schema import ServedBy, SiteData, ValidationReport
from service.validation.scoring import Run, groups_of, not_labelled, score_all
from service.validation.site import add_site_options, check_site_options, write_site_bundle
from service.validation.wording import summary
from service.wire import printable

_DESCRIPTION = """\
Analyse a site's own labelled radiographs with the served model, and compare the results with what the model claims:
report.html and report.json in the folder --out. Nothing leaves this machine. Exit code 0: the report was written,
whatever it says, also if some files could not be analysed (the report names them); 1: there is no report; 2: wrong
usage.
"""
OpenLocal = Callable[[Settings], AbstractAsyncContextManager[Predictor]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``validate``, except the settings."""
    parser.description = _DESCRIPTION
    parser.add_argument("--images", type=Path, required=True, metavar="FOLDER", help="the radiographs: JPEG or PNG")
    parser.add_argument(
        "--labels",
        type=Path,
        required=True,
        metavar="FILE",
        help="CSV with the columns file (below FOLDER), label (PNEUMONIA or NORMAL) and, if known, patient",
    )
    parser.add_argument(
        "--group", metavar="COLUMNS", help="columns of the CSV to group by, such as age,sex,view,machine"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="FOLDER", help="the folder to write the report to")
    parser.add_argument("--gallery", action="store_true", help="show radiographs of patients in report.html")
    add_site_options(parser)
    parser.add_argument(
        "--margin",
        type=_share,
        default=0.05,
        metavar="SHARE",
        help="how far below its claimed value a figure may lie. Default: %(default)s.",
    )
    parser.add_argument(
        "--width",
        type=_share,
        default=0.10,
        metavar="SHARE",
        help="width of the interval for which the number of images is stated. Default: %(default)s.",
    )


def validate(settings: Settings, arguments: argparse.Namespace, open_local: OpenLocal) -> bool:
    """Run the command. Returns whether a report was written.

    Raises:
        BundleError, DeviceError, SettingsError: the model, the labels or the options cannot be used.
    """
    if not arguments.images.is_dir():
        raise SettingsError(f"--images: {arguments.images} is not a folder")
    check_site_options(arguments)
    labels = read_labels(arguments.labels, listed(arguments.group))
    _prepare(arguments.out)
    if settings.guard == "refuse":  # a refused image has no probability, and would be missing from every figure
        settings = settings.model_copy(update={"guard": "warn"})
    bundle = read_bundle(settings.model)
    manifest, parent_sha256 = bundle.manifest, sha256((settings.model / MANIFEST).read_bytes())
    with ProgressDisplay(len(labels.rows), quiet=False) as display:
        limits = settings.max_images, settings.max_body_bytes
        run = asyncio.run(score_all(open_local(settings), arguments.images, labels, display.advance, limits))
    if run.failures:
        print_error(f"{len(run.failures)} of {len(labels.rows)} files could not be analysed; the report names them")
    if not run.answers:
        print_error("no file could be analysed: there is no report")
        return False
    report = _report(run, labels, manifest, settings, arguments)
    threshold = report.overall.points[report.model.default_operating_point].threshold
    examples = find_examples(run.scored(), threshold, arguments.images, settings) if arguments.gallery else None
    _write(arguments.out, report, examples)
    print(printable(summary(report), keep="\n"))
    if arguments.site is not None:
        write_site_bundle(bundle, parent_sha256, run, arguments)
        print_error(
            f"{arguments.out_bundle}: a bundle with the operating points and the calibration of {arguments.site}"
        )
    return True


def _report(
    run: Run, labels: Labels, manifest: Manifest, settings: Settings, arguments: argparse.Namespace
) -> ValidationReport:
    scored, guarded = run.scored(), run.guarded
    points = claimed_points(manifest, run.population)
    return ValidationReport(
        model=ServedBy(
            name=manifest.name,
            version=manifest.version,
            graph=run.graph,
            graph_sha256=manifest.files[run.graph],
            provider=run.provider,
            population=run.population,
            default_operating_point=settings.operating_point or manifest.default_operating_point,
        ),
        measured_at=datetime.now(UTC),
        margin=arguments.margin,
        width=arguments.width,
        data=SiteData(
            images=len(labels.rows),
            failed=len(run.failures),
            repeated=len(run.digests) - len(set(run.digests)),
            not_labelled=not_labelled(arguments.images, labels),
            has_patients=labels.has_patients,
            fingerprint=run.fingerprint,
        ),
        overall=figures_of(scored, points, guarded=guarded),
        groups={
            column: {value: figures_of(rows, points, guarded=guarded) for value, rows in groups.items()}
            for column, groups in groups_of(scored, labels.columns).items()
        },
        claims=claims_of(
            scored, manifest, run.population, Criteria(arguments.margin, arguments.width), guarded=guarded
        ),
        calibration=calibration_figures(
            scored.probability, scored.pneumonia, trained_prevalence(manifest, run.population)
        ),
        failures=tuple(run.failures),
    )


def _prepare(folder: Path) -> None:
    """Create the folder of the report before the images are analysed, which may take hours."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / "report.html.partial"
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        raise SettingsError(f"--out: {folder} cannot be written: {error.strerror}") from None


def _write(folder: Path, report: ValidationReport, examples: list[Example] | None) -> None:
    for name, text in (
        ("report.html", write_page(report, examples)),
        ("report.json", report.model_dump_json(indent=2) + "\n"),
    ):
        partial = folder / f"{name}.partial"
        try:
            partial.write_text(text, encoding="utf-8")
            partial.replace(folder / name)
        except OSError as error:
            raise SettingsError(f"--out: {folder / name} cannot be written: {error.strerror}") from None


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must be above 0 and below 1")
    return value
