"""``--site NAME --out-bundle DIR``: a bundle with the site's own operating points and calibration, on the same graph.

The patients are divided in two: one half chooses the calibration and the thresholds, the other measures them. So the
figures in the manifest are those of patients who chose nothing (docs/decisions/0022-validation-at-a-site.md).
"""

import argparse
import re
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from contract.bundle import (
    CARD,
    GRAPH,
    INT8_GRAPH,
    NAME_PATTERN,
    VERSION_PATTERN,
    Bundle,
    BundleError,
    Calibration,
    CalibrationError,
    Manifest,
    OperatingPoint,
    Population,
    refuse_occupied,
    sha256,
    write_bundle,
)
from contract.calibration import expected_calibration_error
from contract.site import Part, Site
from service.settings import SettingsError
from service.validation.choosing import RULES, CannotChoose, calibrated, choose_points, fit_calibration, halves
from service.validation.intervals import auc_by_patient
from service.validation.report.wording import interval
from service.validation.scoring import Run, Scored
from service.wire import printable


def add_site_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a derived bundle."""
    group = parser.add_argument_group("a bundle of the site's own")
    group.add_argument("--site", metavar="NAME", help="name of the site, which every answer of the bundle states")
    group.add_argument(
        "--out-bundle",
        type=Path,
        metavar="DIR",
        help="write a bundle with the site's own operating points and calibration; DIR ends in NAME/VERSION. Refused "
        "if an interval would be wider than --width",
    )
    group.add_argument("--by", metavar="WHO", help="who is responsible for the bundle; stated in its manifest")


def check_site_options(arguments: argparse.Namespace) -> None:
    """Check the options before the images are analysed.

    Raises:
        SettingsError: one is missing or wrong; or the folder holds a bundle already.
    """
    given = [arguments.site, arguments.out_bundle, arguments.by]
    if given == [None] * 3:
        return
    if None in given:
        raise SettingsError("--site, --out-bundle and --by must be given together")
    for option, text in (("--site", arguments.site), ("--by", arguments.by)):
        if not (text.strip() and text.isprintable() and len(text) <= 100):
            raise SettingsError(f"{option}: must have 1 to 100 printable characters")
    folder: Path = arguments.out_bundle
    if not (re.fullmatch(NAME_PATTERN, folder.parent.name) and re.fullmatch(VERSION_PATTERN, folder.name)):
        raise SettingsError(f"--out-bundle: {folder} must end in NAME/VERSION, NAME in lower case, VERSION a number")
    try:
        refuse_occupied(folder)
    except BundleError as error:
        raise SettingsError(f"--out-bundle: {error}") from None


def write_site_bundle(bundle: Bundle, parent_sha256: str, run: Run, arguments: argparse.Namespace) -> None:
    """Derive a bundle and write it.

    Args:
        bundle: the parent.
        parent_sha256: of the parent's manifest file.
        run: the predictions of the parent.
        arguments: with the options of ``add_site_options`` and ``width``.

    Raises:
        BundleError: the images are too few, the model does not separate them, or the parent does not allow it. The
            message says which, and how many images are missing.
    """
    folder: Path = arguments.out_bundle
    try:
        _check_parent(bundle.manifest)
        site, points = _choose(bundle.manifest, parent_sha256, run, arguments)
    except CannotChoose as reason:
        raise BundleError(f"{folder}: not written: {reason}") from None
    _write(bundle, folder, site, points)


def _choose(
    manifest: Manifest, parent_sha256: str, run: Run, arguments: argparse.Namespace
) -> tuple[Site, dict[str, OperatingPoint]]:
    if wrong := [each.labelled.file for each in run.contradictory]:
        raise CannotChoose(
            printable(
                f"{len(wrong)} files are the same, byte for byte, as one with the other label, such as {wrong[0]}: "
                "correct the labels (the report names the files)"
            )
        )
    scored = run.scored()
    choosing = halves(scored)
    chosen_on, served = scored.rows(choosing), scored.rows(~choosing)
    own = fit_calibration(chosen_on)
    measured_on = calibrated(served, own)
    points = choose_points(manifest.operating_points, calibrated(chosen_on, own), measured_on, arguments.width)
    auc = auc_by_patient(measured_on.probability, measured_on.pneumonia, measured_on.patient)
    if auc is None:
        raise CannotChoose("there are too few patients to choose on one half and to measure on the other")
    facts = {"fitted_on": f"half of the site's patients, {run.graph}", "before": _error(served)}
    calibration = _after(_calibration_in_use(manifest, run.population), own)
    site = Site(
        name=arguments.site,
        population=run.population,
        calibration=calibration.model_copy(update=facts | {"after": _error(measured_on)}),
        prevalence=float(chosen_on.pneumonia.mean()),
        auc=auc.measured,
        parent_name=manifest.name,
        parent_version=manifest.version,
        parent_manifest_sha256=parent_sha256,
        chosen_on=_part(chosen_on),
        measured_on=_part(measured_on),
        data_fingerprint=run.fingerprint,
        made_by=arguments.by,
        made_at=datetime.now(UTC).replace(microsecond=0),
    )
    return site, points


def _write(bundle: Bundle, folder: Path, site: Site, points: dict[str, OperatingPoint]) -> None:
    manifest = bundle.manifest
    contents = {GRAPH: bundle.graph, CARD: (_card_section(site, points) + bundle.card).encode()}
    if bundle.int8_graph is not None:
        contents[INT8_GRAPH] = bundle.int8_graph
    changes = {
        "name": folder.parent.name,
        "version": folder.name,
        "site": site,
        "created_at": site.made_at,
        "files": {name: sha256(data) for name, data in contents.items()},
    }
    if site.population is None:
        changes["operating_points"] = points
    else:
        parent = manifest.populations[site.population]
        own = Population(
            **dict(parent)
            | {"operating_points": points, "calibration": site.calibration, "prevalence": site.prevalence}
        )
        changes["populations"] = {**manifest.populations, site.population: own}
    try:
        write_bundle(folder, Manifest(**dict(manifest) | changes), contents)
    except OSError as error:
        raise BundleError(f"{folder}: cannot be written: {error.strerror}") from None


def _check_parent(manifest: Manifest) -> None:
    if site := manifest.site:
        raise CannotChoose(f"this is a site's own bundle; derive from {site.parent_name}/{site.parent_version}")
    if others := manifest.operating_points.keys() - RULES.keys():
        raise CannotChoose(f"there is no rule to choose the operating point {min(others)!r}")


def _calibration_in_use(manifest: Manifest, population: str | None) -> Calibration:
    """The calibration behind the graph that the probabilities have already."""
    return Calibration() if population is None else manifest.populations[population].calibration


def _after(first: Calibration, second: Calibration) -> Calibration:
    """One calibration that does what two do one after the other."""
    scale, shift = (first.scale, first.shift) if first.method == "platt" else (1.0, 0.0)
    return Calibration(method="platt", scale=second.scale * scale, shift=second.scale * shift + second.shift)


def _error(scored: Scored) -> CalibrationError:
    return CalibrationError(
        expected_calibration_error=expected_calibration_error(scored.probability, scored.pneumonia),
        brier=float(np.mean((scored.probability - scored.pneumonia) ** 2)),
    )


def _part(scored: Scored) -> Part:
    patients = len({row.patient for row in scored.labelled})
    return Part(images=len(scored.labelled), patients=patients, pneumonia_images=int(scored.pneumonia.sum()))


def _card_section(site: Site, points: dict[str, OperatingPoint]) -> str:
    """What the model card says first."""
    rows = "\n".join(
        f"| `{name}` | {point.threshold:g} | {interval(point.sensitivity)} | {interval(point.specificity)} |"
        for name, point in points.items()
    )
    population = f", population {site.population}," if site.population else ""
    other = site.measured_on
    return (
        f"> **Operating points and calibration of {_plain(site.name)}**{population} chosen by {_plain(site.made_by)} "
        f"on {site.made_at:%Y-%m-%d}, on the unchanged graph of {site.parent_name} {site.parent_version}. The card of "
        f"that model follows; its figures are not those of this site.\n\n"
        f"Thresholds and calibration: {site.chosen_on.images} images of {site.chosen_on.patients} patients. Measured "
        f"on {other.images} images of {other.patients} other patients of the site, {other.pneumonia_images} of them "
        f"PNEUMONIA: AUC {interval(site.auc)}.\n\n"
        f"| operating point | threshold | sensitivity | specificity |\n| --- | --- | --- | --- |\n{rows}\n\n"
    )


def _plain(text: str) -> str:
    """The text without what Markdown would interpret."""
    return re.sub(r"([\\`*_{}\[\]<>()#+!|~-])", r"\\\1", text)
