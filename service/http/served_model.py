"""The answer of ``GET /model``."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema
from pydantic.json_schema import SkipJsonSchema

from contract.bundle import LABELS, CpuGraph, Manifest, Measured, Provenance
from service.settings import GuardMode


class _Served(BaseModel):
    # As in service/wire.py: the answer has all fields, and its schema says so.
    model_config = ConfigDict(frozen=True, extra="ignore", json_schema_serialization_defaults_required=True)


_VECTOR = Field(default=None, description="Of each feature in training. null unless `?full=1` asks for it.")


class ServedFamiliar(_Served):
    """What the input guard knows of one population."""

    location: tuple[float, ...] | None = _VECTOR
    scale: tuple[float, ...] | None = _VECTOR
    threshold: float = Field(description="An image at a greater distance is unfamiliar.")
    false_alarms: Measured = Field(description="Fraction of held-out radiographs of the population above it.")


class ServedGuard(_Served):
    """The input guard. With `populations` its score is the distance from the nearest one over that one's threshold."""

    location: tuple[float, ...] | None = _VECTOR
    scale: tuple[float, ...] | None = _VECTOR
    populations: dict[str, ServedFamiliar] = {}
    threshold: float = Field(description="An image with a greater score is flagged.")
    false_alarms: Measured = Field(description="Fraction of held-out radiographs of the training population above it.")
    chosen_on: str
    reference: tuple[float, ...] = Field(description="Scores of validation patients at 0, 5, .. 100 %, for drift.")


class ServedModel(Manifest):
    """The manifest of the model, and the configuration in use."""

    model_config = _Served.model_config

    # As a list of either: generated clients do not understand a place of its own for each.
    labels: Annotated[
        tuple[Literal["NORMAL"], Literal["PNEUMONIA"]],
        WithJsonSchema(
            {"type": "array", "items": {"type": "string", "enum": list(LABELS)}, "minItems": 2, "maxItems": 2}
        ),
    ] = LABELS
    # The guard without what only a program that computes its score needs: half of the manifest's bytes.
    input_guard: ServedGuard | None = Field(  # type: ignore[assignment]
        default=None, description="null: this model has no input guard."
    )

    provenance: SkipJsonSchema[Provenance] = Field(exclude=True)
    graph: CpuGraph = Field(description="The ONNX file of the bundle that is in use.")
    operating_point: str = Field(description="Operating point of a request that names none.", examples=["balanced"])
    population: str | None = Field(
        default=None, description="Population of a request that names none. null: unknown.", examples=["adult"]
    )
    guard: GuardMode = Field(description="Mode of the input guard; `off` also if the model has none.")
