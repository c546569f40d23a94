"""MLServer's types and codecs against a server: its URL, an image, and a deadline in seconds. Prints JSON."""

import json
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
from mlserver.codecs import Base64Codec, NumpyCodec, StringCodec
from mlserver.types import (
    InferenceErrorResponse,
    InferenceRequest,
    InferenceResponse,
    MetadataModelResponse,
    MetadataServerResponse,
    RepositoryIndexResponse,
    RequestOutput,
)

URL, IMAGE, DEADLINE_S = sys.argv[1], Path(sys.argv[2]).read_bytes(), float(sys.argv[3])


def ask(path: str, request: Any = None) -> Any:
    """The JSON of an answer, an error's too. MLServer itself dumps requests with every absent member as null."""
    body = None if request is None else json.dumps(request).encode()
    try:
        with urllib.request.urlopen(f"{URL}{path}", body, timeout=DEADLINE_S) as answer:  # noqa: S310
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.load(error)


def infer(model: str, *inputs: Any, **more: Any) -> dict[str, Any]:
    """The outputs of an inference request."""
    request = InferenceRequest(inputs=list(inputs), **more)
    response = InferenceResponse.model_validate(ask(f"/v2/models/{model}/infer", request.model_dump()))
    codecs = {"BYTES": StringCodec, "FP32": NumpyCodec}
    return {each.name: list(codecs[each.datatype].decode_output(each).copy()) for each in response.outputs}


pixels = np.full((1, 200, 200, 1), 51, np.uint8)
found = {
    "server": MetadataServerResponse.model_validate(ask("/v2")).name,
    "inputs": [each.name for each in MetadataModelResponse.model_validate(ask("/v2/models/pneumonia")).inputs or []],
    "index": [each.name for each in RepositoryIndexResponse.model_validate(ask("/v2/repository/index", {})).root],
    "file": infer("pneumonia", Base64Codec.encode_input("file", [IMAGE], use_bytes=False)),
    "image": infer("pneumonia", NumpyCodec.encode_input("image", pixels), outputs=[RequestOutput(name="probability")]),
    "error": InferenceErrorResponse.model_validate(ask("/v2/models/nothing/infer", {})).error,
}
print(json.dumps(found, default=lambda value: value.tolist()))
