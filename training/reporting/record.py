"""``report.json``: everything that is known of one model. The page and the model card are both written from it."""

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
from training.data.split import Strategy
from training.evaluation.agreement import Agreement
from training.evaluation.controls import Control
from training.evaluation.evaluate import Results
from training.evaluation.int8 import Int8Check
from training.evaluation.metrics import Bin
from training.evaluation.outside import Group
from training.evaluation.populations import PopulationFigures
from training.evaluation.stress import StressTable
from training.fitting.environment import Environment
from training.reporting.bands import Curve

# At which a PNEUMONIA or NORMAL answer is worth how much; the share in the data measured on comes besides.
PREVALENCES = (0.01, 0.05, 0.1, 0.2, 0.5)


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelFacts(_Record):
    """What a manifest says of the model itself."""

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
        """The facts of a manifest; digests and dates are left out."""
        facts = manifest.model_dump(include=set(cls.model_fields))
        return cls.model_validate({**facts, "int8": manifest.results.get("int8")})


class TrainingFacts(_Record):
    """How long the network was trained, and which weights were kept; known where the run is at hand."""

    epochs: int
    kept: str = Field(description="In words, after: kept is ...")


class SplitFacts(_Record):
    """How many images trained, chose and are measured on."""

    strategy: Strategy
    train: int
    validation: int
    test: int


class PredictiveValues(_Record):
    """What an answer is worth where this share of the images shows PNEUMONIA. The interval is a cautious one."""

    prevalence: float
    positive: Measured = Field(description="Share of PNEUMONIA among those called so.")
    negative: Measured = Field(description="Share of NORMAL among those called so.")


class PointFigures(_Record):
    """One operating point on the held-out images."""

    threshold: float
    sensitivity: Measured
    specificity: Measured
    confusion: dict[str, int]
    predictive_values: tuple[PredictiveValues, ...]


class Reliability(_Record):
    """How far stated probabilities are from what was seen."""

    error: CalibrationError
    bins: tuple[Bin, ...]


class Report(_Record):
    """All that was measured of one model. What needs data that were not given is null or empty."""

    model: ModelFacts
    about: str = Field(description="Markdown: for whom the model is meant, its limits, what it was trained on.")
    training: TrainingFacts | None
    split: SplitFacts
    held_out: Results
    validation: Results
    points: dict[str, PointFigures]
    roc: Curve
    precision_recall: Curve
    calibrated: Reliability
    uncalibrated: Reliability | None = Field(description="null where the model is not calibrated.")
    stress: StressTable
    populations: tuple[PopulationFigures, ...] = Field(description="Empty for a model of one population.")
    controls: tuple[Control, ...]
    probes: tuple[Control, ...]
    origin: tuple[Control, ...] = Field(description="Which of two populations; empty for another number of them.")
    agreement: Agreement | None
    elsewhere: Results | None
    groups: tuple[Group, ...] = Field(description="Of held-out, other and foreign images: called, flagged.")
    environment: Environment
    measured_at: datetime
