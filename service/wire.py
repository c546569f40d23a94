"""What goes over the wire. Frozen models of their own: the inside may change, the answer may not."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.json_schema import SkipJsonSchema

from contract.bundle import CpuGraph, Manifest, Provenance
from service.settings import GuardMode

Probability = Annotated[float, Field(ge=0, le=1)]


class _Wire(BaseModel):
    # An answer has all of its fields, also those that have a default here: so says the schema, too.
    model_config = ConfigDict(frozen=True, json_schema_serialization_defaults_required=True)


class Problem(_Wire):
    """Why there is no answer (RFC 9457)."""

    type: str = Field(description="What kind of problem, a relative URI.", examples=["/problems/truncated-image"])
    title: str = Field(examples=["The image is cut short or damaged"])
    status: int = Field(examples=[422])
    detail: str = Field(examples=["the file ends before the picture does, or is damaged"])
    request_id: str = Field(examples=["8c5f0a2e9d4b4c1f"])


class ModelName(_Wire):
    """Which model."""

    name: str = Field(examples=["pneumonia"])
    version: str = Field(examples=["1"])


class Caution(_Wire):
    """Something about an image that a reader of its answer should know."""

    code: str = Field(examples=["exif_orientation_applied", "unlike_training_data"])
    detail: str = Field(
        examples=["the picture was turned or mirrored as its EXIF orientation says: check which side is left"]
    )


class Prediction(_Wire):
    """The answer for one image. ``error`` stands in place of label, probability and threshold where it failed."""

    filename: str | None = Field(description="As sent, or null for a raw body.", examples=["xray.jpeg"])
    label: Literal["NORMAL", "PNEUMONIA"] | None = Field(
        default=None, description="PNEUMONIA if probability >= threshold."
    )
    probability: Probability | None = Field(default=None, description="Of PNEUMONIA.", examples=[0.9731])
    threshold: Probability | None = Field(default=None, description="Of the operating point.", examples=[0.5])
    guard_score: float | None = Field(
        default=None,
        ge=0,
        allow_inf_nan=False,
        description="How unlike the training data: about 1 for an image like them, flagged over the threshold that "
        "`GET /model` tells. null: no guard is in use, or the score is not a number (and then the image is flagged).",
        examples=[0.97],
    )
    warnings: list[Caution] = []
    error: Problem | None = None


class PredictResponse(_Wire):
    """Predictions, in the order the images were sent."""

    model: ModelName
    request_id: str = Field(examples=["8c5f0a2e9d4b4c1f"])
    provider: str = Field(description="The execution provider that ran it.", examples=["CPUExecutionProvider"])
    operating_point: str = Field(description="Whose threshold made the labels.", examples=["balanced"])
    predictions: list[Prediction]


class Health(_Wire):
    """How the service is."""

    status: Literal["ok", "starting", "draining", "failing"]
    model: ModelName
    provider: str = Field(description="The execution provider of the live session.", examples=["CPUExecutionProvider"])
    device_requested: Literal["auto", "cpu", "cuda"]
    graph: str = Field(description="The file in the bundle that is run.", examples=["model.onnx"])
    precision: Literal["float32", "int8"] = Field(description="Of that graph.")


class ServedModel(Manifest):
    """What the model's manifest says of it, and what of it is in use here."""

    model_config = _Wire.model_config | ConfigDict(extra="ignore")

    provenance: SkipJsonSchema[Provenance] = Field(exclude=True)
    graph: CpuGraph = Field(description="The file in the bundle that is run.")
    operating_point: str = Field(description="Used where a request names none.", examples=["balanced"])
    guard: GuardMode = Field(description="`off` also where the model has none.")


class Probe(_Wire):
    """The answer to an orchestrator."""

    status: Literal["ok", "starting", "draining", "failing"]
