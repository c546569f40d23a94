"""The request objects of the Open Inference Protocol."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from service.oip.wire import Datatype, Input, Oip, Output


def _without_fraction(value: Any) -> Any:
    """JSON has one kind of number: 5.0 is an integer, and clients that compute in floats send it."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


_ANY_INTEGER = BeforeValidator(_without_fraction)
_Integer = Annotated[int, _ANY_INTEGER]
# The limits keep numbers beyond numpy's integers, and those that no float holds, out.
_Dimension = Annotated[int, Field(ge=1, le=2**31 - 1), _ANY_INTEGER]
_Number = Annotated[int, Field(ge=0, le=2**63 - 1), _ANY_INTEGER]


# pydantic reports a longer list once, but every wrong element of a shorter one.
_MAX_LIST_ITEMS = 16


_IGNORED = {"priority", "sequence_id", "sequence_start", "sequence_end", "content_type", "headers"}


def _must_be_false(value: bool) -> bool:
    """Not ``Literal[False]``, which accepts 0 as well."""
    if value:
        raise ValueError("it must be false: no model depends on another")
    return value


class OipRequest(Oip):
    """An object of a request. null stands for an absent member: KServe's and MLServer's clients send every member."""

    @model_validator(mode="before")
    @classmethod
    def _without_nulls(cls, value: Any) -> Any:
        if isinstance(value, dict) and None in value.values():
            return {name: member for name, member in value.items() if member is not None}
        return value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The schema, with null allowed for every member that may be absent."""
        schema = handler.resolve_ref_schema(handler(core))
        for name, member in schema["properties"].items():
            if name not in schema.get("required", []):
                schema["properties"][name] = _or_null(member)
        return schema


def _or_null(member: JsonSchemaValue) -> JsonSchemaValue:
    """The schema of an optional member. Its annotations stay outside: a reference has none beside it."""
    null = {"type": "null"}
    if null in member.get("anyOf", []):
        return member
    outside = {key: value for key, value in member.items() if key in ("title", "description", "default")}
    return {"anyOf": [{key: value for key, value in member.items() if key not in outside}, null]} | outside


class InputParameters(OipRequest):
    """Parameters of one input."""

    binary_data_size: _Number | None = Field(
        default=None, description="Bytes of its binary data, which follow the JSON."
    )
    content_type: Literal["base64", "np"] | None = Field(
        default=None, description="MLServer's codec: `base64` for `file` in JSON, `np` for `image`. It changes nothing."
    )


class InputTensor(OipRequest):
    """The images: `image` holds pixels as the image contract defines them, `file` holds image files. `pixels` is the
    input of `NAME.classifier`: the same as `image`, as FP32.
    """

    name: Input
    shape: Annotated[list[_Dimension], Field(min_length=1, max_length=4)] = Field(examples=[[1]])
    datatype: Datatype
    parameters: InputParameters = InputParameters()
    data: list[Any] | None = Field(
        default=None, description="Whole numbers from 0 to 255, flat or nested as the shape says; or files in base64."
    )


class OutputParameters(OipRequest):
    """Parameters of one requested output."""

    binary_data: bool | None = Field(
        default=None, description="Whether it is sent as binary data after the JSON. null: as binary_data_output says."
    )
    classification: _Number | None = Field(
        default=None,
        description="For `probability` and `probabilities`: return this many classes instead, that of the label first, "
        "as `value:index:label`. 0: none.",
    )


class RequestedOutput(OipRequest):
    """A requested output."""

    name: Output
    parameters: OutputParameters = OutputParameters()


class RequestParameters(OipRequest):
    """Parameters of the whole request."""

    binary_data_output: bool = Field(
        default=False, description="Whether the outputs are sent as binary data after the JSON."
    )
    operating_point: str | None = Field(
        default=None, description="Operating point whose threshold decides the labels. null: the model's default."
    )
    population: str | None = Field(
        default=None,
        description="Population whose calibration and thresholds apply, or `unknown`. null: the service's default.",
    )
    timeout: _Number | None = Field(
        default=None, description="Deadline in microseconds, if it is earlier than the service's. 0: none."
    )
    # Accepted and ignored, as Triton does for a model without sequences and priorities; the answer names them.
    priority: _Integer | None = Field(default=None, description="Ignored.")
    sequence_id: _Integer | str | None = Field(default=None, description="Ignored.")
    sequence_start: bool | None = Field(default=None, description="Ignored.")
    sequence_end: bool | None = Field(default=None, description="Ignored.")
    content_type: str | None = Field(default=None, description="Ignored.")
    headers: dict[str, Any] | None = Field(default=None, description="Ignored.")

    @property
    def ignored(self) -> list[str]:
        """The parameters that were sent and change nothing."""
        return sorted(self.model_fields_set & _IGNORED)


class InferRequest(OipRequest):
    """The images to analyse, and the outputs to return."""

    id: Annotated[str, Field(max_length=1024)] | None = Field(default=None, description="Returned in the response.")
    model_name: str | None = Field(default=None, description="Ignored: the URL names the model.")
    model_version: str | None = Field(default=None, description="Ignored: the URL names the version.")
    parameters: RequestParameters = RequestParameters()
    inputs: Annotated[list[InputTensor], Field(min_length=1, max_length=_MAX_LIST_ITEMS)]
    outputs: Annotated[list[RequestedOutput], Field(max_length=_MAX_LIST_ITEMS)] = Field(
        default=[], description="Requested outputs. Empty: all but the heatmap."
    )


class IndexRequest(OipRequest):
    """A filter for the list of models."""

    ready: bool = Field(default=False, description="List only the models that are ready.")


class ControlParameters(OipRequest):
    """Parameters of loading and unloading. Triton's ``config`` and file overrides are not supported: a bundle is served
    unmodified.
    """

    unload_dependents: Annotated[bool, AfterValidator(_must_be_false), Field(json_schema_extra={"const": False})] = (
        False
    )


class ControlRequest(OipRequest):
    """The body of a load or unload request; optional."""

    parameters: ControlParameters = ControlParameters()
