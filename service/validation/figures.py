"""From the predictions of a site's images to the figures of a report: overall, by group, and against the claims."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Self

import numpy as np

from contract.bundle import Manifest
from contract.calibration import expected_calibration_error
from service.validation.calibration import calibration_figures, error_by_chance, trained_prevalence
from service.validation.claims import (
    ClaimedShare,
    Criteria,
    claim_of_auc,
    claim_of_share,
    claimed_auc,
    claimed_points,
)
from service.validation.intervals import Estimate, auc_by_patient, share_by_patient
from service.validation.schema import Claim, Failure, Figures, PointFigures, ServedBy, SiteData, ValidationReport
from service.validation.scoring import Scored, groups_of


@dataclass(frozen=True, slots=True)
class Basis:
    """What a report is based on beside the predictions.

    Attributes:
        criteria: of the verdicts.
        columns: to group by.
        manifest: of the model; None if its bundle is not here: then there are no claims.
        thresholds: by operating point.
        guarded: whether the model has an input guard in use.
        failures: the images without a prediction.
    """

    criteria: Criteria
    columns: Sequence[str] = ()
    manifest: Manifest | None = None
    thresholds: Mapping[str, float] | None = None
    guarded: bool = False
    failures: Sequence[Failure] = ()

    def having(self, manifest: Manifest | None, thresholds: Mapping[str, float], *, guarded: bool) -> Self:
        """The same for a model."""
        return replace(self, manifest=manifest, thresholds=thresholds, guarded=guarded)


def report_of(scored: Scored, model: ServedBy, data: SiteData, basis: Basis) -> ValidationReport:
    """The whole report.

    Args:
        scored: at least one image.
        model: what analysed the images.
        data: what is known about them.
        basis: the rest.
    """
    thresholds, manifest = basis.thresholds or {}, basis.manifest
    claims = claims_of(scored, manifest, model.population, basis.criteria, guarded=basis.guarded) if manifest else ()
    prevalence = trained_prevalence(manifest, model.population) if manifest else None
    return ValidationReport(
        model=model,
        measured_at=datetime.now(UTC),
        margin=basis.criteria.margin,
        width=basis.criteria.width,
        data=data,
        overall=figures_of(scored, thresholds, guarded=basis.guarded),
        groups={
            column: {value: figures_of(rows, thresholds, guarded=basis.guarded) for value, rows in groups.items()}
            for column, groups in groups_of(scored, basis.columns).items()
        },
        claims=claims,
        calibration=calibration_figures(scored.probability, scored.pneumonia, prevalence),
        failures=tuple(basis.failures),
    )


def figures_of(scored: Scored, thresholds: Mapping[str, float], *, guarded: bool) -> Figures:
    """The figures of a set of images.

    Args:
        scored: at least one image.
        thresholds: of the operating points in use, by name.
        guarded: whether the model has an input guard in use.
    """
    auc = auc_by_patient(scored.probability, scored.pneumonia, scored.patient)
    flagged = share_by_patient(scored.flagged, scored.patient) if guarded else None
    positives = int(scored.pneumonia.sum())
    return Figures(
        images=len(scored.pneumonia),
        patients=len(np.unique(scored.patient)),
        positives=positives,
        negatives=len(scored.pneumonia) - positives,
        auc=auc.measured if auc else None,
        points={name: _point_figures(scored, threshold) for name, threshold in thresholds.items()},
        flagged=flagged.measured if flagged else None,
        calibration_error=expected_calibration_error(scored.probability, scored.pneumonia),
        calibration_error_by_chance=error_by_chance(scored.probability),
    )


def claims_of(
    scored: Scored, manifest: Manifest, population: str | None, criteria: Criteria, *, guarded: bool
) -> tuple[Claim, ...]:
    """Every figure that the manifest claims, with the verdict of the site's images.

    Args:
        scored: the predictions.
        manifest: of the model.
        population: whose operating points were in use; None: those of all populations together.
        criteria: of the verdict.
        guarded: whether the model has an input guard in use.
    """
    claims = []
    if (claimed := claimed_auc(manifest, population)) is not None:
        found = auc_by_patient(scored.probability, scored.pneumonia, scored.patient)
        claims.append(claim_of_auc(claimed, found, criteria))
    for name, point in claimed_points(manifest, population).items():
        sick, well = (rate_of(scored, point.threshold, pneumonia=label) for label in (True, False))
        claims += [
            claim_of_share(ClaimedShare(f"{name}: sensitivity", point.sensitivity.value, "PNEUMONIA"), sick, criteria),
            claim_of_share(ClaimedShare(f"{name}: specificity", point.specificity.value, "NORMAL"), well, criteria),
        ]
    if guarded and manifest.input_guard:
        false_alarms = manifest.input_guard.false_alarms.value
        share = ClaimedShare("flagged by the input check", false_alarms, "both classes", greatest=True)
        claims.append(claim_of_share(share, share_by_patient(scored.flagged, scored.patient), criteria))
    return tuple(claims)


def rate_of(scored: Scored, threshold: float, *, pneumonia: bool) -> Estimate | None:
    """The share of the images of one class that a threshold classifies correctly; None without such images."""
    of_class = scored.rows(scored.pneumonia == pneumonia)
    return share_by_patient((of_class.probability >= threshold) == pneumonia, of_class.patient)


def _point_figures(scored: Scored, threshold: float) -> PointFigures:
    sick, well = (rate_of(scored, threshold, pneumonia=label) for label in (True, False))
    called = scored.probability >= threshold
    return PointFigures(
        threshold=threshold,
        sensitivity=sick.measured if sick else None,
        specificity=well.measured if well else None,
        true_positive=int((called & scored.pneumonia).sum()),
        false_negative=int((~called & scored.pneumonia).sum()),
        true_negative=int((~called & ~scored.pneumonia).sum()),
        false_positive=int((called & ~scored.pneumonia).sum()),
    )
