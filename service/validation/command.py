"""The command ``validate``."""

import argparse
import asyncio
import math
import os
import re
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from contract.bundle import MANIFEST, UNKNOWN_POPULATION, Manifest, read_bundle, sha256
from service.client.predicting import Predictor
from service.client.progress import ProgressDisplay, print_error
from service.settings import Settings, SettingsError
from service.settings.network import listed
from service.validation.claims import Criteria, claimed_points
from service.validation.figures import Basis, report_of
from service.validation.labels import Labels, read_labels
from service.validation.report.files import prepare_folder, write_files
from service.validation.report.gallery import find_examples
from service.validation.report.wording import summary
from service.validation.schema import ServedBy, SiteData, ValidationReport
from service.validation.scoring import Run, not_labelled, score_all
from service.validation.site import add_site_options, check_site_options, write_site_bundle
from service.validation.surveillance import COLUMNS, read_series, report_of_series
from service.wire import printable

_DESCRIPTION = """\
Analyse a site's own labelled radiographs with the served model, and compare the results with what the model claims:
report.html and report.json in the folder --out. Nothing leaves this machine. Exit code 0: the report was written,
whatever it says, also if some files could not be analysed (the report names them); 1: there is no report; 2: wrong
usage.
"""
# Where there is no report that names them all.
_FAILURES_SHOWN = 5
OpenLocal = Callable[[Settings], AbstractAsyncContextManager[Predictor]]


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``validate``, except the settings."""
    parser.description = _DESCRIPTION
    parser.add_argument("--images", type=Path, metavar="FOLDER", help="the radiographs: JPEG, PNG or DICOM")
    parser.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="CSV with the columns file (below FOLDER), label (PNEUMONIA or NORMAL) and, if known, patient",
    )
    parser.add_argument(
        "--from-audit",
        nargs="?",
        const="",
        metavar="FOLDER",
        help="in place of images and labels: the answers and the feedback in this audit log (default: "
        "XRAY_AUDIT_FOLDER); one report for each model version, by month",
    )
    parser.add_argument(
        "--since", type=_date, metavar="DATE", help="with --from-audit: leave earlier analyses out; 2026-08"
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
    if arguments.from_audit is not None:
        return _validate_from_audit(settings, arguments)
    _check(arguments)
    labels = read_labels(arguments.labels, listed(arguments.group), arguments.images)
    prepare_folder(arguments.out)
    if settings.guard == "refuse":  # a refused image has no probability, and would be missing from every figure
        settings = settings.model_copy(update={"guard": "warn"})
    bundle = read_bundle(settings.model)
    parent_sha256 = sha256((settings.model / MANIFEST).read_bytes())
    run = _analyse(labels, settings, arguments, open_local)
    if not run.answers:
        _explain_nothing(run)
        return False
    parts = run.parts()
    for name, part in parts.items():
        out = arguments.out if len(parts) == 1 else arguments.out / (name or UNKNOWN_POPULATION)
        if len(parts) > 1:
            print(f"{out}: {len(part.answers)} images, by the ages in them")
        _report_on(part, labels, bundle.manifest, settings, arguments, out)
    if arguments.site is not None:
        if len(parts) > 1:
            found = ", ".join(name or UNKNOWN_POPULATION for name in parts)
            raise SettingsError(f"--site: by the ages in them, the images are of {found}: choose one with --population")
        write_site_bundle(bundle, parent_sha256, run, arguments)
        print_error(
            f"{arguments.out_bundle}: a bundle with the operating points and the calibration of {arguments.site}"
        )
    return True


def _check(arguments: argparse.Namespace) -> None:
    """Check the options of a validation on images, before anything is read."""
    if arguments.images is None or arguments.labels is None:
        raise SettingsError("give --images and --labels, or --from-audit")
    if arguments.since:
        raise SettingsError("--since is for --from-audit")
    if not os.path.isdir(arguments.images):  # noqa: PTH112  Path raises where a folder may not be entered
        raise SettingsError(f"--images: {arguments.images} is not a folder")
    check_site_options(arguments)


def _analyse(labels: Labels, settings: Settings, arguments: argparse.Namespace, open_local: OpenLocal) -> Run:
    """Analyse all labelled images, with the progress on stderr."""
    with ProgressDisplay(len(labels.rows), quiet=False) as display:
        limits = settings.max_images, settings.max_body_bytes
        run = asyncio.run(score_all(open_local(settings), arguments.images, labels, display.advance, limits))
    total = len(labels.rows)
    if run.failures and run.answers:
        print_error(f"{len(run.failures)} of {total} files could not be analysed; the report names them")
    if run.contradictory:
        print_error(f"{len(run.contradictory)} of {total} files are the same as one with the other label: left out")
    if run.repeated:
        print_error(f"{len(run.repeated)} of {total} files are the same as another one with that label: counted once")
    return run


def _explain_nothing(run: Run) -> None:
    """Say why there is no report: the first files, and what is wrong with each."""
    print_error("no file could be analysed: there is no report. The first ones:")
    wrong = [f"{each.file}: {each.problem}: {each.detail}" for each in run.failures]
    wrong += [f"{each.labelled.file}: is the same file as one with the other label" for each in run.contradictory]
    for words in wrong[:_FAILURES_SHOWN]:
        print_error(printable(words))


def _report_on(  # noqa: PLR0913, PLR0917  all that a report is made of
    run: Run, labels: Labels, manifest: Manifest, settings: Settings, arguments: argparse.Namespace, out: Path
) -> None:
    """Write the report on images of one population, and print its verdicts."""
    report = _report(run, labels, manifest, settings, arguments)
    threshold = report.overall.points[report.model.default_operating_point].threshold
    examples = find_examples(run.scored(), threshold, arguments.images, settings) if arguments.gallery else None
    prepare_folder(out)
    write_files(out, report, examples)
    print(printable(summary(report), keep="\n"))


def _validate_from_audit(settings: Settings, arguments: argparse.Namespace) -> bool:
    """The reports of all models that have images with a truth."""
    wrong = [name for name in ("images", "labels", "gallery", "site", "out_bundle") if getattr(arguments, name)]
    if wrong:
        raise SettingsError(f"--{wrong[0].replace('_', '-')} is not for --from-audit: the audit log holds no images")
    folder = Path(arguments.from_audit) if arguments.from_audit else settings.audit_folder
    if folder is None:
        raise SettingsError("--from-audit: name the folder of the audit log, or set XRAY_AUDIT_FOLDER")
    columns = listed(arguments.group) or ["month"]
    if unknown := set(columns) - set(COLUMNS):
        raise SettingsError(f"--group: {', '.join(sorted(unknown))}: with --from-audit use {', '.join(COLUMNS)}")
    try:
        found, truths = read_series(folder, arguments.since or "")
    except OSError as error:
        raise SettingsError(f"--from-audit: {error.filename or folder}: {error.strerror}") from None
    basis = Basis(Criteria(arguments.margin, arguments.width), columns)
    for key in sorted(found, key=str):
        report = report_of_series(key, found[key], truths, settings, basis)
        model = report.model
        out = arguments.out / "-".join(filter(None, (model.name, model.version, model.population)))
        prepare_folder(out)
        write_files(out, report, None)
        print(f"{out}: {report.overall.images} images with a truth\n{summary(report)}\n")
    if not found:
        since = f" from {arguments.since} on" if arguments.since else ""
        print_error(f"no analysed image in the audit log{since} has a truth yet (POST /feedback): there is no report")
    return bool(found)


def _report(
    run: Run, labels: Labels, manifest: Manifest, settings: Settings, arguments: argparse.Namespace
) -> ValidationReport:
    model = ServedBy(
        name=manifest.name,
        version=manifest.version,
        graph=run.graph,
        graph_sha256=manifest.files[run.graph],
        provider=run.provider,
        population=run.population,
        default_operating_point=settings.operating_point or manifest.default_operating_point,
    )
    data = SiteData(
        images=run.images,
        failed=len(run.failures),
        repeated=len(run.repeated),
        contradictory=tuple(each.labelled.file for each in run.contradictory),
        not_labelled=not_labelled(arguments.images, labels),
        has_patients=labels.has_patients,
        fingerprint=run.fingerprint,
    )
    thresholds = {name: point.threshold for name, point in claimed_points(manifest, run.population).items()}
    basis = Basis(Criteria(arguments.margin, arguments.width), labels.columns, failures=run.failures)
    return report_of(run.scored(), model, data, basis.having(manifest, thresholds, guarded=run.guarded))


def _date(text: str) -> str:
    if not re.fullmatch(r"\d{4}-\d{2}(-\d{2})?", text):
        raise argparse.ArgumentTypeError("must be a day or a month, such as 2026-08-01 or 2026-08")
    return text


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError("must be above 0 and below 1")
    return value
