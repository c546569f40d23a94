"""The sentences of a report: what the figures mean, for a physician and for an administrator."""

from collections.abc import Sequence

from contract.bundle import Measured
from contract.io.report import interval as with_interval
from service.validation.calibration import TOLERATED
from service.validation.schema import AuditData, CalibrationFigures, Claim, SiteData, ValidationReport

RULE = """\
A claim holds if the whole 95 % interval of the site's figure lies above the claimed value less {margin:g}; it does not
hold if the whole interval lies below that; otherwise the images are too few to say. (For the share that the input check
flags, which should be small: below the claimed value plus {margin:g}, and above it.)
"""
METHODS = """\
All intervals are 95 % intervals and count patients, not images: Wilson's, for as many images as the images of these
patients are worth (Rao & Scott 1992), and for the AUC Obuchowski's (1997), which are DeLong's for clustered data. The
expected calibration error has 15 equal bins (Guo et al. 2017); the error by chance is what perfectly calibrated
probabilities stay below in 95 of 100 samples (Broecker & Smith 2007). Of twenty such intervals, one is expected to miss
the true value: do not read much into a single group.
"""
# Most files that a sentence names.
_FILES_NAMED = 20


def interval(measured: Measured | None) -> str:
    """A figure with its interval, as text."""
    if measured is None:
        return "no images"
    return with_interval(measured)


def more_images(claim: Claim, width: float) -> str:
    """How many more images a verdict on the claim takes, and an interval of the stated width."""
    kind = "images of both classes, in the same proportion" if claim.of == "both classes" else claim.of
    if claim.measured is None:
        return f"there is no {claim.of} image"
    words = []
    if claim.verdict == "too few to say":
        words.append(
            "no number of images decides, if the figure stays exactly as it is"
            if claim.more_images is None
            else f"{claim.more_images} more {kind} decide, if the figure stays as it is"
        )
    if claim.more_images_for_width:
        words.append(f"{claim.more_images_for_width} more {kind} for an interval {width:g} wide")
    return "; ".join(words)


def data_sentences(data: SiteData) -> list[str]:
    """The properties of the data that limit the figures."""
    if data.audit:
        return _audit_sentences(data.audit)
    words = []
    if data.failed:
        words.append(f"{data.failed} of {data.images} files could not be analysed and are in no figure (listed below).")
    if not data.has_patients:
        words.append(
            "The labels have no column `patient`, so each image counts as a patient of its own. If some patients have "
            "several images, the intervals are too narrow."
        )
    if data.repeated:
        words.append(
            f"{data.repeated} files are the same, byte for byte, as another one with the same label: the image counts "
            "once, and patients who share it as one."
        )
    if data.contradictory:
        words.append(
            f"{len(data.contradictory)} files are the same, byte for byte, as one with the other label, so that one of "
            f"the labels is wrong; they are in no figure: {_some(data.contradictory)}."
        )
    if data.not_labelled:
        words.append(f"{data.not_labelled} image files in the folder have no label and were not analysed.")
    return words


def _some(files: Sequence[str]) -> str:
    """The first file names."""
    more = len(files) - _FILES_NAMED
    return ", ".join(files[:_FILES_NAMED]) + (f" and {more} more (report.json has them all)" if more > 0 else "")


