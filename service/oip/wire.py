"""The response objects of the Open Inference Protocol (the "v2" of KServe and Triton), and its names."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Input = Literal["image", "file", "pixels"]
Output = Literal["probability", "label", "warnings", "guard_score", "heatmap", "probabilities"]
Datatype = Literal["UINT8", "FP32", "BYTES"]


class Oip(BaseModel):
    """An object of the protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class BinarySize(Oip):
    """Parameters of an output whose binary data follow the JSON."""

    binary_data_size: int


class OutputTensor(Oip):
    """One output, flattened in row-major order. ``null`` in ``guard_score`` stands for NaN."""

    name: Output
    shape: list[int] = Field(examples=[[1]])
    datatype: Datatype
    parameters: BinarySize | None = None
    data: list[float | None] | list[str] | None = Field(default=None, examples=[[0.9731]])


class AnswerParameters(Oip):
    """The operating point, its threshold, population and site if it has one, and the execution provider."""

    operating_point: str = Field(examples=["balanced"])
    population: str | None = Field(default=None, examples=["adult"])
    site: str | None = Field(default=None, examples=["General Hospital"])
    threshold: float = Field(examples=[0.5])
    provider: str = Field(examples=["CPUExecutionProvider"])
    ignored: str | None = Field(
        default=None, description="Names of request parameters that changed nothing.", examples=["priority"]
    )
    warnings: str | None = Field(
        default=None,
        description="Of `NAME.classifier`, which has no output for them: the images with warnings, by number from 0.",
        examples=["0: unlike_training_data"],
    )


class InferResponse(Oip):
    """The requested outputs for all images."""

    model_name: str = Field(examples=["pneumonia"])
    model_version: str = Field(examples=["2"])
    id: str = Field(description="The id of the request, or a generated one.")
    parameters: AnswerParameters
    outputs: list[OutputTensor]


class ServerMetadata(Oip):
    """Name, version and protocol extensions of the service."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(Oip):
    """An input or output; -1 in the shape stands for any size."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(Oip):
    """Inputs and outputs of a model."""

    name: str
    versions: list[str] = Field(description="The loaded versions.")
    platform: Literal["onnx_onnxv1"] = "onnx_onnxv1"
    inputs: list[TensorMetadata] = Field(description="A request has exactly one of them.")
    outputs: list[TensorMetadata]


class ServerHealth(Oip):
    """Liveness and readiness of the service."""

    live: bool
    ready: bool


class ModelReady(Oip):
    """Readiness of a model."""

    name: str
    ready: bool


class IndexEntry(Oip):
    """One model of the repository."""

    name: str = Field(examples=["pneumonia"])
    version: str = Field(examples=["1"])
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = Field(examples=["not loaded"])
