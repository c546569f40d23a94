"""What OpenAPI is told of the Open Inference Protocol's bodies."""

from typing import Any

from pydantic import BaseModel

from service.http.openapi import BINARY, CONTENT_DIGEST, header
from service.http.routes import SERVER_TIMING
from service.oip.request import HEADER_LENGTH
from service.oip.wire import InferRequest, InferResponse


def body(
    kind: type[BaseModel], *, required: bool, example: dict[str, Any], others: dict[str, Any] | None = None
) -> dict[str, Any]:
    """What OpenAPI says of a JSON body that the route reads by itself, and of other types it may have."""
    schema = kind.model_json_schema()
    told = {"schema": _inlined(schema, schema.pop("$defs", {})), "example": example}
    content = {"application/json": told} | (others or {})
    return {"parameters": [CONTENT_DIGEST], "requestBody": {"required": required, "content": content}}


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
INFER_BODY = body(
    InferRequest, required=True, example=_EXAMPLE, others={"application/octet-stream": {"schema": BINARY}}
)
INFERRED: dict[int | str, dict[str, Any]] = {
    200: {
        "model": InferResponse,
        "description": f"The outputs; with `{HEADER_LENGTH}`, some of them as binary data behind the JSON.",
        "content": {"application/octet-stream": {"schema": BINARY}},
        "headers": {
            HEADER_LENGTH: header("Bytes of JSON, where not all is.", required=False, type="integer", minimum=0),
            "Server-Timing": SERVER_TIMING,
        },
    }
}