def _audit_sentences(data: AuditData) -> list[str]:
    """The same for images from the audit log. Where the truth is known more often after one answer than after the
    other, sensitivity and specificity are biased; Begg & Greenes (Biometrics 1983) correct for that.
    """
    positive, negative = data.true_positive + data.false_positive, data.true_negative + data.false_negative
    words = [
        f"From the audit log, {data.first[:10]} to {data.last[:10]}. The truth is known of {positive} of "
        f"{data.answered_pneumonia} analyses answered PNEUMONIA, and of {negative} of {data.answered_normal} answered "
        "NORMAL; a file that was analysed several times counts once in the figures.",
        "The audit log does not say which patient an image is of, so each file counts as a patient of its own. If some "
        "patients have several images, the intervals are too narrow.",
    ]
    if positive and negative:
        sensitivity, specificity = _corrected(data, positive, negative)
        words.append(
            "If the truth is known more often after one answer than after the other, the figures below are biased. "
            f"Corrected for that (Begg & Greenes 1983), sensitivity is {sensitivity} and specificity {specificity} "
            "at the operating points that were in use, provided that among images with the same answer it is chance "
            "whose truth is known."
        )
    else:
        words.append(
            "The truth is known after one of the two answers only, so sensitivity or specificity mean nothing."
        )
    return words


def _corrected(data: AuditData, positive: int, negative: int) -> tuple[str, str]:
    """Sensitivity and specificity as text, corrected for verification bias (Begg & Greenes 1983): among all analyses
    with one answer, each truth is taken to be as frequent as among those whose truth is known.

    Args:
        data: the counts.
        positive: analyses answered PNEUMONIA whose truth is known, 1 or more.
        negative: the same for NORMAL.
    """
    ill = data.answered_pneumonia * data.true_positive / positive
    missed = data.answered_normal * data.false_negative / negative
    well = data.answered_normal * data.true_negative / negative
    alarms = data.answered_pneumonia * data.false_positive / positive
    return _ratio(ill, missed), _ratio(well, alarms)


def _ratio(part: float, rest: float) -> str:
    return f"{part / (part + rest):.3f}" if part + rest else "unknown"


def calibration_sentences(found: CalibrationFigures) -> list[str]:
    """Whether a probability can be read as a frequency at this site, and why not."""
    words = [
        f"The expected calibration error is {found.error:.3f}; chance alone gives up to {found.by_chance:.3f} with so "
        f"many images, and up to {TOLERATED:g} is tolerated."
    ]
    if found.verdict == "too few to say":
        words.append("The images are too few to say whether the probabilities are the site's frequencies.")
    elif found.verdict == "holds":
        words.append("The probabilities are the frequencies of PNEUMONIA that this site sees.")
    else:
        words.append("The probabilities are not the frequencies of PNEUMONIA that this site sees.")
    if found.trained_prevalence is None:
        words.append("The manifest does not state the prevalence at which the model was calibrated.")
    elif found.error_at_prevalence is not None:
        words.append(
            f"The model was calibrated where {found.trained_prevalence:.0%} had PNEUMONIA; here it is "
            f"{found.prevalence:.0%}. Corrected for that (Saerens et al. 2002), the error is "
            f"{found.error_at_prevalence:.3f}."
        )
        if found.verdict == "does not hold":
            words.append(
                "The different prevalence explains the error."
                if found.explained_by_prevalence
                else "The different prevalence does not explain the error: these images look different to the model."
            )
    return words


def summary(report: ValidationReport) -> str:
    """The verdicts as lines of text, for a terminal."""
    rows: list[tuple[str, ...]] = [("figure", "claimed", "here (95 % interval)", "claim")]
    rows += [(name, "-", interval(measured), "none") for name, measured in _without_claim(report).items()]
    rows += [(each.name, f"{each.claimed:.3f}", interval(each.measured), each.verdict) for each in report.claims]
    calibration = report.calibration
    rows.append(("calibration error", f"<= {TOLERATED:g}", f"{calibration.error:.3f}", calibration.verdict))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join("  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)


def _without_claim(report: ValidationReport) -> dict[str, Measured | None]:
    """Figures of which the manifest says nothing, such as the AUC in a population; all, if the bundle is not here."""
    figures = {"AUC": report.overall.auc}
    for name, point in report.overall.points.items():
        figures |= {f"{name}: sensitivity": point.sensitivity, f"{name}: specificity": point.specificity}
    claimed = {claim.name for claim in report.claims}
    return {name: measured for name, measured in figures.items() if name not in claimed}
