"""The objects of the Open Inference Protocol (KServe's and Triton's "v2"), as they are sent and answered."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

# More of each dimension is no batch of anything; a number that numpy could not count with never gets that far.
_Dimension = Annotated[int, Field(ge=1, le=2**31 - 1)]
Input = Literal["image", "file"]
Output = Literal["probability", "label", "warnings", "guard_score", "heatmap"]
Datatype = Literal["UINT8", "FP32", "BYTES"]


# Of a longer list pydantic complains once; of a shorter one, of every element that is wrong.
_MOST_NAMED = 16


def _no(value: bool) -> bool:
    """Not ``Literal[False]``, which takes a 0 too."""
    if value:
        raise ValueError("no model depends on another")
    return value


class _Oip(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class InputParameters(_Oip):
    """Of one input."""

    binary_data_size: int | None = Field(
        default=None, ge=0, description="Its data stand behind the JSON: so many bytes."
    )


class InputTensor(_Oip):
    """The images: pixels by the image contract, or files."""

    name: Input
    shape: Annotated[list[_Dimension], Field(min_length=1, max_length=4)] = Field(examples=[[1]])
    datatype: Datatype
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = Field(
        default=None, description="Numbers 0 to 255, flat or nested as the shape says; or files in base64."
    )


class OutputParameters(_Oip):
    """Of one requested output."""

    binary_data: bool | None = Field(default=None, description="Whether its data are to stand behind the JSON.")


class RequestedOutput(_Oip):
    """An output that is wanted."""

    name: Output
    parameters: OutputParameters = OutputParameters()


class RequestParameters(_Oip):
    """Of a whole request."""

    binary_data_output: bool = Field(default=False, description="Whether all outputs are to stand behind the JSON.")
    operating_point: str | None = Field(default=None, description="Whose threshold makes the labels.")


class InferRequest(_Oip):
    """What is to be read, and what is to be told of it."""

    id: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Comes back in the answer.")
    model_name: str | None = Field(default=None, description="Not looked at: the address names the model.")
    model_version: str | None = Field(default=None, description="Not looked at.")
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=_MOST_NAMED)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=_MOST_NAMED)] = Field(
        default=[], description="None named: all but the heatmap."
    )


class IndexRequest(_Oip):
    """Which models are asked for."""

    ready: bool = Field(default=False, description="Only those that are.")


class ControlParameters(_Oip):
    """Of loading and unloading. Triton's ``config`` and files are not taken: a bundle is served as it is, or not."""

    unload_dependents: Annotated[bool, AfterValidator(_no), Field(json_schema_extra={"const": False})] = False


class ControlRequest(_Oip):
    """May be left out."""

    parameters: ControlParameters = ControlParameters()


class BinarySize(_Oip):
    """Of an output whose data stand behind the JSON."""

    binary_data_size: int


class OutputTensor(_Oip):
    """One output, row-major and flat. ``null`` in ``guard_score``: it is not a number."""

    name: Output
    shape: list[int] = Field(examples=[[1]])
    datatype: Datatype
    parameters: BinarySize | None = None
    data: list[float | None] | list[str] | None = Field(default=None, examples=[[0.9731]])


class AnswerParameters(_Oip):
    """How the answer was made."""

    operating_point: str = Field(examples=["balanced"])
    threshold: float = Field(examples=[0.5])
    provider: str = Field(examples=["CPUExecutionProvider"])


class InferResponse(_Oip):
    """What was read."""

    model_name: str = Field(examples=["pneumonia"])
    model_version: str = Field(examples=["2"])
    id: str = Field(description="The request's, or one made here.")
    parameters: AnswerParameters
    outputs: list[OutputTensor]


class ServerMetadata(_Oip):
    """What this service is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(_Oip):
    """An input or output; -1 is any number."""

    name: str
    datatype: Datatype
    shape: list[int]


class ModelMetadata(_Oip):
    """What a model takes and gives."""

    name: str
    versions: list[str] = Field(description="Those that are loaded.")
    platform: Literal["onnx_onnxv1"] = "onnx_onnxv1"
    inputs: list[TensorMetadata] = Field(description="A request has one of them.")
    outputs: list[TensorMetadata]


class ServerHealth(_Oip):
    """How the service is."""

    live: bool
    ready: bool


class ModelReady(_Oip):
    """How a model is."""

    name: str
    ready: bool


class IndexEntry(_Oip):
    """One model of the repository."""

    name: str = Field(examples=["pneumonia"])
    version: str = Field(examples=["1"])
    state: Literal["READY", "UNAVAILABLE"]
    reason: str = Field(examples=["not loaded"])
