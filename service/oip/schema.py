"""The OpenAPI descriptions of the request and response bodies of the Open Inference Protocol."""

from typing import Any

from pydantic import BaseModel

from service.http.openapi import BINARY, CONTENT_DIGEST, header
from service.http.routes import SERVER_TIMING
from service.oip.request import HEADER_LENGTH
from service.oip.request_wire import InferRequest
from service.oip.wire import InferResponse


def body(
    kind: type[BaseModel], *, required: bool, example: dict[str, Any], others: dict[str, Any] | None = None
) -> dict[str, Any]:
    """The OpenAPI request body of a route that parses its JSON body itself.

    Args:
        kind: the pydantic model of the JSON body.
        required: whether the body is required.
        example: an example of the JSON body.
        others: the content objects of further media types.
    """
    schema = kind.model_json_schema()
    json_content = {"schema": _inline(schema, schema.pop("$defs", {})) | {"examples": [example]}}
    content = {"application/json": json_content} | (others or {})
    return {"parameters": [CONTENT_DIGEST], "requestBody": {"required": required, "content": content}}


def _inline(schema: Any, definitions: dict[str, Any]) -> Any:
    """The schema with every reference replaced by its definition."""
    if isinstance(schema, list):
        return [_inline(each, definitions) for each in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        return _inline(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    return {key: _inline(value, definitions) for key, value in schema.items() if not _is_object_default(key, value)}


def _is_object_default(key: str, value: object) -> bool:
    """Whether this is a default that is an object, which stands for one that is left out: generators of clients reject
    it.
    """
    return key == "default" and isinstance(value, dict)


# A grey PNG of 64 x 64 pixels.
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
        "description": f"The outputs. With the header `{HEADER_LENGTH}`, binary data follow the JSON.",
        "content": {"application/octet-stream": {"schema": BINARY}},
        "headers": {
            HEADER_LENGTH: header(
                "Bytes of JSON at the start of the body, if binary data follow.",
                required=False,
                type="integer",
                minimum=0,
            ),
            "Server-Timing": SERVER_TIMING,
        },
    }
}
