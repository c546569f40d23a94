"""The schema of ``report.json``, from which both the page and the model card are written."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from contract.bundle import (
    Calibration,
    CalibrationError,
    CpuGraph,
    InputGuard,
    Manifest,
    Measured,
    OperatingPoint,
    Provenance,
)
from contract.calibration import Bin
from training.data.strategy import Strategy
from training.evaluation.agreement import Agreement
from training.evaluation.controls import Control
from training.evaluation.evaluate import Results
from training.evaluation.int8 import Int8Check
from training.evaluation.out_of_distribution import GroupResults
from training.evaluation.populations import PopulationFigures
from training.evaluation.stress import StressTable
from training.fitting.environment import Environment
from training.reporting.bands import Curve

# Prevalences for which PPV and NPV are stated, in addition to the prevalence in the measured data.
PREVALENCES = (0.01, 0.05, 0.1, 0.2, 0.5)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFacts(_Record):
    """The parts of a manifest that describe the model itself."""

    name: str
    version: str
    image_contract: int
    default_operating_point: str
    operating_points: dict[str, OperatingPoint]
    calibration: Calibration
    input_guard: InputGuard | None
    heatmap_method: str
    cpu_graph: CpuGraph
    int8: Int8Check | None = Field(description="null: there is no int8 graph.")
    provenance: Provenance

    @classmethod
    def of(cls, manifest: Manifest) -> Self:
        """Take the facts from a manifest; digests and dates are left out."""
        facts = manifest.model_dump(include=set(cls.model_fields))
        return cls.model_validate({**facts, "int8": manifest.results.get("int8")})


class TrainingFacts(_Record):
    """How long the network was trained, and which weights it has; known only while the run is being exported."""

    epochs: int
    kept: str = Field(description="Describes the final weights.")
    began: str = Field(default="from scratch", description="What the weights were before the first step.")


class SplitFacts(_Record):
    """The number of images in each part of the split."""

    strategy: Strategy
    train: int
    validation: int
    test: int


class PredictiveValues(_Record):
    """PPV and NPV at this prevalence of PNEUMONIA. The intervals are conservative."""

    prevalence: float
    positive: Measured = Field(description="PPV: fraction of PNEUMONIA among images called PNEUMONIA.")
    negative: Measured = Field(description="NPV: fraction of NORMAL among images called NORMAL.")


class PointFigures(_Record):
    """One operating point on the held-out images."""

    threshold: float
    sensitivity: Measured
    specificity: Measured
    confusion: dict[str, int]
    predictive_values: tuple[PredictiveValues, ...]


class Reliability(_Record):
    """How far predicted probabilities are from observed frequencies."""

    error: CalibrationError
    bins: tuple[Bin, ...]


class Report(_Record):
    """All measurements of one model. Parts whose data was not given are null or empty."""

    model: ModelFacts
    about: str = Field(description="Markdown: intended use, limits, training data.")
    training: TrainingFacts | None
    split: SplitFacts
    held_out: Results
    validation: Results
    points: dict[str, PointFigures]
    roc: Curve
    precision_recall: Curve
    calibrated: Reliability
    uncalibrated: Reliability | None = Field(description="null: the model is not calibrated.")
    stress: StressTable
    populations: tuple[PopulationFigures, ...] = Field(description="Empty for a model of one population.")
    controls: tuple[Control, ...]
    probes: tuple[Control, ...]
    origin: tuple[Control, ...] = Field(description="Which of two populations; empty for another number of them.")
    agreement: Agreement | None
    elsewhere: Results | None
    groups: tuple[GroupResults, ...] = Field(description="Results for held-out radiographs and other kinds of images.")
    environment: Environment
    measured_at: datetime
