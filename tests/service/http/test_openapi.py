"""The OpenAPI document is current, valid and correct; test_every_problem.py tests the problems."""

import asyncio
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.responses import JSONResponse
from openapi_spec_validator import validate

from service import problems
from service.__main__ import main
from service.access.keys import add_key, make_key
from service.oip.request import HEADER_LENGTH
from service.problems import Kind
from service.workers.app import create_app
from tests.conftest import Connect, MakeService
from tests.drawings import jpeg, png
from tests.openapi import FILE, complain, document, operations, problem_types

RENEW = "docs/openapi.json is not the document of this code: renew it with 'make openapi'"
INFER = "/v2/models/{name}/infer"


def test_the_file_is_what_the_command_prints(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["openapi", "--device", "cpu"]) == 0
    assert capsys.readouterr().out == FILE.read_text(), RENEW


@pytest.mark.anyio
async def test_the_served_document_is_the_file_for_every_model(make_service: MakeService, connect: Connect) -> None:
    async with connect(make_service()) as client:
        assert (await client.get("/openapi.json")).json() == document(), RENEW


@pytest.mark.anyio
async def test_it_is_rendered_once(
    make_service: MakeService, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with connect(make_service()) as client:
        first = await client.get("/openapi.json")
        monkeypatch.setattr(JSONResponse, "render", lambda *_: pytest.fail("rendered again"))
        again = await client.get("/openapi.json")
    assert again.content == first.content
    assert again.headers["content-type"] == first.headers["content-type"] == "application/json"


@pytest.mark.anyio
async def test_it_is_made_in_a_thread_once_for_all_who_wait(
    make_service: MakeService, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = create_app(make_service())
    makers, make = [], app.openapi

    def recorded() -> dict[str, Any]:
        makers.append(threading.current_thread())
        return make()

    monkeypatch.setattr(app, "openapi", recorded)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
        answers = await asyncio.gather(*(client.get("/openapi.json") for _ in range(3)))
    assert makers[0] is not threading.main_thread()
    assert [answer.json() for answer in answers] == [document()] * 3


@pytest.mark.anyio
async def test_every_path_prefix_gets_its_own_document(make_service: MakeService) -> None:
    app = create_app(make_service(trusted_proxies="10.0.0.0/8"))
    transport = httpx.ASGITransport(app, client=("10.1.2.3", 1))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        for number in range(20):
            document = (await client.get("/openapi.json", headers={"X-Forwarded-Prefix": f"/{number}"})).json()
            assert document["servers"] == [{"url": f"/{number}"}]


def test_it_is_valid_and_has_no_unused_schemas() -> None:
    validate(document())
    text = FILE.read_text()
    assert "HTTPValidationError" not in text
    for name in document()["components"]["schemas"]:
        assert f'"#/components/schemas/{name}"' in text


def test_every_operation_has_an_operation_id() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert {"predict", "explain", "health_ready", "v2_models_infer"} <= set(ids)
    assert len(ids) == len(set(ids))


# A connection is answered with these before there is a request that belongs to an operation.
CONNECTION = {"bad-request", "header-timeout", "header-too-large"}


def test_the_description_names_the_problems_of_connections() -> None:
    assert all(f"`/problems/{slug}`" in document()["info"]["description"] for slug in CONNECTION)


@pytest.mark.parametrize(
    "kind",
    [kind for kind in problems.kinds() if kind.slug not in {"invalid-request", *CONNECTION}],
    ids=lambda kind: kind.slug,
)
def test_every_problem_belongs_to_an_operation(kind: Kind) -> None:
    statuses = [problem_types(operation).get(kind.slug) for _, _, operation in operations()]
    assert set(statuses) - {None} == {kind.status}


def test_every_operation_has_the_request_id_and_the_common_problems() -> None:
    for path, _, operation in operations():
        assert {"$ref": "#/components/parameters/RequestId"} in operation["parameters"]
        assert all("X-Request-ID" in response["headers"] for response in operation["responses"].values())
        problems = problem_types(operation)
        assert problems["uri-too-long"] == 414
        assert problems["internal-error"] == 500
        assert ("unknown-host" in problems) == (not path.startswith(("/health", "/v2/health")))
        assert ("security" in operation) == ("unauthorized" in problems) == ("forbidden" in problems)


def secured(scope: str) -> list[dict[str, list[str]]]:
    """The three ways to send a key: as a bearer token, in a header of its own, as the password of Basic."""
    return [{"key": [scope]}, {"keyHeader": [scope]}, {"keyPassword": [scope]}]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("settings", "predict", "load"),
    [
        ({}, [*secured("predict"), {}], secured("admin")),
        ({"keys_file": True}, secured("predict"), secured("admin")),
        ({"keys_file": True, "allow_anonymous": True}, [*secured("predict"), {}], secured("admin")),
    ],
)
async def test_the_security_of_an_operation_follows_the_settings(
    settings: dict[str, Any], predict: Any, load: Any, *, make_service: MakeService, connect: Connect, tmp_path: Path
) -> None:
    if "keys_file" in settings:
        add_key(tmp_path / "keys.json", make_key("ward", ["predict"])[1])
        settings = settings | {"keys_file": tmp_path / "keys.json"}
    async with connect(make_service(**settings)) as client:
        paths = (await client.get("/openapi.json")).json()["paths"]
    assert paths["/predict"]["post"]["security"] == predict
    assert paths["/v2/repository/models/{name}/load"]["post"]["security"] == load
    assert "security" not in paths["/health"]["get"]


def examples(node: Any) -> list[tuple[Any, dict[str, Any]]]:
    """Every example in the document with the schema it belongs to."""
    found = []
    if isinstance(node, dict):
        schema = node.get("schema", node)
        if isinstance(schema, dict) and not {"examples", "example"}.isdisjoint(node):
            shown = (
                node["examples"]
                if isinstance(node.get("examples"), list)
                else [node["example"]]
                if "example" in node
                else []
            )
            found += [(each, schema) for each in shown]
        node = list(node.values())
    if isinstance(node, list):
        found += [each for child in node for each in examples(child)]
    return found


def test_every_example_matches_its_schema() -> None:
    found = examples(document())
    assert len(found) > 40
    for value, schema in found:
        complain(value, schema)


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/predict", "/explain", INFER, "/v2/repository/index"])
async def test_every_documented_request_runs(
    path: str, make_service: MakeService, connect: Connect, choosy_folder: Path
) -> None:
    operation = document()["paths"][path]["post"]
    bodies = operation["requestBody"]["content"]
    sent: list[dict[str, Any]] = [
        {"content": png() if kind == "image/png" else jpeg(), "headers": {"Content-Type": kind, HEADER_LENGTH: "0"}}
        for kind in bodies
        if kind.startswith(("image/", "application/octet"))
    ]
    sent += [{"files": [("file", ("x.png", png()))]} for kind in bodies if kind.startswith("multipart")]
    sent += [{"json": body["schema"]["examples"][0]} for kind, body in bodies.items() if kind.endswith("json")]
    async with connect(make_service(model=choosy_folder)) as client:
        for body in sent:
            assert (await client.post(path.format(name="brightness"), **body)).status_code == 200
        for parameter in operation["parameters"]:
            schema = parameter.get("schema", {})
            for value in (
                [*schema.get("examples", []), *schema.get("enum", [])] if parameter.get("in") == "query" else []
            ):
                answer = await client.post(path, params={parameter["name"]: value}, **sent[0])
                assert answer.status_code == 200
