"""``docs/openapi.json``, compared with the actual responses."""

import functools
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
from jsonschema import Draft202012Validator, FormatChecker

from service.http.openapi import PROBLEM_TYPES
from tests import ROOT

FILE = ROOT / "docs" / "openapi.json"
PROBLEM_JSON = "application/problem+json"
Operation = dict[str, Any]


@functools.cache
def document() -> dict[str, Any]:
    """The document, read once."""
    found: dict[str, Any] = json.loads(FILE.read_text())
    return found


def operations() -> Iterator[tuple[str, str, Operation]]:
    """Path, method in upper case, and operation object of every operation."""
    for path, item in document()["paths"].items():
        for method, operation in item.items():
            yield path, method.upper(), operation


def problem_types(operation: Operation) -> dict[str, int]:
    """The problems of an operation: slug to status. Below ``/v2`` their media type is the protocol's."""
    schemas = [
        (int(status), content[PROBLEM_TYPES])
        for status, response in operation["responses"].items()
        for content in response.get("content", {}).values()
        if PROBLEM_TYPES in content
    ]
    return {kind.removeprefix("/problems/"): status for status, kinds in schemas for kind in kinds}


def complain(value: object, schema: dict[str, Any]) -> None:
    """Fail if a value does not match a schema of the document."""
    _validator().evolve(schema=schema).validate(value)


@functools.cache
def _validator() -> Draft202012Validator:
    """The validator of the whole document, which references are resolved in; made once, because that is slow."""
    return Draft202012Validator(document(), format_checker=FormatChecker())


def assert_documented(response: httpx.Response) -> None:
    """Check that the document lists this response: status, headers, media type, body. Unknown paths are ignored."""
    operation = _operation(response.request.method, response.request.url.path)
    if operation is None:
        return
    assert str(response.status_code) in operation["responses"], (response.request.url, response.text)
    documented = operation["responses"][str(response.status_code)]
    for name, header in documented["headers"].items():
        _check_header(_resolved(header), response.headers.get(name))
    media_type = response.headers["content-type"].partition(";")[0]
    schema = documented["content"][media_type]["schema"]
    if media_type.endswith("json"):
        complain(response.json(), schema)
    if (types := documented["content"][media_type].get(PROBLEM_TYPES)) is not None:
        assert response.json()["type"] in types
        assert response.json()["status"] == response.status_code


def _check_header(header: dict[str, Any], value: str | None) -> None:
    if value is None:
        assert not header["required"], header
    else:
        kind = header["schema"].get("type")
        complain(json.loads(value) if kind in {"integer", "number"} else value, header["schema"])


def _resolved(header: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = (
        document()["components"]["headers"][header["$ref"].rpartition("/")[2]] if "$ref" in header else header
    )
    return found


def _operation(method: str, path: str) -> Operation | None:
    for template, each, operation in operations():
        if each == method and re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            return operation
    return None
