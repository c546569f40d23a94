"""Tells schemathesis what a JSON schema cannot express: what an image is, which models exist, how the parts of a
request depend on each other. It changes only what is meant to be valid; deliberately invalid parts stay as they are.
"""

import base64
import hashlib
import zlib
from typing import Any

import schemathesis
from hypothesis import strategies as st
from schemathesis.transport.serialization import Binary

from service.http.uploads import RAW_TYPES
from service.oip.request import HEADER_LENGTH
from service.oip.views import CLASSIFIER
from tests.bundles import POINTS
from tests.dicom_objects import drawn
from tests.drawings import chest, encode

# The model of the server that test_schemathesis.py starts.
NAME, VERSIONS = "brightness", ("1", "2")
# The id of a request that it has answered.
ANALYSED = "analysed-before"
_SMALL = [chest(seed, 48, 40) for seed in range(3)]
_BODIES = {
    "image/jpeg": [encode(pixels) for pixels in _SMALL],
    "image/png": [encode(pixels, "PNG") for pixels in _SMALL],
    "application/dicom": [drawn(pixels) for pixels in _SMALL],
}
_BODIES["application/octet-stream"] = [each for bodies in list(_BODIES.values()) for each in bodies]
_INPUT = {
    "name": "file",
    "shape": [1],
    "datatype": "BYTES",
    "data": [base64.b64encode(_BODIES["image/jpeg"][0]).decode()],
}

for media_type in RAW_TYPES:
    schemathesis.openapi.media_type(media_type, st.sampled_from(_BODIES[media_type]))


schemathesis.openapi.format("binary", st.sampled_from(_BODIES["application/octet-stream"]).map(Binary))


@schemathesis.hook
def before_call(context: schemathesis.HookContext, case: schemathesis.Case[Any], kwargs: dict[str, Any]) -> None:
    """Make those parts of the request valid that are meant to be valid."""
    parts = case.meta.components if case.meta else {}
    wrong = {place.name for place, part in parts.items() if part.mode.is_negative}
    if "PATH" not in wrong:
        _mostly_known(case.path_parameters, case.path)
    if "QUERY" not in wrong:
        _mostly_known(case.query, case.path)
        _name_a_point(case.query)
    if "BODY" not in wrong and isinstance(case.body, dict):
        _make_consistent(case.body)
    if "HEADER" not in wrong:
        _match_headers_to_body(case)


def _mostly_known(parameters: Any, path: str) -> None:
    """Name an existing model in most requests, and an unknown one in some, which is valid too but not found.

    Other requests load and unload the second version meanwhile; the first is always loaded.
    """
    versions = VERSIONS if "/repository/" in path else VERSIONS[:1]
    for name, known in (("name", [NAME]), ("version", versions)):
        if name in parameters and (seed := zlib.crc32(str(parameters[name]).encode())) % 4:
            parameters[name] = known[seed % len(known)]
    if str(parameters.get("name", "")).endswith(CLASSIFIER.suffix):  # what /stats lists; it takes no image files
        parameters["name"] = NAME


def _name_a_point(parameters: Any) -> None:
    if parameters.get("population") is not None:
        parameters["population"] = "unknown"  # which every bundle takes
    if parameters.get("operating_point") is not None:
        parameters["operating_point"] = list(POINTS)[len(parameters["operating_point"]) % len(POINTS)]


def _make_consistent(body: dict[str, Any]) -> None:
    """Give an inference request one input whose shape, type and data match, and each output once; feedback an image."""
    if "reader" in body or "label" in body:
        body |= {"request_id": ANALYSED, "image": 0, "image_sha256": None}
    if "inputs" in body:
        body["inputs"] = [_INPUT]
        for output in body.get("outputs") or []:
            if output["name"] == "probabilities":  # of NAME.classifier, which does not have the input
                output["name"] = "probability"
        body["outputs"] = list({output["name"]: output for output in body.get("outputs") or []}.values())
        for output in body["outputs"]:
            if output["name"] != "probability":
                (output.get("parameters") or {}).pop("classification", None)
        parameters = body.get("parameters") or {}
        _name_a_point(parameters)
        if parameters.get("timeout"):
            parameters["timeout"] = 10**9  # the deadline that a short one sets is tested elsewhere


def _match_headers_to_body(case: schemathesis.Case[Any]) -> None:
    """Make the headers that describe the body match it."""
    raw = case.body if isinstance(case.body, bytes) else None
    if HEADER_LENGTH in case.headers or (raw and case.path.endswith("/infer")):
        case.headers[HEADER_LENGTH] = "0"
    if raw is None:
        case.headers.pop(HEADER_LENGTH, None)
    if "Content-Digest" in case.headers:
        digest = hashlib.sha256(raw).digest() if raw is not None else b"of a body that is not yet written"
        algorithm = "sha-256" if raw is not None else "unknown"
        case.headers["Content-Digest"] = f"{algorithm}=:{base64.b64encode(digest).decode()}:"
