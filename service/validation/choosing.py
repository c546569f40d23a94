"""Chooses a site's own calibration and thresholds on one half of its patients, and measures them on the other half."""

import hashlib
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from contract.bundle import Calibration, OperatingPoint
from contract.calibration import calibrate, fit_platt
from contract.thresholds import KEPT, Labelled, balanced_threshold, threshold_for
from service.validation.claims import more_for_width
from service.validation.figures import rate_of
from service.validation.intervals import Estimate, auc_by_patient
from service.validation.report.wording import interval
from service.validation.scoring import Scored

RULES = {
    "balanced": "greatest sensitivity + specificity",
    "rule-out": f"greatest specificity with a sensitivity of at least {KEPT}",
    "rule-in": f"greatest sensitivity with a specificity of at least {KEPT}",
}


class CannotChoose(Exception):
    """The images do not allow it; the message is one line with the reason."""


def halves(scored: Scored) -> NDArray[np.bool_]:
    """The rows of the half that chooses, bool (n,): every second patient of each class, in the order of a hash of the
    patient's pseudonym, so that the same data are always divided alike.
    """
    patients: dict[str, bool] = {}
    for row in scored.labelled:
        patients[row.patient] = patients.get(row.patient, False) or row.pneumonia
    ordered = sorted(patients, key=lambda name: hashlib.sha256(name.encode()).digest())
    chosen: set[str] = set()
    for label in (True, False):
        chosen.update([name for name in ordered if patients[name] == label][::2])
    return np.array([row.patient in chosen for row in scored.labelled])


def fit_calibration(scored: Scored) -> Calibration:
    """The calibration of the probabilities as they were served.

    Raises:
        CannotChoose: the model does not separate the classes, so that no threshold makes it useful.
    """
    auc = auc_by_patient(scored.probability, scored.pneumonia, scored.patient)
    scale, shift = fit_platt(scored.probability, scored.pneumonia) if auc else (0.0, 0.0)
    if auc is None or auc.measured.low <= 1 / 2 or scale <= 0:
        found = interval(auc.measured if auc else None)
        raise CannotChoose(f"the model is not shown to be better than chance here, AUC {found}")
    return Calibration(method="platt", scale=scale, shift=shift)


def calibrated(scored: Scored, calibration: Calibration) -> Scored:
    """The same images with calibrated probabilities."""
    probability = calibrate(scored.probability, calibration)
    return Scored(probability, scored.pneumonia, scored.patient, scored.flagged, scored.labelled)


def choose_points(names: Iterable[str], choosing: Scored, measuring: Scored, width: float) -> dict[str, OperatingPoint]:
    """The operating points: each threshold from one half of the patients, its figures from the other.

    Args:
        names: of the operating points, each one of ``RULES``.
        choosing: calibrated, of both classes.
        measuring: calibrated in the same way, of other patients.
        width: greatest accepted width of an interval, 0..1.

    Raises:
        CannotChoose: an interval is wider; the message says how many images are missing.
    """
    part = Labelled(choosing.probability, choosing.pneumonia)
    thresholds = {
        "balanced": balanced_threshold(part),
        "rule-out": threshold_for(part, True, KEPT),
        "rule-in": threshold_for(part, False, KEPT),
    }
    points, sensitivities, specificities = {}, [], []
    for name in names:
        sensitivity = rate_of(measuring, thresholds[name], pneumonia=True)
        specificity = rate_of(measuring, thresholds[name], pneumonia=False)
        sensitivities.append(sensitivity)
        specificities.append(specificity)
        if sensitivity and specificity:
            points[name] = OperatingPoint(
                threshold=thresholds[name],
                sensitivity=sensitivity.measured,
                specificity=specificity.measured,
                chosen_on=f"half of the site's patients, measured on the other half: {RULES[name]}",
            )
    _check_widths({"PNEUMONIA": sensitivities, "NORMAL": specificities}, width)
    return points


def _check_widths(rates: Mapping[str, Sequence[Estimate | None]], width: float) -> None:
    """Check the intervals of the rates of each class.

    Raises:
        CannotChoose: one is wider than ``width``, or there is no image of the class (None).
    """
    missing = {label: max((_missing(rate, width) for rate in found), default=0) for label, found in rates.items()}
    if any(missing.values()):
        needed = " and ".join(f"{count} more {label}" for label, count in missing.items() if count)
        raise CannotChoose(
            f"intervals at most {width:g} wide (--width) take about {needed} images; half of them choose the thresholds"
        )


def _missing(rate: Estimate | None, width: float) -> int:
    """How many more images of a class it takes; twice what the measuring half lacks, because the other half chooses."""
    if rate is None:
        return 2
    more = more_for_width(rate, width)
    return 2 * (1_000_000 if more is None else more)
