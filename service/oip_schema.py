"""What OpenAPI is told of the Open Inference Protocol's bodies and errors."""

from typing import Any

from pydantic import BaseModel

from service import errors
from service.oip_request import HEADER_LENGTH
from service.oip_wire import InferRequest, InferResponse

_BINARY = {"schema": {"type": "string", "format": "binary"}}
_PROBLEM = {
    "allOf": [
        {"$ref": "#/components/schemas/Problem"},
        {
            "type": "object",
            "required": ["error"],
            "properties": {
                "error": {"type": "string", "description": "What `detail` says, for the protocol's clients."}
            },
        },
    ]
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What OpenAPI says of these statuses, and of any other of its caller's faults: the problem, with ``error``."""
    told: dict[int | str, dict[str, Any]] = {**errors.responses(*statuses), "4XX": {"description": "Any other refusal"}}
    for response in told.values():
        response["content"] = {errors.PROBLEM_JSON: {"schema": _PROBLEM}}
    return told


def body(
    kind: type[BaseModel], *, required: bool, example: dict[str, Any], others: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What OpenAPI says of a JSON body that the route reads by itself, and of other types it may have."""
    schema = kind.model_json_schema()
    told = {"schema": _inlined(schema, schema.pop("$defs", {})), "example": example}
    return {"requestBody": {"required": required, "content": {"application/json": told} | (others or {})}}


def _inlined(schema: Any, definitions: dict[str, Any]) -> Any:
    """A schema that refers to nothing."""
    if isinstance(schema, list):
        return [_inlined(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inlined(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inlined(value, definitions) for key, value in schema.items()}


# A grey square of 64 x 64.
_PNG = (
    "iVBORw0KGgoAAAANSUhEUgAAAEAAAABACAAAAACPAi4CAAAALElEQVR42u3MMREAAAgEoNek9k9hCDcP"
    "AlCTm45AIBAIBAKBQCAQCASC58ECOHYA4KwlYS0AAAAASUVORK5CYII="
)
_EXAMPLE = {
    "id": "42",
    "inputs": [{"name": "file", "shape": [1], "datatype": "BYTES", "data": [_PNG]}],
    "outputs": [{"name": "probability"}, {"name": "label"}],
}
INFER_BODY = body(InferRequest, required=True, example=_EXAMPLE, others={"application/octet-stream": _BINARY})
INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": InferResponse,
        "description": f"The outputs; with `{HEADER_LENGTH}`, some of them as binary data behind the JSON.",
        "content": {"application/octet-stream": _BINARY},
        "headers": {HEADER_LENGTH: {"description": "Bytes of JSON.", "schema": {"type": "integer"}}},
    }
}
