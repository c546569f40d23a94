"""What a manifest says a model was set to and measured at: figures, thresholds, calibration, guard, populations."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
Scales = tuple[Annotated[float, Field(gt=0)], ...]


class Record(BaseModel):
    """Part of a manifest: nobody changes it, and a field that is not known is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Measured(Record):
    """A figure between 0 and 1 with its 95 % interval."""

    value: Fraction
    low: Fraction
    high: Fraction


class OperatingPoint(Record):
    """A threshold, and what it did on the data it was chosen on. PNEUMONIA is ``probability >= threshold``."""

    threshold: Fraction
    sensitivity: Measured
    specificity: Measured
    chosen_on: str = Field(description="The data, and the rule, the threshold was chosen by.")


class CalibrationError(Record):
    """How far probabilities lie from what happened: expected calibration error (15 equal bins), and Brier score."""

    expected_calibration_error: Fraction
    brier: Fraction


class Calibration(Record):
    """How the probability was calibrated on validation patients; "none" means that it was not.

    ``platt``: the graph gives ``sigmoid(scale * logit + shift)`` (Platt 1999; with a shift of 0, temperature scaling
    by ``1 / scale``). The manifest's own is already in the graph, and stands here to be known; that of a population is
    applied to what the graph gives.
    """

    method: Literal["none", "platt"] = "none"
    scale: Annotated[float, Field(gt=0)] = 1.0
    shift: float = 0.0
    fitted_on: str = ""
    before: CalibrationError | None = Field(default=None, description="On held-out patients, uncalibrated.")
    after: CalibrationError | None = Field(default=None, description="On held-out patients, calibrated.")


class Familiar(Record):
    """What the training images of one population look like to the network (``contract.guard``)."""

    location: Annotated[tuple[float, ...], Field(min_length=1)] = Field(description="Of each feature in training.")
    scale: Scales = Field(description="Of each feature in training.")
    threshold: Annotated[float, Field(gt=0)] = Field(description="A greater distance is unlike this population.")
    false_alarms: Measured = Field(description="Share of held-out radiographs of the population over it.")

    @model_validator(mode="after")
    def _one_scale_each(self) -> Self:
        if len(self.location) != len(self.scale):
            raise ValueError("location and scale must be of one length")
        return self


class InputGuard(Record):
    """From where on an image is unlike those the model was trained on; the score is ``contract.guard.distance``.

    A model of one population has a location and a scale. One of several has them for each in ``populations`` instead:
    its score is the distance from the nearest population as a multiple of that one's threshold.
    """

    location: tuple[float, ...] = Field(default=(), description="Of each feature in training.")
    scale: Scales = Field(default=(), description="Of each feature in training.")
    populations: dict[str, Familiar] = {}
    threshold: Annotated[float, Field(gt=0)] = Field(description="A greater score is unlike the training data.")
    false_alarms: Measured = Field(description="Share of held-out radiographs of the training population over it.")
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
        """How many features of an image the guard takes."""
        return len(self.location) or len(next(iter(self.populations.values())).location)


class Population(Record):
    """What holds for one kind of patients, where it is known that an image is of one.

    ``calibration`` is applied to the graph's probability p: ``sigmoid(scale * logit(p) + shift)``. The thresholds of
    ``operating_points`` are of the probability after that.
    """

    description: str = Field(description="Who belongs to it, for a physician: adults of 18 years and over.")
    from_age: Annotated[float, Field(ge=0)] = Field(description="Years; the youngest it holds for.")
    below_age: Annotated[float, Field(gt=0)] | None = Field(description="Years; null: no upper limit.")
    operating_points: dict[str, OperatingPoint]
    calibration: Calibration
    prevalence: Fraction = Field(description="Share of PNEUMONIA in what it was calibrated on.")
