"""``report.json``: the results of a validation."""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from contract.bundle import Measured, Sha256

Verdict = Literal["holds", "does not hold", "too few to say"]


class Record(BaseModel):
    """Base class of the parts of a report."""

    model_config = ConfigDict(frozen=True)


class Failure(Record):
    """An image without a prediction: its problem, as in docs/errors.md."""

    file: str
    problem: str
    detail: str


class PointFigures(Record):
    """The figures at one operating point. A rate is null if there is no image of its class."""

    threshold: float
    sensitivity: Measured | None
    specificity: Measured | None
    true_positive: int
    false_negative: int
    true_negative: int
    false_positive: int


class Figures(Record):
    """The figures of one set of images. ``auc`` is null if one class has no images."""

    images: int
    patients: int
    positives: int
    negatives: int
    auc: Measured | None
    points: dict[str, PointFigures]
    flagged: Measured | None = Field(description="Share that the input guard flags; null: the model has no guard.")
    calibration_error: float = Field(description="Expected calibration error, 15 equal bins.")
    calibration_error_by_chance: float = Field(
        description="The error that calibrated probabilities of this many images stay below in 95 of 100 samples."
    )


class Claim(Record):
    """A figure that the manifest claims, and what the site's images say about it.

    ``more_images``: how many more images of the class the verdict takes if the figure stays as it is; 0: none; null: no
    number of images would do. ``more_images_for_width``: how many more an interval of the stated width takes.
    """

    name: str
    claimed: float
    measured: Measured | None
    verdict: Verdict
    of: Literal["PNEUMONIA", "NORMAL", "both classes"]
    images: int
    more_images: int | None
    more_images_for_width: int | None


class ReliabilityBin(Record):
    """The images in one range of probability."""

    images: int
    probability: float
    pneumonia: float


class CalibrationFigures(Record):
    """Calibration at the site. ``trained_prevalence``: null if the manifest does not state it, and so are the figures
    that follow from it.
    """

    bins: tuple[ReliabilityBin, ...]
    error: float
    by_chance: float
    verdict: Verdict
    prevalence: float = Field(description="Fraction of PNEUMONIA in the site's images.")
    trained_prevalence: float | None
    error_at_prevalence: float | None = Field(
        description="Calibration error after the correction of the probabilities for the site's prevalence."
    )
    explained_by_prevalence: bool | None


class AuditData(Record):
    """The analyses of a report from the audit log, and how many of them have a truth, by the answer that was given.

    ``first``, ``last``: when images with a truth were analysed. The counts are of analyses, by label;
    the figures of the report count each file once.
    """

    first: str
    last: str
    answered_pneumonia: int
    answered_normal: int
    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int


class SiteData(Record):
    """The data of the site. ``fingerprint``: SHA-256 over the sorted SHA-256 of the files that got a prediction."""

    images: int
    failed: int
    repeated: int = Field(description="Images whose file is the same, byte for byte, as an earlier one's: not counted.")
    contradictory: tuple[str, ...] = Field(
        default=(), description="Files that are the same, byte for byte, and have both labels: in no figure."
    )
    not_labelled: int = Field(description="Image files in the folder that labels.csv does not name.")
    has_patients: bool
    fingerprint: Sha256
    audit: AuditData | None = Field(default=None, description="null: the images were files.")


class ServedBy(Record):
    """What was measured: the model, the bytes of its graph, its population, and the execution provider."""

    name: str
    version: str
    graph: str
    graph_sha256: Sha256
    provider: str
    population: str | None
    default_operating_point: str


class ValidationReport(Record):
    """Everything that a validation found."""

    model: ServedBy
    measured_at: datetime
    margin: float
    width: float
    data: SiteData
    overall: Figures
    groups: dict[str, dict[str, Figures]]
    claims: tuple[Claim, ...]
    calibration: CalibrationFigures
    failures: tuple[Failure, ...]
