"""The parts of a manifest that describe a model: figures, thresholds, calibration, input guard, populations."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Scales = tuple[Annotated[float, Field(gt=0)], ...]


class Record(BaseModel):
    """Base of all parts of a manifest: immutable; an unknown field is an error, and so are NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Measured(Record):
    """A figure between 0 and 1 with its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction


class OperatingPoint(Record):
    """A threshold, with its figures on the data it was chosen on. PNEUMONIA is ``probability >= threshold``."""

    threshold: Fraction
    sensitivity: Measured
    specificity: Measured
    chosen_on: str = Field(description="The data on which, and the rule by which, the threshold was chosen.")


class CalibrationError(Record):
    """How far probabilities are from observed frequencies: expected calibration error (15 equal bins), Brier score."""

    expected_calibration_error: Fraction
    brier: Fraction


class Calibration(Record):
    """How the probability was calibrated on validation patients; "none" means that it was not.

    ``platt``: ``sigmoid(scale * logit + shift)`` (Platt 1999; with a shift of 0, temperature scaling by
    ``1 / scale``). The manifest's own calibration is part of the graph and stated here for information; that of a
    population is applied to the graph's output.
    """

    method: Literal["none", "platt"] = "none"
    scale: Annotated[float, Field(gt=0)] = 1.0
    shift: float = 0.0
    fitted_on: str = ""
    before: CalibrationError | None = Field(default=None, description="On held-out patients, uncalibrated.")
    after: CalibrationError | None = Field(default=None, description="On held-out patients, calibrated.")


class Familiar(Record):
    """The distribution of the features over the training images of one population (``contract.guard``)."""

    location: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="Of each feature in training.")
    scale: Scales = Field(description="Of each feature in training.")
    threshold: Annotated[float, Field(gt=0)] = Field(description="An image at a greater distance is unfamiliar.")
    false_alarms: Measured = Field(description="Fraction of held-out radiographs of the population above it.")

    @model_validator(mode="after")
    def _one_scale_each(self) -> Self:
        if len(self.location) != len(self.scale):
            raise ValueError("location and scale must be of one length")
        return self


class InputGuard(Record):
    """The threshold above which an image counts as unlike the training data; the score is ``contract.guard.distance``.

    The guard of a model of one population has a location and a scale. With several populations, each in ``populations``
    has its own instead: the score is the distance from the nearest population as a multiple of its threshold.
    """

    location: tuple[float, ...] = Field(default=(), description="Of each feature in training.")
    scale: Scales = Field(default=(), description="Of each feature in training.")
    populations: dict[str, Familiar] = {}
    threshold: Annotated[float, Field(gt=0)] = Field(description="An image with a greater score is flagged.")
    false_alarms: Measured = Field(description="Fraction of held-out radiographs of the training population above it.")
    chosen_on: str
    reference: tuple[float, ...] = Field(description="Scores of validation patients at 0, 5, .. 100 %, for drift.")

    @model_validator(mode="after")
    def _one_scale_each(self) -> Self:
        if len(self.location) != len(self.scale):
            raise ValueError("location and scale must be of one length")
        if bool(self.location) == bool(self.populations):
            raise ValueError("either location and scale, or populations")
        if len({len(familiar.location) for familiar in self.populations.values()}) > 1:
            raise ValueError("all populations must have as many features")
        return self

    @property
    def features(self) -> int:
        """The number of features that the guard uses."""
        return len(self.location) or len(next(iter(self.populations.values())).location)


class Population(Record):
    """Calibration and operating points for images that are known to be of one population.

    ``calibration`` is applied to the graph's probability p: ``sigmoid(scale * logit(p) + shift)``. The thresholds of
    ``operating_points`` apply to the result.
    """

    description: str = Field(description="Who belongs to it, for a physician: adults of 18 years and over.")
    from_age: Annotated[float, Field(ge=0)] = Field(description="Years; lower limit, inclusive.")
    below_age: Annotated[float, Field(gt=0)] | None = Field(description="Years; upper limit, exclusive; null: none.")
    operating_points: dict[str, OperatingPoint]
    calibration: Calibration
    prevalence: Fraction = Field(description="Fraction of PNEUMONIA in the calibration data.")

    @model_validator(mode="after")
    def _ages_in_order(self) -> Self:
        if self.below_age is not None and self.below_age <= self.from_age:
            raise ValueError("below_age must be more than from_age")
        return self
